/* Fuzz target: blocks of trits. No crash. Accepted values are -scale, 0 or scale, and pack to the
 * same bytes again. Input: rows - 1, columns - 1, and the bytes. */
#include "compress/coder/trits.h"
#include "fuzz.h"

#define ROWS_MOST 16
#define COLS_MOST 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const int64_t rows = data[0] % ROWS_MOST + 1, cols = data[1] % COLS_MOST + 1;
    const size_t count = (size_t)(rows * cols), all = (size_t)lort_trits_bytes(count);
    float scales[ROWS_MOST];
    lort_error err = {0};
    if (size - 2 < all)
        return 0;
    for (int64_t r = 0; r < rows; r++)
        scales[r] = (float)(r + 1);
    /* of exact size, so that ASan sees one element too many */
    uint8_t *bytes = malloc(all), *again = malloc(all), *digits = malloc(count + LORT_TRITS - 1);
    float *first = malloc(count * sizeof *first), *decoded = malloc(count * sizeof *decoded);
    CHECK(bytes && again && digits && first && decoded);
    memcpy(bytes, data + 2, all);
    const lort_code code = lort_trits_unpack(bytes, rows, cols, scales, first, &err);
    CHECK(code == LORT_OK || (code == LORT_E_DAMAGED && err.message[0]));
    if (code == LORT_OK) {
        for (size_t i = 0; i < count; i++) {
            const float scale = scales[i / (size_t)cols];
            CHECK(first[i] == scale || first[i] == -scale || first[i] == 0);
        }
        lort_trits_pack(first, rows, cols, scales, digits, again, decoded);
        CHECK(memcmp(again, bytes, all) == 0 && memcmp(decoded, first, count * sizeof *first) == 0);
    }
    free(bytes);
    free(again);
    free(digits);
    free(first);
    free(decoded);
    return 0;
}
