/* Tests of importance matrices: refused files with their messages, and both forms with equal
 * values. Names of both kinds of models, and reading of a whole file. */
#define _POSIX_C_SOURCE 200809L
#include "formats/inputs/imatrix.h"
#include "loader/store/sidefile.h"
#include "tests/unit/main.h"
#include "tests/unit/malformed.h"
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- building --- */

static void put_f32(lort_buffer *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    lort_put_u32(b, bits);
}

static void put_f32s(lort_buffer *b, const float *v, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        put_f32(b, v[i]);
}

static void put_entry(lort_buffer *b, const char *name, uint32_t calls, const float *v, uint32_t n)
{
    lort_put_u32(b, (uint32_t)strlen(name));
    lort_put_bytes(b, name, strlen(name));
    lort_put_u32(b, calls);
    lort_put_u32(b, n);
    put_f32s(b, v, n);
}

static void put_tail(lort_buffer *b)
{
    lort_put_u32(b, 5);
    lort_put_u32(b, 4);
    lort_put_bytes(b, "text", 4);
}

static const float some[] = {1, 2, 3, 4, 5, 6};

/* Adds one tensor of the GGUF form; its data is padded to 32 bytes. */
typedef struct part {
    const char *name;
    uint32_t n_dims, type;
    uint64_t ne[3];
    const float *values;
    uint64_t count;
} part;

static void put_gguf(lort_buffer *b, const char *type, const part *parts, uint64_t n)
{
    uint64_t offset = 0;
    put_head(b, 3, n, type != NULL);
    if (type)
        put_kv_text(b, "general.type", type);
    for (uint64_t i = 0; i < n; i++) {
        put_info(b, parts[i].name, parts[i].n_dims, parts[i].ne, parts[i].type, offset);
        offset += (4 * parts[i].count + 31) / 32 * 32;
    }
    for (uint64_t i = 0; i < n; i++) {
        lort_put_zeros(b, (32 - b->size % 32) % 32);
        put_f32s(b, parts[i].values, parts[i].count);
    }
}

#define SUMS(name, n_in, n_mat, v)                                                                 \
    {                                                                                              \
        name ".in_sum2", 2, LORT_F32, {n_in, n_mat}, v, (n_in) * (n_mat)                           \
    }
#define COUNTS(name, n_mat, v)                                                                     \
    {                                                                                              \
        name ".counts", 2, LORT_F32, {1, n_mat}, v, n_mat                                          \
    }
#define PUT(b, type, ...)                                                                          \
    do {                                                                                           \
        const part parts_[] = {__VA_ARGS__};                                                       \
        put_gguf(b, type, parts_, sizeof parts_ / sizeof *parts_);                                 \
    } while (0)

/* Parses an exact-size copy and frees it before the result is used. */
static lort_code parse(const void *data, uint64_t size, const lort_alloc *alloc, lort_imatrix *out,
                       lort_error *err)
{
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    if (size)
        memcpy(copy, data, size);
    lort_code code = lort_imatrix_parse(copy, size, alloc, out, err);
    memset(copy, 0xEE, size);
    free(copy);
    return code;
}

static void parse_good(const lort_buffer *b, lort_imatrix *out)
{
    lort_error err = {0};
    if (parse(b->data, b->size, &lort_alloc_heap, out, &err))
        fail_msg("%s", err.message);
}

static const lort_importance *find(const lort_imatrix *m, const char *name)
{
    return lort_imatrix_find(m, name, strlen(name));
}

/* --- refused --- */

static void legacy_start(lort_buffer *b, uint32_t name, uint32_t calls, uint32_t count)
{
    lort_put_u32(b, 1);
    lort_put_u32(b, name);
    lort_put_bytes(b, "w", name == 1);
    lort_put_u32(b, calls);
    lort_put_u32(b, count);
    lort_put_zeros(b, 16);
}

static void legacy_values(lort_buffer *b, uint32_t calls, float second)
{
    const float v[] = {1, second};
    lort_put_u32(b, 1);
    put_entry(b, "w", calls, v, 2);
}

static void sums_and_counts(lort_buffer *b, float third, float second_count)
{
    const float v[] = {1, 2, third, 4}, counts[] = {2, second_count};
    PUT(b, "imatrix", SUMS("w", 2, 2, v), COUNTS("w", 2, counts));
}

