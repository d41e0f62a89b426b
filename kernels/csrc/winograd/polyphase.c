/* Winograd's transforms of strided convolutions: polyphase(...) for Python.
 *
 * A convolution of 4x4 windows with stride 2 is four of 2x2 windows, one for each phase: every second row and column
 * from the first or the second on. The products in between are the caller's.
 */

#include "winograd/transform.h"

#define PHASE_TILE 4                                     /* pixels of an output tile, each way */
#define PHASE_SPAN (PHASE_TILE + 1)                      /* pixels of one phase that it takes */
#define PHASE_POINTS (PHASE_SPAN * PHASE_SPAN)           /* products that a tile takes of each phase */
#define PHASE_LINE 16                                    /* channels are whole lines of so many */
#define PHASE_WINDOW (2 * PHASE_SPAN)                    /* pixels of the input that a tile takes, each way */

/* points: [PHASE_POINTS] of [tiles or filters][phases][channels]. */

#define AT_LEVEL "winograd/polyphase_loops.h"
#include "common/each_level.h"

static const polyphase_work *const polyphase_levels[] = BY_LEVEL(polyphase);

static void run_polyphase(const struct job *job, int64_t begin, int64_t end)
{
    const struct winograd *w = (const struct winograd *)job;
    for (int64_t unit = begin; unit < end; unit++)
        w->each(w, unit);
}

static PyObject *cpu_polyphase(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct winograd w = {0};
    int64_t transform, threads;
    if (!read_transform((struct reader){args, count}, &w, &transform, &threads))
        return NULL;
    if (w.channels % PHASE_LINE)
        return PyErr_Format(PyExc_ValueError, "polyphase: %lld channels are no whole lines", (long long)w.channels);
    int whole_units = transform == INPUT_TRANSPOSED || transform >= FILTER;
    w.each = polyphase_levels[current_level][transform];
    w.job.run = run_polyphase;
    w.job.items = whole_units ? w.images : w.images * w.down;
    Py_BEGIN_ALLOW_THREADS
    run_job(&w.job, w.apart * PHASE_POINTS * (int64_t)sizeof(float), threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

METHODS({FAST(polyphase),
         "polyphase(transform, plain, points, n, C, H, W, padding, tiles down, tiles across, apart, threads)"})
CONSTANTS({"PHASE_TILE", PHASE_TILE}, {"PHASE_POINTS", PHASE_POINTS}, {"PHASE_LINE", PHASE_LINE})
