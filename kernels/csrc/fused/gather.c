/* gather: bytes of chosen images, cropped and mirrored, put in the order of the output and scaled. */
#if !defined(FN)

#include "common/blocks.h"
#include "common/extension.h"
#include "common/numbers.h"
#include "common/thread_pool.h"

#define AT_TYPE "fused/gather.c"
#include "common/each_type.h"

#define STAGE 4096 /* bytes reordered at a time, small enough to stay in the first cache */

struct gather {
    struct job job;
    int64_t type, size; /* of an element of the output; size in bytes */
    const uint8_t *images;
    const int64_t *index, *offset;
    const uint8_t *flip;
    char *out;
    int64_t n, channels, height, width; /* of the images */
    int64_t batch, rows, columns;       /* of the output */
    int64_t channels_last, total;
};

static void (*const normalise[][FLOATS])(const uint8_t *, void *, int64_t, int) = BY_LEVEL_AND_TYPE(normalise);
static void (*const arrange[][FLOATS])(const uint8_t *restrict, int64_t, int64_t, int64_t, uint8_t *restrict, int64_t) =
    BY_LEVEL_AND_TYPE(arrange);

static void write_scaled(const struct gather *w, const uint8_t *x, char *out, int64_t n)
{
    int64_t head = head_of(n, w->total, out, w->size);
    normalise[current_level][w->type](x, out, head, 0);
    if (head < n)
        normalise[current_level][w->type](x + head, out + head * w->size, n - head, 1);
}

/* A window of `rows` lines of `columns` pixels, `lanes` planes side by side, mirrored or not. Short lines are
 * reordered several at a time, so that the scaling runs over long rows. */
static void gather_window(const struct gather *w, const uint8_t *x, int64_t lanes, int flip, int64_t rows,
                          int64_t columns, char *out)
{
    uint8_t stage[STAGE];
    int64_t area = w->height * w->width, part = least(STAGE / lanes, columns);
    int64_t lines = part < columns ? 1 : STAGE / (part * lanes);
    for (int64_t row = 0; row < rows; row += lines)
        for (int64_t from = 0; from < columns; from += part) {
            int64_t n = least(part, columns - from), some = least(lines, rows - row);
            for (int64_t i = 0; i < some; i++) {
                const uint8_t *first = x + (row + i) * w->width + (flip ? columns - 1 - from : from);
                arrange[current_level][w->type](first, area, lanes, flip ? -1 : 1, stage + i * n * lanes, n);
            }
            char *to = out + (row * columns + from) * lanes * w->size;
            write_scaled(w, stage, to, some * n * lanes);
        }
}

/* An item is one plane of one sample, or one whole sample where the channels lie together. */
static void run_gather(const struct job *job, int64_t begin, int64_t end)
{
    const struct gather *w = (const struct gather *)job;
    int64_t lanes = w->channels_last ? w->channels : 1, planes = w->channels / lanes;
    int64_t area = w->height * w->width;
    for (int64_t item = begin; item < end; item++) {
        int64_t sample = item / planes, plane = item % planes;
        int64_t top = w->offset ? w->offset[2 * sample] : 0, left = w->offset ? w->offset[2 * sample + 1] : 0;
        int flip = w->flip && w->flip[sample];
        const uint8_t *x = w->images + (w->index[sample] * w->channels + plane) * area + top * w->width + left;
        char *out = w->out + item * w->rows * w->columns * lanes * w->size;
        int64_t line = w->columns * w->size;
        if (lanes > 1 || flip)
            gather_window(w, x, lanes, flip, w->rows, w->columns, out);
        else if (w->columns == w->width)
            write_scaled(w, x, out, w->rows * w->columns);
        else
            for (int64_t row = 0; row < w->rows; row++, x += w->width, out += line)
                write_scaled(w, x, out, w->columns);
    }
    drain();
}

/* Whether every index and window lies inside the images; sets IndexError where not. */
static int in_range(const struct gather *w)
{
    for (int64_t i = 0; i < w->batch; i++) {
        if (w->index[i] < 0 || w->index[i] >= w->n) {
            PyErr_Format(PyExc_IndexError, "gather: index[%lld] is %lld, outside the %lld images", (long long)i,
                         (long long)w->index[i], (long long)w->n);
            return 0;
        }
        if (!w->offset)
            continue;
        int64_t top = w->offset[2 * i], left = w->offset[2 * i + 1];
        if (top < 0 || left < 0 || top > w->height - w->rows || left > w->width - w->columns) {
            PyErr_Format(PyExc_IndexError,
                         "gather: offset[%lld] is (%lld, %lld): a window of %lld x %lld leaves %lld x %lld", (long long)i,
                         (long long)top, (long long)left, (long long)w->rows, (long long)w->columns,
                         (long long)w->height, (long long)w->width);
            return 0;
        }
    }
    return 1;
}