static void empty_file(lort_buffer *b) {}
static void three_bytes(lort_buffer *b) { lort_put_bytes(b, "\1\0\0", 3); }
static void no_entries(lort_buffer *b) { lort_put_zeros(b, 40); }
static void text(lort_buffer *b)
{
    lort_put_text(b, "this is a text, and a rather long one too\n");
}
static void safetensors(lort_buffer *b)
{
    put_safetensors(b, "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
}
static void entries_many(lort_buffer *b)
{
    lort_put_u32(b, 2);
    put_entry(b, "w", 1, some, 2);
}
static void entries_max(lort_buffer *b)
{
    lort_put_u32(b, UINT32_MAX);
    lort_put_zeros(b, 100);
}
static void name_empty(lort_buffer *b) { legacy_start(b, 0, 1, 1); }
static void name_negative(lort_buffer *b) { legacy_start(b, UINT32_MAX, 1, 1); }
static void name_1025(lort_buffer *b) { legacy_start(b, 1025, 1, 1); }
static void calls_negative(lort_buffer *b) { legacy_start(b, 1, UINT32_MAX - 4, 1); }
static void values_none(lort_buffer *b) { legacy_start(b, 1, 1, 0); }
static void values_negative(lort_buffer *b) { legacy_start(b, 1, 1, 0x80000000); }
static void values_2_31(lort_buffer *b) { legacy_start(b, 1, 1, INT32_MAX); }
static void values_wrap(lort_buffer *b) { legacy_start(b, 1, 1, 0x40000001); }
static void legacy_twice(lort_buffer *b)
{
    lort_put_u32(b, 2);
    put_entry(b, "w\n", 1, some, 2);
    put_entry(b, "w\n", 1, some, 2);
}
static void legacy_nan(lort_buffer *b) { legacy_values(b, 1, NAN); }
static void legacy_nan_without_calls(lort_buffer *b) { legacy_values(b, 0, NAN); }
static void legacy_infinite(lort_buffer *b) { legacy_values(b, 1, INFINITY); }
static void legacy_negative(lort_buffer *b) { legacy_values(b, 1, -1e-30f); }
static void legacy_tail_short(lort_buffer *b)
{
    legacy_values(b, 1, 1);
    lort_put_u32(b, 5);
}
static void legacy_tail_long(lort_buffer *b)
{
    legacy_values(b, 1, 1);
    put_tail(b);
    lort_put_u8(b, 0);
}
static void legacy_text_negative(lort_buffer *b)
{
    legacy_values(b, 1, 1);
    lort_put_u32(b, 5);
    lort_put_u32(b, UINT32_MAX);
}
static void gguf_magic(lort_buffer *b) { lort_put_bytes(b, "GGUF", 4); }
static void gguf_no_type(lort_buffer *b)
{
    PUT(b, NULL, SUMS("w", 2, 1, some), COUNTS("w", 1, some));
}
static void gguf_model(lort_buffer *b)
{
    PUT(b, "model", SUMS("w", 2, 1, some), COUNTS("w", 1, some));
}
static void gguf_type_number(lort_buffer *b)
{
    put_head(b, 3, 0, 1);
    put_kv_u32(b, "general.type", 3);
}
static void gguf_empty(lort_buffer *b) { put_gguf(b, "imatrix", NULL, 0); }
static void gguf_other_only(lort_buffer *b)
{
    PUT(b, "imatrix", {"w.in_sum", 1, LORT_F32, {2}, some, 2});
}
static void gguf_no_counts(lort_buffer *b) { PUT(b, "imatrix", SUMS("w", 2, 1, some)); }
static void gguf_counts_elsewhere(lort_buffer *b)
{
    PUT(b, "imatrix", SUMS("w", 2, 1, some), COUNTS("v", 1, some));
}
static void gguf_no_sums(lort_buffer *b) { PUT(b, "imatrix", COUNTS("w", 1, some)); }
static void gguf_sums_f16(lort_buffer *b)
{
    PUT(b, "imatrix", {"w.in_sum2", 1, LORT_F16, {2}, some, 1}, COUNTS("w", 1, some));
}
static void gguf_counts_i32(lort_buffer *b)
{
    PUT(b, "imatrix", SUMS("w", 2, 1, some), {"w.counts", 1, LORT_I32, {1}, some, 1});
}
static void gguf_sums_empty(lort_buffer *b)
{
    PUT(b, "imatrix", SUMS("w", 0, 2, some), COUNTS("w", 2, some));
}
static void gguf_counts_empty(lort_buffer *b)
{
    PUT(b, "imatrix", SUMS("w", 2, 1, some), COUNTS("w", 0, some));
}
static void gguf_too_many_counts(lort_buffer *b)
{
    PUT(b, "imatrix", SUMS("w", 2, 2, some), COUNTS("w", 3, some));
}
static void gguf_too_few_counts(lort_buffer *b)
{
    PUT(b, "imatrix", SUMS("w", 2, 2, some), COUNTS("w", 1, some));
}
static void gguf_transposed(lort_buffer *b)
{
    PUT(b, "imatrix", SUMS("w", 3, 2, some), COUNTS("w", 3, some));
}
static void gguf_no_name(lort_buffer *b)
{
    PUT(b, "imatrix", SUMS("", 2, 1, some), COUNTS("", 1, some));
}
static void gguf_twice(lort_buffer *b)
{
    PUT(b, "imatrix", SUMS("w", 2, 1, some), COUNTS("w", 1, some), SUMS("w", 2, 1, some));
}
static void gguf_outside(lort_buffer *b)
{
    put_head(b, 3, 1, 1);
    put_kv_text(b, "general.type", "imatrix");
    put_vector(b, "w.in_sum2", 1ull << 40, 0);
    put_data(b, 32, 64);
}
static void gguf_nan(lort_buffer *b) { sums_and_counts(b, NAN, 2); }
static void gguf_nan_without_count(lort_buffer *b) { sums_and_counts(b, NAN, 0); }
static void gguf_infinite(lort_buffer *b) { sums_and_counts(b, INFINITY, 2); }
static void gguf_negative(lort_buffer *b) { sums_and_counts(b, -3, 2); }
static void gguf_count_nan(lort_buffer *b) { sums_and_counts(b, 3, NAN); }
static void gguf_count_negative(lort_buffer *b) { sums_and_counts(b, 3, -1); }
static void gguf_count_infinite(lort_buffer *b) { sums_and_counts(b, 3, INFINITY); }
static void gguf_mean_overflows(lort_buffer *b) { sums_and_counts(b, 3e38f, 0.5f); }

#define LEGACY_NEITHER "not an importance matrix: neither GGUF nor"
#define RANGE "a finite number of at least 0 is allowed"

static const struct malformed {
    const char *name;
    void (*build)(lort_buffer *b);
    const char *expected;
} malformed[] = {
    {"empty", empty_file, "truncated: number of entries"},
    {"three bytes", three_bytes, "truncated: number of entries"},
    {"no entries", no_entries, LEGACY_NEITHER},
    {"a text", text, LEGACY_NEITHER},
    {"safetensors", safetensors, LEGACY_NEITHER},
    {"one entry too many", entries_many, "found 2 entries in 25 bytes, allowed 1 to 1"},
    {"2^32 - 1 entries", entries_max, LEGACY_NEITHER},
    {"name of 0 bytes", name_empty,
     "entry 1 of 1: length of an entry's name is 0 (allowed: 1 to 1024) at offset 4"},
    {"name of -1 bytes", name_negative, "length of an entry's name is -1"},
    {"name of 1025 bytes", name_1025, "length of an entry's name is 1025"},
    {"calls negative", calls_negative,
     "number of calls of an entry is -5 (allowed: 0 to 2147483647) at offset 9"},
    {"0 values", values_none, "number of values of an entry is 0"},
    {"values negative", values_negative, "number of values of an entry is -2147483648"},
    {"2^31 - 1 values", values_2_31, "truncated: values of an entry needs 8589934588 bytes"},
    {"values whose bytes wrap", values_wrap,
     "truncated: values of an entry needs 4294967300 bytes"},
    {"entry twice", legacy_twice, "entry 'w\\x0A' stands twice"},
    {"NaN", legacy_nan, "entry 'w': value 1 (at offset 21) is nan; " RANGE},
    {"NaN, no calls", legacy_nan_without_calls, "entry 'w': value 1 (at offset 21) is nan"},
    {"infinite", legacy_infinite, "entry 'w': value 1 (at offset 21) is inf"},
    {"negative", legacy_negative, "entry 'w': value 1 (at offset 21) is -1e-30"},
    {"half a tail", legacy_tail_short, "truncated: length of the text's name"},
    {"more than a tail", legacy_tail_long, "1 bytes follow the name of the text"},
    {"name of the text negative", legacy_text_negative, "length of the text's name is -1"},
    {"magic only", gguf_magic, "too short for a GGUF header"},
    {"no general.type", gguf_no_type,
     "does not say what it is: an importance matrix has general.type 'imatrix'"},
    {"a model", gguf_model, "is of general.type 'model': an importance matrix has"},
    {"general.type a number", gguf_type_number, "does not say what it is"},
    {"no tensors", gguf_empty, "has no entry (found no tensor whose name ends in .in_sum2)"},
    {"other tensors only", gguf_other_only,
     "has no entry (found no tensor whose name ends in .in_sum2)"},
    {"no counts", gguf_no_counts,
     "tensor 'w.in_sum2' (F32 [1, 2], at offset 128): there is no tensor of counts"},
    {"counts of another", gguf_counts_elsewhere,
     "there is no tensor of counts (.counts) beside these sums"},
    {"no sums", gguf_no_sums,
     "tensor 'w.counts' (F32 [1, 1], at offset 128): there is no tensor of sums (.in_sum2)"},
    {"sums in F16", gguf_sums_f16,
     "tensor 'w.in_sum2' (F16 [2], at offset 160): sums of squares must be F32"},
    {"counts in I32", gguf_counts_i32,
     "tensor 'w.counts' (I32 [1], at offset 192): counts must be F32"},
    {"no values", gguf_sums_empty, "sums of squares must be F32 and not empty"},
    {"0 counts", gguf_counts_empty, "counts must be F32, one for each row"},
    {"a count too many", gguf_too_many_counts,
     "tensor 'w.counts' (F32 [3, 1], at offset 192): counts must be F32, one"},
    {"a count too few", gguf_too_few_counts, "counts must be F32, one for each row"},
    {"counts for columns", gguf_transposed, "counts must be F32, one for each row"},
    {"no name", gguf_no_name, "has no entry"},
    {"sums twice", gguf_twice, "w.in_sum2"},
    {"data outside", gguf_outside, "lies outside the file"},
    {"GGUF NaN", gguf_nan, "entry 'w': value 2 (at offset 168) is nan; " RANGE},
    {"GGUF NaN, no data", gguf_nan_without_count, "entry 'w': value 2 (at offset 168) is nan"},
    {"GGUF infinite", gguf_infinite, "entry 'w': value 2 (at offset 168) is inf"},
    {"GGUF negative", gguf_negative, "entry 'w': value 2 (at offset 168) is -3"},
    {"count NaN", gguf_count_nan, "entry 'w': count 1 (at offset 196) is nan"},
    {"count negative", gguf_count_negative, "entry 'w': count 1 (at offset 196) is -1"},
    {"count infinite", gguf_count_infinite, "entry 'w': count 1 (at offset 196) is inf"},
    {"mean overflows", gguf_mean_overflows,
     "entry 'w': the mean of value 2 (at offset 168) is 6e+38"},
};

static void expect_bad(const char *name, const void *data, uint64_t size, const char *expected)
{
    failing state = {0};
    lort_alloc alloc = FAILING_ALLOC(state);
    lort_imatrix m;
    lort_error err = {0};
    lort_code code = parse(data, size, &alloc, &m, &err);
    if (code != LORT_E_INPUT || !strstr(err.message, expected))
        fail_msg("%s: code %d, message \"%s\", expected \"%s\"", name, code, err.message, expected);
    assert_true(is_zero(&m, sizeof m));
    assert_int_equal(state.out_blocks, 0);
    assert_true(state.peak_bytes <= (1u << 20) + 64 * size);
    assert_int_equal(parse(data, size, &lort_alloc_heap, &m, NULL), LORT_E_INPUT);
}

static void test_malformed(void **state)
{
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        lort_buffer b = new_buffer();
        malformed[i].build(&b);
        expect_bad(malformed[i].name, b.data, b.size, malformed[i].expected);
        lort_buffer_free(&b);
    }
}

