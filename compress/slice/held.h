/* kept: the coded blocks of a slice, held from the pass that measured them until they are written. It saves a pass where there is memory to spare, and changes no
 * byte: where one block finds no room all are dropped, and coded again when they are written. */
#ifndef LORT_COMPRESS_KEPT_H
#define LORT_COMPRESS_KEPT_H

#include "compress/coder/block.h"
#include "compress/coder/weighting.h"

typedef struct lort_kept_block {
    lort_block_coded coded;
    lort_weighed error;
    void *bytes; /* [coded.stored]; NULL: there was no room */
} lort_kept_block;

typedef struct lort_kept {
    const lort_alloc *alloc; /* NULL: nothing is held */
    lort_kept_block *blocks;
    uint64_t count;
} lort_kept;

/* Makes room for the blocks of a slice; alloc NULL, or no memory: nothing will be held. */
void lort_kept_open(lort_kept *kept, const lort_alloc *alloc, uint64_t count);
/* Holds a copy of a block, if there is room. Each block is one thread's. */
void lort_kept_put(lort_kept *kept, uint64_t number, const lort_block_coded *coded, const lort_weighed *error, const void *bytes);
/* True if all blocks are held; else none is from now on. */
bool lort_kept_whole(lort_kept *kept);
void lort_kept_empty(lort_kept *kept); /* the blocks; room for others stays */
void lort_kept_close(lort_kept *kept); /* accepts zeroed */

#endif
