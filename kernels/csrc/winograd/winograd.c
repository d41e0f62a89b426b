/* Winograd's transforms: planes of pixels or filters to matrices, one for each point, and back.
 *
 * The products in between are the caller's. The matrices lie `apart` numbers apart: pixels as [points][channels][images
 * tiles], filters as [points][pairs of channels]. An item is a chunk of tiles, or a whole plane where overlapping tiles
 * are added up, so that the order of the sums does not depend on who works.
 */

#include "winograd/transform.h"

#define WINOGRAD_TILE 4                                 /* pixels of an output tile, each way */
#define WINOGRAD_SPAN (WINOGRAD_TILE + 2)               /* of an input tile */
#define WINOGRAD_POINTS (WINOGRAD_SPAN * WINOGRAD_SPAN) /* products that a tile takes */
#define WINOGRAD_CHUNK 64                               /* tiles given out at once: they stay in the first cache */
#define WINOGRAD_ROOM (WINOGRAD_CHUNK + 16)             /* of a row of the stage: whole vectors run over its end */

enum way { TAKE, PUT, ADD };

typedef float quad __attribute__((vector_size(16)));
#if defined(__clang__)
#define SHUFFLE_QUADS(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t quad_of_int __attribute__((vector_size(16)));
#define SHUFFLE_QUADS(a, b, ...) __builtin_shuffle(a, b, (quad_of_int){__VA_ARGS__})
#endif

#define AT_LEVEL "winograd/loops.h"
#include "common/each_level.h"

static const winograd_work *const winograd_levels[] = BY_LEVEL(winograd);

static void run_winograd(const struct job *job, int64_t begin, int64_t end)
{
    const struct winograd *w = (const struct winograd *)job;
    int64_t area = w->height * w->width;
    for (int64_t item = begin; item < end; item++) {
        int64_t plane = w->whole_planes ? item : item / w->chunks, chunk = w->whole_planes ? 0 : item % w->chunks;
        int64_t last = w->whole_planes ? w->chunks : chunk + 1;
        int64_t image = plane % w->images, channel = plane / w->images; /* as the points lie */
        float *pixels = w->plain + (image * w->channels + channel) * area, *points = w->points + plane * w->tiles;
        if (w->whole_planes)
            memset(pixels, 0, (size_t)area * sizeof(float));
        for (; chunk < last; chunk++) {
            int64_t first = chunk * WINOGRAD_CHUNK;
            w->work(w, pixels, points + first, first, least(WINOGRAD_CHUNK, w->tiles - first));
        }
    }
}

static PyObject *cpu_winograd(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct winograd w = {0};
    int64_t transform, threads;
    if (!read_transform((struct reader){args, count}, &w, &transform, &threads))
        return NULL;
    w.work = winograd_levels[current_level][transform];
    w.tiles = w.down * w.across;
    w.chunks = blocks_of(w.tiles, WINOGRAD_CHUNK);
    w.whole_planes = transform == INPUT_TRANSPOSED;
    w.job.run = run_winograd;
    w.job.items = w.images * w.channels * (w.whole_planes ? 1 : w.chunks);
    Py_BEGIN_ALLOW_THREADS
    run_job(&w.job, w.apart * WINOGRAD_POINTS * (int64_t)sizeof(float), threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

METHODS({FAST(winograd),
         "winograd(transform, plain, points, n, C, H, W, padding, tiles down, tiles across, apart, threads)"})
CONSTANTS({"WINOGRAD_TILE", WINOGRAD_TILE}, {"WINOGRAD_POINTS", WINOGRAD_POINTS}, {"INPUT", INPUT},
          {"INPUT_TRANSPOSED", INPUT_TRANSPOSED}, {"OUTPUT", OUTPUT}, {"OUTPUT_TRANSPOSED", OUTPUT_TRANSPOSED},
          {"FILTER", FILTER}, {"FILTER_TRANSPOSED", FILTER_TRANSPOSED})
