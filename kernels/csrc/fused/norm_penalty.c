/* norm_penalty: how far the norms of samples are from a target, and the gradient of the mean square of that. */
#if !defined(FN)

#include "common/extension.h"
#include "common/rows.h"

#include <math.h>

#define AT_TYPE "fused/norm_penalty.c"
#include "common/each_type.h"

static double (*const sums[][FLOATS])(const void *, int64_t) = BY_LEVEL_AND_TYPE(sum_squares);
static const row_loop scales[][FLOATS] = BY_LEVEL_AND_TYPE(scale);

struct norms {
    struct job job;
    double (*sum)(const void *, int64_t);
    const char *grad;
    double *partial;
    int64_t samples, elements, size, blocks;
};

static void run_norms(const struct job *job, int64_t begin, int64_t end)
{
    const struct norms *w = (const struct norms *)job;
    for (int64_t item = begin; item < end; item++) {
        int64_t sample = item / w->blocks, from = item % w->blocks * SUM_BLOCK;
        const char *x = w->grad + (sample * w->elements + from) * w->size;
        w->partial[item] = w->sum(x, least(SUM_BLOCK, w->elements - from));
    }
}

/* How much a norm counts for; a NaN stays one. */
static double excess(double norm, double target, int64_t one_sided)
{
    double over = norm - target;
    return one_sided && over < 0 ? 0 : over;
}

/* The norms as the outputs hold them, and their mean penalty. */
static void finish_norms(const struct norms *w, void *norms, void *penalty, double target, int64_t one_sided, int wide)
{
    double sum = 0;
    for (int64_t i = 0; i < w->samples; i++) {
        double square = 0;
        for (int64_t b = 0; b < w->blocks; b++)
            square += w->partial[i * w->blocks + b];
        double norm = sqrt(square);
        put_wide(norms, i, wide, norm);
        double over = excess(norm, target, one_sided);
        sum += over * over;
    }
    put_wide(penalty, 0, wide, sum / (w->samples ? (double)w->samples : 1));
}

static PyObject *cpu_norm_penalty(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    struct norms w = {.grad = address(&from)};
    void *norms = address(&from), *penalty = address(&from);
    w.samples = whole(&from);
    w.elements = whole(&from);
    double target = number(&from);
    int64_t one_sided = whole(&from), type = float_type(whole(&from)), threads = whole(&from);
    if (!read_all(&from))
        return NULL;
    w.sum = sums[current_level][type];
    w.size = size_of(type);
    w.blocks = blocks_of(w.elements, SUM_BLOCK);
    w.job.run = run_norms;
    w.job.items = w.samples * w.blocks;
    w.partial = malloc((size_t)w.job.items * sizeof *w.partial + 1);
    if (!w.partial)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    run_job(&w.job, w.samples * w.elements * w.size, threads);
    finish_norms(&w, norms, penalty, target, one_sided, type == F64);
    Py_END_ALLOW_THREADS
    free(w.partial);
    Py_RETURN_NONE;
}

static PyObject *cpu_norm_penalty_grad(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    struct rows w = {.first = address(&from)};
    const void *norms = address(&from), *slope = address(&from);
    w.out = address(&from);
    w.samples = whole(&from);
    w.elements = whole(&from);
    double target = number(&from);
    int64_t one_sided = whole(&from), type = float_type(whole(&from)), threads = whole(&from);
    if (!read_all(&from))
        return NULL;
    double *factors = malloc((size_t)w.samples * sizeof *factors + 1);
    if (!factors)
        return PyErr_NoMemory();
    w.loop = scales[current_level][type];
    w.size = size_of(type);
    w.factors = factors;
    Py_BEGIN_ALLOW_THREADS
    double outer = get_wide(slope, 0, type == F64);
    for (int64_t i = 0; i < w.samples; i++) {
        double norm = get_wide(norms, i, type == F64);
        double over = excess(norm, target, one_sided);
        factors[i] = norm == 0 ? 0 : outer * 2 * over / ((double)w.samples * norm);
    }
    work_rows(&w, threads);
    Py_END_ALLOW_THREADS
    free(factors);
    Py_RETURN_NONE;
}

METHODS({FAST(norm_penalty), "norm_penalty(grad, norms, penalty, n, m, target, one_sided, type, threads)"},
        {FAST(norm_penalty_grad),
         "norm_penalty_grad(grad, norms, slope, out, n, m, target, one_sided, type, threads)"})

#else /* for one element type at one vector width */

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

static void FN(scale)(const void *source, const void *unused, void *target, double factor, int64_t n, int stream)
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

#endif
