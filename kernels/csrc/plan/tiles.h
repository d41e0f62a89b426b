/* Elementwise steps and sums of a plan, tile by tile, for one element type at one vector width.
 *
 * Included by plan/level.h with FN(name), ELEM, VEC, LANES, LOAD(p), and the
 * functions EXP, TANH, SIGMOID, LOG, LOG1P and SQRT of one element set. What a tile is stands in plan/plan.c.
 * The loops are plain, for the compiler to make vectors of; a sum keeps LANES accumulators in index order and
 * adds them pairwise, so that its bits do not depend on the vector width.
 */

/* x and y go on by one element, or stay: a row, a column or one number against a tile. */
#define PAIRS(formula)                        \
    if (step_a && step_b)                     \
        EACH(x = a[j]; y = b[j], formula)     \
    else if (step_a) {                        \
        y = *b;                               \
        EACH(x = a[j], formula)               \
    } else {                                  \
        x = *a;                               \
        if (step_b)                           \
            EACH(y = b[j], formula)           \
        else {                                \
            y = *b;                           \
            EACH((void)0, formula)            \
        }                                     \
    }                                         \
    break
#define EACH(take, formula)                 \
    for (int64_t j = 0; j < n; j++) {       \
        take;                               \
        d[j] = (formula);                   \
    }
#define SINGLES(formula)                       \
    for (int64_t j = 0; j < n; j++) {          \
        ELEM x = a[j * step_a];                \
        d[j] = (formula);                      \
    }                                          \
    break

static void FN(binary)(int64_t op, ELEM *d, const ELEM *a, int64_t step_a, const ELEM *b, int64_t step_b, int64_t n)
{
    ELEM x, y;
    switch (op) {
    case OP_ADD: PAIRS(x + y);
    case OP_SUB: PAIRS(x - y);
    case OP_MUL: PAIRS(x * y);
    case OP_DIV: PAIRS(x / y);
    case OP_MAX: PAIRS((x > y) | (x != x) ? x : y);
    case OP_MIN: PAIRS((x < y) | (x != x) ? x : y);
    case OP_EQ: PAIRS((ELEM)(x == y));
    case OP_NE: PAIRS((ELEM)(x != y));
    case OP_LT: PAIRS((ELEM)(x < y));
    case OP_LE: PAIRS((ELEM)(x <= y));
    case OP_GT: PAIRS((ELEM)(x > y));
    case OP_GE: PAIRS((ELEM)(x >= y));
    }
}

static void FN(unary)(int64_t op, ELEM *d, const ELEM *a, int64_t step_a, int64_t n)
{
    switch (op) {
    case OP_COPY: SINGLES(x);
    case OP_NEG: SINGLES(-x);
    case OP_ABS: SINGLES(x < 0 ? -x : x == 0 ? 0 : x);
    case OP_SIGN: SINGLES((ELEM)((x > 0) - (x < 0)));
    case OP_EXP: SINGLES(EXP(x));
    case OP_TANH: SINGLES(TANH(x));
    case OP_SIGMOID: SINGLES(SIGMOID(x));
    case OP_LOG: SINGLES(LOG(x));
    case OP_LOG1P: SINGLES(LOG1P(x));
    case OP_SQRT: SINGLES(SQRT(x));
    case OP_RSQRT: SINGLES(1 / SQRT(x));
    case OP_RECIPROCAL: SINGLES(1 / x);
    }
}

/* b where a is above 0, c elsewhere. */
static void FN(choose)(ELEM *d, const ELEM *a, int64_t step_a, const ELEM *b, int64_t step_b, const ELEM *c,
                       int64_t step_c, int64_t n)
{
    if (step_a && step_b && step_c)
        for (int64_t j = 0; j < n; j++)
            d[j] = a[j] > 0 ? b[j] : c[j];
    else
        for (int64_t j = 0; j < n; j++)
            d[j] = a[j * step_a] > 0 ? b[j * step_b] : c[j * step_c];
}

