#define _GNU_SOURCE
#include "common/thread_pool.h"

#include <stddef.h>
#if !defined(_WIN32)
#include <dlfcn.h>
#endif

#define WORTH_WAKING 131072 /* bytes moved below which waking threads costs more than they save */

void (*pool_start)(void (*)(void *), void *, unsigned, unsigned);
int (*pool_rank)(void);
int (*pool_size)(void);
void (*pool_wait)(void);

const char *find_thread_pool(void)
{
#if defined(_WIN32)
    return NULL;
#else
    static Dl_info where;
    if (!pool_start) {
        *(void **)&pool_rank = dlsym(RTLD_DEFAULT, "omp_get_thread_num");
        *(void **)&pool_size = dlsym(RTLD_DEFAULT, "omp_get_num_threads");
        *(void **)&pool_wait = dlsym(RTLD_DEFAULT, "GOMP_barrier");
        if (pool_rank && pool_size && pool_wait)
            *(void **)&pool_start = dlsym(RTLD_DEFAULT, "GOMP_parallel");
    }
    if (!pool_start || !dladdr(*(void **)&pool_start, &where))
        return NULL;
    return where.dli_fname;
#endif
}

static void run_share(void *shared)
{
    const struct job *job = shared;
    int64_t rank = pool_rank(), size = pool_size();
    job->run(job, job->items * rank / size, job->items * (rank + 1) / size);
}

void run_job(struct job *job, int64_t bytes, int64_t threads)
{
    if (threads < 2 || job->items < 2 || bytes < WORTH_WAKING || !pool_start)
        job->run(job, 0, job->items);
    else
        pool_start(run_share, job, (unsigned)threads, 0);
}
