/* The loops of every op for one element type at one vector width.
 *
 * Included by _cpu_level.h with these set: FN(name), ELEM (stored), ACC (computed), VEC (a vector of ACC),
 * LANES (accumulators of a sum, the same at every width), LOAD(p), STORE(p, v), STREAM(p, v)
 * and the constants and byte loops that gather uses.
 * A sum runs over LANES accumulators in index order and adds them pairwise, so its bits depend neither on
 * the vector width nor on the number of threads. A tail is copied to a padded vector: no second formula.
 */

#define WIDTH ((int64_t)(sizeof(VEC) / sizeof(ACC)))
#define CHAINS (LANES / WIDTH)
#define REST(n, i) ((size_t)((n) - (i)) * sizeof(ELEM))

static double FN(add_lanes)(const VEC *chains)
{
    ACC lanes[LANES];
    memcpy(lanes, chains, sizeof lanes);
    for (int64_t half = LANES / 2; half > 0; half /= 2)
        for (int64_t j = 0; j < half; j++)
            lanes[j] += lanes[j + half];
    return (double)lanes[0];
}

static double FN(sum_squares)(const void *source, int64_t n)
{
    const ELEM *x = source;
    VEC chains[CHAINS] = {{0}};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int64_t c = 0; c < CHAINS; c++) {
            VEC v = LOAD(x + i + c * WIDTH);
            chains[c] += v * v;
        }
    if (i < n) {
        ELEM rest[LANES] = {0};
        memcpy(rest, x + i, REST(n, i));
        for (int64_t c = 0; c < CHAINS; c++) {
            VEC v = LOAD(rest + c * WIDTH);
            chains[c] += v * v;
        }
    }
    return FN(add_lanes)(chains);
}

static double FN(sum_differences)(const void *first, const void *second, int64_t n)
{
    const ELEM *a = first, *b = second;
    VEC chains[CHAINS] = {{0}};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int64_t c = 0; c < CHAINS; c++)
            chains[c] += MAGNITUDE(LOAD(a + i + c * WIDTH) - LOAD(b + i + c * WIDTH));
    if (i < n) {
        ELEM rest_a[LANES] = {0}, rest_b[LANES] = {0};
        memcpy(rest_a, a + i, REST(n, i));
        memcpy(rest_b, b + i, REST(n, i));
        for (int64_t c = 0; c < CHAINS; c++)
            chains[c] += MAGNITUDE(LOAD(rest_a + c * WIDTH) - LOAD(rest_b + c * WIDTH));
    }
    return FN(add_lanes)(chains);
}

/* The gradient of |a - b|, scaled: 0 where they are equal or either is NaN, as PyTorch has it. */
static void FN(signs)(const void *first, const void *second, void *target, double scale, int64_t n, int stream)
{
    const ELEM *a = first, *b = second;
    ELEM *out = target;
    const VEC c = (VEC){0} + (ACC)scale;
    int64_t i = 0;
#define SIGNED(x, y) (SELECT(x > y, c) - SELECT(x < y, c))
    if (stream)
        for (; i + WIDTH <= n; i += WIDTH) {
            VEC x = LOAD(a + i), y = LOAD(b + i);
            STREAM(out + i, SIGNED(x, y));
        }
    for (; i + WIDTH <= n; i += WIDTH) {
        VEC x = LOAD(a + i), y = LOAD(b + i);
        STORE(out + i, SIGNED(x, y));
    }
    if (i < n) {
        ELEM rest_a[WIDTH] = {0}, rest_b[WIDTH] = {0}, rest_out[WIDTH];
        memcpy(rest_a, a + i, REST(n, i));
        memcpy(rest_b, b + i, REST(n, i));
        VEC x = LOAD(rest_a), y = LOAD(rest_b);
        STORE(rest_out, SIGNED(x, y));
        memcpy(out + i, rest_out, REST(n, i));
    }
#undef SIGNED
}

static void FN(mix)(const void *first, const void *second, void *target, double weight, int64_t n, int stream)
{
    const ELEM *real = first, *fake = second;
    ELEM *out = target;
    const ACC t = (ACC)weight;
    int64_t i = 0;
    if (stream)
        for (; i + WIDTH <= n; i += WIDTH) {
            VEC base = LOAD(fake + i);
            STREAM(out + i, base + t * (LOAD(real + i) - base));
        }
    for (; i + WIDTH <= n; i += WIDTH) {
        VEC base = LOAD(fake + i);
        STORE(out + i, base + t * (LOAD(real + i) - base));
    }
    if (i < n) {
        ELEM rest_real[WIDTH] = {0}, rest_fake[WIDTH] = {0}, rest_out[WIDTH];
        memcpy(rest_real, real + i, REST(n, i));
        memcpy(rest_fake, fake + i, REST(n, i));
        VEC base = LOAD(rest_fake);
        STORE(rest_out, base + t * (LOAD(rest_real) - base));
        memcpy(out + i, rest_out, REST(n, i));
    }
}

static void FN(scale)(const void *source, void *target, double factor, int64_t n, int stream)
{
    const ELEM *x = source;
    ELEM *out = target;
    const ACC c = (ACC)factor;
    int64_t i = 0;
    if (stream)
        for (; i + WIDTH <= n; i += WIDTH)
            STREAM(out + i, LOAD(x + i) * c);
    for (; i + WIDTH <= n; i += WIDTH)
        STORE(out + i, LOAD(x + i) * c);
    if (i < n) {
        ELEM rest_x[WIDTH] = {0}, rest_out[WIDTH];
        memcpy(rest_x, x + i, REST(n, i));
        STORE(rest_out, LOAD(rest_x) * c);
        memcpy(out + i, rest_out, REST(n, i));
    }
}

/* x / 127.5 - 1 of n bytes. x - 127.5 has 8 bits and NORM_HIGH few enough, so one product is exact and the
 * sum is rounded once: the bits of (x - 127.5) / 127.5 without a division (a test tries all 256). */
static void FN(normalise)(const uint8_t *x, void *target, int64_t n, int stream)
{
    ELEM *out = target;
    int64_t i = 0;
#define NORMALISED(d) ((d) * (ACC)NORM_HIGH + (d) * (ACC)NORM_LOW)
    if (stream)
        for (; i + WIDTH <= n; i += WIDTH) {
            VEC d = LOAD_BYTES(x + i) - (ACC)127.5;
            STREAM(out + i, NORMALISED(d));
        }
    for (; i + WIDTH <= n; i += WIDTH) {
        VEC d = LOAD_BYTES(x + i) - (ACC)127.5;
        STORE(out + i, NORMALISED(d));
    }
    if (i < n) {
        uint8_t rest[WIDTH] = {0};
        ELEM rest_out[WIDTH];
        memcpy(rest, x + i, (size_t)(n - i));
        VEC d = LOAD_BYTES(rest) - (ACC)127.5;
        STORE(rest_out, NORMALISED(d));
        memcpy(out + i, rest_out, REST(n, i));
    }
#undef NORMALISED
}

static const struct loops FN(loops) = {
    sizeof(ELEM),  FN(sum_squares), FN(sum_differences), FN(signs),
    FN(mix),       FN(scale),       FN(normalise),       ARRANGED,
};

#undef WIDTH
#undef CHAINS
#undef REST
#undef FN
#undef ELEM
#undef ACC
#undef VEC
#undef LANES
#undef LOAD
#undef STORE
#undef STREAM
#undef LOAD_BYTES
#undef MAGNITUDE
#undef SELECT
#undef NORM_HIGH
#undef NORM_LOW
#undef ARRANGED
