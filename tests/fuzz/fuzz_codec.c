/* Fuzz target: zstd frames. A decode of any bytes returns LORT_OK or LORT_E_DAMAGED, and writes
 * nothing behind the given size. The frame does not decide how much memory it takes
 * (-malloc_limit_mb of scripts/run-fuzz). Decoded bytes code and decode to the same bytes again.
 * Any bytes that are coded, in each way, come back, and their code is within the bound.
 *
 * Input: the work to do, the decoded size (18 bits of three bytes) or the number of planes, and the
 * bytes. */
#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include "fuzz_input.h"
#include "loader/store/codec.h"

/* libzstd is built without ASan, so the target checks the bytes behind a buffer. */
#define BEHIND 64

static lort_codec *quick, *thorough;

typedef lort_code decode_fn(lort_codec *codec, const void *src, uint64_t stored, void *dst,
                            uint64_t decoded, lort_error *err);

static uint8_t *room_of(size_t n)
{
    uint8_t *room = malloc(n + BEHIND);
    CHECK(room);
    memset(room + n, 0xa5, BEHIND);
    return room;
}

static void check_behind(const uint8_t *room, size_t n)
{
    for (size_t i = 0; i < BEHIND; i++)
        CHECK(room[n + i] == 0xa5);
}

static void code_and_back(lort_codec *codec, const uint8_t *bytes, size_t n, uint32_t planes)
{
    const uint64_t bound = lort_codec_bound(n);
    uint64_t stored[3];
    uint8_t *coded = room_of(bound), *back = room_of(n);
    for (int way = 0; way < 3; way++) {
        lort_code code =
            way == 0 ? lort_codec_encode(codec, bytes, n, coded, bound, &stored[way], NULL)
            : way == 1
                ? lort_codec_encode_planes(codec, bytes, n, planes, coded, bound, &stored[way],
                                           NULL)
                : lort_codec_encode_symbols(codec, bytes, n, coded, bound, &stored[way], NULL);
        /* the last condition is that of the container's gate */
        CHECK(code == LORT_OK && stored[way] > 0 && stored[way] <= bound &&
              stored[way] <= n + n / 128 + 1024);
        check_behind(coded, bound);
        memset(back, 0, n);
        CHECK(lort_codec_decode(codec, coded, stored[way], back, n, NULL) == LORT_OK &&
              (n == 0 || memcmp(back, bytes, n) == 0));
        check_behind(back, n);
        CHECK(lort_codec_decode(codec, coded, stored[way], back, n + 1, NULL) == LORT_E_DAMAGED);
    }
    free(coded);
    free(back);
}

static void decode(decode_fn *fn, const input *in, size_t decoded)
{
    lort_error err = {0};
    uint8_t *src = exact_copy(in->at, in->left, 0), *dst = room_of(decoded),
            *again = room_of(decoded);
    const lort_code code = fn(quick, src, in->left, dst, decoded, &err);
    check_behind(dst, decoded);
    CHECK(code == LORT_OK || (code == LORT_E_DAMAGED && err.code == code && err.message[0] &&
                              lort_utf8_valid(err.message, strlen(err.message))));
    if (code == LORT_OK) {
        CHECK(fn(thorough, src, in->left, again, decoded, NULL) == LORT_OK &&
              (decoded == 0 || memcmp(dst, again, decoded) == 0));
        code_and_back(quick, dst, decoded, 1);
    }
    free(src);
    free(dst);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    const unsigned what = input_u8(&in) % 4;
    const size_t low = input_u16(&in), number = low | (size_t)(input_u8(&in) & 3) << 16;
    if (!quick)
        CHECK(lort_codec_open(1, &quick, NULL) == LORT_OK &&
              lort_codec_open(3, &thorough, NULL) == LORT_OK);
    if (what < 2)
        decode(what ? lort_codec_decode_frames : lort_codec_decode, &in, number);
    else
        code_and_back(what == 2 ? quick : thorough, in.at, in.left,
                      (uint32_t)(number % (number >> 16 ? 1024 : 40) + 1));
    return 0;
}
