/* Winograd's transforms of planes of pixels and of filters, for one size of tile at one vector width.
 *
 * Included by _cpu_winograd_tiles.h with TILE, the m of F(m x m, 3x3), and LV(name) set. Pixels of up to CHUNK tiles are
 * laid out with one row of `stage` for each place in the tile, so that lanes are tiles, whatever the plane's size; then
 * two one-dimensional transforms go over whole vectors. What lies past the last tile is computed and not kept.
 */

#define WIDTH ((int64_t)(sizeof(LV(lanes)) / sizeof(float)))

/* in: [from x from][CHUNK]; out: [to x to][CHUNK]: the transform `one` of the columns, then of the rows. */
#define BOTH_WAYS(one, from, to)                                                         \
    static void LV(both_##one)(const float *in, float *out, int64_t tiles)               \
    {                                                                                    \
        for (int64_t at = 0; at < tiles; at += WIDTH) {                                  \
            LV(lanes) half[to][from], column[from], done[to];                            \
            for (int j = 0; j < from; j++) {                                             \
                for (int i = 0; i < from; i++)                                           \
                    column[i] = LV(load_f32)(in + (i * from + j) * CHUNK + at);          \
                LV(one)(column, done);                                                   \
                for (int i = 0; i < to; i++)                                             \
                    half[i][j] = done[i];                                                \
            }                                                                            \
            for (int i = 0; i < to; i++) {                                               \
                LV(one)(half[i], done);                                                  \
                for (int j = 0; j < to; j++)                                             \
                    LV(store_f32)(out + (i * to + j) * CHUNK + at, done[j]);             \
            }                                                                            \
        }                                                                                \
    }

BOTH_WAYS(bt, SPAN, SPAN)
BOTH_WAYS(b, SPAN, SPAN)
BOTH_WAYS(at, SPAN, TILE)
BOTH_WAYS(a, TILE, SPAN)
BOTH_WAYS(g, 3, SPAN)
BOTH_WAYS(gt, SPAN, 3)
#undef BOTH_WAYS

/* Pixel (i, j) of each of `tiles` tiles, `side` pixels wide and TILE apart, from or to row i * side + j of `stage`.
 * Pixels outside the plane are taken as 0 and are not put. */
INLINE void LV(pixels)(const struct winograd *w, enum way way, float *plane, int64_t padding, int side, int64_t first,
                       int64_t tiles, float *stage)
{
    for (int64_t at = 0, run; at < tiles; at += run) {
        int64_t row = (first + at) / w->across, column = (first + at) % w->across;
        run = least(w->across - column, tiles - at);
        for (int i = 0; i < side; i++) {
            int64_t y = row * TILE - padding + i;
            int inside = y >= 0 && y < w->height;
            for (int j = 0; j < side; j++) {
                int64_t x = column * TILE - padding + j, begin = x < 0;
                int64_t end = inside && x < w->width ? least(run, (w->width - x + TILE - 1) / TILE) : 0;
                float *lanes = stage + (i * side + j) * CHUNK + at, *line = plane + (inside ? y * w->width : 0) + x;
                if (way == TAKE && begin)
                    lanes[0] = 0;
                for (int64_t t = begin; t < end; t++)
                    if (way == TAKE)
                        lanes[t] = line[t * TILE];
                    else if (way == PUT)
                        line[t * TILE] = lanes[t];
                    else
                        line[t * TILE] += lanes[t];
                for (int64_t t = end; way == TAKE && t < run; t++)
                    lanes[t] = 0;
            }
        }
    }
}

/* Rows of `stage` to and from the matrices, one for each point, that are multiplied. */
INLINE void LV(to_points)(const struct winograd *w, float *points, const float *stage, int64_t tiles)
{
    for (int k = 0; k < POINTS; k++)
        memcpy(points + k * w->apart, stage + k * CHUNK, (size_t)tiles * sizeof(float));
}

INLINE void LV(from_points)(const struct winograd *w, const float *points, float *stage, int64_t tiles)
{
    for (int k = 0; k < POINTS; k++)
        memcpy(stage + k * CHUNK, points + k * w->apart, (size_t)tiles * sizeof(float));
}

INLINE void LV(soon)(const struct winograd *w, const float *points, int64_t tiles)
{
    for (int k = 0; k < POINTS; k++)
        for (int64_t t = 0; t < tiles; t += 16)
            __builtin_prefetch(points + k * w->apart + t, 1);
}

static void LV(input)(const struct winograd *w, float *plane, float *points, int64_t first, int64_t tiles)
{
    float before[POINTS * CHUNK], after[POINTS * CHUNK];
    LV(soon)(w, points, tiles);
    LV(pixels)(w, TAKE, plane, w->padding, SPAN, first, tiles, before);
    LV(both_bt)(before, after, tiles);
    LV(to_points)(w, points, after, tiles);
}

static void LV(input_transposed)(const struct winograd *w, float *plane, float *points, int64_t first, int64_t tiles)
{
    float before[POINTS * CHUNK], after[POINTS * CHUNK];
    LV(from_points)(w, points, before, tiles);
    LV(both_b)(before, after, tiles);
    LV(pixels)(w, ADD, plane, w->padding, SPAN, first, tiles, after);
}

static void LV(output)(const struct winograd *w, float *plane, float *points, int64_t first, int64_t tiles)
{
    float before[POINTS * CHUNK], after[TILE * TILE * CHUNK];
    LV(from_points)(w, points, before, tiles);
    LV(both_at)(before, after, tiles);
    LV(pixels)(w, PUT, plane, 0, TILE, first, tiles, after);
}

static void LV(output_transposed)(const struct winograd *w, float *plane, float *points, int64_t first, int64_t tiles)
{
    float before[TILE * TILE * CHUNK], after[POINTS * CHUNK];
    LV(soon)(w, points, tiles);
    LV(pixels)(w, TAKE, plane, 0, TILE, first, tiles, before);
    LV(both_a)(before, after, tiles);
    LV(to_points)(w, points, after, tiles);
}

static void LV(filter)(const struct winograd *w, float *filters, float *points, int64_t first, int64_t tiles)
{
    float before[9 * CHUNK], after[POINTS * CHUNK];
    LV(soon)(w, points, tiles);
    for (int64_t t = 0; t < tiles; t++)
        for (int k = 0; k < 9; k++)
            before[k * CHUNK + t] = filters[9 * (first + t) + k];
    LV(both_g)(before, after, tiles);
    LV(to_points)(w, points, after, tiles);
}

static void LV(filter_transposed)(const struct winograd *w, float *filters, float *points, int64_t first, int64_t tiles)
{
    float before[POINTS * CHUNK], after[9 * CHUNK];
    LV(from_points)(w, points, before, tiles);
    LV(both_gt)(before, after, tiles);
    for (int64_t t = 0; t < tiles; t++)
        for (int k = 0; k < 9; k++)
            filters[9 * (first + t) + k] = after[k * CHUNK + t];
}

/* In the order of `enum transform`. */
static const winograd_work LV(winograd)[] = {
    LV(input),
    LV(input_transposed),
    LV(output),
    LV(output_transposed),
    LV(filter),
    LV(filter_transposed),
};

#undef WIDTH
