/* The thread pool: PyTorch's own OpenMP threads, found at run time in the library that PyTorch has loaded.
 *
 * Linking an OpenMP of our own would bring a second pool, whose threads spin against PyTorch's. Where none
 * is found the work runs on the calling thread.
 */
#ifndef GANKIT_THREAD_POOL_H
#define GANKIT_THREAD_POOL_H

#include <stdint.h>

struct job {
    void (*run)(const struct job *, int64_t begin, int64_t end);
    int64_t items;
};

extern void (*pool_start)(void (*)(void *), void *, unsigned, unsigned); /* NULL where there is no pool */
extern int (*pool_rank)(void);
extern int (*pool_size)(void);
extern void (*pool_wait)(void); /* for all threads */

/* The file the pool comes from, or NULL. Called again until PyTorch is loaded. */
const char *find_thread_pool(void);

/* Runs all items, in equal shares where `bytes`, what the job moves, is worth waking threads. */
void run_job(struct job *job, int64_t bytes, int64_t threads);

#endif
