/* Matrix products for small batches: gemm_run.
 *
 * Inside, the product is R = P Q. P is read in place, a value at a time, where it has the type that is multiplied;
 * Q is packed into panels a few vectors wide. Either R is C, or, where B would have to be turned to be packed and A
 * is smaller, the roles are swapped: R is C turned, Q is A turned, and big weights are read where they lie.
 */

#define GEMM_LONGEST 1024       /* units of k in a packed panel, which then takes a quarter of a second cache */
#define GEMM_STRETCH 192        /* units of k that are summed in one go, about as many as in PyTorch's libraries */
#define GEMM_GROUP 48           /* rows whose sums are put aside together: whole tiles, and whole squares to turn */
#define GEMM_SMALL_Q 524288     /* bytes of Q that are packed at once, as long as they stay in a second cache */
#define GEMM_SMALL_P 262144     /* bytes of P's copy that each thread makes for itself */
#define GEMM_WORTH_SPLIT 400000 /* multiplications below which waking threads costs more than they save */
#define GEMM_KEPT 67108864      /* bytes of scratch memory kept between calls */

struct gemm_operand {
    const char *at;
    int64_t row, k, type; /* in bytes: from row to row of P or column to column of Q, and along k */
};

struct product {
    const struct product_loops *loops;
    struct gemm_operand source, p, q;      /* P as given and as read, which differ where it is copied; Q as given */
    struct gemm_finish finish;             /* what all parts of C have in common */
    int64_t rows, columns, k, units;  /* of R, and along k in values and in what is multiplied at once */
    int64_t panel, panels;            /* columns of a panel, and how many there are */
    int64_t copied, whole;            /* whether P is copied, and all of Q packed before it is used */
    int64_t together;                 /* whether the threads make P's copy or pack Q together, each a part */
    char *ready, *own;                /* that copy or those panels, and what each thread has for itself: */
    int64_t own_size, aside, partial; /* its size, where sums lie before they are finished or go on, */
    int64_t rows_copy, own_ready;     /* P's rows in use, and `ready` where it is not made together */
};

static char *gemm_scratch;
static int64_t gemm_scratch_size;

/* Scratch memory from a cache line's start, what it held being lost; NULL where there is none. */
static char *gemm_scratch_of(int64_t size)
{
    if (size > gemm_scratch_size) {
        free(gemm_scratch);
        gemm_scratch = malloc((size_t)size + 64);
        gemm_scratch_size = gemm_scratch ? size : 0;
    }
    return gemm_scratch ? gemm_scratch + (64 - (uintptr_t)gemm_scratch % 64) % 64 : NULL;
}

/* After a product: much is not kept. */
static void gemm_scratch_done(void)
{
    if (gemm_scratch_size > GEMM_KEPT) {
        free(gemm_scratch);
        gemm_scratch = NULL;
        gemm_scratch_size = 0;
    }
}

