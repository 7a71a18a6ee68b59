/* block: one block of quantised weights <-> the chunk that stores it (docs/FORMAT.md, "Quantised
 * blocks"). */
#ifndef LORT_COMPRESS_CODER_BLOCK_H
#define LORT_COMPRESS_CODER_BLOCK_H

#include "compress/coder/stream.h"
#include "formats/base/alloc.h"
#include "loader/store/codec.h"
#include <stdbool.h>

/* What one worker needs for a block of a grid: to write it, or only to read it. */
typedef struct lort_block_space {
    float *weights; /* [rows][cols] of the block: in to write, out when read */
    float *decoded; /* writers: what a reader will see */
    uint8_t *body;  /* what the frames hold */
    uint8_t *coded; /* writers: the frames */
    void *scratch;  /* writers: of the trellis */
    void *tables;   /* of the entropy coder */
    uint64_t coded_size, size;
    void *memory;
} lort_block_space;

/* What blocks a session must have room for; weights 0: none. */
typedef struct lort_block_need {
    int64_t weights, cols;
    bool write;
} lort_block_need;

/* Widens a need to the blocks of a rows x cols slice. */
void lort_block_need_add(lort_block_need *need, int64_t rows, int64_t cols);
/* 0 for no need. */
uint64_t lort_block_space_bytes(const lort_block_need *need);
lort_code lort_block_space_open(lort_block_space *space, const lort_alloc *alloc,
                                const lort_block_need *need, lort_error *err);
void lort_block_space_close(lort_block_space *space, const lort_alloc *alloc); /* accepts zeroed */

/* most bytes a coded block can have */
uint64_t lort_block_coded_bound(const lort_block_need *need);

typedef struct lort_block_coded {
    uint64_t stored, decoded; /* bytes in space->coded, and of the body behind them */
    double error2;            /* sum of (weight - decoded)^2, of the floats a reader gets */
    double measured2;         /* as lort_block_measure has it */
} lort_block_coded;

/* Sum of (weight - decoded)^2 over space->weights once they are integers of `step`; a reader's
 * differs from it by the rounding of f32. With block->show what a reader gets is left in
 * space->decoded. */
double lort_block_measure(const lort_block *block, float step, lort_block_space *space);
/* space->weights as integers of `step`, entropy-coded into space->coded; space->decoded as above.
 * The result depends on the weights, the codes, the step and the zstd version only. */
lort_code lort_block_encode(const lort_block *block, float step, lort_codec *codec,
                            lort_block_space *space, lort_block_coded *out, lort_error *err);
/* A body of `bytes` bytes in space->body to space->weights. Nothing in it is believed:
 * LORT_E_DAMAGED. */
lort_code lort_block_decode(lort_block *block, float step, uint64_t bytes, lort_block_space *space,
                            lort_error *err);

#endif
