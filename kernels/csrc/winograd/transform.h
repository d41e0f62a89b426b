/* What a transform of Winograd's algorithm works on: F(4x4,3x3), and F(4x4,2x2) on each of the four phases of a
 * strided convolution.
 */

#include "common/blocks.h"
#include "common/extension.h"
#include "common/thread_pool.h"

enum transform { INPUT, INPUT_TRANSPOSED, OUTPUT, OUTPUT_TRANSPOSED, FILTER, FILTER_TRANSPOSED };

struct winograd;
/* From plain to points or back: `tiles` tiles, the first of which is the plane's number `first` and stands at points. */
typedef void (*winograd_work)(const struct winograd *, float *plain, float *points, int64_t first, int64_t tiles);

/* The same of a unit of a strided convolution: a row of tiles, an image or a filter (winograd/polyphase.c). */
typedef void (*polyphase_work)(const struct winograd *, int64_t unit);

/* Tiles of images, `down` x `across` of them each, or filters. F(4x4,3x3): planes of [images][channels][height][width],
 * or filters of 3x3 side by side, as tiles are. Phases: [images][height][width][channels], or [images][4][4][channels]. */
struct winograd {
    struct job job;
    winograd_work work;
    polyphase_work each;
    float *plain, *points;
    int64_t images, channels, height, width, padding;
    int64_t down, across, apart; /* apart: from one point's matrix to the next, in numbers */
    int64_t tiles, chunks;       /* of a plane */
    int whole_planes;
};

/* The arguments of winograd(...) and polyphase(...); 0 with an exception set. */
static inline int read_transform(struct reader from, struct winograd *w, int64_t *transform, int64_t *threads)
{
    *transform = whole(&from);
    w->plain = address(&from);
    w->points = address(&from);
    w->images = whole(&from);
    w->channels = whole(&from);
    w->height = whole(&from);
    w->width = whole(&from);
    w->padding = whole(&from);
    w->down = whole(&from);
    w->across = whole(&from);
    w->apart = whole(&from);
    *threads = whole(&from);
    if (!read_all(&from))
        return 0;
    if (*transform < INPUT || *transform > FILTER_TRANSPOSED)
        PyErr_Format(PyExc_ValueError, "no transform %lld", (long long)*transform);
    return !PyErr_Occurred();
}
