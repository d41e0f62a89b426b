/* The element types at one vector width: AT_TYPE is included for each of them.
 *
 * It finds these set: FN(name), ELEM (stored), ACC (computed), VEC (a vector of ACC), LANES (accumulators of a sum, the
 * same at every width), LOAD(p), STORE(p, v), STREAM(p, v), which passes the caches by, LOAD_BYTES(p), MAGNITUDE(v),
 * SELECT(mask, c), and what common/one_type.h makes of them.
 */

#define FN(name) LV(name##_f32)
#define ELEM float
#define ACC float
#define VEC LV(vf)
#define LANES 32
#define LOAD(p) LV(load_f32)(p)
#define STORE(p, v) LV(store_f32)(p, v)
#define STREAM(p, v) LV(stream_f32)(p, v)
#define LOAD_BYTES(p) LV(bytes_f32)(p)
#define MAGNITUDE(v) (LV(vf))((LV(vi))(v)&0x7fffffff)
#define SELECT(mask, c) (LV(vf))((mask) & (LV(vi))(c))
#include "common/one_type.h"

#define FN(name) LV(name##_bf16)
#define ELEM uint16_t
#define ACC float
#define VEC LV(vf)
#define LANES 32
#define LOAD(p) LV(load_bf16)(p)
#define STORE(p, v) LV(store_bf16)(p, v)
#define STREAM(p, v) LV(stream_half)(p, LV(to_bf16)(v))
#define LOAD_BYTES(p) LV(bytes_f32)(p)
#define MAGNITUDE(v) (LV(vf))((LV(vi))(v)&0x7fffffff)
#define SELECT(mask, c) (LV(vf))((mask) & (LV(vi))(c))
#include "common/one_type.h"

#define FN(name) LV(name##_f16)
#define ELEM uint16_t
#define ACC float
#define VEC LV(vf)
#define LANES 32
#define LOAD(p) LV(load_f16)(p)
#define STORE(p, v) LV(store_f16)(p, v)
#define STREAM(p, v) LV(stream_half)(p, LV(to_f16)(v))
#define LOAD_BYTES(p) LV(bytes_f32)(p)
#define MAGNITUDE(v) (LV(vf))((LV(vi))(v)&0x7fffffff)
#define SELECT(mask, c) (LV(vf))((mask) & (LV(vi))(c))
#include "common/one_type.h"

#define FN(name) LV(name##_f64)
#define ELEM double
#define ACC double
#define VEC LV(vd)
#define LANES 16
#define LOAD(p) LV(load_f64)(p)
#define STORE(p, v) LV(store_f64)(p, v)
#define STREAM(p, v) LV(stream_f64)(p, v)
#define LOAD_BYTES(p) LV(bytes_f64)(p)
#define MAGNITUDE(v) (LV(vd))((LV(vl))(v)&0x7fffffffffffffff)
#define SELECT(mask, c) (LV(vd))((mask) & (LV(vl))(c))
#include "common/one_type.h"
