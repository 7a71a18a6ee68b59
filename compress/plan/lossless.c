/* lossless: see lossless.h. */
#include "compress/plan/lossless.h"
#include "compress/slice/chunk.h"
#include "formats/types/planes.h"
#include "loader/store/codec.h"

#define TENSORS_MOST 1024u
#define READ_MOST (UINT64_C(32) << 20) /* bytes of a model */
#define PIECES 16u                     /* of a tensor, at most */
#define PIECES_LEAST 4u
#define PIECE_MOST (64u << 10)

typedef struct sampler {
    lort_session *session;
    lort_model *model;
    lort_codec *codec;
    uint8_t *piece, *planes, *coded; /* one allocation: that of piece */
    uint64_t coded_size, taken;
    uint64_t piece_bytes, pieces; /* of each tensor */
} sampler;

/* Encodes one piece as a chunk is encoded. */
static lort_code encode_piece(const sampler *s, const lort_tensor_plan *planned, uint64_t at,
                              uint64_t n, uint64_t *stored, lort_error *err)
{
    const lort_tensor *tensor = planned->tensor;
    const uint32_t width = tensor->type->plane_width;
    const uint8_t *src;
    lort_code code = lort_session_check_stop(s->session, err);
    if (code == LORT_OK)
        code = lort_model_view(s->model, tensor->file, tensor->offset + at, n, s->piece, &src, err);
    if (code)
        return code;
    if (planned->base)
        return lort_chunk_encode_against(
            s->session, planned->base - 1, at, s->codec,
            &(lort_scratch){.planes = s->planes, .coded = s->coded, .coded_size = s->coded_size},
            tensor->type, src, n, stored, err);
    if (width > 1) {
        lort_planes_split(src, s->planes, n, width, tensor->type->rotate);
        src = s->planes;
    }
    return lort_codec_encode_planes(s->codec, src, n, width, s->coded, s->coded_size, stored, err);
}

/* Encodes all pieces of a tensor, or as many as a sample has, evenly spaced. */
static lort_code sample_tensor(const sampler *s, lort_tensor_plan *planned, lort_error *err)
{
    const lort_tensor *tensor = planned->tensor;
    const uint64_t unit = tensor->type->block_bytes ? tensor->type->block_bytes : 1,
                   piece = s->piece_bytes / unit * unit;
    if (piece == 0 || tensor->bytes == 0)
        return LORT_OK;
    const uint64_t all = (tensor->bytes - 1) / piece + 1, some = all < s->pieces ? all : s->pieces;
    uint64_t in = 0, out = 0;
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < some && code == LORT_OK; i++) {
        const uint64_t at = (some < 2 ? 0 : i * (all - 1) / (some - 1)) * piece,
                       left = tensor->bytes - at, n = left < piece ? left : piece;
        uint64_t stored = 0;
        code = encode_piece(s, planned, at, n, &stored, err);
        in += n;
        out += stored;
    }
    if (code == LORT_OK)
        code = lort_model_check(s->model, tensor->file, err);
    planned->lossless_share = code ? 0 : (double)out / (double)in;
    planned->lossless_whole = some == all;
    return code;
}

/* Divides what may be read among so many tensors. */
static lort_code open_sampler(sampler *s, uint64_t tensors, lort_error *err)
{
    const uint64_t each = READ_MOST / (tensors ? tensors : 1);
    void *memory;
    s->piece_bytes = each / PIECES_LEAST < PIECE_MOST ? each / PIECES_LEAST : PIECE_MOST;
    s->pieces = each / s->piece_bytes < PIECES ? each / s->piece_bytes : PIECES;
    s->coded_size = lort_codec_bound(PIECE_MOST);
    s->taken = 2 * PIECE_MOST + s->coded_size;
    lort_code code = lort_take(&s->session->alloc, s->taken, "samples", &memory, err);
    if (code)
        return code;
    s->piece = memory;
    s->planes = s->piece + PIECE_MOST;
    s->coded = s->planes + PIECE_MOST;
    return lort_codec_open(LORT_ZSTD_LEVEL_DEFAULT, &s->codec, err);
}

static void close_sampler(sampler *s)
{
    lort_codec_close(s->codec);
    if (s->piece)
        lort_give(&s->session->alloc, s->piece, s->taken);
}

static bool is_wanted(const lort_tensor_plan *planned) { return planned->tensor && !planned->same; }

lort_code lort_lossless_sample(lort_session *session, lort_model *model, lort_work_plan *plan,
                               lort_error *err)
{
    sampler s = {.session = session, .model = model};
    uint64_t count = 0, seen = 0;
    for (uint64_t i = 0; i < plan->count; i++)
        count += is_wanted(&plan->tensors[i]);
    const uint64_t step = count / TENSORS_MOST + 1;
    lort_code code = open_sampler(&s, (count + step - 1) / step, err);
    for (uint64_t i = 0; i < plan->count && code == LORT_OK; i++)
        if (is_wanted(&plan->tensors[i]) && seen++ % step == 0)
            code = sample_tensor(&s, &plan->tensors[i], err);
    close_sampler(&s);
    return code;
}
