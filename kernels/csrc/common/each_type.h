/* Includes AT_TYPE, a file, once for each element type at each vector width; see common/types.h. */
#define AT_LEVEL "common/types.h"
#include "common/each_level.h"
#undef AT_TYPE

/* The functions FN(name) as they are chosen: [level][type code]. */
#if defined(__x86_64__) && defined(HAVE_PAIRS)
#define BY_LEVEL_AND_TYPE(name) \
    {BY_TYPE(name, baseline), BY_TYPE(name, avx2), BY_TYPE(name, avx512), BY_TYPE(name, avx512)}
#elif defined(__x86_64__)
#define BY_LEVEL_AND_TYPE(name) {BY_TYPE(name, baseline), BY_TYPE(name, avx2), BY_TYPE(name, avx512)}
#else
#define BY_LEVEL_AND_TYPE(name) {BY_TYPE(name, baseline)}
#endif
#define BY_TYPE(name, level) {name##_f64_##level, name##_f32_##level, name##_bf16_##level, name##_f16_##level}
