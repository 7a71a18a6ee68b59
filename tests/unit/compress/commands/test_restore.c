#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sized.h"

enum { ROWS = 130, COLS = 72, SIZE = ROWS * COLS };

static float low_rank[SIZE], large[SIZE], stack[3 * SIZE];

static int fill(void **state)
{
    tiny_fill_rank(low_rank, ROWS, COLS, 3, 1);
    for (int i = 0; i < SIZE; i++)
        large[i] = 1e5f * low_rank[i];
    tiny_fill_rank(stack, ROWS, COLS, 2, 5);
    tiny_fill_noise(stack + SIZE, SIZE, 6);
    stack[SIZE + 70] = NAN;
    stack[SIZE + 71] = -INFINITY;
    return 0;
}

/* The tensors are not in the order of their names. An odd number of bytes lies before the last. */
static const tiny_tensor model[] = {
    {"w.f32", "F32", 2, {ROWS, COLS}, low_rank},
    {"w.f16", "F16", 2, {ROWS, COLS}, low_rank},
    {"w.bf16", "BF16", 2, {ROWS, COLS}, low_rank},
    {"experts", "F32", 3, {3, ROWS, COLS}, stack},
    {"norm", "F32", 1, {COLS}, NULL},
    {"ids", "I32", 1, {3}, NULL},
};

static void write_container(void)
{
    lort_options options = options_rank(3);
    tiny_safetensors(dir, "m", model, sizeof model / sizeof *model);
    compress_to("m", "a.lort", &options);
}

static const lort_restore_options as_it_was = {RESTORE_SIZE,
                                               .run = &(lort_run_options){RUN_SIZE, .threads = 2}};

static void restore_ok(const char *container, const char *output,
                       const lort_restore_options *options)
{
    lort_error err = {0};
    assert_code(restore_with(container, output, options, NULL, &err), LORT_OK, &err);
}

/* The largest relative error of a tensor; NaN if one tensor has none. */
static double worst_between(const char *a, const char *b)
{
    lort_report report = {0};
    lort_error err = {0};
    assert_code(lort_compare(tiny_path(dir, a), tiny_path(dir, b), -1,
                             &(lort_run_options){RUN_SIZE, .threads = 2}, NULL, &report, &err),
                LORT_OK, &err);
    double worst = 0;
    for (uint64_t i = 0; i < report.tensor_count; i++)
        worst = report.tensors[i].rel_error > worst || isnan(report.tensors[i].rel_error)
                    ? report.tensors[i].rel_error
                    : worst;
    lort_report_free(&report);
    return worst;
}

/* ---- the same files ---- */

static void lossless_is_byte_for_byte(void **state)
{
    lort_options options = options_rank(1);
    options.goal = LORT_GOAL_LOSSLESS;
    tiny_safetensors(dir, "m", model, sizeof model / sizeof *model);
    tiny_gguf(dir, "g", model, 4, NULL);
    for (int i = 0; i < 2; i++) {
        compress_to(i ? "g" : "m", "a.lort", &options);
        restore_ok("a.lort", "out", &as_it_was);
        assert_true(same_files(i ? "g" : "m", "out"));
        unlink(tiny_path(dir, "out"));
        unlink(tiny_path(dir, "a.lort"));
    }
}

/* Two files of weights, index.json and config.json. */
static void compress_directory(const lort_options *options)
{
    static const char *const pairs[] = {"w.f32", "x-1.safetensors", "w.f16", "x-2.safetensors",
                                        NULL};
    assert_int_equal(mkdir(tiny_path(dir, "d"), 0755), 0);
    tiny_safetensors(dir, "d/x-1.safetensors", model, 1);
    tiny_safetensors(dir, "d/x-2.safetensors", model + 1, 1);
    tiny_index(dir, "d/x.safetensors.index.json", pairs);
    tiny_text(dir, "d/config.json", "{}");
    compress_to("d", "a.lort", options);
}

static void a_directory_comes_back_whole(void **state)
{
    lort_options options = options_rank(1);
    options.goal = LORT_GOAL_LOSSLESS;
    compress_directory(&options);
    restore_ok("a.lort", "out", &as_it_was);
    assert_true(same_files("d/x-1.safetensors", "out/x-1.safetensors"));
    assert_true(same_files("d/x-2.safetensors", "out/x-2.safetensors"));
    assert_true(same_files("d/x.safetensors.index.json", "out/x.safetensors.index.json"));
    assert_true(same_files("d/config.json", "out/config.json"));
}

