/* Includes AT_LEVEL, a file, once for each vector width, with LV(name) and BYTES set and HAVE_AVX2 or HAVE_AVX512 where
 * the functions are compiled for such processors; common/vectors.h comes first.
 */
#include "common/levels.h"

#define LV(name) name##_baseline
#define BYTES 16
#include "common/vectors.h"
#include AT_LEVEL
#undef LV
#undef BYTES

#if defined(__x86_64__)
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
#include "common/vectors.h"
#include AT_LEVEL
#undef LV
#undef BYTES
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
#include "common/vectors.h"
#include AT_LEVEL
#undef LV
#undef BYTES
#undef HAVE_AVX512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
#undef AT_LEVEL