static void test_too_large(void **state)
{
    lort_imatrix m;
    lort_error err = {0};
    assert_int_equal(
        lort_imatrix_parse((const uint8_t *)"", LORT_IMATRIX_MAX + 1, &lort_alloc_heap, &m, &err),
        LORT_E_INPUT);
    assert_non_null(strstr(err.message, "has 2147483649 bytes; at most 2147483648 are allowed"));
}

/* --- accepted --- */

static void build_gguf(lort_buffer *b)
{
    static const float counts[] = {2, 0, 8}, two[] = {0.5f}, zeros[] = {0, 0, 0, 0, 0};
    PUT(b, "imatrix", SUMS("blk.0.ffn_up_exps.weight", 2, 3, some),
        COUNTS("blk.0.ffn_up_exps.weight", 3, counts),
        {"blk.0.ffn_up_exps.weight.in_sum", 1, LORT_F32, {1}, some, 1},
        COUNTS("output.weight", 1, two), {"extra", 1, LORT_F32, {3}, some, 3},
        {"output.weight.in_sum2", 1, LORT_F32, {4}, some, 4},
        {"z.in_sum2", 1, LORT_F32, {5}, zeros, 5}, {"z.counts", 1, LORT_F32, {1}, two, 1});
}

static void build_legacy(lort_buffer *b)
{
    lort_put_u32(b, 2);
    put_entry(b, "blk.0.ffn_up_exps.weight", 2, some, 6);
    put_entry(b, "output.weight", 0, some, 4);
}

