/* Matrix products from C: gemm_run. */
#ifndef GANKIT_GEMM_H
#define GANKIT_GEMM_H

#include <stdint.h>

struct gemm { /* C [m,n] (+)= A [m,k] B [k,n] (+ bias [n]) */
    int64_t m, n, k;
    const char *a, *b;
    char *c;
    const char *bias;                          /* NULL for none */
    int64_t a_row, a_col, b_row, b_col, c_row; /* in elements; c's columns are contiguous */
    int64_t a_type, b_type, c_type, bias_type; /* F64, F32 or BF16 */
    int64_t compute;                           /* 0: in f64; 1: in f32; 2: operands rounded to bf16, sums in f32 */
    int64_t accumulate;                        /* add to what is in C */
};

/* The caller holds the GIL, which guards the scratch memory. 0 where memory ran out, and C is as it was. */
int gemm_run(const struct gemm *g, int64_t threads);

#endif