static int64_t up_to(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/* A thread's share of n things. */
static int64_t share(int64_t n, int64_t rank, int64_t size) { return n * rank / size; }

/* `units` of Q's panel from `first` on. */
static void pack_panel(const struct product *w, int64_t panel, int64_t first, int64_t units, char *to)
{
    const struct product_loops *l = w->loops;
    int64_t from = first * l->per, k = least(w->k - from, units * l->per);
    int64_t n = least(w->panel, w->columns - panel * w->panel), to_row = w->panel * l->unit;
    const char *at = w->q.at + panel * w->panel * w->q.row + from * w->q.k;
    if (w->q.row == bytes_of(w->q.type))
        l->across(to, to_row, at, w->q.k, k, n, w->q.type);
    else if (w->q.k == bytes_of(w->q.type))
        l->turn(to, to_row, at, w->q.row, k, n, w->q.type);
    else
        l->pick(to, to_row, at, w->q.k, w->q.row, k, n, w->q.type);
}

/* Some of P's rows, converted: to rows of units where they are contiguous, else to rows of P's columns. */
static void copy_rows(const struct product *w, int64_t row, int64_t rows, char *to)
{
    const struct product_loops *l = w->loops;
    const struct gemm_operand *p = &w->source;
    const char *at = p->at + row * p->row;
    if (p->k == bytes_of(p->type))
        l->along(to, w->p.row, at, p->row, rows, w->k, p->type);
    else if (p->row == bytes_of(p->type))
        l->across(to, w->p.k, at, p->k, w->k, rows, p->type);
    else
        l->pick(to, w->p.k, at, p->k, p->row, w->k, rows, p->type);
}

/* A part of all of P's copy, in whole vectors. */
static void copy_share(const struct product *w, int64_t rank, int64_t size, char *to)
{
    int64_t vectors = blocks_of(w->rows, w->loops->width), row = share(vectors, rank, size) * w->loops->width;
    int64_t end = least(w->rows, share(vectors, rank + 1, size) * w->loops->width);
    if (row < end)
        copy_rows(w, row, end - row, to + row * w->p.row);
}

/* A part of all of Q's panels. */
static void pack_share(const struct product *w, int64_t rank, int64_t size, char *to)
{
    int64_t step = 4 * w->loops->width, steps = blocks_of(w->units, step), items = w->panels * steps;
    for (int64_t item = share(items, rank, size); item < share(items, rank + 1, size); item++) {
        int64_t panel = item / steps, first = item % steps * step, row = w->panel * w->loops->unit;
        pack_panel(w, panel, first, least(step, w->units - first), to + (panel * w->units + first) * row);
    }
}

/* Whether tiles may write this panel of C themselves. */
static int is_direct(const struct product *w, int64_t columns)
{
    const struct gemm_finish *f = &w->finish;
    int rounds = f->c_type == BF16 && w->loops->per > 1 && w->units <= GEMM_STRETCH && !f->accumulate;
    return !f->turned && (f->c_type == w->loops->acc_type || rounds) && columns % w->loops->width == 0 &&
           !(f->bias && f->accumulate);
}

/* Where a thread is: which units of which panel, and what it will need next. */
struct gemm_part {
    const struct product *w;
    char *own;
    const char *p, *q; /* P's first row, and Q's panel */
    int64_t panel, first, units;
    char *partial;     /* sums over the units before `first` */
    const char *raw;   /* the panel as given, for a first tile that packs it in passing: */
    void (*packing)(const struct gemm_tile *); /* or NULL, where it is packed already */
    const char *ahead; /* what to bring nearer meanwhile: P's rows or Q's panel, as given; or NULL */
};

/* What the tile-th tile brings nearer, one line a unit: some rows of P, or one of the lines that make a unit of Q. */
static void look_ahead(const struct gemm_part *part, int64_t tile, struct gemm_tile *t)
{
    const struct product *w = part->w;
    int64_t per = w->loops->per, lines = w->panel * bytes_of(w->q.type) / 64;
    t->ahead = t->q;
    if (w->p.row == w->loops->unit) { /* each of k's rows is a line of its own, which the next tiles go on with */
        t->ahead = t->p + 64;
        t->ahead_k = t->p_k;
    }
    if (part->ahead && w->whole) {
        t->ahead = part->ahead + tile * TILE_ROWS * w->source.row;
        t->ahead_k = TILE_ROWS * w->source.row / w->units;
    } else if (part->ahead && tile < per * lines) {
        t->ahead = part->ahead + tile % per * w->q.k + tile / per * 64;
        t->ahead_k = per * w->q.k;
    }
}

/* A tile, in stretches of k: the longer a sum runs, the more its roundings add up. */
static void run_tile(struct gemm_tile *t, const struct product_loops *l, void (*run)(const struct gemm_tile *))
{
    int64_t left = t->units, step = left ? blocks_of(left, blocks_of(left, GEMM_STRETCH)) : 0;
    do {
        t->units = least(step, left);
        run(t);
        t->p += t->units * t->p_k;
        t->q += t->units * t->q_k;
        t->packed += t->raw ? t->units * t->q_k : 0;
        t->raw += t->raw ? t->units * l->per * t->raw_k : 0;
        t->ahead += t->units * t->ahead_k;
        t->from = t->to;
        t->from_row = t->to_row;
        left -= t->units;
    } while (left > 0);
}

/* `rows` rows of one panel, at most GEMM_GROUP of them; `tile` counts the tiles before. */
static void run_group(const struct gemm_part *part, int64_t row, int64_t rows, int64_t tile)
{
    const struct product *w = part->w;
    const struct product_loops *l = w->loops;
    int64_t column = part->panel * w->panel, columns = least(w->panel, w->columns - column);
    int64_t ends = part->first + part->units == w->units, direct = ends && part->first == 0 && is_direct(w, columns);
    struct gemm_finish f = w->finish;
    f.rows = rows;
    f.columns = columns;
    f.c += f.turned ? column * f.c_row + row * bytes_of(f.c_type) : row * f.c_row + column * bytes_of(f.c_type);
    if (f.bias)
        f.bias += (f.turned ? row : column) * l->acc;
    f.sums = part->own + w->aside;
    for (int64_t i = 0; i < rows; i += TILE_ROWS, tile++) {
        char *partial = part->partial + tile * TILE_ROWS * w->panel * l->acc;
        struct gemm_tile t = {.p_row = w->p.row, .p_k = w->p.k, .q_k = w->panel * l->unit, .q = part->q};
        t.units = part->units;
        t.p = part->p + i * w->p.row + part->first * w->p.k;
        t.to_row = t.from_row = w->panel * l->acc;
        t.from = part->first ? partial : NULL;
        t.to = ends ? part->own + w->aside + i * t.to_row : partial;
        if (direct) {
            t.to = f.c + i * f.c_row;
            t.to_row = f.c_row;
            t.to_bf16 = f.c_type == BF16;
            t.from = f.accumulate ? t.to : f.bias;
            t.from_row = f.accumulate ? f.c_row : 0;
        }
        look_ahead(part, tile, &t);
        int packs = tile == 0 && part->packing;
        if (packs) {
            t.raw = part->raw;
            t.raw_k = w->q.k;
            t.packed = part->own;
        }
        void (*const *sizes)(const struct gemm_tile *) = l->tile[blocks_of(columns, l->width) - 1];
        run_tile(&t, l, packs ? part->packing : sizes[least(TILE_ROWS, rows - i) - 1]);
    }
    if (ends && !direct)
        l->finish(&f);
}

/* A thread's part where all of Q is packed: some rows, all panels. P's rows are copied as they are needed. */
static void run_all_panels(const struct product *w, int64_t rank, int64_t size, char *own, const char *ready)
{
    int64_t end = share(w->rows, rank + 1, size), panel_size = w->units * w->panel * w->loops->unit;
    struct gemm_part part = {.w = w, .own = own, .units = w->units, .partial = own};
    for (int64_t row = share(w->rows, rank, size); row < end; row += GEMM_GROUP) {
        part.p = w->p.at + row * w->p.row;
        part.q = ready;
        if (w->copied) {
            copy_rows(w, row, least(GEMM_GROUP, end - row), own + w->rows_copy);
            part.p = own + w->rows_copy;
        }
        int64_t more = w->copied && w->source.k == bytes_of(w->source.type) && row + 2 * GEMM_GROUP <= end;
        part.ahead = more ? w->source.at + (row + GEMM_GROUP) * w->source.row : NULL;
        for (part.panel = 0; part.panel < w->panels; part.panel++, part.q += panel_size) {
            run_group(&part, row, least(GEMM_GROUP, end - row), 0);
            part.ahead = NULL;
        }
    }
}

/* Some units of a panel of Q as they lie, where they and all columns are there. */
static const char *units_ahead(const struct product *w, int64_t panel, int64_t first, int64_t units)
{
    if (w->q.row != bytes_of(w->q.type) || (first + units) * w->loops->per > w->k || (panel + 1) * w->panel > w->columns)
        return NULL;
    return w->q.at + panel * w->panel * w->q.row + first * w->loops->per * w->q.k;
}

/* A thread's part where it packs what it needs itself: some panels, all rows, and of the first and last some. */
static void run_panels(const struct product *w, int64_t rank, int64_t size, char *own, const char *ready)
{
    int64_t vectors = blocks_of(w->columns, w->loops->width), most = w->panel / w->loops->width;
    int64_t begin = share(vectors * w->rows, rank, size), end = share(vectors * w->rows, rank + 1, size);
    struct gemm_part part = {.w = w, .own = own, .q = own, .partial = own + w->partial};
    void (*packing)(const struct gemm_tile *) = w->q.type == w->loops->raw_type ? w->loops->packing_tile
                                           : w->q.type == F32              ? w->loops->rounding_tile
                                                                           : NULL;
    for (part.panel = begin / (most * w->rows); part.panel < w->panels; part.panel++) {
        int64_t before = part.panel * most * w->rows, here = least(most, vectors - part.panel * most);
        int64_t row = begin > before ? (begin - before) / here : 0;
        int64_t last = end - before < here * w->rows ? (end - before) / here : w->rows;
        if (last <= 0)
            return;
        for (part.first = 0; row < last && (part.first == 0 || part.first < w->units); part.first += GEMM_LONGEST) {
            int64_t next = part.first + GEMM_LONGEST;
            part.units = least(GEMM_LONGEST, w->units - part.first);
            part.raw = units_ahead(w, part.panel, part.first, part.units);
            part.packing = part.raw && last - row >= TILE_ROWS ? packing : NULL;
            if (!part.packing)
                pack_panel(w, part.panel, part.first, part.units, own);
            part.ahead = next < w->units ? units_ahead(w, part.panel, next, least(part.units, w->units - next))
                                         : units_ahead(w, part.panel + 1, 0, part.units);
            for (int64_t i = row; i < last; i += GEMM_GROUP) {
                part.p = (w->copied ? ready : w->p.at) + i * w->p.row;
                run_group(&part, i, least(GEMM_GROUP, last - i), (i - row) / TILE_ROWS);
            }
        }
    }
}

/* What is made ready together must wait for the slowest and then crosses from one core's cache to another's, which
 * costs more than making a little of it twice. */
static void run_product(const struct product *w, int64_t rank, int64_t size)
{
    char *own = w->own + rank * w->own_size, *ready = w->together ? w->ready : own + w->own_ready;
    int64_t part = w->together ? rank : 0, parts = w->together ? size : 1;
    if (w->whole)
        pack_share(w, part, parts, ready);
    else if (w->copied)
        copy_share(w, part, parts, ready);
    if (parts > 1)
        pool_wait();
    if (w->whole)
        run_all_panels(w, rank, size, own, ready);
    else
        run_panels(w, rank, size, own, ready);
}

static void run_product_part(void *shared) { run_product(shared, pool_rank(), pool_size()); }

/* The roles: what is read in place and what is packed. */
static void plan_roles(struct product *w, const struct gemm *g)
{
    const struct product_loops *l = w->loops;
    int64_t rounded = g->compute == 2 && l->raw_type != BF16 ? ROUNDED : 0; /* pairs are rounded anyway */
    struct gemm_operand a = {g->a, g->a_row, g->a_col, g->a_type}, b = {g->b, g->b_col, g->b_row, g->b_type};
    /* A few columns would leave most of a vector idle. */
    int64_t turned = (g->b_col != 1 && g->n > g->m) || (2 * g->n <= l->width && g->m >= l->width);
    w->source = turned ? b : a;
    w->q = turned ? a : b;
    struct gemm_operand *each[] = {&w->source, &w->q};
    for (int i = 0; i < 2; i++) {
        each[i]->row *= bytes_of(each[i]->type);
        each[i]->k *= bytes_of(each[i]->type);
        each[i]->type |= each[i]->type == BF16 ? 0 : rounded;
    }
    w->rows = turned ? g->n : g->m;
    w->columns = turned ? g->m : g->n;
    w->k = g->k;
    w->units = blocks_of(g->k, l->per);
    w->panel = l->width * l->vectors;
    w->panels = blocks_of(w->columns, w->panel);
    w->finish = (struct gemm_finish){.c = g->c, .c_row = g->c_row * bytes_of(g->c_type), .c_type = g->c_type};
    w->finish.turned = turned;
    w->finish.accumulate = g->accumulate;
    w->p = w->source;
    w->p.k *= l->per;
    w->copied = w->p.type != l->raw_type || (l->per > 1 && (w->source.k != 2 || w->k % 2));
}

/* What is made ready, by whom, and where; returns the bytes of what is made together. */
static int64_t plan_memory(struct product *w, int64_t threads)
{
    const struct product_loops *l = w->loops;
    int64_t row = w->panel * l->unit, packed = w->panels * w->units * row, copy = 0;
    w->whole = w->units <= GEMM_LONGEST && packed <= GEMM_SMALL_Q && 2 * w->rows >= w->columns;
    int64_t rows = w->whole ? GEMM_GROUP : w->rows;
    if (w->copied && w->source.k == bytes_of(w->source.type)) {
        w->p.k = l->unit;
        w->p.row = (up_to(w->units, l->width) + l->width) * l->unit; /* no power of two, which one set would hold */
        copy = up_to(rows * w->p.row, 64);
    } else if (w->copied) {
        w->p.row = l->unit;
        w->p.k = (up_to(rows, l->width) + l->width) * l->unit;
        copy = w->units * w->p.k;
    }
    int64_t ready = w->whole ? packed : copy;
    int64_t much = w->whole ? w->rows < 64 * threads : w->columns < 128 * threads || copy > GEMM_SMALL_P;
    w->together = threads > 1 && ready && much;
    w->aside = w->whole ? 0 : least(GEMM_LONGEST, w->units) * row;
    w->partial = w->aside + GEMM_GROUP * w->panel * l->acc;
    w->rows_copy = w->partial + (w->units > GEMM_LONGEST ? w->rows * w->panel * l->acc : 0);
    w->own_ready = w->rows_copy + (w->whole ? copy : 0);
    w->own_size = up_to(w->own_ready + (w->together ? 0 : ready), 4096) + 64;
    return w->together ? ready : 0;
}

int gemm_run(const struct gemm *g, int64_t threads)
{
    if (g->m == 0 || g->n == 0)
        return 1;
    threads = g->m * g->n * g->k < GEMM_WORTH_SPLIT ? 1 : pool_team(threads);
    struct product w = {.loops = product_loops(g->compute)};
    plan_roles(&w, g);
    int64_t ready = plan_memory(&w, threads), bias = g->bias ? up_to(g->n * w.loops->acc, 64) : 0;
    char *at = gemm_scratch_of(bias + ready + threads * w.own_size);
    if (!at)
        return 0;
    for (int64_t i = 0; g->bias && i < g->n; i++) {
        double value = value_of(g->bias + i * bytes_of(g->bias_type), g->bias_type);
        put_value(at + i * w.loops->acc, w.loops->acc_type, value);
    }
    w.finish.bias = g->bias ? at : NULL;
    w.ready = at + bias;
    w.own = w.ready + ready;
    if (threads == 1)
        run_product(&w, 0, 1);
    else
        pool_run(run_product_part, &w, threads);
    gemm_scratch_done();
    return 1;
}
