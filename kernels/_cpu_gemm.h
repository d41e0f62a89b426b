/* placeholder */
struct gemm {
    int64_t m, n, k;
    const char *a, *b;
    char *c;
    const char *bias;
    int64_t a_row, a_col, b_row, b_col, c_row;
    int64_t a_type, b_type, c_type, bias_type;
    int64_t compute;
    int64_t accumulate;
};
static double at_(const char *p, int64_t i, int64_t type) { return type == 0 ? ((const double *)p)[i] : type == 1 ? ((const float *)p)[i] : wide_bf16(((const uint16_t *)p)[i]); }
static int gemm_run(const struct gemm *g, int64_t threads)
{
    for (int64_t i = 0; i < g->m; i++)
        for (int64_t j = 0; j < g->n; j++) {
            double s = 0;
            for (int64_t l = 0; l < g->k; l++) {
                double x = at_(g->a, i * g->a_row + l * g->a_col, g->a_type), y = at_(g->b, l * g->b_row + j * g->b_col, g->b_type);
                if (g->compute == 2) { x = wide_bf16(narrow_bf16((float)x)); y = wide_bf16(narrow_bf16((float)y)); }
                s += x * y;
            }
            if (g->bias) s += at_(g->bias, j, g->bias_type);
            if (g->accumulate) s += at_(g->c, i * g->c_row + j, g->c_type);
            if (g->c_type == 0) ((double *)g->c)[i * g->c_row + j] = s;
            else if (g->c_type == 1) ((float *)g->c)[i * g->c_row + j] = (float)s;
            else ((uint16_t *)g->c)[i * g->c_row + j] = narrow_bf16((float)s);
        }
    return 1;
}