static ELEM FN(total)(const ELEM *x, int64_t n)
{
    VEC chains[LANES * sizeof(ELEM) / sizeof(VEC)] = {{0}};
    const int64_t width = sizeof(VEC) / sizeof(ELEM), count = LANES / width;
    ELEM rest[LANES] = {0}, lanes[LANES];
    for (int64_t i = 0; i < n; i += LANES) {
        if (n - i < LANES)
            memcpy(rest, x + i, (size_t)(n - i) * sizeof(ELEM));
        const ELEM *from = n - i < LANES ? rest : x + i;
        for (int64_t c = 0; c < count; c++)
            chains[c] += LOAD(from + c * width);
    }
    memcpy(lanes, chains, sizeof lanes);
    for (int64_t half = LANES / 2; half > 0; half /= 2)
        for (int64_t j = 0; j < half; j++)
            lanes[j] += lanes[j + half];
    return lanes[0];
}

static ELEM FN(largest)(const ELEM *x, int64_t n)
{
    ELEM most = x[0];
    for (int64_t j = 1; j < n; j++)
        most = x[j] > most || x[j] != x[j] ? x[j] : most;
    return most;
}

static void FN(tile_fetch)(ELEM *d, const char *p, int64_t stride, int64_t type, int64_t n)
{
#define TAKEN(kind, value)                              \
    {                                                   \
        const kind *from = (const kind *)(const void *)p; \
        if (stride == 1)                                \
            for (int64_t j = 0; j < n; j++) {           \
                kind x = from[j];                       \
                d[j] = (ELEM)(value);                   \
            }                                           \
        else                                            \
            for (int64_t j = 0; j < n; j++) {           \
                kind x = from[j * stride];              \
                d[j] = (ELEM)(value);                   \
            }                                           \
    }                                                   \
    break
    switch (type) {
    case F64: TAKEN(double, x);
    case F32: TAKEN(float, x);
    case BF16: TAKEN(uint16_t, wide_bf16(x));
    case I64: TAKEN(int64_t, x);
    case BOOL: TAKEN(uint8_t, x != 0);
    }
#undef TAKEN
}

static void FN(tile_put)(char *p, int64_t stride, int64_t type, const ELEM *a, int64_t step_a, int64_t n)
{
#define GIVEN(kind, value)                          \
    {                                               \
        kind *to = (kind *)(void *)p;               \
        if (stride == 1 && step_a == 1)             \
            for (int64_t j = 0; j < n; j++) {       \
                ELEM x = a[j];                      \
                to[j] = (kind)(value);              \
            }                                       \
        else                                        \
            for (int64_t j = 0; j < n; j++) {       \
                ELEM x = a[j * step_a];             \
                to[j * stride] = (kind)(value);     \
            }                                       \
    }                                               \
    break
    switch (type) {
    case F64: GIVEN(double, x);
    case F32: GIVEN(float, x);
    case BF16: GIVEN(uint16_t, narrow_bf16((float)x));
    case I64: GIVEN(int64_t, x);
    case BOOL: GIVEN(uint8_t, x != 0);
    }
#undef GIVEN
}

/* How far a register goes on from one row of the result to the next, and within a row. */
static int64_t FN(tile_down)(const struct view *v, int64_t shape) { return shape != SHAPE_TILE ? 0 : v->shape == SHAPE_TILE ? v->ld : v->shape == SHAPE_ROWS; }
static int64_t FN(tile_along)(const struct view *v, int64_t shape)
{
    return v->shape == SHAPE_TILE || v->shape == SHAPE_COLUMNS || (v->shape == SHAPE_ROWS && shape == SHAPE_ROWS);
}

static int FN(tile_whole)(const struct view *v, int64_t columns)
{
    return v->shape == SHAPE_SCALAR || (v->shape == SHAPE_TILE && v->ld == columns);
}

