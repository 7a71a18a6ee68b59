#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/container/container.h"
#include "loader/store/codec.h"
#include "tests/unit/main.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define LARGE LORT_CHUNK_TARGET

static uint8_t *plain, *coded, *back;
static uint64_t room;

static int set_up(void **state)
{
    (void)state;
    room = lort_codec_bound(LARGE);
    plain = malloc(LARGE);
    coded = malloc(room);
    back = malloc(LARGE);
    return plain && coded && back ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    free(plain);
    free(coded);
    free(back);
    return 0;
}

/* kind: 0 zeros, 1 noise, 2 four bits of noise a byte (like exponents), 3 repeats like text */
static void fill(uint64_t n, int kind)
{
    uint64_t x = 12345;
    for (uint64_t i = 0; i < n; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        plain[i] = kind == 0   ? 0
                   : kind == 1 ? (uint8_t)(x >> 56)
                   : kind == 2 ? (uint8_t)(x >> 60)
                               : "the weights of it "[(x >> 40) % 2 ? i % 18 : i % 7];
    }
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 2, 1023, 1024, 65536, 131073, LARGE - 1, LARGE};
    for (int level = 1; level <= 19; level += level < 3 ? 2 : 8) {
        lort_codec *codec;
        assert_int_equal(lort_codec_open(level, &codec, NULL), LORT_OK);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            for (int kind = 0; kind < 4; kind++) {
                uint64_t stored;
                fill(sizes[i], kind);
                assert_int_equal(
                    lort_codec_encode(codec, plain, sizes[i], coded, room, &stored, NULL), LORT_OK);
                /* The gate of the container allows this much. */
                assert_true(stored <= sizes[i] + sizes[i] / 128 + 1024);
                memset(back, 0xEE, LARGE);
                assert_int_equal(lort_codec_decode(codec, coded, stored, back, sizes[i], NULL),
                                 LORT_OK);
                assert_memory_equal(plain, back, sizes[i]);
            }
        lort_codec_close(codec);
    }
}

/* The bytes must not depend on earlier work of a codec. */
static void bytes_depend_on_input_only(void **state)
{
    (void)state;
    uint8_t *first = malloc(room);
    uint64_t stored, again;
    for (int level = 1; level <= 9; level += 4)
        for (int kind = 1; kind < 4; kind++) {
            lort_codec *fresh, *used;
            assert_int_equal(lort_codec_open(level, &fresh, NULL), LORT_OK);
            assert_int_equal(lort_codec_open(level, &used, NULL), LORT_OK);
            for (int i = 0; i < 12; i++) {
                fill(LARGE / (uint64_t)(i + 1), (kind + i) % 4);
                assert_int_equal(lort_codec_encode(used, plain, LARGE / (uint64_t)(i + 1), coded,
                                                   room, &again, NULL),
                                 LORT_OK);
            }
            fill(200000, kind);
            assert_int_equal(lort_codec_encode(fresh, plain, 200000, first, room, &stored, NULL),
                             LORT_OK);
            assert_int_equal(lort_codec_encode(used, plain, 200000, coded, room, &again, NULL),
                             LORT_OK);
            assert_int_equal(stored, again);
            assert_memory_equal(first, coded, stored);
            lort_codec_close(fresh);
            lort_codec_close(used);
        }
    free(first);
}

/* On bytes without repeats the entropy trial comes within 2 % of four bits a byte. A level alone
 * does not. */
static void the_entropy_trial_pays(void **state)
{
    (void)state;
    lort_codec *codec;
    uint64_t stored;
    fill(LARGE, 2);
    assert_int_equal(lort_codec_open(3, &codec, NULL), LORT_OK);
    assert_int_equal(lort_codec_encode(codec, plain, LARGE, coded, room, &stored, NULL), LORT_OK);
    assert_true(stored < LARGE / 2 * 102 / 100);
    lort_codec_close(codec);
}

/* 64 KiB of bf16 in split form: exponents and the rest share a block of zstd, but not a table. */
static void planes_have_tables_of_their_own(void **state)
{
    (void)state;
    enum { PLANE = 32768 };
    lort_codec *codec;
    uint64_t together, apart;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    fill(2 * PLANE, 1);
    for (int i = 0; i < PLANE; i++)
        plain[i] &= 7;
    assert_int_equal(lort_codec_encode(codec, plain, 2 * PLANE, coded, room, &together, NULL),
                     LORT_OK);
    assert_int_equal(
        lort_codec_encode_planes(codec, plain, 2 * PLANE, 2, coded, room, &apart, NULL), LORT_OK);
    assert_true(apart < PLANE + PLANE * 3 / 8 + 200 && apart + 2000 < together);
    assert_int_equal(lort_codec_decode(codec, coded, apart, back, 2 * PLANE, NULL), LORT_OK);
    assert_memory_equal(plain, back, 2 * PLANE);
    lort_codec_close(codec);
}

