/* gather: bytes of chosen images, cropped and mirrored, put in the order of the output and scaled. */

#define STAGE 4096 /* bytes reordered at a time, small enough to stay in the first cache */

struct gather {
    struct job job;
    const struct loops *loops;
    const uint8_t *images;
    const int64_t *index, *offset;
    const uint8_t *flip;
    char *out;
    int64_t n, channels, height, width; /* of the images */
    int64_t batch, rows, columns;       /* of the output */
    int64_t channels_last, total;
};

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
                w->loops->arrange(first, area, lanes, flip ? -1 : 1, stage + i * n * lanes, n);
            }
            char *to = out + (size_t)((row * columns + from) * lanes) * w->loops->size;
            w->loops->normalise(stage, to, some * n * lanes, streams(w->total, to));
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
        char *out = w->out + (size_t)(item * w->rows * w->columns * lanes) * w->loops->size;
        size_t line = (size_t)w->columns * w->loops->size;
        if (lanes > 1 || flip)
            gather_window(w, x, lanes, flip, w->rows, w->columns, out);
        else if (w->columns == w->width)
            w->loops->normalise(x, out, w->rows * w->columns, streams(w->total, out));
        else
            for (int64_t row = 0; row < w->rows; row++, x += w->width, out += line)
                w->loops->normalise(x, out, w->columns, streams(w->total, out));
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
            PyErr_Format(PyExc_IndexError, "gather: offset[%lld] is (%lld, %lld): a window of %lld x %lld leaves %lld x %lld",
                         (long long)i, (long long)top, (long long)left, (long long)w->rows, (long long)w->columns,
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
    w.loops = loops_of(whole(&from) & 3);
    int64_t threads = whole(&from);
    if (!read_all(&from) || !in_range(&w))
        return NULL;
    w.job.run = run_gather;
    w.job.items = w.batch * (w.channels_last ? 1 : w.channels);
    w.total = w.batch * w.channels * w.rows * w.columns * (int64_t)w.loops->size;
    Py_BEGIN_ALLOW_THREADS
    run_job(&w.job, w.total, threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}
