/* Tests of index.json, plain file names and names of shards. */
#include "formats/base/plain_name.h"
#include "formats/inputs/numbered.h"
#include "formats/inputs/shards.h"
#include "tests/unit/main.h"
#include "tests/unit/malformed.h"

static lort_code parse(const char *json, uint64_t size, const lort_alloc *alloc,
                       lort_shard_list *out, lort_error *err)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, json, size);
    lort_code code = lort_shards_parse(copy, size, alloc, out, err);
    free(copy);
    return code;
}

/* --- refused --- */

#define MAP(value) "{\"weight_map\":{\"w\":\"" value "\"}}"
#define LETTERS "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxy"

static const struct malformed {
    const char *name, *json, *expected;
} malformed[] = {
    {"empty", "", "it ends where a value is expected"},
    {"an array", "[]", "the index must be a JSON object"},
    {"no weight_map", "{\"metadata\":{}}", "no weight_map"},
    {"weight_map empty", "{\"weight_map\":{}}", "weight_map is empty"},
    {"weight_map an array", "{\"weight_map\":[\"a\"]}", "weight_map must be an object"},
    {"weight_map twice", "{\"weight_map\":{\"w\":\"a\"},\"weight_map\":{\"w\":\"a\"}}",
     "'weight_map' stands twice"},
    {"weight_map twice, escaped",
     "{\"weight_map\":{\"w\":\"a\"},\"weight\\u005fmap\":{\"w\":\"a\"}}",
     "'weight_map' stands twice"},
    {"metadata twice", "{\"metadata\":{},\"metadata\":{},\"weight_map\":{\"w\":\"a\"}}",
     "'metadata' stands twice"},
    {"a number as file", "{\"weight_map\":{\"w\":3}}", "gives tensor 'w' no file name"},
    {"null as file", "{\"weight_map\":{\"w\\n\":null}}", "gives tensor 'w\\x0A' no file name"},
    {"an object as file", "{\"weight_map\":{\"w\":{\"file\":\"a\"}}}",
     "gives tensor 'w' no file name"},
    {"tensor twice", "{\"weight_map\":{\"w\":\"a\",\"v\":\"a\",\"w\":\"b\"}}",
     "weight_map names tensor 'w' twice"},
    {"tensor twice, escaped", "{\"weight_map\":{\"w\":\"a\",\"\\u0077\":\"a\"}}",
     "weight_map names tensor 'w' twice"},
    {"parent directory", MAP("../../etc/passwd"),
     "file name '../../etc/passwd' holds '/', '\\' or ':'"},
    {"absolute", MAP("/abs"), "file name '/abs' holds"},
    {"parent inside", MAP("a/../b"), "file name 'a/../b' holds"},
    {"slash, escaped", MAP("a\\u002fb"), "file name 'a/b' holds"},
    {"drive", MAP("C:\\\\x"), "holds '/', '\\' or ':'"},
    {"device", MAP("NUL"), "file name 'NUL' is the name of a Windows device"},
    {"no name", MAP(""), "file name '' is empty"},
    {"NUL byte", MAP("a\\u0000b"), "file name 'a\\x00b' holds a control character"},
    {"newline", MAP("a\\nb"), "holds a control character"},
    {"dots", MAP(".."), "begins with '..' or is '.'"},
    {"256 bytes", MAP(LETTERS LETTERS LETTERS LETTERS LETTERS "x"), "is longer than 255 bytes"},
    {"total_size never closed", "{\"metadata\":{\"total_size\":\"}}", "it ends within a string"},
    {"trailing text", MAP("a") "x", "'x' where the end is expected"},
    {"cut", "{\"weight_map\":{\"w\":\"a\"}", "it ends where"},
    {"invalid UTF-8", MAP("\xff"), "not valid UTF-8"},
    {"nested too deep elsewhere",
     "{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]",
     "nested deeper than 64 levels"},
};

