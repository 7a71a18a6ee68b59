/* Tests of GGUF headers: refused ones with their messages, accepted ones with their contents, and
 * headers that LoRT writes again. */
#include "formats/inputs/header.h"
#include "tests/unit/main.h"
#include "tests/unit/malformed.h"

/* --- refused --- */

static const uint64_t two[] = {4, 4};

static void one(lort_buffer *b, uint32_t n_dims, const uint64_t *ne, uint32_t type, uint64_t offset,
                uint64_t data)
{
    put_head(b, 3, 1, 0);
    put_info(b, "w", n_dims, ne, type, offset);
    put_data(b, 32, data);
}

static void start_pair(lort_buffer *b, uint32_t type)
{
    put_head(b, 3, 0, 1);
    put_key(b, "k", type);
}

static void alignment(lort_buffer *b, uint32_t value)
{
    put_head(b, 3, 0, 1);
    put_kv_u32(b, "general.alignment", value);
}

static void empty_file(lort_buffer *b) {}
static void two_bytes(lort_buffer *b) { lort_put_bytes(b, "GG", 2); }
static void magic_only(lort_buffer *b) { lort_put_bytes(b, "GGUF", 4); }
static void bytes_23(lort_buffer *b)
{
    put_head(b, 3, 0, 0);
    b->size = 23;
}
static void version_0(lort_buffer *b) { put_head(b, 0, 0, 0); }
static void version_4(lort_buffer *b) { put_head(b, 4, 0, 0); }
static void version_max(lort_buffer *b) { put_head(b, UINT32_MAX, 0, 0); }
static void big_endian(lort_buffer *b) { put_head(b, 0x03000000, 0, 0); }
static void pairs_2_63(lort_buffer *b) { put_head(b, 3, 0, 1ull << 63); }
static void pairs_2_40(lort_buffer *b)
{
    put_head(b, 3, 0, 1ull << 40);
    lort_put_zeros(b, 1000);
}
static void pairs_one_too_many(lort_buffer *b)
{
    put_head(b, 3, 0, 2);
    put_kv_u32(b, "a", 1);
    lort_put_zeros(b, 10);
}
static void tensors_minus_1(lort_buffer *b) { put_head(b, 3, UINT64_MAX, 0); }
static void tensors_2_40(lort_buffer *b) { put_head(b, 2, 1ull << 40, 0); }
static void counts_wrap(lort_buffer *b)
{
    put_head(b, 3, UINT64_MAX / 24 + 2, UINT64_MAX / 14 + 2);
}

static void key_of(lort_buffer *b, uint64_t claimed, uint64_t real)
{
    put_head(b, 3, 0, 1);
    lort_put_u64(b, claimed);
    for (uint64_t i = 0; i < real; i++)
        lort_put_u8(b, 'k');
    lort_put_u32(b, 4);
    lort_put_u32(b, 0);
}
static void key_2_64(lort_buffer *b) { key_of(b, UINT64_MAX, 8); }
static void key_past_end(lort_buffer *b) { key_of(b, 100, 8); }
static void key_empty(lort_buffer *b) { key_of(b, 0, 0); }
static void key_70000(lort_buffer *b) { key_of(b, 70000, 70000); }
static void key_twice(lort_buffer *b)
{
    put_head(b, 3, 0, 3);
    put_kv_u32(b, "same.key", 1);
    put_kv_u32(b, "other.key", 1);
    put_kv_text(b, "same.key", "x");
}
static void value_type_13(lort_buffer *b)
{
    start_pair(b, 13);
    lort_put_u64(b, 0);
}
static void value_type_v1(lort_buffer *b)
{
    lort_put_bytes(b, "GGUF\1\0\0\0\0\0\0\0\1\0\0\0", 16);
    lort_put_bytes(b, "\1\0\0\0k\12\0\0\0", 9); /* a uint64, which version 1 does not have */
    lort_put_u64(b, 1);
}
static void string_2_62(lort_buffer *b)
{
    start_pair(b, 8);
    lort_put_u64(b, 1ull << 62);
}
static void bool_2(lort_buffer *b)
{
    start_pair(b, 7);
    lort_put_u8(b, 2);
}
static void value_cut(lort_buffer *b)
{
    start_pair(b, 10);
    lort_put_u32(b, 2);
}

static void array_of(lort_buffer *b, uint32_t type, uint64_t n)
{
    start_pair(b, 9);
    lort_put_u32(b, type);
    lort_put_u64(b, n);
}
static void array_wraps(lort_buffer *b) { array_of(b, 10, (1ull << 61) + 1); }
static void array_2_31(lort_buffer *b) { array_of(b, 0, 1ull << 31); }
static void array_short(lort_buffer *b)
{
    array_of(b, 5, 3);
    lort_put_zeros(b, 11);
}
static void array_type_99(lort_buffer *b) { array_of(b, 99, 0); }
static void array_nested(lort_buffer *b)
{
    start_pair(b, 9);
    for (int i = 0; i < 10000; i++) {
        lort_put_u32(b, 9);
        lort_put_u64(b, 1);
    }
}
static void array_bool_2(lort_buffer *b)
{
    array_of(b, 7, 3);
    lort_put_bytes(b, "\0\1\2", 3);
}
static void array_string_cut(lort_buffer *b)
{
    array_of(b, 8, 2);
    put_string(b, "first");
    lort_put_u64(b, 6);
    lort_put_bytes(b, "short", 5);
}

