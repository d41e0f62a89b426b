/* Transforms of strided convolutions, F(4x4,2x2) on each of four phases, at one vector width.
 *
 * Included by common/each_level.h. Lanes are channels, which come last in memory, so nothing is turned. In one
 * dimension four outputs of a filter g of two taps over five inputs d are AT ((G g) * (BT d)), with a product for each of the points
 * P, -P, Q, -Q and infinity (Lavin & Gray 2016, section 4; Winograd 1980). Here are the three matrices and, for the
 * gradients, their transposes: bt and b, [5] to [5]; at, [5] to [4], and a, [4] to [5]; g, [2] to [5], and gt, [5] to
 * [2]. The row of -P and that of -Q have the other sign in BT and in G, which leaves their products as they are.
 *
 * P and Q were chosen among the quarters for float32's rounding errors (docs/engine.md); bt, b, at and a are exact.
 */

typedef LV(vf) LV(channels);

#define WIDTH ((int64_t)(sizeof(LV(channels)) / sizeof(float)))
#define P 0.5f
#define Q 1.25f
#define PP (P * P)
#define QQ (Q * Q)
#define AT_P (1 / (2 * P * (PP - QQ))) /* 1 / the product of the other points' distances from P */
#define AT_Q (1 / (2 * Q * (QQ - PP)))

INLINE void LV(phase_bt)(const LV(channels) *d, LV(channels) *to)
{
    LV(channels) even_p = P * (d[2] - QQ * d[0]), odd_p = d[3] - QQ * d[1];
    LV(channels) even_q = Q * (d[2] - PP * d[0]), odd_q = d[3] - PP * d[1];
    to[0] = even_p + odd_p;
    to[1] = even_p - odd_p;
    to[2] = even_q + odd_q;
    to[3] = even_q - odd_q;
    to[4] = PP * QQ * d[0] - (PP + QQ) * d[2] + d[4];
}

INLINE void LV(phase_b)(const LV(channels) *v, LV(channels) *to)
{
    LV(channels) even_p = P * (v[0] + v[1]), odd_p = v[0] - v[1];
    LV(channels) even_q = Q * (v[2] + v[3]), odd_q = v[2] - v[3];
    to[0] = PP * QQ * v[4] - (QQ * even_p + PP * even_q);
    to[1] = -(QQ * odd_p + PP * odd_q);
    to[2] = even_p + even_q - (PP + QQ) * v[4];
    to[3] = odd_p + odd_q;
    to[4] = v[4];
}

INLINE void LV(phase_at)(const LV(channels) *v, LV(channels) *to)
{
    LV(channels) even_p = v[0] + v[1], odd_p = P * (v[0] - v[1]);
    LV(channels) even_q = v[2] + v[3], odd_q = Q * (v[2] - v[3]);
    to[0] = even_p + even_q;
    to[1] = odd_p + odd_q;
    to[2] = PP * even_p + QQ * even_q;
    to[3] = PP * odd_p + QQ * odd_q + v[4];
}

INLINE void LV(phase_a)(const LV(channels) *y, LV(channels) *to)
{
    LV(channels) even_p = y[0] + PP * y[2], odd_p = P * (y[1] + PP * y[3]);
    LV(channels) even_q = y[0] + QQ * y[2], odd_q = Q * (y[1] + QQ * y[3]);
    to[0] = even_p + odd_p;
    to[1] = even_p - odd_p;
    to[2] = even_q + odd_q;
    to[3] = even_q - odd_q;
    to[4] = y[3];
}

INLINE void LV(phase_g)(const LV(channels) *g, LV(channels) *to)
{
    LV(channels) even_p = AT_P * g[0], odd_p = AT_P * P * g[1], even_q = AT_Q * g[0], odd_q = AT_Q * Q * g[1];
    to[0] = even_p + odd_p;
    to[1] = even_p - odd_p;
    to[2] = even_q + odd_q;
    to[3] = even_q - odd_q;
    to[4] = g[1];
}

INLINE void LV(phase_gt)(const LV(channels) *u, LV(channels) *to)
{
    to[0] = AT_P * (u[0] + u[1]) + AT_Q * (u[2] + u[3]);
    to[1] = AT_P * P * (u[0] - u[1]) + AT_Q * Q * (u[2] - u[3]) + u[4];
}

#undef P
#undef Q
#undef PP
#undef QQ
#undef AT_P
#undef AT_Q

