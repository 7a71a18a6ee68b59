/* Tests the coder of differences, and the gate of what records say of a base. */
#include "formats/base/bytes.h"
#include "formats/container/base.h"
#include "formats/container/difference.h"
#include "tests/unit/main.h"
#include <stdlib.h>
#include <string.h>

#define COUNT 5000u
static lort_difference_space space;

/* Pseudo-random bytes: the same on each machine. */
static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void fill(uint8_t *bytes, size_t n, uint32_t seed)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = (uint8_t)next(&seed);
}

/* Codes src against base and back. Returns the bytes of the body. */
static uint64_t both_ways(lort_dtype id, const uint8_t *src, const uint8_t *base, uint64_t bytes)
{
    const lort_dtype_info *type = lort_dtype_get(id);
    const uint64_t most = 4 * bytes + 64;
    uint8_t *body = malloc(most), *data = malloc(bytes);
    lort_error err = {0};
    const uint64_t n = lort_difference_encode(type, src, base, bytes, body, most, &space);
    assert_true(n < most);
    memcpy(data, base, bytes);
    assert_int_equal(lort_difference_decode(type, body, n, data, bytes, &space, &err), LORT_OK);
    assert_memory_equal(data, src, bytes);
    free(body);
    free(data);
    return n;
}

static void all_bits_of_every_type_come_back(void **state)
{
    const lort_dtype types[] = {LORT_F32,  LORT_F16, LORT_BF16, LORT_F64,
                                LORT_Q8_0, LORT_I16, LORT_U8};
    uint8_t a[8 * 340], b[sizeof a];
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (uint32_t seed = 1; seed < 20; seed++) {
            fill(a, sizeof a, seed);
            fill(b, sizeof b, seed + 100);
            both_ways(types[t], a, b, sizeof a);
            assert_int_equal(both_ways(types[t], a, a, sizeof a), 0);
        }
}

/* Every bf16 number against neighbours, zeros of both signs, and the numbers farthest away. */
static void all_bf16_numbers_come_back(void **state)
{
    static const uint16_t others[] = {0, 0x8000, 0x7f80, 0xff80, 0x7fff, 0xffff, 1, 0x8001};
    uint8_t *a = malloc(2 * 65536), *b = malloc(2 * 65536);
    for (size_t k = 0; k < sizeof others / sizeof *others + 2; k++) {
        for (uint32_t i = 0; i < 65536; i++) {
            lort_store_u16(a + 2 * i, (uint16_t)i);
            lort_store_u16(b + 2 * i, k < sizeof others / sizeof *others ? others[k]
                                      : k % 2                            ? (uint16_t)(i + 1)
                                                                         : (uint16_t)(i ^ 0x8000));
        }
        both_ways(LORT_BF16, a, b, 2 * 65536);
        both_ways(LORT_F16, a, b, 2 * 65536);
        both_ways(LORT_BF16, b, a, 2 * 65536);
    }
    free(a);
    free(b);
}

static void one_step_costs_about_its_entropy(void **state)
{
    uint8_t *a = malloc(2 * 400000), *b = malloc(2 * 400000);
    uint32_t seed = 7;
    for (uint32_t i = 0; i < 400000; i++) {
        const uint16_t bits = (uint16_t)(0x3c00 + next(&seed) % 0x300);
        lort_store_u16(b + 2 * i, bits);
        lort_store_u16(a + 2 * i, next(&seed) % 50 ? bits : (uint16_t)(bits + 1));
    }
    /* h(1/50) = 0.1414 bits of 16 */
    assert_true(both_ways(LORT_BF16, a, b, 2 * 400000) < 400000 / 8 * 0.1414 * 1.1);
    free(a);
    free(b);
}

static void a_body_has_at_most_the_room_that_it_gets(void **state)
{
    const lort_dtype_info *type = lort_dtype_get(LORT_BF16);
    uint8_t a[2000], b[sizeof a], body[512];
    fill(a, sizeof a, 1);
    fill(b, sizeof b, 2);
    memset(body, 0x5a, sizeof body);
    for (uint64_t most = 0; most < 300; most++) {
        assert_true(lort_difference_encode(type, a, b, sizeof a, body, most, &space) == UINT64_MAX);
        assert_int_equal(body[most], 0x5a);
        memset(body, 0x5a, sizeof body);
    }
}

