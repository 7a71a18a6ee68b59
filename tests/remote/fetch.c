/* Fetches a model by loader/remote, for tests/remote/test_*.py: all files, in pieces, by several
 * threads at once.
 *
 *   fetch [OPTIONS] hub ENDPOINT ORG/NAME REVISION | url URL
 *
 * It prints `label TEXT`, `file SIZE ETAG SHA256|- NAME` for each file, `counts REQUESTS RESOLVES
 * RETRIES BYTES`, and `warning TEXT`; on a failure `error TEXT`, and exits with the code. --out DIR
 * writes the files there. SIGTERM stops. */
#define _POSIX_C_SOURCE 200809L
#include "loader/os/os.h"
#include "loader/remote/remote.h"
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_THREADS 64

static atomic_bool stopped; /* lock-free, so a handler may set it */
static uint64_t threads = 4, piece = 1 << 20, rounds = 1, pause_ms;
static const char *out_dir;

typedef struct work {
    lort_remote *remote;
    uint8_t **data;  /* the bytes of each file */
    uint64_t *first; /* the number of the first piece of each file, and of all at the end */
    atomic_uint_least64_t next, bytes;
    atomic_int code;
    lort_error err;
} work;

static void on_signal(int number) { stopped = 1; }
static bool is_stopped(void *ctx) { return stopped; }

static void print_warning(void *ctx, const char *text)
{
    printf("warning %s\n", text);
    fflush(stdout);
}

typedef struct target {
    work *work;
    uint8_t *at;
    uint64_t left;
} target;

static lort_code put(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    target *t = ctx;
    if (n > t->left)
        return lort_fail(err, LORT_E_INTERNAL, "more bytes than were asked for");
    memcpy(t->at, bytes, n);
    t->at += n;
    t->left -= n;
    atomic_fetch_add(&t->work->bytes, n);
    return LORT_OK;
}

static void fetch_piece(work *w, uint64_t number)
{
    lort_error err = {0};
    uint32_t file = 0;
    while (w->first[file + 1] <= number)
        file++;
    const uint64_t size = lort_remote_get(w->remote, file)->size;
    const uint64_t at = (number - w->first[file]) * piece;
    const uint64_t n = size - at < piece ? size - at : piece;
    target t = {.work = w, .at = w->data[file] + at, .left = n};
    lort_code code = lort_remote_fetch(w->remote, file, at, n, put, &t, &err);
    if (!code && t.left)
        code = lort_fail(&err, LORT_E_INTERNAL, "fewer bytes than were asked for");
    int none = 0;
    if (code && atomic_compare_exchange_strong(&w->code, &none, (int)code))
        w->err = err;
}

static void run(void *ctx)
{
    work *w = ctx;
    const uint64_t all = w->first[lort_remote_count(w->remote)];
    for (uint64_t number; (number = atomic_fetch_add(&w->next, 1)) < all && !w->code;)
        fetch_piece(w, number);
}

static void fetch_all(work *w)
{
    lort_thread *started[MOST_THREADS];
    w->next = 0;
    for (uint64_t i = 0; i < threads; i++)
        if (lort_os_thread_start(run, w, LORT_REMOTE_STACK, &started[i], NULL))
            abort();
    for (uint64_t i = 0; i < threads; i++)
        lort_os_thread_join(started[i]);
}

static void save(const work *w, uint32_t file)
{
    char path[4096];
    const lort_remote_file *f = lort_remote_get(w->remote, file);
    int n = snprintf(path, sizeof path, "%s/%s", out_dir, f->name);
    for (int i = (int)strlen(out_dir) + 1; i < n; i++)
        if (path[i] == '/')
            path[i] = '%';
    FILE *to = fopen(path, "wb");
    if (!to || fwrite(w->data[file], 1, f->size, to) != f->size || fclose(to))
        abort();
}

