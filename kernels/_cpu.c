/* The fused ops on a CPU: gankit.kernels._cpu, called by cpu.py with addresses, sizes and type codes.
 *
 * No PyTorch header is used, so one build serves every PyTorch. The caller vouches for the addresses: dense
 * memory of the sizes it gives, outputs apart from inputs. The loops are compiled once per vector width
 * (_cpu_level.h, _cpu_loops.h) and picked at run time. Work is cut into blocks that depend on the shapes
 * alone; threads take whole blocks, so a result does not depend on how many there are.
 */
#define _GNU_SOURCE
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_cpu_gemm_types.h"
#include "_cpu_team.h"

#define INLINE static inline __attribute__((always_inline, unused))
#define SUM_BLOCK 4096   /* elements summed in one type before double precision takes over */
#define MAP_BLOCK 16384  /* elements of an elementwise op given out at once */

struct loops {
    size_t size;
    double (*sum_squares)(const void *, int64_t);
    double (*sum_differences)(const void *, const void *, int64_t);
    void (*signs)(const void *, const void *, void *, double, int64_t, int);
    void (*mix)(const void *, const void *, void *, double, int64_t, int);
    void (*scale)(const void *, void *, double, int64_t, int);
    void (*normalise)(const uint8_t *, void *, int64_t, int);
    void (*arrange)(const uint8_t *restrict, int64_t, int64_t, int64_t, uint8_t *restrict, int64_t);
};

#include "_cpu_numbers.h"
#include "_cpu_winograd_work.h"
#include "_cpu_polyphase_work.h"

#define LV(name) name##_baseline
#define BYTES 16
#include "_cpu_level.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,f16c,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,f16c,fma")
#endif
#define HAVE_AVX2
#define LV(name) name##_avx2
#define BYTES 32
#include "_cpu_level.h"
#undef HAVE_AVX2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl")
#endif
#define HAVE_AVX512
#define LV(name) name##_avx512
#define BYTES 64
#include "_cpu_level.h"
#undef HAVE_AVX512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if defined(__clang__) || __GNUC__ >= 10
#define HAVE_PAIRS
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
#endif
#define LV(name) name##_avx512
#define BYTES 64
#include "_cpu_gemm_pairs.h"
#undef LV
#undef BYTES
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

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

static const struct loops *const *const levels[] = {
    loops_baseline, loops_avx2, loops_avx512,
#if defined(HAVE_PAIRS)
    loops_avx512, /* avx512_bf16 differs in matrix products alone */
#endif
};
static const struct product_loops *const products[][3] = {
    /* by level and what is computed in; without instructions for bf16 it is multiplied as floats */
    {&product_loops_f64_baseline, &product_loops_f32_baseline, &product_loops_f32_baseline},
    {&product_loops_f64_avx2, &product_loops_f32_avx2, &product_loops_f32_avx2},
    {&product_loops_f64_avx512, &product_loops_f32_avx512, &product_loops_f32_avx512},
#if defined(HAVE_PAIRS)
    {&product_loops_f64_avx512, &product_loops_f32_avx512, &product_loops_pairs_avx512},
#endif
};
static const winograd_work *const winograd_levels[] = {winograd_baseline, winograd_avx2, winograd_avx512, winograd_avx512};
static const polyphase_work *const polyphase_levels[] = {polyphase_baseline, polyphase_avx2, polyphase_avx512, polyphase_avx512};
static const char *const names[] = {"baseline", "avx2", "avx512", "avx512_bf16"};
static const tile_runner *const tile_runners[] = {tiles_baseline, tiles_avx2, tiles_avx512, tiles_avx512};
#else
static int runs(int level) { return level == 0; }
static const struct loops *const *const levels[] = {loops_baseline};
static const struct product_loops *const products[][3] = {
    {&product_loops_f64_baseline, &product_loops_f32_baseline, &product_loops_f32_baseline},
};
static const winograd_work *const winograd_levels[] = {winograd_baseline};
static const polyphase_work *const polyphase_levels[] = {polyphase_baseline};
static const char *const names[] = {"baseline"};
static const tile_runner *const tile_runners[] = {tiles_baseline};
#endif

#define LEVELS ((int)(sizeof levels / sizeof levels[0]))

