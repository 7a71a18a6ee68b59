/* Tests of safetensors headers: refused ones with their messages, accepted ones with their
 * contents, and headers that LoRT writes again. */
#include "formats/inputs/header.h"
#include "tests/unit/main.h"
#include "tests/unit/malformed.h"

/* --- refused --- */

#define ENTRY(name, dtype, shape, offsets)                                                         \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define F32_2 ENTRY("a", "F32", "[2]", "[0,8]")
#define TEN "0,0,0,0,0,0,0,0,0,0"

/* One JSON header, and this many bytes of data. */
static const struct malformed {
    const char *name, *json;
    uint64_t data_bytes;
    const char *expected;
} malformed[] = {
    {"space first", " {" F32_2 "}", 8, "must start with '{' at offset 8 (found 0x20)"},
    {"byte order mark", "\xef\xbb\xbf{" F32_2 "}", 8, "must start with '{'"},
    {"an array", "[" F32_2 "]", 8, "must start with '{'"},
    {"trailing text", "{" F32_2 "} x", 8, "only spaces may follow the header's JSON"},
    {"trailing newline", "{" F32_2 "}\n", 8, "only spaces may follow the header's JSON"},
    {"two objects", "{" F32_2 "}{}", 8, "only spaces may follow the header's JSON"},
    {"never closed", "{" F32_2, 8, "it ends where ',' or '}' is expected"},
    {"invalid UTF-8", "{" ENTRY("\xff", "F32", "[2]", "[0,8]") "}", 8, "not valid UTF-8"},
    {"lone surrogate", "{" ENTRY("\\ud800", "F32", "[2]", "[0,8]") "}", 8, "a lone surrogate"},
    {"tensor twice", "{" F32_2 "," ENTRY("a", "F32", "[2]", "[8,16]") "}", 16,
     "tensor name 'a' occurs twice"},
    {"tensor twice, escaped", "{" F32_2 "," ENTRY("\\u0061", "F32", "[2]", "[8,16]") "}", 16,
     "tensor name 'a' occurs twice"},
    {"dtype twice",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"dtype\":\"I32\",\"data_offsets\":[0,8]}}", 8,
     "tensor 'a': 'dtype' stands twice"},
    {"shape twice, escaped",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"\\u0073hape\":[2],\"data_offsets\":[0,8]}}", 8,
     "tensor 'a': 'shape' stands twice"},
    {"no dtype", "{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     "tensor 'a': 'dtype' is missing"},
    {"no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "'shape' is missing"},
    {"no data_offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8,
     "'data_offsets' is missing"},
    {"unknown key",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"strides\":[1]}}", 8,
     "unknown key 'strides' (allowed: dtype, shape and data_offsets)"},
    {"entry no object", "{\"a\":[1]}", 0, "tensor 'a': its value must be an object"},
    {"entry null", "{\"a\":null}", 0, "tensor 'a': its value must be an object"},
    {"dtype unknown", "{" ENTRY("a", "F31", "[2]", "[0,8]") "}", 8,
     "tensor 'a': unknown dtype 'F31'"},
    {"dtype in small letters", "{" ENTRY("a", "f32", "[2]", "[0,8]") "}", 8, "unknown dtype 'f32'"},
    {"dtype only GGUF has", "{" ENTRY("a", "Q4_0", "[32]", "[0,18]") "}", 18,
     "unknown dtype 'Q4_0'"},
    {"dtype a number", "{\"a\":{\"dtype\":1,\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
     "dtype must be a string"},
    {"shape a number", "{" ENTRY("a", "F32", "2", "[0,8]") "}", 8, "shape must be an array"},
    {"dim a string", "{" ENTRY("a", "F32", "[\"2\"]", "[0,8]") "}", 8,
     "shape must hold whole numbers only"},
    {"dim an array", "{" ENTRY("a", "F32", "[[2]]", "[0,8]") "}", 8,
     "shape must hold whole numbers only"},
    {"dim -1", "{" ENTRY("a", "F32", "[-1]", "[0,8]") "}", 8,
     "shape holds -1 (allowed: whole numbers from 0 to 2^63-1"},
    {"dim 2.0", "{" ENTRY("a", "F32", "[2.0]", "[0,8]") "}", 8, "shape holds 2.0 (allowed:"},
    {"dim 1e3", "{" ENTRY("a", "F32", "[1e3]", "[0,4000]") "}", 4000, "shape holds 1e3 (allowed:"},
    {"dim -0", "{" ENTRY("a", "F32", "[-0]", "[0,0]") "}", 0, "shape holds -0 (allowed:"},
    {"dim 2^63", "{" ENTRY("a", "F32", "[9223372036854775808]", "[0,8]") "}", 8,
     "shape holds 9223372036854775808 (allowed:"},
    {"dim 2^64+2", "{" ENTRY("a", "F32", "[18446744073709551618]", "[0,8]") "}", 8,
     "shape holds 18446744073709551618 (allowed:"},
    {"65 dims",
     "{" ENTRY("a", "F32", "[" TEN "," TEN "," TEN "," TEN "," TEN "," TEN ",0,0,0,0,0]",
               "[0,0]") "}",
     0, "tensor 'a': shape has more than 64 dimensions"},
    {"elements overflow", "{" ENTRY("a", "F32", "[4294967296,4294967296]", "[0,0]") "}", 0,
     "more than 2^63 elements"},
    {"overflow hidden by a zero", "{" ENTRY("a", "F32", "[4294967296,4294967296,0]", "[0,0]") "}",
     0, "more than 2^63 elements"},
    {"bytes overflow", "{" ENTRY("a", "F64", "[2305843009213693953]", "[0,8]") "}", 8,
     "not a whole number of bytes below 2^64"},
    {"size too small", "{" ENTRY("a", "F32", "[3]", "[0,8]") "}", 8,
     "has 12 bytes, but data_offsets [0, 8]"},
    {"size too large", "{" ENTRY("a", "F32", "[]", "[0,8]") "}", 8,
     "has 4 bytes, but data_offsets [0, 8]"},
    {"odd count of F4", "{" ENTRY("a", "F4", "[3]", "[0,2]") "}", 2,
     "is not a whole number of bytes"},
    {"odd count of F6", "{" ENTRY("a", "F6_E2M3", "[2]", "[0,2]") "}", 2,
     "is not a whole number of bytes"},
    {"offsets one number", "{" ENTRY("a", "F32", "[2]", "[0]") "}", 8,
     "data_offsets must hold whole numbers only"},
    {"offsets three numbers", "{" ENTRY("a", "F32", "[2]", "[0,8,8]") "}", 8,
     "data_offsets must hold two numbers"},
    {"offsets an object", "{" ENTRY("a", "F32", "[2]", "{}") "}", 8,
     "data_offsets must be an array"},
    {"end before begin", "{" ENTRY("a", "F32", "[2]", "[8,0]") "}", 8,
     "data_offsets [8, 0] end before they begin"},
    {"end 1e1", "{" ENTRY("a", "F32", "[2]", "[0,0.8e1]") "}", 8,
     "data_offsets holds 0.8e1 (allowed:"},
    {"end beyond the file", "{" ENTRY("a", "F32", "[2]", "[0,8]") "}", 7,
     "the file has 7 bytes of data: is it truncated?"},
    {"2^53+1 is not 2^53", "{" ENTRY("a", "I8", "[9007199254740992]", "[0,9007199254740993]") "}",
     8, "has 9007199254740992 bytes, but data_offsets [0, 9007199254740993]"},
    {"end 2^64", "{" ENTRY("a", "I8", "[8]", "[0,18446744073709551616]") "}", 8,
     "data_offsets holds 18446744073709551616 (allowed:"},
    {"begin -0", "{" ENTRY("a", "I8", "[8]", "[-0,8]") "}", 8, "data_offsets holds -0 (allowed:"},
    {"end near 2^63", "{" ENTRY("a", "I8", "[9223372036854775807]", "[0,9223372036854775807]") "}",
     8, "is it truncated?"},
    {"not from 0", "{" ENTRY("a", "F32", "[2]", "[4,12]") "}", 12,
     "tensor 'a' begins at data offset 4, leaving a hole"},
    {"a hole", "{" F32_2 "," ENTRY("b", "F32", "[2]", "[9,17]") "}", 17,
     "tensor 'b' begins at data offset 9, leaving a hole"},
    {"an overlap", "{" F32_2 "," ENTRY("b", "F32", "[2]", "[4,12]") "}", 12,
     "tensor 'b' begins at data offset 4, leaving an overlap"},
    {"the same place", "{" F32_2 "," ENTRY("b", "F32", "[2]", "[0,8]") "}", 8,
     "leaving an overlap; it must begin at 8"},
    {"an empty tensor inside", "{" F32_2 "," ENTRY("b", "F32", "[0]", "[4,4]") "}", 8,
     "leaving an overlap"},
    {"an empty tensor behind", "{" F32_2 "," ENTRY("b", "F32", "[0]", "[9,9]") "}", 9,
     "leaving a hole"},
    {"trailing bytes", "{" F32_2 "}", 13, "5 trailing bytes follow the last tensor"},
    {"trailing bytes and no tensor", "{}", 1, "1 trailing bytes"},
    {"metadata no object", "{\"__metadata__\":[],\"b\":{}}", 0, "__metadata__ must be an object"},
    {"metadata a number", "{\"__metadata__\":{\"step\":3}}", 0,
     "__metadata__ key 'step' must have a string"},
    {"metadata nested", "{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", 0,
     "__metadata__ key 'a' must have a string"},
    {"metadata key twice", "{\"__metadata__\":{\"a\":\"1\",\"\\u0061\":\"2\"}}", 0,
     "__metadata__ key 'a' stands twice"},
    {"metadata twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ stands twice"},
    {"metadata twice, escaped", "{\"__metadata__\":{},\"__meta\\u0064ata__\":{}}", 0,
     "__metadata__ stands twice"},
    {"name shown escaped", "{" ENTRY("x\\n\\u001b", "F31", "[]", "[0,4]") "}", 4,
     "tensor 'x\\x0A\\x1B': unknown dtype"},
};

static void test_malformed(void **state)
{
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        lort_buffer b = new_buffer();
        put_safetensors(&b, malformed[i].json, malformed[i].data_bytes);
        expect_refusal(malformed[i].name, b.data, b.size, malformed[i].expected);
        lort_buffer_free(&b);
    }
}

/* Puts a length of n before the text. It calls the parser itself, because LoRT may not recognise
 * the format of such a file. */
static void refuse_length(uint64_t n, const char *text, const char *expected)
{
    lort_buffer b = new_buffer();
    lort_header h;
    lort_error err = {0};
    uint64_t wanted;
    lort_put_u64(&b, n);
    lort_put_bytes(&b, text, strlen(text));
    lort_code code =
        lort_format_safetensors.parse(b.data, b.size, b.size, &lort_alloc_heap, &h, &wanted, &err);
    if (code != LORT_E_INPUT || !strstr(err.message, expected))
        fail_msg("length %llu: %d \"%s\"", (unsigned long long)n, code, err.message);
    assert_int_equal(wanted, 0);
    assert_true(is_zero(&h, sizeof h));
    assert_int_equal(lort_header_parse(b.data, b.size, b.size, &lort_alloc_heap, &h, &wanted, &err),
                     LORT_E_INPUT);
    lort_buffer_free(&b);
}

static void test_lengths(void **state)
{
    lort_header h;
    lort_error err;
    uint64_t wanted = 99;
    assert_int_equal(lort_format_safetensors.parse(NULL, 0, 0, &lort_alloc_heap, &h, &wanted, &err),
                     LORT_E_INPUT);
    assert_int_equal(wanted, 0);
    assert_non_null(strstr(err.message, "too short"));
    refuse_length(0, "{}", "header length 0 at offset 0; 2 to 100000000 bytes are allowed");
    refuse_length(1, "{", "header length 1 at offset 0");
    refuse_length(1ull << 63, "{}", "header length 9223372036854775808");
    refuse_length(UINT64_MAX, "{}", "header length 18446744073709551615");
    refuse_length(100000001, "{}", "header length 100000001");
    refuse_length(3, "{}", "header length 3 at offset 0 exceeds the 2 bytes that follow");
    refuse_length(100000000, "{}", "exceeds the 2 bytes that follow");
}

static void test_depth(void **state)
{
    char *json = malloc(100002);
    memset(json, '[', 100001);
    memcpy(json, "{\"a\":", 5);
    json[100001] = 0;
    lort_buffer b = new_buffer();
    put_safetensors(&b, json, 0);
    expect_refusal("nested 100000 deep", b.data, b.size, "tensor 'a': its value must be an object");
    lort_buffer_free(&b);
    free(json);
}

/* A shape of 2 million zeros looks legal. The parser refuses it before it takes memory of that
 * size. */
static void test_shape_bomb(void **state)
{
    lort_buffer b = new_buffer();
    lort_put_u64(&b, 0);
    lort_put_text(&b, "{\"a\":{\"dtype\":\"F32\",\"shape\":[0");
    for (int i = 0; i < 2000000; i++)
        lort_put_bytes(&b, ",0", 2);
    lort_put_text(&b, "],\"data_offsets\":[0,0]}}");
    lort_store_u64(b.data, b.size - 8);
    failing counts = {0};
    lort_alloc alloc = FAILING_ALLOC(counts);
    lort_header h;
    uint64_t wanted;
    assert_int_equal(lort_header_parse(b.data, b.size, b.size, &alloc, &h, &wanted, NULL),
                     LORT_E_INPUT);
    assert_int_equal(counts.taken, 0);
    lort_buffer_free(&b);
}

/* --- accepted --- */

static const char sample_json[] = "{" ENTRY(
    "late", "F16", "[3,2]",
    "[20,32]") ", \"__metadata__\" : {\"format\":\"pt\", "
               "\"a\\nb\":\"\\u00e9\"},\n" ENTRY("a\\u0000b", "F32", "[]", "[0,4]") "," ENTRY(
                   "\xc3\xa9/../x", "BF16", "[0,7]",
                   "[4,4]") "," ENTRY("plain", "F32", "[2,1,2]", "[4,20]") "," ENTRY("", "I64",
                                                                                     "[0]",
                                                                                     "[32,"
                                                                                     "32]") "}    ";

static void test_sample(void **state)
{
    static const char *const order[] = {"a", "\xc3\xa9/../x", "plain", "late", ""};
    lort_buffer b = new_buffer();
    put_safetensors(&b, sample_json, 32);
    lort_header h = accept(&b);
    assert_int_equal(h.header_bytes, b.size - 32);
    assert_int_equal(h.version, 1);
    assert_int_equal(h.alignment, 1);
    assert_int_equal(h.gaps, 0);
    assert_int_equal(h.index.count, 5);
    for (int i = 0; i < 5; i++)
        /* The comparison of the first name ends at its NUL. */
        assert_string_equal(h.index.tensors[i].name, order[i]);
    const lort_tensor *t = lort_index_find(&h.index, "late", 4);
    assert_int_equal(t->offset, h.header_bytes + 20);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], 3);
    assert_int_equal(t->dims[1], 2);
    assert_int_equal(t->elements, 6);
    assert_ptr_equal(t->type, lort_dtype_get(LORT_F16));
    assert_int_equal(lort_index_find(&h.index, "a\0b", 3)->elements, 1);
    assert_int_equal(h.kv_count, 2);
    assert_string_equal(lort_header_find(&h, "format")->text_copy, "pt");
    const lort_kv *kv = lort_header_find(&h, "a\nb");
    assert_int_equal(kv->kind, LORT_KV_TEXT);
    assert_string_equal(kv->text_copy, "\xc3\xa9");
    assert_int_equal(kv->v.text.bytes, 6); /* bytes in the file, still escaped */
    assert_memory_equal(b.data + kv->v.text.at, "\\u00e9", 6);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

