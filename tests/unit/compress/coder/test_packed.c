/* Blocks in the packed coding of algorithm version 2: the example of docs/FORMAT.md decodes through
 * lort_block_decode, and every malformed body is refused by name. */
#define _XOPEN_SOURCE 700
#include "compress/coder/block.h"
#include "compress/coder/packed.h"
#include "tests/unit/main.h"

#include <string.h>

static const uint8_t row_codes[] = {128}, col_codes[] = {128, 128, 128, 128};
static const lort_block one_row = {
    .rows = 1, .cols = 4, .row_codes = row_codes, .col_codes = col_codes};

/* docs/FORMAT.md, "The packed coding": base and shift, streams 0 and 1; a head for each; symbols */
static const uint8_t example[] = {0, 1, 0, 0, 0, 0, 3, 0,                /* base 256, shift 0 */
                                  3, 0, 0, 1, 0, 0, 0, 0, 0, 24, 0, 128, /* stream 0 */
                                  1, 0, 0, 1, 0, 0, 0, 0, 0, 40, 0, 96,  /* stream 1 */
                                  1, 2, 7, 3};
enum { STREAM_0 = 8, STREAM_1 = 20, SYMBOLS = 32 };

/* Decodes a body in a buffer of its exact size, so that a sanitizer sees one byte too many. */
static lort_code decode(const uint8_t *body, size_t bytes, float *out, lort_error *err)
{
    lort_block block = one_row;
    uint8_t *exact = malloc(bytes ? bytes : 1);
    assert_non_null(exact);
    memcpy(exact, body, bytes);
    lort_code code = lort_packed_decode(&block, 0.5f, exact, bytes, out, err);
    free(exact);
    return code;
}

static void the_example_of_the_format(void **state)
{
    static const float want[] = {0.75f, -0.75f, 1.125f, 4};
    lort_block block = one_row;
    float out[4];
    uint8_t tables[1], body[sizeof example];
    lort_block_space space = {.weights = out, .tables = tables, .body = body};
    lort_error err = {0};
    memcpy(body, example, sizeof example);
    if (lort_block_decode(&block, 0.5f, sizeof example, &space, &err))
        fail_msg("%s", err.message);
    assert_memory_equal(out, want, sizeof want);
    assert_int_equal(block.base, 256);
}

/* One stream of four integers, since no class has an odd quantiser at state 0 and even integers. */
static lort_code decode_stream(uint8_t group, uint8_t escapes, const uint8_t *data, size_t bytes,
                               float *out, lort_error *err)
{
    uint8_t body[64] = {0, 1, 0, 0, 0, 0, 1, 0, 4, 0, 0, group, escapes, 0, 0, 0, 0, 16, 0, 128};
    memcpy(body + 20, data, bytes);
    return decode(body, 20 + bytes, out, err);
}