static void the_same_with_any_threads(void **state)
{
    static const char *const types[] = {NULL, "F32", "F16", "BF16"};
    write_container();
    for (size_t t = 0; t < 4; t++)
        for (unsigned threads = 1; threads <= 7; threads += 3) {
            lort_restore_options options = {
                RESTORE_SIZE, .run = &(lort_run_options){RUN_SIZE, .threads = threads},
                .dtype = types[t], .force = true};
            restore_ok("a.lort", threads == 1 ? "one" : "many", &options);
            assert_true(threads == 1 || same_files("one", "many"));
        }
}

/* ---- other types ---- */

static void types_follow(void **state)
{
    static const struct {
        const char *dtype;
        double least, most;
    } wanted[] = {{"F32", 0, 0}, {"F16", 1e-5, 5e-4}, {"BF16", 1e-4, 4e-3}};
    write_container();
    for (size_t i = 0; i < 3; i++) {
        lort_restore_options options = {RESTORE_SIZE,
                                        .run = &(lort_run_options){RUN_SIZE, .threads = 2},
                                        .dtype = wanted[i].dtype, .force = true};
        lort_report report = {0};
        restore_ok("a.lort", "out", &options);
        double worst = worst_between("a.lort", "out");
        if (!(worst >= wanted[i].least && worst <= wanted[i].most))
            fail_msg("%s: %g", wanted[i].dtype, worst);
        assert_int_equal(lort_inspect(tiny_path(dir, "out"), &plenty, NULL, &report, NULL),
                         LORT_OK);
        assert_string_equal(entry_named(&report, "w.bf16")->dtype, wanted[i].dtype);
        assert_string_equal(entry_named(&report, "experts")->dtype, wanted[i].dtype);
        assert_string_equal(entry_named(&report, "norm")->dtype, "F32");
        assert_string_equal(entry_named(&report, "ids")->dtype, "I32");
        lort_report_free(&report);
    }
}

/* NaN and Inf of the source stay, in any type. Only numbers that do not fit are refused. */
static void what_does_not_fit_is_refused(void **state)
{
    lort_options compress = options_rank(3);
    lort_restore_options options = {
        RESTORE_SIZE, .run = &(lort_run_options){RUN_SIZE, .threads = 2}, .dtype = "F16"};
    lort_error err = {0};
    tiny_safetensors(dir, "m", &(tiny_tensor){"big", "F32", 2, {ROWS, COLS}, large}, 1);
    compress_to("m", "a.lort", &compress);
    assert_code(restore_with("a.lort", "out", &options, NULL, &err), LORT_E_NUMERIC, &err);
    assert_says(&err, "tensor big: value ");
    assert_says(&err, "does not fit F16: use --dtype BF16 or F32");
    assert_int_equal(names_left(), 2);
    options.dtype = "BF16";
    restore_ok("a.lort", "out", &options);
    options.dtype = "F64";
    assert_code(restore_with("a.lort", "out2", &options, NULL, &err), LORT_E_USAGE, &err);
}

/* An edit: factors near the end of the range of BF16 or F16, so that products are beyond it. */
static void blow_up(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes, uint64_t n)
{
    bool bf16 = term_of_chunk(part, chunk)->left == LORT_BF16;
    for (uint64_t i = 1; chunk->array >> 24 != LORT_ARRAY_RAW && i < n; i += 2)
        bytes[i] = bf16 ? 0x7f : 0x7b;
}

static void products_beyond_the_type_are_refused(void **state)
{
    lort_error err = {0};
    lort_restore_options options = as_it_was;
    write_container();
    rewrite_container("a.lort", "bad.lort", blow_up);
    options.dtype = "F16";
    assert_code(restore_with("bad.lort", "out", &options, NULL, &err), LORT_E_NUMERIC, &err);
    assert_says(&err, "does not fit F16");
    assert_false(file_exists("out"));
}

/* ---- one tensor ---- */

static void one_tensor(void **state)
{
    lort_restore_options options = as_it_was;
    lort_error err = {0};
    write_container();
    options.tensor = "w.f32";
    restore_ok("a.lort", "one", &options);
    restore_ok("a.lort", "all", &as_it_was);
    lort_buffer one = file_read("one"), all = file_read("all");
    uint64_t at = 8 + (uint64_t)all.data[0] + 256u * all.data[1]; /* behind the header */
    assert_int_equal(one.size, SIZE * sizeof(float));
    assert_memory_equal(one.data, all.data + at, one.size);
    lort_buffer_free(&one);
    lort_buffer_free(&all);
    options.tensor = "missing\n";
    assert_code(restore_with("a.lort", "two", &options, NULL, &err), LORT_E_USAGE, &err);
    assert_says(&err, "missing\\x0A");
}

