/* Tests of index.json, plain file names and split names. */
#include "formats/base/plain_name.h"
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
    {"total_size negative", "{\"metadata\":{\"total_size\":-1},\"weight_map\":{\"w\":\"a\"}}",
     "total_size must be a whole number"},
    {"total_size a string", "{\"metadata\":{\"total_size\":\"8\"},\"weight_map\":{\"w\":\"a\"}}",
     "total_size must be a whole number"},
    {"total_size 1e3", "{\"metadata\":{\"total_size\":1e3},\"weight_map\":{\"w\":\"a\"}}",
     "total_size must be a whole number"},
    {"total_size 1.5", "{\"metadata\":{\"total_size\":1.5},\"weight_map\":{\"w\":\"a\"}}",
     "total_size must be a whole number"},
    {"total_size 2^64",
     "{\"metadata\":{\"total_size\":18446744073709551616},\"weight_map\":{\"w\":\"a\"}}",
     "below 2^64"},
    {"total_size twice",
     "{\"metadata\":{\"total_size\":1,\"total_size\":1},\"weight_map\":{\"w\":\"a\"}}",
     "total_size stands twice"},
    {"byte order mark", "\xef\xbb\xbf" MAP("a"), "where a value is expected"},
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
        bool has;
        uint64_t total;
    } cases[] = {
        {"{\"total_size\":18446744073709551615}", true, UINT64_MAX},
        {"{\"total_size\":8.0}", true, 8},
        {"{\"total_size\":0}", true, 0},
        {"{}", false, 0},
        {"null", false, 0},
        {"[[]]", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[200];
        lort_shard_list list;
        int n = snprintf(json, sizeof json, "{\"weight_map\":{\"w\":\"a\"},\"metadata\":%s}",
                         cases[i].metadata);
        assert_int_equal(parse(json, (uint64_t)n, &lort_alloc_heap, &list, NULL), LORT_OK);
        assert_int_equal(list.has_total, cases[i].has);
        assert_true(list.total_size == cases[i].total);
        lort_shards_free(&list);
    }
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

static void test_bid(void **state)
{
    static const struct {
        const char *text;
        bool bid;
    } cases[] = {
        {"{\"weight_map\":{}}", true},
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

static void test_split_names(void **state)
{
    static const struct {
        const char *name;
        uint32_t prefix, number, count;
    } good[] = {
        {"model-00001-of-00003.gguf", 5, 1, 3},
        {"a-00001-of-00001.gguf", 1, 1, 1},
        {"x-00001-of-00002-65535-of-65535.gguf", 16, 65535, 65535},
    };
    static const char *const bad[] = {"",
                                      "model.gguf",
                                      "-00001-of-00003.gguf",
                                      "model-00000-of-00003.gguf",
                                      "model-00004-of-00003.gguf",
                                      "model-0001-of-00003.gguf",
                                      "model-00001-of-00003.GGUF",
                                      "model-00001-of-00003.gguf ",
                                      "model-0000x-of-00003.gguf",
                                      "model_00001-of-00003.gguf"};
    uint32_t prefix, number, count;
    char out[80];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(lort_split_name_parse(good[i].name, &prefix, &number, &count));
        assert_int_equal(prefix, good[i].prefix);
        assert_int_equal(number, good[i].number);
        assert_int_equal(count, good[i].count);
        lort_split_name_make(good[i].name, prefix, number, count, out, sizeof out);
        assert_string_equal(out, good[i].name);
    }
    lort_split_name_make("model-00001-of-00003.gguf", 5, 2, 3, out, sizeof out);
    assert_string_equal(out, "model-00002-of-00003.gguf");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (lort_split_name_parse(bad[i], &prefix, &number, &count))
            fail_msg("'%s' is taken for a split name", bad[i]);
        assert_int_equal(prefix + number + count, 0);
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
        cmocka_unit_test(test_malformed),   cmocka_unit_test(test_5000_characters),
        cmocka_unit_test(test_sample),      cmocka_unit_test(test_totals),
        cmocka_unit_test(test_rewrite),     cmocka_unit_test(test_memory),
        cmocka_unit_test(test_truncated),   cmocka_unit_test(test_many),
        cmocka_unit_test(test_too_many),    cmocka_unit_test(test_bid),
        cmocka_unit_test(test_plain_names), cmocka_unit_test(test_split_names),
        cmocka_unit_test(test_real_files),
    };
    return run_chosen(tests, NULL, NULL);
}
