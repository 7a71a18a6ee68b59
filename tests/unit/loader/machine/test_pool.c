/* pool: order of commits, the window, nesting, and the reported failure, under random delays. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/machine/pool.h"
#include "loader/os/os.h"
#include "tests/unit/main.h"
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const unsigned thread_counts[] = {1, 2, 7};
#define THREAD_COUNTS (sizeof thread_counts / sizeof *thread_counts)

typedef struct job {
    lort_pool *pool;
    int64_t n;
    unsigned window;
    atomic_int in_window, most; /* items between the start of work and the end of commit */
    atomic_int busy[64];        /* per worker: items in work; two at once would share its scratch */
    atomic_int slots[64];       /* per slot: item + 1 while in use */
    atomic_int worked;
    int64_t committed;  /* by the caller's thread only */
    int64_t bad[2];     /* items that fail in work (-1: none); bad[1] fails at once, bad[0] late */
    int64_t bad_commit; /* item whose commit fails */
    int nested;         /* items of the run that each commit starts */
    atomic_int nested_worked;
    uint64_t nested_sum;
} job;

static job make_job(lort_pool *pool, int64_t n, unsigned window)
{
    return (job){.pool = pool, .n = n, .window = window, .bad = {-1, -1}, .bad_commit = -1};
}

/* A delay that differs per item and run, from nothing to 200 us. */
static void random_delay(uint64_t key)
{
    key = (key + 1) * UINT64_C(0x9E3779B97F4A7C15);
    key ^= key >> 29;
    struct timespec wait = {.tv_nsec = (int)((key * UINT64_C(0xBF58476D1CE4E5B9) >> 40) % 200000)};
    if (key & 1)
        nanosleep(&wait, NULL);
}

static lort_code work(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    job *j = ctx;
    assert_true(worker < lort_pool_workers(j->pool));
    assert_int_equal(atomic_fetch_add(&j->busy[worker], 1), 0);
    if (j->window) {
        assert_int_equal(slot, item % j->window);
        assert_int_equal(atomic_exchange(&j->slots[slot], (int)item + 1), 0);
    }
    int now = atomic_fetch_add(&j->in_window, 1) + 1, most = atomic_load(&j->most);
    while (now > most && !atomic_compare_exchange_weak(&j->most, &most, now))
        ;
    random_delay((uint64_t)item ^ lort_os_clock_ns());
    atomic_fetch_add(&j->worked, 1);
    if (item == j->bad[0]) {
        struct timespec late = {0, 5000000};
        nanosleep(&late, NULL);
    }
    atomic_fetch_sub(&j->busy[worker], 1);
    if (item == j->bad[0] || item == j->bad[1])
        return lort_fail(err, LORT_E_NUMERIC, "item %d", (int)item);
    return LORT_OK;
}

static lort_code nested_work(void *ctx, int64_t item, unsigned worker, unsigned slot,
                             lort_error *err)
{
    job *j = ctx;
    assert_true(worker < lort_pool_workers(j->pool));
    random_delay((uint64_t)item ^ lort_os_clock_ns());
    atomic_fetch_add(&j->nested_worked, 1);
    return LORT_OK;
}

static lort_code nested_commit(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    job *j = ctx;
    j->nested_sum = j->nested_sum * 31 + (uint64_t)item;
    return LORT_OK;
}

static lort_code commit(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    job *j = ctx;
    assert_int_equal(item, j->committed);
    assert_int_equal(slot, item % j->window);
    random_delay((uint64_t)item * 7 ^ lort_os_clock_ns());
    if (j->nested &&
        lort_pool_run(j->pool, j->nested, 3, nested_work, nested_commit, j, err) != LORT_OK)
        return err->code;
    if (item == j->bad_commit)
        return lort_fail(err, LORT_E_WRITE, "commit %d", (int)item);
    assert_int_equal(atomic_exchange(&j->slots[slot], 0), item + 1);
    atomic_fetch_sub(&j->in_window, 1);
    j->committed++;
    return LORT_OK;
}

static lort_pool *open_pool(unsigned threads)
{
    lort_pool *pool = NULL;
    unsigned started = 0;
    lort_error err = {0};
    assert_int_equal(lort_pool_open(threads, &pool, &started, &err), LORT_OK);
    assert_int_equal(started, threads);
    assert_int_equal(lort_pool_workers(pool), threads);
    return pool;
}

static void commits_are_ordered_and_windowed(void **state)
{
    static const unsigned windows[] = {1, 2, 5, 64};
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        lort_pool *pool = open_pool(thread_counts[t]);
        for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
            job j = make_job(pool, 150, windows[w]);
            lort_error err = {0};
            assert_int_equal(lort_pool_run(pool, j.n, j.window, work, commit, &j, &err), LORT_OK);
            assert_int_equal(j.committed, 150);
            assert_int_equal(atomic_load(&j.worked), 150);
            assert_true(atomic_load(&j.most) <= (int)j.window);
            if (thread_counts[t] > 1 && windows[w] > 1)
                assert_true(atomic_load(&j.most) > 1); /* items did run in parallel */
        }
        lort_pool_close(pool);
    }
}

