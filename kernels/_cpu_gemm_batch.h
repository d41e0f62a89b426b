/* Several matrix products of one shape: gemm_batch(...) for Python.
 *
 * Each thread runs products of its own from end to end, so that none waits for another in between; only where the
 * shares do not come out even is a product cut, between rows of C. A cut shows in no bit: see _cpu_gemm_loops.h.
 */

struct gemm_batch {
    struct gemm first;
    int64_t count, a_step, b_step, c_step; /* in bytes: from product to product */
    char *scratch;
    int64_t need; /* bytes of scratch memory of each thread */
};

/* Rows [row, end) of C alone. */
static struct gemm some_rows(const struct gemm *g, int64_t row, int64_t end)
{
    struct gemm some = *g;
    some.m = end - row;
    some.a += row * g->a_row * size_of(g->a_type);
    some.c += row * g->c_row * size_of(g->c_type);
    return some;
}

static struct product planned_product(const struct gemm *g)
{
    struct product w = {.loops = product_loops(g->compute)};
    plan_roles(&w, g);
    plan_memory(&w, 1);
    return w;
}

/* What one of `size` threads does: with `use`, or to find out how much scratch memory it needs. */
static int64_t batch_part(const struct gemm_batch *batch, int64_t rank, int64_t size, char *use)
{
    int64_t m = batch->first.m, groups = blocks_of(m, GEMM_GROUP), need = 0;
    int64_t at = share(batch->count * groups, rank, size), end = share(batch->count * groups, rank + 1, size);
    while (at < end) {
        int64_t number = at / groups, group = at % groups, last = least(groups, group + end - at);
        struct gemm g = some_rows(&batch->first, group * GEMM_GROUP, least(m, last * GEMM_GROUP));
        g.a += number * batch->a_step;
        g.b += number * batch->b_step;
        g.c += number * batch->c_step;
        struct product w = planned_product(&g);
        need = need > w.own_size ? need : w.own_size;
        w.own = use;
        if (use)
            run_product(&w, 0, 1);
        at += last - group;
    }
    return need;
}

static void run_batch_part(void *shared)
{
    const struct gemm_batch *batch = shared;
    int64_t rank = team_rank();
    batch_part(batch, rank, team_size(), batch->scratch + rank * batch->need);
}

static int batch_run(struct gemm_batch *batch, int64_t threads)
{
    const struct gemm *g = &batch->first;
    if (batch->count == 0 || g->m == 0 || g->n == 0)
        return 1;
    if (threads < 1 || !team_start || batch->count * g->m * g->n * g->k < GEMM_WORTH_SPLIT)
        threads = 1;
    for (int64_t rank = 0; rank < threads; rank++) {
        int64_t need = batch_part(batch, rank, threads, NULL);
        batch->need = batch->need > need ? batch->need : need;
    }
    batch->scratch = gemm_scratch_of(threads * batch->need);
    if (!batch->scratch)
        return 0;
    if (threads == 1)
        batch_part(batch, 0, 1, batch->scratch);
    else
        team_start(run_batch_part, batch, (unsigned)threads, 0);
    gemm_scratch_done();
    return 1;
}

static PyObject *cpu_gemm_batch(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    struct gemm_batch batch = {.first = {.a_type = F32, .b_type = F32, .c_type = F32, .compute = 1}};
    struct gemm *g = &batch.first;
    g->a = address(&from);
    batch.a_step = whole(&from) * size_of(F32);
    g->a_row = whole(&from);
    g->a_col = whole(&from);
    g->b = address(&from);
    batch.b_step = whole(&from) * size_of(F32);
    g->b_row = whole(&from);
    g->b_col = whole(&from);
    g->c = address(&from);
    batch.c_step = whole(&from) * size_of(F32);
    g->c_row = whole(&from);
    batch.count = whole(&from);
    g->m = whole(&from);
    g->n = whole(&from);
    g->k = whole(&from);
    g->accumulate = whole(&from);
    int64_t threads = whole(&from);
    if (!read_all(&from))
        return NULL;
    if (!batch_run(&batch, threads))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}
