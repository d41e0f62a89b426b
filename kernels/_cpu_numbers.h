/* What the tiles of every vector width share: instructions, types, registers, and functions of one float.
 *
 * exp and tanh are made of plain arithmetic, so that the compiler can make vectors of a loop around them.
 */

enum { TYPE_F64, TYPE_F32, TYPE_BF16, TYPE_F16, TYPE_I64, TYPE_BOOL }; /* the codes of cpu.py and planned.py */
enum { SHAPE_TILE, SHAPE_ROWS, SHAPE_COLUMNS, SHAPE_ONE };
enum {
    OP_COPY, OP_NEG, OP_ABS, OP_SIGN, OP_EXP, OP_TANH, OP_SIGMOID, OP_LOG, OP_LOG1P, OP_SQRT, OP_RSQRT, OP_RECIPROCAL,
    OP_UNARY_END,
    OP_ADD = OP_UNARY_END, OP_SUB, OP_MUL, OP_DIV, OP_MAX, OP_MIN, OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE,
    OP_BINARY_END,
    OP_CHOOSE = OP_BINARY_END,
    OP_TERNARY_END,
    OP_LOAD = OP_TERNARY_END, OP_STORE,
    OP_TRANSFER_END,
    OP_SUM_ROWS = OP_TRANSFER_END, OP_SUM_COLUMNS, OP_MAX_COLUMNS, OP_SUM_ALL,
};
#define INSTRUCTION 5 /* words: op, result, operands */

/* A register of one tile, or memory: rows `ld` elements apart, columns `along` (1 for registers). */
struct view {
    char *p;
    int64_t ld, along, shape, type, size;
};

typedef void (*tile_runner)(const int64_t *code, int64_t count, const struct view *views, int64_t rows, int64_t columns);

INLINE float as_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE uint32_t as_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE float wide_bf16(uint16_t x) { return as_float((uint32_t)x << 16); }

/* To the nearest, ties to even. */
INLINE uint16_t narrow_bf16(float x)
{
    uint32_t bits = as_bits(x), rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (uint16_t)(x != x ? 0x7fc0 : rounded);
}

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
