/* Compares the table, row by row, with the sizes in the documents of ggml and safetensors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/types/dtype.h"
#include "formats/types/half.h"
#include "formats/types/opaque.h"
#include "tests/unit/main.h"
#include <math.h>
#include <string.h>

/* ggml: id, name, elements and bytes of a block, and whether LoRT decodes it. */
static const struct {
    uint32_t id;
    const char *name;
    uint32_t elements, bytes;
    bool decodes;
} ggml_types[] = {
    {0, "F32", 1, 4, true},          {1, "F16", 1, 2, true},
    {2, "Q4_0", 32, 18, true},       {3, "Q4_1", 32, 20, true},
    {6, "Q5_0", 32, 22, true},       {7, "Q5_1", 32, 24, true},
    {8, "Q8_0", 32, 34, true},       {9, "Q8_1", 32, 36, false},
    {10, "Q2_K", 256, 84, true},     {11, "Q3_K", 256, 110, true},
    {12, "Q4_K", 256, 144, true},    {13, "Q5_K", 256, 176, true},
    {14, "Q6_K", 256, 210, true},    {15, "Q8_K", 256, 292, false},
    {16, "IQ2_XXS", 256, 66, false}, {17, "IQ2_XS", 256, 74, false},
    {18, "IQ3_XXS", 256, 98, false}, {19, "IQ1_S", 256, 50, false},
    {20, "IQ4_NL", 32, 18, true},    {21, "IQ3_S", 256, 110, false},
    {22, "IQ2_S", 256, 82, false},   {23, "IQ4_XS", 256, 136, true},
    {24, "I8", 1, 1, false},         {25, "I16", 1, 2, false},
    {26, "I32", 1, 4, false},        {27, "I64", 1, 8, false},
    {28, "F64", 1, 8, true},         {29, "IQ1_M", 256, 56, false},
    {30, "BF16", 1, 2, true},        {34, "TQ1_0", 256, 54, true},
    {35, "TQ2_0", 256, 66, true},    {39, "MXFP4", 32, 17, true},
    {40, "NVFP4", 64, 36, true},     {41, "Q1_0", 128, 18, true},
    {42, "Q2_0", 64, 18, true},
};

/* safetensors: name and bits of an element. */
static const struct {
    const char *name;
    uint32_t bits;
} safetensors_types[] = {
    {"BOOL", 8}, {"F4", 4},          {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},
    {"I8", 8},   {"F8_E5M2", 8},     {"F8_E4M3", 8}, {"F8_E8M0", 8},     {"I16", 16},
    {"U16", 16}, {"F8_E4M3FNUZ", 8}, {"F16", 16},    {"F8_E5M2FNUZ", 8}, {"BF16", 16},
    {"I32", 32}, {"U32", 32},        {"F32", 32},    {"C64", 64},        {"I64", 64},
    {"U64", 64}, {"F64", 64},
};

enum { GGML_TYPES = sizeof ggml_types / sizeof ggml_types[0] };
enum { SAFETENSORS_TYPES = sizeof safetensors_types / sizeof safetensors_types[0] };

static void ggml_types_are_complete(void **state)
{
    for (uint32_t i = 0; i < GGML_TYPES; i++) {
        const lort_dtype_info *type = lort_dtype_get(ggml_types[i].id);
        assert_non_null(type);
        assert_string_equal(type->name, ggml_types[i].name);
        assert_int_equal(type->id, ggml_types[i].id);
        assert_int_equal(type->block_elements, ggml_types[i].elements);
        assert_true(type->block_elements <= LORT_BLOCK_ELEMENTS_MAX);
        assert_int_equal(type->block_bytes, ggml_types[i].bytes);
        assert_int_equal(type->decode != NULL, ggml_types[i].decodes);
        assert_true(type->in_gguf);
        assert_int_equal(type->kind == LORT_KIND_BLOCK, ggml_types[i].elements > 1);
    }
    uint32_t listed = 0;
    for (uint32_t i = 0; lort_dtype_at(i); i++)
        listed += lort_dtype_at(i)->in_gguf;
    assert_int_equal(listed, GGML_TYPES);
}

static void safetensors_types_are_complete(void **state)
{
    assert_int_equal(SAFETENSORS_TYPES, 22);
    for (uint32_t i = 0; i < SAFETENSORS_TYPES; i++) {
        const char *name = safetensors_types[i].name;
        const lort_dtype_info *type = lort_dtype_by_name(name, strlen(name));
        assert_non_null(type);
        assert_true(type->in_safetensors);
        assert_int_equal(type->block_bytes * 8, type->block_elements * safetensors_types[i].bits);
        assert_int_equal(type->id < 128, type->in_gguf);
    }
    uint32_t listed = 0;
    for (uint32_t i = 0; lort_dtype_at(i); i++)
        listed += lort_dtype_at(i)->in_safetensors;
    assert_int_equal(listed, 22);
}

static void rows_are_sound(void **state)
{
    for (uint32_t i = 0; lort_dtype_at(i); i++) {
        const lort_dtype_info *type = lort_dtype_at(i);
        assert_ptr_equal(lort_dtype_get(type->id), type);
        assert_ptr_equal(lort_dtype_by_name(type->name, strlen(type->name)), type);
        assert_true(type->in_gguf || type->in_safetensors);
        assert_true(type->plane_width >= 1 && type->block_bytes % type->plane_width == 0);
        assert_true(!type->rotate || type->plane_width == 2 || type->plane_width == 4 ||
                    type->plane_width == 8);
        assert_true(type->kind != LORT_KIND_FLOAT ||
                    (type->rotate && type->plane_width == type->block_bytes));
        assert_true((type->kind != LORT_KIND_FLOAT && type->kind != LORT_KIND_F8) || type->decode);
        assert_true(type->kind != LORT_KIND_OTHER || !type->decode);
    }
    assert_int_equal(lort_dtype_get(LORT_C64)->plane_width, 4);
    assert_int_equal(lort_dtype_get(LORT_Q4_K)->plane_width, 144);
    assert_int_equal(lort_dtype_get(LORT_F8_E4M3)->kind, LORT_KIND_F8);
    assert_int_equal(lort_dtype_get(LORT_U16)->rotate, false);
}