/* in: [from][from]; out: [to][to]: the transform `one` of the columns, then of the rows. */
#define BOTH_WAYS(one, from, to)                                                   \
    INLINE void LV(both_##one)(const LV(channels) *in, LV(channels) *out)          \
    {                                                                              \
        LV(channels) half[to][from], column[from], done[to];                       \
        for (int j = 0; j < from; j++) {                                           \
            for (int i = 0; i < from; i++)                                         \
                column[i] = in[i * from + j];                                      \
            LV(one)(column, done);                                                 \
            for (int i = 0; i < to; i++)                                           \
                half[i][j] = done[i];                                              \
        }                                                                          \
        for (int i = 0; i < to; i++)                                               \
            LV(one)(half[i], out + i * to);                                        \
    }

BOTH_WAYS(phase_bt, PHASE_SPAN, PHASE_SPAN)
BOTH_WAYS(phase_b, PHASE_SPAN, PHASE_SPAN)
BOTH_WAYS(phase_at, PHASE_SPAN, PHASE_TILE)
BOTH_WAYS(phase_a, PHASE_TILE, PHASE_SPAN)
BOTH_WAYS(phase_g, 2, PHASE_SPAN)
BOTH_WAYS(phase_gt, PHASE_SPAN, 2)
#undef BOTH_WAYS

/* The pixels of a window of side x side, whose corner is (y, x), and NULL for those outside the image. */
INLINE void LV(window)(const struct winograd *w, int64_t image, int64_t y, int64_t x, int side, float **to)
{
    float *plane = w->plain + image * w->height * w->width * w->channels;
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            int inside = y + i >= 0 && y + i < w->height && x + j >= 0 && x + j < w->width;
            to[i * side + j] = inside ? plane + ((y + i) * w->width + x + j) * w->channels : NULL;
        }
}

INLINE LV(channels) LV(pixel)(const float *at, int64_t channel)
{
    return at ? LV(load_f32)(at + channel) : (LV(channels)){0};
}

INLINE void LV(phase_store)(const struct winograd *w, float *to, const LV(channels) *points)
{
    for (int k = 0; k < PHASE_POINTS; k++)
        LV(store_f32)(to + k * w->apart, points[k]);
}

INLINE void LV(phase_load)(const struct winograd *w, const float *from, LV(channels) *points)
{
    for (int k = 0; k < PHASE_POINTS; k++)
        points[k] = LV(load_f32)(from + k * w->apart);
}

/* One of four phases: its first pixel in a window, every second of which belongs to it. */
#define CORNER(phase) ((phase) / 2 * PHASE_WINDOW + (phase) % 2)
#define IN_WINDOW(i, j) (2 * (i) * PHASE_WINDOW + 2 * (j))

static void LV(phase_input)(const struct winograd *w, int64_t unit)
{
    int64_t c = w->channels;
    float *window[PHASE_WINDOW * PHASE_WINDOW], *to = w->points + unit * w->across * 4 * c;
    for (int64_t t = 0; t < w->across; t++) {
        int64_t y = unit % w->down * 2 * PHASE_TILE - w->padding, x = t * 2 * PHASE_TILE - w->padding;
        LV(window)(w, unit / w->down, y, x, PHASE_WINDOW, window);
        for (int phase = 0; phase < 4; phase++)
            for (int64_t at = 0; at < c; at += WIDTH, to += WIDTH) {
                LV(channels) before[PHASE_POINTS], after[PHASE_POINTS];
                for (int i = 0; i < PHASE_SPAN; i++)
                    for (int j = 0; j < PHASE_SPAN; j++)
                        before[i * PHASE_SPAN + j] = LV(pixel)(window[CORNER(phase) + IN_WINDOW(i, j)], at);
                LV(both_phase_bt)(before, after);
                LV(phase_store)(w, to, after);
            }
    }
}

