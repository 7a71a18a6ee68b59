/* Tests of emit: the parts in order, figures over slices, and what a failure or a stop leaves
 * behind. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/read/encoding.h"
#include "compress/write/emit.h"
#include "formats/container/part.h"
#include "tests/unit/main.h"
#include "tests/unit/tiny_run.h"

#include <dirent.h>
#include <math.h>

#define SIDE 64
#define SIZE (SIDE * SIDE)
#define MOST_PARTS 16

static char dir[32];
static tiny_run run;
static float values[3 * SIZE];
static lort_tensor_report reports[MOST_PARTS]; /* by extent */

static int set_up(void **state)
{
    tiny_dir(dir);
    memset(reports, 0, sizeof reports);
    return 0;
}

static int tear_down(void **state)
{
    tiny_remove(dir);
    return 0;
}

/* ---- writing ---- */

static const char *model_path(void) { return tiny_path(dir, "m.safetensors"); }

static void open_model(const tiny_tensor *tensors, size_t count, unsigned threads)
{
    tiny_safetensors(dir, "m.safetensors", tensors, count);
    tiny_run_open(&run, model_path(), TINY_PLENTY, threads);
    tiny_run_start(&run);
    assert_true(run.plan.count <= MOST_PARTS);
}

static lort_code emit_part(lort_emitter *emitter, uint64_t extent)
{
    const lort_tensor_plan *planned = &run.plan.tensors[extent];
    uint32_t slices = planned->candidate ? (uint32_t)planned->shape.slices : 1;
    lort_code code = lort_emit_begin(emitter, extent, &run.err);
    for (uint32_t s = 0; s < slices && code == LORT_OK; s++) {
        lort_outcome outcome;
        code = lort_decide(&run.decider, planned, s, (lort_work){NULL, 0}, &outcome, &run.err);
        if (code == LORT_OK)
            code = lort_emit_slice(emitter, s, &outcome, &run.err);
        lort_outcome_free(&outcome, &run.session.alloc);
    }
    return code ? code
                : lort_emit_end(emitter, planned->tensor ? &reports[extent] : NULL, &run.err);
}

/* Writes the first `parts` parts. Finishes the container and gives it its name only if these are
 * all parts. */
static lort_code emit_parts(const char *name, uint64_t parts)
{
    lort_publish_options how = {.mode = 0600};
    lort_publish *publish = NULL;
    lort_emitter *emitter = NULL;
    lort_code code =
        lort_publish_begin(tiny_path(dir, name), &how, &run.session.alloc, &publish, &run.err);
    if (code == LORT_OK)
        code = lort_publish_file(publish, NULL, &run.err);
    if (code == LORT_OK)
        code = lort_emit_open(&run.decider, &run.plan, publish, &emitter, &run.err);
    for (uint64_t i = 0; i < parts && code == LORT_OK; i++)
        code = emit_part(emitter, i);
    if (code == LORT_OK && parts == run.plan.count)
        code = lort_emit_finish(emitter, &run.err);
    lort_emit_close(emitter);
    if (code == LORT_OK)
        code = lort_publish_commit(publish, &run.err);
    lort_publish_close(publish);
    return code;
}

static void emit_all(const char *name) { tiny_ok(emit_parts(name, run.plan.count), &run.err); }

static uint64_t extent_of(const char *name)
{
    return (uint64_t)(tiny_run_planned(&run, name) - run.plan.tensors);
}

/* The number of files in the directory. */
static int names_in_dir(void)
{
    int count = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return count;
}

/* ---- reading back ---- */

static lort_archive *open_container(const char *name)
{
    lort_archive *archive;
    tiny_ok(lort_archive_open(tiny_path(dir, name), &lort_alloc_heap, &archive, &run.err),
            &run.err);
    assert_int_equal(lort_archive_count(archive), run.plan.count);
    return archive;
}

/* The chunks of a raw part, one behind the other, are the bytes of the input. */
static void check_raw(const lort_archive *archive, uint64_t number)
{
    const lort_part *part = lort_archive_part(archive, number);
    uint64_t count, at = 0;
    const lort_extent *extent = &lort_model_extents(run.model, &count)[number];
    lort_scratch *scratch = &run.session.scratch[0];
    const uint8_t *want;
    tiny_ok(lort_model_view(run.model, extent->file, extent->offset, extent->bytes, NULL, &want,
                            &run.err),
            &run.err);
    for (uint64_t c = 0; c < part->chunk_count; c++) {
        tiny_ok(lort_archive_chunk(archive, part, c, scratch->codec, scratch->planes,
                                   scratch->bytes, &run.err),
                &run.err);
        assert_memory_equal(scratch->bytes, want + at, part->chunks[c].decoded);
        at += part->chunks[c].decoded;
    }
    assert_int_equal(at, extent->bytes);
}