/* Every plane has another alphabet, so LoRT cuts every plane off. A rest lies behind the last
 * plane. */
static void planes_of_any_width_come_back(void **state)
{
    (void)state;
    static const uint32_t widths[] = {1, 2, 3, 4, 34, 210, 1024};
    static const uint64_t sizes[] = {0, 1, 33, 1024, 5000, 70001, LARGE};
    lort_codec *codec;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            const uint64_t n = sizes[i], items = n / widths[w] + 1;
            uint64_t stored;
            fill(n, 1);
            for (uint64_t at = 0; at < n; at++)
                plain[at] = (uint8_t)(plain[at] % 3 + 40 * (at / items % 6));
            assert_int_equal(
                lort_codec_encode_planes(codec, plain, n, widths[w], coded, room, &stored, NULL),
                LORT_OK);
            assert_true(stored <= n + n / 128 + 1024);
            memset(back, 0xEE, LARGE);
            assert_int_equal(lort_codec_decode(codec, coded, stored, back, n, NULL), LORT_OK);
            assert_memory_equal(plain, back, n);
        }
    lort_codec_close(codec);
}

/* Planes that zstd codes, planes of noise and planes of one byte, in every order. A rest lies
 * behind the last plane. */
static void every_kind_of_plane_comes_back(void **state)
{
    (void)state;
    enum { PLANE = 150001, WIDTH = 4, KINDS = 3, REST = 3, SIZE = WIDTH * PLANE + REST };
    lort_codec *codec;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    for (unsigned order = 0; order < KINDS * KINDS * KINDS * KINDS; order++) {
        uint64_t stored, expect = 1000;
        fill(SIZE, 1);
        for (unsigned p = 0, o = order; p < WIDTH; p++, o /= KINDS) {
            for (uint64_t i = p * PLANE; i < (p + 1) * PLANE && o % KINDS < 2; i++)
                plain[i] = o % KINDS ? (uint8_t)(plain[i] & 15) : 7;
            expect += o % KINDS == 2 ? PLANE : o % KINDS ? PLANE * 51 / 100 : 0;
        }
        assert_int_equal(
            lort_codec_encode_planes(codec, plain, SIZE, WIDTH, coded, room, &stored, NULL),
            LORT_OK);
        assert_true(stored < expect);
        memset(back, 0xEE, LARGE);
        assert_int_equal(lort_codec_decode(codec, coded, stored, back, SIZE, NULL), LORT_OK);
        assert_memory_equal(plain, back, SIZE);
    }
    lort_codec_close(codec);
}

/* One different byte in a plane of zeros, at a place that counting skips. */
static void one_byte_among_zeros_is_kept(void **state)
{
    (void)state;
    lort_codec *codec;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    for (uint64_t at = LARGE / 2; at < LARGE; at += 9973) {
        uint64_t stored;
        fill(LARGE, 1);
        memset(plain + LARGE / 2, 0, LARGE / 2);
        plain[at] = 1;
        assert_int_equal(
            lort_codec_encode_planes(codec, plain, LARGE, 2, coded, room, &stored, NULL), LORT_OK);
        assert_true(stored < LARGE / 2 + 1000);
        assert_int_equal(lort_codec_decode(codec, coded, stored, back, LARGE, NULL), LORT_OK);
        assert_memory_equal(plain, back, LARGE);
    }
    lort_codec_close(codec);
}

/* Noise that repeats, and words: counting bytes cannot see either. */
static void matches_are_found_where_they_pay(void **state)
{
    (void)state;
    enum { ROW = 24576 };
    lort_codec *codec;
    uint64_t stored, whole;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    fill(LARGE, 1);
    for (uint64_t at = ROW; at < LARGE; at++)
        plain[at] = plain[at - ROW];
    assert_int_equal(lort_codec_encode_planes(codec, plain, LARGE, 2, coded, room, &stored, NULL),
                     LORT_OK);
    assert_true(stored < LARGE / 10);
    fill(LARGE, 3);
    assert_int_equal(lort_codec_encode(codec, plain, LARGE, coded, room, &whole, NULL), LORT_OK);
    assert_int_equal(lort_codec_encode_planes(codec, plain, LARGE, 2, coded, room, &stored, NULL),
                     LORT_OK);
    assert_true(stored <= whole + whole / 50);
    lort_codec_close(codec);
}

