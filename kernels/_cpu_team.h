/* The thread pool: PyTorch's own OpenMP team, found at run time in the library that PyTorch has loaded.
 *
 * Linking an OpenMP of our own would bring a second pool, whose threads spin against PyTorch's. Where none
 * is found the work runs on the calling thread.
 */

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

#define WORTH_A_TEAM 131072 /* bytes moved below which waking threads costs more than they save */

struct job {
    void (*run)(const struct job *, int64_t begin, int64_t end);
    int64_t items;
};

static void (*team_start)(void (*)(void *), void *, unsigned, unsigned);
static int (*team_rank)(void);
static int (*team_size)(void);
static void (*team_wait)(void); /* for the whole team */

/* The file the pool comes from, or NULL. Called again until PyTorch is loaded. */
static const char *find_team(void)
{
#if defined(_WIN32)
    return NULL;
#else
    static Dl_info where;
    if (!team_start) {
        *(void **)&team_rank = dlsym(RTLD_DEFAULT, "omp_get_thread_num");
        *(void **)&team_size = dlsym(RTLD_DEFAULT, "omp_get_num_threads");
        *(void **)&team_wait = dlsym(RTLD_DEFAULT, "GOMP_barrier");
        if (team_rank && team_size && team_wait)
            *(void **)&team_start = dlsym(RTLD_DEFAULT, "GOMP_parallel");
    }
    if (!team_start || !dladdr(*(void **)&team_start, &where))
        return NULL;
    return where.dli_fname;
#endif
}

static void team_part(void *shared)
{
    const struct job *job = shared;
    int64_t rank = team_rank(), size = team_size();
    job->run(job, job->items * rank / size, job->items * (rank + 1) / size);
}

static void run_job(struct job *job, int64_t bytes, int64_t threads)
{
    if (threads < 2 || job->items < 2 || bytes < WORTH_A_TEAM || !team_start)
        job->run(job, 0, job->items);
    else
        team_start(team_part, job, (unsigned)threads, 0);
}
