/* The memory limit holds from the first byte that is parsed: records that decode to much, and
 * headers with very many entries, in every command. And headers and records take no more than
 * docs/FORMAT.md, section 12, says. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/read/reading.h"
#include "compress/session/report.h"
#include "formats/base/bytes.h"
#include "loader/model/model.h"
#include "loader/os/os.h"
#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sized.h"

#define MIB (UINT64_C(1) << 20)
#define LIMIT (16 * MIB)

/* ---- containers ---- */

/* Appends the extension that a record ends with: noise, so that the record is stored compressed. */
static void put_noise(lort_buffer *body, uint32_t n)
{
    uint64_t state = 88172645463325252u;
    lort_store_u32(body->data + body->size - 4, n);
    for (uint32_t i = 0; i < n; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        lort_put_u8(body, (uint8_t)state);
    }
}

/* One tensor of `slices` matrices of 1 x 1, all zero: ranks and exponents, and no payload. */
static void put_zeros(uint64_t number, uint32_t slices, lort_buffer *body)
{
    char name[32];
    int64_t dims[] = {slices, 1, 1};
    lort_term term = {.kind = LORT_TERM_FACTORS,
                      .left = LORT_F16,
                      .right = LORT_F16,
                      .left_width = 1,
                      .right_width = 1,
                      .rank = calloc(slices, 4),
                      .exponent = calloc(slices, 4)};
    snprintf(name, sizeof name, "t%llu", (unsigned long long)number);
    lort_part part = {.number = number,
                      .tensor = true,
                      .name = name,
                      .name_bytes = (uint32_t)strlen(name),
                      .dtype = LORT_F16,
                      .n_dims = 3,
                      .dims = dims,
                      .slices = slices,
                      .source_bytes = 2 * (uint64_t)slices,
                      .has_error = true,
                      .reason = "",
                      .terms = &term,
                      .term_count = 1};
    assert_true(term.rank && term.exponent);
    lort_part_put(&part, body);
    free(term.rank);
    free(term.exponent);
}

/* A tensor without elements: the smallest record there is. Types that LoRT does not know take the
 * most memory. */
static void put_empty(uint64_t number, lort_buffer *body)
{
    char name[32];
    int64_t dims[] = {0};
    const lort_dtype type = (lort_dtype)(LORT_OPAQUE + number % 65536);
    uint32_t rank = 1;
    lort_term term = {.kind = LORT_TERM_RAW,
                      .left = type,
                      .right = type,
                      .left_width = 1,
                      .right_width = 1,
                      .rank = &rank};
    snprintf(name, sizeof name, "%llx", (unsigned long long)number);
    lort_part part = {.number = number,
                      .tensor = true,
                      .name = name,
                      .name_bytes = (uint32_t)strlen(name),
                      .dtype = type,
                      .n_dims = 1,
                      .dims = dims,
                      .slices = 1,
                      .reason = "",
                      .terms = &term,
                      .term_count = 1};
    lort_part_put(&part, body);
}

/* Writes a.lort, hash-right: `count` tensors of `slices` zero matrices, or (slices 0) without
 * elements. Returns the decoded bytes of all records. */
