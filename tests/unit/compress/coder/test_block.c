/* Blocks as chunks: a reader decodes the values that the writer encoded. A damaged block is
 * refused, or decodes to something without harm. */
#define _XOPEN_SOURCE 700
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "compress/coder/block.h"
#include "formats/base/bytes.h"
#include "tests/unit/main.h"
#include "tests/unit/tiny_model.h"

#include <math.h>

static lort_codec *codec;

static int codec_up(void **state) { return lort_codec_open(1, &codec, NULL); }
static int codec_down(void **state)
{
    lort_codec_close(codec);
    return 0;
}

typedef struct block_case {
    lort_block block;
    lort_block_space space;
    lort_block_coded coded;
    uint8_t *codes;
    float *weights;
    size_t n;
} block_case;

static block_case case_open(int64_t rows, int64_t cols)
{
    block_case c = {.n = (size_t)(rows * cols),
                    .codes = malloc((size_t)(rows + cols)),
                    .weights = calloc((size_t)(rows * cols), sizeof(float))};
    const lort_block_need need = {.weights = rows * cols, .cols = cols, .write = true};
    assert_true(c.codes && c.weights);
    assert_int_equal(lort_block_space_open(&c.space, &lort_alloc_heap, &need, NULL), LORT_OK);
    assert_true(c.space.size == lort_block_space_bytes(&need));
    memset(c.codes, 128, (size_t)(rows + cols));
    c.block = (lort_block){
        .rows = rows, .cols = cols, .row_codes = c.codes, .col_codes = c.codes + rows, .mean2 = 1};
    return c;
}

static void case_close(block_case *c)
{
    lort_block_space_close(&c->space, &lort_alloc_heap);
    free(c->codes);
    free(c->weights);
}

/* Encodes c->weights. A reader decodes exactly the values from the chunk that the writer reported.
 */
static void check_round_trip(block_case *c, float step)
{
    lort_block read = c->block;
    lort_block_need need = {.weights = (int64_t)c->n, .cols = c->block.cols};
    lort_block_space space;
    lort_error err = {0};
    double norm2 = 0;
    lort_block_classes(&c->block);
    memcpy(c->space.weights, c->weights, c->n * sizeof(float));
    const double measured = lort_block_measure(&c->block, step, &c->space);
    if (lort_block_encode(&c->block, step, codec, &c->space, &c->coded, &err))
        fail_msg("%s", err.message);
    assert_memory_equal(c->space.weights, c->weights, c->n * sizeof(float));
    for (size_t i = 0; i < c->n; i++)
        norm2 += (double)c->weights[i] * c->weights[i];
    /* two roundings of f32, and the error that the level of a cut weight adds */
    if (!(fabs(sqrt(c->coded.error2) - sqrt(measured)) <=
          3e-7 * sqrt(norm2) + 1e-5 * sqrt(measured)))
        fail_msg("%g is coded, %g was measured, of %g", sqrt(c->coded.error2), sqrt(measured),
                 sqrt(norm2));
    assert_true(c->coded.stored <=
                lort_block_coded_bound(&(lort_block_need){
                    .weights = (int64_t)c->n, .cols = c->block.cols, .write = true}));
    assert_true(c->coded.decoded <= LORT_BLOCK_HEAD_MAX + 4 * c->n);
    /* the bound of containers */
    assert_true(c->coded.stored <= c->coded.decoded + c->coded.decoded / 128 + 1024);
    assert_int_equal(lort_block_space_open(&space, &lort_alloc_heap, &need, NULL), LORT_OK);
    assert_int_equal(lort_codec_decode_frames(codec, c->space.coded, c->coded.stored, space.body,
                                              c->coded.decoded, NULL),
                     LORT_OK);
    read.base = 77; /* the head overrides this */
    read.shift = 7;
    if (lort_block_decode(&read, step, c->coded.decoded, &space, &err))
        fail_msg("%s", err.message);
    assert_int_equal(read.base, c->block.base);
    assert_int_equal(read.shift, c->block.shift);
    double error2 = 0;
    for (size_t i = 0; i < c->n; i++)
        error2 +=
            ((double)space.weights[i] - c->weights[i]) * ((double)space.weights[i] - c->weights[i]);
    /* summed in another order */
    assert_true(fabs(error2 - c->coded.error2) <= 1e-12 * error2);
    lort_block_space_close(&space, &lort_alloc_heap);
}

static void blocks_come_back(void **state)
{
    static const int64_t shapes[][2] = {{1, 1}, {1, 2}, {1, 3000},  {3000, 1},
                                        {8, 8}, {9, 7}, {64, 1024}, {100, 777}};
    static const float steps[] = {0.01f, 0.2f, 1, 5};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
            block_case c = case_open(shapes[i][0], shapes[i][1]);
            tiny_fill_noise(c.weights, c.n, i + 1);
            check_round_trip(&c, steps[k]);
            case_close(&c);
        }
}

