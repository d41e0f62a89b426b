/* The thread pool: PyTorch's own OpenMP threads, found at run time in the library that PyTorch has loaded.
 *
 * Linking an OpenMP of our own would bring a second pool, whose threads spin against PyTorch's. Where none
 * is found the work runs on the calling thread.
 *
 * A region ends when its last thread ends, and a thread that another process has put off its core ends late: by some
 * milliseconds, or by tenths of a second in a process of low priority. So the calling thread measures what it waits
 * for the others, and works alone for a while where that is much longer than the work itself: for twice as long
 * each time it happens again, up to a second. The bits of a result do not depend on who did what.
 */
#ifndef GANKIT_THREAD_POOL_H
#define GANKIT_THREAD_POOL_H

#include <stdint.h>

struct job {
    void (*run)(const struct job *, int64_t begin, int64_t end);
    int64_t items;
};

extern int (*pool_rank)(void);
extern int (*pool_size)(void);

/* The file the pool comes from, or NULL. Called again until PyTorch is loaded. */
const char *find_thread_pool(void);

/* How many of `threads` threads to use now: 1 without a pool, and while the calling thread works alone. */
int64_t pool_team(int64_t threads);

/* Runs `part` once on each of `team` threads, which find their places by pool_rank and pool_size. */
void pool_run(void (*part)(void *), void *shared, int64_t team);

/* Within `part`: waits for all threads. */
void pool_wait(void);

/* Runs all items, in equal shares where `bytes`, what the job moves, is worth waking threads. */
void run_job(struct job *job, int64_t bytes, int64_t threads);

/* How often the calling thread was held up by another that was off its core. */
int64_t pool_held_up(void);

/* Whether that goes on: it has worked alone for a while several times in a row. */
int pool_contended(void);

#endif
