/* chunk: see chunk.h. */
#include "compress/slice/chunk.h"
#include "compress/delta/base.h"
#include "formats/container/difference.h"
#include "formats/types/planes.h"

uint64_t lort_chunk_elements(const lort_dtype_info *type)
{
    return (uint64_t)(LORT_CHUNK_TARGET / type->block_bytes) * type->block_elements;
}

uint64_t lort_chunk_bytes(const lort_dtype_info *type)
{
    return lort_chunk_elements(type) / type->block_elements * type->block_bytes;
}

lort_code lort_chunk_encode(lort_codec *codec, lort_scratch *buffers, const lort_dtype_info *type,
                            const uint8_t *src, uint64_t bytes, uint64_t *stored, lort_error *err)
{
    if (type->plane_width > 1) {
        lort_planes_split(src, buffers->planes, bytes, type->plane_width, type->rotate);
        src = buffers->planes;
    }
    return lort_codec_encode_planes(codec, src, bytes, type->plane_width, buffers->coded,
                                    buffers->coded_size, stored, err);
}
/* ---- differences ---- */

/* A body of more than this share of the bytes may be larger than the form without a base. */
#define SURE(bytes) ((bytes) / 8 * 5)

typedef struct against_space {
    lort_difference_space coder;
    uint8_t bytes[2][LORT_CHUNK_TARGET]; /* of the base, and the body */
} against_space;

uint64_t lort_chunk_against_cost(const lort_session *session, unsigned threads)
{
    return session->base ? threads * sizeof(against_space) + lort_base_cost(session->base, threads)
                         : 0;
}

/* Encodes the body as one frame. */
static lort_code encode_body(lort_codec *codec, lort_scratch *buffers, const uint8_t *body,
                             uint64_t bytes, uint64_t *stored, lort_error *err)
{
    return lort_codec_encode_symbols(codec, body, bytes, buffers->coded, buffers->coded_size,
                                     stored, err);
}

static lort_code encode_smaller(lort_codec *codec, lort_scratch *buffers,
                                const lort_dtype_info *type, const uint8_t *src, uint64_t bytes,
                                const uint8_t *body, uint64_t body_bytes, uint64_t *stored,
                                lort_error *err)
{
    uint64_t difference = UINT64_MAX;
    lort_code code = LORT_OK;
    if (body_bytes < bytes)
        code = encode_body(codec, buffers, body, body_bytes, &difference, err);
    *stored = difference;
    if (code || difference < SURE(bytes))
        return code;
    code = lort_chunk_encode(codec, buffers, type, src, bytes, stored, err);
    return code || *stored <= difference
               ? code
               : encode_body(codec, buffers, body, body_bytes, stored, err);
}

lort_code lort_chunk_encode_against(lort_session *session, uint64_t number, uint64_t offset,
                                    lort_codec *codec, lort_scratch *buffers,
                                    const lort_dtype_info *type, const uint8_t *src, uint64_t bytes,
                                    uint64_t *stored, lort_error *err)
{
    void *memory;
    lort_code code = lort_take(&session->alloc, sizeof(against_space), "differences", &memory, err);
    if (code)
        return code;
    against_space *space = memory;
    code = lort_base_bytes(session->base, number, offset, bytes, space->bytes[0], err);
    if (code == LORT_OK) {
        const uint64_t body = lort_difference_encode(type, src, space->bytes[0], bytes,
                                                     space->bytes[1], bytes, &space->coder);
        code = encode_smaller(codec, buffers, type, src, bytes, space->bytes[1], body, stored, err);
    }
    lort_give(&session->alloc, memory, sizeof(against_space));
    return code;
}

lort_code lort_chunk_encode_planned(const lort_decider *decider, const lort_tensor_plan *planned,
                                    uint64_t offset, lort_codec *codec, lort_scratch *buffers,
                                    const uint8_t *src, uint64_t bytes, uint64_t *stored,
                                    lort_error *err)
{
    const lort_dtype_info *type = planned->tensor ? planned->tensor->type : lort_dtype_get(LORT_U8);
    if (!planned->base)
        return lort_chunk_encode(codec, buffers, type, src, bytes, stored, err);
    return lort_chunk_encode_against(decider->session, planned->base - 1,
                                     offset - planned->tensor->offset, codec, buffers, type, src,
                                     bytes, stored, err);
}

/* ---- samples ---- */

/* A run of input. LoRT measures its lossless size on evenly spaced chunks. */
typedef struct sampling {
    const lort_decider *decider;
    lort_work work;
    const lort_tensor_plan *planned;
    uint32_t file;
    uint64_t base, total, chunk, chunks, samples;
    /* Bytes of the samples so far, before and after encoding. Sums of integers do not depend on the
     * order of the workers. */
    _Atomic uint64_t in, out;
} sampling;

static lort_code sample_chunk(void *ctx, int64_t item, unsigned worker, unsigned slot,
                              lort_error *err)
{
    sampling *s = ctx;
    lort_scratch *scratch = &s->decider->session->scratch[lort_work_worker(s->work, worker)];
    const uint64_t at = (s->samples < 2 ? 0 : (uint64_t)item * (s->chunks - 1) / (s->samples - 1)) *
                        s->chunk,
                   n = s->total - at < s->chunk ? s->total - at : s->chunk;
    const uint8_t *src;
    uint64_t stored;
    (void)slot;
    lort_code code =
        lort_model_view(s->decider->model, s->file, s->base + at, n, scratch->bytes, &src, err);
    if (code == LORT_OK)
        code = lort_chunk_encode_planned(s->decider, s->planned, s->base + at, scratch->codec,
                                         scratch, src, n, &stored, err);
    if (code)
        return code;
    s->in += n;
    s->out += stored;
    return LORT_OK;
}

lort_code lort_raw_size(const lort_decider *decider, lort_work work,
                        const lort_tensor_plan *planned, const lort_range *range, uint64_t most,
                        uint64_t *bytes, lort_error *err)
{
    const lort_dtype_info *type = planned->tensor ? planned->tensor->type : lort_dtype_get(LORT_U8);
    sampling s = {.decider = decider,
                  .work = work,
                  .planned = planned,
                  .file = range->file,
                  .base = range->offset,
                  .total = range->bytes,
                  .chunk = lort_chunk_bytes(type)};
    s.chunks = (s.total + s.chunk - 1) / s.chunk;
    s.samples = s.chunks < most ? s.chunks : most;
    lort_code code = lort_pool_each(work.pool, (int64_t)s.samples, sample_chunk, &s, err);
    *bytes = code              ? 0
             : s.in == s.total ? s.out
                               : (uint64_t)((double)s.out / (double)s.in * (double)s.total);
    return code;
}

lort_code lort_slice_raw_size(const lort_slice_source *source, lort_work work, uint64_t most,
                              uint64_t *bytes, lort_error *err)
{
    const lort_tensor *tensor = source->planned->tensor;
    const lort_range range = {tensor->file, source->base, lort_slice_bytes(source->planned)};
    return lort_raw_size(source->decider, work, source->planned, &range, most, bytes, err);
}