/* Any body is decoded or refused: no byte of it is believed. */
static void bodies_that_lie_are_refused(void **state)
{
    const lort_dtype_info *type = lort_dtype_get(LORT_BF16);
    uint8_t a[COUNT], b[COUNT], body[2 * COUNT], data[COUNT];
    lort_error err = {0};
    unsigned refused = 0;
    fill(a, COUNT, 3);
    fill(b, COUNT, 4);
    const uint64_t n = lort_difference_encode(type, a, b, COUNT, body, sizeof body, &space);
    assert_true(n > 100 && n < sizeof body);
    for (uint64_t cut = 1; cut < n; cut += 37) { /* too short */
        memcpy(data, b, COUNT);
        assert_int_equal(lort_difference_decode(type, body, cut, data, COUNT, &space, &err),
                         LORT_E_DAMAGED);
    }
    body[n] = 0;
    memcpy(data, b, COUNT);
    assert_int_equal(lort_difference_decode(type, body, n + 1, data, COUNT, &space, &err),
                     LORT_E_DAMAGED);
    assert_non_null(strstr(err.message, "more than its elements need"));
    for (uint32_t seed = 0; seed < 300; seed++) { /* noise */
        fill(body, 900, seed + 50);
        memcpy(data, b, COUNT);
        refused += lort_difference_decode(type, body, 900, data, COUNT, &space, &err) != LORT_OK;
    }
    assert_true(refused > 250);
}

/* ---- records ---- */

static lort_code get_files(const lort_buffer *body, uint64_t bytes, lort_model_record *out,
                           lort_arena *arena, lort_error *err)
{
    lort_cursor c = lort_cursor_make(body->data, bytes, bytes, LORT_E_DAMAGED, err);
    *out = (lort_model_record){0};
    return lort_base_files_get(&c, arena, out, err);
}

static void files_of_a_base_come_back_and_lies_do_not(void **state)
{
    lort_base_file files[2] = {{"a-1.safetensors", 77, {{1, 2, 3}}}, {"a-2.safetensors", 5, {{4}}}};
    lort_model_record model = {.base = files, .base_count = 2}, back;
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_error err = {0};
    lort_base_files_put(&model, &body);
    assert_int_equal(get_files(&body, body.size, &back, &arena, &err), LORT_OK);
    assert_int_equal(back.base_count, 2);
    assert_string_equal(back.base[1].name, "a-2.safetensors");
    assert_int_equal(back.base[0].size, 77);
    assert_memory_equal(back.base[0].header.bytes, files[0].header.bytes, 16);
    for (uint64_t cut = 0; cut < body.size; cut++)
        assert_int_equal(get_files(&body, cut, &back, &arena, &err), LORT_E_DAMAGED);
    const char *const bad[] = {"", "../x", "/x", "a\\b", "con"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        files[0].name = bad[i];
        body.size = 0;
        lort_base_files_put(&model, &body);
        assert_int_equal(get_files(&body, body.size, &back, &arena, &err), LORT_E_DAMAGED);
    }
    files[0] = (lort_base_file){"x", 1ull << 63, {{0}}};
    body.size = 0;
    lort_base_files_put(&model, &body);
    assert_int_equal(get_files(&body, body.size, &back, &arena, &err), LORT_E_DAMAGED);
    lort_store_u32(body.data, 0);
    assert_int_equal(get_files(&body, body.size, &back, &arena, &err), LORT_E_DAMAGED);
    lort_store_u32(body.data, UINT32_MAX);
    assert_int_equal(get_files(&body, body.size, &back, &arena, &err), LORT_E_DAMAGED);
    lort_arena_free(&arena);
    lort_buffer_free(&body);
}

