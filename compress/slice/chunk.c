/* chunk: see chunk.h. */
#include "compress/slice/chunk.h"
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
/* A run of input. LoRT measures its lossless size on evenly spaced chunks. */
typedef struct sampling {
    const lort_decider *decider;
    lort_work work;
    const lort_dtype_info *type;
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
        code = lort_chunk_encode(scratch->codec, scratch, s->type, src, n, &stored, err);
    if (code)
        return code;
    s->in += n;
    s->out += stored;
    return LORT_OK;
}

lort_code lort_raw_size(const lort_decider *decider, lort_work work, const lort_dtype_info *type,
                        const lort_range *range, uint64_t most, uint64_t *bytes, lort_error *err)
{
    sampling s = {.decider = decider,
                  .work = work,
                  .type = type,
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
    return lort_raw_size(source->decider, work, tensor->type, &range, most, bytes, err);
}