static void no_items_and_no_pool(void **state)
{
    lort_pool *pool = open_pool(2);
    lort_error err = {0};
    job j = make_job(pool, 0, 4);
    assert_int_equal(lort_pool_run(pool, 0, 4, work, commit, &j, &err), LORT_OK);
    assert_int_equal(lort_pool_each(pool, 0, work, &j, NULL), LORT_OK);
    assert_int_equal(j.committed, 0);
    lort_pool_close(pool);
    lort_pool_close(NULL);

    j = make_job(NULL, 40, 4);
    assert_int_equal(lort_pool_workers(NULL), 1);
    assert_int_equal(lort_pool_run(NULL, 40, 4, work, commit, &j, &err), LORT_OK);
    assert_int_equal(j.committed, 40);
    assert_int_equal(atomic_load(&j.most), 1);
    j = make_job(NULL, 40, 4);
    j.bad[1] = 17;
    assert_int_equal(lort_pool_run(NULL, 40, 4, work, commit, &j, &err), LORT_E_NUMERIC);
    assert_string_equal(err.message, "item 17");
    assert_int_equal(j.committed, 17);
}

static void a_run_without_commit(void **state)
{
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        lort_pool *pool = open_pool(thread_counts[t]);
        job j = make_job(pool, 200, 0);
        assert_int_equal(lort_pool_each(pool, 200, work, &j, NULL), LORT_OK);
        assert_int_equal(atomic_load(&j.worked), 200);
        j = make_job(pool, 200, 0);
        j.bad[1] = 60;
        lort_error err = {0};
        assert_int_equal(lort_pool_each(pool, 200, work, &j, &err), LORT_E_NUMERIC);
        assert_string_equal(err.message, "item 60");
        /* Alone: no item starts after the failure. */
        assert_in_range(atomic_load(&j.worked), 61, thread_counts[t] == 1 ? 61 : 200);
        assert_int_equal(lort_pool_run(pool, 200, 5, nested_work, NULL, &j, NULL), LORT_OK);
        assert_int_equal(atomic_load(&j.nested_worked), 200);
        lort_pool_close(pool);
    }
}

/* Item 23 fails at once, item 20 late. The pool reports 20 and commits 0..19, however the threads
 * run. */
static void the_lowest_failure_wins(void **state)
{
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        lort_pool *pool = open_pool(thread_counts[t]);
        for (int round = 0; round < 20; round++) {
            job j = make_job(pool, 1000, 8);
            lort_error err = {0};
            j.bad[0] = 20;
            j.bad[1] = 23;
            assert_int_equal(lort_pool_run(pool, j.n, j.window, work, commit, &j, &err),
                             LORT_E_NUMERIC);
            assert_int_equal(err.code, LORT_E_NUMERIC);
            assert_string_equal(err.message, "item 20");
            assert_int_equal(j.committed, 20);
            assert_true(atomic_load(&j.worked) <= 28);
        }
        lort_pool_close(pool);
    }
}

static void a_failed_commit_beats_later_work(void **state)
{
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        lort_pool *pool = open_pool(thread_counts[t]);
        for (int round = 0; round < 20; round++) {
            job j = make_job(pool, 100, 6);
            lort_error err = {0};
            j.bad_commit = 10;
            j.bad[1] = 12;
            assert_int_equal(lort_pool_run(pool, j.n, j.window, work, commit, &j, &err),
                             LORT_E_WRITE);
            assert_string_equal(err.message, "commit 10");
            assert_int_equal(j.committed, 10);
        }
        lort_pool_close(pool);
    }
}

static void a_commit_starts_a_nested_run(void **state)
{
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        lort_pool *pool = open_pool(thread_counts[t]);
        job j = make_job(pool, 30, 4);
        lort_error err = {0};
        uint64_t sum = 0;
        j.nested = 9;
        for (int i = 0; i < 30; i++)
            for (uint64_t k = 0; k < 9; k++)
                sum = sum * 31 + k;
        assert_int_equal(lort_pool_run(pool, j.n, j.window, work, commit, &j, &err), LORT_OK);
        assert_int_equal(j.committed, 30);
        assert_int_equal(atomic_load(&j.nested_worked), 270);
        assert_true(j.nested_sum == sum);
        lort_pool_close(pool);
    }
}

/* Work may start runs too: every worker then drives one of its own, three deep. */
typedef struct tree {
    lort_pool *pool;
    int depth;
    atomic_int *leaves;
    atomic_int *busy; /* per worker: a thread inside a nested run keeps its number */
} tree;