/* ---- outputs ---- */

static void outputs_are_guarded(void **state)
{
    lort_restore_options options = as_it_was;
    lort_error err = {0};
    write_container();
    tiny_text(dir, "out", "old");
    assert_code(restore_with("a.lort", "out", &options, NULL, &err), LORT_E_EXISTS, &err);
    options.force = true;
    assert_code(restore_with("a.lort", "a.lort", &options, NULL, &err), LORT_E_USAGE, &err);
    assert_says(&err, "the container itself");
    restore_ok("a.lort", "out", &options);
    assert_int_equal(names_left(), 3);
    assert_code(restore_with("m", "out2", &options, NULL, &err), LORT_E_INPUT, &err);
    assert_code(restore_with("nowhere", "out2", &options, NULL, &err), LORT_E_INPUT, &err);
}

static lort_code run_and_remove(const lort_observer *observer, lort_error *err)
{
    lort_code code = restore_with("a.lort", "out", &as_it_was, observer, err);
    if (code == LORT_OK)
        assert_int_equal(unlink(tiny_path(dir, "out")), 0);
    return code;
}

static void a_stop_leaves_nothing(void **state)
{
    write_container();
    stop_everywhere(run_and_remove, 2);
}

/* ---- damage ---- */

static void nan_in_a_factor_is_damage(void **state)
{
    lort_error err = {0};
    write_container();
    rewrite_container("a.lort", "bad.lort", poison_right);
    assert_code(restore_with("bad.lort", "out", &as_it_was, NULL, &err), LORT_E_DAMAGED, &err);
    assert_says(&err, "tensor w.f32: a factor holds NaN");
    assert_false(file_exists("out"));
    lort_report report = {0};
    assert_code(lort_verify(tiny_path(dir, "bad.lort"),
                            &(lort_verify_options){
                                VERIFY_SIZE, .run = &(lort_run_options){RUN_SIZE, .threads = 2}},
                            NULL, &report, &err),
                LORT_E_DAMAGED, &err);
    lort_report_free(&report);
}

static const char *old_text, *new_text;

/* An edit: puts another text of the same length into the header. */
static void swap_text(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes, uint64_t n)
{
    for (uint64_t i = 0; part->number == 0 && i + strlen(old_text) <= n; i++)
        if (memcmp(bytes + i, old_text, strlen(old_text)) == 0)
            memcpy(bytes + i, new_text, strlen(new_text));
}

/* An edit that changes nothing. */
static void no_edit(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes, uint64_t n)
{
    (void)part, (void)chunk, (void)bytes, (void)n;
}

static lort_code verify_one(const char *name)
{
    lort_report report = {0};
    const lort_verify_options options = {VERIFY_SIZE,
                                         .run = &(lort_run_options){RUN_SIZE, .threads = 2}};
    const lort_code code = lort_verify(tiny_path(dir, name), &options, NULL, &report, NULL);
    lort_report_free(&report);
    return code;
}

/* Headers and index.json are written anew where a type changes. Their old bytes need the right hash
 * all the same: verify refuses them, so restore does, in every type. */
static void bytes_that_are_not_copied_have_their_hash(void **state)
{
    static const char *const types[] = {NULL, "F16", "BF16", "F32"};
    lort_options rank = options_rank(3);
    lort_restore_options options = {RESTORE_SIZE,
                                    .run = &(lort_run_options){RUN_SIZE, .threads = 2}};
    lort_error err = {0};
    unsigned refused = 0;
    compress_directory(&rank);
    for (wrong_source = 0; wrong_source < 6; wrong_source++) {
        rewrite_container("a.lort", "bad.lort", no_edit);
        const lort_code verified = verify_one("bad.lort");
        refused += verified == LORT_E_DAMAGED;
        for (size_t k = 0; k < sizeof types / sizeof *types && verified; k++) {
            options.dtype = types[k];
            assert_code(restore_with("bad.lort", "out", &options, NULL, &err), LORT_E_DAMAGED,
                        &err);
            assert_says(&err, "hash of the source");
            assert_false(file_exists("out"));
        }
    }
    wrong_source = UINT64_MAX;
    assert_int_equal(refused, 4); /* two headers, index.json and config.json */
}

