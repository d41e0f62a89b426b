/* The vector widths that the loops are compiled for, and the one in use. */
#ifndef GANKIT_LEVELS_H
#define GANKIT_LEVELS_H

#define INLINE static inline __attribute__((always_inline, unused))

extern int current_level; /* in module.c */

#if !defined(__x86_64__)
#define LEVEL_NAMES {"baseline"}
#define BY_LEVEL(name) {name##_baseline}
#elif defined(__clang__) || __GNUC__ >= 10
#define HAVE_PAIRS /* avx512_bf16, which differs in matrix products alone */
#define LEVEL_NAMES {"baseline", "avx2", "avx512", "avx512_bf16"}
#define BY_LEVEL(name) {name##_baseline, name##_avx2, name##_avx512, name##_avx512}
#else
#define LEVEL_NAMES {"baseline", "avx2", "avx512"}
#define BY_LEVEL(name) {name##_baseline, name##_avx2, name##_avx512}
#endif

#endif
