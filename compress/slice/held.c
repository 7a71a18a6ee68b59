/* held: see held.h. */
#include "compress/slice/held.h"
#include <string.h>

void lort_held_open(lort_held *held, const lort_alloc *alloc, uint64_t count)
{
    void *memory;
    *held = (lort_held){0};
    if (alloc && lort_take_zero(alloc, count * sizeof *held->blocks, "held blocks", &memory,
                                NULL) == LORT_OK)
        *held = (lort_held){.alloc = alloc, .blocks = memory, .count = count};
}

static void give_block(lort_held *held, uint64_t number)
{
    lort_held_block *block = &held->blocks[number];
    lort_give(held->alloc, block->bytes, block->coded.stored);
    *block = (lort_held_block){.bytes = NULL};
}

void lort_held_put(lort_held *held, uint64_t number, const lort_block_coded *coded,
                   const lort_weighed *error, const void *bytes)
{
    void *memory;
    if (!held->alloc)
        return;
    give_block(held, number);
    if (lort_take(held->alloc, coded->stored, "a held block", &memory, NULL))
        return;
    memcpy(memory, bytes, (size_t)coded->stored);
    held->blocks[number] = (lort_held_block){*coded, *error, memory};
}

bool lort_held_whole(lort_held *held)
{
    for (uint64_t i = 0; i < held->count; i++)
        if (!held->blocks[i].bytes) {
            lort_held_close(held);
            return false;
        }
    return held->count > 0;
}

static void give_blocks(lort_held *held)
{
    for (uint64_t i = 0; i < held->count; i++)
        give_block(held, i);
}

void lort_held_close(lort_held *held)
{
    give_blocks(held);
    if (held->alloc)
        lort_give(held->alloc, held->blocks, held->count * sizeof *held->blocks);
    *held = (lort_held){0};
}
