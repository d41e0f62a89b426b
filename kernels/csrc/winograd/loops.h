/* Winograd's transforms of planes of pixels and of filters, at one vector width.
 *
 * Included by common/each_level.h. Up to WINOGRAD_CHUNK tiles are laid out with a row of `stage` for each place in a
 * tile, so that lanes are tiles, whatever the plane's size; two one-dimensional transforms then go over whole vectors.
 * What stands past the last tile is computed, too, and not kept.
 */

#include "winograd/tiles.h"

#define WIDTH ((int64_t)(sizeof(LV(lanes)) / sizeof(float)))

/* in: [from x from][WINOGRAD_ROOM]; out: [to x to][WINOGRAD_ROOM]: the transform `one` of the columns, then of the rows. */
#define BOTH_WAYS(one, from, to)                                                        \
    static void LV(both_##one)(const float *in, float *out, int64_t tiles)              \
    {                                                                                   \
        for (int64_t at = 0; at < tiles; at += WIDTH) {                                 \
            LV(lanes) half[to][from], column[from], done[to];                           \
            for (int j = 0; j < from; j++) {                                            \
                for (int i = 0; i < from; i++)                                          \
                    column[i] = LV(load_f32)(in + (i * from + j) * WINOGRAD_ROOM + at); \
                LV(one)(column, done);                                                  \
                for (int i = 0; i < to; i++)                                            \
                    half[i][j] = done[i];                                               \
            }                                                                           \
            for (int i = 0; i < to; i++) {                                              \
                LV(one)(half[i], done);                                                 \
                for (int j = 0; j < to; j++)                                            \
                    LV(store_f32)(out + (i * to + j) * WINOGRAD_ROOM + at, done[j]);    \
            }                                                                           \
        }                                                                               \
    }

BOTH_WAYS(bt, WINOGRAD_SPAN, WINOGRAD_SPAN)
BOTH_WAYS(b, WINOGRAD_SPAN, WINOGRAD_SPAN)
BOTH_WAYS(at, WINOGRAD_SPAN, WINOGRAD_TILE)
BOTH_WAYS(a, WINOGRAD_TILE, WINOGRAD_SPAN)
BOTH_WAYS(g, 3, WINOGRAD_SPAN)
BOTH_WAYS(gt, WINOGRAD_SPAN, 3)
#undef BOTH_WAYS

/* Four tiles' four pixels to four rows of tiles, and back. */
INLINE void LV(turn)(quad *q)
{
    quad low = SHUFFLE_QUADS(q[0], q[1], 0, 4, 1, 5), high = SHUFFLE_QUADS(q[0], q[1], 2, 6, 3, 7);
    quad low_2 = SHUFFLE_QUADS(q[2], q[3], 0, 4, 1, 5), high_2 = SHUFFLE_QUADS(q[2], q[3], 2, 6, 3, 7);
    q[0] = SHUFFLE_QUADS(low, low_2, 0, 1, 4, 5);
    q[1] = SHUFFLE_QUADS(low, low_2, 2, 3, 6, 7);
    q[2] = SHUFFLE_QUADS(high, high_2, 0, 1, 4, 5);
    q[3] = SHUFFLE_QUADS(high, high_2, 2, 3, 6, 7);
}

/* `side` pixels of each of `run` tiles, WINOGRAD_TILE apart on a line, to rows of `stage`; fours of tiles are read
 * whole. */
INLINE void LV(take_line)(const float *line, int64_t run, int side, float *stage)
{
    for (int64_t t = 0; t < run; t += 4) {
        quad q[5];
        memcpy(q, line + WINOGRAD_TILE * t, 4 * sizeof *q);
        if (side > WINOGRAD_TILE) { /* the next tile's first two pixels, too */
            q[4] = (quad){line[WINOGRAD_TILE * t + 16], line[WINOGRAD_TILE * t + 17], 0, 0};
            quad low = SHUFFLE_QUADS(q[1], q[2], 0, 4, 1, 5), low_2 = SHUFFLE_QUADS(q[3], q[4], 0, 4, 1, 5);
            quad fifth = SHUFFLE_QUADS(low, low_2, 0, 1, 4, 5), sixth = SHUFFLE_QUADS(low, low_2, 2, 3, 6, 7);
            memcpy(stage + 4 * WINOGRAD_ROOM + t, &fifth, sizeof fifth);
            memcpy(stage + 5 * WINOGRAD_ROOM + t, &sixth, sizeof sixth);
        }
        LV(turn)(q);
        for (int j = 0; j < 4; j++)
            memcpy(stage + j * WINOGRAD_ROOM + t, q + j, sizeof *q);
    }
}

/* The other way: put, or added to what is there. A tile's fifth and sixth pixel are the next one's first two. */
INLINE void LV(put_line)(enum way way, float *line, int64_t run, int side, const float *stage)
{
    const float *fifth = stage + 4 * WINOGRAD_ROOM, *sixth = stage + 5 * WINOGRAD_ROOM;
    for (int64_t t = 0; t < run; t += 4) {
        quad q[4], more[2], there[4];
        for (int j = 0; j < 4; j++)
            memcpy(q + j, stage + j * WINOGRAD_ROOM + t, sizeof *q);
        if (side > WINOGRAD_TILE) {
            memcpy(more, t ? fifth + t - 1 : fifth, sizeof *more);
            memcpy(more + 1, t ? sixth + t - 1 : sixth, sizeof *more);
            q[0] += t ? more[0] : SHUFFLE_QUADS(more[0], (quad){0}, 4, 0, 1, 2);
            q[1] += t ? more[1] : SHUFFLE_QUADS(more[1], (quad){0}, 4, 0, 1, 2);
        }
        LV(turn)(q);
        if (way == ADD) {
            memcpy(there, line + WINOGRAD_TILE * t, sizeof there);
            for (int j = 0; j < 4; j++)
                q[j] += there[j];
        }
        memcpy(line + WINOGRAD_TILE * t, q, sizeof q);
    }
    if (side > WINOGRAD_TILE) {
        line[WINOGRAD_TILE * run] = fifth[run - 1] + (way == ADD ? line[WINOGRAD_TILE * run] : 0);
        line[WINOGRAD_TILE * run + 1] = sixth[run - 1] + (way == ADD ? line[WINOGRAD_TILE * run + 1] : 0);
    }
}

/* Pixel (i, j) of each of `tiles` tiles, `side` pixels wide, from or to row i * side + j of `stage`. What lies outside
 * the plane is taken as 0 and is not put. A line that is not whole fours of tiles, or leaves the plane, is moved by way
 * of `margin`. */
INLINE void LV(pixels)(const struct winograd *w, enum way way, float *plane, int64_t padding, int side, int64_t first,
                       int64_t tiles, float *stage)
{
    float margin[WINOGRAD_TILE * (WINOGRAD_CHUNK + 4) + 2];
    for (int64_t at = 0, run; at < tiles; at += run) {
        int64_t row = (first + at) / w->across, column = (first + at) % w->across;
        run = least(w->across - column, tiles - at);
        int64_t x = column * WINOGRAD_TILE - padding, span = WINOGRAD_TILE * run + side - WINOGRAD_TILE;
        int64_t begin = x < 0 ? -x : 0, end = least(span, w->width - x);
        int64_t whole = run % 4 == 0 && begin == 0 && end == span;
        for (int i = 0; i < side; i++) {
            int64_t y = row * WINOGRAD_TILE - padding + i;
            float *lanes = stage + i * side * WINOGRAD_ROOM + at, *line = plane + y * w->width + x;
            if (y < 0 || y >= w->height) {
                for (int j = 0; way == TAKE && j < side; j++)
                    memset(lanes + j * WINOGRAD_ROOM, 0, (size_t)run * sizeof(float));
            } else if (way == TAKE && whole) {
                LV(take_line)(line, run, side, lanes);
            } else if (whole) {
                LV(put_line)(way, line, run, side, lanes);
            } else if (way == TAKE) {
                memset(margin, 0, (size_t)(span + 4 * WINOGRAD_TILE) * sizeof(float));
                memcpy(margin + begin, line + begin, (size_t)(end - begin) * sizeof(float));
                LV(take_line)(margin, run, side, lanes);
            } else {
                LV(put_line)(PUT, margin, run, side, lanes);
                for (int64_t k = begin; k < end; k++)
                    line[k] = way == ADD ? line[k] + margin[k] : margin[k];
            }
        }
    }
}

/* The rows of `stage` to and from the matrices, one for each point. There are more of those than a processor follows by
 * itself, so it is told beforehand which lines will be read or written next. */
INLINE void LV(from_points)(const struct winograd *w, const float *points, float *stage, int64_t tiles)
{
    for (int k = 0; k < WINOGRAD_POINTS; k++) {
        const float *row = points + k * w->apart;
        memcpy(stage + k * WINOGRAD_ROOM, row, (size_t)tiles * sizeof(float));
        for (int64_t t = tiles; t < 2 * tiles; t += 16)
            __builtin_prefetch(row + t);
    }
}

INLINE void LV(expect)(const struct winograd *w, const float *points, int64_t tiles)
{
    for (int k = 0; k < WINOGRAD_POINTS; k++)
        for (int64_t t = 0; t < tiles; t += 16)
            __builtin_prefetch(points + k * w->apart + t, 1);
}

INLINE void LV(to_points)(const struct winograd *w, float *points, const float *stage, int64_t tiles)
{
    for (int k = 0; k < WINOGRAD_POINTS; k++)
        memcpy(points + k * w->apart, stage + k * WINOGRAD_ROOM, (size_t)tiles * sizeof(float));
}

static void LV(input)(const struct winograd *w, float *plane, float *points, int64_t first, int64_t tiles)
{
    _Alignas(64) float before[WINOGRAD_POINTS * WINOGRAD_ROOM], after[WINOGRAD_POINTS * WINOGRAD_ROOM];
    LV(expect)(w, points, tiles);
    LV(pixels)(w, TAKE, plane, w->padding, WINOGRAD_SPAN, first, tiles, before);
    LV(both_bt)(before, after, tiles);
    LV(to_points)(w, points, after, tiles);
}

static void LV(input_transposed)(const struct winograd *w, float *plane, float *points, int64_t first, int64_t tiles)
{
    _Alignas(64) float before[WINOGRAD_POINTS * WINOGRAD_ROOM], after[WINOGRAD_POINTS * WINOGRAD_ROOM];
    LV(from_points)(w, points, before, tiles);
    LV(both_b)(before, after, tiles);
    LV(pixels)(w, ADD, plane, w->padding, WINOGRAD_SPAN, first, tiles, after);
}

static void LV(output)(const struct winograd *w, float *plane, float *points, int64_t first, int64_t tiles)
{
    _Alignas(64) float before[WINOGRAD_POINTS * WINOGRAD_ROOM], after[WINOGRAD_TILE * WINOGRAD_TILE * WINOGRAD_ROOM];
    LV(from_points)(w, points, before, tiles);
    LV(both_at)(before, after, tiles);
    LV(pixels)(w, PUT, plane, 0, WINOGRAD_TILE, first, tiles, after);
}

static void LV(output_transposed)(const struct winograd *w, float *plane, float *points, int64_t first, int64_t tiles)
{
    _Alignas(64) float before[WINOGRAD_TILE * WINOGRAD_TILE * WINOGRAD_ROOM], after[WINOGRAD_POINTS * WINOGRAD_ROOM];
    LV(expect)(w, points, tiles);
    LV(pixels)(w, TAKE, plane, 0, WINOGRAD_TILE, first, tiles, before);
    LV(both_a)(before, after, tiles);
    LV(to_points)(w, points, after, tiles);
}

static void LV(filter)(const struct winograd *w, float *filters, float *points, int64_t first, int64_t tiles)
{
    _Alignas(64) float before[9 * WINOGRAD_ROOM], after[WINOGRAD_POINTS * WINOGRAD_ROOM];
    LV(expect)(w, points, tiles);
    for (int64_t t = 0; t < tiles; t++)
        for (int k = 0; k < 9; k++)
            before[k * WINOGRAD_ROOM + t] = filters[9 * (first + t) + k];
    LV(both_g)(before, after, tiles);
    LV(to_points)(w, points, after, tiles);
}

static void LV(filter_transposed)(const struct winograd *w, float *filters, float *points, int64_t first, int64_t tiles)
{
    _Alignas(64) float before[WINOGRAD_POINTS * WINOGRAD_ROOM], after[9 * WINOGRAD_ROOM];
    LV(from_points)(w, points, before, tiles);
    LV(both_gt)(before, after, tiles);
    for (int64_t t = 0; t < tiles; t++)
        for (int k = 0; k < 9; k++)
            filters[9 * (first + t) + k] = after[k * WINOGRAD_ROOM + t];
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
