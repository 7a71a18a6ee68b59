/* Fuzz target: integers written and read. For any weights, a coded block is within the bounds of
 * the container's gate. It reads back to exactly the values and the error that the writer reported.
 * Input: rows - 1, columns - 1, exponent of the step, a seed of the codes, and the weights, two
 * bytes each. */
#include "compress/coder/block.h"
#include "formats/types/half.h"
#include "fuzz_input.h"
#include <math.h>

#define ROWS_MOST 40
#define COLS_MOST 64

static lort_codec *codec;

typedef struct matrix {
    lort_block block;
    uint8_t codes[ROWS_MOST + COLS_MOST];
    float weights[ROWS_MOST * COLS_MOST];
    size_t count;
    float step;
} matrix;

/* Reads F16. NaN and Inf become other numbers, since a coded slice has none. Once the input has
 * ended, its values repeat. */
static void read_input(input *in, matrix *m)
{
    m->block = (lort_block){.rows = input_u8(in) % ROWS_MOST + 1,
                            .cols = input_u8(in) % COLS_MOST + 1,
                            .row_codes = m->codes,
                            .show = true};
    m->block.col_codes = m->codes + m->block.rows;
    m->step = ldexpf(1, input_u8(in) % 60 - 40);
    const unsigned seed = input_u8(in);
    for (unsigned i = 0; i < sizeof m->codes; i++)
        m->codes[i] = (uint8_t)(128 + (int)(seed % 16) * ((int)(i * 7 % 11) - 5));
    m->count = (size_t)(m->block.rows * m->block.cols);
    const size_t there = in->left / 2;
    double sum = 0;
    for (size_t i = 0; i < m->count; i++) {
        const float x = i < there ? lort_f16_to_f32(input_u16(in))
                        : there   ? m->weights[i % there]
                                  : 0;
        m->weights[i] = isfinite(x) ? x : 1;
        sum += (double)m->weights[i] * (double)m->weights[i];
    }
    m->block.mean2 = sum / (double)m->count;
    lort_block_classes(&m->block);
}

static void write_and_read(matrix *m, lort_block_space *space)
{
    lort_block_coded coded;
    lort_block read = {.rows = m->block.rows,
                       .cols = m->block.cols,
                       .row_codes = m->block.row_codes,
                       .col_codes = m->block.col_codes};
    double error2 = 0;
    memcpy(space->weights, m->weights, m->count * sizeof *m->weights);
    CHECK(lort_block_encode(&m->block, m->step, codec, space, &coded, NULL) == LORT_OK);
    CHECK(coded.decoded <= LORT_BLOCK_HEAD_MAX + 4 * (uint64_t)m->count &&
          coded.stored <= space->coded_size);
    CHECK(coded.stored > 0 && coded.stored <= coded.decoded + coded.decoded / 128 + 1024);
    uint8_t *bytes = exact_copy(space->coded, coded.stored, 0),
            *shown = exact_copy(space->decoded, m->count * sizeof(float), 0);
    CHECK(lort_codec_decode_frames(codec, bytes, coded.stored, space->body, coded.decoded, NULL) ==
          LORT_OK);
    CHECK(lort_block_decode(&read, m->step, coded.decoded, space, NULL) == LORT_OK);
    CHECK(memcmp(space->weights, shown, m->count * sizeof(float)) == 0);
    for (size_t i = 0; i < m->count; i++)
        error2 += ((double)m->weights[i] - (double)space->weights[i]) *
                  ((double)m->weights[i] - (double)space->weights[i]);
    CHECK(fabs(error2 - coded.error2) <= 1e-9 * error2);
    free(bytes);
    free(shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static matrix m;
    static lort_block_space space;
    input in = {data, size};
    lort_block_need need = {.write = true};
    lort_block_need_add(&need, ROWS_MOST, COLS_MOST);
    if (!codec)
        CHECK(lort_codec_open(1, &codec, NULL) == LORT_OK &&
              lort_block_space_open(&space, &lort_alloc_heap, &need, NULL) == LORT_OK);
    read_input(&in, &m);
    write_and_read(&m, &space);
    return 0;
}
