/* Winograd's transforms of strided convolutions: polyphase(...) for Python.
 *
 * A convolution of 4x4 windows with stride 2 is four of 2x2 windows, one for each phase: every second row and column
 * from the first or the second on. The products in between are the caller's.
 */

static void run_polyphase(const struct job *job, int64_t begin, int64_t end)
{
    const struct polyphase *w = (const struct polyphase *)job;
    for (int64_t unit = begin; unit < end; unit++)
        w->work(w, unit);
}

static PyObject *cpu_polyphase(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    int64_t transform = whole(&from);
    struct polyphase w = {.plain = address(&from)};
    w.points = address(&from);
    w.images = whole(&from);
    w.channels = whole(&from);
    w.height = whole(&from);
    w.width = whole(&from);
    w.padding = whole(&from);
    w.down = whole(&from);
    w.across = whole(&from);
    w.apart = whole(&from);
    int64_t threads = whole(&from);
    if (!read_all(&from))
        return NULL;
    if (transform < INPUT || transform > FILTER_TRANSPOSED || w.channels % PHASE_LINE)
        return PyErr_Format(PyExc_ValueError, "polyphase: no transform %lld of %lld channels", (long long)transform,
                            (long long)w.channels);
    int whole_units = transform == INPUT_TRANSPOSED || transform >= FILTER;
    w.work = polyphase_levels[current][transform];
    w.job.run = run_polyphase;
    w.job.items = whole_units ? w.images : w.images * w.down;
    Py_BEGIN_ALLOW_THREADS
    run_job(&w.job, w.apart * PHASE_POINTS * (int64_t)sizeof(float), threads);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}
