/* Fuzz target: bodies of quantised blocks. No crash. An accepted body decodes to the same finite
 * numbers twice. Input: rows - 1, columns - 1, a seed of the codes, and the body. The seeds
 * packed-* are from commit a2ce9b1: nothing writes the packed coding today. */
#include "compress/coder/block.h"
#include "fuzz.h"
#include <math.h>

#define ROWS_MOST 40
#define COLS_MOST 64

typedef struct input {
    lort_block block;
    uint8_t codes[ROWS_MOST + COLS_MOST];
    const uint8_t *body;
    size_t bytes, weights;
} input;

static void read_input(const uint8_t *data, size_t size, input *in)
{
    in->block = (lort_block){
        .rows = data[0] % ROWS_MOST + 1, .cols = data[1] % COLS_MOST + 1, .row_codes = in->codes};
    in->block.col_codes = in->codes + in->block.rows;
    in->weights = (size_t)(in->block.rows * in->block.cols);
    in->body = data + 3;
    in->bytes = size - 3;
    for (int i = 0; i < ROWS_MOST + COLS_MOST; i++) /* seed 0: all codes in the middle */
        in->codes[i] = (uint8_t)(128 + data[2] * (i * 7 % 11 - 5) / 16);
}

/* Every buffer has its exact size, so that ASan sees one element too many. */
static lort_code decode(const input *in, float *weights, lort_error *err)
{
    lort_block block = in->block;
    lort_block_space space = {.weights = weights,
                              .tables = malloc(LORT_STREAM_TABLES),
                              .body = malloc(in->bytes + LORT_SLACK)};
    CHECK(space.tables && space.body);
    memcpy(space.body, in->body, in->bytes);
    lort_code code = lort_block_decode(&block, 0.5f, in->bytes, &space, err);
    free(space.tables);
    free(space.body);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in;
    lort_error err = {0};
    if (size < 3)
        return 0;
    read_input(data, size, &in);
    float *first = malloc(in.weights * sizeof *first),
          *second = malloc(in.weights * sizeof *second);
    CHECK(first && second);
    const lort_code code = decode(&in, first, &err);
    CHECK(code == LORT_OK || (code == LORT_E_DAMAGED && err.message[0]));
    if (code == LORT_OK) {
        CHECK(decode(&in, second, &err) == LORT_OK &&
              memcmp(first, second, in.weights * sizeof *first) == 0);
        for (size_t i = 0; i < in.weights; i++)
            CHECK(isfinite(first[i]) && fabsf(first[i]) <= 1 << 20);
    }
    free(first);
    free(second);
    return 0;
}
