/* Fuzz target: element types. Any bytes decode to the same bits whole, in pieces and off their
 * alignment. Floats come back as the same bytes. F16 and BF16 are the nearest values, ties to even.
 * Q8_0 errs by half a step at most. Sizes, names and numbers of types agree. The search finds
 * values that are not finite. Input: the type's row, the place of the cut, and the blocks. */
#include "formats/base/bytes.h"
#include "formats/types/dtype.h"
#include "formats/types/half.h"
#include "formats/types/quant.h"
#include "fuzz_input.h"
#include "tests/unit/one_bf16.h"
#include <math.h>

#define BLOCKS_MOST 64
#define TYPES_MOST 256

static float *floats_of(uint64_t n)
{
    float *room = malloc(n ? n * sizeof *room : 1);
    CHECK(room);
    return room;
}

static void check_type(const lort_dtype_info *type, uint64_t elements, uint64_t bytes)
{
    uint64_t found = 0;
    CHECK(lort_dtype_get((uint32_t)type->id) == type &&
          lort_dtype_by_name(type->name, strlen(type->name)) == type);
    CHECK(lort_dtype_bytes(type, elements, &found) && found == bytes);
    CHECK(type->block_elements == 1 || !lort_dtype_bytes(type, elements + 1, &found));
}

/* Decodes all at once, and then [0, cut) and [cut, end) from other alignments. */
static float *decode(const lort_dtype_info *type, const uint8_t *bytes, uint64_t blocks,
                     uint64_t cut)
{
    const uint64_t n = blocks * type->block_elements, before = cut * type->block_elements;
    uint8_t *whole = exact_copy(bytes, blocks * type->block_bytes, 0),
            *first = exact_copy(bytes, cut * type->block_bytes, 1);
    uint8_t *second =
        exact_copy(bytes + cut * type->block_bytes, (blocks - cut) * type->block_bytes, 3);
    float *out = floats_of(n), *a = floats_of(before), *b = floats_of(n - before);
    type->decode(whole, out, n);
    type->decode(first, a, before);
    type->decode(second, b, n - before);
    CHECK(memcmp(out, a, before * sizeof *a) == 0 &&
          memcmp(out + before, b, (n - before) * sizeof *b) == 0);
    free(whole);
    free(first - 1);
    free(second - 3);
    free(a);
    free(b);
    return out;
}

static void check_finite(const float *values, uint64_t n)
{
    uint64_t at = 0;
    while (at < n && isfinite(values[at]))
        at++;
    CHECK(lort_find_nonfinite(values, n) == at);
}

/* F32, F16 and BF16 come back as they were; a NaN stays a NaN. */
static void check_back(const lort_dtype_info *type, const uint8_t *bytes, const float *values,
                       uint64_t n)
{
    lort_encode_fn *encode = lort_dtype_encoder(type->id);
    if (!encode || n == 0)
        return;
    uint8_t *again = malloc(n * type->block_bytes);
    CHECK(again);
    encode(values, again, n);
    for (uint64_t i = 0; i < n; i++) {
        float back;
        type->decode(again + i * type->block_bytes, &back, 1);
        CHECK(isnan(values[i]) ? isnan(back)
                               : memcmp(again + i * type->block_bytes,
                                        bytes + i * type->block_bytes, type->block_bytes) == 0);
    }
    free(again);
}

/* Returns the value of a magnitude of 16 bits. Inf is where the next number would be. */
static double f16_of(uint16_t h) { return h == 0x7c00 ? 65536 : (double)lort_f16_to_f32(h); }
static double bf16_of(uint16_t h) { return h == 0x7f80 ? 0x1p128 : (double)one_from_bf16(h); }

static void check_nearest(float x, uint16_t found, uint16_t infinite, double (*value)(uint16_t))
{
    const uint16_t magnitude = found & 0x7fff;
    if (isnan(x)) {
        CHECK(magnitude > infinite);
        return;
    }
    CHECK(magnitude <= infinite && found >> 15 == (signbit(x) != 0) &&
          (!isinf(x) || magnitude == infinite));
    const double size = fabs((double)x), off = fabs(size - value(magnitude));
    for (int side = -1; side <= 1 && !isinf(x); side += 2) {
        if ((side < 0 && magnitude == 0) || (side > 0 && magnitude == infinite))
            continue;
        const double other = fabs(size - value((uint16_t)(magnitude + side)));
        CHECK(off < other || (off == other && magnitude % 2 == 0));
    }
}

static void check_halves(const float *values, uint64_t n)
{
    uint8_t *f16 = malloc(2 * n + 1), *bf16 = malloc(2 * n + 1);
    CHECK(f16 && bf16);
    lort_store_f16(values, f16, n);
    lort_store_bf16(values, bf16, n);
    for (uint64_t i = 0; i < n; i++) {
        CHECK(lort_load_u16(f16 + 2 * i) == lort_f32_to_f16(values[i]) &&
              lort_load_u16(bf16 + 2 * i) == one_to_bf16(values[i]));
        check_nearest(values[i], lort_load_u16(f16 + 2 * i), 0x7c00, f16_of);
        check_nearest(values[i], lort_load_u16(bf16 + 2 * i), 0x7f80, bf16_of);
    }
    free(f16);
    free(bf16);
}

static void check_q8_0(const float *values, uint64_t n)
{
    uint8_t bytes[34];
    float back[32];
    for (uint64_t at = 0; at + 32 <= n; at += 32) {
        lort_store_q8_0(values + at, bytes, 32);
        lort_decode_q8_0(bytes, back, 32);
        const double step = (double)lort_f16_to_f32(lort_load_u16(bytes)),
                     least = step > 0x1p-24 ? step : 0x1p-24;
        for (int i = 0; i < 32; i++) {
            CHECK(isfinite(back[i]) && fabs((double)back[i]) <= 127 * 65504.0);
            if (fabs((double)values[at + i]) <= 8.3e6)
                CHECK(fabs((double)values[at + i] - (double)back[i]) <= 0.5 * (1 + 1e-6) * least);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    uint32_t rows = 0;
    while (rows < TYPES_MOST && lort_dtype_at(rows))
        rows++;
    const lort_dtype_info *type = lort_dtype_at(input_u8(&in) % rows);
    const unsigned cut = input_u8(&in);
    uint64_t blocks = in.left / type->block_bytes;
    blocks = blocks < BLOCKS_MOST ? blocks : BLOCKS_MOST;
    const uint64_t n = blocks * type->block_elements;
    check_type(type, n, blocks * type->block_bytes);
    if (!type->decode)
        return 0;
    float *values = decode(type, in.at, blocks, cut % (blocks + 1));
    check_finite(values, n);
    check_back(type, in.at, values, n);
    check_halves(values, n);
    check_q8_0(values, n);
    free(values);
    return 0;
}
