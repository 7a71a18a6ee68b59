/* codec: zstd frames, both directions. One-shot calls only: nothing is streamed, so that memory is what
 * lort_codec_memory says and a decoder writes into the caller's buffer and nowhere else. */
#include "loader/codec.h"
#include "formats/container.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define LEVEL_MAX 19
#define WINDOW_LOG 20     /* of what we write: with it no level's tables grow with the input */
#define WINDOW_LOG_MAX 27 /* of what we read: the limit of `zstd -d` */
#define TRIAL_LEAST 1024u /* below this the second trial cannot gain what matters */
#define TRIAL_HASH_LOG 6  /* the smallest: finds runs and close repeats, leaves the rest to the entropy coder */
#define MIN_MATCH_MOST 7  /* the longest: in symbols of 2 bits and more a chance match never pays */
#define SPARE_BYTES ZSTD_COMPRESSBOUND(LORT_CHUNK_TARGET)

/* Blocks of a zstd frame have an entropy table each and are cut every 128 KiB, wherever planes end. So a frame is flushed where what follows is better off with a
 * table of its own. */
typedef struct cuts {
    unsigned count;
    uint64_t end[LORT_PLANE_WIDTH_MAX]; /* of each stretch; the last is that of all */
} cuts;

struct lort_codec {
    int level;
    ZSTD_CCtx *encoder;
    ZSTD_DCtx *decoder;
    void *spare; /* SPARE_BYTES: the other trial */
    cuts cuts;
};

/* ZSTD_sizeof_CCtx in KiB by level, measured with zstd 1.5.4, rounded up by a tenth. test_codec holds it against the
 * library in use. */
static const uint16_t encoder_kib[LEVEL_MAX + 1] = {
    0,     640,   850,   1410,  2820,  3940,  3940,  7320,  7320,  14080,
    14080, 14080, 14080, 18580, 18580, 18580, 18740, 18740, 19440, 19440,
};
#define DECODER_KIB 128u
#define FLUSHING_KIB 1290u /* the window, a block and a coded block: what flushing takes besides */

uint64_t lort_codec_memory(int level)
{
    if (level < 1 || level > LEVEL_MAX)
        return 0;
    return ((uint64_t)encoder_kib[level] + DECODER_KIB + FLUSHING_KIB) * 1024 + SPARE_BYTES + sizeof(struct lort_codec);
}

uint64_t lort_codec_bound(uint64_t bytes)
{
    size_t bound = bytes <= SIZE_MAX ? ZSTD_compressBound((size_t)bytes) : 0;
    return bound == 0 || ZSTD_isError(bound) ? UINT64_MAX : bound;
}

const char *lort_codec_version(void) { return ZSTD_versionString(); }

lort_code lort_codec_open(int level, lort_codec **out, lort_error *err)
{
    *out = NULL;
    if (level < 1 || level > LEVEL_MAX)
        return lort_fail(err, LORT_E_USAGE, "zstd level %d: 1 to %d are allowed", level, LEVEL_MAX);
    lort_codec *codec = calloc(1, sizeof *codec);
    if (codec) {
        codec->level = level;
        codec->encoder = ZSTD_createCCtx();
        codec->decoder = ZSTD_createDCtx();
        codec->spare = malloc(SPARE_BYTES);
    }
    if (!codec || !codec->encoder || !codec->decoder || !codec->spare) {
        lort_codec_close(codec);
        return lort_fail(err, LORT_E_MEMORY, "not enough memory for a zstd context");
    }
    *out = codec;
    return LORT_OK;
}

void lort_codec_close(lort_codec *codec)
{
    if (!codec)
        return;
    ZSTD_freeCCtx(codec->encoder);
    ZSTD_freeDCtx(codec->decoder);
    free(codec->spare);
    free(codec);
}

/* ---- where tables change ---- */

#define TABLE_BYTES 90u /* about what a table and the head of its block take */
#define HEAD_BITS 24u   /* of a block */
#define FRACTION 8      /* bits of log2 after the point */

/* log2 of x > 0 by squaring, in integers, so that every machine cuts alike. */
static uint64_t log2_fixed(uint32_t x)
{
    uint64_t whole = 0, m;
    while (x >> whole > 1)
        whole++;
    m = (uint64_t)x << (31 - whole);
    for (int i = 0; i < FRACTION; i++) {
        m = m * m >> 31;
        whole = whole << 1 | m >> 32;
        m >>= m >> 32;
    }
    return whole;
}

