/* Elementwise ops with one factor a sample: interpolate, and the gradient of norm_penalty. */

#include "common/blocks.h"
#include "common/numbers.h"
#include "common/thread_pool.h"

/* n elements of one sample; `second` is NULL where an op has one input; `stream` passes the caches by. */
typedef void (*row_loop)(const void *first, const void *second, void *out, double factor, int64_t n, int stream);

struct rows {
    struct job job;
    row_loop loop;
    const char *first, *second;
    char *out;
    const double *factors;
    int64_t samples, elements, size; /* size: of an element, in bytes */
    int64_t blocks, total;
};

static void run_row(const struct rows *w, int64_t skip, double factor, int64_t n, int stream)
{
    w->loop(w->first + skip, w->second ? w->second + skip : NULL, w->out + skip, factor, n, stream);
}

static void run_rows(const struct job *job, int64_t begin, int64_t end)
{
    const struct rows *w = (const struct rows *)job;
    for (int64_t item = begin; item < end; item++) {
        int64_t sample = item / w->blocks, from = item % w->blocks * MAP_BLOCK;
        int64_t n = least(MAP_BLOCK, w->elements - from), skip = (sample * w->elements + from) * w->size;
        int64_t head = head_of(n, w->total, w->out + skip, w->size);
        run_row(w, skip, w->factors[sample], head, 0);
        if (head < n)
            run_row(w, skip + head * w->size, w->factors[sample], n - head, 1);
    }
    drain();
}

static void work_rows(struct rows *w, int64_t threads)
{
    w->blocks = blocks_of(w->elements, MAP_BLOCK);
    w->job.run = run_rows;
    w->job.items = w->samples * w->blocks;
    w->total = w->samples * w->elements * w->size;
    run_job(&w->job, (w->second ? 3 : 2) * w->total, threads);
}
