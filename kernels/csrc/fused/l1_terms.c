/* l1_terms: up to eight pairs of any sizes and types as one list of blocks. */
#if !defined(FN)

#include "common/blocks.h"
#include "common/extension.h"
#include "common/numbers.h"
#include "common/thread_pool.h"

#define AT_TYPE "fused/l1_terms.c"
#include "common/each_type.h"

#define MOST_PAIRS 8

struct pair {
    const char *a, *b;
    char *to_a, *to_b;
    int64_t elements, type, size, first; /* size: of an element, in bytes; first: its first block in the list */
    double factor;           /* weight / elements, times the outer gradient in the backward */
};

struct pairs {
    struct job job;
    struct pair pair[MOST_PAIRS];
    int64_t count, block;
    double *partial; /* NULL in the backward */
    int64_t total;
};

typedef double (*difference_loop)(const void *, const void *, int64_t);
typedef void (*sign_loop)(const void *, const void *, void *, double, int64_t, int);

static const difference_loop differences[][FLOATS] = BY_LEVEL_AND_TYPE(sum_differences);
static const sign_loop signs[][FLOATS] = BY_LEVEL_AND_TYPE(signs);

static void write_signs(const struct pairs *w, const struct pair *p, const char *a, const char *b, char *out, int64_t n)
{
    int64_t head = head_of(n, w->total, out, p->size), skip = head * p->size;
    signs[current_level][p->type](a, b, out, p->factor, head, 0);
    if (head < n)
        signs[current_level][p->type](a + skip, b + skip, out + skip, p->factor, n - head, 1);
}

static void run_pairs(const struct job *job, int64_t begin, int64_t end)
{
    const struct pairs *w = (const struct pairs *)job;
    int64_t k = 0;
    for (int64_t item = begin; item < end; item++) {
        while (k + 1 < w->count && item >= w->pair[k + 1].first)
            k++;
        const struct pair *p = &w->pair[k];
        int64_t from = (item - p->first) * w->block, n = least(w->block, p->elements - from);
        int64_t skip = from * p->size;
        const char *a = p->a + skip, *b = p->b + skip;
        if (w->partial) {
            w->partial[item] = differences[current_level][p->type](a, b, n);
            continue;
        }
        if (p->to_a)
            write_signs(w, p, a, b, p->to_a + skip, n);
        if (p->to_b)
            write_signs(w, p, b, a, p->to_b + skip, n);
    }
    drain();
}

static void append_pair(struct pairs *w, struct pair *p, int64_t elements, int64_t type, double factor)
{
    p->elements = elements;
    p->type = float_type(type);
    p->size = size_of(p->type);
    p->factor = factor;
    p->first = w->job.items;
    w->job.items += blocks_of(elements, w->block);
    w->job.run = run_pairs;
    w->total += elements * p->size;
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
        append_pair(w, p, elements, type, number(from));
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
        put_wide(out, k, wide, sum * w->pair[k].factor);
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
        w.pair[k].factor *= get_wide(slopes, k, wide);
    run_job(&w.job, 3 * w.total, threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

METHODS({FAST(l1_terms), "l1_terms(out, double, threads, *(a, b, n, type, factor))"},
        {FAST(l1_terms_grad), "l1_terms_grad(slopes, double, threads, *(a, b, to_a, to_b, n, type, factor))"})

#else /* for one element type at one vector width */

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

#endif
