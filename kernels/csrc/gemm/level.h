/* What a matrix product multiplies at one vector width: doubles and floats, read from any type.
 *
 * Included by common/each_level.h. A multiplication and its addition are one operation where the processor has it.
 */

#if defined(HAVE_AVX512)
#define MADD_F32(a, b, c) (LV(vf))_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c))
#define MADD_F64(a, b, c) (LV(vd))_mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c))
#define SPLAT_F32(x) (LV(vf))_mm512_set1_ps(x)
#define SPLAT_F64(x) (LV(vd))_mm512_set1_pd(x)
#elif defined(HAVE_AVX2)
#define MADD_F32(a, b, c) (LV(vf))_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c))
#define MADD_F64(a, b, c) (LV(vd))_mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c))
#define SPLAT_F32(x) (LV(vf))_mm256_set1_ps(x)
#define SPLAT_F64(x) (LV(vd))_mm256_set1_pd(x)
#else
#define MADD_F32(a, b, c) ((a) * (b) + (c))
#define MADD_F64(a, b, c) ((a) * (b) + (c))
#define SPLAT_F32(x) ((x) - (LV(vf)){0}) /* minus 0 keeps the sign of 0 */
#define SPLAT_F64(x) ((x) - (LV(vd)){0})
#endif

/* A vector of floats out of any type; those of ROUNDED types go through bf16. */
INLINE LV(vf) LV(floats)(const void *p, int64_t type)
{
    if (type == F32)
        return LV(load_f32)(p);
    if (type == BF16)
        return LV(load_bf16)(p);
    LV(vf) v = {0};
    if (type == (F32 | ROUNDED))
        v = LV(load_f32)(p);
    else
        for (size_t j = 0; j < sizeof v / sizeof v[0]; j++)
            v[j] = (float)value_of((const char *)p + (int64_t)j * bytes_of(type), type & ~ROUNDED);
    if (type & ROUNDED) {
        LV(vh) rounded = LV(to_bf16)(v);
        v = LV(load_bf16)((const uint16_t *)&rounded);
    }
    return v;
}

INLINE LV(vd) LV(doubles)(const void *p, int64_t type)
{
    if (type == F64)
        return LV(load_f64)(p);
    LV(vd) v = {0};
    for (size_t j = 0; j < sizeof v / sizeof v[0]; j++)
        v[j] = value_of((const char *)p + (int64_t)j * bytes_of(type), type);
    return v;
}

INLINE void LV(round_doubles)(uint16_t *p, LV(vd) v)
{
    for (size_t j = 0; j < sizeof v / sizeof v[0]; j++)
        put_value((char *)(p + j), BF16, v[j]);
}

#define FN(name) LV(name##_f32)
#define ACC float
#define VEC LV(vf)
#define MASK LV(vi)
#define UNIT float
#define PER 1
#define SPLAT(p) SPLAT_F32(*(const float *)(p))
#define MADD MADD_F32
#define ALONG(p, type) LV(floats)(p, type)
#define ACROSS(p, second, type) LV(floats)(p, type)
#define READ(p, type) LV(floats)(p, type)
#define ROUND(p, v) LV(store_bf16)(p, v)
#define ACC_TYPE F32
#define RAW_TYPE F32
#if BYTES == 64
#define EACH EACH_16
#elif BYTES == 32
#define EACH EACH_8
#else
#define EACH EACH_4
#endif
#include "gemm/loops.h"

#define FN(name) LV(name##_f64)
#define ACC double
#define VEC LV(vd)
#define MASK LV(vl)
#define UNIT double
#define PER 1
#define SPLAT(p) SPLAT_F64(*(const double *)(p))
#define MADD MADD_F64
#define ALONG(p, type) LV(doubles)(p, type)
#define ACROSS(p, second, type) LV(doubles)(p, type)
#define READ(p, type) LV(doubles)(p, type)
#define ROUND(p, v) LV(round_doubles)(p, v)
#define ACC_TYPE F64
#define RAW_TYPE F64
#if BYTES == 64
#define EACH EACH_8
#elif BYTES == 32
#define EACH EACH_4
#else
#define EACH EACH_2
#endif
#include "gemm/loops.h"

#undef MADD_F32
#undef MADD_F64
#undef SPLAT_F32
#undef SPLAT_F64