/* Bits, times 2^FRACTION, of bytes seen so often, with a table of their own or stored as they are. */
static uint64_t cost_of(const uint32_t seen[256])
{
    uint64_t coded = TABLE_BYTES * 8 << FRACTION, n = 0;
    for (unsigned i = 0; i < 256; i++)
        n += seen[i];
    const uint64_t plain = n * 8 << FRACTION, log_n = n ? log2_fixed((uint32_t)n) : 0;
    for (unsigned i = 0; i < 256; i++)
        if (seen[i])
            coded += seen[i] * (log_n - log2_fixed(seen[i]));
    return coded < plain ? coded : plain;
}

/* Planes join the stretch before them where one table for both is cheaper. */
static void find_cuts(const uint8_t *src, uint64_t bytes, uint32_t width, cuts *out)
{
    const uint64_t items = bytes / width;
    uint32_t stretch[256] = {0}, both[256], plane[256];
    uint64_t before = 0;
    out->count = 1;
    out->end[0] = bytes;
    for (uint32_t p = 0; p < width && width > 1; p++) {
        memset(plane, 0, sizeof plane);
        for (uint64_t i = p * items; i < (p + 1 < width ? (p + 1) * items : bytes); i++)
            plane[src[i]]++;
        for (unsigned i = 0; i < 256; i++)
            both[i] = stretch[i] + plane[i];
        const uint64_t alone = cost_of(plane), joined = cost_of(both);
        const bool cut = p > 0 && before + alone + (HEAD_BITS << FRACTION) < joined;
        if (cut) {
            out->end[out->count - 1] = p * items;
            out->end[out->count++] = bytes;
        }
        memcpy(stretch, cut ? plane : both, sizeof stretch);
        before = cut ? alone : joined;
    }
}

/* ---- encoding ---- */

/* The stretches one by one, a flush behind each. 0: no room. */
static size_t encode_stretches(ZSTD_CCtx *encoder, const cuts *c, const void *src, void *dst, size_t capacity)
{
    const size_t bytes = (size_t)c->end[c->count - 1];
    ZSTD_outBuffer out = {dst, capacity, 0};
    ZSTD_inBuffer in = {src, 0, 0};
    size_t left = ZSTD_CCtx_setPledgedSrcSize(encoder, bytes);
    for (unsigned i = 0; i < c->count && !ZSTD_isError(left); i++) {
        in.size = (size_t)c->end[i];
        do
            left = ZSTD_compressStream2(encoder, &out, &in, i + 1 < c->count ? ZSTD_e_flush : ZSTD_e_end);
        while (left && !ZSTD_isError(left) && out.pos < out.size);
    }
    return ZSTD_isError(left) ? left : left ? 0 : out.pos;
}

/* One frame at `level`; hash_log 0 and min_match 0 are the level's own, c NULL: no cuts. Returns a zstd size or error. */
static size_t encode_once(ZSTD_CCtx *encoder, int level, int hash_log, int min_match, const cuts *c, const void *src, size_t bytes, void *dst,
                          size_t capacity)
{
    const struct {
        ZSTD_cParameter name;
        int value;
    } parameters[] = {
        {ZSTD_c_compressionLevel, level}, {ZSTD_c_windowLog, WINDOW_LOG}, {ZSTD_c_hashLog, hash_log},
        {ZSTD_c_minMatch, min_match},
        {ZSTD_c_contentSizeFlag, 1},      {ZSTD_c_checksumFlag, 0},       {ZSTD_c_dictIDFlag, 0},
    };
    size_t result = ZSTD_CCtx_reset(encoder, ZSTD_reset_session_and_parameters);
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0] && !ZSTD_isError(result); i++)
        result = ZSTD_CCtx_setParameter(encoder, parameters[i].name, parameters[i].value);
    if (ZSTD_isError(result))
        return result;
    if (!c || c->count == 1)
        return ZSTD_compress2(encoder, dst, capacity, src, bytes);
    result = encode_stretches(encoder, c, src, dst, capacity);
    return result ? result : encode_once(encoder, level, hash_log, min_match, NULL, src, bytes, dst, capacity);
}

static lort_code zstd_failure(size_t result, lort_code otherwise, const char *doing, lort_error *err)
{
    lort_code code = ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? LORT_E_MEMORY : otherwise;
    return lort_fail(err, code, "zstd: %s: %s", doing, ZSTD_getErrorName(result));
}

lort_code lort_codec_encode(lort_codec *codec, const void *src, uint64_t bytes, void *dst, uint64_t capacity, uint64_t *stored, lort_error *err)
{
    return lort_codec_encode_planes(codec, src, bytes, 1, dst, capacity, stored, err);
}

