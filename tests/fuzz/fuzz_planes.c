/* Fuzz target: byte planes. Joining and splitting any bytes gives the same bytes again, in both
 * orders, for every width, turned or not. Hashing in pieces equals hashing at once. Input: width -
 * 1 (two bytes), turn and alignments (a byte), and the bytes. */
#include "formats/base/hash.h"
#include "formats/types/planes.h"
#include "fuzz_input.h"

#define WIDTH_MOST 1024

typedef void plane_fn(const void *src, void *dst, uint64_t bytes, uint32_t width, bool rotate);

/* Applies `first`, then `second`, and expects `bytes` again. Every buffer has its exact size and
 * lies off its alignment. */
static void there_and_back(plane_fn *first, plane_fn *second, const input *in, uint32_t width,
                           bool rotate, unsigned shift)
{
    uint8_t *src = exact_copy(in->at, in->left, shift & 7),
            *middle = exact_copy(in->at, in->left, shift >> 3 & 3),
            *dst = exact_copy(in->at, in->left, 1);
    memset(middle, 0x5a, in->left);
    memset(dst, 0xa5, in->left);
    first(src, middle, in->left, width, rotate);
    second(middle, dst, in->left, width, rotate);
    CHECK(in->left == 0 || memcmp(dst, in->at, in->left) == 0);
    if (width == 1)
        CHECK(in->left == 0 || memcmp(middle, in->at, in->left) == 0);
    free(src - (shift & 7));
    free(middle - (shift >> 3 & 3));
    free(dst - 1);
}

static void check_hash(const input *in, size_t piece)
{
    lort_hasher *hasher;
    const lort_hash128 whole = lort_xxh128(in->at, in->left);
    CHECK(lort_hasher_open(&lort_alloc_heap, &hasher, NULL) == LORT_OK);
    for (size_t at = 0; at < in->left; at += piece)
        lort_hasher_add(hasher, in->at + at, in->left - at < piece ? in->left - at : piece);
    const lort_hash128 pieces = lort_hasher_value(hasher);
    CHECK(memcmp(&whole, &pieces, sizeof whole) == 0);
    lort_hasher_close(hasher);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    const uint32_t width = input_u16(&in) % WIDTH_MOST + 1;
    const unsigned how = input_u8(&in);
    const bool rotate = how & 1 && (width == 2 || width == 4 || width == 8);
    there_and_back(lort_planes_split, lort_planes_join, &in, width, rotate, how >> 1);
    there_and_back(lort_planes_join, lort_planes_split, &in, width, rotate, how >> 1);
    check_hash(&in, width);
    return 0;
}
