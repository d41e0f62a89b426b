/* interpolate and l1_terms by Python objects: what Python would look up of four tensors costs as much as a small op itself.
 *
 * PyTorch hands out a table of C functions that describe a tensor as DLPack does, an interface that is stable
 * across its versions. Anything unusual is refused, and Python's longer way then takes it or names the fault.
 */

struct dl_tensor { /* DLTensor of DLPack 1 */
    void *data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t byte_offset;
};

struct dl_exchange { /* DLPackExchangeAPI of DLPack 1 */
    uint32_t major, minor;
    void *previous;
    void *allocate, *own, *to_object;
    int (*describe)(void *object, struct dl_tensor *out);
};

enum { DL_CPU = 1, DL_FLOAT = 2, DL_BFLOAT = 4 };

static const struct dl_exchange *exchange;
static PyObject *tensor_type;

static PyObject *cpu_describe_by(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "describe_by(capsule, type)");
    const struct dl_exchange *table = PyCapsule_GetPointer(args[0], "dlpack_exchange_api");
    if (!table)
        return NULL;
    if (table->major != 1 || !table->describe)
        Py_RETURN_FALSE;
    exchange = table;
    Py_XDECREF(tensor_type);
    tensor_type = Py_NewRef(args[1]);
    Py_RETURN_TRUE;
}

/* Whether an object is a plain tensor in C order on the CPU; its description goes to `out`. */
static int describe(PyObject *object, struct dl_tensor *out)
{
    if ((PyObject *)Py_TYPE(object) != tensor_type)
        return 0;
    if (exchange->describe(object, out) != 0) {
        PyErr_Clear();
        return 0;
    }
    int64_t expected = 1;
    for (int32_t i = out->ndim - 1; i >= 0; i--) {
        if (out->shape[i] != 1 && out->strides && out->strides[i] != expected)
            return 0;
        expected *= out->shape[i];
    }
    return out->device_type == DL_CPU && out->lanes == 1 && expected > 0;
}

static int type_of(const struct dl_tensor *x)
{
    if (x->code == DL_BFLOAT)
        return x->bits == 16 ? 2 : -1;
    if (x->code != DL_FLOAT)
        return -1;
    return x->bits == 64 ? 0 : x->bits == 32 ? 1 : x->bits == 16 ? 3 : -1;
}

static int alike(const struct dl_tensor *x, const struct dl_tensor *y)
{
    return type_of(x) == type_of(y) && x->ndim == y->ndim &&
           memcmp(x->shape, y->shape, (size_t)x->ndim * sizeof *x->shape) == 0;
}

static char *data(const struct dl_tensor *x) { return (char *)x->data + x->byte_offset; }

static PyObject *cpu_interpolate_quick(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct dl_tensor x[4]; /* real, fake, t, out */
    if (count != 5 || !exchange)
        Py_RETURN_FALSE;
    for (int k = 0; k < 4; k++)
        if (!describe(args[k], &x[k]))
            Py_RETURN_FALSE;
    int type = type_of(&x[0]);
    if (type < 0 || type_of(&x[2]) != (type == 0 ? 0 : 1) || x[2].ndim != 1 || x[0].ndim < 1)
        Py_RETURN_FALSE;
    if (!alike(&x[0], &x[1]) || !alike(&x[0], &x[3]) || x[2].shape[0] != x[0].shape[0])
        Py_RETURN_FALSE;
    int64_t elements = 1;
    for (int32_t i = 1; i < x[0].ndim; i++)
        elements *= x[0].shape[i];
    int64_t threads = PyLong_AsLongLong(args[4]);
    if (!mix_samples(data(&x[0]), data(&x[1]), data(&x[2]), data(&x[3]), x[0].shape[0], elements, type, threads))
        return PyErr_NoMemory();
    Py_RETURN_TRUE;
}

/* The k-th pair and weight, into `w`; 0 where they are unusual. */
static int take_pair(struct pairs *w, PyObject *pairs, PyObject *weights, Py_ssize_t k)
{
    struct dl_tensor a, b;
    PyObject *pair = PySequence_GetItem(pairs, k), *weight = PySequence_GetItem(weights, k);
    int fine = pair && weight && PyTuple_Check(pair) && PyTuple_Size(pair) == 2 &&
               describe(PyTuple_GetItem(pair, 0), &a) && describe(PyTuple_GetItem(pair, 1), &b) && alike(&a, &b) &&
               type_of(&a) > 0;
    double value = fine ? PyFloat_AsDouble(weight) : 0;
    Py_XDECREF(pair);
    Py_XDECREF(weight);
    if (!fine || PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    int64_t elements = 1;
    for (int32_t i = 0; i < a.ndim; i++)
        elements *= a.shape[i];
    struct pair *p = &w->pair[w->count++];
    p->a = data(&a);
    p->b = data(&b);
    append_pair(w, p, elements, type_of(&a), value / (double)elements);
    return 1;
}

static PyObject *cpu_l1_terms_quick(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 4 || !exchange)
        Py_RETURN_FALSE;
    Py_ssize_t k = PySequence_Size(args[0]);
    struct dl_tensor out;
    if (k < 1 || k > MOST_PAIRS || PySequence_Size(args[1]) != k || !describe(args[2], &out) || type_of(&out) != 1) {
        PyErr_Clear();
        Py_RETURN_FALSE;
    }
    struct pairs w = {.block = SUM_BLOCK};
    for (Py_ssize_t i = 0; i < k; i++)
        if (!take_pair(&w, args[0], args[1], i))
            Py_RETURN_FALSE;
    if (!sum_pairs(&w, data(&out), 0, PyLong_AsLongLong(args[3])))
        return PyErr_NoMemory();
    Py_RETURN_TRUE;
}