static void FN(elementwise)(const int64_t *in, const struct view *views, int64_t rows, int64_t columns)
{
    const int64_t op = in[0];
    const struct view *d = &views[in[1]], *a = &views[in[2]];
    const struct view *b = in[3] < 0 ? a : &views[in[3]], *c = in[4] < 0 ? a : &views[in[4]];
    int64_t times = d->shape == SHAPE_TILE ? rows : 1;
    int64_t n = d->shape == SHAPE_ROWS ? rows : d->shape == SHAPE_SCALAR ? 1 : columns;
    if (times > 1 && d->ld == columns && FN(tile_whole)(a, columns) && FN(tile_whole)(b, columns) && FN(tile_whole)(c, columns)) {
        n *= times;
        times = 1;
    }
    const int64_t down_a = FN(tile_down)(a, d->shape), down_b = FN(tile_down)(b, d->shape), down_c = FN(tile_down)(c, d->shape);
    const int64_t step_a = FN(tile_along)(a, d->shape), step_b = FN(tile_along)(b, d->shape), step_c = FN(tile_along)(c, d->shape);
    for (int64_t i = 0; i < times; i++) {
        ELEM *to = (ELEM *)(void *)d->p + i * d->ld;
        const ELEM *x = (const ELEM *)(const void *)a->p + i * down_a, *y = (const ELEM *)(const void *)b->p + i * down_b;
        if (op < OP_UNARY_END)
            FN(unary)(op, to, x, step_a, n);
        else if (op < OP_BINARY_END)
            FN(binary)(op, to, x, step_a, y, step_b, n);
        else
            FN(choose)(to, x, step_a, y, step_b, (const ELEM *)(const void *)c->p + i * down_c, step_c, n);
    }
}

/* Between registers and memory of any type and strides; `v` is the memory's side. */
static void FN(transfer)(const int64_t *in, const struct view *views, int64_t rows, int64_t columns)
{
    const int loads = in[0] == OP_LOAD;
    const struct view *v = &views[loads ? in[2] : in[1]], *own = &views[loads ? in[1] : in[2]];
    int64_t times = v->shape == SHAPE_TILE ? rows : 1;
    int64_t n = v->shape == SHAPE_ROWS ? rows : v->shape == SHAPE_SCALAR ? 1 : columns;
    int64_t stride = v->shape == SHAPE_ROWS ? v->ld : v->along;
    const int64_t down = FN(tile_down)(own, v->shape), along = FN(tile_along)(own, v->shape);
    if (times > 1 && v->ld == columns && stride == 1 && FN(tile_whole)(own, columns) && own->shape == SHAPE_TILE) {
        n *= times;
        times = 1;
    }
    for (int64_t i = 0; i < times; i++) {
        char *p = v->p + i * v->ld * v->size;
        ELEM *mine = (ELEM *)(void *)own->p + i * down;
        if (loads)
            FN(tile_fetch)(mine, p, stride, v->type, n);
        else
            FN(tile_put)(p, stride, v->type, mine, along, n);
    }
}

static void FN(sum_rows)(ELEM *d, const struct view *a, int64_t rows, int64_t columns)
{
    const ELEM *x = (const ELEM *)(const void *)a->p;
    memcpy(d, x, (size_t)columns * sizeof(ELEM));
    for (int64_t i = 1; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            d[j] += x[i * a->ld + j];
}

static void FN(reduce)(const int64_t *in, const struct view *views, int64_t rows, int64_t columns)
{
    const struct view *a = &views[in[2]];
    ELEM *d = (ELEM *)(void *)views[in[1]].p;
    const ELEM *x = (const ELEM *)(const void *)a->p;
    if (in[0] == OP_SUM_ROWS)
        FN(sum_rows)(d, a, rows, columns);
    else if (in[0] == OP_SUM_COLUMNS)
        for (int64_t i = 0; i < rows; i++)
            d[i] = FN(total)(x + i * a->ld, columns);
    else if (in[0] == OP_MAX_COLUMNS)
        for (int64_t i = 0; i < rows; i++)
            d[i] = FN(largest)(x + i * a->ld, columns);
    else { /* OP_SUM_ALL */
        ELEM sum = 0;
        const int64_t times = a->shape == SHAPE_TILE ? rows : 1;
        for (int64_t i = 0; i < times; i++)
            sum += FN(total)(x + i * a->ld, a->shape == SHAPE_ROWS ? rows : a->shape == SHAPE_SCALAR ? 1 : columns);
        *d = sum;
    }
}

static void FN(run_tile)(const int64_t *code, int64_t count, const struct view *views, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < count; i++, code += INSTRUCTION) {
        if (code[0] < OP_TERNARY_END)
            FN(elementwise)(code, views, rows, columns);
        else if (code[0] < OP_TRANSFER_END)
            FN(transfer)(code, views, rows, columns);
        else
            FN(reduce)(code, views, rows, columns);
    }
}

#undef PAIRS
#undef EACH
#undef SINGLES
#undef FN
#undef ELEM
#undef VEC
#undef LANES
#undef LOAD
#undef EXP
#undef TANH
#undef SIGMOID
#undef LOG
#undef LOG1P
#undef SQRT