static void expect_values(const lort_importance *e, int64_t n_mat, int64_t n_in,
                          const float *values)
{
    assert_non_null(e);
    assert_int_equal(e->n_mat, n_mat);
    assert_int_equal(e->n_in, n_in);
    assert_int_equal((uintptr_t)e->mean_square % sizeof(float), 0);
    assert_memory_equal(e->mean_square, values, (size_t)(n_mat * n_in) * sizeof *values);
}

static void test_gguf(void **state)
{
    static const float stack[] = {0.5f, 1, 1, 1, 0.625f, 0.75f}, output[] = {2, 4, 6, 8},
                       zeros[] = {0, 0, 0, 0, 0};
    lort_buffer b = new_buffer();
    lort_imatrix m;
    build_gguf(&b);
    parse_good(&b, &m);
    assert_int_equal(m.count, 3);
    assert_int_equal(m.empty, 1);
    assert_string_equal(m.entries[0].name, "blk.0.ffn_up_exps.weight");
    assert_int_equal(m.entries[0].name_bytes, 24);
    expect_values(find(&m, "blk.0.ffn_up_exps.weight"), 3, 2, stack);
    expect_values(find(&m, "output.weight"), 1, 4, output);
    expect_values(find(&m, "z"), 1, 5, zeros);
    assert_null(find(&m, "extra"));
    assert_null(find(&m, "output.weight.in_sum2"));
    assert_null(find(&m, ""));
    lort_imatrix_free(&m);
    assert_true(is_zero(&m, sizeof m));
    lort_imatrix_free(&m);
    lort_imatrix_free(NULL);
    lort_buffer_free(&b);
}

