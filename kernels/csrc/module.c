/* gankit.kernels._cpu: the ops on a CPU and what the engines need, called with addresses, sizes and type codes.
 *
 * Every file below this folder hands its functions in (common/extension.h). The loops are compiled once per vector
 * width (common/each_level.h) and picked at run time.
 */
#include "common/extension.h"
#include "common/levels.h"
#include "common/thread_pool.h"

#if defined(__x86_64__)
#include <cpuid.h>

static int has_f16c(void)
{
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & (1u << 29));
}

static int has_bf16(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
}

static int runs(int level)
{
    __builtin_cpu_init();
    if (level == 1)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    if (level == 3 && !has_bf16())
        return 0;
    if (level >= 2)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return 1;
}
#else
static int runs(int level) { return level == 0; }
#endif

static const char *const level_names[] = LEVEL_NAMES;
#define LEVELS ((int)(sizeof level_names / sizeof level_names[0]))

int current_level;
struct offer *offers;

static PyObject *cpu_levels(PyObject *self, PyObject *unused)
{
    PyObject *list = PyList_New(0);
    for (int level = 0; list && level < LEVELS; level++) {
        PyObject *name = runs(level) ? PyUnicode_FromString(level_names[level]) : NULL;
        if (runs(level) && (!name || PyList_Append(list, name) < 0))
            Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

static PyObject *cpu_use(PyObject *self, PyObject *wanted)
{
    for (int level = 0; level < LEVELS; level++)
        if (PyUnicode_Check(wanted) && PyUnicode_CompareWithASCIIString(wanted, level_names[level]) == 0 && runs(level)) {
            current_level = level;
            Py_RETURN_NONE;
        }
    return PyErr_Format(PyExc_ValueError, "SIMD level %R does not run on this processor", wanted);
}

static PyObject *cpu_level(PyObject *self, PyObject *unused)
{
    return PyUnicode_FromString(level_names[current_level]);
}

static PyObject *cpu_openmp(PyObject *self, PyObject *unused)
{
    const char *path = find_thread_pool();
    return path ? PyUnicode_FromString(path) : Py_NewRef(Py_None);
}

static PyObject *cpu_held_up(PyObject *self, PyObject *unused) { return PyLong_FromLongLong(pool_held_up()); }

static PyObject *cpu_contended(PyObject *self, PyObject *unused) { return PyBool_FromLong(pool_contended()); }

static PyObject *cpu_constants(PyObject *self, PyObject *unused)
{
    PyObject *found = PyDict_New();
    for (const struct offer *each = offers; found && each; each = each->next)
        for (const struct constant *c = each->constants; found && c && c->name; c++) {
            PyObject *value = PyLong_FromLong(c->value);
            if (!value || PyDict_SetItemString(found, c->name, value) < 0)
                Py_CLEAR(found);
            Py_XDECREF(value);
        }
    return found;
}

METHODS({"levels", cpu_levels, METH_NOARGS, "The SIMD levels that this processor runs, narrowest first."},
        {"use", cpu_use, METH_O, "Use this SIMD level from now on."},
        {"level", cpu_level, METH_NOARGS, "The SIMD level in use."},
        {"openmp", cpu_openmp, METH_NOARGS, "The file of the OpenMP pool that is shared, or None for one thread."},
        {"held_up", cpu_held_up, METH_NOARGS, "How often the calling thread has waited for one that was off its core."},
        {"contended", cpu_contended, METH_NOARGS, "Whether it waits again and again, since others use the cores."},
        {"constants", cpu_constants, METH_NOARGS, "The numbers that Python has to know as well, by name."})

static int start(PyObject *module)
{
    for (int level = 0; level < LEVELS; level++)
        if (runs(level))
            current_level = level;
    for (const struct offer *each = offers; each; each = each->next)
        if (each->methods && PyModule_AddFunctions(module, each->methods) < 0)
            return -1;
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, start}, {0, NULL}};

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "gankit.kernels._cpu", .m_doc = "The fused ops on a CPU, by address.",
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__cpu(void) { return PyModuleDef_Init(&definition); }