lort_code lort_codec_encode_planes(lort_codec *codec, const void *src, uint64_t bytes, uint32_t width, void *dst, uint64_t capacity, uint64_t *stored,
                                   lort_error *err)
{
    *stored = 0;
    if (capacity < lort_codec_bound(bytes))
        return lort_fail(err, LORT_E_INTERNAL, "zstd: %llu bytes of room for %llu", (unsigned long long)capacity,
                         (unsigned long long)bytes);
    if (width > LORT_PLANE_WIDTH_MAX || bytes > LORT_CHUNK_TARGET)
        width = 1;
    find_cuts(src, bytes, width, &codec->cuts);
    size_t best = encode_once(codec->encoder, codec->level, 0, 0, &codec->cuts, src, (size_t)bytes, dst, (size_t)capacity);
    if (!ZSTD_isError(best) && bytes >= TRIAL_LEAST && bytes <= LORT_CHUNK_TARGET) {
        size_t trial = encode_once(codec->encoder, 1, TRIAL_HASH_LOG, MIN_MATCH_MOST, &codec->cuts, src, (size_t)bytes, codec->spare, SPARE_BYTES);
        if (ZSTD_isError(trial) || trial < best) {
            best = trial;
            if (!ZSTD_isError(trial))
                memcpy(dst, codec->spare, trial);
        }
    }
    if (ZSTD_isError(best))
        return zstd_failure(best, LORT_E_INTERNAL, "encoding", err);
    *stored = best;
    return LORT_OK;
}

lort_code lort_codec_encode_symbols(lort_codec *codec, const void *src, uint64_t bytes, void *dst, uint64_t capacity, uint64_t *stored, lort_error *err)
{
    size_t result = encode_once(codec->encoder, 1, TRIAL_HASH_LOG, MIN_MATCH_MOST, NULL, src, (size_t)bytes, dst, (size_t)capacity);
    *stored = ZSTD_isError(result) ? 0 : result;
    return ZSTD_isError(result) ? zstd_failure(result, LORT_E_INTERNAL, "encoding", err) : LORT_OK;
}

/* log2 of the window a frame asks for, rounded down; 0 for a single-segment frame (its window is its content). RFC
 * 8878, 3.1.1.1. */
static unsigned window_log(const uint8_t *frame)
{
    bool single_segment = frame[4] & 0x20;
    return single_segment ? 0 : 10u + (frame[5] >> 3);
}

lort_code lort_codec_decode(lort_codec *codec, const void *src, uint64_t stored, void *dst, uint64_t decoded,
                            lort_error *err)
{
    unsigned long long claimed = ZSTD_CONTENTSIZE_ERROR;
    if (stored >= 6 &&
        memcmp(src, "\x28\xb5\x2f\xfd", 4) == 0) /* 6: the shortest header; skippable frames are not data */
        claimed = ZSTD_getFrameContentSize(src, (size_t)stored);
    if (claimed == ZSTD_CONTENTSIZE_ERROR || ZSTD_findFrameCompressedSize(src, (size_t)stored) != stored)
        return lort_fail(err, LORT_E_DAMAGED, "%llu stored bytes are not one zstd frame", (unsigned long long)stored);
    if (claimed != decoded)
        return lort_fail(err, LORT_E_DAMAGED, "zstd frame says %lld decoded bytes where %llu are expected",
                         (long long)claimed, (unsigned long long)decoded);
    if (window_log(src) > WINDOW_LOG_MAX)
        return lort_fail(err, LORT_E_DAMAGED, "zstd frame with a window of 2^%u bytes (at most 2^%d)", window_log(src),
                         WINDOW_LOG_MAX);
    size_t result = ZSTD_decompressDCtx(codec->decoder, dst, (size_t)decoded, src, (size_t)stored);
    if (ZSTD_isError(result))
        return zstd_failure(result, LORT_E_DAMAGED, "decoding", err);
    if (result != decoded)
        return lort_fail(err, LORT_E_DAMAGED, "zstd frame gives %zu bytes where %llu are expected", result,
                         (unsigned long long)decoded);
    return LORT_OK;
}

lort_code lort_codec_decode_frames(lort_codec *codec, const void *src, uint64_t stored, void *dst, uint64_t decoded, lort_error *err)
{
    const uint8_t *from = src;
    uint8_t *to = dst;
    while (stored > 0) {
        const size_t frame = ZSTD_findFrameCompressedSize(from, (size_t)stored);
        const unsigned long long size = ZSTD_isError(frame) ? ZSTD_CONTENTSIZE_ERROR : ZSTD_getFrameContentSize(from, frame);
        if (size > decoded) /* the two errors are the largest numbers */
            return lort_fail(err, LORT_E_DAMAGED, "zstd frame of unknown size, or of more than the %llu bytes that are left", (unsigned long long)decoded);
        lort_code code = lort_codec_decode(codec, from, frame, to, size, err);
        if (code)
            return code;
        from += frame;
        stored -= frame;
        to += size;
        decoded -= size;
    }
    return decoded ? lort_fail(err, LORT_E_DAMAGED, "zstd frames give %llu bytes less than expected", (unsigned long long)decoded) : LORT_OK;
}