static int current;

static const struct loops *loops_of(int64_t type) { return levels[current][type]; }
static const struct product_loops *product_loops(int64_t compute) { return products[current][compute]; }

#include "_cpu_ops.h"

#include "_cpu_gather.h"
#include "_cpu_gemm.h"
#include "_cpu_gemm_calls.h"
#include "_cpu_pairs.h"
#include "_cpu_plan.h"
#include "_cpu_winograd.h"
#include "_cpu_polyphase.h"

static PyObject *cpu_levels(PyObject *self, PyObject *unused)
{
    PyObject *list = PyList_New(0);
    for (int level = 0; list && level < LEVELS; level++) {
        PyObject *name = runs(level) ? PyUnicode_FromString(names[level]) : NULL;
        if (runs(level) && (!name || PyList_Append(list, name) < 0))
            Py_CLEAR(list);
        Py_XDECREF(name);
    }
    return list;
}

static PyObject *cpu_use(PyObject *self, PyObject *wanted)
{
    for (int level = 0; level < LEVELS; level++)
        if (PyUnicode_Check(wanted) && PyUnicode_CompareWithASCIIString(wanted, names[level]) == 0 && runs(level)) {
            current = level;
            Py_RETURN_NONE;
        }
    return PyErr_Format(PyExc_ValueError, "SIMD level %R does not run on this processor", wanted);
}

static PyObject *cpu_level(PyObject *self, PyObject *unused) { return PyUnicode_FromString(names[current]); }

static PyObject *cpu_openmp(PyObject *self, PyObject *unused)
{
    const char *path = find_team();
    return path ? PyUnicode_FromString(path) : Py_NewRef(Py_None);
}

#define FAST(name) #name, (PyCFunction)(void (*)(void))cpu_##name, METH_FASTCALL

static PyMethodDef methods[] = {
    {FAST(interpolate), "interpolate(real, fake, t, out, n, m, type, threads)"},
    {FAST(norm_penalty), "norm_penalty(grad, norms, penalty, n, m, target, one_sided, type, threads)"},
    {FAST(norm_penalty_grad),
     "norm_penalty_grad(grad, norms, slope, out, n, m, target, one_sided, type, threads)"},
    {FAST(l1_terms), "l1_terms(out, double, threads, *(a, b, n, type, factor))"},
    {FAST(l1_terms_grad), "l1_terms_grad(slopes, double, threads, *(a, b, to_a, to_b, n, type, factor))"},
    {FAST(gather), "gather(images, index, flip, offset, out, n, C, H, W, b, h, w, channels_last, type, threads)"},
    {FAST(gemm),
     "gemm(a, a_row, a_col, a_type, b, b_row, b_col, b_type, c, c_row, c_type, bias, bias_type, m, n, k, compute, "
     "accumulate, threads)"},
    {FAST(gemm_batch),
     "gemm_batch(a, a_step, a_row, a_col, b, b_step, b_row, b_col, c, c_step, c_row, count, m, n, k, accumulate, "
     "threads) of float32"},
    {FAST(run_plan), "run_plan(code, words, slots, threads)"},
    {FAST(winograd),
     "winograd(transform, plain, points, n, C, H, W, padding, tiles down, tiles across, apart, threads)"},
    {FAST(polyphase),
     "polyphase(transform, plain, points, n, C, H, W, padding, tiles down, tiles across, apart, threads)"},
    {"levels", cpu_levels, METH_NOARGS, "The SIMD levels that this processor runs, narrowest first."},
    {"use", cpu_use, METH_O, "Use this SIMD level from now on."},
    {"level", cpu_level, METH_NOARGS, "The SIMD level in use."},
    {"openmp", cpu_openmp, METH_NOARGS, "The file of the OpenMP pool that is shared, or None for one thread."},
    {NULL, NULL, 0, NULL},
};

static int start(PyObject *module)
{
    for (int level = 0; level < LEVELS; level++)
        if (runs(level))
            current = level;
    return 0;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, start}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "gankit.kernels._cpu", "The fused ops on a CPU, by address.", 0, methods, slots, NULL, NULL,
    NULL,
};

PyMODINIT_FUNC PyInit__cpu(void) { return PyModuleDef_Init(&definition); }