/* A sound header with other tensors than the container is refused. */
static void the_header_must_be_that_of_the_tensors(void **state)
{
    static const struct {
        const char *old, *new;
    } swaps[] = {{"\"w.f16\"", "\"v.f16\""},
                 {"\"dtype\":\"BF16\"", "\"dtype\":\"U16\" "},
                 {"[130,72]", "[72,130]"},
                 {"{\"w.f32\"", "[\"w.f32\""}};
    static const char *const types[] = {NULL, "F16", "BF16", "F32"};
    const lort_verify_options verify = {VERIFY_SIZE,
                                        .run = &(lort_run_options){RUN_SIZE, .threads = 2}};
    lort_restore_options options = {RESTORE_SIZE,
                                    .run = &(lort_run_options){RUN_SIZE, .threads = 2}};
    lort_error err = {0};
    write_container();
    for (size_t i = 0; i < sizeof swaps / sizeof *swaps; i++) {
        old_text = swaps[i].old;
        new_text = swaps[i].new;
        rewrite_container("a.lort", "bad.lort", swap_text);
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            options.dtype = types[k];
            options.tensor = NULL;
            assert_code(restore_with("bad.lort", "out", &options, NULL, &err), LORT_E_DAMAGED,
                        &err);
            options.tensor = "w.f32";
            assert_code(restore_with("bad.lort", "out", &options, NULL, &err), LORT_E_DAMAGED,
                        &err);
            assert_false(file_exists("out"));
        }
        lort_report report = {0};
        assert_code(lort_verify(tiny_path(dir, "bad.lort"), &verify, NULL, &report, &err),
                    LORT_E_DAMAGED, &err);
        assert_says(&err, "bad.lort: ");
        lort_report_free(&report);
    }
}

/* ---- zeros without end ---- */

/* Makes the header of a safetensors file with one tensor, as a raw part. Returns its bytes. */
static uint64_t make_head(const int64_t *shape, uint64_t bytes, lort_part *part,
                          lort_buffer *payload)
{
    static uint32_t rank = 1;
    static int64_t dims[1];
    static lort_term term = {.kind = LORT_TERM_RAW,
                             .left = LORT_U8,
                             .right = LORT_U8,
                             .left_width = 1,
                             .right_width = 1,
                             .rank = &rank};
    static lort_chunk chunk;
    uint8_t text[300] = {0}, stored[1000];
    uint64_t n = 0;
    lort_codec *codec;
    const int json = snprintf((char *)text + 8, sizeof text - 8,
                              "{\"w\":{\"dtype\":\"F8_E5M2\",\"shape\":[%lld,%lld],"
                              "\"data_offsets\":[0,%llu]}}",
                              (long long)shape[0], (long long)shape[1], (unsigned long long)bytes);
    text[0] = (uint8_t)json;
    dims[0] = json + 8;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    assert_int_equal(
        lort_codec_encode(codec, text, (uint64_t)dims[0], stored, sizeof stored, &n, NULL),
        LORT_OK);
    lort_codec_close(codec);
    chunk = (lort_chunk){.stored = (uint32_t)n,
                         .decoded = (uint32_t)dims[0],
                         .count = (uint64_t)dims[0],
                         .hash = lort_xxh64(stored, n)};
    *part = (lort_part){.name = "",
                        .dtype = LORT_U8,
                        .n_dims = 1,
                        .dims = dims,
                        .slices = 1,
                        .source_bytes = (uint64_t)dims[0],
                        .source = lort_xxh128(text, (uint64_t)dims[0]),
                        .reason = "",
                        .terms = &term,
                        .term_count = 1,
                        .chunks = &chunk,
                        .chunk_count = 1,
                        .payload_bytes = n};
    lort_put_bytes(payload, stored, n);
    return (uint64_t)dims[0];
}

/* Makes a sound container of some hundred bytes. Its one tensor, "w" of type F8, is factors of rank
 * 0: as many zeros as a tensor may have, stored in no bytes. */