static uint64_t make_container(uint64_t count, uint32_t slices)
{
    lort_buffer body = {.alloc = &lort_alloc_heap}, out = {.alloc = &lort_alloc_heap};
    lort_codec *codec;
    uint64_t decoded = 0;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    lort_extent *extents = calloc(count, sizeof *extents);
    lort_hash128 *hashes = calloc(count, sizeof *hashes);
    lort_index_record index = {.count = count, .entries = calloc(count, sizeof *index.entries)};
    assert_true(extents && hashes && index.entries);
    for (uint64_t i = 0; i < count; i++)
        extents[i] = (lort_extent){.tensor = true, .bytes = 2 * (uint64_t)slices};
    lort_input_file file = {"a.safetensors", count * 2 * slices, LORT_ROLE_WEIGHTS, "safetensors"};
    lort_model_record model = {.algorithm = 1,
                               .producer = "",
                               .options = "",
                               .libraries = "",
                               .files = &file,
                               .file_count = 1,
                               .extents = extents,
                               .extent_count = count};
    lort_footer footer = {0};
    lort_head_put(&(lort_head){.major = LORT_CONTAINER_MAJOR}, &body);
    put_record(LORT_FRAME_HEAD, &body, codec, &out);
    footer.model_offset = out.size;
    lort_model_record_put(&model, &body);
    decoded += body.size;
    put_record(LORT_FRAME_MODEL, &body, codec, &out);
    for (uint64_t i = 0; i < count; i++) {
        if (slices)
            put_zeros(i, slices, &body);
        else
            put_empty(i, &body);
        if (slices)
            put_noise(&body, slices / 64);
        decoded += body.size + 16; /* and its entry in the index */
        index.entries[i].record_offset = out.size;
        put_record(LORT_FRAME_PART, &body, codec, &out);
        index.entries[i].record_bytes = out.size - index.entries[i].record_offset;
    }
    index.model = lort_xxh128(hashes, count * sizeof *hashes);
    put_end(&index, &footer, codec, &out);
    tiny_write_buffer(dir, "a.lort", &out);
    lort_buffer_free(&out);
    free(extents);
    free(hashes);
    free(index.entries);
    lort_codec_close(codec);
    return decoded;
}

/* ---- headers ---- */

/* A header of n entries, each as short as the format allows. Returns its bytes. */
typedef uint64_t make_fn(const char *name, uint64_t n);

static uint64_t written(const char *name, lort_buffer *out)
{
    const uint64_t bytes = out->size;
    tiny_write_buffer(dir, name, out);
    lort_buffer_free(out);
    return bytes;
}

static void put_gguf_name(lort_buffer *out, uint64_t i)
{
    char text[32];
    const int n = snprintf(text, sizeof text, "%llx", (unsigned long long)i);
    lort_put_u64(out, (uint64_t)n);
    lort_put_bytes(out, text, (uint64_t)n);
}

static uint64_t gguf_keys(const char *name, uint64_t n)
{
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_put_text(&out, "GGUF");
    lort_put_u32(&out, 3);
    lort_put_u64(&out, 0);
    lort_put_u64(&out, n);
    for (uint64_t i = 0; i < n; i++) {
        put_gguf_name(&out, i);
        lort_put_u32(&out, 0); /* uint8 */
        lort_put_u8(&out, 1);
    }
    return written(name, &out);
}

static uint64_t put_gguf_tensors(const char *name, uint64_t n, bool opaque)
{
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_put_text(&out, "GGUF");
    lort_put_u32(&out, 3);
    lort_put_u64(&out, n);
    lort_put_u64(&out, 0);
    for (uint64_t i = 0; i < n; i++) {
        put_gguf_name(&out, i);
        lort_put_u32(&out, 1); /* a dimension: 0 */
        lort_put_u64(&out, 0);
        lort_put_u32(&out, opaque ? 156 + (uint32_t)(i % 60000) : LORT_F32);
        lort_put_u64(&out, 0);
    }
    lort_put_zeros(&out, (32 - out.size % 32) % 32);
    return written(name, &out);
}

static uint64_t gguf_tensors(const char *name, uint64_t n)
{
    return put_gguf_tensors(name, n, false);
}
static uint64_t gguf_opaque(const char *name, uint64_t n)
{
    return put_gguf_tensors(name, n, true);
}

