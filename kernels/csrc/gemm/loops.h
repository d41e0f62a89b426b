/* The loops of a matrix product for one kind of operand at one vector width.
 *
 * Included with these set: FN(name), ACC (summed), VEC (a vector of ACC), MASK (integers like VEC), UNIT (what is
 * multiplied: one value of the operands, or two bf16 that follow each other along k), PER (values in a unit),
 * SPLAT(p) and MADD(a, b, c), ALONG(p, type) and ACROSS(p, q, type) (a vector of units read along k, or of rows k and
 * k + 1), READ and ROUND (of C), ACC_TYPE and EACH(L, h), which spells L(j, h) for each lane.
 *
 * A tile is up to TILE_ROWS rows of P times one panel of Q. Each of its sums runs over k in order, whatever the tile's
 * size, so that the way in which tiles are cut and shared out never shows in the bits.
 */

#define WIDTH ((int64_t)(sizeof(VEC) / sizeof(ACC)))
#define VECTORS (BYTES == 64 ? 4 : 2) /* of a panel: with TILE_ROWS, what the registers hold */
#define PANEL (WIDTH * VECTORS)
#define HIGHER(j, h) ((j) & (h) ? WIDTH + (j) - (h) : (j))
#define LOWER(j, h) (((j) & (h) ? WIDTH + (j) : (j) + (h)) % (2 * WIDTH))
/* A stage that a short vector lacks must compile, too. */
#define STAGE(h)                                                             \
    for (int64_t i = 0; i < WIDTH && (h) < WIDTH; i++)                       \
        if (!(i & (h))) {                                                    \
            VEC low = x[i], high = x[(i + (h)) % WIDTH];                     \
            x[i] = SHUFFLE(low, high, MASK, EACH(HIGHER, h));                \
            x[(i + (h)) % WIDTH] = SHUFFLE(low, high, MASK, EACH(LOWER, h)); \
        }

/* A square of vectors, turned in place: each stage swaps blocks of twice the side. */
INLINE void FN(turn_square)(VEC *x)
{
    STAGE(1)
    STAGE(2)
    STAGE(4)
    STAGE(8)
}

INLINE VEC FN(take)(const void *p)
{
    VEC v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void FN(put)(void *p, VEC v) { memcpy(p, &v, sizeof v); }

/* The first n values of a row, as whole units; those past n are 0. */
INLINE VEC FN(some_along)(const char *p, int64_t n, int64_t type)
{
    if (n >= WIDTH * PER)
        return ALONG(p, type);
    char padded[WIDTH * PER * 8] = {0};
    if (n > 0)
        memcpy(padded, p, (size_t)(n * bytes_of(type)));
    return ALONG(padded, type);
}

INLINE VEC FN(some_across)(const char *p, const char *second, int64_t n, int64_t type)
{
    if (n >= WIDTH)
        return ACROSS(p, second, type);
    char padded[2][WIDTH * 8] = {{0}};
    memcpy(padded[0], p, (size_t)(n * bytes_of(type)));
    if (second)
        memcpy(padded[1], second, (size_t)(n * bytes_of(type)));
    return ACROSS(padded[0], second ? padded[1] : NULL, type);
}

/* Rows of k values to rows of units, padded to whole vectors. */
static void FN(along)(char *to, int64_t to_row, const char *from, int64_t from_row, int64_t rows, int64_t k,
                      int64_t type)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < k; i += WIDTH * PER)
            FN(put)(to + row * to_row + i / PER * (int64_t)sizeof(UNIT),
                      FN(some_along)(from + row * from_row + i * bytes_of(type), k - i, type));
}

/* k rows of n values to rows of n units, one for each PER rows. */
static void FN(across)(char *to, int64_t to_row, const char *from, int64_t from_k, int64_t k, int64_t n, int64_t type)
{
    for (int64_t i = 0; i < k; i += PER) {
        const char *p = from + i * from_k, *second = PER > 1 && i + 1 < k ? p + from_k : NULL;
        for (int64_t j = 0; j < n; j += WIDTH)
            FN(put)(to + i / PER * to_row + j * (int64_t)sizeof(UNIT),
                      FN(some_across)(p + j * bytes_of(type), second ? second + j * bytes_of(type) : NULL, n - j, type));
    }
}