static lort_code write_zeros(const char *name, int64_t rows, int64_t cols, lort_error *err)
{
    uint32_t rank = 0;
    int32_t exponent = 0;
    int64_t dims[] = {rows, cols};
    const uint64_t bytes = (uint64_t)rows * (uint64_t)cols;
    lort_term term = {.kind = LORT_TERM_FACTORS,
                      .left = LORT_F16,
                      .right = LORT_F16,
                      .left_width = 2,
                      .right_width = 2,
                      .rank = &rank,
                      .exponent = &exponent};
    const lort_part part = {.number = 1,
                            .tensor = true,
                            .name = "w",
                            .name_bytes = 1,
                            .dtype = LORT_F8_E5M2,
                            .n_dims = 2,
                            .dims = dims,
                            .slices = 1,
                            .source_bytes = bytes,
                            .reason = "",
                            .terms = &term,
                            .term_count = 1};
    lort_part head;
    lort_buffer payload = {.alloc = &lort_alloc_heap};
    const uint64_t head_bytes = make_head(dims, bytes, &head, &payload);
    lort_input_file file = {
        .name = "m.safetensors", .size = head_bytes + bytes, .format = "safetensors"};
    lort_extent extents[] = {{.bytes = head_bytes}, {.tensor = true, .bytes = bytes}};
    const lort_model_record zeros = {.algorithm = 1,
                                     .producer = "",
                                     .options = "",
                                     .libraries = "",
                                     .files = &file,
                                     .file_count = 1,
                                     .extents = extents,
                                     .extent_count = 2};
    lort_buffer out = {.alloc = &lort_alloc_heap}, body = {.alloc = &lort_alloc_heap};
    lort_index_entry entry[2];
    lort_hash128 sources[] = {head.source, part.source};
    lort_index_record index = {
        .entries = entry, .count = 2, .model = lort_xxh128(sources, sizeof sources)};
    lort_footer footer = {.model_offset = LORT_HEADER_BYTES};
    lort_codec *codec;
    lort_archive *archive;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    lort_head_put(&(lort_head){.major = LORT_CONTAINER_MAJOR}, &body);
    put_record(LORT_FRAME_HEAD, &body, codec, &out);
    lort_model_record_put(&zeros, &body);
    put_record(LORT_FRAME_MODEL, &body, codec, &out);
    lort_put_bytes(&out, payload.data, payload.size);
    for (int i = 0; i < 2; i++) {
        entry[i].record_offset = out.size;
        lort_part_put(i ? &part : &head, &body);
        put_record(LORT_FRAME_PART, &body, codec, &out);
        entry[i].record_bytes = out.size - entry[i].record_offset;
    }
    lort_buffer_free(&payload);
    put_end(&index, &footer, codec, &out);
    lort_codec_close(codec);
    tiny_write_buffer(dir, name, &out);
    lort_code code = lort_archive_open(tiny_path(dir, name), &lort_alloc_heap, &archive, err);
    lort_archive_close(archive);
    return code;
}

static lort_code take_one(void *ctx, uint64_t first, const float *values, uint64_t count)
{
    (void)first;
    for (uint64_t i = 0; i < count; i++)
        assert_true(values[i] == 0);
    *(uint64_t *)ctx += count;
    return LORT_E_STOPPED;
}

/* Rows of the tensor are zeros, or there is no memory for a row of blocks. */
static void read_zeros(const char *name)
{
    lort_weights *w;
    lort_error err = {0};
    static float buffer[1000];
    uint64_t seen = 0;
    assert_code(lort_weights_open(tiny_path(dir, name),
                                  &(lort_run_options){RUN_SIZE, .memory_bytes = 64 << 20}, &w,
                                  &err),
                LORT_OK, &err);
    lort_code code = lort_weights_rows(w, 0, 0, 1, buffer, sizeof buffer, take_one, &seen, &err);
    assert_true(code == LORT_E_MEMORY || (code == LORT_E_STOPPED && seen > 0));
    lort_weights_close(w);
}