/* Every context has weights, with low bits or without, and few or many symbols. */
static void all_contexts(void **state)
{
    unsigned low_bits = 0;
    for (int spread = 0; spread < 10; spread++) {
        block_case c = case_open(256, 1024);
        for (int64_t r = 0; r < 256; r++)
            c.codes[r] = (uint8_t)(112 + r % 32);
        tiny_fill_noise(c.weights, c.n, 5);
        for (size_t i = 0; i < c.n; i++)
            c.weights[i] *= exp2f((float)(c.codes[i / 1024] - 128) / 4);
        check_round_trip(&c, 0.01f * exp2f((float)spread));
        assert_int_equal(lort_codec_decode_frames(codec, c.space.coded, c.coded.stored,
                                                  c.space.body, c.coded.decoded, NULL),
                         LORT_OK);
        if (spread == 0)
            assert_int_equal(lort_load_u32(c.space.body + 8), UINT32_MAX);
        low_bits |= 1u << (lort_load_u32(c.space.body + 12) > 0);
        case_close(&c);
    }
    assert_int_equal(low_bits, 3);
}

static void zeros_and_constants(void **state)
{
    block_case c = case_open(40, 100);
    check_round_trip(&c, 0.1f);
    assert_true(c.coded.error2 == 0 && c.coded.stored < 200);
    memset(c.codes, 0, 140);
    check_round_trip(&c, 0.1f);
    assert_true(c.coded.error2 == 0);
    for (size_t i = 0; i < c.n; i++)
        c.weights[i] = -3;
    memset(c.codes, 134, 140);
    check_round_trip(&c, 0.5f);
    assert_true(c.coded.error2 < 0.1 * 9 * (double)c.n && c.coded.stored < 2000);
    case_close(&c);
}

static void outliers(void **state)
{
    block_case c = case_open(64, 512);
    tiny_fill_noise(c.weights, c.n, 3);
    for (size_t i = 7; i < c.n; i += 1001)
        c.weights[i] *= i % 2 ? 1000 : 30000; /* some are cut */
    check_round_trip(&c, 0.2f);
    for (size_t i = 0; i < c.n; i++) /* escapes of every stream, and nothing else */
        c.weights[i] *= 2000;
    check_round_trip(&c, 0.5f);
    case_close(&c);
}

/* Equal weights give equal bytes, whatever was in the space before. */
static void the_same_bytes_again(void **state)
{
    block_case c = case_open(64, 500);
    tiny_fill_noise(c.weights, c.n, 4);
    check_round_trip(&c, 0.3f);
    const lort_block_coded first = c.coded;
    uint8_t *bytes = malloc(first.stored);
    assert_non_null(bytes);
    memcpy(bytes, c.space.coded, first.stored);
    memset(c.space.memory, 0xA5, c.space.size);
    check_round_trip(&c, 0.3f);
    assert_int_equal(c.coded.stored, first.stored);
    assert_memory_equal(bytes, c.space.coded, first.stored);
    free(bytes);
    case_close(&c);
}

static void space_is_one_take(void **state)
{
    for (int write = 0; write < 2; write++) {
        lort_block_need need = {.write = write};
        lort_block_space space;
        tiny_failing failing;
        assert_int_equal(lort_block_space_bytes(&need), 0);
        assert_int_equal(lort_block_space_open(&space, &lort_alloc_heap, &need, NULL), LORT_OK);
        assert_null(space.memory);
        lort_block_space_close(&space, &lort_alloc_heap);
        lort_block_need_add(&need, 100, 300);
        lort_block_need_add(&need, 5000, 10);
        assert_int_equal(need.weights, 50000);
        assert_int_equal(need.cols, 300);
        tiny_failing_start(&failing, 0);
        assert_int_equal(lort_block_space_open(&space, &failing.alloc, &need, NULL), LORT_E_MEMORY);
        assert_null(space.memory);
        tiny_failing_start(&failing, 1);
        assert_int_equal(lort_block_space_open(&space, &failing.alloc, &need, NULL), LORT_OK);
        assert_int_equal((uint64_t)failing.bytes, lort_block_space_bytes(&need));
        lort_block_space_close(&space, &failing.alloc);
        lort_block_space_close(&space, &failing.alloc);
        assert_int_equal(failing.live, 0);
    }
}

/* The bytes of docs/FORMAT.md, "Blocks of integers". */
static void the_example_of_the_format(void **state)
{
    /* base, shift, contexts, low bits, escapes */
    static const uint8_t body[] = {0, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                   /* state */
                                   0x32, 0x65, 0x4E, 0x04,
                                   /* context 0 */
                                   0, 0x18, 0, 0x80, 0, 5, 0, 1, 0, 0, 0, 0,
                                   /* context 1 */
                                   0, 0x28, 0, 0x60, 0, 2, 0, 1, 0};
    static const float want[] = {0.75f, -1.25f, 4, 2};
    block_case c = case_open(1, 4);
    lort_error err = {0};
    memcpy(c.space.body, body, sizeof body);
    if (lort_block_decode(&c.block, 0.5f, sizeof body, &c.space, &err))
        fail_msg("%s", err.message);
    assert_memory_equal(c.space.weights, want, sizeof want);
    case_close(&c);
}