static void test_legacy(void **state)
{
    static const float stack[] = {0.5f, 1, 1.5f, 2, 2.5f, 3}, ones[] = {1, 1, 1, 1};
    for (int tail = 0; tail < 2; tail++) {
        lort_buffer b = new_buffer();
        lort_imatrix m;
        build_legacy(&b);
        if (tail)
            put_tail(&b);
        parse_good(&b, &m);
        assert_int_equal(m.count, 2);
        assert_int_equal(m.empty, 1);
        assert_int_equal(m.chunks, tail ? 5 : 0);
        assert_int_equal(m.dataset != NULL, tail);
        if (tail)
            assert_string_equal(m.dataset, "text");
        expect_values(find(&m, "blk.0.ffn_up_exps.weight"), 1, 6, stack);
        expect_values(find(&m, "output.weight"), 1, 4, ones);
        lort_imatrix_free(&m);
        lort_buffer_free(&b);
    }
}

/* An entry with a bad value is dropped; the others stay, whatever their order. */
static void test_dropped(void **state)
{
    static const float bad[] = {1, 2, NAN, 4, 5, 6}, counts[] = {2, 0, 2}, minus[] = {-1},
                       two[] = {2}, halves[] = {0.5f, 1};
    lort_buffer b = new_buffer();
    lort_imatrix m;
    PUT(&b, "imatrix", SUMS("bad", 2, 3, bad), COUNTS("bad", 3, counts), SUMS("good", 2, 1, some),
        COUNTS("good", 1, two), SUMS("minus", 2, 1, some), COUNTS("minus", 1, minus));
    parse_good(&b, &m);
    assert_int_equal(m.count, 1);
    assert_int_equal(m.dropped, 2);
    assert_int_equal(m.empty, 0);
    assert_non_null(strstr(m.reasons[0], "entry 'bad': value 2 "));
    assert_non_null(strstr(m.reasons[1], "entry 'minus': count 0 "));
    assert_null(find(&m, "bad"));
    expect_values(find(&m, "good"), 1, 2, halves);
    lort_imatrix_free(&m);
    lort_buffer_free(&b);
    b = new_buffer();
    lort_put_u32(&b, 20);
    for (int i = 0; i < 19; i++)
        put_entry(&b, "bad", 1, bad, 6);
    put_entry(&b, "good", 2, some, 2);
    parse_good(&b, &m);
    assert_int_equal(m.dropped, 19);
    assert_int_equal(m.count, 1);
    assert_non_null(m.reasons[LORT_IMATRIX_REASONS - 1]);
    expect_values(find(&m, "good"), 1, 2, halves);
    lort_imatrix_free(&m);
    lort_buffer_free(&b);
}

