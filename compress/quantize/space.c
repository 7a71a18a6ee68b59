/* space: see space.h. */
#include "compress/quantize/space.h"
#include "compress/plan/room.h"
#include "compress/quantize/source.h"
#include "formats/container/part.h"

/* Bytes for records, hashers, notes and the read-back of the output. */
#define SMALL_THINGS ((uint64_t)4 << 20)
/* Bytes that a choice of types takes at most (choice/allocate.h, fill.h). */
#define CHOICE_BYTES ((uint64_t)22 << 20)
#define SLOT_BYTES sizeof(float) /* of an element in the largest type that is written */

static uint64_t chunk_of(const lort_quantizer *q)
{
    return q->input.archive ? lort_archive_chunk_max(q->input.archive) : LORT_CHUNK_TARGET;
}

static uint64_t worker_bytes(const lort_quantizer *q)
{
    return sizeof(lort_quantize_worker) + q->piece_elements * sizeof(float) +
           (q->input.archive ? LORT_CELL_VALUES * sizeof(float) : 0) +
           3 * LORT_ENCODE_ELEMENTS * sizeof(float);
}

/* The headers of a model are parsed already; that of the output is as long, and grows by doubling.
 */
static uint64_t headers_bytes(const lort_quantizer *q)
{
    uint64_t bytes = 0;
    if (q->input.archive)
        return lort_headers_cost(q->input.archive, true);
    for (uint32_t i = 0; i < lort_model_file_count(q->input.model); i++)
        bytes += 4 * lort_model_get_file(q->input.model, i)->header.header_bytes;
    return bytes;
}

/* The open slice of a container. */
static uint64_t slice_bytes(const lort_quantizer *q)
{
    uint64_t most = 0;
    for (uint64_t i = 0; q->input.archive && i < q->count; i++) {
        const uint64_t bytes = lort_part_memory(q->tensors[i].entry.part);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Finds the tensor with the largest pieces. */
static const lort_tensor *find_largest(lort_quantizer *q)
{
    const lort_tensor *which = NULL;
    q->piece_elements = LORT_ENCODE_ELEMENTS;
    for (uint64_t i = 0; i < q->count; i++) {
        const uint64_t most = lort_piece_most(&q->tensors[i].entry);
        if (most < q->piece_elements)
            continue;
        q->piece_elements = most;
        which = q->tensors[i].entry.tensor;
    }
    return which;
}

/* What a plan knows of a quantizer. */
typedef struct need {
    lort_quantizer *q;
    const lort_tensor *largest;
} need;

static uint64_t cost(void *ctx, lort_mode mode, unsigned threads, const lort_tensor **which)
{
    const need *n = ctx;
    const lort_quantizer *q = n->q;
    const lort_session *session = &q->reading.session;
    *which = n->largest;
    return session->base_anon + lort_budget_used(session->budget) +
           lort_session_cost(session, threads, LORT_ZSTD_LEVEL_DEFAULT, chunk_of(q),
                             &q->reading.blocks) +
           headers_bytes(q) + slice_bytes(q) + threads * worker_bytes(q) +
           2 * threads * SLOT_BYTES * q->piece_elements + SMALL_THINGS +
           (q->options->goal == LORT_GOAL_TYPE ? 0 : CHOICE_BYTES) +
           (mode == LORT_MODE_FULL && q->input.model ? lort_model_load_bytes(q->input.model) : 0);
}

static uint64_t per_worker(const lort_quantizer *q)
{
    return worker_bytes(q) - sizeof(lort_quantize_worker);
}

/* Cuts the buffers of worker i out of one block of memory. */
static void cut_buffers(lort_quantizer *q, unsigned i, float *at)
{
    lort_quantize_worker *w = &q->workers[i];
    w->values = at;
    at += q->piece_elements;
    w->cell = q->input.archive ? at : NULL;
    at += q->input.archive ? LORT_CELL_VALUES : 0;
    w->decoded = at;
    w->importance = at + LORT_ENCODE_ELEMENTS;
    w->coded = (uint8_t *)(at + 2 * LORT_ENCODE_ELEMENTS);
}

static lort_code take_buffers(lort_quantizer *q, lort_error *err)
{
    lort_session *session = lort_session_of(q);
    const unsigned threads = session->threads;
    void *memory;
    q->window = 2 * threads;
    lort_code code = lort_arena_take(&q->arena, threads * sizeof *q->workers, &memory, err);
    if (code)
        return code;
    q->workers = memory;
    q->memory_bytes = threads * per_worker(q) + q->window * SLOT_BYTES * q->piece_elements;
    code = lort_take(&session->alloc, q->memory_bytes, "stretches of tensors", &q->memory, err);
    for (unsigned i = 0; i < threads && code == LORT_OK; i++)
        cut_buffers(q, i, (float *)q->memory + i * (per_worker(q) / sizeof(float)));
    q->slots = code ? NULL : (uint8_t *)q->memory + threads * per_worker(q);
    return code;
}

static lort_code load_model(lort_quantizer *q, lort_error *err)
{
    lort_session *session = lort_session_of(q);
    if (q->mode != LORT_MODE_FULL || !q->input.model)
        return LORT_OK;
    lort_session_enter(session, LORT_PHASE_LOADING);
    return lort_model_load(q->input.model, &session->alloc, session->pool, err);
}

lort_code lort_space_start(lort_quantizer *q, lort_error *err)
{
    unsigned threads;
    need n = {q, find_largest(q)};
    lort_code code = lort_room_fit(lort_session_of(q), q->options->mode, q->options->memory_bytes,
                                   cost, &n, &q->mode, &threads, err);
    if (code == LORT_OK)
        code = lort_session_start(lort_session_of(q), threads, LORT_ZSTD_LEVEL_DEFAULT, chunk_of(q),
                                  &q->reading.blocks, err);
    if (code == LORT_OK)
        code = take_buffers(q, err);
    return code ? code : load_model(q, err);
}

void lort_space_close(lort_quantizer *q)
{
    lort_give(&lort_session_of(q)->alloc, q->memory, q->memory_bytes);
    q->memory = NULL;
}