static size_t flushed(ZSTD_CCtx *encoder, uint64_t n)
{
    ZSTD_inBuffer in = {plain, n / 2, 0};
    ZSTD_outBuffer out = {coded, room, 0};
    assert_int_equal(ZSTD_CCtx_setPledgedSrcSize(encoder, n), 0);
    assert_int_equal(ZSTD_compressStream2(encoder, &out, &in, ZSTD_e_flush), 0);
    in.size = n;
    assert_int_equal(ZSTD_compressStream2(encoder, &out, &in, ZSTD_e_end), 0);
    return out.pos;
}

static void memory_is_what_the_table_says(void **state)
{
    (void)state;
    for (int level = 1; level <= 19; level++) {
        ZSTD_CCtx *encoder = ZSTD_createCCtx();
        ZSTD_DCtx *decoder = ZSTD_createDCtx();
        /* Sizes depend on the parameters, not on the bytes. Zeros are quick at level 19. */
        fill(LARGE, 0);
        ZSTD_CCtx_setParameter(encoder, ZSTD_c_compressionLevel, level);
        ZSTD_CCtx_setParameter(encoder, ZSTD_c_windowLog, 20);
        for (uint64_t n = LARGE; n > 1000; n /= 4) {
            size_t stored =
                n < LARGE ? ZSTD_compress2(encoder, coded, room, plain, n) : flushed(encoder, n);
            assert_false(ZSTD_isError(stored));
            assert_int_equal(ZSTD_decompressDCtx(decoder, back, n, coded, stored), n);
            assert_true(ZSTD_sizeof_CCtx(encoder) + ZSTD_sizeof_DCtx(decoder) +
                            lort_codec_bound(LARGE) <=
                        lort_codec_memory(level));
        }
        /* Not three times as much either: a plan must not waste the budget. */
        assert_true(lort_codec_memory(level) < 3 * (ZSTD_sizeof_CCtx(encoder) + LARGE));
        ZSTD_freeCCtx(encoder);
        ZSTD_freeDCtx(decoder);
    }
    assert_int_equal(lort_codec_memory(0), 0);
    assert_int_equal(lort_codec_memory(20), 0);
}

static void only_levels_that_exist(void **state)
{
    (void)state;
    static const int bad[] = {-5, 0, 20, 22};
    lort_error err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        lort_codec *codec;
        assert_int_equal(lort_codec_open(bad[i], &codec, &err), LORT_E_USAGE);
        assert_null(codec);
        assert_non_null(strstr(err.message, "1 to 19"));
    }
    lort_codec_close(NULL);
}

static void frames_hold_no_more_than_needed(void **state)
{
    (void)state;
    lort_codec *codec;
    uint64_t stored;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    fill(5000, 3);
    assert_int_equal(lort_codec_encode(codec, plain, 5000, coded, room, &stored, NULL), LORT_OK);
    assert_int_equal(ZSTD_getFrameContentSize(coded, stored), 5000);
    assert_int_equal(coded[4] & 0x04, 0); /* no checksum */
    assert_int_equal(coded[4] & 0x03, 0); /* no dictionary id */
    assert_int_equal(lort_codec_encode(codec, plain, 5000, coded, 5000, &stored, NULL),
                     LORT_E_INTERNAL);
    lort_codec_close(codec);
}

static lort_code decode(lort_codec *codec, const void *src, uint64_t stored, uint64_t decoded)
{
    lort_error err = {0};
    memset(back, 0xEE, LARGE);
    lort_code code = lort_codec_decode(codec, src, stored, back, decoded, &err);
    if (code)
        assert_true(err.message[0] != 0);
    for (uint64_t i = decoded; i < decoded + 64; i++)
        assert_int_equal(back[i], 0xEE); /* nothing is written behind the end */
    return code;
}

static void damaged_frames_are_refused(void **state)
{
    (void)state;
    lort_codec *codec;
    uint64_t stored;
    uint8_t copy[4096];
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    fill(2000, 2);
    assert_int_equal(lort_codec_encode(codec, plain, 2000, copy, sizeof copy, &stored, NULL),
                     LORT_OK);
    assert_int_equal(decode(codec, copy, stored, 2000), LORT_OK);
    for (uint64_t n = 0; n < stored; n++)
        assert_int_equal(decode(codec, copy, n, 2000), LORT_E_DAMAGED);
    assert_int_equal(decode(codec, copy, stored + 1, 2000), LORT_E_DAMAGED);
    assert_int_equal(decode(codec, copy, stored, 1999), LORT_E_DAMAGED);
    assert_int_equal(decode(codec, copy, stored, 2001), LORT_E_DAMAGED);
    memmove(copy + stored, copy, stored); /* two frames */
    assert_int_equal(decode(codec, copy, 2 * stored, 4000), LORT_E_DAMAGED);
    assert_int_equal(decode(codec, copy, 2 * stored, 2000), LORT_E_DAMAGED);
    for (uint64_t i = 0; i < stored;
         i++) { /* may decode to other bytes (the hash finds that), never past the end */
        copy[i] ^= 0x10;
        decode(codec, copy, stored, 2000);
        copy[i] ^= 0x10;
    }
    lort_codec_close(codec);
}