/* A whole image, so that the order in which overlapping windows are added up does not depend on who works. */
static void LV(phase_input_transposed)(const struct winograd *w, int64_t unit)
{
    int64_t c = w->channels, area = w->height * w->width * c;
    float *window[PHASE_WINDOW * PHASE_WINDOW], *from = w->points + unit * w->down * w->across * 4 * c;
    memset(w->plain + unit * area, 0, (size_t)area * sizeof(float));
    for (int64_t t = 0; t < w->down * w->across; t++) {
        int64_t y = t / w->across * 2 * PHASE_TILE - w->padding, x = t % w->across * 2 * PHASE_TILE - w->padding;
        LV(window)(w, unit, y, x, PHASE_WINDOW, window);
        for (int phase = 0; phase < 4; phase++)
            for (int64_t at = 0; at < c; at += WIDTH, from += WIDTH) {
                LV(channels) before[PHASE_POINTS], after[PHASE_POINTS];
                LV(phase_load)(w, from, before);
                LV(both_phase_b)(before, after);
                for (int i = 0; i < PHASE_SPAN; i++)
                    for (int j = 0; j < PHASE_SPAN; j++) {
                        float *pixel = window[CORNER(phase) + IN_WINDOW(i, j)];
                        if (pixel)
                            LV(store_f32)(pixel + at, LV(load_f32)(pixel + at) + after[i * PHASE_SPAN + j]);
                    }
            }
    }
}

static void LV(phase_output)(const struct winograd *w, int64_t unit)
{
    int64_t c = w->channels;
    float *tile[PHASE_TILE * PHASE_TILE], *from = w->points + unit * w->across * c;
    for (int64_t t = 0; t < w->across; t++) {
        LV(window)(w, unit / w->down, unit % w->down * PHASE_TILE, t * PHASE_TILE, PHASE_TILE, tile);
        for (int64_t at = 0; at < c; at += WIDTH, from += WIDTH) {
            LV(channels) before[PHASE_POINTS], after[PHASE_TILE * PHASE_TILE];
            LV(phase_load)(w, from, before);
            LV(both_phase_at)(before, after);
            for (int i = 0; i < PHASE_TILE * PHASE_TILE; i++)
                if (tile[i])
                    LV(store_f32)(tile[i] + at, after[i]);
        }
    }
}

static void LV(phase_output_transposed)(const struct winograd *w, int64_t unit)
{
    int64_t c = w->channels;
    float *tile[PHASE_TILE * PHASE_TILE], *to = w->points + unit * w->across * c;
    for (int64_t t = 0; t < w->across; t++) {
        LV(window)(w, unit / w->down, unit % w->down * PHASE_TILE, t * PHASE_TILE, PHASE_TILE, tile);
        for (int64_t at = 0; at < c; at += WIDTH, to += WIDTH) {
            LV(channels) before[PHASE_TILE * PHASE_TILE], after[PHASE_POINTS];
            for (int i = 0; i < PHASE_TILE * PHASE_TILE; i++)
                before[i] = LV(pixel)(tile[i], at);
            LV(both_phase_a)(before, after);
            LV(phase_store)(w, to, after);
        }
    }
}

#define TAP(phase, i, j) ((2 * (i) + (phase) / 2) * 4 + 2 * (j) + (phase) % 2)

static void LV(phase_filter)(const struct winograd *w, int64_t unit)
{
    int64_t c = w->channels;
    float *filter = w->plain + unit * 16 * c, *to = w->points + unit * 4 * c;
    for (int phase = 0; phase < 4; phase++)
        for (int64_t at = 0; at < c; at += WIDTH, to += WIDTH) {
            LV(channels) before[4], after[PHASE_POINTS];
            for (int i = 0; i < 4; i++)
                before[i] = LV(load_f32)(filter + TAP(phase, i / 2, i % 2) * c + at);
            LV(both_phase_g)(before, after);
            LV(phase_store)(w, to, after);
        }
}

static void LV(phase_filter_transposed)(const struct winograd *w, int64_t unit)
{
    int64_t c = w->channels;
    float *filter = w->plain + unit * 16 * c, *from = w->points + unit * 4 * c;
    for (int phase = 0; phase < 4; phase++)
        for (int64_t at = 0; at < c; at += WIDTH, from += WIDTH) {
            LV(channels) before[PHASE_POINTS], after[4];
            LV(phase_load)(w, from, before);
            LV(both_phase_gt)(before, after);
            for (int i = 0; i < 4; i++)
                LV(store_f32)(filter + TAP(phase, i / 2, i % 2) * c + at, after[i]);
        }
}

/* In the order of `enum transform`. */
static const polyphase_work LV(polyphase)[] = {
    LV(phase_input),
    LV(phase_input_transposed),
    LV(phase_output),
    LV(phase_output_transposed),
    LV(phase_filter),
    LV(phase_filter_transposed),
};

#undef WIDTH
#undef CORNER
#undef IN_WINDOW
#undef TAP
