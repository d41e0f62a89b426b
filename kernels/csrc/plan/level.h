/* The types that a plan computes in, at one vector width. Included by common/each_level.h. */

#define FN(name) LV(name##_f32)
#define ELEM float
#define VEC LV(vf)
#define LANES 32
#define LOAD(p) LV(load_f32)(p)
#define EXP(x) exp_f32(x)
#define TANH(x) tanh_f32(x)
#define SIGMOID(x) (1 / (1 + exp_f32(-(x))))
#define LOG logf
#define LOG1P log1pf
#define SQRT sqrtf
#include "plan/tiles.h"

#define FN(name) LV(name##_f64)
#define ELEM double
#define VEC LV(vd)
#define LANES 16
#define LOAD(p) LV(load_f64)(p)
#define EXP exp
#define TANH tanh
#define SIGMOID(x) (1 / (1 + exp(-(x))))
#define LOG log
#define LOG1P log1p
#define SQRT sqrt
#include "plan/tiles.h"

static const tile_runner LV(tiles)[] = {LV(run_tile_f64), LV(run_tile_f32)};