static void test_truncations(void **state)
{
    lort_buffer gguf = new_buffer(), legacy = new_buffer();
    lort_imatrix m;
    build_gguf(&gguf);
    for (uint64_t n = 0; n < gguf.size; n++)
        expect_bad("GGUF cut", gguf.data, n, "");
    build_legacy(&legacy);
    const uint64_t entries_end = legacy.size;
    put_tail(&legacy);
    for (uint64_t n = 0; n < legacy.size; n++) {
        if (n != entries_end)
            expect_bad("legacy cut", legacy.data, n,
                       n < entries_end && n > 4 + 34 ? "truncated" : "");
    }
    assert_int_equal(parse(legacy.data, entries_end, &lort_alloc_heap, &m, NULL), LORT_OK);
    lort_imatrix_free(&m);
    lort_buffer_free(&gguf);
    lort_buffer_free(&legacy);
}

static void fail_every(const lort_buffer *b)
{
    lort_code code = LORT_E_MEMORY;
    uint64_t n = 0;
    while (code) {
        failing state = {.fail_at = ++n};
        lort_alloc alloc = FAILING_ALLOC(state);
        lort_imatrix m;
        lort_error err = {0};
        code = parse(b->data, b->size, &alloc, &m, &err);
        assert_true(code == LORT_OK ||
                    (code == LORT_E_MEMORY && err.code == code && is_zero(&m, sizeof m)));
        lort_imatrix_free(&m);
        assert_int_equal(state.out_blocks, 0);
        assert_int_equal(state.out_bytes, 0);
    }
    assert_true(n > 2);
}

static void test_memory_failures(void **state)
{
    lort_buffer b = new_buffer();
    build_gguf(&b);
    fail_every(&b);
    b.size = 0;
    build_legacy(&b);
    fail_every(&b);
    b.size = 0;
    lort_put_u32(&b, 100); /* enough for the set of names to grow */
    for (unsigned i = 0; i < 100; i++) {
        char name[8];
        snprintf(name, sizeof name, "%u", i);
        put_entry(&b, name, 1, some, 6);
    }
    fail_every(&b);
    lort_buffer_free(&b);
}

/* --- rows and names --- */

static void test_rows(void **state)
{
    const lort_importance stack = {"", 0, 3, 2, some}, flat = {"", 0, 1, 6, some};
    const lort_matrices three = {3, 7, 2}, one = {1, 7, 6}, shared = {4, 7, 6}, other = {2, 7, 2},
                        odd = {3, 7, 4}, none = {3, 7, 0};
    for (int64_t s = 0; s < 3; s++) {
        assert_ptr_equal(lort_importance_row(&stack, &three, s), some + 2 * s);
        assert_ptr_equal(lort_importance_row(&flat, &three, s), some + 2 * s);
    }
    assert_null(lort_importance_row(&stack, &three, 3));
    assert_null(lort_importance_row(&stack, &three, -1));
    assert_ptr_equal(lort_importance_row(&flat, &one, 0), some);
    assert_ptr_equal(lort_importance_row(&flat, &shared, 3), some);
    assert_null(lort_importance_row(&stack, &one, 0));
    assert_null(lort_importance_row(&stack, &other, 0));
    assert_null(lort_importance_row(&flat, &other, 0));
    assert_null(lort_importance_row(&flat, &odd, 0));
    assert_null(lort_importance_row(&flat, &none, 0));
}