static void test_every_dtype(void **state)
{
    for (uint32_t i = 0; lort_dtype_at(i); i++) {
        const lort_dtype_info *type = lort_dtype_at(i);
        char json[200];
        uint64_t bytes;
        if (!type->in_safetensors)
            continue;
        assert_true(lort_dtype_bytes(type, 12, &bytes));
        snprintf(json, sizeof json,
                 "{\"x\":{\"dtype\":\"%s\",\"shape\":[3,4],\"data_offsets\":[0,%llu]}}", type->name,
                 (unsigned long long)bytes);
        lort_buffer b = new_buffer();
        put_safetensors(&b, json, bytes);
        lort_header h = accept(&b);
        assert_ptr_equal(h.index.tensors[0].type, type);
        lort_header_free(&h);
        lort_buffer_free(&b);
    }
}

static void test_no_tensors(void **state)
{
    lort_buffer b = new_buffer(), again;
    put_safetensors(&b, "{}", 0);
    lort_header h = accept(&b);
    assert_int_equal(h.index.count, 0);
    assert_false(rewrite_as(&h, b.data, NULL, &again)); /* the new header is padded */
    assert_int_equal(again.size, 16);
    lort_buffer_free(&again);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

/* --- every length, every allocation, every amount at hand --- */

static void test_truncated(void **state)
{
    lort_buffer b = new_buffer();
    put_safetensors(&b, sample_json, 32);
    expect_truncations(b.data, b.size);
    /* The text is cut; its length is right. */
    for (uint64_t n = 0; n < 8 + strlen(sample_json); n++) {
        lort_store_u64(b.data, n);
        lort_header h;
        lort_error err;
        assert_int_equal(parse_all(b.data, 8 + n, &h, &err), LORT_E_INPUT);
    }
    lort_buffer_free(&b);
}

static void test_memory(void **state)
{
    lort_buffer b = new_buffer();
    put_safetensors(&b, sample_json, 32);
    expect_memory_failures(b.data, b.size);
    lort_buffer_free(&b);
}

static void test_changed_meanwhile(void **state)
{
    lort_buffer b = new_buffer();
    put_safetensors(&b, sample_json, 32);
    expect_no_harm(b.data, b.size, b.size - 32);
    lort_buffer_free(&b);
}

static lort_buffer many(uint64_t n, bool backwards)
{
    lort_buffer b = new_buffer();
    lort_put_u64(&b, 0);
    lort_put_text(&b, "{");
    for (uint64_t i = 0; i < n; i++) {
        unsigned long long at = 2 * (backwards ? n - 1 - i : i);
        lort_put_text(
            &b, "%s\"model.%llu.w\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[%llu,%llu]}",
            i ? "," : "", (unsigned long long)i, at, at + 2);
    }
    lort_put_text(&b, "}");
    lort_store_u64(b.data, b.size - 8);
    lort_put_zeros(&b, 2 * n);
    return b;
}

static void test_growth(void **state)
{
    lort_buffer b = many(2000, false);
    expect_growth(b.data, b.size, 3); /* with no bytes, with the head, with the whole file */
    lort_buffer_free(&b);
}

static void test_many(void **state)
{
    lort_buffer b = many(200000, true);
    failing counts = {0};
    lort_alloc alloc = FAILING_ALLOC(counts);
    lort_header h;
    uint64_t wanted;
    assert_int_equal(lort_header_parse(b.data, b.size, b.size, &alloc, &h, &wanted, NULL), LORT_OK);
    assert_int_equal(h.index.count, 200000);
    for (uint64_t i = 1; i < h.index.count; i++)
        assert_true(h.index.tensors[i].offset == h.index.tensors[i - 1].offset + 2);
    assert_true(counts.peak_bytes < 8 * h.header_bytes);
    lort_header_free(&h);
    assert_int_equal(counts.out_blocks, 0);
    lort_buffer_free(&b);
}

/* --- rewriting --- */

static void test_rewrite(void **state)
{
    lort_buffer b = new_buffer(), again, third;
    put_safetensors(&b, sample_json, 32);
    lort_header h = accept(&b), other;
    uint64_t size, wanted;
    rewrite_as(&h, b.data, lort_dtype_get(LORT_F16), &again);
    assert_int_equal(again.size % 8, 0);
    static const char expected[] = "{" ENTRY(
        "late", "F16", "[3,2]",
        "[10,22]") ",\"__metadata__\":{\"format\":\"pt\", "
                   "\"a\\nb\":\"\\u00e9\"}," ENTRY("a\\u0000b", "F16", "[]", "[0,2]") "," ENTRY(
                       "\xc3\xa9/../x", "F16", "[0,7]",
                       "[2,2]") "," ENTRY("plain", "F16", "[2,1,2]", "[2,10]") "," ENTRY("",
                                                                                         "I6"
                                                                                         "4",
                                                                                         "[0"
                                                                                         "]",
                                                                                         "[22"
                                                                                         ",22"
                                                                                         "]") "}";
    assert_memory_equal(again.data + 8, expected, strlen(expected));
    size = again.size + 22;
    lort_put_zeros(&again, 22);
    assert_int_equal(
        lort_header_parse(again.data, size, size, &lort_alloc_heap, &other, &wanted, NULL),
        LORT_OK);
    /* A header that LoRT wrote stays equal. */
    assert_true(rewrite_as(&other, again.data, NULL, &third));
    lort_buffer_free(&third);
    lort_header_free(&other);
    lort_buffer_free(&again);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

static void test_rewrite_refuses(void **state)
{
    lort_buffer b = new_buffer(), out = new_buffer();
    put_safetensors(&b, "{" F32_2 "}", 8);
    lort_header h = accept(&b);
    const lort_dtype_info *type = lort_dtype_get(LORT_Q8_0);
    uint64_t offset, size;
    lort_error err = {0};
    assert_int_equal(h.format->rewrite(&h, b.data, &type, &out, &offset, &size, &err),
                     LORT_E_USAGE);
    assert_non_null(strstr(err.message, "'a' cannot be written to a safetensors file as Q8_0"));
    assert_int_equal(size, 0);
    type = lort_dtype_get(LORT_F32);
    for (uint64_t n = 1; n <= 2; n++) {
        failing counts = {.fail_at = n};
        lort_alloc alloc = FAILING_ALLOC(counts);
        lort_buffer refused = {.alloc = &alloc};
        assert_int_equal(h.format->rewrite(&h, b.data, &type, &refused, &offset, &size, NULL),
                         LORT_E_MEMORY);
        lort_buffer_free(&refused);
        assert_int_equal(counts.out_blocks, 0);
    }
    lort_buffer_free(&out);
    lort_header_free(&h);
    lort_buffer_free(&b);
}

/* --- real files --- */

static const struct real {
    const char *path;
    const char *refusal; /* NULL: accepted */
    uint64_t tensors, pairs;
} reals[] = {
    {"tinystories-656k-safetensors/model.safetensors", NULL, 20, 2},
    {"tinystories-656k-sharded/model-00001-of-00002.safetensors", NULL, 10, 1},
    {"tinystories-656k-sharded/model-00002-of-00002.safetensors", NULL, 10, 1},
    {"gguf-variants/stories260K-f32.safetensors", NULL, 48, 1},
    {"kjv-3m/hf/model-00001-of-00002.safetensors", NULL, 19, 1},
    {"kjv-3m/hf/model-00002-of-00002.safetensors", NULL, 20, 1},
    {"gpt2-attn-bf16-sharded/model-00001-of-00004.safetensors", NULL, 42, 1},
    {"gpt2-attn-bf16-sharded/model-00002-of-00004.safetensors", NULL, 43, 1},
    {"gpt2-attn-bf16-sharded/model-00003-of-00004.safetensors", NULL, 43, 1},
    {"gpt2-attn-bf16-sharded/model-00004-of-00004.safetensors", NULL, 43, 1},
    {"lora-gpt2/adapter_model.safetensors", NULL, 25, 1},
    {"edge/overall.safetensors", NULL, 9, 1},
    {"edge/b.safetensors", NULL, 1, 1},
    {"edge/d.safetensors", NULL, 1, 1},
    {"edge/e.safetensors", NULL, 1, 1},
    {"edge/f.safetensors", NULL, 1, 1},
    {"edge/h.safetensors", NULL, 1, 1},
    {"edge/i.safetensors", NULL, 1, 1},
    {"edge/upper_B.safetensors", NULL, 1, 1},
    {"edge/upper_H.safetensors", NULL, 1, 1},
    {"edge/upper_I.safetensors", NULL, 1, 1},
    {"edge/tiny.safetensors", "5 trailing bytes", 0, 0},
};

static void check_real(const struct real *real, const uint8_t *data, uint64_t size)
{
    lort_buffer again;
    if (real->refusal) {
        expect_refusal(real->path, data, size, real->refusal);
        return;
    }
    lort_header h = accept_model(real->path, data, size);
    assert_int_equal(h.index.count, real->tensors);
    assert_int_equal(h.kv_count, real->pairs);
    bool same = rewrite_as(&h, data, NULL, &again);
    assert_true(same || h.header_bytes % 8); /* a writer that pads to 8 writes as LoRT does */
    lort_buffer_free(&again);
    rewrite_as(&h, data, lort_dtype_get(LORT_F16), &again);
    lort_buffer_free(&again);
    lort_header_free(&h);
    expect_growth(data, size, 3);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_malformed),       cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_depth),           cmocka_unit_test(test_shape_bomb),
        cmocka_unit_test(test_sample),          cmocka_unit_test(test_every_dtype),
        cmocka_unit_test(test_no_tensors),      cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_memory),          cmocka_unit_test(test_changed_meanwhile),
        cmocka_unit_test(test_growth),          cmocka_unit_test(test_many),
        cmocka_unit_test(test_rewrite),         cmocka_unit_test(test_real_files),
        cmocka_unit_test(test_rewrite_refuses),
    };
    return run_chosen(tests, NULL, NULL);
}
