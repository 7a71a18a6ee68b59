#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/command_fixture.h"
#include "tests/unit/main.h"
#include "tests/unit/sized.h"

static const tiny_tensor model[] = {{"experts", "F32", 3, {3, 40, 48}, NULL},
                                    {"q", "Q8_0", 2, {40, 64}, NULL},
                                    {"w", "F16", 2, {40, 48}, NULL},
                                    {"norm", "F32", 1, {48}, NULL}};

static lort_report inspected(const char *name)
{
    lort_report report = {0};
    lort_error err = {0};
    assert_code(lort_inspect(tiny_path(dir, name), &plenty, NULL, &report, &err), LORT_OK, &err);
    assert_int_equal(report.command, LORT_COMMAND_INSPECT);
    return report;
}

static void must_fail(const char *name, lort_code code, const char *text)
{
    lort_report report = {0};
    lort_error err = {0};
    assert_code(lort_inspect(tiny_path(dir, name), &plenty, NULL, &report, &err), code, &err);
    assert_says(&err, text);
    lort_report_free(&report);
}

static const lort_meta_report *meta_of(const lort_report *report, const char *key)
{
    for (uint64_t i = 0; i < report->meta_count; i++)
        if (strcmp(report->meta[i].key, key) == 0)
            return &report->meta[i];
    fail_msg("no key %s", key);
    return NULL;
}

static void a_model(void **state)
{
    const tiny_split split = {0, 1, 4, "a\nb"};
    tiny_gguf(dir, "x.gguf", model, 4, &split);
    lort_report report = inspected("x.gguf");
    lort_buffer file = file_read("x.gguf");
    assert_string_equal(report.input_format, "gguf");
    assert_int_equal(report.input_version, 3);
    assert_int_equal(report.input_files, 1);
    assert_int_equal(report.input_bytes, file.size);
    assert_int_equal(report.tensor_count, 4);
    assert_int_equal(report.type_count, 3);
    assert_string_equal(report.types[0].dtype, "F32");
    assert_int_equal(report.types[0].elements, 3 * 40 * 48 + 48);
    assert_true(report.input_bpw == 8.0 * (double)file.size / (4 * 40 * 48 + 48 + 40 * 64));
    const lort_tensor_report *t = entry_named(&report, "experts");
    assert_int_equal(t->n_dims, 3);
    assert_int_equal(t->shape[0], 3);
    assert_int_equal(t->shape[2], 48);
    assert_int_equal(t->slices, 3);
    assert_int_equal(t->bytes_in, 3 * 40 * 48 * 4);
    assert_string_equal(t->file, "x.gguf");
    assert_int_equal(entry_named(&report, "q")->bytes_in, 40 * 2 * 34);
    assert_string_equal(entry_named(&report, "q")->dtype, "Q8_0");
    assert_int_equal(entry_named(&report, "q")->offset, t->offset + t->bytes_in);
    assert_true(meta_of(&report, "general.architecture")->is_text);
    assert_string_equal(meta_of(&report, "general.architecture")->text, "a\\x0Ab");
    assert_string_equal(meta_of(&report, "split.count")->text, "1");
    assert_string_equal(meta_of(&report, "split.tensors.count")->text, "4");
    lort_buffer_free(&file);
    lort_report_free(&report);
}

/* inspect and verify read the figures that compress reported of its output. */
static void a_container(void **state)
{
    lort_options options = options_rank(2);
    lort_report made = {0}, verified = {0};
    lort_error err = {0};
    tiny_safetensors(dir, "m.safetensors", model, 1);
    assert_code(lort_compress(tiny_path(dir, "m.safetensors"), tiny_path(dir, "a.lort"), &options,
                              NULL, &made, &err),
                LORT_OK, &err);
    lort_report report = inspected("a.lort");
    assert_code(lort_verify(tiny_path(dir, "a.lort"),
                            &(lort_verify_options){
                                VERIFY_SIZE, .run = &(lort_run_options){RUN_SIZE, .threads = 2}},
                            NULL, &verified, &err),
                LORT_OK, &err);
    const lort_report *const readers[] = {&report, &verified};
    for (int i = 0; i < 2; i++) {
        assert_string_equal(readers[i]->input_format, "lort");
        assert_int_equal(readers[i]->input_bytes, made.output_bytes);
        assert_int_equal(readers[i]->tensor_count, 1);
        const lort_tensor_report *a = &made.tensors[0], *b = &readers[i]->tensors[0];
        assert_int_equal(a->action, LORT_ACTION_FACTORED);
        assert_int_equal(a->action, b->action);
        assert_int_equal(a->rank, b->rank);
        assert_int_equal(a->slices, b->slices);
        assert_int_equal(a->bytes_in, b->bytes_in);
        assert_int_equal(a->bytes_out, b->bytes_out);
        assert_true(a->rel_error == b->rel_error && made.worst_error == readers[i]->worst_error &&
                    made.bpw == readers[i]->bpw);
        assert_string_equal(b->file, "m.safetensors");
    }
    assert_int_equal(report.type_count, 1);
    assert_int_equal(report.types[0].bytes_out, made.tensors[0].bytes_out);
    assert_true(report.types[0].mean_error == made.tensors[0].rel_error);
    assert_true(report.input_bpw == 8.0 * (double)made.output_bytes / (3 * 40 * 48));
    assert_string_equal(meta_of(&report, "producer")->text, "lort " LORT_VERSION);
    assert_int_equal(atoi(meta_of(&report, "algorithm")->text), LORT_ALGORITHM);
    assert_non_null(strstr(meta_of(&report, "options")->text, "rank=2"));
    assert_non_null(strstr(meta_of(&report, "file 0")->text, "m.safetensors, "));
    lort_report_free(&made);
    lort_report_free(&report);
    lort_report_free(&verified);
}

static void shards(void **state)
{
    static const char *const pairs[] = {"experts", "x-1.safetensors", "w", "x-2.safetensors", NULL};
    tiny_safetensors(dir, "x-1.safetensors", model, 1);
    tiny_safetensors(dir, "x-2.safetensors", model + 2, 1);
    tiny_index(dir, "x.safetensors.index.json", pairs);
    lort_report report = inspected("");
    assert_string_equal(report.input_format, "safetensors");
    assert_int_equal(report.input_files, 3);
    assert_int_equal(report.tensor_count, 2);
    assert_string_equal(entry_named(&report, "w")->file, "x-2.safetensors");
    lort_report_free(&report);
}

static void what_is_neither(void **state)
{
    lort_options options = options_rank(2);
    must_fail("nowhere", LORT_E_INPUT, "nowhere");
    must_fail("", LORT_E_INPUT, "holds no");
    tiny_text(dir, "text", "not a model at all, but long enough to be looked at");
    must_fail("text", LORT_E_INPUT, "text");
    tiny_safetensors(dir, "m", model, 1);
    compress_to("m", "a.lort", &options);
    lort_buffer bytes = file_read("a.lort");
    assert_int_equal(truncate(tiny_path(dir, "a.lort"), (off_t)bytes.size - 1), 0);
    must_fail("a.lort", LORT_E_DAMAGED, "incomplete");
    bytes.data[100] ^= 1;
    tiny_write_buffer(dir, "a.lort", &bytes);
    must_fail("a.lort", LORT_E_DAMAGED, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {command_test(a_model), command_test(a_container),
                                       command_test(shards), command_test(what_is_neither)};
    return run_chosen(tests, NULL, NULL);
}
