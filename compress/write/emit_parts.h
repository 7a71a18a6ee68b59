/* emit_parts: the emitter, private to emit.c and emit_slice.c. */
#ifndef LORT_COMPRESS_WRITE_EMIT_PARTS_H
#define LORT_COMPRESS_WRITE_EMIT_PARTS_H

#include "compress/write/emit.h"
#include "compress/write/part.h"

struct lort_emitter {
    const lort_decider *decider;
    const lort_work_plan *plan;
    lort_publish *publish;
    lort_scratch *slots; /* [window] */
    unsigned window;
    lort_part_draft part;
    lort_chunk *chunks; /* of the part; grows */
    uint64_t chunk_count, chunk_room;
    lort_index_entry *entries;
    lort_hash128 *sources; /* [plan->count]: source hashes of the finished parts */
    lort_hasher *model_hash;
    lort_hasher *parts_hash; /* of a task: of the bodies of the PART records */
    uint64_t counted;        /* payloads and records that count in bits per weight */
    bool distrusted;         /* bytes of the input are not those that a server promised */
};

/* Appends bytes of the input losslessly, as the raw array of one slice. */
lort_code lort_emit_raw(lort_emitter *emitter, uint32_t slice, uint64_t offset, uint64_t bytes,
                        lort_error *err);

static inline lort_session *lort_emitter_session(const lort_emitter *emitter)
{
    return emitter->decider->session;
}
static inline const lort_alloc *lort_emitter_alloc(const lort_emitter *emitter)
{
    return &emitter->decider->session->alloc;
}

#endif