/* ||W - W'||^2 of a slice, with W' as a reader decodes it. */
static double error2_of(const lort_archive *archive, const lort_part *part, uint32_t slice,
                        const float *want)
{
    static float rows[SIZE];
    lort_slice opened;
    lort_chunk_cache cache = {0};
    lort_scratch *scratch = &run.session.scratch[0];
    double sum = 0;
    tiny_ok(lort_slice_open(archive, part, slice, scratch, &lort_alloc_heap, &opened, &run.err),
            &run.err);
    tiny_ok(
        lort_slice_cells(&opened, &(lort_cells){0, SIDE, 0, SIDE}, scratch, &cache, rows, &run.err),
        &run.err);
    for (int i = 0; i < SIZE; i++)
        sum += ((double)rows[i] - want[i]) * ((double)rows[i] - want[i]);
    lort_slice_close(&opened);
    return sum;
}

static double norm2_of(const float *from, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)from[i] * from[i];
    return sum;
}

static void assert_near(double found, double wanted)
{
    if (!(fabs(found - wanted) <= 1e-5 * fabs(wanted)))
        fail_msg("%.12g, wanted %.12g", found, wanted);
}

/* ---- parts ---- */

static void a_container_has_every_part_in_order(void **state)
{
    tiny_fill_rank(values, SIDE, SIDE, 4, 1);
    const tiny_tensor tensors[] = {{"low", "F32", 2, {SIDE, SIDE}, values},
                                   TINY("noise", "BF16", SIDE, SIDE),
                                   TINY("bias", "F16", 1000),
                                   TINY("none", "F32", 0, 8),
                                   TINY("ids", "I64", 30, 50)};
    open_model(tensors, 5, 2);
    emit_all("out.lort");
    lort_archive *archive = open_container("out.lort");
    const lort_model_record *record = lort_archive_model(archive);
    assert_int_equal(record->file_count, 1);
    assert_string_equal(record->files[0].name, "m.safetensors");
    assert_string_equal(record->files[0].format, "safetensors");
    tiny_says(record->options, "max-error=0.05");
    assert_false(record->directory);
    for (uint64_t i = 0; i < run.plan.count; i++) {
        const lort_part *part = lort_archive_part(archive, i);
        const lort_tensor *tensor = run.plan.tensors[i].tensor;
        assert_int_equal(part->tensor, tensor != NULL);
        if (tensor)
            assert_string_equal(part->name, tensor->name);
        if (lort_part_is_raw(part))
            check_raw(archive, i);
    }
    const lort_part *low = lort_archive_find(archive, "low", 3),
                    *noise = lort_archive_find(archive, "noise", 5);
    assert_false(lort_part_is_raw(low));
    assert_string_equal(low->reason, "");
    assert_true(low->has_error);
    assert_near(low->rel_error, sqrt(error2_of(archive, low, 0, values) / norm2_of(values, SIZE)));
    assert_true(lort_part_is_raw(noise) && noise->rel_error == 0);
    assert_string_equal(noise->reason, "target out of reach of low rank");
    assert_string_equal(lort_archive_find(archive, "bias", 4)->reason, "fewer than two dimensions");
    assert_string_equal(lort_archive_find(archive, "none", 4)->reason, "empty");
    lort_archive_close(archive);
    tiny_run_close(&run);
}

static void reports_say_what_was_written(void **state)
{
    tiny_fill_rank(values, SIDE, SIDE, 4, 1);
    const tiny_tensor tensors[] = {{"low", "F32", 2, {SIDE, SIDE}, values},
                                   TINY("noise", "BF16", SIDE, SIDE)};
    open_model(tensors, 2, 1);
    emit_all("out.lort");
    lort_archive *archive = open_container("out.lort");
    const lort_tensor_report *low = &reports[extent_of("low")],
                             *noise = &reports[extent_of("noise")];
    assert_int_equal(low->action, LORT_ACTION_FACTORED);
    assert_string_equal(low->reason_text, "");
    assert_true(low->rank > 0 && low->rank <= 4);
    assert_true(low->rel_error == lort_archive_find(archive, "low", 3)->rel_error);
    assert_true(low->bytes_out >= lort_archive_find(archive, "low", 3)->payload_bytes);
    assert_true(low->bytes_out < SIZE * 4 / 4);
    assert_int_equal(noise->action, LORT_ACTION_KEPT);
    assert_string_equal(noise->reason_text, "target out of reach of low rank");
    tiny_says(noise->detail, "captures at most");
    assert_true(noise->rel_error == 0 && noise->rank == 0);
    assert_int_equal(run.session.done_bytes, lort_model_bytes(run.model));
    assert_true(run.session.out_bytes > 0);
    lort_archive_close(archive);
    tiny_run_close(&run);
}

