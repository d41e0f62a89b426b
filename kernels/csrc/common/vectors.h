/* One vector width: its vector types, and the conversions of each element type.
 *
 * Included by common/each_level.h. Written with GCC's vector extensions, which clang knows too; intrinsics stand only
 * where those make poor code.
 */

typedef float LV(vf) __attribute__((vector_size(BYTES)));
typedef double LV(vd) __attribute__((vector_size(BYTES)));
typedef int32_t LV(vi) __attribute__((vector_size(BYTES)));
typedef uint32_t LV(vu) __attribute__((vector_size(BYTES)));
typedef int64_t LV(vl) __attribute__((vector_size(BYTES)));
typedef uint16_t LV(vh) __attribute__((vector_size(BYTES / 2)));

INLINE LV(vf) LV(load_f32)(const float *p)
{
    LV(vf) v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void LV(store_f32)(float *p, LV(vf) v) { memcpy(p, &v, sizeof v); }

INLINE LV(vd) LV(load_f64)(const double *p)
{
    LV(vd) v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void LV(store_f64)(double *p, LV(vd) v) { memcpy(p, &v, sizeof v); }

INLINE LV(vu) LV(widen)(const uint16_t *p)
{
#if defined(HAVE_AVX512)
    return (LV(vu))_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
#elif defined(HAVE_AVX2)
    return (LV(vu))_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
#else
    LV(vu) v;
    for (size_t j = 0; j < sizeof v / sizeof v[0]; j++)
        v[j] = p[j];
    return v;
#endif
}

/* The low half of each element; the high one is 0. */
INLINE LV(vh) LV(narrow)(LV(vu) v)
{
#if defined(HAVE_AVX512)
    return (LV(vh))_mm512_cvtepi32_epi16((__m512i)v);
#elif defined(HAVE_AVX2)
    __m256i packed = _mm256_packus_epi32((__m256i)v, (__m256i)v);
    return (LV(vh))_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
#else
    LV(vh) h;
    for (size_t j = 0; j < sizeof v / sizeof v[0]; j++)
        h[j] = (uint16_t)v[j];
    return h;
#endif
}

INLINE LV(vf) LV(load_bf16)(const uint16_t *p) { return (LV(vf))(LV(widen)(p) << 16); }

INLINE LV(vh) LV(to_bf16)(LV(vf) v)
{
    LV(vu) bits = (LV(vu))v, nan = (LV(vu))(v != v);
    LV(vu) rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return LV(narrow)((rounded & ~nan) | (nan & 0x7fc0));
}

#if defined(HAVE_AVX512)
INLINE LV(vf) LV(load_f16)(const uint16_t *p) { return (LV(vf))_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }
INLINE LV(vh) LV(to_f16)(LV(vf) v) { return (LV(vh))_mm512_cvtps_ph((__m512)v, 0); }
#elif defined(HAVE_AVX2)
INLINE LV(vf) LV(load_f16)(const uint16_t *p) { return (LV(vf))_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
INLINE LV(vh) LV(to_f16)(LV(vf) v) { return (LV(vh))_mm256_cvtps_ph((__m256)v, 0); }
#else
INLINE LV(vf) LV(load_f16)(const uint16_t *p)
{
    LV(vu) bits = LV(widen)(p), sign = (bits & 0x8000) << 16, size = (bits & 0x7fff) << 13;
    LV(vu) special = (LV(vu))(size >= (0x7c00u << 13)) & 0x7f800000u;
    LV(vf) scaled = (LV(vf))size * 0x1p112f; /* moves the exponent, and makes subnormals normal */
    return (LV(vf))((LV(vu))scaled | special | sign);
}

INLINE LV(vh) LV(to_f16)(LV(vf) v)
{
    LV(vu) bits = (LV(vu))v, size = bits & 0x7fffffffu, sign = (bits & 0x80000000u) >> 16;
    LV(vu) normal = (size - (112u << 23) + 0xfff + ((size >> 13) & 1)) >> 13;
    LV(vu) tiny = (LV(vu))((LV(vf))size + 0.5f) - 0x3f000000u; /* 0.5 has 2^-24, the smallest half, as its last bit */
    LV(vu) small = (LV(vu))(size < (113u << 23)), large = (LV(vu))(size >= 0x477ff000u), nan = (LV(vu))(size > 0x7f800000u);
    LV(vu) half = (small & tiny) | (~small & normal);
    half = (large & 0x7c00) | (~large & half);
    half = (nan & 0x7e00) | (~nan & half);
    return LV(narrow)(half | sign);
}
#endif

INLINE void LV(store_bf16)(uint16_t *p, LV(vf) v)
{
    LV(vh) h = LV(to_bf16)(v);
    memcpy(p, &h, sizeof h);
}

INLINE void LV(store_f16)(uint16_t *p, LV(vf) v)
{
    LV(vh) h = LV(to_f16)(v);
    memcpy(p, &h, sizeof h);
}

/* Streaming stores pass the caches by; the caller has aligned p to BYTES, half that for a half type. */
#if defined(HAVE_AVX512)
INLINE void LV(stream_f32)(float *p, LV(vf) v) { _mm512_stream_ps(p, (__m512)v); }
INLINE void LV(stream_f64)(double *p, LV(vd) v) { _mm512_stream_pd(p, (__m512d)v); }
INLINE void LV(stream_half)(uint16_t *p, LV(vh) h) { _mm256_stream_si256((__m256i *)p, (__m256i)h); }
#elif defined(HAVE_AVX2)
INLINE void LV(stream_f32)(float *p, LV(vf) v) { _mm256_stream_ps(p, (__m256)v); }
INLINE void LV(stream_f64)(double *p, LV(vd) v) { _mm256_stream_pd(p, (__m256d)v); }
INLINE void LV(stream_half)(uint16_t *p, LV(vh) h) { _mm_stream_si128((__m128i *)p, (__m128i)h); }
#else
INLINE void LV(stream_f32)(float *p, LV(vf) v) { LV(store_f32)(p, v); }
INLINE void LV(stream_f64)(double *p, LV(vd) v) { LV(store_f64)(p, v); }
INLINE void LV(stream_half)(uint16_t *p, LV(vh) h) { memcpy(p, &h, sizeof h); }
#endif

INLINE LV(vf) LV(bytes_f32)(const uint8_t *p)
{
#if defined(HAVE_AVX512)
    return (LV(vf))_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
#elif defined(HAVE_AVX2)
    return (LV(vf))_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
#else
    LV(vf) v;
    for (size_t j = 0; j < sizeof v / sizeof v[0]; j++)
        v[j] = (float)p[j];
    return v;
#endif
}

INLINE LV(vd) LV(bytes_f64)(const uint8_t *p)
{
    LV(vd) v;
    for (size_t j = 0; j < sizeof v / sizeof v[0]; j++)
        v[j] = (double)p[j];
    return v;
}