static void alignment_0(lort_buffer *b) { alignment(b, 0); }
static void alignment_3(lort_buffer *b) { alignment(b, 3); }
static void alignment_4(lort_buffer *b) { alignment(b, 4); }
static void alignment_13(lort_buffer *b) { alignment(b, 13); }
static void alignment_2_31(lort_buffer *b) { alignment(b, 1u << 31); }
static void alignment_text(lort_buffer *b)
{
    put_head(b, 3, 0, 1);
    put_kv_text(b, "general.alignment", "32");
}
static void alignment_u64(lort_buffer *b)
{
    put_head(b, 3, 0, 1);
    put_key(b, "general.alignment", 10);
    lort_put_u64(b, 32);
}
static void alignment_array(lort_buffer *b)
{
    put_head(b, 3, 0, 1);
    put_key(b, "general.alignment", 9);
    lort_put_u32(b, 4);
    lort_put_u64(b, 1);
    lort_put_u32(b, 32);
}

static void dims_9(lort_buffer *b) { one(b, 9, (uint64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}, 0, 0, 4); }
static void dims_max(lort_buffer *b)
{
    put_head(b, 3, 1, 0);
    put_string(b, "w");
    lort_put_u32(b, UINT32_MAX);
    lort_put_zeros(b, 200);
}
static void dims_2_64(lort_buffer *b) { one(b, 2, (uint64_t[]){1ull << 32, 1ull << 32}, 0, 0, 64); }
static void dims_wrap_small(lort_buffer *b)
{
    one(b, 4, (uint64_t[]){1024, 1024, (1ull << 42) + 1, 1}, 0, 0, 64);
}
static void dims_2_63_x_2(lort_buffer *b) { one(b, 2, (uint64_t[]){INT64_MAX, 2}, 0, 0, 64); }
static void dims_overflow_and_zero(lort_buffer *b)
{
    one(b, 3, (uint64_t[]){1ull << 40, 1ull << 40, 0}, 0, 0, 0);
}
static void dim_negative(lort_buffer *b) { one(b, 2, (uint64_t[]){4, UINT64_MAX}, 0, 0, 64); }
static void bytes_2_64(lort_buffer *b) { one(b, 1, (uint64_t[]){INT64_MAX}, LORT_F32, 0, 64); }
static void rows_of_100(lort_buffer *b) { one(b, 2, (uint64_t[]){100, 256}, LORT_Q4_K, 0, 14400); }
static void type_65536(lort_buffer *b) { one(b, 2, two, 65536, 0, 64); }
static void type_opaque(lort_buffer *b) { one(b, 2, two, LORT_OPAQUE + 36, 0, 64); }
static void type_max(lort_buffer *b) { one(b, 2, two, UINT32_MAX, 0, 64); }
static void opaque_cut(lort_buffer *b) { one(b, 2, two, 156, 0, 0); }
static void opaque_past_end(lort_buffer *b) { one(b, 2, two, 156, 96, 64); }
static void opaque_unaligned(lort_buffer *b) { one(b, 2, two, 156, 48, 64); }
static void opaque_2_64(lort_buffer *b)
{
    one(b, 2, (uint64_t[]){1ull << 32, 1ull << 32}, 156, 0, 64);
}
static void pair_of(lort_buffer *b, uint32_t first, uint32_t second, uint64_t offset, uint64_t data)
{
    put_head(b, 3, 2, 0);
    put_info(b, "first", 1, (uint64_t[]){64}, first, 0);
    put_info(b, "second", 1, (uint64_t[]){64}, second, offset);
    put_data(b, 32, data);
}
static void opaque_same_place(lort_buffer *b) { pair_of(b, 156, 157, 0, 64); }
static void opaque_overlapped(lort_buffer *b) { pair_of(b, LORT_I8, 156, 32, 96); }
static void mxfp4_cut(lort_buffer *b) { pair_of(b, LORT_MXFP4, LORT_MXFP4, 64, 64 + 33); }
static void q2_0_cut(lort_buffer *b) { pair_of(b, LORT_Q2_0, LORT_Q2_0, 32, 32 + 17); }
static void q4_0_overlap(lort_buffer *b) { pair_of(b, LORT_Q4_0, LORT_Q4_0, 32, 128); }

static void offset_unaligned(lort_buffer *b) { one(b, 2, two, 0, 16, 96); }
static void offset_past_end(lort_buffer *b) { one(b, 2, two, 0, 1 << 20, 64); }
static void offset_wraps(lort_buffer *b) { one(b, 2, two, 0, UINT64_MAX - 31, 64); }
static void end_wraps(lort_buffer *b) { one(b, 2, two, 0, UINT64_MAX - 127, 64); }
static void one_byte_short(lort_buffer *b) { one(b, 2, two, 0, 0, 63); }
static void no_data(lort_buffer *b)
{
    put_head(b, 3, 1, 0);
    put_vector(b, "w", 0, 0);
}

static void pair_of_vectors(lort_buffer *b, const char *second, uint64_t n, uint64_t offset,
                            uint64_t data)
{
    put_head(b, 3, 2, 0);
    put_vector(b, "first", 16, 0);
    put_vector(b, second, n, offset);
    put_data(b, 32, data);
}
static void same_place(lort_buffer *b) { pair_of_vectors(b, "second", 16, 0, 128); }
static void overlap(lort_buffer *b) { pair_of_vectors(b, "second", 16, 32, 128); }
static void overlap_empty(lort_buffer *b) { pair_of_vectors(b, "second", 0, 32, 128); }
static void name_twice(lort_buffer *b) { pair_of_vectors(b, "first", 16, 64, 128); }
static void sum_wraps(lort_buffer *b)
{
    put_head(b, 3, 2, 0);
    put_info(b, "a", 1, (uint64_t[]){0x7FFFFFFFFFFFFFC0}, LORT_I8, 0);
    put_info(b, "b", 1, (uint64_t[]){0x7FFFFFFFFFFFFFC0}, LORT_I8, 0x7FFFFFFFFFFFFFC0);
    put_data(b, 32, 64);
}
static void long_name(lort_buffer *b, size_t bytes)
{
    char name[1026];
    memset(name, 'n', bytes);
    name[bytes] = 0;
    put_head(b, 3, 1, 0);
    put_vector(b, name, 0, 0);
    put_data(b, 32, 0);
}
static void name_1025(lort_buffer *b) { long_name(b, 1025); }
static void name_escaped(lort_buffer *b)
{
    put_head(b, 3, 1, 0);
    put_vector(b, "a\n\033[31m\xff../x", 4, 8);
    put_data(b, 32, 64);
}
static void info_cut(lort_buffer *b)
{
    put_head(b, 3, 1, 0);
    put_info(b, "weight", 2, two, 0, 0);
    b->size -= 4;
}