/* A part of 2 x 4 BF16 numbers whose one raw chunk is a difference. */
static lort_code get_part(lort_term *terms, uint32_t count, lort_dtype dtype, lort_error *err)
{
    int64_t dims[2] = {2, 4};
    const lort_dtype_info *type = lort_dtype_get(dtype);
    lort_chunk chunk = {.array = LORT_ARRAY_ID(LORT_ARRAY_RAW, 0),
                        .stored = 9,
                        .decoded = 8 * type->block_bytes,
                        .count = 8};
    lort_part part = {.tensor = true,
                      .name = "w",
                      .name_bytes = 1,
                      .dtype = dtype,
                      .n_dims = 2,
                      .dims = dims,
                      .slices = 1,
                      .source_bytes = 8 * type->block_bytes,
                      .has_error = true,
                      .terms = terms,
                      .term_count = count,
                      .chunks = &chunk,
                      .chunk_count = 1,
                      .payload_bytes = 9},
              back;
    lort_buffer body = {.alloc = &lort_alloc_heap};
    lort_arena arena = {.alloc = &lort_alloc_heap};
    lort_part_put(&part, &body);
    lort_code code = lort_part_get(body.data, body.size, &arena, &back, err);
    if (code == LORT_OK) {
        assert_non_null(lort_part_base(&back));
        assert_int_equal(lort_part_base(&back)->base.bytes, 99);
        assert_string_equal(lort_part_base(&back)->base.name, "base w");
    }
    lort_arena_free(&arena);
    lort_buffer_free(&body);
    return code;
}

static void the_term_of_a_base_stands_beside_others_only(void **state)
{
    uint32_t one = 1, none = 0, two = 2;
    const lort_dtype_info *bf16 = lort_dtype_get(LORT_BF16);
    const lort_term raw = {.kind = LORT_TERM_RAW,
                           .left = LORT_BF16,
                           .right = LORT_BF16,
                           .left_width = (uint16_t)bf16->plane_width,
                           .right_width = (uint16_t)bf16->plane_width,
                           .left_rotate = bf16->rotate,
                           .right_rotate = bf16->rotate,
                           .rank = &one};
    const lort_term base = {.kind = LORT_TERM_BASE,
                            .left = LORT_BF16,
                            .right = LORT_BF16,
                            .left_width = 1,
                            .right_width = 1,
                            .rank = &one,
                            .base = {"base w", 6, 99, {{9}}}};
    lort_error err = {0};
    lort_term terms[3] = {raw, base};
    assert_int_equal(get_part(terms, 2, LORT_BF16, &err), LORT_OK);
    terms[1].rank = &two; /* a rank above 1 */
    assert_int_equal(get_part(terms, 2, LORT_BF16, &err), LORT_E_DAMAGED);
    terms[1] = base;
    terms[1].left = terms[1].right = LORT_F16; /* another type */
    assert_int_equal(get_part(terms, 2, LORT_BF16, &err), LORT_E_DAMAGED);
    terms[1] = base;
    terms[1].left_width = terms[1].right_width = 2;
    assert_int_equal(get_part(terms, 2, LORT_BF16, &err), LORT_E_DAMAGED);
    terms[1] = base;
    terms[1].base.bytes = 1ull << 63;
    assert_int_equal(get_part(terms, 2, LORT_BF16, &err), LORT_E_DAMAGED);
    terms[1] = terms[2] = base; /* twice */
    assert_int_equal(get_part(terms, 3, LORT_BF16, &err), LORT_E_DAMAGED);
    terms[0].rank = &none; /* nothing but the base */
    assert_int_equal(get_part(terms, 2, LORT_BF16, &err), LORT_E_DAMAGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_bits_of_every_type_come_back),
        cmocka_unit_test(all_bf16_numbers_come_back),
        cmocka_unit_test(one_step_costs_about_its_entropy),
        cmocka_unit_test(a_body_has_at_most_the_room_that_it_gets),
        cmocka_unit_test(bodies_that_lie_are_refused),
        cmocka_unit_test(files_of_a_base_come_back_and_lies_do_not),
        cmocka_unit_test(the_term_of_a_base_stands_beside_others_only),
    };
    return run_chosen(tests, NULL, NULL);
}
