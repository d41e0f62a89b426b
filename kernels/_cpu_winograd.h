/* Winograd's transforms: planes of pixels or filters to matrices, one for each point, and back.
 *
 * The products in between are the caller's. The matrices lie `apart` numbers apart: pixels as [points][channels][images
 * tiles], filters as [points][pairs of channels]. An item is a chunk of tiles, or a whole plane where overlapping tiles
 * are added up, so that the order of the sums does not depend on who works.
 */

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
            int64_t first = chunk * CHUNK;
            w->work(w, pixels, points + first, first, least(CHUNK, w->tiles - first));
        }
    }
}

/* The arguments of winograd(...) and polyphase(...); 0 with an exception set. */
static int read_transform(struct reader from, struct winograd *w, int64_t *transform, int64_t *threads)
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

static PyObject *cpu_winograd(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct winograd w = {0};
    int64_t transform, threads;
    if (!read_transform((struct reader){args, count}, &w, &transform, &threads))
        return NULL;
    w.work = winograd_levels[current][transform];
    w.tiles = w.down * w.across;
    w.chunks = blocks_of(w.tiles, CHUNK);
    w.whole_planes = transform == INPUT_TRANSPOSED;
    w.job.run = run_winograd;
    w.job.items = w.images * w.channels * (w.whole_planes ? 1 : w.chunks);
    Py_BEGIN_ALLOW_THREADS
    run_job(&w.job, w.apart * POINTS * (int64_t)sizeof(float), threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}
