/* held: the coded blocks of a slice, in memory from the pass that measured them until they are
 * written. This saves a pass where there is memory to spare, and changes no byte. If one block
 * finds no room, LoRT drops all blocks of the slice and codes them again when it writes them. */
#ifndef LORT_COMPRESS_SLICE_HELD_H
#define LORT_COMPRESS_SLICE_HELD_H

#include "compress/coder/block.h"
#include "compress/coder/weighting.h"

typedef struct lort_held_block {
    lort_block_coded coded;
    lort_weighed error;
    void *bytes; /* [coded.stored]; NULL: no room */
} lort_held_block;

typedef struct lort_held {
    const lort_alloc *alloc; /* NULL: nothing is held */
    lort_held_block *blocks;
    uint64_t count;
} lort_held;

/* Prepares to hold `count` blocks of a slice. If alloc is NULL or memory is short, nothing will be
 * held. */
void lort_held_open(lort_held *held, const lort_alloc *alloc, uint64_t count);
/* Holds a copy of a block if there is room; replaces an earlier copy of this block. Threads: each
 * block number is one thread's. */
void lort_held_put(lort_held *held, uint64_t number, const lort_block_coded *coded,
                   const lort_weighed *error, const void *bytes);
/* True if all blocks are held. Else drops all of them. */
bool lort_held_whole(lort_held *held);
void lort_held_close(lort_held *held); /* accepts a zeroed one */

#endif