static void test_malformed(void **state)
{
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        failing counts = {0};
        lort_alloc alloc = FAILING_ALLOC(counts);
        lort_shard_list list;
        lort_error err = {0};
        lort_code code = parse(malformed[i].json, strlen(malformed[i].json), &alloc, &list, &err);
        if (code != LORT_E_INPUT || !strstr(err.message, malformed[i].expected))
            fail_msg("%s: code %d, message \"%s\", expected \"%s\"", malformed[i].name, code,
                     err.message, malformed[i].expected);
        assert_true(is_zero(&list, sizeof list));
        assert_int_equal(counts.out_blocks, 0);
        assert_int_equal(parse(malformed[i].json, strlen(malformed[i].json), &alloc, &list, NULL),
                         LORT_E_INPUT);
    }
}

static void test_5000_characters(void **state)
{
    char json[5100];
    lort_shard_list list;
    lort_error err = {0};
    int n = snprintf(json, sizeof json, "{\"weight_map\":{\"w\":\"%05000d\"}}", 0);
    assert_int_equal(parse(json, (uint64_t)n, &lort_alloc_heap, &list, &err), LORT_E_INPUT);
    assert_non_null(strstr(err.message, "is longer than 255 bytes"));
}

/* --- accepted --- */

static const char sample[] = "{ \"extra\": [1, {\"weight_map\": 2}], \"metadata\": "
                             "{\"total_size\": 1234, \"who\": {\"total_size\": \"x\"}},\n"
                             "  \"weight_map\": {\"b\": \"model-2.safetensors\", \"a\\u0061\": "
                             "\"model-1.safetensors\", \"\": "
                             "\"\\u006dodel-2.safetensors\",\n"
                             "  \"../x\": \"model-3.safetensors\"} }\n";

static void test_sample(void **state)
{
    lort_shard_list list;
    lort_error err = {0};
    if (parse(sample, strlen(sample), &lort_alloc_heap, &list, &err))
        fail_msg("%s", err.message);
    assert_int_equal(list.file_count, 3);
    assert_string_equal(list.files[0], "model-1.safetensors");
    assert_string_equal(list.files[1], "model-2.safetensors");
    assert_string_equal(list.files[2], "model-3.safetensors");
    assert_int_equal(list.entry_count, 4);
    static const struct {
        const char *tensor;
        uint32_t file;
    } expected[] = {{"b", 1}, {"aa", 0}, {"", 1}, {"../x", 2}};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(list.entries[i].tensor, expected[i].tensor);
        assert_int_equal(list.entries[i].tensor_bytes, strlen(expected[i].tensor));
        assert_int_equal(list.entries[i].file, expected[i].file);
    }
    assert_true(list.has_total);
    assert_int_equal(list.total_size, 1234);
    assert_memory_equal(sample + list.total_at, "1234,", 5);
    lort_shards_free(&list);
    lort_shards_free(NULL);
}

