/* l1_terms: up to eight pairs of any sizes and types as one list of blocks. */

#define MOST_PAIRS 8

struct pair {
    const struct loops *loops;
    const char *a, *b;
    char *to_a, *to_b;
    int64_t elements, first; /* first: its first block in the list */
    double factor;           /* weight / elements, times the outer gradient in the backward */
};

struct pairs {
    struct job job;
    struct pair pair[MOST_PAIRS];
    int64_t count, block;
    double *partial; /* NULL in the backward */
    int64_t total;
};

static void run_pairs(const struct job *job, int64_t begin, int64_t end)
{
    const struct pairs *w = (const struct pairs *)job;
    int64_t k = 0;
    for (int64_t item = begin; item < end; item++) {
        while (k + 1 < w->count && item >= w->pair[k + 1].first)
            k++;
        const struct pair *p = &w->pair[k];
        int64_t from = (item - p->first) * w->block, n = least(w->block, p->elements - from);
        size_t skip = (size_t)from * p->loops->size;
        const char *a = p->a + skip, *b = p->b + skip;
        if (w->partial) {
            w->partial[item] = p->loops->sum_differences(a, b, n);
            continue;
        }
        if (p->to_a)
            p->loops->signs(a, b, p->to_a + skip, p->factor, n, streams(w->total, p->to_a + skip));
        if (p->to_b)
            p->loops->signs(b, a, p->to_b + skip, p->factor, n, streams(w->total, p->to_b + skip));
    }
    drain();
}

static void append_pair(struct pairs *w, struct pair *p, int64_t elements, int64_t type, double factor)
{
    p->elements = elements;
    p->loops = loops_of(type);
    p->factor = factor;
    p->first = w->job.items;
    w->job.items += blocks_of(elements, w->block);
    w->job.run = run_pairs;
    w->total += elements * (int64_t)p->loops->size;
}

static int read_pairs(struct pairs *w, struct reader *from, int backward)
{
    while (from->left > 0 && w->count < MOST_PAIRS && !PyErr_Occurred()) {
        struct pair *p = &w->pair[w->count++];
        p->a = address(from);
        p->b = address(from);
        if (backward) {
            p->to_a = address(from);
            p->to_b = address(from);
        }
        int64_t elements = whole(from), type = whole(from);
        append_pair(w, p, elements, type & 3, number(from));
    }
    return read_all(from);
}

/* The weighted sums without the GIL; 0 where memory ran out. */
static int sum_pairs(struct pairs *w, void *out, int64_t wide, int64_t threads)
{
    w->partial = malloc((size_t)w->job.items * sizeof *w->partial + 1);
    if (!w->partial)
        return 0;
    Py_BEGIN_ALLOW_THREADS
    run_job(&w->job, 2 * w->total, threads);
    for (int64_t k = 0; k < w->count; k++) {
        double sum = 0;
        for (int64_t item = w->pair[k].first; item < (k + 1 < w->count ? w->pair[k + 1].first : w->job.items); item++)
            sum += w->partial[item];
        if (wide)
            ((double *)out)[k] = sum * w->pair[k].factor;
        else
            ((float *)out)[k] = (float)(sum * w->pair[k].factor);
    }
    Py_END_ALLOW_THREADS
    free(w->partial);
    return 1;
}

static PyObject *cpu_l1_terms(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    void *out = address(&from);
    int64_t wide = whole(&from), threads = whole(&from);
    struct pairs w = {.block = SUM_BLOCK};
    if (!read_pairs(&w, &from, 0))
        return NULL;
    if (!sum_pairs(&w, out, wide, threads))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *cpu_l1_terms_grad(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    const void *slopes = address(&from);
    int64_t wide = whole(&from), threads = whole(&from);
    struct pairs w = {.block = MAP_BLOCK};
    if (!read_pairs(&w, &from, 1))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    for (int64_t k = 0; k < w.count; k++)
        w.pair[k].factor *= wide ? ((const double *)slopes)[k] : (double)((const float *)slopes)[k];
    run_job(&w.job, 3 * w.total, threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}