/* Even integers keep the trellis in state 0, so element = 2 k steps = k. */
static void every_group_and_its_escapes(void **state)
{
    static const struct {
        uint8_t group, escapes;
        uint8_t data[8];
        size_t bytes;
        float want[4];
    } rows[] = {
        {1, 0, {3, 4, 0, 7}, 4, {2, -2, 0, 4}},
        {2, 0, {3 + 15 * 4, 0 + 15 * 7}, 2, {2, -2, 0, 4}},
        {3, 1, {3 + 6 * 4 + 36 * 0, 5, 0xFA, 0xFF}, 4, {2, -2, 0, -6}},
        {4, 2, {3 + 4 * 0 + 16 * 0 + 64 * 3, 6, 0, 0, 0x80}, 5, {6, 0, 0, -32768}},
        {5, 3, {2 + 3 * 2 + 9 * 0 + 27 * 2, 6, 0, 8, 0, 10, 0}, 7, {6, 8, 0, 10}},
        {6, 1, {0, 1, 254, 2, 0x22, 0xF4, 0x01}, 7, {2, 4, 500, -4}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float out[4];
        lort_error err = {0};
        if (decode_stream(rows[i].group, rows[i].escapes, rows[i].data, rows[i].bytes, out, &err))
            fail_msg("group %u: %s", rows[i].group, err.message);
        assert_memory_equal(out, rows[i].want, sizeof out);
    }
}

static void unsound_heads_are_refused(void **state)
{
    static const struct {
        const char *name;
        size_t at;
        uint8_t byte;
        const char *words;
    } rows[] = {
        {"a base below all codes", 3, 0x80, "classes out of range"},
        {"a base above all codes", 1, 5, "classes out of range"},
        {"classes of 2^8 codes", 4, 8, "shift 8"},
        {"a stream without integers", STREAM_0, 0, "stream 0: 0 integers"},
        {"group 0", STREAM_0 + 3, 0, "group 0 (allowed 1 to 6)"},
        {"group 7", STREAM_0 + 3, 7, "group 7 (allowed 1 to 6)"},
        {"more escapes than integers", STREAM_1 + 4, 2, "2 escapes (allowed 0 to 1)"},
        {"more integers than elements", STREAM_0, 4, "hold 5 integers (allowed 4)"},
        {"fewer integers than elements", STREAM_0, 2, "hold 3 integers (allowed 4)"},
        {"2^24 integers", STREAM_0 + 2, 0xFF, "integers (allowed 4)"},
        {"the last stream is cut", STREAM_1 + 3, 6, "low bits of a stream"},
        {"bytes behind the streams", STREAM_0 + 3, 2, "1 bytes behind the last stream"},
        {"a stream for class 7 without a head", 7, 0x80, "escapes of a stream"},
        {"a path that needs more of stream 1", SYMBOLS + 1, 0, "stream 1 of a block: too few"},
        {"the escape without an escape", SYMBOLS + 3, 254, "too few escapes"},
        {"symbol 255 of 255", SYMBOLS + 3, 255, "a byte that its alphabet does not have"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t body[sizeof example];
        float out[4];
        lort_error err = {0};
        memcpy(body, example, sizeof example);
        body[rows[i].at] = rows[i].byte;
        if (decode(body, sizeof body, out, &err) != LORT_E_DAMAGED)
            fail_msg("%s: accepted", rows[i].name);
        if (!strstr(err.message, rows[i].words))
            fail_msg("%s: %s", rows[i].name, err.message);
    }
}

static void unsound_streams_are_refused(void **state)
{
    static const struct {
        const char *name;
        uint8_t group, escapes, data[8];
        size_t bytes;
        const char *words;
    } rows[] = {
        {"a byte of 15^2", 2, 0, {225, 0}, 2, "a byte that its alphabet does not have"},
        {"a symbol behind the last integer", 3, 0, {0, 6}, 2, "a byte that its alphabet does"},
        {"an escape that no symbol takes", 1, 1, {0, 0, 0, 0, 2, 0}, 6, "1 escapes too many"},
        {"two escapes, one brought", 1, 1, {254, 254, 0, 0, 2, 0}, 6, "too few escapes"},
        {"an odd integer to another stream", 1, 0, {0, 1, 0, 0}, 4, "too few integers"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        float out[4];
        lort_error err = {0};
        if (decode_stream(rows[i].group, rows[i].escapes, rows[i].data, rows[i].bytes, out, &err) !=
            LORT_E_DAMAGED)
            fail_msg("%s: accepted", rows[i].name);
        if (!strstr(err.message, rows[i].words))
            fail_msg("%s: %s", rows[i].name, err.message);
    }
}

static void every_shorter_body_is_refused(void **state)
{
    for (size_t bytes = 0; bytes < sizeof example; bytes++) {
        float out[4];
        lort_error err = {0};
        assert_int_equal(decode(example, bytes, out, &err), LORT_E_DAMAGED);
    }
}

static void every_changed_byte_does_no_harm(void **state)
{
    for (size_t at = 0; at < sizeof example; at++)
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t body[sizeof example];
            float out[4] = {0};
            lort_error err = {0};
            memcpy(body, example, sizeof example);
            body[at] = (uint8_t)byte;
            const lort_code code = decode(body, sizeof body, out, &err);
            assert_true(code == LORT_OK || (code == LORT_E_DAMAGED && err.message[0]));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_format),
        cmocka_unit_test(every_group_and_its_escapes),
        cmocka_unit_test(unsound_heads_are_refused),
        cmocka_unit_test(unsound_streams_are_refused),
        cmocka_unit_test(every_shorter_body_is_refused),
        cmocka_unit_test(every_changed_byte_does_no_harm),
    };
    return run_chosen(tests, NULL, NULL);
}