static PyObject *cpu_gather(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    struct gather w = {.images = address(&from)};
    w.index = address(&from);
    w.flip = address(&from);
    w.offset = address(&from);
    w.out = address(&from);
    w.n = whole(&from);
    w.channels = whole(&from);
    w.height = whole(&from);
    w.width = whole(&from);
    w.batch = whole(&from);
    w.rows = whole(&from);
    w.columns = whole(&from);
    w.channels_last = whole(&from);
    w.type = float_type(whole(&from));
    w.size = size_of(w.type);
    int64_t threads = whole(&from);
    if (!read_all(&from) || !in_range(&w))
        return NULL;
    if (w.channels_last && w.channels > STAGE)
        return PyErr_Format(PyExc_ValueError, "gather: %lld channels, but at most %d can lie last", (long long)w.channels,
                            STAGE);
    w.job.run = run_gather;
    w.job.items = w.batch * (w.channels_last ? 1 : w.channels);
    w.total = w.batch * w.channels * w.rows * w.columns * w.size;
    Py_BEGIN_ALLOW_THREADS
    run_job(&w.job, w.total, threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

METHODS({FAST(gather), "gather(images, index, flip, offset, out, n, C, H, W, b, h, w, channels_last, type, threads)"})

#else /* for one element type at one vector width */

/* n pixels of `lanes` planes, `area` bytes apart, put side by side; step -1 reads them backwards. One and
 * three planes are spelled out because only then the compiler makes shuffles of the loop. */
#define ARRANGE(at)                                                                          \
    if (lanes == 1)                                                                          \
        for (int64_t j = 0; j < n; j++)                                                      \
            stage[j] = x[at];                                                                \
    else if (lanes == 3)                                                                     \
        for (int64_t j = 0; j < n; j++) {                                                    \
            stage[3 * j] = x[at];                                                            \
            stage[3 * j + 1] = y[at];                                                        \
            stage[3 * j + 2] = z[at];                                                        \
        }                                                                                    \
    else                                                                                     \
        for (int64_t lane = 0; lane < lanes; lane++)                                         \
            for (int64_t j = 0; j < n; j++)                                                  \
                stage[j * lanes + lane] = (x + lane * area)[at];

static void FN(arrange)(const uint8_t *restrict x, int64_t area, int64_t lanes, int64_t step, uint8_t *restrict stage,
                        int64_t n)
{
    const uint8_t *y = x + area * (lanes > 1), *z = x + 2 * area * (lanes > 2);
    if (step > 0) {
        ARRANGE(j)
    } else {
        ARRANGE(-j)
    }
}
#undef ARRANGE

/* x / 127.5 - 1 of n bytes. x - 127.5 has 8 bits and HIGH few enough, so one product is exact and the
 * sum is rounded once: the bits of (x - 127.5) / 127.5 without a division (a test tries all 256). */
static void FN(normalise)(const uint8_t *x, void *target, int64_t n, int stream)
{
    ELEM *out = target;
    int64_t i = 0;
#define HIGH (ACC)(sizeof(ACC) == 8 ? 0x1.0101010101p-7 : 0x1.0102p-7)
#define LOW (ACC)(sizeof(ACC) == 8 ? 0x1.010101010101p-55 : -0x1.fdfdfep-24)
#define NORMALISED(d) ((d) * HIGH + (d) * LOW)
    if (stream)
        for (; i + WIDTH <= n; i += WIDTH) {
            VEC d = LOAD_BYTES(x + i) - (ACC)127.5;
            STREAM(out + i, NORMALISED(d));
        }
    for (; i + WIDTH <= n; i += WIDTH) {
        VEC d = LOAD_BYTES(x + i) - (ACC)127.5;
        STORE(out + i, NORMALISED(d));
    }
    if (i < n) {
        uint8_t rest[WIDTH] = {0};
        ELEM rest_out[WIDTH];
        memcpy(rest, x + i, (size_t)(n - i));
        VEC d = LOAD_BYTES(rest) - (ACC)127.5;
        STORE(rest_out, NORMALISED(d));
        memcpy(out + i, rest_out, REST(n, i));
    }
#undef HIGH
#undef LOW
#undef NORMALISED
}

#endif
