/* Element types, and numbers of 16 bits. */
#ifndef GANKIT_NUMBERS_H
#define GANKIT_NUMBERS_H

#include <stdint.h>
#include <string.h>

enum { F64, F32, BF16, F16, I64, BOOL }; /* the codes of Python's tables, which a test compares */
#define FLOATS 4                         /* types that the ops take */

static inline int64_t size_of(int64_t type)
{
    static const int64_t sizes[] = {8, 4, 2, 2, 8, 1};
    return sizes[type];
}

/* The type-th float of each: any code from Python is within the tables. */
static inline int64_t float_type(int64_t code) { return code & (FLOATS - 1); }

static inline float as_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t as_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float wide_bf16(uint16_t x) { return as_float((uint32_t)x << 16); }

/* To the nearest, ties to even. */
static inline uint16_t narrow_bf16(float x)
{
    uint32_t bits = as_bits(x), rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (uint16_t)(x != x ? 0x7fc0 : rounded);
}

/* The i-th number of an array that is float64 or float32, and the other way. */
static inline double get_wide(const void *array, int64_t i, int64_t is_f64)
{
    return is_f64 ? ((const double *)array)[i] : (double)((const float *)array)[i];
}

static inline void put_wide(void *array, int64_t i, int64_t is_f64, double value)
{
    if (is_f64)
        ((double *)array)[i] = value;
    else
        ((float *)array)[i] = (float)value;
}

#endif
