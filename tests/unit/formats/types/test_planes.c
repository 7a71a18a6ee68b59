/* Compares the split with its definition, and checks that the join is its exact inverse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/types/planes.h"
#include "tests/unit/main.h"
#include <stdlib.h>
#include <string.h>

enum { GUARD = 16, FILLER = 0xa5 };

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Byte b of item i, which is turned bit by bit. */
static uint8_t turned_byte(const uint8_t *item, uint32_t width, uint32_t b, bool rotate)
{
    uint8_t out = 0;
    for (uint32_t bit = 0; bit < 8; bit++) {
        const uint32_t from = (8 * b + bit + (rotate ? 8 * width - 1 : 0)) % (8 * width);
        out = (uint8_t)(out | (item[from / 8] >> from % 8 & 1) << bit);
    }
    return out;
}

static void split_by_definition(const uint8_t *src, uint8_t *dst, uint64_t bytes, uint32_t width,
                                bool rotate)
{
    const uint64_t items = bytes / width;
    uint8_t *out = dst;
    for (uint32_t b = width; b-- > 0;)
        for (uint64_t i = 0; i < items; i++)
            *out++ = turned_byte(src + i * width, width, b, rotate);
    memcpy(out, src + items * width, bytes - items * width);
}

/* Tests one size at one misalignment. The guards must stay. */
static void check(uint64_t bytes, uint32_t width, bool rotate, uint32_t misaligned)
{
    const uint64_t room = bytes + 2 * GUARD;
    uint8_t *src = malloc(room), *want = malloc(room), *split = malloc(room),
            *joined = malloc(room);
    assert_true(src && want && split && joined);
    uint64_t random = bytes * 1000 + width;
    for (uint64_t i = 0; i < room; i++)
        src[i] = (uint8_t)next_random(&random);
    memset(split, FILLER, room);
    memset(joined, FILLER, room);
    split_by_definition(src + misaligned, want, bytes, width, rotate);
    lort_planes_split(src + misaligned, split + GUARD - misaligned, bytes, width, rotate);
    assert_memory_equal(split + GUARD - misaligned, want, bytes);
    lort_planes_join(split + GUARD - misaligned, joined + GUARD - misaligned, bytes, width, rotate);
    assert_memory_equal(joined + GUARD - misaligned, src + misaligned, bytes);
    for (uint32_t i = 0; i < GUARD - misaligned; i++) {
        assert_true(split[i] == FILLER && joined[i] == FILLER);
        assert_true(split[GUARD - misaligned + bytes + i] == FILLER &&
                    joined[GUARD - misaligned + bytes + i] == FILLER);
    }
    free(src);
    free(want);
    free(split);
    free(joined);
}

static void every_width(void **state)
{
    for (uint32_t width = 1; width <= 300; width++) {
        static const uint32_t items[] = {0, 1, 63, 64, 65, 130};
        for (uint32_t i = 0; i < sizeof items / sizeof items[0]; i++) {
            check((uint64_t)items[i] * width, width, false, i % 4);
            check((uint64_t)items[i] * width + width / 2, width, false, (i + 1) % 4);
            check((uint64_t)items[i] * width + width - 1, width, false, (i + 2) % 4);
        }
    }
}

static void rotated_widths_at_every_length(void **state)
{
    static const uint32_t widths[] = {2, 4, 8};
    for (uint32_t w = 0; w < 3; w++)
        for (uint64_t bytes = 0; bytes < 700; bytes++) {
            check(bytes, widths[w], true, (uint32_t)(bytes % 8));
            check(bytes, widths[w], false, (uint32_t)(bytes % 7));
        }
}

/* Tests the picture in planes.c, and the purpose of rotation: one exponent fills one plane. */
static void layout_is_as_documented(void **state)
{
    static const uint8_t items[13] = {0xa0, 0xa1, 0xa2, 0xa3, 0xb0, 0xb1, 0xb2,
                                      0xb3, 0xc0, 0xc1, 0xc2, 0xc3, 0x77};
    static const uint8_t want[13] = {0xa3, 0xb3, 0xc3, 0xa2, 0xb2, 0xc2, 0xa1,
                                     0xb1, 0xc1, 0xa0, 0xb0, 0xc0, 0x77};
    uint8_t got[13];
    lort_planes_split(items, got, sizeof items, 4, false);
    assert_memory_equal(got, want, sizeof got);

    /* 1.0, -1.99 and 1.54 have exponent 127. */
    static const uint8_t bf16[6] = {0x80, 0x3f, 0xff, 0xbf, 0xc5, 0x3f};
    static const uint8_t planes[6] = {127, 127, 127, 0x00, 0xff, 0x8a};
    lort_planes_split(bf16, got, sizeof bf16, 2, true);
    assert_memory_equal(got, planes, sizeof planes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width),
        cmocka_unit_test(rotated_widths_at_every_length),
        cmocka_unit_test(layout_is_as_documented),
    };
    return run_chosen(tests, NULL, NULL);
}