static const struct {
    const char *from, *to;
} names[] = {
    {"model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"},
    {"model.layers.1.self_attn.k_proj.weight", "blk.1.attn_k.weight"},
    {"model.layers.22.self_attn.v_proj.weight", "blk.22.attn_v.weight"},
    {"model.layers.123.self_attn.o_proj.weight", "blk.123.attn_output.weight"},
    {"model.layers.3.mlp.gate_proj.weight", "blk.3.ffn_gate.weight"},
    {"model.layers.3.mlp.up_proj.weight", "blk.3.ffn_up.weight"},
    {"model.layers.3.mlp.down_proj.weight", "blk.3.ffn_down.weight"},
    {"lm_head.weight", "output.weight"},
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"", ""},
    {"lm_head", ""},
    {"lm_head.weights", ""},
    {"model.layers.", ""},
    {"model.layers.0", ""},
    {"model.layers.0.", ""},
    {"model.layers..mlp.up_proj.weight", ""},
    {"model.layers.x.mlp.up_proj.weight", ""},
    {"model.layers.0xmlp.up_proj.weight", ""},
    {"model.layers.1234567890.mlp.up_proj.weight", ""},
    {"model.layers.0.mlp.up_proj.bias", ""},
    {"model.layers.0.input_layernorm.weight", ""},
    {"xmodel.layers.0.mlp.up_proj.weight", ""},
};

static void test_names(void **state)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char out[40] = "";
        const uint64_t bytes = strlen(names[i].from), n = strlen(names[i].to);
        char *exact = malloc(bytes + 1);
        memcpy(exact, names[i].from, bytes + 1);
        exact = realloc(exact, bytes ? bytes : 1);
        assert_int_equal(lort_imatrix_map_name(exact, bytes, out, sizeof out), n);
        if (n) {
            assert_string_equal(out, names[i].to);
            assert_int_equal(lort_imatrix_map_name(exact, bytes, out, n + 1), n);
            assert_int_equal(lort_imatrix_map_name(exact, bytes, out, n), 0);
        }
        free(exact);
    }
}

/* --- the real pair --- */

static void read_real(const char *path, lort_imatrix *out)
{
    lort_sidefile file;
    lort_error err = {0};
    if (lort_sidefile_read(path, LORT_IMATRIX_MAX, &lort_alloc_heap, &file, &err) ||
        parse(file.data, file.bytes, &lort_alloc_heap, out, &err))
        fail_msg("%s", err.message);
    lort_sidefile_free(&file);
}

static void expect_close(const lort_importance *a, const lort_importance *b)
{
    assert_non_null(b);
    assert_int_equal(a->n_mat, b->n_mat);
    assert_int_equal(a->n_in, b->n_in);
    for (int64_t i = 0; i < a->n_mat * a->n_in; i++) {
        assert_true(a->mean_square[i] > 0);
        if (!(fabsf(a->mean_square[i] - b->mean_square[i]) <=
              3e-7f * b->mean_square[i])) /* the legacy form is rounded once more */
            fail_msg("%s, value %lld: %.9g and %.9g", a->name, (long long)i,
                     (double)a->mean_square[i], (double)b->mean_square[i]);
    }
}

