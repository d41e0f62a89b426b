/* The ops: arguments taken from Python, work cut into blocks, and the order in which partial sums are added. */

#define STREAM_FROM (int64_t)(24 << 20) /* bytes written above which they are better kept out of the caches */

static int64_t blocks_of(int64_t elements, int64_t block) { return (elements + block - 1) / block; }

/* How many of n elements to write before the rest can be streamed to whole cache lines; all where it does not pay. */
static int64_t head_of(int64_t n, int64_t bytes, const void *out, size_t size)
{
    return bytes < STREAM_FROM ? n : least(n, (int64_t)((64 - (uintptr_t)out % 64) % 64 / size));
}

/* Streaming stores are weakly ordered: they must be seen before the team's barrier lets others read. */
static void drain(void)
{
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

struct reader {
    PyObject *const *args;
    Py_ssize_t left;
};

static int64_t whole(struct reader *from)
{
    if (from->left-- <= 0) {
        PyErr_SetString(PyExc_TypeError, "too few arguments");
        return 0;
    }
    return PyLong_AsLongLong(*from->args++);
}

static void *address(struct reader *from) { return (void *)(intptr_t)whole(from); }

static double number(struct reader *from)
{
    if (from->left-- <= 0) {
        PyErr_SetString(PyExc_TypeError, "too few arguments");
        return 0;
    }
    return PyFloat_AsDouble(*from->args++);
}

static int read_all(struct reader *from)
{
    if (!PyErr_Occurred() && from->left)
        PyErr_SetString(PyExc_TypeError, "too many arguments");
    return !PyErr_Occurred();
}

/* One factor a sample: interpolate, and the gradient of norm_penalty. */
struct rows {
    struct job job;
    const struct loops *loops;
    const char *first, *second; /* second is NULL where samples are only scaled */
    char *out;
    const double *factors;
    int64_t samples, elements, blocks;
    int64_t total;
};

static void run_row(const struct rows *w, size_t skip, double factor, int64_t n, int stream)
{
    if (w->second)
        w->loops->mix(w->first + skip, w->second + skip, w->out + skip, factor, n, stream);
    else
        w->loops->scale(w->first + skip, w->out + skip, factor, n, stream);
}

static void run_rows(const struct job *job, int64_t begin, int64_t end)
{
    const struct rows *w = (const struct rows *)job;
    for (int64_t item = begin; item < end; item++) {
        int64_t sample = item / w->blocks, from = item % w->blocks * MAP_BLOCK;
        int64_t n = least(MAP_BLOCK, w->elements - from);
        size_t skip = (size_t)(sample * w->elements + from) * w->loops->size;
        int64_t head = head_of(n, w->total, w->out + skip, w->loops->size);
        run_row(w, skip, w->factors[sample], head, 0);
        if (head < n)
            run_row(w, skip + (size_t)head * w->loops->size, w->factors[sample], n - head, 1);
    }
    drain();
}

static void work_rows(struct rows *w, int64_t threads)
{
    w->blocks = blocks_of(w->elements, MAP_BLOCK);
    w->job.run = run_rows;
    w->job.items = w->samples * w->blocks;
    w->total = w->samples * w->elements * (int64_t)w->loops->size;
    run_job(&w->job, (w->second ? 3 : 2) * w->total, threads);
}

/* out = fake + t (real - fake) without the GIL; 0 where memory ran out. */
static int mix_samples(const char *real, const char *fake, const char *t, char *out, int64_t samples, int64_t elements,
                       int64_t type, int64_t threads)
{
    double *factors = malloc((size_t)samples * sizeof *factors + 1);
    if (!factors)
        return 0;
    struct rows w = {.first = real, .second = fake, .out = out, .samples = samples, .elements = elements};
    w.loops = loops_of(type);
    w.factors = factors;
    Py_BEGIN_ALLOW_THREADS
    for (int64_t i = 0; i < samples; i++)
        factors[i] = type == 0 ? ((const double *)t)[i] : (double)((const float *)t)[i];
    work_rows(&w, threads);
    Py_END_ALLOW_THREADS
    free(factors);
    return 1;
}

static PyObject *cpu_interpolate(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    const char *real = address(&from), *fake = address(&from), *t = address(&from);
    char *out = address(&from);
    int64_t samples = whole(&from), elements = whole(&from), type = whole(&from), threads = whole(&from);
    if (!read_all(&from))
        return NULL;
    if (!mix_samples(real, fake, t, out, samples, elements, type & 3, threads))
        return PyErr_NoMemory();
    Py_RETURN_NONE;
}

struct norms {
    struct job job;
    const struct loops *loops;
    const char *grad;
    double *partial;
    int64_t samples, elements, blocks;
};

static void run_norms(const struct job *job, int64_t begin, int64_t end)
{
    const struct norms *w = (const struct norms *)job;
    for (int64_t item = begin; item < end; item++) {
        int64_t sample = item / w->blocks, from = item % w->blocks * SUM_BLOCK;
        size_t skip = (size_t)(sample * w->elements + from) * w->loops->size;
        w->partial[item] = w->loops->sum_squares(w->grad + skip, least(SUM_BLOCK, w->elements - from));
    }
}

/* How much a norm counts for; a NaN stays one. */
static double excess(double norm, double target, int64_t one_sided)
{
    double over = norm - target;
    return one_sided && over < 0 ? 0 : over;
}

/* The norms as the outputs hold them, and their mean penalty. */
static void finish_norms(const struct norms *w, void *norms, void *penalty, double target, int64_t one_sided, int wide)
{
    double sum = 0;
    for (int64_t i = 0; i < w->samples; i++) {
        double square = 0;
        for (int64_t b = 0; b < w->blocks; b++)
            square += w->partial[i * w->blocks + b];
        double norm = sqrt(square);
        if (wide)
            ((double *)norms)[i] = norm;
        else
            ((float *)norms)[i] = (float)norm;
        double over = excess(norm, target, one_sided);
        sum += over * over;
    }
    sum /= w->samples ? (double)w->samples : 1;
    if (wide)
        *(double *)penalty = sum;
    else
        *(float *)penalty = (float)sum;
}

static PyObject *cpu_norm_penalty(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    struct norms w = {.grad = address(&from)};
    void *norms = address(&from), *penalty = address(&from);
    w.samples = whole(&from);
    w.elements = whole(&from);
    double target = number(&from);
    int64_t one_sided = whole(&from), type = whole(&from), threads = whole(&from);
    if (!read_all(&from))
        return NULL;
    w.loops = loops_of(type);
    w.blocks = blocks_of(w.elements, SUM_BLOCK);
    w.job.run = run_norms;
    w.job.items = w.samples * w.blocks;
    w.partial = malloc((size_t)w.job.items * sizeof *w.partial + 1);
    if (!w.partial)
        return PyErr_NoMemory();
    Py_BEGIN_ALLOW_THREADS
    run_job(&w.job, w.samples * w.elements * (int64_t)w.loops->size, threads);
    finish_norms(&w, norms, penalty, target, one_sided, type == 0);
    Py_END_ALLOW_THREADS
    free(w.partial);
    Py_RETURN_NONE;
}

static PyObject *cpu_norm_penalty_grad(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    struct rows w = {.first = address(&from)};
    const void *norms = address(&from), *slope = address(&from);
    w.out = address(&from);
    w.samples = whole(&from);
    w.elements = whole(&from);
    double target = number(&from);
    int64_t one_sided = whole(&from), type = whole(&from), threads = whole(&from);
    if (!read_all(&from))
        return NULL;
    double *factors = malloc((size_t)w.samples * sizeof *factors + 1);
    if (!factors)
        return PyErr_NoMemory();
    w.loops = loops_of(type);
    w.factors = factors;
    Py_BEGIN_ALLOW_THREADS
    double outer = type == 0 ? *(const double *)slope : (double)*(const float *)slope;
    for (int64_t i = 0; i < w.samples; i++) {
        double norm = type == 0 ? ((const double *)norms)[i] : (double)((const float *)norms)[i];
        double over = excess(norm, target, one_sided);
        factors[i] = norm == 0 ? 0 : outer * 2 * over / ((double)w.samples * norm);
    }
    work_rows(&w, threads);
    Py_END_ALLOW_THREADS
    free(factors);
    Py_RETURN_NONE;
}
