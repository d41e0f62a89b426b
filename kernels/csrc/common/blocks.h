/* How work is cut into blocks, which depend on the shapes alone: threads take whole blocks, so a result does not depend
 * on how many there are.
 */
#ifndef GANKIT_BLOCKS_H
#define GANKIT_BLOCKS_H

#include <stddef.h>
#include <stdint.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define SUM_BLOCK 4096  /* elements summed in one type before double precision takes over */
#define MAP_BLOCK 16384 /* elements of an elementwise op given out at once */
#define STREAM_FROM (int64_t)(24 << 20) /* bytes written above which they are better kept out of the caches */

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t blocks_of(int64_t elements, int64_t block) { return (elements + block - 1) / block; }

/* How many of n elements to write before the rest can be streamed to whole cache lines; all where it does not pay. */
static inline int64_t head_of(int64_t n, int64_t bytes, const void *out, int64_t size)
{
    return bytes < STREAM_FROM ? n : least(n, (int64_t)((64 - (uintptr_t)out % 64) % 64 / (size_t)size));
}

/* Streaming stores are weakly ordered: they must be seen before the pool's barrier lets others read. */
static inline void drain(void)
{
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

#endif