/* ---- damage ---- */

/* Decodes a body with every buffer of its exact size, so that a sanitizer sees one element too
 * many. */
static lort_code decode_exactly(const block_case *c, const uint8_t *body, uint64_t bytes)
{
    lort_block block = c->block;
    lort_error err = {0};
    lort_block_space space = {.weights = malloc(c->n * sizeof(float)),
                              .tables = malloc(LORT_STREAM_TABLES),
                              .body = malloc(bytes + LORT_SLACK)};
    assert_true(space.weights && space.tables && space.body);
    memcpy(space.body, body, bytes);
    const lort_code code = lort_block_decode(&block, 0.3f, bytes, &space, &err);
    assert_true(code == LORT_OK || (code == LORT_E_DAMAGED && err.message[0]));
    free(space.weights);
    free(space.tables);
    free(space.body);
    return code;
}

/* A small block with several contexts; its body is in space.body. */
static block_case small_block(float step)
{
    block_case c = case_open(6, 50);
    tiny_fill_noise(c.weights, c.n, 8);
    for (int i = 0; i < 6; i++)
        c.codes[i] = (uint8_t)(118 + 5 * i);
    check_round_trip(&c, step);
    assert_int_equal(lort_codec_decode_frames(codec, c.space.coded, c.coded.stored, c.space.body,
                                              c.coded.decoded, NULL),
                     LORT_OK);
    assert_int_equal(decode_exactly(&c, c.space.body, c.coded.decoded), LORT_OK);
    return c;
}

static void every_truncation_is_refused(void **state)
{
    for (float step = 0.003f; step < 4; step *= 4) {
        block_case c = small_block(step);
        for (uint64_t n = 0; n < c.coded.decoded; n++)
            assert_int_equal(decode_exactly(&c, c.space.body, n), LORT_E_DAMAGED);
        c.space.body[c.coded.decoded] = 0; /* and one byte too many */
        assert_int_equal(decode_exactly(&c, c.space.body, c.coded.decoded + 1), LORT_E_DAMAGED);
        case_close(&c);
    }
}

static void every_flipped_bit_is_harmless(void **state)
{
    uint64_t refused = 0, tried = 0;
    for (float step = 0.003f; step < 4; step *= 4) {
        block_case c = small_block(step);
        for (uint64_t bit = 0; bit < 8 * c.coded.decoded; bit++, tried++) {
            c.space.body[bit / 8] ^= (uint8_t)(1u << bit % 8);
            refused += decode_exactly(&c, c.space.body, c.coded.decoded) != LORT_OK;
            c.space.body[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        case_close(&c);
    }
    assert_true(refused > tried / 4 && refused < tried);
}

/* The block has one row. Its head has 24 bytes, then the first context. */
static void heads_that_lie_are_refused(void **state)
{
    static const struct {
        unsigned at;
        uint32_t value;
        unsigned bytes;
    } cases[] = {
        {0, 1025, 4},        {0, (uint32_t)-1025, 4},
        {0, INT32_MAX, 4},   {0, (uint32_t)INT32_MIN, 4},
        {4, 8, 4},           {4, 0xFFFF0000, 4},
        {8, 0, 4},           {8, 1u << 31, 4},
        {8, UINT32_MAX, 4},  {12, 1, 4},
        {12, UINT32_MAX, 4}, {16, 1, 4},
        {16, UINT32_MAX, 4}, {16, 0x80000000, 4},
        {20, 0x7FFF, 4},     {20, 1u << 31, 4},
        {20, UINT32_MAX, 4}, {28, 13, 1},
        {29, 0, 1},          {29, 64, 1},
        {30, 129, 1},        {31, 0, 1},
        {31, 129, 1},        {32, 200, 1},
    };
    block_case c = case_open(1, 300);
    tiny_fill_noise(c.weights, c.n, 8);
    check_round_trip(&c, 0.3f);
    assert_int_equal(lort_codec_decode_frames(codec, c.space.coded, c.coded.stored, c.space.body,
                                              c.coded.decoded, NULL),
                     LORT_OK);
    uint8_t *body = malloc(c.coded.decoded);
    assert_non_null(body);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(body, c.space.body, c.coded.decoded);
        for (unsigned b = 0; b < cases[i].bytes; b++)
            body[cases[i].at + b] = (uint8_t)(cases[i].value >> 8 * b);
        if (decode_exactly(&c, body, c.coded.decoded) != LORT_E_DAMAGED)
            fail_msg("case %d", (int)i);
    }
    free(body);
    case_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_come_back),
        cmocka_unit_test(all_contexts),
        cmocka_unit_test(zeros_and_constants),
        cmocka_unit_test(outliers),
        cmocka_unit_test(the_same_bytes_again),
        cmocka_unit_test(space_is_one_take),
        cmocka_unit_test(the_example_of_the_format),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_bit_is_harmless),
        cmocka_unit_test(heads_that_lie_are_refused),
    };
    return run_chosen(tests, codec_up, codec_down);
}
