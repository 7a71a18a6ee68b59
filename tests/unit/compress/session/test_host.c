/* The state of a host program: the same bytes under every floating-point environment, and the
 * caller's environment and OpenBLAS's number of threads after every call. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sized.h"

#include <fenv.h>
#include <pthread.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

extern int openblas_get_num_threads(void);
extern void openblas_set_num_threads(int n);

enum { ROWS = 96, COLS = 80, SIZE = ROWS * COLS, HOST_THREADS = 2 };
#define TINY_IS_ZERO 0x8040u /* flush-to-zero and denormals-are-zero, in MXCSR */

static float low_rank[SIZE], tiny[SIZE];

static const tiny_tensor model[] = {{"plain.weight", "F32", 2, {ROWS, COLS}, low_rank},
                                    {"tiny.weight", "F32", 2, {ROWS, COLS}, tiny},
                                    {"noise.weight", "BF16", 2, {ROWS, COLS}, NULL},
                                    {"norm.weight", "F32", 1, {COLS}, NULL}};

/* Values below the smallest normal f32 too: flush-to-zero would make zeros of them. */
static int fill(void **state)
{
    tiny_fill_rank(low_rank, ROWS, COLS, 5, 1);
    tiny_fill_noise(tiny, SIZE, 2);
    for (int i = 0; i < SIZE; i++) {
        low_rank[i] += 0.03f * (float)((i * 7919) % 127 - 63) / 63;
        tiny[i] *= 1e-39f;
    }
    return 0;
}

/* ---- environments ---- */

typedef struct environment {
    int rounding;
    bool traps, tiny_is_zero;
} environment;

static const environment environments[] = {
    {FE_TONEAREST, false, false},  {FE_UPWARD, false, false},   {FE_DOWNWARD, false, false},
    {FE_TOWARDZERO, false, false}, {FE_TONEAREST, false, true}, {FE_TONEAREST, true, false},
    {FE_UPWARD, true, true}};
#define ENVIRONMENTS (sizeof environments / sizeof *environments)
#define TRAPS (FE_INVALID | FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW)

static unsigned control_word(void)
{
#if defined(__x86_64__)
    return _mm_getcsr();
#else
    return 0;
#endif
}

static void set_environment(const environment *e)
{
    fesetenv(FE_DFL_ENV);
    fesetround(e->rounding);
    feraiseexcept(FE_INEXACT); /* a flag of the caller's own */
    if (e->traps)
        feenableexcept(TRAPS);
#if defined(__x86_64__)
    if (e->tiny_is_zero)
        _mm_setcsr(_mm_getcsr() | TINY_IS_ZERO);
#endif
}

static bool same_environment(const environment *e, unsigned control)
{
    return fegetround() == e->rounding && fegetexcept() == (e->traps ? TRAPS : 0) &&
           fetestexcept(FE_ALL_EXCEPT) == FE_INEXACT && control_word() == control &&
           openblas_get_num_threads() == HOST_THREADS;
}

/* ---- calls ---- */

static const environment *outside; /* of the call that runs */
static unsigned outside_control;
static bool lent;        /* every function of the caller saw its own environment */
static int events;       /* calls of them */
static _Atomic int held; /* calls of the caller's functions while OpenBLAS had one thread */

static void look_at_blas(void)
{
    if (openblas_get_num_threads() != HOST_THREADS)
        atomic_fetch_add(&held, 1);
}

static bool is_lent(void)
{
    events++;
    look_at_blas();
    return fegetround() == outside->rounding && control_word() == outside_control;
}

static void hear(void *ctx, const lort_event *event) { lent &= is_lent(); }

/* lort.h: `stop` runs in LoRT's environment. Each thread notes it for itself. */
static _Atomic int asked, asked_outside;
static bool ask(void *ctx)
{
    atomic_fetch_add(&asked, 1);
    look_at_blas();
    if (fegetround() != FE_TONEAREST || fegetexcept() || (control_word() & TINY_IS_ZERO))
        atomic_fetch_add(&asked_outside, 1);
    return false;
}
static const lort_observer observer = {.event = hear, .stop = ask, .ctx = NULL};

static lort_options options_max_error(void)
{
    lort_options options = options_rank(0);
    options.goal = LORT_GOAL_ERROR;
    options.value = 0.03;
    return options;
}

static lort_code call_compress(const char *in, const char *out, uint64_t memory)
{
    lort_options options = options_max_error();
    lort_report report = {0};
    options.force = true;
    options.memory_bytes = memory;
    lort_code code =
        lort_compress(tiny_path(dir, in), tiny_path(dir, out), &options, &observer, &report, NULL);
    lort_report_free(&report);
    return code;
}

