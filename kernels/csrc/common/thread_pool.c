#define _GNU_SOURCE
#include "common/thread_pool.h"

#include <stddef.h>
#include <time.h>
#if !defined(_WIN32)
#include <dlfcn.h>
#endif

#define WORTH_WAKING 131072 /* bytes moved below which waking threads costs more than they save */
#define LATE 500000         /* ns that another thread may end after the calling one, and as long as that one worked */
#define ALONE 2000000       /* ns that the calling thread works alone after it waited longer, at first */
#define ALONE_MOST 1000000000

int (*pool_rank)(void);
int (*pool_size)(void);
static void (*start)(void (*)(void *), void *, unsigned, unsigned);
static void (*barrier)(void);

struct region {
    void (*part)(void *);
    void *shared;
    int64_t began, waits, ended; /* of the caller's part, in ns: what it waited at barriers stands between */
};

/* Of each thread that calls: how long it works alone, until when, how long it has been in company since, and how often
 * it was held up; all but the last in ns. */
static _Thread_local int64_t alone = ALONE, alone_until, company, held_up;
static _Thread_local struct region *region;

const char *find_thread_pool(void)
{
#if defined(_WIN32)
    return NULL;
#else
    static Dl_info where;
    if (!start) {
        *(void **)&pool_rank = dlsym(RTLD_DEFAULT, "omp_get_thread_num");
        *(void **)&pool_size = dlsym(RTLD_DEFAULT, "omp_get_num_threads");
        *(void **)&barrier = dlsym(RTLD_DEFAULT, "GOMP_barrier");
        if (pool_rank && pool_size && barrier)
            *(void **)&start = dlsym(RTLD_DEFAULT, "GOMP_parallel");
    }
    if (!start || !dladdr(*(void **)&start, &where))
        return NULL;
    return where.dli_fname;
#endif
}

static int64_t now(void)
{
#if defined(_WIN32)
    return 0; /* no pool, nothing to measure */
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#endif
}

int64_t pool_team(int64_t threads) { return threads < 2 || !start || (alone_until && now() < alone_until) ? 1 : threads; }

static void run_part(void *shared)
{
    struct region *r = shared;
    int caller = pool_rank() == 0;
    if (caller)
        r->began = now();
    r->part(r->shared);
    if (caller)
        r->ended = now();
}

void pool_wait(void)
{
    int caller = pool_rank() == 0;
    int64_t began = caller ? now() : 0;
    barrier();
    if (caller)
        region->waits += now() - began;
}

/* Whether the region was held up by a thread that did not run, before it, in it or after it; and what follows. */
static void judge(int64_t began, int64_t ended)
{
    int64_t work = region->ended - region->began - region->waits, wait = ended - began - work;
    if (wait > work + LATE) {
        held_up++;
        alone_until = ended + alone;
        alone = 2 * alone < ALONE_MOST ? 2 * alone : ALONE_MOST;
        company = 0;
    } else if ((company += ended - began) > alone && alone > ALONE) {
        alone /= 2;
        company = 0;
    }
}

void pool_run(void (*part)(void *), void *shared, int64_t team)
{
    struct region r = {.part = part, .shared = shared};
    region = &r;
    int64_t began = now();
    start(run_part, &r, (unsigned)team, 0);
    judge(began, now());
}

static void run_share(void *shared)
{
    const struct job *job = shared;
    int64_t rank = pool_rank(), size = pool_size();
    job->run(job, job->items * rank / size, job->items * (rank + 1) / size);
}

void run_job(struct job *job, int64_t bytes, int64_t threads)
{
    int64_t team = job->items < 2 || bytes < WORTH_WAKING ? 1 : pool_team(threads);
    if (team == 1)
        job->run(job, 0, job->items);
    else
        pool_run(run_share, job, team);
}

int64_t pool_held_up(void) { return held_up; }

int pool_contended(void) { return alone > 4 * ALONE; }