/* The error is over all slices. Kept slices count in the norm and have no error. */
static void slices_may_differ(void **state)
{
    tiny_fill_rank(values, SIDE, SIDE, 4, 1);
    tiny_fill_noise(values + SIZE, SIZE, 2);
    tiny_fill_rank(values + 2 * SIZE, SIDE, SIDE, 2, 3);
    open_model(&(tiny_tensor){"w", "F32", 3, {3, SIDE, SIDE}, values}, 1, 1);
    run.options.max_rank = 16;
    emit_all("out.lort");
    lort_archive *archive = open_container("out.lort");
    const lort_part *part = lort_archive_find(archive, "w", 1);
    const lort_tensor_report *report = &reports[extent_of("w")];
    assert_int_equal(report->action, LORT_ACTION_FACTORED);
    assert_string_equal(report->reason_text, "1 of 3 slices kept: target out of reach of low rank");
    double error2 = 0;
    for (uint32_t s = 0; s < 3; s++) {
        double one = error2_of(archive, part, s, values + s * SIZE);
        assert_int_equal(one == 0, s == 1);
        error2 += one;
    }
    assert_near(report->rel_error, sqrt(error2 / norm2_of(values, 3 * SIZE)));
    lort_archive_close(archive);
    tiny_run_close(&run);
}

static void an_error_that_cannot_be_stated_is_undefined(void **state)
{
    tiny_fill_rank(values, SIDE, SIDE, 4, 1);
    tiny_fill_rank(values + SIZE, SIDE, SIDE, 4, 1);
    values[SIZE + 9] = NAN;
    open_model(&(tiny_tensor){"w", "F32", 3, {2, SIDE, SIDE}, values}, 1, 1);
    emit_all("out.lort");
    lort_archive *archive = open_container("out.lort");
    const lort_part *part = lort_archive_find(archive, "w", 1);
    assert_false(part->has_error);
    assert_true(isnan(reports[extent_of("w")].rel_error));
    assert_string_equal(reports[extent_of("w")].reason_text,
                        "1 of 2 slices kept: holds NaN or Inf");
    lort_archive_close(archive);
    tiny_run_close(&run);
}

/* Several workers encode chunks of several megabytes, with windows of several sizes. */
static void bytes_do_not_depend_on_workers_and_window(void **state)
{
    static const struct {
        unsigned threads, window;
        const char *name;
    } cases[] = {{1, 1, "a"}, {2, 3, "b"}, {3, 16, "c"}};
    const tiny_tensor tensors[] = {TINY("raw", "I64", 300, 1000), TINY("noise", "BF16", SIDE, SIDE),
                                   TINY("bias", "F32", 300000)};
    char command[300];
    for (size_t i = 0; i < 3; i++) {
        open_model(tensors, 3, cases[i].threads);
        run.plan.window = cases[i].window;
        emit_all(cases[i].name);
        tiny_run_close(&run);
        snprintf(command, sizeof command, "cmp '%s/a' '%s/%s'", dir, dir, cases[i].name);
        assert_int_equal(system(command), 0);
    }
}

/* ---- failures ---- */

static void a_container_without_its_end_is_no_container(void **state)
{
    const tiny_tensor tensors[] = {TINY("a", "F32", 100), TINY("b", "F32", 100)};
    open_model(tensors, 2, 1);
    for (uint64_t parts = 0; parts < run.plan.count; parts++) {
        lort_archive *archive;
        tiny_ok(emit_parts("out.lort", parts), &run.err);
        assert_int_equal(
            lort_archive_open(tiny_path(dir, "out.lort"), &lort_alloc_heap, &archive, &run.err),
            LORT_E_DAMAGED);
        tiny_says(run.err.message, "incomplete");
        assert_null(archive);
        assert_int_equal(unlink(tiny_path(dir, "out.lort")), 0);
    }
    tiny_run_close(&run);
}

static void every_allocation_may_fail(void **state)
{
    tiny_fill_rank(values, SIDE, SIDE, 4, 1);
    const tiny_tensor tensors[] = {{"low", "F32", 2, {SIDE, SIDE}, values},
                                   TINY("bias", "F16", 1000)};
    open_model(tensors, 2, 1);
    lort_alloc ledger = run.session.alloc;
    lort_code code = LORT_E_MEMORY;
    int64_t n = 0;
    for (; code; n++) {
        tiny_failing failing;
        tiny_failing_start(&failing, n);
        run.session.alloc = failing.alloc;
        code = emit_parts("out.lort", run.plan.count);
        assert_int_equal(failing.live, 0);
        assert_int_equal(failing.bytes, 0);
        assert_true(code == LORT_OK || code == LORT_E_MEMORY);
        assert_int_equal(names_in_dir(), code ? 1 : 2); /* only the model is left */
    }
    assert_true(n > 20);
    run.session.alloc = ledger;
    lort_archive_close(open_container("out.lort"));
    tiny_run_close(&run);
}