static lort_code compress_well(void) { return call_compress("m", "out", 0); }
static lort_code compress_nothing(void) { return call_compress("missing", "out2", 0); }
static lort_code compress_in_no_memory(void) { return call_compress("m", "out2", 1 << 20); }

static lort_code plan_it(void)
{
    lort_options options = options_max_error();
    lort_report report = {0};
    options.sample = 2;
    lort_code code = lort_plan(tiny_path(dir, "m"), &options, &observer, &report, NULL);
    lort_report_free(&report);
    return code;
}

/* Writes the report without the figures of the machine: two runs differ in time and memory. */
static lort_code write_facts(lort_report *report)
{
    report->available_bytes = report->planned_peak_bytes = report->budget_bytes = 0;
    report->peak_anon_bytes = report->peak_file_bytes = report->peak_rss_bytes = 0;
    report->cgroup_peak_bytes = report->source_count = 0;
    report->stall_seconds = report->seconds = 0;
    report->sample_count = report->phase_count = 0;
    report->started_ns = report->ended_ns = 0;
    return lort_report_json(report, tiny_path(dir, "json"), NULL);
}

static lort_code read_it(lort_command command, const char *in)
{
    const lort_run_options run = {RUN_SIZE, .threads = 2};
    const lort_verify_options check = {VERIFY_SIZE, .run = &run};
    const lort_restore_options how = {RESTORE_SIZE,
                                      .run = &(lort_run_options){RUN_SIZE, .threads = 2},
                                      .dtype = "F32", .force = true};
    lort_report report = {0};
    lort_code code = command == LORT_COMMAND_VERIFY
                         ? lort_verify(tiny_path(dir, in), &check, &observer, &report, NULL)
                     : command == LORT_COMMAND_RESTORE
                         ? lort_restore(tiny_path(dir, in), tiny_path(dir, "back"), &how, &observer,
                                        &report, NULL)
                     : command == LORT_COMMAND_COMPARE
                         ? lort_compare(tiny_path(dir, "m"), tiny_path(dir, in), -1, &run,
                                        &observer, &report, NULL)
                         : lort_inspect(tiny_path(dir, in), &run, &observer, &report, NULL);
    if (code == LORT_OK)
        code = write_facts(&report);
    lort_report_free(&report);
    return code;
}

static lort_code verify_it(void) { return read_it(LORT_COMMAND_VERIFY, "whole"); }
static lort_code verify_a_model(void) { return read_it(LORT_COMMAND_VERIFY, "m"); }
static lort_code restore_it(void) { return read_it(LORT_COMMAND_RESTORE, "whole"); }
static lort_code compare_it(void) { return read_it(LORT_COMMAND_COMPARE, "whole"); }
static lort_code inspect_it(void) { return read_it(LORT_COMMAND_INSPECT, "whole"); }

static FILE *rows;

static lort_code take_rows(void *ctx, uint64_t first, const float *values, uint64_t count)
{
    lent &= is_lent();
    return fwrite(values, sizeof *values, count, rows) == count ? LORT_OK : LORT_E_WRITE;
}
static lort_code take_bytes(void *ctx, uint64_t at, const void *bytes, uint64_t n)
{
    lent &= is_lent();
    return LORT_E_STOPPED;
}

static lort_code weights_it(void)
{
    static float buffer[4 * COLS];
    lort_weights *w;
    lort_code code = lort_weights_open(tiny_path(dir, "whole"), NULL, &w, NULL);
    rows = fopen(tiny_path(dir, "rows"), "wb");
    for (uint64_t i = 0; code == LORT_OK && i < lort_weights_count(w); i++)
        code =
            lort_weights_rows(w, i, 0, LORT_ROWS_ALL, buffer, sizeof buffer, take_rows, NULL, NULL);
    for (uint64_t i = 0; code == LORT_OK && i < lort_weights_count(w); i++)
        (void)lort_weights_bytes(w, i, buffer, sizeof buffer, take_bytes, NULL, NULL);
    lort_weights_close(w);
    fclose(rows);
    return code;
}

static lort_code weights_of_nothing(void)
{
    lort_weights *w;
    return lort_weights_open(tiny_path(dir, "missing"), NULL, &w, NULL);
}

