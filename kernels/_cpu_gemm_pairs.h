/* Products of bf16 for processors that multiply and add them in pairs. Included by _cpu.c with LV of the avx512 level. */

/* 16 values in any type as bf16, each in the low half of its lane. */
INLINE LV(vu) LV(halves)(const void *p, int64_t type)
{
    if (type == BF16)
        return LV(widen)(p);
    return (LV(vu))_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)LV(floats)(p, type)));
}

INLINE LV(vf) LV(pairs_along)(const char *p, int64_t type)
{
    if (type == BF16)
        return LV(load_f32)((const float *)p);
    __m512 low = (__m512)LV(floats)(p, type), high = (__m512)LV(floats)(p + 16 * size_of(type), type);
    return (LV(vf))_mm512_cvtne2ps_pbh(high, low);
}

INLINE LV(vf) LV(pairs_across)(const char *p, const char *second, int64_t type)
{
    LV(vu) low = LV(halves)(p, type);
    return (LV(vf))(second ? low | LV(halves)(second, type) << 16 : low);
}

#define FN(name) LV(name##_pairs)
#define ACC float
#define VEC LV(vf)
#define MASK LV(vi)
#define UNIT float /* in size: two bf16 */
#define PER 2
#define SPLAT(p) (LV(vf))_mm512_set1_epi32(pair_at(p))
#define MADD(a, b, c) (LV(vf))_mm512_dpbf16_ps((__m512)(c), (__m512bh)(a), (__m512bh)(b))
#define ALONG(p, type) LV(pairs_along)(p, type)
#define ACROSS(p, second, type) LV(pairs_across)(p, second, type)
#define READ(p, type) LV(floats)(p, type)
#define ROUND(p, v) LV(store_bf16)(p, v)
#define ACC_TYPE F32
#define EACH EACH_16
#include "_cpu_gemm_loops.h"