static void test_real_pair(void **state)
{
    lort_imatrix gguf, legacy;
    if (!have_models())
        skip();
    read_real(MODELS "imatrix/TinyStories-656K.imatrix.gguf", &gguf);
    read_real(MODELS "imatrix/TinyStories-656K.imatrix.dat", &legacy);
    assert_int_equal(gguf.count, 15);
    assert_int_equal(legacy.count, 15);
    assert_int_equal(gguf.empty + legacy.empty, 0);
    for (uint64_t i = 0; i < gguf.count; i++)
        expect_close(&gguf.entries[i],
                     lort_imatrix_find(&legacy, gguf.entries[i].name, gguf.entries[i].name_bytes));
    assert_int_equal(find(&gguf, "blk.0.attn_q.weight")->n_in, 128);
    assert_int_equal(find(&gguf, "blk.1.ffn_down.weight")->n_in, 384);
    assert_ptr_equal(find(&gguf, "model.layers.1.mlp.down_proj.weight"),
                     find(&gguf, "blk.1.ffn_down.weight"));
    assert_null(find(&gguf, "model.embed_tokens.weight"));
    lort_imatrix_free(&gguf);
    lort_imatrix_free(&legacy);
}

/* The message says that the file is a model. */
static void test_real_model(void **state)
{
    uint64_t size;
    if (!have_models())
        skip();
    uint8_t *data = read_file(MODELS "tinystories-656k-gguf/TinyStories-656K-Q4_0.gguf", &size);
    assert_non_null(data);
    expect_bad("a model", data, size, "general.type 'imatrix'");
    free(data);
}

/* --- reading --- */

static void test_sidefile(void **state)
{
    char dir[] = "/tmp/lort-sidefile-XXXXXX", path[64], missing[64];
    lort_sidefile file;
    lort_error err = {0};
    failing counts = {0};
    lort_alloc alloc = FAILING_ALLOC(counts);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/f", dir);
    snprintf(missing, sizeof missing, "%s/none", dir);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite("12345", 1, 5, f), 5);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(lort_sidefile_read(path, 5, &alloc, &file, &err), LORT_OK);
    assert_int_equal(file.bytes, 5);
    assert_memory_equal(file.data, "12345", 5);
    lort_sidefile_free(&file);
    lort_sidefile_free(&file);
    assert_int_equal(lort_sidefile_read(path, 4, &alloc, &file, &err), LORT_E_INPUT);
    assert_non_null(strstr(err.message, "/f: 5 bytes; at most 4 are allowed"));
    assert_true(is_zero(&file, sizeof file));
    counts.fail_at = counts.taken + 1;
    assert_int_equal(lort_sidefile_read(path, 5, &alloc, &file, &err), LORT_E_MEMORY);
    assert_true(is_zero(&file, sizeof file));
    assert_int_equal(lort_sidefile_read(missing, 5, &alloc, &file, &err), LORT_E_INPUT);
    assert_int_equal(lort_sidefile_read(dir, 5, &alloc, &file, &err), LORT_E_INPUT);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(lort_sidefile_read(path, 0, &alloc, &file, &err), LORT_OK);
    assert_int_equal(file.bytes, 0);
    lort_sidefile_free(&file);
    assert_int_equal(counts.out_blocks, 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

/* Another process writes to the file while LoRT takes memory for it. */
static char racing_path[64];
static int racing_by;
static void *racing_take(void *ctx, size_t bytes)
{
    assert_int_equal(truncate(racing_path, (off_t)bytes + racing_by), 0);
    return lort_alloc_heap.take(NULL, bytes);
}
static void racing_give(void *ctx, void *memory, size_t bytes)
{
    lort_alloc_heap.give(NULL, memory, bytes);
}

static void test_sidefile_changes(void **state)
{
    char dir[] = "/tmp/lort-sidefile-XXXXXX";
    const lort_alloc alloc = {racing_take, racing_give, NULL};
    assert_non_null(mkdtemp(dir));
    snprintf(racing_path, sizeof racing_path, "%s/f", dir);
    for (racing_by = -1; racing_by <= 1; racing_by += 2) {
        lort_sidefile file;
        lort_error err = {0};
        FILE *f = fopen(racing_path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite("12345", 1, 5, f), 5);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(lort_sidefile_read(racing_path, 100, &alloc, &file, &err), LORT_E_READ);
        assert_non_null(strstr(err.message, racing_path));
        assert_true(is_zero(&file, sizeof file));
    }
    assert_int_equal(unlink(racing_path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_gguf),
        cmocka_unit_test(test_legacy),
        cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_truncations),
        cmocka_unit_test(test_memory_failures),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_real_pair),
        cmocka_unit_test(test_real_model),
        cmocka_unit_test(test_sidefile),
        cmocka_unit_test(test_sidefile_changes),
    };
    return run_chosen(tests, NULL, NULL);
}