static void split_of(lort_buffer *b, uint32_t type, uint64_t no, uint64_t count)
{
    put_head(b, 3, 0, 2);
    put_key(b, "split.no", 2);
    lort_put_u16(b, (uint16_t)no);
    put_key(b, "split.count", type);
    lort_put_u64(b, count);
}
static void split_no_3_of_3(lort_buffer *b) { split_of(b, 10, 3, 3); }
static void split_70000(lort_buffer *b) { split_of(b, 10, 0, 70000); }
static void split_float(lort_buffer *b) { split_of(b, 12, 0, 3); }
static void split_negative(lort_buffer *b) { split_of(b, 11, 0, UINT64_MAX); }

static const struct malformed {
    const char *name;
    void (*build)(lort_buffer *b);
    const char *expected;
} malformed[] = {
    {"empty file", empty_file, "the file is empty"},
    {"two bytes", two_bytes, "too short"},
    {"magic only", magic_only, "too short for a GGUF header (4 < 24 bytes)"},
    {"23 bytes", bytes_23, "too short for a GGUF header (23 < 24 bytes)"},
    {"version 0", version_0, "version 0 is not supported"},
    {"version 4", version_4, "version 4 is not supported (allowed: 1, 2 and 3) at offset 4"},
    {"version 2^32-1", version_max, "version 4294967295 is not supported"},
    {"big-endian", big_endian, "big-endian"},
    {"2^63 pairs", pairs_2_63, "9223372036854775808 metadata pairs cannot fit"},
    {"2^40 pairs in a small file", pairs_2_40, "cannot fit in a file of 1024 bytes"},
    {"one pair too many", pairs_one_too_many, "cannot fit"},
    {"-1 tensors", tensors_minus_1, "18446744073709551615 tensors"},
    {"2^40 tensors", tensors_2_40, "1099511627776 tensors"},
    {"counts whose sizes wrap", counts_wrap, "cannot fit"},
    {"key of 2^64-1 bytes", key_2_64, "metadata key has 18446744073709551615 bytes (at most 65535"},
    {"key past the end", key_past_end, "metadata key has 100 bytes"},
    {"empty key", key_empty, "empty metadata key at offset 24"},
    {"key of 70000 bytes", key_70000, "metadata key has 70000 bytes (at most 65535"},
    {"key twice", key_twice, "'same.key' stands twice"},
    {"value type 13", value_type_13, "key 'k': unknown value type 13"},
    {"uint64 in version 1", value_type_v1, "unknown value type 10 (version 1 has 0 to 9)"},
    {"string of 2^62 bytes", string_2_62, "key 'k': string has 4611686018427387904 bytes"},
    {"bool of 2", bool_2, "key 'k': bool has the value 2"},
    {"value cut short", value_cut, "key 'k': truncated: uint64"},
    {"array whose bytes wrap", array_wraps, "array of 2305843009213693953 elements of type uint64"},
    {"array of 2^31", array_2_31, "array of 2147483648 elements"},
    {"array a byte short", array_short, "array of 3 elements of type int32"},
    {"array of type 99", array_type_99, "unknown array element type 99"},
    {"arrays nested 10000 deep", array_nested, "array of arrays"},
    {"bool of 2 in an array", array_bool_2, "bool has the value 2"},
    {"array with a string cut short", array_string_cut, "string in an array has 6 bytes"},
    {"alignment 0", alignment_0,
     "general.alignment is 0; it must be a power of two from 8 to 1048576"},
    {"alignment 3", alignment_3, "general.alignment is 3"},
    {"alignment 4", alignment_4, "general.alignment is 4"},
    {"alignment 13", alignment_13, "general.alignment is 13"},
    {"alignment 2^31", alignment_2_31, "general.alignment is 2147483648"},
    {"alignment as text", alignment_text, "general.alignment is of type string"},
    {"alignment as uint64", alignment_u64, "general.alignment is of type uint64"},
    {"alignment as array", alignment_array, "general.alignment is an array of uint32"},
    {"9 dims", dims_9, "tensor 'w': 9 dimensions (at most 8"},
    {"2^32-1 dims", dims_max, "4294967295 dimensions"},
    {"2^64 elements", dims_2_64, "more than 2^63 elements"},
    {"bytes that wrap to few", dims_wrap_small, "exceeds 2^64 bytes"},
    {"2^63-1 x 2", dims_2_63_x_2, "more than 2^63 elements"},
    {"overflow hidden by a zero", dims_overflow_and_zero, "more than 2^63 elements"},
    {"negative dim", dim_negative, "dimension 1 is negative"},
    {"bytes past 2^64", bytes_2_64, "exceeds 2^64 bytes"},
    {"Q4_K rows of 100", rows_of_100, "rows of 100 elements (Q4_K needs a multiple of 256)"},
    {"type 65536", type_65536, "tensor 'w' has type 65536 (allowed: 0 to 65535)"},
    {"the number of an opaque type", type_opaque, "has type 65572 (allowed"},
    {"type 2^32-1", type_max, "has type 4294967295 (allowed"},
    {"opaque tensor cut off", opaque_cut,
     "tensor 'w' (type156, at offset 96 + 0) begins at or behind the end of the file of 96 bytes"},
    {"opaque past the end", opaque_past_end, "begins at or behind the end"},
    {"opaque unaligned", opaque_unaligned, "offset 48, not a multiple of the alignment 32"},
    {"opaque of 2^64 elements", opaque_2_64, "more than 2^63 elements"},
    {"opaque tensors in one place", opaque_same_place, "tensors 'first' and 'second' overlap"},
    {"opaque inside another", opaque_overlapped, "tensors 'first' and 'second' overlap"},
    {"MXFP4 cut short", mxfp4_cut, "tensor 'second' (34 bytes at offset 128 + 64) lies outside"},
    {"Q2_0 cut short", q2_0_cut, "tensor 'second' (18 bytes at offset 128 + 32) lies outside"},
    {"a type of no fork that overlaps", q4_0_overlap, "overlap"},
    {"offset unaligned", offset_unaligned, "offset 16, not a multiple of the alignment 32"},
    {"offset past the end", offset_past_end, "lies outside the file"},
    {"offset that wraps", offset_wraps, "lies outside the file"},
    {"end that wraps", end_wraps, "lies outside the file"},
    {"one byte short", one_byte_short,
     "tensor 'w' (64 bytes at offset 96 + 0) lies outside the file of 159 bytes"},
    {"no data section", no_data, "the data section would start at offset 64"},
    {"same place", same_place, "tensors 'first' and 'second' overlap"},
    {"overlap", overlap, "tensors 'first' and 'second' overlap"},
    {"empty tensor inside another", overlap_empty, "overlap"},
    {"name twice", name_twice, "tensor name 'first' occurs twice"},
    {"sizes whose sum wraps", sum_wraps, "tensor 'b' (9223372036854775744 bytes"},
    {"name of 1025 bytes", name_1025, "tensor name has 1025 bytes (at most 1024"},
    {"name with control characters", name_escaped, "tensor 'a\\x0A\\x1B[31m\\xFF../x'"},
    {"info cut short", info_cut, "tensor 'weight': truncated"},
    {"split.no past split.count", split_no_3_of_3, "split.no is 3 but split.count is 3"},
    {"split.count 70000", split_70000, "split.count is 70000; at most 65535"},
    {"split.count a float", split_float, "split.count must be a whole number"},
    {"split.count negative", split_negative, "split.count must be a whole number"},
};

