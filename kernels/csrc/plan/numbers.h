/* exp and tanh of one float, made of plain arithmetic, so that the compiler can make vectors of a loop around them. */

#include "common/levels.h"
#include "common/numbers.h"

#define ROUNDER 0x1.8p23f /* adding it leaves the whole part of a small number in the last bits */

/* 2^(n-1), and e^r - 1, with e^x = 2^n e^r and |r| < ln 2 / 2, for -86 < x < 89. */
INLINE float split_exp(float x, float *half_power)
{
    float shifted = x * 0x1.715476p0f + ROUNDER, n = shifted - ROUNDER;
    float r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f; /* ln 2 in two parts, the first with few bits */
    *half_power = as_float((as_bits(shifted) << 23) + 0x3f000000u);
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    return p * r * r + r;
}

/* 0 below -86, where a float has some 1e-38 left. */
INLINE float exp_f32(float x)
{
    float within = x > 88.75f ? 88.75f : x < -86 ? -86 : x, half;
    float grown = split_exp(within, &half);
    float y = (half * grown + half) * 2;
    y = x < -86 ? 0 : y;
    return x != x ? x : y;
}

/* (e^2x - 1) / (e^2x + 1), with e^2x - 1 from its own series: exact to a few units in the last place near 0, too. */
INLINE float tanh_f32(float x)
{
    float twice = x > 10 ? 20 : x < -10 ? -20 : 2 * x, half;
    float grown = split_exp(twice, &half);
    float less_one = 2 * half * grown + (2 * half - 1);
    float y = less_one / (less_one + 2);
    return x != x ? x : y;
}

#undef ROUNDER
