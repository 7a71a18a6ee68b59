/* block: one block of quantised weights to the chunk that stores it, and back (docs/FORMAT.md,
 * "Blocks of integers"). The room compress/coder owns the way from weights to integers or trits,
 * from these to bytes, and back. It must not read a tensor or choose a target. */
#ifndef LORT_COMPRESS_CODER_BLOCK_H
#define LORT_COMPRESS_CODER_BLOCK_H

#include "compress/coder/stream.h"
#include "formats/base/alloc.h"
#include "loader/store/codec.h"
#include <stdbool.h>

/* The buffers of one worker for the blocks of a grid. A reader needs fewer of them than a writer.
 */
typedef struct lort_block_space {
    float *weights; /* [rows][cols] of the block: input of a writer, output of a reader */
    float *decoded; /* writers: [rows][cols] as a reader will see them */
    uint8_t *body;  /* the bytes in the frames, decompressed */
    uint8_t *coded; /* writers: the frames */
    void *scratch;  /* writers: for the trellis */
    void *tables;   /* for the entropy coder */
    uint64_t coded_size, size;
    double loss; /* writers: of the block that was quantised last, with feedback */
    void *memory;
} lort_block_space;

/* The largest block that a session must have room for. weights 0: the session has no blocks. */
typedef struct lort_block_need {
    int64_t weights, cols;
    bool write;
} lort_block_need;

/* Raises `need` so that it covers the blocks of a slice of rows x cols. */
void lort_block_need_add(lort_block_need *need, int64_t rows, int64_t cols);
/* Returns the bytes that a space for this need takes; 0 if there is no need. */
uint64_t lort_block_space_bytes(const lort_block_need *need);
/* Takes the memory of a space from alloc; 0 bytes if there is no need. On failure: the error of the
 * allocator. Owner: the caller, who closes the space. */
lort_code lort_block_space_open(lort_block_space *space, const lort_alloc *alloc,
                                const lort_block_need *need, lort_error *err);
/* Accepts a zeroed space. */
void lort_block_space_close(lort_block_space *space, const lort_alloc *alloc);

/* Returns the most bytes that a coded block can have. */
uint64_t lort_block_coded_bound(const lort_block_need *need);

typedef struct lort_block_coded {
    uint64_t stored, decoded; /* bytes in space->coded, and of the body in its frames */
    double error2;    /* sum of (weight - decoded)^2 over the f32 values that a reader gets */
    double measured2; /* that sum as lort_block_measure returns it */
} lort_block_coded;

/* Quantises space->weights [rows][cols] with this step, and returns the sum of (weight -
 * decoded)^2. The sum misses the rounding of a reader's values to f32. If block->show is set,
 * space->decoded holds the reader's values afterwards. Threads: one space per thread. */
double lort_block_measure(const lort_block *block, float step, lort_block_space *space);
/* Quantises space->weights [rows][cols] with this step, and entropy-codes the integers into
 * space->coded. space->decoded is filled as in lort_block_measure. The bytes depend only on the
 * weights, the codes, the step and the zstd version. Threads: one space and one codec per thread.
 */
lort_code lort_block_encode(const lort_block *block, float step, lort_codec *codec,
                            lort_block_space *space, lort_block_coded *out, lort_error *err);
/* Decodes a body of `bytes` bytes in space->body to space->weights [rows][cols]. The caller sets
 * block's rows, cols and codes; this function sets base and shift. It believes nothing in the body.
 * It reads the packed coding of algorithm version 2 as well.
 * On failure: LORT_E_DAMAGED. Source: docs/FORMAT.md, "Blocks of integers". */
lort_code lort_block_decode(lort_block *block, float step, uint64_t bytes, lort_block_space *space,
                            lort_error *err);

#endif