/* n rows of k values to rows of n units, one for each PER values. */
static void FN(turn)(char *to, int64_t to_row, const char *from, int64_t from_row, int64_t k, int64_t n, int64_t type)
{
    for (int64_t i = 0; i < k; i += WIDTH * PER)
        for (int64_t j = 0; j < n; j += WIDTH) {
            VEC x[WIDTH];
            const char *p = from + j * from_row + i * bytes_of(type);
            int64_t rows = least(WIDTH, n - j), units = least(WIDTH, (k - i + PER - 1) / PER);
            for (int64_t row = 0; row < WIDTH; row++)
                x[row] = row < rows ? FN(some_along)(p + row * from_row, k - i, type) : (VEC){0};
            FN(turn_square)(x);
            for (int64_t unit = 0; unit < units; unit++)
                FN(put)(to + (i / PER + unit) * to_row + j * (int64_t)sizeof(UNIT), x[unit]);
        }
}

/* As across, of values that lie anyhow. */
static void FN(pick)(char *to, int64_t to_row, const char *from, int64_t from_k, int64_t from_n, int64_t k, int64_t n,
                     int64_t type)
{
    for (int64_t i = 0; i < k; i += PER)
        for (int64_t j = 0; j < n; j++) {
            char pair[PER * 8] = {0};
            for (int64_t l = 0; l < PER && i + l < k; l++)
                memcpy(pair + l * bytes_of(type), from + (i + l) * from_k + j * from_n, (size_t)bytes_of(type));
            VEC v = FN(some_along)(pair, PER, type);
            memcpy(to + i / PER * to_row + j * (int64_t)sizeof(UNIT), &v, sizeof(UNIT));
        }
}

/* Of a constant size, so that the sums stay in registers. With `raw`, Q is read as given and packed in passing. */
INLINE void FN(tile)(int64_t rows, int64_t vectors, int64_t raw, int64_t raw_type, const struct gemm_tile *t)
{
    VEC sums[TILE_ROWS][VECTORS];
    const char *p = t->p, *q = t->q, *ahead = t->ahead;
    const char *from_raw = t->raw;
    char *packed = t->packed;
    const int64_t raw_k = t->raw_k, ahead_k = t->ahead_k, p_row = t->p_row, p_k = t->p_k, q_k = t->q_k;
#pragma GCC unroll 8
    for (int64_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int64_t v = 0; v < vectors; v++)
            sums[r][v] = (VEC){0};
    for (int64_t i = t->units; i > 0; i--, p += p_k, q += q_k, ahead += ahead_k) {
        VEC row[VECTORS];
        __builtin_prefetch(ahead, 0, 2);
#pragma GCC unroll 8
        for (int64_t v = 0; v < vectors; v++)
            if (raw) {
                const char *first = from_raw + v * WIDTH * bytes_of(raw_type);
                row[v] = ACROSS(first, first + raw_k, raw_type);
                FN(put)(packed + v * (int64_t)sizeof(VEC), row[v]);
            } else
                row[v] = FN(take)(q + v * (int64_t)sizeof(VEC));
        from_raw += PER * raw_k;
        packed += q_k;
#pragma GCC unroll 8
        for (int64_t r = 0; r < rows; r++) {
            VEC each = SPLAT(p + r * p_row);
#pragma GCC unroll 8
            for (int64_t v = 0; v < vectors; v++)
                sums[r][v] = MADD(each, row[v], sums[r][v]);
        }
    }
    const char *from = t->from;
    char *to = t->to;
    const int64_t from_row = t->from_row, to_row = t->to_row;
    if (from)
#pragma GCC unroll 8
        for (int64_t r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int64_t v = 0; v < vectors; v++)
                sums[r][v] += FN(take)(from + r * from_row + v * (int64_t)sizeof(VEC));
    if (PER > 1 && t->to_bf16) {
#pragma GCC unroll 8
        for (int64_t r = 0; r < rows; r++)
#pragma GCC unroll 8
            for (int64_t v = 0; v < vectors; v++)
                ROUND((uint16_t *)(to + r * to_row + v * WIDTH * 2), sums[r][v]);
        return;
    }
#pragma GCC unroll 8
    for (int64_t r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int64_t v = 0; v < vectors; v++)
            FN(put)(to + r * to_row + v * (int64_t)sizeof(VEC), sums[r][v]);
}