static lort_code grow(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    const tree *t = ctx;
    if (t->depth == 0) {
        if (atomic_fetch_add(&t->busy[worker], 1) != 0)
            return lort_fail(err, LORT_E_INTERNAL, "two items on worker %u at once", worker);
        random_delay((uint64_t)item ^ lort_os_clock_ns());
        atomic_fetch_sub(&t->busy[worker], 1);
        atomic_fetch_add(t->leaves, 1);
        return LORT_OK;
    }
    tree child = {t->pool, t->depth - 1, t->leaves, t->busy};
    return lort_pool_run(t->pool, 4, 2, grow, NULL, &child, err);
}

static void work_starts_nested_runs(void **state)
{
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        lort_pool *pool = open_pool(thread_counts[t]);
        atomic_int leaves = 0, busy[64] = {0};
        tree root = {pool, 3, &leaves, busy};
        assert_int_equal(lort_pool_run(pool, 4, 2, grow, NULL, &root, NULL), LORT_OK);
        assert_int_equal(atomic_load(&leaves), 256);
        lort_pool_close(pool);
    }
}

/* The caller commits, so only its thread may see the committed bytes. Results must not depend on
 * the threads. */
typedef struct digest {
    uint64_t results[5];
    uint64_t value;
} digest;

static lort_code digest_work(void *ctx, int64_t item, unsigned worker, unsigned slot,
                             lort_error *err)
{
    digest *d = ctx;
    random_delay((uint64_t)item ^ lort_os_clock_ns());
    /* A plain write: TSan watches how the slot changes hands. */
    d->results[slot] = (uint64_t)item * UINT64_C(0x9E3779B97F4A7C15);
    return LORT_OK;
}

static lort_code digest_commit(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    digest *d = ctx;
    d->value = (d->value ^ d->results[slot]) * UINT64_C(0x100000001B3);
    d->results[slot] = 0;
    return LORT_OK;
}

static void slots_are_handed_over(void **state)
{
    uint64_t first = 0;
    for (size_t t = 0; t < THREAD_COUNTS; t++) {
        lort_pool *pool = open_pool(thread_counts[t]);
        digest d = {.value = 1};
        assert_int_equal(lort_pool_run(pool, 300, 5, digest_work, digest_commit, &d, NULL),
                         LORT_OK);
        if (t == 0)
            first = d.value;
        assert_true(d.value == first);
        lort_pool_close(pool);
    }
}

static void fewer_threads_when_refused(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__clang__)
    print_message("skipped: a sanitizer's address space cannot be limited\n");
    skip();
#endif
    lort_process_memory now;
    lort_os_process_memory(&now);
    if (now.virtual_bytes == 0) {
        print_message("skipped: no /proc\n");
        skip();
    }
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {now.virtual_bytes + (40u << 20), RLIM_INFINITY};
        lort_pool *pool = NULL;
        unsigned started = 0;
        atomic_int leaves = 0, busy[64] = {0};
        if (setrlimit(RLIMIT_AS, &limit) != 0 ||
            lort_pool_open(64, &pool, &started, NULL) != LORT_OK)
            _exit(1);
        tree root = {pool, 1, &leaves, busy};
        if (started < 1 || started >= 64 || lort_pool_workers(pool) != started)
            _exit(2);
        if (lort_pool_run(pool, 4, 2, grow, NULL, &root, NULL) != LORT_OK ||
            atomic_load(&leaves) != 16)
            _exit(3);
        lort_pool_close(pool);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* fork copies no threads: in the child the caller does all the work, and nothing waits for them. */
static void a_pool_of_the_parent(void **state)
{
    lort_pool *pool;
    assert_int_equal(lort_pool_open(3, &pool, NULL, NULL), LORT_OK);
    atomic_int leaves = 0, busy[64] = {0};
    tree root = {pool, 1, &leaves, busy};
    assert_int_equal(lort_pool_run(pool, 4, 2, grow, NULL, &root, NULL), LORT_OK);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        const lort_code code = lort_pool_run(pool, 4, 2, grow, NULL, &root, NULL);
        const bool alone = lort_pool_workers(pool) == 1;
        lort_pool_close(pool);
        _exit(code == LORT_OK && alone && atomic_load(&leaves) == 32 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    lort_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fewer_threads_when_refused),
        cmocka_unit_test(commits_are_ordered_and_windowed),
        cmocka_unit_test(no_items_and_no_pool),
        cmocka_unit_test(a_pool_of_the_parent),
        cmocka_unit_test(a_run_without_commit),
        cmocka_unit_test(the_lowest_failure_wins),
        cmocka_unit_test(a_failed_commit_beats_later_work),
        cmocka_unit_test(a_commit_starts_a_nested_run),
        cmocka_unit_test(work_starts_nested_runs),
        cmocka_unit_test(slots_are_handed_over),
    };
    return run_chosen(tests, NULL, NULL);
}