static void a_file_that_shrank_is_a_read_error(void **state)
{
    const tiny_tensor tensors[] = {TINY("a", "F32", 10000), TINY("b", "F32", 10000)};
    open_model(tensors, 2, 1);
    assert_int_equal(truncate(model_path(), 50000), 0); /* inside the second tensor */
    assert_int_equal(emit_parts("out.lort", run.plan.count), LORT_E_READ);
    tiny_says(run.err.message, "m.safetensors");
    assert_int_equal(names_in_dir(), 1);
    tiny_run_close(&run);
}

/* ---- stops ---- */

typedef struct stopper {
    _Atomic unsigned tensors; /* TENSOR events */
    _Atomic unsigned asked;   /* how often stop was called, by any thread */
    /* Stops after so many tensors, or at call number yes_after if that is not 0. */
    unsigned stop_after, yes_after;
} stopper;

static void count_tensors(void *ctx, const lort_event *event)
{
    ((stopper *)ctx)->tensors += event->kind == LORT_EVENT_TENSOR;
}

static bool enough(void *ctx)
{
    stopper *stop = ctx;
    const unsigned asked = ++stop->asked;
    return stop->yes_after ? asked >= stop->yes_after : stop->tensors >= stop->stop_after;
}

static lort_code compress_and_stop(lort_mode mode, unsigned threads, stopper *stop)
{
    lort_options options;
    lort_report report = {0};
    lort_error err;
    lort_observer observer = {.event = count_tensors, .stop = enough, .ctx = stop};
    lort_options_init(&options);
    options.mode = mode;
    options.memory_bytes = TINY_PLENTY;
    options.threads = threads;
    lort_code code =
        lort_compress(model_path(), tiny_path(dir, "out.lort"), &options, &observer, &report, &err);
    if (code)
        tiny_says(err.message, "stopped");
    lort_report_free(&report);
    /* Each run must start from the beginning: test_resume.c tests resuming. */
    (void)unlink(tiny_path(dir, "out.lort.part"));
    (void)unlink(tiny_path(dir, "out.lort.part.journal"));
    return code;
}

/* Stops after every tensor in turn. The run ends there and leaves nothing else. */
static void a_stop_leaves_nothing(void **state)
{
    tiny_fill_rank(values, SIDE, SIDE, 4, 1);
    const tiny_tensor tensors[] = {{"low", "F32", 2, {SIDE, SIDE}, values},
                                   TINY("bias", "F16", 1000),
                                   TINY("noise", "BF16", SIDE, SIDE)};
    tiny_safetensors(dir, "m.safetensors", tensors, 3);
    for (int mode = LORT_MODE_FULL; mode <= LORT_MODE_STREAM; mode++)
        for (unsigned after = 0; after < 3; after++) {
            stopper stop = {.stop_after = after};
            assert_int_equal(compress_and_stop((lort_mode)mode, 2, &stop), LORT_E_STOPPED);
            assert_int_equal(stop.tensors, after);
            assert_int_equal(names_in_dir(), 1);
        }
    stopper never = {.stop_after = 100};
    assert_int_equal(compress_and_stop(LORT_MODE_STREAM, 2, &never), LORT_OK);
    assert_int_equal(never.tensors, 3);
    assert_int_equal(names_in_dir(), 2);
}

/* A stop also ends a tensor of several chunks. */
static void a_stop_is_heard_whenever_it_is_asked_for(void **state)
{
    tiny_fill_rank(values, SIDE, SIDE, 4, 1);
    const tiny_tensor tensors[] = {{"low", "F32", 2, {SIDE, SIDE}, values},
                                   TINY("bias", "F32", 600000)};
    tiny_safetensors(dir, "m.safetensors", tensors, 2);
    lort_code code = LORT_E_STOPPED;
    unsigned n = 1;
    for (; code; n++) {
        stopper stop = {.yes_after = n};
        code = compress_and_stop(LORT_MODE_STREAM, 2, &stop);
        assert_int_equal(code, stop.asked < n ? LORT_OK : LORT_E_STOPPED);
        assert_int_equal(names_in_dir(), code ? 1 : 2);
    }
    assert_true(n > 6);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_container_has_every_part_in_order),
        TEST(reports_say_what_was_written),
        TEST(slices_may_differ),
        TEST(an_error_that_cannot_be_stated_is_undefined),
        TEST(bytes_do_not_depend_on_workers_and_window),
        TEST(a_container_without_its_end_is_no_container),
        TEST(every_allocation_may_fail),
        TEST(a_file_that_shrank_is_a_read_error),
        TEST(a_stop_leaves_nothing),
        TEST(a_stop_is_heard_whenever_it_is_asked_for),
    };
    return run_chosen(tests, NULL, NULL);
}