#define TILE(rows, vectors) \
    static void FN(tile_##rows##_##vectors)(const struct gemm_tile *t) { FN(tile)(rows, vectors, 0, 0, t); }
#define TILES(vectors) \
    TILE(1, vectors) TILE(2, vectors) TILE(3, vectors) TILE(4, vectors) TILE(5, vectors) TILE(6, vectors)
#define NAMES(vectors)                                                                                      \
    {                                                                                                       \
        FN(tile_1_##vectors), FN(tile_2_##vectors), FN(tile_3_##vectors), FN(tile_4_##vectors), FN(tile_5_##vectors), \
            FN(tile_6_##vectors)                                                                            \
    }
TILES(1)
TILES(2)
#if BYTES == 64
TILES(3)
TILES(4)
#endif

static void FN(packing_tile)(const struct gemm_tile *t) { FN(tile)(TILE_ROWS, VECTORS, 1, RAW_TYPE, t); }
static void FN(rounding_tile)(const struct gemm_tile *t) { FN(tile)(TILE_ROWS, VECTORS, 1, F32, t); }

/* n sums of one row of C, with bias and what was in C, rounded to C's type. */
INLINE void FN(finish_row)(const ACC *sums, const ACC *bias, char *c, int64_t n, const struct gemm_finish *f)
{
    int64_t j = 0, size = bytes_of(f->c_type);
    for (; j + WIDTH <= n && (f->c_type == ACC_TYPE || f->c_type == 2); j += WIDTH) {
        VEC v = FN(take)(sums + j);
        if (bias)
            v += FN(take)(bias + j);
        if (f->accumulate)
            v += READ(c + j * size, f->c_type);
        if (f->c_type == ACC_TYPE)
            FN(put)(c + j * size, v);
        else
            ROUND((uint16_t *)(c + j * size), v);
    }
    for (; j < n; j++) {
        ACC sum = sums[j] + (bias ? bias[j] : 0);
        double old = f->accumulate ? value_of(c + j * size, f->c_type) : 0;
        if (f->accumulate && f->c_type != 0)
            sum += (ACC)old;
        put_value(c + j * size, f->c_type, f->accumulate && f->c_type == 0 ? old + (double)sum : (double)sum);
    }
}

/* Sums that were put aside, rows of a panel, to C: its rows, or where the roles were swapped its columns. */
static void FN(finish)(const struct gemm_finish *f)
{
    const ACC *sums = (const ACC *)f->sums, *bias = (const ACC *)f->bias;
    int64_t size = bytes_of(f->c_type);
    if (!f->turned) {
        for (int64_t row = 0; row < f->rows; row++)
            FN(finish_row)(sums + row * PANEL, bias, f->c + row * f->c_row, f->columns, f);
        return;
    }
    for (int64_t i = 0; i < f->rows; i += WIDTH)
        for (int64_t j = 0; j < f->columns; j += WIDTH) {
            VEC x[WIDTH];
            for (int64_t row = 0; row < WIDTH; row++)
                x[row] = FN(take)(sums + (i + row) * PANEL + j);
            FN(turn_square)(x);
            for (int64_t row = 0; row < WIDTH && j + row < f->columns; row++)
                FN(finish_row)((const ACC *)&x[row], bias ? bias + i : NULL, f->c + (j + row) * f->c_row + i * size,
                               least(WIDTH, f->rows - i), f);
        }
}

static const struct product_loops FN(product_loops) = {
    sizeof(UNIT), sizeof(ACC), PER, ACC_TYPE, WIDTH, VECTORS, FN(along), FN(across), FN(turn), FN(pick), FN(finish),
    RAW_TYPE, FN(packing_tile), PER == 2 ? FN(rounding_tile) : NULL,
#if BYTES == 64
    {NAMES(1), NAMES(2), NAMES(3), NAMES(4)},
#else
    {NAMES(1), NAMES(2)},
#endif
};

#undef WIDTH
#undef PANEL
#undef HIGHER
#undef LOWER
#undef STAGE
#undef TILE
#undef TILES
#undef NAMES
#undef FN
#undef ACC
#undef VEC
#undef UNIT
#undef PER
#undef VECTORS
#undef SPLAT
#undef MADD
#undef ALONG
#undef ACROSS
#undef READ
#undef ROUND
#undef ACC_TYPE
#undef RAW_TYPE
#undef MASK
#undef EACH