static void prepare(work *w)
{
    const uint32_t count = lort_remote_count(w->remote);
    w->data = calloc(count + 1, sizeof *w->data);
    w->first = calloc(count + 1, sizeof *w->first);
    for (uint32_t i = 0; i < count; i++) {
        const lort_remote_file *f = lort_remote_get(w->remote, i);
        w->data[i] = malloc(f->size + 1);
        w->first[i + 1] = w->first[i] + (f->size + piece - 1) / piece;
        printf("file %" PRIu64 " %s ", f->size, f->etag[0] ? f->etag : "-");
        for (int k = 0; k < 32 && f->has_sha256; k++)
            printf("%02x", f->sha256[k]);
        printf("%s %s\n", f->has_sha256 ? "" : "-", f->name);
    }
    printf("ready\n");
    fflush(stdout);
}

static void finish(work *w)
{
    lort_remote_counts counts;
    const uint32_t count = lort_remote_count(w->remote);
    lort_remote_count_all(w->remote, &counts);
    printf("counts %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", counts.requests,
           counts.resolves, counts.retries, counts.body_bytes);
    printf("taken %" PRIu64 "\n", (uint64_t)w->bytes);
    for (uint32_t i = 0; i < count; i++) {
        if (out_dir && !w->code)
            save(w, i);
        free(w->data[i]);
    }
    free(w->data);
    free(w->first);
    lort_remote_close(w->remote);
}

static int fail(lort_code code, const lort_error *err)
{
    printf("error %s\n", err->message);
    if (err->code != code)
        printf("error: the codes differ: %d and %d\n", (int)code, (int)err->code);
    return (int)code;
}

static char *read_options(char **argv, int *at, lort_remote_options *options)
{
    for (; argv[*at] && strncmp(argv[*at], "--", 2) == 0 && argv[*at + 1]; *at += 2) {
        const char *name = argv[*at], *value = argv[*at + 1];
        const uint64_t number = strtoull(value, NULL, 10);
        if (strcmp(name, "--threads") == 0)
            threads = number;
        else if (strcmp(name, "--connections") == 0)
            options->connections = (unsigned)number;
        else if (strcmp(name, "--piece") == 0)
            piece = number;
        else if (strcmp(name, "--unit") == 0)
            options->wait_unit_ms = (uint32_t)number;
        else if (strcmp(name, "--quiet") == 0)
            options->quiet_s = (uint32_t)number;
        else if (strcmp(name, "--rounds") == 0)
            rounds = number;
        else if (strcmp(name, "--pause") == 0)
            pause_ms = number;
        else if (strcmp(name, "--out") == 0)
            out_dir = value;
        else
            return argv[*at];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    lort_remote_options options = {.stop = is_stopped, .warn = print_warning};
    lort_source source = {0};
    lort_error err = {0};
    work w = {0};
    int at = 1;
    const struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    if (read_options(argv, &at, &options) || argc - at < 2 || argc - at == 3 ||
        threads > MOST_THREADS)
        return 2;
    source.kind = strcmp(argv[at], "hub") == 0 ? LORT_SOURCE_HUB : LORT_SOURCE_URL;
    if (source.kind == LORT_SOURCE_HUB && argc - at == 4) {
        source.endpoint = argv[at + 1];
        source.repository = argv[at + 2];
        source.revision = argv[at + 3];
    } else {
        source.url = argv[at + 1];
    }
    lort_code code = lort_remote_open(&source, &options, &lort_alloc_heap, &w.remote, &err);
    if (code)
        return fail(code, &err);
    printf("label %s\ncommit %s\n", lort_remote_label(w.remote), lort_remote_commit(w.remote));
    prepare(&w);
    for (uint64_t i = 0; i < rounds && !w.code; i++) {
        const struct timespec time = {(time_t)(pause_ms / 1000), (long)(pause_ms % 1000) * 1000000};
        if (i)
            nanosleep(&time, NULL);
        fetch_all(&w);
    }
    code = (lort_code)w.code;
    finish(&w);
    return code ? fail(code, &w.err) : 0;
}