static void test_malformed(void **state)
{
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        lort_buffer b = new_buffer();
        malformed[i].build(&b);
        expect_refusal(malformed[i].name, b.data, b.size, malformed[i].expected);
        lort_buffer_free(&b);
    }
}

/* --- accepted --- */

static void check_tensor(const lort_header *h, const char *name, const char *type, uint64_t bytes)
{
    const lort_tensor *t = lort_index_find(&h->index, name, strlen(name));
    assert_non_null(t);
    assert_string_equal(t->type->name, type);
    assert_int_equal(t->bytes, bytes);
}

/* Opaque tensors out of order, one without elements, the last one to the end of the file. */
static void test_opaque(void **state)
{
    lort_buffer b = new_buffer();
    put_head(&b, 3, 5, 0);
    put_info(&b, "c", 5, (uint64_t[]){2, 2, 2, 2, 2}, 156, 192);
    put_info(&b, "a", 1, (uint64_t[]){3}, 156, 0);
    put_info(&b, "nothing", 2, (uint64_t[]){0, 7}, 156, 96);
    put_info(&b, "f", 1, (uint64_t[]){16}, LORT_F32, 96);
    put_info(&b, "removed", 1, (uint64_t[]){16}, 36, 160);
    put_data(&b, 32, 192 + 5);
    lort_header h = accept(&b);
    check_tensor(&h, "a", "type156", 96);
    check_tensor(&h, "nothing", "type156", 0);
    check_tensor(&h, "f", "F32", 64);
    check_tensor(&h, "removed", "type36", 32);
    check_tensor(&h, "c", "type156", 5);
    assert_int_equal(h.gaps, 0);
    const lort_tensor *c = lort_index_find(&h.index, "c", 1);
    assert_int_equal(c->n_dims, 5);
    assert_int_equal(c->elements, 5);
    lort_buffer again;
    assert_true(rewrite_as(&h, b.data, NULL, &again));
    lort_buffer_free(&again);
    assert_false(rewrite_as(&h, b.data, lort_dtype_get(LORT_F16), &again)); /* F32 shrinks */
    lort_buffer_free(&again);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

/* The space decides about ids that forks use; a tensor that fits is opaque with the others. */
static void test_forks(void **state)
{
    static const struct {
        uint32_t type;
        uint64_t cols, second, data;
        const char *name;
    } cases[] = {
        {LORT_Q2_0, 128, 64, 128, "Q2_0"},       /* 36 bytes each, padded */
        {LORT_Q2_0, 4096, 1088, 2240, "type42"}, /* 34 bytes for 128, where ggml has 1152 */
        {LORT_Q2_0, 96, 64, 128, "type42"},      /* rows that are no blocks of 64 */
        {LORT_NVFP4, 64, 96, 192, "type40"},     /* more space than padding explains */
        {LORT_Q8_0, 64, 96, 192, "Q8_0"},        /* no id of a fork: padding and a gap */
        {LORT_F32, 8, 96, 192, "F32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lort_buffer b = new_buffer();
        put_head(&b, 3, 2, 0);
        put_info(&b, "first", 1, &cases[i].cols, cases[i].type, 0);
        put_info(&b, "second", 1, &cases[i].cols, cases[i].type, cases[i].second);
        put_data(&b, 32, cases[i].data);
        lort_header h = accept(&b);
        for (uint64_t t = 0; t < 2; t++)
            assert_string_equal(h.index.tensors[t].type->name, cases[i].name);
        lort_header_free(&h);
        lort_buffer_free(&b);
    }
}

/* A file of one tensor of id 42, which is shorter than ggml's Q2_0. */
static void test_fork_alone(void **state)
{
    lort_buffer b = new_buffer();
    one(&b, 2, (uint64_t[]){256, 64}, LORT_Q2_0, 0, 64 * 68);
    lort_header h = accept(&b);
    check_tensor(&h, "w", "type42", 64 * 68);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

static void test_many_dims_and_long_names(void **state)
{
    lort_buffer b = new_buffer();
    one(&b, 8, (uint64_t[]){2, 1, 2, 1, 2, 1, 2, 1}, LORT_F32, 0, 64);
    lort_header h = accept(&b);
    assert_int_equal(h.index.tensors[0].n_dims, 8);
    assert_int_equal(h.index.tensors[0].dims[7], 2);
    lort_header_free(&h);
    lort_buffer_free(&b);
    b = new_buffer();
    long_name(&b, 1024);
    h = accept(&b);
    assert_int_equal(h.index.tensors[0].name_bytes, 1024);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

/* Has every kind of value, two tensors out of order, an empty tensor and a scalar. */
static lort_buffer sample(void)
{
    lort_buffer b = new_buffer();
    put_head(&b, 3, 4, 15);
    put_kv_text(&b, "general.architecture", "llama");
    put_kv_u32(&b, "general.file_type", 0);
    put_key(&b, "u8", 0), lort_put_u8(&b, 255);
    put_key(&b, "i8", 1), lort_put_u8(&b, 0x80);
    put_key(&b, "u16", 2), lort_put_u16(&b, 65535);
    put_key(&b, "i16", 3), lort_put_u16(&b, 0xFFFE);
    put_key(&b, "i32", 5), lort_put_u32(&b, 0x80000000u);
    put_key(&b, "f32", 6), lort_put_u32(&b, 0x3FC00000u);
    put_key(&b, "yes", 7), lort_put_u8(&b, 1);
    put_key(&b, "u64", 10), lort_put_u64(&b, UINT64_MAX);
    put_key(&b, "i64", 11), lort_put_u64(&b, UINT64_MAX);
    put_key(&b, "f64", 12), lort_put_u64(&b, 0xBFF8000000000000u);
    put_key(&b, "bools", 9), lort_put_u32(&b, 7), lort_put_u64(&b, 2), lort_put_u16(&b, 0x0100);
    put_key(&b, "texts", 9), lort_put_u32(&b, 8), lort_put_u64(&b, 2), put_string(&b, "a"),
        put_string(&b, "");
    put_key(&b, "empty text", 8), put_string(&b, "");
    put_info(&b, "second", 2, (uint64_t[]){3, 5}, LORT_F32, 64);
    put_info(&b, "first", 1, (uint64_t[]){16}, LORT_F32, 0);
    put_info(&b, "scalar", 0, NULL, LORT_F32, 128);
    put_info(&b, "empty", 3, (uint64_t[]){4, 0, 2}, LORT_F32, 128);
    put_data(&b, 32, 160);
    return b;
}

static void test_values(void **state)
{
    lort_buffer b = sample();
    lort_header h = accept(&b);
    assert_int_equal(h.kv_count, 15);
    assert_string_equal(h.architecture, "llama");
    assert_int_equal(lort_header_find(&h, "u8")->v.u, 255);
    assert_true(lort_header_find(&h, "i8")->v.i == -128);
    assert_int_equal(lort_header_find(&h, "u16")->v.u, 65535);
    assert_true(lort_header_find(&h, "i16")->v.i == -2);
    assert_true(lort_header_find(&h, "i32")->v.i == INT32_MIN);
    assert_true(lort_header_find(&h, "f32")->v.f == 1.5);
    assert_true(lort_header_find(&h, "yes")->v.b);
    assert_true(lort_header_find(&h, "u64")->v.u == UINT64_MAX);
    assert_true(lort_header_find(&h, "i64")->v.i == -1);
    assert_true(lort_header_find(&h, "f64")->v.f == -1.5);
    assert_string_equal(lort_header_find(&h, "i64")->type, "int64");
    const lort_kv *bools = lort_header_find(&h, "bools"), *texts = lort_header_find(&h, "texts");
    assert_int_equal(bools->kind, LORT_KV_ARRAY);
    assert_string_equal(bools->type, "bool");
    assert_int_equal(bools->v.array.count, 2);
    assert_memory_equal(b.data + bools->v.array.at, "\0\1", 2);
    assert_string_equal(texts->type, "string");
    assert_int_equal(lort_load_u64(b.data + texts->v.array.at), 1);
    const lort_kv *arch = lort_header_find(&h, "general.architecture");
    assert_int_equal(arch->v.text.bytes, 5);
    assert_memory_equal(b.data + arch->v.text.at, "llama", 5);
    assert_string_equal(lort_header_find(&h, "empty text")->text_copy, "");
    assert_null(lort_header_find(&h, "u6"));
    lort_header_free(&h);
    lort_buffer_free(&b);
}

static void test_tensors_in_data_order(void **state)
{
    static const char *const order[] = {"first", "second", "empty", "scalar"};
    lort_buffer b = sample();
    lort_header h = accept(&b);
    assert_int_equal(h.index.count, 4);
    assert_int_equal(h.gaps, 0);
    assert_string_equal(h.warning, "");
    assert_int_equal(h.header_bytes, b.size - 160);
    for (int i = 0; i < 4; i++)
        assert_string_equal(h.index.tensors[i].name, order[i]);
    const lort_tensor *t = &h.index.tensors[1];
    assert_int_equal(t->dims[0], 5); /* rows: slowest first */
    assert_int_equal(t->dims[1], 3);
    assert_int_equal(t->bytes, 60);
    assert_int_equal(t->offset, h.header_bytes + 64);
    assert_int_equal(h.index.tensors[2].elements, 0);
    assert_int_equal(h.index.tensors[3].elements, 1);
    assert_int_equal(h.index.tensors[3].n_dims, 0);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

static void test_gaps(void **state)
{
    lort_buffer b = new_buffer();
    put_head(&b, 3, 2, 1);
    put_kv_u32(&b, "general.alignment", 8);
    put_vector(&b, "a", 1, 8);  /* 8 bytes before, 4 of padding after */
    put_vector(&b, "b", 2, 32); /* 16 bytes before */
    put_data(&b, 8, 32 + 8 + 5);
    lort_header h = accept(&b);
    assert_int_equal(h.alignment, 8);
    assert_int_equal(h.gaps, 8 + 16 + 5);
    assert_non_null(strstr(h.warning, "29 bytes"));
    lort_header_free(&h);
    lort_buffer_free(&b);
}

static void test_no_tensors(void **state)
{
    /* The padding may be missing. Bytes beyond the padding are a gap. */
    for (uint64_t more = 0; more < 40; more++) {
        lort_buffer b = new_buffer();
        put_head(&b, 3, 0, 0);
        lort_put_zeros(&b, more);
        lort_header h = accept(&b);
        assert_int_equal(h.header_bytes, more < 8 ? 24 + more : 32);
        assert_int_equal(h.gaps, more < 8 ? 0 : more - 8);
        lort_header_free(&h);
        lort_buffer_free(&b);
    }
}

static void test_odd_names(void **state)
{
    lort_buffer b = new_buffer();
    put_head(&b, 3, 4, 1);
    put_kv_u32(&b, "general.alignment", 1u << 20);
    put_vector(&b, "", 0, 0);
    put_vector(&b, "../../x\n\xff", 0, 0);
    put_vector(&b, "0123456789012345678901234567890123456789012345678901234567890123", 0, 0);
    lort_put_u64(&b, 3);
    lort_put_bytes(&b, "a\0b", 3);
    lort_put_u32(&b, 0);
    lort_put_u32(&b, LORT_F32);
    lort_put_u64(&b, 0);
    put_data(&b, 1u << 20, 4);
    lort_header h = accept(&b);
    assert_non_null(lort_index_find(&h.index, "", 0));
    assert_non_null(lort_index_find(&h.index, "a\0b", 3));
    assert_null(lort_index_find(&h.index, "a", 1));
    lort_header_free(&h);
    lort_buffer_free(&b);
}

static lort_buffer version_1(void)
{
    lort_buffer b = new_buffer();
    lort_put_bytes(&b, "GGUF\1\0\0\0\1\0\0\0\2\0\0\0", 16);
    lort_put_bytes(&b, "\2\0\0\0k\0\x08\0\0\0\5\0\0\0text\0", 19); /* the lengths count a NUL */
    lort_put_bytes(&b, "\2\0\0\0a\0\x09\0\0\0\4\0\0\0\1\0\0\0\7\0\0\0", 22);
    lort_put_bytes(&b, "\3\0\0\0wx\0\2\0\0\0\2\0\0\0\4\0\0\0\0\0\0\0", 23);
    lort_put_u64(&b, 0);
    put_data(&b, 32, 32);
    return b;
}

static void test_version_1(void **state)
{
    lort_buffer b = version_1(), again;
    lort_header h = accept(&b);
    assert_int_equal(h.version, 1);
    assert_string_equal(lort_header_find(&h, "k")->text_copy, "text");
    assert_int_equal(lort_header_find(&h, "a")->v.array.count, 1);
    assert_int_equal(lort_load_u32(b.data + lort_header_find(&h, "a")->v.array.at), 7);
    const lort_tensor *t = lort_index_find(&h.index, "wx", 2);
    assert_non_null(t);
    assert_int_equal(t->dims[0], 4);
    assert_int_equal(t->dims[1], 2);
    assert_non_null(strstr(h.warning, "legacy"));
    assert_true(rewrite_as(&h, b.data, NULL, &again));
    lort_buffer_free(&again);
    assert_false(rewrite_as(&h, b.data, lort_dtype_get(LORT_F16), &again));
    assert_int_equal(lort_load_u32(again.data + 4), 1);
    lort_buffer_free(&again);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

static void test_split_keys(void **state)
{
    lort_buffer b = new_buffer();
    put_head(&b, 3, 0, 3);
    put_key(&b, "split.no", 2), lort_put_u16(&b, 2);
    put_key(&b, "split.count", 2), lort_put_u16(&b, 3);
    put_key(&b, "split.tensors.count", 5), lort_put_u32(&b, 48);
    lort_header h = accept(&b);
    assert_true(h.split);
    assert_int_equal(h.split_no, 2);
    assert_int_equal(h.split_count, 3);
    assert_int_equal(h.split_tensors, 48);
    lort_header_free(&h);
    lort_buffer_free(&b);
    b = new_buffer();
    put_head(&b, 3, 0, 1);
    put_key(&b, "split.count", 2), lort_put_u16(&b, 0); /* as after a merge of shards */
    h = accept(&b);
    assert_false(h.split);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

/* --- every length, every allocation, every amount at hand --- */

static void test_truncated(void **state)
{
    lort_buffer b = sample();
    b.size -= 32 - 4; /* the padding behind the last tensor may be missing */
    expect_truncations(b.data, b.size);
    lort_buffer_free(&b);
    b = version_1();
    expect_truncations(b.data, b.size);
    lort_buffer_free(&b);
}

static void test_memory(void **state)
{
    lort_buffer b = sample();
    expect_memory_failures(b.data, b.size);
    lort_buffer_free(&b);
}

static void test_changed_meanwhile(void **state)
{
    lort_buffer b = sample();
    expect_no_harm(b.data, b.size, b.size - 160);
    lort_buffer_free(&b);
}

static lort_buffer many(uint64_t tensors, uint64_t pairs, bool backwards)
{
    lort_buffer b = new_buffer();
    char name[32];
    put_head(&b, 3, tensors, pairs);
    for (uint64_t i = 0; i < pairs; i++) {
        snprintf(name, sizeof name, "k%llu", (unsigned long long)i);
        put_kv_u32(&b, name, (uint32_t)i);
    }
    for (uint64_t i = 0; i < tensors; i++) {
        snprintf(name, sizeof name, "blk.%llu.w", (unsigned long long)i);
        put_vector(&b, name, 1, 32 * (backwards ? tensors - 1 - i : i));
    }
    put_data(&b, 32, 32 * tensors);
    return b;
}

static void test_growth(void **state)
{
    lort_buffer b = many(2000, 2000, false);
    expect_growth(b.data, b.size, 12);
    lort_buffer_free(&b);
}

static void test_many(void **state)
{
    lort_buffer b = many(100000, 200000, true);
    failing counts = {0};
    lort_alloc alloc = FAILING_ALLOC(counts);
    lort_header h;
    uint64_t wanted;
    assert_int_equal(lort_header_parse(b.data, b.size, b.size, &alloc, &h, &wanted, NULL), LORT_OK);
    assert_int_equal(h.gaps, 0);
    for (uint64_t i = 1; i < h.index.count; i++)
        assert_true(h.index.tensors[i].offset > h.index.tensors[i - 1].offset);
    assert_true(counts.peak_bytes < 8 * h.header_bytes);
    lort_header_free(&h);
    assert_int_equal(counts.out_blocks, 0);
    lort_buffer_free(&b);
}

/* --- rewriting --- */

static void test_rewrite(void **state)
{
    lort_buffer b = sample(), again;
    lort_header h = accept(&b);
    assert_true(rewrite_as(&h, b.data, NULL, &again)); /* no change, so equal bytes */
    lort_buffer_free(&again);
    static const struct {
        lort_dtype type;
        uint32_t file_type;
    } cases[] = {{LORT_F16, 1}, {LORT_BF16, 32}, {LORT_F64, 0}};
    for (int i = 0; i < 3; i++) {
        assert_false(rewrite_as(&h, b.data, lort_dtype_get(cases[i].type), &again));
        lort_header other;
        uint64_t wanted;
        lort_put_zeros(&again, 1000);
        assert_int_equal(lort_header_parse(again.data, again.size, again.size, &lort_alloc_heap,
                                           &other, &wanted, NULL),
                         LORT_OK);
        assert_int_equal(lort_header_find(&other, "general.file_type")->v.u, cases[i].file_type);
        lort_header_free(&other);
        lort_buffer_free(&again);
    }
    lort_header_free(&h);
    lort_buffer_free(&b);
}

static void test_rewrite_refuses(void **state)
{
    lort_buffer b = sample(), out = new_buffer();
    lort_header h = accept(&b);
    const lort_dtype_info *types[4];
    uint64_t offsets[4], size;
    lort_error err = {0};
    for (int i = 0; i < 4; i++)
        types[i] = lort_dtype_get(i == 1 ? LORT_Q8_0 : LORT_F32);
    assert_int_equal(h.format->rewrite(&h, b.data, types, &out, offsets, &size, &err),
                     LORT_E_USAGE);
    assert_non_null(strstr(err.message, "'second' cannot be written to a GGUF file as Q8_0"));
    types[1] = lort_dtype_get(LORT_U64);
    assert_int_equal(h.format->rewrite(&h, b.data, types, &out, offsets, &size, NULL),
                     LORT_E_USAGE);
    assert_int_equal(size, 0);
    failing none = {.fail_at = 1};
    lort_alloc alloc = FAILING_ALLOC(none);
    lort_buffer refused = {.alloc = &alloc};
    types[1] = lort_dtype_get(LORT_F16);
    assert_int_equal(h.format->rewrite(&h, b.data, types, &refused, offsets, &size, NULL),
                     LORT_E_MEMORY);
    lort_buffer_free(&refused);
    lort_buffer_free(&out);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

/* A rewritten file closes the gaps of the old one. */
static void test_rewrite_gaps(void **state)
{
    lort_buffer b = new_buffer(), again;
    put_head(&b, 3, 2, 0);
    put_vector(&b, "a", 16, 320);
    put_vector(&b, "b", 16, 64);
    put_data(&b, 32, 320 + 64);
    lort_header h = accept(&b);
    assert_true(h.gaps > 0);
    assert_false(rewrite_as(&h, b.data, NULL, &again));
    lort_buffer_free(&again);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

/* --- real files --- */

static const struct real {
    const char *path;
    const char *refusal; /* NULL: accepted */
    uint32_t version;
    uint64_t tensors;
    const char *architecture;
} reals[] = {
    {"stories260K/stories260K.gguf", NULL, 3, 48, "llama"},
    {"gguf-variants/stories260K-v1.gguf", NULL, 1, 48, "llama"},
    {"gguf-variants/stories260K-v2.gguf", NULL, 2, 48, "llama"},
    {"gguf-variants/stories260K-v3-align128.gguf", NULL, 3, 48, "llama"},
    {"gguf-variants/stories260K-split-00001-of-00003.gguf", NULL, 3, 16, "llama"},
    {"gguf-variants/stories260K-split-00002-of-00003.gguf", NULL, 3, 16, ""},
    {"gguf-variants/stories260K-split-00003-of-00003.gguf", NULL, 3, 16, ""},
    {"gguf-variants/stories260K-v3-bigendian.gguf", "big-endian", 0, 0, NULL},
    {"kjv-3m/kjv-3m-f16.gguf", NULL, 3, 39, "llama"},
    {"tinystories-656k-gguf/TinyStories-656K-f32.gguf", NULL, 3, 20, "llama"},
    {"tinystories-656k-gguf/TinyStories-656K-f16.gguf", NULL, 3, 20, "llama"},
    {"tinystories-656k-gguf/TinyStories-656K-BF16.gguf", NULL, 3, 20, "llama"},
    {"tinystories-656k-gguf/TinyStories-656K-Q4_0.gguf", NULL, 3, 20, "llama"},
    {"tinystories-656k-gguf/TinyStories-656K-Q4_1.gguf", NULL, 3, 20, "llama"},
    {"tinystories-656k-gguf/TinyStories-656K-Q5_0.gguf", NULL, 3, 20, "llama"},
    {"tinystories-656k-gguf/TinyStories-656K-Q5_1.gguf", NULL, 3, 20, "llama"},
    {"tinystories-656k-gguf/TinyStories-656K-Q8_0.gguf", NULL, 3, 20, "llama"},
    {"tinystories-656k-gguf/TinyStories-656K-IQ4_NL.gguf", NULL, 3, 20, "llama"},
    {"gpt2-quant-golden/gpt2-h0-q-ALLTYPES.gguf", NULL, 3, 24, "gpt2"},
    {"gpt2-quant-golden/gpt2-h0-attn-Q4_K.gguf", NULL, 3, 4, "gpt2"},
    {"gpt2-quant-golden/gpt2-h0-attn-Q6_K.gguf", NULL, 3, 4, "gpt2"},
    {"imatrix/TinyStories-656K.imatrix.gguf", NULL, 3, 30, ""},
    {"imatrix/TinyStories-656K.imatrix.dat", "neither GGUF nor safetensors", 0, 0, NULL},
    {"lora-gpt2/lora-gpt2-f32.gguf", NULL, 3, 24, "gpt2"},
    {"gguf-history/2023-08-18-856afff-ggml-vocab-llama.gguf", "FUGG", 0, 0, NULL},
    {"gguf-history/2023-08-21-1e7a009-ggml-vocab-llama.gguf", NULL, 1, 0, "llama"},
    {"gguf-history/2023-09-18-bfaab6f-ggml-vocab-falcon.gguf", NULL, 2, 0, "falcon"},
    {"gguf-history/2024-02-14-394ba65-test_writer.gguf", "unknown value type 13", 0, 0, NULL},
    {"gguf-history/ggml-vocab-bert-bge.gguf", NULL, 3, 0, "bert"},
    {"gguf-history/lfs-pointer-named.gguf", "run git lfs pull", 0, 0, NULL},
    {"edge/empty.gguf", NULL, 3, 0, "llama"},
    {"edge/tiny.gguf", "truncated", 0, 0, NULL},
};

static void check_real(const struct real *real, const uint8_t *data, uint64_t size)
{
    lort_buffer again;
    if (real->refusal) {
        expect_refusal(real->path, data, size, real->refusal);
        return;
    }
    lort_header h = accept_model(real->path, data, size);
    assert_int_equal(h.version, real->version);
    assert_int_equal(h.index.count, real->tensors);
    assert_string_equal(h.architecture, real->architecture);
    assert_int_equal(h.gaps, 0);
    if (!rewrite_as(&h, data, NULL, &again))
        fail_msg("%s: an unchanged header is not written byte for byte", real->path);
    lort_buffer_free(&again);
    rewrite_as(&h, data, lort_dtype_get(LORT_BF16), &again);
    lort_buffer_free(&again);
    lort_header_free(&h);
    expect_growth(data, size, 16);
}

static void test_real_files(void **state)
{
    if (!have_models())
        skip();
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++) {
        uint64_t size;
        uint8_t *data = read_model(reals[i].path, &size);
        check_real(&reals[i], data, size);
        free(data);
    }
}

/* One model in five layouts gives equal tensors with equal bytes. */
static void test_real_variants(void **state)
{
    static const char *const names[] = {MODELS "stories260K/stories260K.gguf",
                                        MODELS "gguf-variants/stories260K-v1.gguf",
                                        MODELS "gguf-variants/stories260K-v2.gguf",
                                        MODELS "gguf-variants/stories260K-v3-align128.gguf",
                                        MODELS "gguf-variants/stories260K-f32.safetensors"};
    if (!have_models())
        skip();
    uint8_t *data[5];
    lort_header h[5];
    for (int i = 0; i < 5; i++) {
        uint64_t size, wanted;
        data[i] = read_file(names[i], &size);
        assert_int_equal(
            lort_header_parse(data[i], size, size, &lort_alloc_heap, &h[i], &wanted, NULL),
            LORT_OK);
        expect_same_tensors(&h[0], &h[i]);
        for (uint64_t k = 0; k < h[i].index.count; k++) {
            const lort_tensor *t = &h[i].index.tensors[k],
                              *u = lort_index_find(&h[0].index, t->name, t->name_bytes);
            assert_memory_equal(data[i] + t->offset, data[0] + u->offset, t->bytes);
        }
    }
    for (int i = 0; i < 5; i++) {
        lort_header_free(&h[i]);
        free(data[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_opaque),
        cmocka_unit_test(test_forks),
        cmocka_unit_test(test_fork_alone),
        cmocka_unit_test(test_many_dims_and_long_names),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_tensors_in_data_order),
        cmocka_unit_test(test_no_tensors),
        cmocka_unit_test(test_odd_names),
        cmocka_unit_test(test_version_1),
        cmocka_unit_test(test_split_keys),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_changed_meanwhile),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_rewrite),
        cmocka_unit_test(test_rewrite_refuses),
        cmocka_unit_test(test_rewrite_gaps),
        cmocka_unit_test(test_real_files),
        cmocka_unit_test(test_real_variants),
    };
    return run_chosen(tests, NULL, NULL);
}