static void test_totals(void **state)
{
    static const struct {
        const char *metadata;
        bool has, odd;
        uint64_t total;
    } cases[] = {
        {"{\"total_size\":18446744073709551615}", true, false, UINT64_MAX},
        {"{\"total_size\":8.0}", true, false, 8},
        {"{\"total_size\":0}", true, false, 0},
        {"{\"total_size\":\"123\"}", true, false, 123},
        {"{\"total_size\":2.6e+05}", true, false, 260000},
        {"{\"total_size\":2600E-2}", true, false, 26},
        {"{\"total_size\":0e999}", true, false, 0},
        {"{\"total_size\":1.5}", false, true, 0},
        {"{\"total_size\":25e-1}", false, true, 0},
        {"{\"total_size\":-1}", false, true, 0},
        {"{\"total_size\":18446744073709551616}", false, true, 0},
        {"{\"total_size\":2e19}", false, true, 0},
        {"{\"total_size\":1e99999999999999999999}", false, true, 0},
        {"{\"total_size\":\"\"}", false, true, 0},
        {"{\"total_size\":\"8 GB\"}", false, true, 0},
        {"{\"total_size\":\"\\u0038\"}", false, true, 0},
        {"{\"total_size\":null}", false, true, 0},
        {"{\"total_size\":{\"total_size\":8}}", false, true, 0},
        {"{\"total_size\":1,\"total_size\":1}", false, true, 0},
        {"{}", false, false, 0},
        {"null", false, false, 0},
        {"[[]]", false, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[200];
        lort_shard_list list;
        int n = snprintf(json, sizeof json, "{\"weight_map\":{\"w\":\"a\"},\"metadata\":%s}",
                         cases[i].metadata);
        assert_int_equal(parse(json, (uint64_t)n, &lort_alloc_heap, &list, NULL), LORT_OK);
        if (list.has_total != cases[i].has || list.odd_total != cases[i].odd)
            fail_msg("%s: has %d, odd %d", cases[i].metadata, list.has_total, list.odd_total);
        assert_true(list.total_size == cases[i].total);
        lort_shards_free(&list);
    }
}

/* A byte order mark stays, and a text stays a text. */
static void test_rewrite_text(void **state)
{
    static const char json[] = "\xef\xbb\xbf{\"metadata\":{\"total_size\": \"77\"},\r\n"
                               "\"weight_map\":{\"w\":\"a\"}}\r\n",
                      want[] = "\xef\xbb\xbf{\"metadata\":{\"total_size\": \"1234\"},\r\n"
                               "\"weight_map\":{\"w\":\"a\"}}\r\n";
    lort_shard_list list;
    lort_buffer out = new_buffer();
    assert_int_equal(parse(json, strlen(json), &lort_alloc_heap, &list, NULL), LORT_OK);
    assert_int_equal(list.total_size, 77);
    assert_int_equal(
        lort_shards_rewrite(&list, (const uint8_t *)json, strlen(json), 1234, &out, NULL), LORT_OK);
    assert_int_equal(out.size, strlen(want));
    assert_memory_equal(out.data, want, out.size);
    lort_shards_free(&list);
    lort_buffer_free(&out);
}

static void test_offsets_count_the_mark(void **state)
{
    lort_shard_list list;
    lort_error err = {0};
    static const char json[] = "\xef\xbb\xbf{\"weight_map\":3}";
    assert_int_equal(parse(json, strlen(json), &lort_alloc_heap, &list, &err), LORT_E_INPUT);
    assert_non_null(strstr(err.message, "weight_map must be an object at offset 17"));
}

static void test_rewrite(void **state)
{
    lort_shard_list list;
    lort_buffer out = new_buffer();
    assert_int_equal(parse(sample, strlen(sample), &lort_alloc_heap, &list, NULL), LORT_OK);
    const uint8_t *bytes = (const uint8_t *)sample;
    assert_int_equal(lort_shards_rewrite(&list, bytes, strlen(sample), 98765, &out, NULL), LORT_OK);
    assert_int_equal(out.size, strlen(sample) + 1);
    lort_shard_list again;
    assert_int_equal(parse((const char *)out.data, out.size, &lort_alloc_heap, &again, NULL),
                     LORT_OK);
    assert_int_equal(again.total_size, 98765);
    assert_int_equal(again.entry_count, list.entry_count);
    assert_memory_equal(out.data, sample, list.total_at);
    out.size = 0;
    lort_shards_rewrite(&list, bytes, strlen(sample), 1234, &out, NULL);
    assert_memory_equal(out.data, sample, strlen(sample));
    list.has_total = false;
    out.size = 0;
    lort_shards_rewrite(&list, bytes, strlen(sample), 1, &out, NULL);
    assert_memory_equal(out.data, sample, strlen(sample));
    lort_shards_free(&again);
    lort_shards_free(&list);
    lort_buffer_free(&out);
}

static void test_memory(void **state)
{
    lort_code code = LORT_E_MEMORY;
    uint64_t n = 0;
    while (code) {
        failing counts = {.fail_at = ++n};
        lort_alloc alloc = FAILING_ALLOC(counts);
        lort_shard_list list;
        code = parse(sample, strlen(sample), &alloc, &list, NULL);
        assert_true(code == LORT_OK || (code == LORT_E_MEMORY && is_zero(&list, sizeof list)));
        lort_shards_free(&list);
        assert_int_equal(counts.out_blocks, 0);
    }
    assert_true(n > 4);
}

static void test_truncated(void **state)
{
    lort_shard_list list;
    for (uint64_t n = 0; n < strlen(sample) - 1; n++)
        assert_int_equal(parse(sample, n, &lort_alloc_heap, &list, NULL), LORT_E_INPUT);
}

/* Every tensor has its own file, in descending order: the worst case for sets and sorting. */
static lort_buffer many_files(int n)
{
    lort_buffer b = new_buffer();
    lort_put_text(&b, "{\"weight_map\":{");
    for (int i = 0; i < n; i++)
        lort_put_text(&b, "%s\"model.%d.w\":\"m-%06d.safetensors\"", i ? "," : "", i, n - 1 - i);
    lort_put_text(&b, "}}");
    return b;
}

static void test_many(void **state)
{
    enum { N = 99999 };
    lort_buffer b = many_files(N);
    failing counts = {0};
    lort_alloc alloc = FAILING_ALLOC(counts);
    lort_shard_list list;
    assert_int_equal(lort_shards_parse(b.data, b.size, &alloc, &list, NULL), LORT_OK);
    assert_int_equal(list.file_count, N);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(list.entries[i].file, N - 1 - i);
    assert_true(counts.peak_bytes < 8 * b.size);
    lort_shards_free(&list);
    assert_int_equal(counts.out_blocks, 0);
    lort_buffer_free(&b);
}

static void test_too_many(void **state)
{
    lort_buffer b = many_files(100000);
    lort_shard_list list;
    lort_error err = {0};
    assert_int_equal(lort_shards_parse(b.data, b.size, &lort_alloc_heap, &list, &err),
                     LORT_E_INPUT);
    assert_non_null(strstr(err.message, "more than 99999 files"));
    lort_buffer_free(&b);
}

static void test_bid_whole(void **state)
{
    static const struct {
        const char *text;
        bool bid;
    } cases[] = {
        {"{\"weight_map\":{}}", true},
        {"\xef\xbb\xbf {\"metadata\":{\"a\":[1,{}]},\r\n\"weight_map\"", false},
        {"\xef\xbb\xbf {\"metadata\":{\"a\":[1,{}]},\r\n\"weight_map\":", true},
        {"{\"metadata\":{\"weight_map\":{}}}", false},
        {"{\"a\":\"weight_map\"}", false},
        {"{\"a\":bad,\"weight_map\":{}}", false},
        {"[]", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (lort_shards_bid_whole((const uint8_t *)cases[i].text, strlen(cases[i].text)) !=
            cases[i].bid)
            fail_msg("%s", cases[i].text);
}

static void test_bid(void **state)
{
    static const struct {
        const char *text;
        bool bid;
    } cases[] = {
        {"{\"weight_map\":{}}", true},
        {"\xef\xbb\xbf{\"weight_map\":{}}", true},
        {" \n\t{ \"metadata\": {\"total_size\": 1}, \"weight_map\" : {}}", true},
        {"{\"model_type\":\"llama\"}", false},
        {"[\"weight_map\"]", false},
        {"\"weight_map\"", false},
        {"", false},
        {"{", false},
        {"{\"weight_map", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(lort_shards_bid((const uint8_t *)cases[i].text, strlen(cases[i].text)),
                         cases[i].bid);
    /* a safetensors file whose header has 0x7b bytes also begins with '{' */
    static const char safetensors[] = "{\0\0\0\0\0\0\0{\"weight_map\":{\"dtype\":\"F32\"";
    assert_false(lort_shards_bid((const uint8_t *)safetensors, sizeof safetensors - 1));
}

/* --- names --- */

static void test_plain_names(void **state)
{
    static const char *const good[] = {"a",
                                       "model-00001-of-00002.safetensors",
                                       "\xc3\xa9.gguf",
                                       ".hidden",
                                       "a..b",
                                       "console.txt",
                                       "com.gguf",
                                       "COM10",
                                       "nul0.txt",
                                       "x y",
                                       "LPTX",
                                       "conin$x",
                                       "COM\xc3\xa9"};
    static const struct {
        const char *name;
        const char *expected;
    } bad[] = {
        {"", "is empty"},
        {".", "begins with '..' or is '.'"},
        {"..", "begins with '..'"},
        {"..x", "begins with '..'"},
        {"x.", "ends with a dot or a space"},
        {"x ", "ends with a dot or a space"},
        {"a/b", "holds '/'"},
        {"a\\b", "holds '/', '\\'"},
        {"a:b", "or ':'"},
        {"a\tb", "a control character"},
        {"a\x7f", "a control character"},
        {"\xc0\xaf", "not valid UTF-8"},
        {"nul", "Windows device"},
        {"Con.txt", "Windows device"},
        {"aux .gguf", "Windows device"},
        {"COM1", "Windows device"},
        {"lpt9.safetensors", "Windows device"},
        {"COM\xc2\xb9", "Windows device"},
        {"CONIN$", "Windows device"},
        {"conout$.x", "Windows device"},
    };
    lort_error err = {0};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (lort_plain_name(good[i], strlen(good[i]), &err))
            fail_msg("%s", err.message);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(lort_plain_name(bad[i].name, strlen(bad[i].name), &err), LORT_E_INPUT);
        if (!strstr(err.message, bad[i].expected))
            fail_msg("'%s': \"%s\", expected \"%s\"", bad[i].name, err.message, bad[i].expected);
    }
    assert_int_equal(lort_plain_name("a\0b", 3, NULL), LORT_E_INPUT);
}

static void test_plain_names_are_made(void **state)
{
    static const struct {
        const char *name, *plain;
    } cases[] = {
        {"model.gguf", "model.gguf"},
        {"sha256:00ff", "sha256_00ff"},
        {"a\\b:c\x01\x7f", "a_b_c__"},
        {"aux.gguf", "_ux.gguf"},
        {"..x", "_.x"},
        {".hidden", ".hidden"},
        {"name.", "name_"},
        {"name ", "name_"},
        {"caf\xe9.gguf", "caf_.gguf"},
        {"caf\xc3\xa9.gguf", "caf\xc3\xa9.gguf"},
        {"\xe4\xb8\xad\xe6", "\xe4\xb8\xad_"},
        {"", "_"},
    };
    char out[LORT_PLAIN_NAME_MAX + 1], longest[400];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_plain_name_make(cases[i].name, 0, out);
        assert_string_equal(out, cases[i].plain);
        assert_int_equal(lort_plain_name(out, strlen(out), NULL), LORT_OK);
    }
    lort_plain_name_make("a:b", 2, out);
    assert_string_equal(out, "__a_b");
    memset(longest, 'x', sizeof longest);
    memcpy(longest + 254, "\xc3\xa9", 3);
    lort_plain_name_make(longest, 0, out);
    assert_int_equal(strlen(out), 254);
    for (uint32_t lead = 0; lead < 300; lead++) {
        lort_plain_name_make("con.\xff", lead, out);
        assert_int_equal(lort_plain_name(out, strlen(out), NULL), LORT_OK);
    }
}

static void test_numbered_names(void **state)
{
    static const struct {
        const char *name;
        uint32_t prefix, digits, number, count;
        const char *second;
    } good[] = {
        {"model-00001-of-00003.safetensors", 6, 5, 1, 3, "model-00002-of-00003.safetensors"},
        {"model-00001-of-000001.safetensors", 6, 5, 1, 1, "model-00002-of-000001.safetensors"},
        {"m-00001-of-00002.fp16.safetensors", 2, 5, 1, 2, "m-00002-of-00002.fp16.safetensors"},
        {"m_1-of-10.safetensors", 2, 1, 1, 10, "m_2-of-10.safetensors"},
        {"00000-of-00002.safetensors", 0, 5, 0, 2, "00002-of-00002.safetensors"},
        {"a-of-b-1-of-2.safetensors", 7, 1, 1, 2, "a-of-b-2-of-2.safetensors"},
        {"a-0000000000000001-of-99999.safetensors", 2, 16, 1, 99999,
         "a-0000000000000002-of-99999.safetensors"},
        {"model-00001-of-00003.gguf", 6, 5, 1, 3, "model-00002-of-00003.gguf"},
    };
    static const char *const bad[] = {"model.safetensors",
                                      "model-00004-of-00003.safetensors",
                                      "model-00001-of-00000.safetensors",
                                      "model-1-of-100000.safetensors",
                                      "model-1-of-99999999999999999999.safetensors",
                                      "model-1-of-.safetensors",
                                      "model--of-2.safetensors",
                                      "model1-of-2.safetensors",
                                      "model-1-of-2safetensors",
                                      "model-1-of-2.bin",
                                      "model-1-of-2.safetensors.part",
                                      "model-1-of-2.gguf",
                                      "model-00000-of-00003.gguf",
                                      "model_00001-of-00003.gguf",
                                      "-00001-of-00003.gguf"};
    lort_numbered form;
    char out[80];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        if (!lort_numbered_parse(good[i].name, &form))
            fail_msg("%s", good[i].name);
        assert_int_equal(form.prefix_bytes, good[i].prefix);
        assert_int_equal(form.digits, good[i].digits);
        assert_int_equal(form.number, good[i].number);
        assert_int_equal(form.count, good[i].count);
        lort_numbered_make(good[i].name, &form, 2, out, sizeof out);
        assert_string_equal(out, good[i].second);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (lort_numbered_parse(bad[i], &form))
            fail_msg("'%s' is taken for a shard", bad[i]);
        assert_int_equal(form.prefix_bytes + form.digits + form.number + form.count, 0);
    }
}

/* --- real files --- */

static void test_real_files(void **state)
{
    static const struct {
        const char *path;
        uint32_t files;
        uint64_t entries;
    } reals[] = {
        {MODELS "gpt2-attn-bf16-sharded/model.safetensors.index.json", 4, 171},
        {MODELS "kjv-3m/hf/model.safetensors.index.json", 2, 39},
        {MODELS "tinystories-656k-sharded/model.safetensors.index.json", 2, 20},
    };
    if (!have_models())
        skip();
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        uint64_t size;
        lort_shard_list list;
        lort_error err = {0};
        uint8_t *data = read_file(reals[i].path, &size);
        if (!data)
            fail_msg("%s cannot be read", reals[i].path);
        assert_true(lort_shards_bid(data, size));
        if (lort_shards_parse(data, size, &lort_alloc_heap, &list, &err))
            fail_msg("%s: %s", reals[i].path, err.message);
        assert_int_equal(list.file_count, reals[i].files);
        assert_int_equal(list.entry_count, reals[i].entries);
        assert_true(list.has_total && list.total_size > 1000000);
        lort_buffer out = new_buffer();
        assert_int_equal(lort_shards_rewrite(&list, data, size, list.total_size, &out, NULL),
                         LORT_OK);
        assert_int_equal(out.size, size);
        assert_memory_equal(out.data, data, size);
        lort_buffer_free(&out);
        lort_shards_free(&list);
        free(data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_5000_characters),
        cmocka_unit_test(test_sample),
        cmocka_unit_test(test_totals),
        cmocka_unit_test(test_rewrite),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_bid),
        cmocka_unit_test(test_bid_whole),
        cmocka_unit_test(test_rewrite_text),
        cmocka_unit_test(test_offsets_count_the_mark),
        cmocka_unit_test(test_plain_names),
        cmocka_unit_test(test_plain_names_are_made),
        cmocka_unit_test(test_numbered_names),
        cmocka_unit_test(test_real_files),
    };
    return run_chosen(tests, NULL, NULL);
}