static void opaque_types(void **state)
{
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_opaque_rows rows = {{NULL}};
    const lort_dtype_info *a, *b, *c, *again;
    uint64_t bytes;
    assert_int_equal(lort_opaque_row(&rows, 156, &arena, &a, NULL), LORT_OK);
    assert_int_equal(lort_opaque_row(&rows, 156 + LORT_OPAQUE_RECENT, &arena, &b, NULL), LORT_OK);
    assert_int_equal(lort_opaque_row(&rows, 65535, &arena, &c, NULL), LORT_OK);
    assert_int_equal(lort_opaque_row(&rows, 65535, &arena, &again, NULL), LORT_OK);
    assert_ptr_equal(c, again);
    assert_string_equal(a->name, "type156");
    assert_string_equal(b->name, "type220");
    assert_string_equal(c->name, "type65535");
    assert_int_equal(a->id, LORT_OPAQUE + 156);
    assert_int_equal(lort_ggml_id(c), 65535);
    assert_int_equal(lort_ggml_id(lort_dtype_get(LORT_Q4_K)), 12);
    assert_true(a->kind == LORT_KIND_OPAQUE && !a->decode && a->in_gguf && !a->in_safetensors);
    assert_int_equal(lort_dtype_get(LORT_OPAQUE + 156)->kind, LORT_KIND_OPAQUE);
    assert_true(lort_dtype_bytes(a, 17, &bytes) && bytes == 17);
    lort_arena_free(&arena);
}

static void unknown_ids_and_names(void **state)
{
    static const uint32_t gone[] = {4, 5, 31, 32, 33, 36, 37, 38};
    for (uint32_t i = 0; i < 8; i++)
        assert_null(lort_dtype_get(gone[i]));
    assert_null(lort_dtype_get(43));
    assert_null(lort_dtype_get(LORT_OPAQUE - 1));
    assert_null(lort_dtype_get(LORT_OPAQUE + LORT_OPAQUE_IDS));
    assert_null(lort_dtype_get(UINT32_MAX));
    assert_null(lort_dtype_by_name("f32", 3));
    assert_null(lort_dtype_by_name("F32x", 4));
    assert_null(lort_dtype_by_name("F3", 2));
    assert_null(lort_dtype_by_name("", 0));
    assert_null(lort_dtype_by_name("F32\0", 4));
    assert_int_equal(lort_dtype_by_name("F32x", 3)->id, LORT_F32); /* a name needs no NUL */
}

static void counts_bytes(void **state)
{
    uint64_t bytes = 7;
    assert_true(lort_dtype_bytes(lort_dtype_get(LORT_Q4_K), 512, &bytes));
    assert_int_equal(bytes, 288);
    assert_true(lort_dtype_bytes(lort_dtype_get(LORT_F6_E2M3), 8, &bytes));
    assert_int_equal(bytes, 6);
    assert_true(lort_dtype_bytes(lort_dtype_get(LORT_F32), 0, &bytes));
    assert_int_equal(bytes, 0);
    assert_true(lort_dtype_bytes(lort_dtype_get(LORT_F64), UINT64_MAX / 8, &bytes));
    assert_false(lort_dtype_bytes(lort_dtype_get(LORT_F64), UINT64_MAX / 8 + 1, &bytes));
    assert_false(lort_dtype_bytes(lort_dtype_get(LORT_Q4_0), 33, &bytes));
    assert_false(lort_dtype_bytes(lort_dtype_get(LORT_F4), 1, &bytes));
}

static void finds_the_first_nonfinite(void **state)
{
    static const uint32_t bad[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffffffff};
    float values[201];
    for (uint64_t i = 0; i < 201; i++)
        values[i] = i % 2 ? 3.4e38f : -1e-42f;
    for (uint64_t n = 0; n <= 201; n++)
        assert_int_equal(lort_find_nonfinite(values, n), n);
    for (uint64_t at = 0; at < 201; at++) {
        const float kept = values[at];
        memcpy(values + at, bad + at % 5, 4);
        assert_int_equal(lort_find_nonfinite(values, 201), at);
        assert_int_equal(lort_find_nonfinite(values, at), at);
        values[at] = kept;
    }
    values[70] = values[199] = INFINITY;
    assert_int_equal(lort_find_nonfinite(values, 201), 70);
}

static void encodes_three_types(void **state)
{
    assert_ptr_equal(lort_dtype_encoder(LORT_F32), lort_store_f32);
    assert_ptr_equal(lort_dtype_encoder(LORT_F16), lort_store_f16);
    assert_ptr_equal(lort_dtype_encoder(LORT_BF16), lort_store_bf16);
    assert_null(lort_dtype_encoder(LORT_F64));
    assert_null(lort_dtype_encoder(LORT_Q8_0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ggml_types_are_complete),
        cmocka_unit_test(safetensors_types_are_complete),
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(opaque_types),
        cmocka_unit_test(unknown_ids_and_names),
        cmocka_unit_test(counts_bytes),
        cmocka_unit_test(finds_the_first_nonfinite),
        cmocka_unit_test(encodes_three_types),
    };
    return run_chosen(tests, NULL, NULL);
}
