/* codec: zstd frames, both directions. One-shot calls only: nothing is streamed, so that memory is what
 * lort_codec_memory says and a decoder writes into the caller's buffer and nowhere else. */
#include "loader/codec.h"
#include "formats/container.h"
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define LEVEL_MAX 19
#define WINDOW_LOG 20     /* of what we write: with it no level's tables grow with the input */
#define WINDOW_LOG_MAX 27 /* of what we read: the limit of `zstd -d` */
#define TRIAL_LEAST 1024u /* below this the second trial cannot gain what matters */
#define TRIAL_HASH_LOG 6  /* the smallest: finds runs and close repeats, leaves the rest to the entropy coder */
#define SPARE_BYTES ZSTD_COMPRESSBOUND(LORT_CHUNK_TARGET)

struct lort_codec {
    int level;
    ZSTD_CCtx *encoder;
    ZSTD_DCtx *decoder;
    void *spare; /* SPARE_BYTES: the other trial */
};

/* ZSTD_sizeof_CCtx in KiB by level, measured with zstd 1.5.4, rounded up by a tenth. test_codec holds it against the
 * library in use. */
static const uint16_t encoder_kib[LEVEL_MAX + 1] = {
    0,     640,   850,   1410,  2820,  3940,  3940,  7320,  7320,  14080,
    14080, 14080, 14080, 18580, 18580, 18580, 18740, 18740, 19440, 19440,
};
#define DECODER_KIB 128u

uint64_t lort_codec_memory(int level)
{
    if (level < 1 || level > LEVEL_MAX)
        return 0;
    return ((uint64_t)encoder_kib[level] + DECODER_KIB) * 1024 + SPARE_BYTES + sizeof(struct lort_codec);
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

/* One frame at `level`; hash_log 0 is the level's own. Returns a zstd size or error. */
static size_t encode_once(ZSTD_CCtx *encoder, int level, int hash_log, const void *src, size_t bytes, void *dst,
                          size_t capacity)
{
    const struct {
        ZSTD_cParameter name;
        int value;
    } parameters[] = {
        {ZSTD_c_compressionLevel, level}, {ZSTD_c_windowLog, WINDOW_LOG}, {ZSTD_c_hashLog, hash_log},
        {ZSTD_c_contentSizeFlag, 1},      {ZSTD_c_checksumFlag, 0},       {ZSTD_c_dictIDFlag, 0},
    };
    size_t result = ZSTD_CCtx_reset(encoder, ZSTD_reset_session_and_parameters);
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0] && !ZSTD_isError(result); i++)
        result = ZSTD_CCtx_setParameter(encoder, parameters[i].name, parameters[i].value);
    return ZSTD_isError(result) ? result : ZSTD_compress2(encoder, dst, capacity, src, bytes);
}

static lort_code zstd_failure(size_t result, lort_code otherwise, const char *doing, lort_error *err)
{
    lort_code code = ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? LORT_E_MEMORY : otherwise;
    return lort_fail(err, code, "zstd: %s: %s", doing, ZSTD_getErrorName(result));
}

lort_code lort_codec_encode(lort_codec *codec, const void *src, uint64_t bytes, void *dst, uint64_t capacity,
                            uint64_t *stored, lort_error *err)
{
    *stored = 0;
    if (capacity < lort_codec_bound(bytes))
        return lort_fail(err, LORT_E_INTERNAL, "zstd: %llu bytes of room for %llu", (unsigned long long)capacity,
                         (unsigned long long)bytes);
    size_t best = encode_once(codec->encoder, codec->level, 0, src, (size_t)bytes, dst, (size_t)capacity);
    if (!ZSTD_isError(best) && bytes >= TRIAL_LEAST && bytes <= LORT_CHUNK_TARGET) {
        size_t trial = encode_once(codec->encoder, 1, TRIAL_HASH_LOG, src, (size_t)bytes, codec->spare, SPARE_BYTES);
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