static uint64_t json_header(const char *name, uint64_t n, bool metadata)
{
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_put_u64(&out, 0);
    lort_put_text(&out, metadata ? "{\"__metadata__\":{" : "{");
    for (uint64_t i = 0; i < n; i++)
        lort_put_text(&out,
                      metadata
                          ? "%s\"%llx\":\"\""
                          : "%s\"%llx\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                      i ? "," : "", (unsigned long long)i);
    lort_put_text(&out, metadata ? "}}" : "}");
    while (out.size % 8)
        lort_put_u8(&out, ' ');
    lort_store_u64(out.data, out.size - 8);
    return written(name, &out);
}

static uint64_t json_tensors(const char *name, uint64_t n) { return json_header(name, n, false); }
static uint64_t json_metadata(const char *name, uint64_t n) { return json_header(name, n, true); }

/* most: bytes of memory for each byte of the header, the report of inspect included; as in
 * docs/FORMAT.md, section 12. The figures measured are in the comments. */
static const struct header_case {
    const char *name;
    make_fn *make;
    uint64_t entries, most;
} headers[] = {{"keys.gguf", gguf_keys, 100000, 16},
               {"tensors.gguf", gguf_tensors, 100000, 16},
               {"opaque.gguf", gguf_opaque, 100000, 16},
               {"metadata.safetensors", json_metadata, 100000, 24},
               {"tensors.safetensors", json_tensors, 60000, 16}};
#define HEADERS (sizeof headers / sizeof *headers)

/* ---- the commands ---- */

typedef lort_code run_fn(const char *path, const lort_run_options *run, lort_report *report,
                         lort_error *err);

static lort_code do_inspect(const char *path, const lort_run_options *run, lort_report *report,
                            lort_error *err)
{
    return lort_inspect(path, run, NULL, report, err);
}

static lort_code do_verify(const char *path, const lort_run_options *run, lort_report *report,
                           lort_error *err)
{
    const lort_verify_options options = {VERIFY_SIZE, .run = run};
    return lort_verify(path, &options, NULL, report, err);
}

static lort_code do_restore(const char *path, const lort_run_options *run, lort_report *report,
                            lort_error *err)
{
    const lort_restore_options options = {RESTORE_SIZE, .run = run};
    return lort_restore(path, tiny_path(dir, "out"), &options, NULL, report, err);
}

static lort_code do_compare(const char *path, const lort_run_options *run, lort_report *report,
                            lort_error *err)
{
    return lort_compare(path, path, -1, run, NULL, report, err);
}

static lort_code do_plan(const char *path, const lort_run_options *run, lort_report *report,
                         lort_error *err)
{
    lort_options options;
    lort_options_init(&options);
    options.memory_bytes = run->memory_bytes;
    return lort_plan(path, &options, NULL, report, err);
}

static lort_code do_compress(const char *path, const lort_run_options *run, lort_report *report,
                             lort_error *err)
{
    lort_options options;
    lort_options_init(&options);
    options.memory_bytes = run->memory_bytes;
    return lort_compress(path, tiny_path(dir, "out"), &options, NULL, report, err);
}

static lort_code do_weights(const char *path, const lort_run_options *run, lort_report *report,
                            lort_error *err)
{
    lort_weights *weights;
    lort_code code = lort_weights_open(path, run, &weights, err);
    lort_weights_close(weights);
    return code;
}

static const struct command {
    const char *name;
    run_fn *run;
    bool container, model; /* what it reads */
} commands[] = {{"inspect", do_inspect, true, true},  {"verify", do_verify, true, false},
                {"restore", do_restore, true, false}, {"compare", do_compare, true, true},
                {"plan", do_plan, false, true},       {"compress", do_compress, false, true},
                {"weights", do_weights, true, true}};
#define COMMANDS (sizeof commands / sizeof *commands)

/* The command refuses the file while it parses it, and the process stays within the limit. */
static void refused_within(const struct command *command, const char *name)
{
    const lort_run_options run = {RUN_SIZE, .memory_bytes = LIMIT, .threads = 1};
    lort_process_memory before;
    lort_report report = {0};
    lort_error err = {0};
    lort_os_process_memory(&before);
    lort_code code = command->run(tiny_path(dir, name), &run, &report, &err);
    if (code != LORT_E_MEMORY)
        fail_msg("%s of %s: code %d: %s", command->name, name, code, err.message);
    assert_says(&err, "were refused"); /* by the budget, not by a plan that came later */
    if (report.peak_anon_bytes && !SANITIZED && report.peak_anon_bytes > before.anon_bytes + LIMIT)
        fail_msg("%s of %s took %llu bytes", command->name, name,
                 (unsigned long long)(report.peak_anon_bytes - before.anon_bytes));
    lort_report_free(&report);
}

static void records_add_up(void **state)
{
    /* each record decodes to 1 MiB, parsed another MiB: far within the limit */
    make_container(40, 1 << 17);
    lort_buffer file = file_read("a.lort");
    assert_true(file.size < 4 * MIB);
    lort_buffer_free(&file);
    for (size_t i = 0; i < COMMANDS; i++)
        if (commands[i].container)
            refused_within(&commands[i], "a.lort");
}

static void one_record_is_too_much(void **state)
{
    make_container(1, 1 << 22); /* 32 MiB */
    for (size_t i = 0; i < COMMANDS; i++)
        if (commands[i].container)
            refused_within(&commands[i], "a.lort");
}

static void headers_are_refused(void **state)
{
    for (size_t h = 0; h < HEADERS; h++) {
        headers[h].make(headers[h].name, 4 * headers[h].entries);
        for (size_t i = 0; i < COMMANDS; i++)
            if (commands[i].model)
                refused_within(&commands[i], headers[h].name);
        unlink(tiny_path(dir, headers[h].name));
    }
}

/* ---- how much headers and records take ---- */

static void check_most(const char *name, uint64_t taken, uint64_t bytes, uint64_t most)
{
    if (getenv("LORT_TEST_FIGURES"))
        print_message("%s: %.2f bytes a byte\n", name, (double)taken / (double)bytes);
    if (taken > most * bytes)
        fail_msg("%s: %llu bytes of memory for %llu (at most %llu each)", name,
                 (unsigned long long)taken, (unsigned long long)bytes, (unsigned long long)most);
}

/* What a whole inspect takes, report included. */
static void a_header_takes_so_much_a_byte(void **state)
{
    for (size_t h = 0; h < HEADERS; h++) {
        const uint64_t bytes = headers[h].make(headers[h].name, headers[h].entries);
        lort_process_memory before;
        lort_report report = {0};
        lort_error err = {0};
        lort_os_process_memory(&before);
        assert_code(lort_inspect(tiny_path(dir, headers[h].name), &plenty, NULL, &report, &err),
                    LORT_OK, &err);
        check_most(headers[h].name, report.planned_peak_bytes - before.anon_bytes, bytes,
                   headers[h].most);
        lort_report_free(&report);
    }
}

static void records_take_so_much_a_byte(void **state)
{
    const struct {
        const char *name;
        uint64_t count;
        uint32_t slices;
    } cases[] = {{"many small records", 20000, 0}, {"one large record", 1, 1 << 20}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint64_t decoded = make_container(cases[i].count, cases[i].slices);
        lort_session session;
        lort_report report = {0};
        lort_error err = {0};
        lort_archive *archive;
        assert_code(lort_session_open_reader(&session, LORT_COMMAND_INSPECT, plenty.memory_bytes,
                                             NULL, &report, &err),
                    LORT_OK, &err);
        assert_code(lort_archive_open(tiny_path(dir, "a.lort"), &session.alloc, &archive, &err),
                    LORT_OK, &err);
        assert_code(lort_reading_list(archive, &report, &err), LORT_OK, &err);
        check_most(cases[i].name, lort_budget_peak(session.budget), decoded, 8);
        lort_archive_close(archive);
        lort_session_close(&session);
        lort_report_free(&report);
    }
}

/* ---- stopping ---- */

static bool after_some(void *left) { return --*(int *)left < 0; }

static void inspect_stops(void **state)
{
    int left = 10;
    const lort_observer observer = {.stop = after_some, .ctx = &left};
    lort_report report = {0};
    lort_error err = {0};
    make_container(40, 0);
    assert_code(lort_inspect(tiny_path(dir, "a.lort"), &plenty, &observer, &report, &err),
                LORT_E_STOPPED, &err);
    assert_int_equal(left, -1); /* in the middle of the records */
    lort_report_free(&report);
    left = 0;
    gguf_tensors("m.gguf", 10);
    assert_code(lort_inspect(tiny_path(dir, "m.gguf"), &plenty, &observer, &report, &err),
                LORT_E_STOPPED, &err);
    lort_report_free(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        command_test(records_add_up),
        command_test(one_record_is_too_much),
        command_test(headers_are_refused),
        command_test(a_header_takes_so_much_a_byte),
        command_test(records_take_so_much_a_byte),
        command_test(inspect_stops),
    };
    return run_chosen(tests, NULL, NULL);
}