/* Frames made by hand (RFC 8878): magic, descriptor, window or content size, blocks. */
static void hostile_frames_are_refused(void **state)
{
    (void)state;
    static const uint8_t skippable[] = {0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
    /* Content size 10 GiB in eight bytes; one RLE block of 2^17 - 1 bytes, repeated. */
    static const uint8_t bomb[] = {0x28, 0xb5, 0x2f, 0xfd, 0xC0, 0x88, 0,    0,    0,
                                   0x80, 2,    0,    0,    0,    0xFB, 0xFF, 0x0F, 'x'};
    /* Claims 100 bytes, holds an RLE block of 131072. */
    static const uint8_t liar[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 100, 0x03, 0x00, 0x10, 'x'};
    /* No content size. */
    static const uint8_t silent[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58, 0x23, 0x03, 0x00, 'x'};
    /* Content size 100 in four bytes, window of 2^31. */
    static const uint8_t wide[] = {0x28, 0xb5, 0x2f, 0xfd, 0x80, 0xA8, 100,
                                   0,    0,    0,    0x23, 0x03, 0x00, 'x'};
    static const uint8_t narrow[] = {0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x58, 100,
                                     0,    0,    0,    0x23, 0x03, 0x00, 'x'};
    /* A window of 2^27 bytes, and one an eighth larger. */
    static const uint8_t widest[] = {0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x88, 100,
                                     0,    0,    0,    0x23, 0x03, 0x00, 'x'};
    static const uint8_t wider[] = {0x28, 0xb5, 0x2f, 0xfd, 0x80, 0x89, 100,
                                    0,    0,    0,    0x23, 0x03, 0x00, 'x'};
    lort_codec *codec;
    lort_error err;
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    assert_int_equal(decode(codec, widest, sizeof widest, 100), LORT_OK);
    assert_int_equal(decode(codec, wider, sizeof wider, 100), LORT_E_DAMAGED);
    assert_int_equal(decode(codec, skippable, sizeof skippable, 0), LORT_E_DAMAGED);
    assert_int_equal(decode(codec, bomb, sizeof bomb, 1000), LORT_E_DAMAGED);
    assert_int_equal(decode(codec, liar, sizeof liar, 100), LORT_E_DAMAGED);
    assert_int_equal(decode(codec, silent, sizeof silent, 100), LORT_E_DAMAGED);
    assert_int_equal(decode(codec, narrow, sizeof narrow, 100), LORT_OK);
    assert_int_equal(lort_codec_decode(codec, wide, sizeof wide, back, 100, &err), LORT_E_DAMAGED);
    assert_non_null(strstr(err.message, "window"));
    lort_codec_close(codec);
}

static void bounds_are_sane(void **state)
{
    (void)state;
    assert_true(lort_codec_bound(0) > 0);
    assert_true(lort_codec_bound(LARGE) > LARGE);
    assert_true(lort_codec_bound(UINT64_MAX) == UINT64_MAX);
    assert_string_equal(lort_codec_version(), ZSTD_versionString());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(bytes_depend_on_input_only),
        cmocka_unit_test(the_entropy_trial_pays),
        cmocka_unit_test(planes_have_tables_of_their_own),
        cmocka_unit_test(planes_of_any_width_come_back),
        cmocka_unit_test(every_kind_of_plane_comes_back),
        cmocka_unit_test(one_byte_among_zeros_is_kept),
        cmocka_unit_test(matches_are_found_where_they_pay),
        cmocka_unit_test(memory_is_what_the_table_says),
        cmocka_unit_test(only_levels_that_exist),
        cmocka_unit_test(frames_hold_no_more_than_needed),
        cmocka_unit_test(damaged_frames_are_refused),
        cmocka_unit_test(hostile_frames_are_refused),
        cmocka_unit_test(bounds_are_sane),
    };
    return run_chosen(tests, set_up, tear_down);
}