static const struct {
    const char *name;
    lort_code (*call)(void), code;
    const char *file;      /* that it writes; NULL: none to compare */
    bool calls_back, asks; /* calls `event`, or a function of a stream; calls `stop` */
    bool blas;             /* computes with BLAS */
} calls[] = {
    {"compress", compress_well, LORT_OK, "out", true, true, true},
    {"compress: no input", compress_nothing, LORT_E_INPUT, NULL, false, false, false},
    {"compress: no memory", compress_in_no_memory, LORT_E_MEMORY, NULL, false, false, true},
    {"plan", plan_it, LORT_OK, NULL, true, true, true},
    {"verify", verify_it, LORT_OK, NULL, true, true, false},
    {"verify: a model", verify_a_model, LORT_E_INPUT, NULL, false, false, false},
    {"restore", restore_it, LORT_OK, "back", true, true, false},
    {"compare", compare_it, LORT_OK, NULL, true, true, false},
    {"inspect", inspect_it, LORT_OK, "json", false, true, false},
    {"weights", weights_it, LORT_OK, "rows", true, false, false},
    {"weights: no input", weights_of_nothing, LORT_E_INPUT, NULL, false, false, false}};

static lort_buffer reference(unsigned i)
{
    if (calls[i].file)
        return file_read(calls[i].file);
    return (lort_buffer){.alloc = &lort_alloc_heap};
}

/* Makes one call in one environment. No function of the test does sums while it is set. */
static void call_in(unsigned i, const environment *e, const lort_buffer *want)
{
    lent = true;
    events = 0;
    asked = asked_outside = held = 0;
    outside = e;
    set_environment(e);
    outside_control = control_word();
    const lort_code code = calls[i].call();
    const bool same = same_environment(e, outside_control);
    fesetenv(FE_DFL_ENV);
    const unsigned number = (unsigned)(e - environments);
    if (code != calls[i].code)
        fail_msg("%s in environment %u: code %d", calls[i].name, number, (int)code);
    if (!same)
        fail_msg("%s in environment %u left another one", calls[i].name, number);
    if (!lent || (calls[i].calls_back && events == 0))
        fail_msg("%s in environment %u called back in another one", calls[i].name, number);
    if ((held > 0) != calls[i].blas)
        fail_msg("%s in environment %u: OpenBLAS was %sheld", calls[i].name, number,
                 held ? "" : "not ");
    if (asked_outside || (calls[i].asks && asked == 0))
        fail_msg("%s in environment %u: %d of %d calls of stop outside LoRT's environment",
                 calls[i].name, number, (int)asked_outside, (int)asked);
    lort_buffer found = reference(i);
    if (want && (found.size != want->size ||
                 (want->size && memcmp(found.data, want->data, want->size) != 0)))
        fail_msg("%s in environment %u: other bytes", calls[i].name, number);
    lort_buffer_free(&found);
}

static void calls_give_the_host_its_state_back(void **state)
{
    lort_options options = options_max_error();
    tiny_safetensors(dir, "m", model, sizeof model / sizeof *model);
    compress_to("m", "whole", &options);
    openblas_set_num_threads(HOST_THREADS);
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        call_in(i, &environments[0], NULL);
        lort_buffer want = reference(i);
        for (unsigned e = 1; e < ENVIRONMENTS; e++)
            call_in(i, &environments[e], &want);
        lort_buffer_free(&want);
    }
    assert_true(same_files("out", "whole"));
}

/* ---- several calls at a time ---- */

typedef struct caller {
    const char *out;
    const environment *environment;
    lort_code code;
    bool same;
    pthread_t thread;
} caller;

static void *compress_in_thread(void *ctx)
{
    caller *c = ctx;
    lort_options options = options_max_error();
    char in[64], out[64];
    lort_report report = {0};
    snprintf(in, sizeof in, "%s/m", dir);
    snprintf(out, sizeof out, "%s/%s", dir, c->out);
    set_environment(c->environment);
    c->code = lort_compress(in, out, &options, NULL, &report, NULL);
    c->same = fegetround() == c->environment->rounding && fetestexcept(FE_ALL_EXCEPT) == FE_INEXACT;
    lort_report_free(&report);
    return NULL;
}

static void calls_at_the_same_time_do_too(void **state)
{
    lort_options options = options_max_error();
    caller callers[] = {{.out = "a", .environment = &environments[1]},
                        {.out = "b", .environment = &environments[2]},
                        {.out = "c", .environment = &environments[6]}};
    tiny_safetensors(dir, "m", model, sizeof model / sizeof *model);
    openblas_set_num_threads(HOST_THREADS);
    compress_to("m", "whole", &options);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&callers[i].thread, NULL, compress_in_thread, &callers[i]),
                         0);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].code, LORT_OK);
        assert_true(callers[i].same);
        assert_true(same_files("whole", callers[i].out));
    }
    assert_int_equal(openblas_get_num_threads(), HOST_THREADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {command_test(calls_give_the_host_its_state_back),
                                       command_test(calls_at_the_same_time_do_too)};
    return run_chosen(tests, fill, NULL);
}
