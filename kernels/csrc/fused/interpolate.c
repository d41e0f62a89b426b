/* interpolate: out = fake + t (real - fake), one t a sample. */
#if !defined(FN)

#include "common/extension.h"
#include "common/rows.h"

#define AT_TYPE "fused/interpolate.c"
#include "common/each_type.h"

static const row_loop mixes[][FLOATS] = BY_LEVEL_AND_TYPE(mix);

static PyObject *cpu_interpolate(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct reader from = {args, count};
    struct rows w = {.first = address(&from)};
    w.second = address(&from);
    const void *t = address(&from);
    w.out = address(&from);
    w.samples = whole(&from);
    w.elements = whole(&from);
    int64_t type = float_type(whole(&from)), threads = whole(&from);
    if (!read_all(&from))
        return NULL;
    double *factors = malloc((size_t)w.samples * sizeof *factors + 1);
    if (!factors)
        return PyErr_NoMemory();
    w.loop = mixes[current_level][type];
    w.size = size_of(type);
    w.factors = factors;
    Py_BEGIN_ALLOW_THREADS
    for (int64_t i = 0; i < w.samples; i++)
        factors[i] = get_wide(t, i, type == F64);
    work_rows(&w, threads);
    Py_END_ALLOW_THREADS
    free(factors);
    Py_RETURN_NONE;
}

METHODS({FAST(interpolate), "interpolate(real, fake, t, out, n, m, type, threads)"})

#else /* for one element type at one vector width */

static void FN(mix)(const void *first, const void *second, void *target, double weight, int64_t n, int stream)
{
    const ELEM *real = first, *fake = second;
    ELEM *out = target;
    const ACC t = (ACC)weight;
    int64_t i = 0;
    if (stream)
        for (; i + WIDTH <= n; i += WIDTH) {
            VEC base = LOAD(fake + i);
            STREAM(out + i, base + t * (LOAD(real + i) - base));
        }
    for (; i + WIDTH <= n; i += WIDTH) {
        VEC base = LOAD(fake + i);
        STORE(out + i, base + t * (LOAD(real + i) - base));
    }
    if (i < n) {
        ELEM rest_real[WIDTH] = {0}, rest_fake[WIDTH] = {0}, rest_out[WIDTH];
        memcpy(rest_real, real + i, REST(n, i));
        memcpy(rest_fake, fake + i, REST(n, i));
        VEC base = LOAD(rest_fake);
        STORE(rest_out, base + t * (LOAD(rest_real) - base));
        memcpy(out + i, rest_out, REST(n, i));
    }
}

#endif