static void zeros_without_end_are_answered_or_refused(void **state)
{
    static const int64_t most = (int64_t)LORT_ELEMENTS_MAX;
    const int64_t shapes[][2] = {{1, most}, {most, 1}, {(int64_t)1 << 30, (int64_t)1 << 30}};
    /* Without the limit, 4 bytes times the elements would overflow to a small number. */
    const int64_t beyond[][2] = {
        {1, most + 1}, {4 * most + 1000, 1}, {1, 4 * most + 1000}, {INT64_MAX - 1000, 1}};
    const lort_run_options run = {RUN_SIZE, .threads = 2, .memory_bytes = 256 << 20};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        lort_report seen = {0}, verified = {0}, compared = {0};
        lort_error err = {0};
        watcher w;
        assert_code(write_zeros("z.lort", shapes[i][0], shapes[i][1], &err), LORT_OK, &err);
        assert_code(lort_inspect(tiny_path(dir, "z.lort"), &plenty, NULL, &seen, &err), LORT_OK,
                    &err);
        assert_int_equal(seen.tensors[0].bytes_in, shapes[i][0] * shapes[i][1]);
        const lort_verify_options check = {VERIFY_SIZE, .run = &run};
        assert_code(lort_verify(tiny_path(dir, "z.lort"), &check, NULL, &verified, &err), LORT_OK,
                    &err);
        /* nothing is written yet: disk space or memory of a slot is missing */
        for (int way = 0; way < 3; way++) {
            const lort_restore_options options = {RESTORE_SIZE, .run = &run,
                                                  .dtype = way == 1 ? "F32" : NULL,
                                                  .tensor = way == 2 ? "w" : NULL};
            lort_code code = restore_with("z.lort", "out", &options, NULL, &err);
            assert_true(code == LORT_E_WRITE || code == LORT_E_MEMORY);
            assert_int_equal(names_left(), 1);
        }
        watch_start(&w, 20, -1); /* a loop over the elements would ask more often */
        assert_code(lort_compare(tiny_path(dir, "z.lort"), tiny_path(dir, "z.lort"), -1, &run,
                                 &w.observer, &compared, &err),
                    LORT_OK, &err);
        assert_true(compared.tensors[0].rel_error == 0 && compared.tensors[0].max_abs == 0);
        read_zeros("z.lort");
        lort_report_free(&seen);
        lort_report_free(&verified);
        lort_report_free(&compared);
    }
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        lort_error err = {0};
        assert_code(write_zeros("z.lort", beyond[i][0], beyond[i][1], &err), LORT_E_DAMAGED, &err);
        assert_says(&err, "elements (at most 1152921504606846976)");
    }
}

/* ---- memory ---- */

static const char *container = "a.lort";

static lort_code run_in(uint64_t memory, lort_report *report, lort_error *err)
{
    lort_restore_options options = {
        RESTORE_SIZE, .run = &(lort_run_options){RUN_SIZE, .threads = 3, .memory_bytes = memory},
        .dtype = "F16", .force = true};
    lort_code code =
        lort_restore(tiny_path(dir, container), tiny_path(dir, "out"), &options, NULL, report, err);
    if (code == LORT_OK)
        assert_true(same_files("reference", "out"));
    return code;
}

static void memory_is_a_promise(void **state)
{
    write_container();
    restore_ok("a.lort", "reference", &(lort_restore_options){RESTORE_SIZE, .dtype = "F16"});
    sweep_memory(run_in);
}

/* 64 x 150000: one slot in F16 is 19 MB, the factors 1 MB. Nothing else grows with the width. */
static void a_wide_matrix_is_an_ordinary_one(void **state)
{
    enum { HIGH = 64, WIDE = 150000 };
    lort_options compress = options_rank(2);
    float *values = calloc((size_t)HIGH * WIDE, sizeof *values);
    assert_non_null(values);
    tiny_fill_rank(values, HIGH, WIDE, 2, 4);
    tiny_safetensors(dir, "m", &(tiny_tensor){"wide", "F16", 2, {HIGH, WIDE}, values}, 1);
    free(values);
    compress_to("m", "a.lort", &compress);
    restore_ok("a.lort", "reference", &(lort_restore_options){RESTORE_SIZE, .dtype = "F16"});
    tiny_safetensors(dir, "s", model, 1);
    compress_to("s", "s.lort", &compress);
    container = "s.lort";
    uint64_t small = least_memory(run_in, "w.f32 needs ");
    container = "a.lort";
    uint64_t wide = least_memory(run_in, "wide needs ");
    /* a sanitizer takes memory of its own */
    assert_true(SANITIZED || wide - small < (uint64_t)HIGH * WIDE * 2 + (3u << 20));
    runs_within(run_in, SANITIZED ? 2ull << 30 : wide);
    assert_true(worst_between("m", "out") < 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(lossless_is_byte_for_byte),
        command_test(a_directory_comes_back_whole),
        command_test(the_same_with_any_threads),
        command_test(types_follow),
        command_test(what_does_not_fit_is_refused),
        command_test(products_beyond_the_type_are_refused),
        command_test(one_tensor),
        command_test(outputs_are_guarded),
        command_test(a_stop_leaves_nothing),
        command_test(nan_in_a_factor_is_damage),
        command_test(memory_is_a_promise),
        command_test(the_header_must_be_that_of_the_tensors),
        command_test(bytes_that_are_not_copied_have_their_hash),
        command_test(a_wide_matrix_is_an_ordinary_one),
        command_test(zeros_without_end_are_answered_or_refused),
    };
    return run_chosen(tests, fill, NULL);
}
