/* Matrix products for Python: gemm(...), and gemm_batch(...) of several of one shape.
 *
 * Of a batch each thread runs products of its own from end to end, so that none waits for another in between; only
 * where the shares do not come out even is a product cut, between rows of C. A cut shows in no bit: see
 * gemm/loops.h.
 */

#include "common/blocks.h"
#include "common/extension.h"
#include "common/thread_pool.h"
#include "gemm/gemm.h"
#include "gemm/types.h"

#define AT_LEVEL "gemm/level.h"
#include "common/each_level.h"

#if defined(HAVE_PAIRS)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
#endif
#define LV(name) name##_avx512
#define BYTES 64
#include "gemm/pairs.h"
#undef LV
#undef BYTES
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

/* By level and what is computed in; without instructions for bf16 it is multiplied as floats. */
static const struct product_loops *const products[][3] = {
    {&product_loops_f64_baseline, &product_loops_f32_baseline, &product_loops_f32_baseline},
#if defined(__x86_64__)
    {&product_loops_f64_avx2, &product_loops_f32_avx2, &product_loops_f32_avx2},
    {&product_loops_f64_avx512, &product_loops_f32_avx512, &product_loops_f32_avx512},
#endif
#if defined(HAVE_PAIRS)
    {&product_loops_f64_avx512, &product_loops_f32_avx512, &product_loops_pairs_avx512},
#endif
};

static const struct product_loops *product_loops(int64_t compute) { return products[current_level][compute]; }

#include "gemm/product.h"

static PyObject *cpu_gemm(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    struct gemm g = {.a = address(&from)};
    g.a_row = whole(&from);
    g.a_col = whole(&from);
    g.a_type = whole(&from);
    g.b = address(&from);
    g.b_row = whole(&from);
    g.b_col = whole(&from);
    g.b_type = whole(&from);
    g.c = address(&from);
    g.c_row = whole(&from);
    g.c_type = whole(&from);
    g.bias = address(&from);
    g.bias_type = whole(&from);
    g.m = whole(&from);
    g.n = whole(&from);
    g.k = whole(&from);
    g.compute = whole(&from);
    g.accumulate = whole(&from);
    int64_t threads = whole(&from);
    if (!read_all(&from))
        return NULL;
    const int64_t codes[] = {g.a_type, g.b_type, g.c_type, g.bias_type, g.compute};
    for (int i = 0; i < 5; i++)
        if (codes[i] < 0 || codes[i] > 2)
            return PyErr_Format(PyExc_ValueError, "gemm: a type or what to compute in is %lld, not 0, 1 or 2",
                                (long long)codes[i]);
    if (!gemm_run(&g, threads))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

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

/* What one of `size` threads does. */
static void run_batch(const struct gemm_batch *batch, int64_t rank, int64_t size)
{
    int64_t m = batch->first.m, groups = blocks_of(m, GEMM_GROUP);
    int64_t at = share(batch->count * groups, rank, size), end = share(batch->count * groups, rank + 1, size);
    while (at < end) {
        int64_t number = at / groups, group = at % groups, last = least(groups, group + end - at);
        struct gemm g = some_rows(&batch->first, group * GEMM_GROUP, least(m, last * GEMM_GROUP));
        g.a += number * batch->a_step;
        g.b += number * batch->b_step;
        g.c += number * batch->c_step;
        struct product w = planned_product(&g);
        w.own = batch->scratch + rank * batch->need;
        run_product(&w, 0, 1);
        at += last - group;
    }
}

static void run_batch_part(void *shared) { run_batch(shared, pool_rank(), pool_size()); }

/* The scratch memory of the part of a product that needs most, wherever it is cut: there may be fewer threads than
 * asked. */
static int64_t most_needed(const struct gemm *g)
{
    int64_t most = 0;
    for (int64_t row = 0; row < g->m; row += GEMM_GROUP) {
        struct gemm parts[] = {some_rows(g, row, g->m), some_rows(g, 0, least(g->m, row + GEMM_GROUP))};
        for (int i = 0; i < 2; i++) {
            int64_t need = planned_product(&parts[i]).own_size;
            most = most > need ? most : need;
        }
    }
    return most;
}

static int batch_run(struct gemm_batch *batch, int64_t threads)
{
    const struct gemm *g = &batch->first;
    if (batch->count == 0 || g->m == 0 || g->n == 0)
        return 1;
    threads = batch->count * g->m * g->n * g->k < GEMM_WORTH_SPLIT ? 1 : pool_team(threads);
    batch->need = most_needed(g);
    batch->scratch = gemm_scratch_of(threads * batch->need);
    if (!batch->scratch)
        return 0;
    if (threads == 1)
        run_batch(batch, 0, 1);
    else
        pool_run(run_batch_part, batch, threads);
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

METHODS({FAST(gemm),
         "gemm(a, a_row, a_col, a_type, b, b_row, b_col, b_type, c, c_row, c_type, bias, bias_type, m, n, k, compute, "
         "accumulate, threads)"},
        {FAST(gemm_batch),
         "gemm_batch(a, a_step, a_row, a_col, b, b_step, b_row, b_col, c, c_step, c_row, count, m, n, k, accumulate, "
         "threads) of float32"})
