/* See kept.h. */
#include "compress/slice/held.h"
#include <string.h>

void lort_kept_open(lort_kept *kept, const lort_alloc *alloc, uint64_t count)
{
    void *memory;
    *kept = (lort_kept){0};
    if (alloc && lort_take_zero(alloc, count * sizeof *kept->blocks, "kept blocks", &memory, NULL) == LORT_OK)
        *kept = (lort_kept){.alloc = alloc, .blocks = memory, .count = count};
}

static void give_block(lort_kept *kept, uint64_t number)
{
    lort_kept_block *block = &kept->blocks[number];
    lort_give(kept->alloc, block->bytes, block->coded.stored);
    *block = (lort_kept_block){.bytes = NULL};
}

void lort_kept_put(lort_kept *kept, uint64_t number, const lort_block_coded *coded, const lort_weighed *error, const void *bytes)
{
    void *memory;
    if (!kept->alloc)
        return;
    give_block(kept, number);
    if (lort_take(kept->alloc, coded->stored, "a kept block", &memory, NULL))
        return;
    memcpy(memory, bytes, (size_t)coded->stored);
    kept->blocks[number] = (lort_kept_block){*coded, *error, memory};
}

bool lort_kept_whole(lort_kept *kept)
{
    for (uint64_t i = 0; i < kept->count; i++)
        if (!kept->blocks[i].bytes) {
            lort_kept_close(kept);
            return false;
        }
    return kept->count > 0;
}

void lort_kept_empty(lort_kept *kept)
{
    for (uint64_t i = 0; i < kept->count; i++)
        give_block(kept, i);
}

void lort_kept_close(lort_kept *kept)
{
    lort_kept_empty(kept);
    if (kept->alloc)
        lort_give(kept->alloc, kept->blocks, kept->count * sizeof *kept->blocks);
    *kept = (lort_kept){0};
}
