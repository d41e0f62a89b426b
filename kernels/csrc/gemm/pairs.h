/* Products of bf16 for processors that multiply and add them in pairs. Included by gemm/gemm.c after the
 * avx512 level. */

INLINE LV(vf) LV(pairs_along)(const char *p, int64_t type)
{
    LV(vf) pairs;
    if (type == BF16)
        return memcpy(&pairs, p, sizeof pairs), pairs;
    __m512 low = (__m512)LV(floats)(p, type), high = (__m512)LV(floats)(p + 16 * bytes_of(type), type);
    return (LV(vf))_mm512_cvtne2ps_pbh(high, low);
}

#define SIDE_BY_SIDE(j, h) (((j) + 16) << 16 | (j)) /* lane j of the lower and of the higher 16 */

/* 16 values of each of two rows, side by side; without a second row, 0 stands there. */
INLINE LV(vf) LV(pairs_across)(const char *p, const char *second, int64_t type)
{
    if (type == BF16) {
        LV(vu) low = LV(widen)((const uint16_t *)p);
        return (LV(vf))(second ? low | LV(widen)((const uint16_t *)second) << 16 : low);
    }
    __m512 low = (__m512)LV(floats)(p, type), high = second ? (__m512)LV(floats)(second, type) : _mm512_setzero_ps();
    __m512i order = (__m512i)(LV(vi)){EACH_16(SIDE_BY_SIDE, 0)};
    return (LV(vf))_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* Like the products, it takes what is too small for a normal float as 0. */
INLINE void LV(round_pairs)(uint16_t *p, LV(vf) v)
{
    __m256bh rounded = _mm512_cvtneps_pbh((__m512)v);
    memcpy(p, &rounded, sizeof rounded);
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
#define ROUND(p, v) LV(round_pairs)(p, v)
#define ACC_TYPE F32
#define RAW_TYPE BF16
#define EACH EACH_16
#include "gemm/loops.h"

#undef SIDE_BY_SIDE
