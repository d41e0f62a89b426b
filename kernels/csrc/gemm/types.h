/* What the loops of a matrix product share with the code that hands out the work. */

#include "common/numbers.h"

#define TILE_ROWS 6

enum { ROUNDED = 4 }; /* added to F64 or F32: rounded to bf16, when read */

struct gemm_tile { /* up to TILE_ROWS rows of sums: `to` = `from` + P Q; strides in bytes */
    const char *p, *q;
    const char *from; /* NULL for 0 */
    char *to;
    int64_t units, p_row, p_k, q_k, from_row, to_row;
    const char *ahead; /* to be prefetched, one line a unit */
    const char *raw;   /* Q as given, which a tile that packs reads, and where it packs it */
    char *packed;
    int64_t ahead_k, raw_k;
    int64_t to_bf16; /* `to` is bf16, which tiles of pairs can round to */
};

struct gemm_finish { /* sums put aside, rows of a panel, to C */
    const char *sums, *bias;
    char *c;
    int64_t rows, columns, c_row, c_type, turned, accumulate;
};

struct product_loops {
    int64_t unit, acc, per, acc_type, width, vectors;
    void (*along)(char *, int64_t, const char *, int64_t, int64_t, int64_t, int64_t);
    void (*across)(char *, int64_t, const char *, int64_t, int64_t, int64_t, int64_t);
    void (*turn)(char *, int64_t, const char *, int64_t, int64_t, int64_t, int64_t);
    void (*pick)(char *, int64_t, const char *, int64_t, int64_t, int64_t, int64_t, int64_t);
    void (*finish)(const struct gemm_finish *);
    int64_t raw_type; /* what is read without a conversion */
    void (*packing_tile)(const struct gemm_tile *);
    void (*rounding_tile)(const struct gemm_tile *); /* packs floats as pairs; NULL elsewhere */
    void (*tile[4][TILE_ROWS])(const struct gemm_tile *); /* by vectors and rows, less one */
};

#define EACH_2(L, h) L(0, h), L(1, h)
#define EACH_4(L, h) EACH_2(L, h), L(2, h), L(3, h)
#define EACH_8(L, h) EACH_4(L, h), L(4, h), L(5, h), L(6, h), L(7, h)
#define EACH_16(L, h) EACH_8(L, h), L(8, h), L(9, h), L(10, h), L(11, h), L(12, h), L(13, h), L(14, h), L(15, h)

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, mask, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, mask, ...) __builtin_shuffle(a, b, (mask){__VA_ARGS__})
#endif

/* Of a type that may be ROUNDED, in bytes. */
static int64_t bytes_of(int64_t type) { return type == BF16 ? 2 : type & F32 ? 4 : 8; }

static double value_of(const char *p, int64_t type)
{
    double wide;
    float value;
    uint16_t half;
    if (type == F64)
        return memcpy(&wide, p, sizeof wide), wide;
    if (type == F32)
        return memcpy(&value, p, sizeof value), (double)value;
    memcpy(&half, p, sizeof half);
    return (double)wide_bf16(half);
}

static void put_value(char *p, int64_t type, double wide)
{
    float value = (float)wide;
    uint16_t half = narrow_bf16(value);
    if (type == F64)
        memcpy(p, &wide, sizeof wide);
    else if (type == F32)
        memcpy(p, &value, sizeof value);
    else
        memcpy(p, &half, sizeof half);
}

static int32_t pair_at(const char *p)
{
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return pair;
}
