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

/* n pixels of one window row, `lanes` planes side by side, mirrored or not. */
static void gather_pixels(const struct gather *w, const uint8_t *line, int64_t lanes, int flip, int64_t n, char *out)
{
    uint8_t stage[STAGE];
    int64_t area = w->height * w->width;
    for (int64_t from = 0, some; from < n; from += some) {
        some = least(STAGE / lanes, n - from);
        for (int64_t lane = 0; lane < lanes; lane++) {
            const uint8_t *x = line + lane * area;
            if (flip)
                for (int64_t j = 0; j < some; j++)
                    stage[j * lanes + lane] = x[n - 1 - from - j];
            else
                for (int64_t j = 0; j < some; j++)
                    stage[j * lanes + lane] = x[from + j];
        }
        char *to = out + (size_t)(from * lanes) * w->loops->size;
        w->loops->normalise(stage, to, some * lanes, streams(w->total, to));
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
        /* Whole lines that are not mirrored follow one another in memory: one long row. */
        int joined = !flip && w->columns == w->width;
        int64_t rows = joined ? 1 : w->rows, columns = joined ? w->rows * w->columns : w->columns;
        size_t length = (size_t)(columns * lanes) * w->loops->size;
        char *out = w->out + (size_t)(item * rows) * length;
        for (int64_t row = 0; row < rows; row++, x += w->width, out += length)
            if (lanes == 1 && !flip)
                w->loops->normalise(x, out, columns, streams(w->total, out));
            else
                gather_pixels(w, x, lanes, flip, columns, out);
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
