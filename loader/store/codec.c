/* codec: zstd frames, both directions. LoRT calls zstd for whole buffers only. So memory stays
 * within lort_codec_memory, and a decoder writes into the caller's buffer and nowhere else.
 *
 * A chunk of planes becomes stretches. A stretch is one or more planes with one entropy table:
 *
 *     planes      | 0 | 1 |   2   |   3    |
 *     stretches   | CODED | PLAIN |  SAME  |
 *     frame  head |  zstd | as is | 1 byte |
 *
 * A cut goes before a plane if its own table is cheaper than a table for both:
 * bits(stretch before) + bits(plane) + HEAD_BITS < bits(joined).
 * bits of a stretch = min(8 n, 8 TABLE_BYTES + sum over bytes b of seen[b] log2(n / seen[b])).
 *
 * At level 1 LoRT puts such a frame together itself where matches do not pay. Otherwise it codes
 * the chunk twice, at the level and with hardly any matches, and takes the smaller frame. */
#include "loader/store/codec.h"
#include "formats/base/bytes.h"
#include "formats/container/container.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define LEVEL_MAX 19
#define WINDOW_LOG 20 /* of frames that LoRT writes: no level's tables grow with the input then */
#define WINDOW_MOST (128u << 20) /* of frames that LoRT reads: the limit of `zstd -d` */
#define TRIAL_LEAST 1024u        /* below this a second trial gains too little */
/* The smallest that zstd takes: it finds runs and close repeats, and leaves the rest to the entropy
 * coder. */
#define TRIAL_HASH_LOG 6
/* The longest that zstd takes: in symbols of 2 bits and more a chance match never pays. */
#define MIN_MATCH_MOST 7
#define SPARE_BYTES ZSTD_COMPRESSBOUND(LORT_CHUNK_TARGET)

/* zstd stores a block as it is if a table saves less than one part in this many. */
#define PLAIN_GAIN 64u
#define PIECE_BYTES 256u /* of a plane: LoRT counts whole pieces */
/* LoRT counts about this many pieces of a plane, evenly spaced. It counts all of a plane below 64
 * KiB. */
#define PIECES 128u
#define QUICK_LEAST (64u << 10) /* below this LoRT tries everything */
#define SAMPLE_LEAST (4u << 10)
#define SAMPLE_ONE_IN 32u /* LoRT codes one part in this many of a stretch both ways */
#define STRINGS_APART 128u
#define STRINGS_LOG 14          /* log2 of the entries of the table */
#define STRINGS_AGAIN 256u      /* if one string in this many occurs again, matches may pay */
#define BLOCK_MOST (128u << 10) /* of a zstd frame (RFC 8878, 3.1.1.2.4) */
#define HEADER_BYTES 9u         /* of the frames that LoRT puts together */

/* How the frame stores a stretch: coded by zstd, as it is, or as one byte that repeats. */
typedef enum stretch_kind { STRETCH_CODED, STRETCH_PLAIN, STRETCH_SAME } stretch_kind;

/* Each block of a zstd frame has its own entropy table. zstd cuts blocks every 128 KiB, wherever
 * planes end. So LoRT flushes the frame where the bytes behind are cheaper with a table of their
 * own. */
typedef struct cuts {
    unsigned count;
    uint64_t end[LORT_PLANE_WIDTH_MAX]; /* ends of the stretches; the last is the end of all */
    uint8_t kind[LORT_PLANE_WIDTH_MAX];
} cuts;

struct lort_codec {
    int level;
    ZSTD_CCtx *encoder;
    ZSTD_DCtx *decoder;
    void *spare; /* SPARE_BYTES, for the other trial */
    cuts cuts;
    uint32_t strings[1 << STRINGS_LOG]; /* tag of the last string in each slot */
};

/* ZSTD_sizeof_CCtx in KiB by level, measured with zstd 1.5.4, rounded up by a tenth. test_codec
 * compares it with the library in use. */
static const uint16_t encoder_kib[LEVEL_MAX + 1] = {
    0,     640,   850,   1410,  2820,  3940,  3940,  7320,  7320,  14080,
    14080, 14080, 14080, 18580, 18580, 18580, 18740, 18740, 19440, 19440,
};
#define DECODER_KIB 128u
/* Flushing takes these besides: the window, a block and a coded block. */
#define FLUSHING_KIB 1290u

uint64_t lort_codec_memory(int level)
{
    if (level < 1 || level > LEVEL_MAX)
        return 0;
    return ((uint64_t)encoder_kib[level] + DECODER_KIB + FLUSHING_KIB) * 1024 + SPARE_BYTES +
           sizeof(struct lort_codec);
}

uint64_t lort_codec_bound(uint64_t bytes)
{
    size_t bound = bytes <= SIZE_MAX ? ZSTD_compressBound((size_t)bytes) : 0;
    return bound == 0 || ZSTD_isError(bound) ? UINT64_MAX : bound;
}

const char *lort_codec_version(void) { return ZSTD_versionString(); }

uint64_t lort_codec_frame_bytes(const void *src, uint64_t available)
{
    size_t bytes = ZSTD_findFrameCompressedSize(src, (size_t)available);
    return ZSTD_isError(bytes) ? 0 : bytes;
}

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

#define TABLE_BYTES 90u /* about the bytes of a table and the head of its block */
#define HEAD_BITS 24u   /* of a block */
#define FRACTION 8      /* bits of log2 after the point */

/* log2 of x > 0 by squaring, in integers, so that every machine cuts alike. */
static uint64_t log2_fixed(uint32_t x)
{
    uint64_t whole = 31u - (unsigned)__builtin_clz(x), m = (uint64_t)x << (31 - whole);
    for (int i = 0; i < FRACTION; i++) {
        m = m * m >> 31;
        whole = whole << 1 | m >> 32;
        m >>= m >> 32;
    }
    return whole;
}

/* Counts each byte value in one piece of `apart` of a plane. Four tables: equal bytes in a row do
 * not wait for each other. */
static void count_pieces(const uint8_t *plane, uint64_t bytes, uint64_t apart, uint32_t seen[256])
{
    uint32_t lanes[4][256] = {{0}};
    for (uint64_t at = 0; at < bytes; at += apart * PIECE_BYTES) {
        const uint64_t n = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
        uint64_t i = at;
        for (; i + 4 <= at + n; i += 4)
            for (unsigned k = 0; k < 4; k++)
                lanes[k][plane[i + k]]++;
        for (; i < at + n; i++)
            lanes[0][plane[i]]++;
    }
    for (unsigned i = 0; i < 256; i++)
        seen[i] = lanes[0][i] + lanes[1][i] + lanes[2][i] + lanes[3][i];
}

typedef struct stretch_cost {
    uint64_t bits; /* times 2^FRACTION */
    stretch_kind kind;
} stretch_cost;

/* The cost of a stretch, coded with its own table or stored as it is. `seen` counts one piece in
 * `apart`. */
static stretch_cost cost_of(const uint32_t seen[256], uint64_t apart)
{
    uint64_t coded = 0, n = 0, most = 0;
    for (unsigned i = 0; i < 256; i++) {
        n += seen[i];
        most = seen[i] > most ? seen[i] : most;
    }
    const uint64_t plain = n * apart * 8 << FRACTION, log_n = n ? log2_fixed((uint32_t)n) : 0;
    for (unsigned i = 0; i < 256; i++)
        if (seen[i])
            coded += seen[i] * (log_n - log2_fixed(seen[i]));
    coded = coded * apart + (TABLE_BYTES * 8 << FRACTION);
    return (stretch_cost){coded < plain ? coded : plain, coded > plain - plain / PLAIN_GAIN
                                                             ? STRETCH_PLAIN
                                                         : most == n ? STRETCH_SAME
                                                                     : STRETCH_CODED};
}

static bool is_same(const uint8_t *bytes, uint64_t n)
{
    return memcmp(bytes, bytes + 1, (size_t)n - 1) == 0;
}

/* Counting saw parts only, so this looks at all bytes. */
static void check_same(cuts *c, const uint8_t *src)
{
    for (unsigned i = 0; i < c->count; i++) {
        const uint64_t begin = i ? c->end[i - 1] : 0;
        if (c->kind[i] == STRETCH_SAME && !is_same(src + begin, c->end[i] - begin))
            c->kind[i] = STRETCH_CODED;
    }
}

/* A plane joins the stretch before it where one table for both is cheaper. */
static void find_cuts(const uint8_t *src, uint64_t bytes, uint32_t width, cuts *out)
{
    /* Odd, so that rows of a power of two bytes are not counted at one place only. */
    const uint64_t items = bytes / width, apart = items / (PIECES * PIECE_BYTES) | 1;
    uint32_t stretch[256] = {0}, both[256], plane[256];
    stretch_cost before = {0, STRETCH_CODED};
    out->count = 1;
    out->end[0] = bytes;
    out->kind[0] = STRETCH_CODED;
    for (uint32_t p = 0; p < width && width > 1; p++) {
        count_pieces(src + p * items, p + 1 < width ? items : bytes - p * items, apart, plane);
        for (unsigned i = 0; i < 256; i++)
            both[i] = stretch[i] + plane[i];
        const stretch_cost alone = cost_of(plane, apart), joined = cost_of(both, apart);
        const bool cut = p > 0 && before.bits + alone.bits + (HEAD_BITS << FRACTION) < joined.bits;
        if (cut) {
            out->end[out->count - 1] = p * items;
            out->end[out->count++] = bytes;
        }
        memcpy(stretch, cut ? plane : both, sizeof stretch);
        before = cut ? alone : joined;
        out->kind[out->count - 1] = (uint8_t)before.kind;
    }
    check_same(out, src);
}

/* ---- what pays ---- */

/* True if strings of 32 bytes occur again. Looks at every 128th place, which finds rows that occur
 * twice. Runs of one byte do not count. */
static bool has_repeats(lort_codec *codec, const uint8_t *src, uint64_t bytes)
{
    uint64_t again = 0, places = 0;
    memset(codec->strings, 0, sizeof codec->strings);
    for (uint64_t at = 0; at + 32 <= bytes; at += STRINGS_APART, places++) {
        const uint64_t a = lort_load_u64(src + at), b = lort_load_u64(src + at + 8),
                       c = lort_load_u64(src + at + 16), d = lort_load_u64(src + at + 24);
        const uint64_t hash = (a ^ (b << 29 | b >> 35)) * 0x9E3779B185EBCA87u +
                              (c ^ (d << 29 | d >> 35)) * 0xC2B2AE3D27D4EB4Fu;
        uint32_t *slot = &codec->strings[hash >> (64 - STRINGS_LOG)];
        const uint32_t tag = (uint32_t)(hash >> 16) | 1;
        again += (*slot == tag) & ((a != b) | (c != d) | (a != c) | (a != (a << 8 | a >> 56)));
        *slot = tag;
    }
    return again * STRINGS_AGAIN > places;
}

/* Looks for rows that occur twice, in the last stretch that is not one repeated byte. Looks at the
 * length of a plane there, at least 64 KiB. A row that occurs twice does so in all planes. In the
 * low bytes of numbers, chance finds nothing. */
static bool rows_repeat(lort_codec *codec, const uint8_t *src, uint64_t items)
{
    const cuts *c = &codec->cuts;
    unsigned i = c->count;
    while (i > 0 && c->kind[i - 1] == STRETCH_SAME)
        i--;
    if (i == 0)
        return false;
    const uint64_t begin = i > 1 ? c->end[i - 2] : 0, bytes = c->end[i - 1] - begin,
                   most = items > QUICK_LEAST ? items : QUICK_LEAST;
    const uint64_t tail = bytes < most ? bytes : most;
    return has_repeats(codec, src + c->end[i - 1] - tail, tail);
}

/* ---- encoding ---- */

/* Codes the stretches one by one, with a flush behind each. Returns 0 if there is no room. */
static size_t encode_stretches(ZSTD_CCtx *encoder, const cuts *c, const void *src, void *dst,
                               size_t capacity)
{
    const size_t bytes = (size_t)c->end[c->count - 1];
    ZSTD_outBuffer out = {dst, capacity, 0};
    ZSTD_inBuffer in = {src, 0, 0};
    size_t left = ZSTD_CCtx_setPledgedSrcSize(encoder, bytes);
    for (unsigned i = 0; i < c->count && !ZSTD_isError(left); i++) {
        in.size = (size_t)c->end[i];
        do
            left = ZSTD_compressStream2(encoder, &out, &in,
                                        i + 1 < c->count ? ZSTD_e_flush : ZSTD_e_end);
        while (left && !ZSTD_isError(left) && out.pos < out.size);
    }
    return ZSTD_isError(left) ? left : left ? 0 : out.pos;
}

/* Codes one frame at `level`. hash_log 0 and min_match 0 select the level's own values. c NULL: no
 * cuts. Returns a zstd size or error. */
static size_t encode_once(ZSTD_CCtx *encoder, int level, int hash_log, int min_match, const cuts *c,
                          const void *src, size_t bytes, void *dst, size_t capacity)
{
    const struct {
        ZSTD_cParameter name;
        int value;
    } parameters[] = {
        {ZSTD_c_compressionLevel, level}, {ZSTD_c_windowLog, WINDOW_LOG},
        {ZSTD_c_hashLog, hash_log},       {ZSTD_c_minMatch, min_match},
        {ZSTD_c_contentSizeFlag, 1},      {ZSTD_c_checksumFlag, 0},
        {ZSTD_c_dictIDFlag, 0},
    };
    size_t result = ZSTD_CCtx_reset(encoder, ZSTD_reset_session_and_parameters);
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0] && !ZSTD_isError(result); i++)
        result = ZSTD_CCtx_setParameter(encoder, parameters[i].name, parameters[i].value);
    if (ZSTD_isError(result))
        return result;
    if (!c || c->count == 1)
        return ZSTD_compress2(encoder, dst, capacity, src, bytes);
    result = encode_stretches(encoder, c, src, dst, capacity);
    return result
               ? result
               : encode_once(encoder, level, hash_log, min_match, NULL, src, bytes, dst, capacity);
}

/* Codes with hardly any matches, for symbols without order. */
static size_t encode_plainly(lort_codec *codec, const cuts *c, const void *src, size_t bytes,
                             void *dst, size_t capacity)
{
    return encode_once(codec->encoder, 1, TRIAL_HASH_LOG, MIN_MATCH_MOST, c, src, bytes, dst,
                       capacity);
}

/* Codes both ways and takes the smaller frame. */
static size_t encode_twice(lort_codec *codec, const void *src, size_t bytes, void *dst,
                           size_t capacity)
{
    const size_t best =
        encode_once(codec->encoder, codec->level, 0, 0, &codec->cuts, src, bytes, dst, capacity);
    if (ZSTD_isError(best) || bytes < TRIAL_LEAST || bytes > LORT_CHUNK_TARGET)
        return best;
    const size_t trial = encode_plainly(codec, &codec->cuts, src, bytes, codec->spare, SPARE_BYTES);
    if (ZSTD_isError(trial) || trial >= best)
        return ZSTD_isError(trial) ? trial : best;
    memcpy(dst, codec->spare, trial);
    return trial;
}

/* True if matches do not pay on samples of the stretches that zstd codes. */
static bool is_disordered(lort_codec *codec, const uint8_t *src)
{
    const cuts *c = &codec->cuts;
    size_t level = 0, trial = 0;
    for (unsigned i = 0; i < c->count; i++) {
        const uint64_t begin = i ? c->end[i - 1] : 0, bytes = c->end[i] - begin,
                       sample = bytes / SAMPLE_ONE_IN > SAMPLE_LEAST ? bytes / SAMPLE_ONE_IN
                                                                     : SAMPLE_LEAST;
        const size_t n = (size_t)(sample < bytes ? sample : bytes);
        const uint8_t *middle = src + begin + (bytes - n) / 2;
        if (c->kind[i] != STRETCH_CODED)
            continue;
        const size_t one = encode_once(codec->encoder, codec->level, 0, 0, NULL, middle, n,
                                       codec->spare, SPARE_BYTES);
        const size_t two = encode_plainly(codec, NULL, middle, n, codec->spare, SPARE_BYTES);
        if (ZSTD_isError(one) || ZSTD_isError(two))
            return false;
        level += one;
        trial += two;
    }
    return trial <= level;
}

/* ---- frames put together (RFC 8878, 3.1.1) ---- */

enum { BLOCK_PLAIN, BLOCK_SAME };
#define BLOCK_HEAD 3u

static void put_block_head(uint8_t *dst, bool last, unsigned type, uint32_t size)
{
    const uint32_t head = size << 3 | type << 1 | last;
    dst[0] = (uint8_t)head;
    dst[1] = (uint8_t)(head >> 8);
    dst[2] = (uint8_t)(head >> 16);
}

/* Writes blocks without zstd. Returns their bytes; 0 if there is no room. */
static size_t put_blocks(const uint8_t *src, uint64_t bytes, stretch_kind kind, bool last,
                         uint8_t *dst, size_t capacity)
{
    const unsigned type = kind == STRETCH_SAME ? BLOCK_SAME : BLOCK_PLAIN;
    size_t out = 0;
    if (bytes + (bytes / BLOCK_MOST + 1) * BLOCK_HEAD > capacity)
        return 0;
    for (uint64_t at = 0; at < bytes; at += BLOCK_MOST) {
        const uint32_t n = bytes - at < BLOCK_MOST ? (uint32_t)(bytes - at) : BLOCK_MOST,
                       stored = type == BLOCK_SAME ? 1 : n;
        put_block_head(dst + out, last && at + n == bytes, type, n);
        memcpy(dst + out + BLOCK_HEAD, src + at, stored);
        out += BLOCK_HEAD + stored;
    }
    return out;
}

/* Copies the blocks of a zstd frame, without the head of the frame. Clears the mark of the last
 * block, unless `last` is set. */
static size_t take_blocks(uint8_t *frame, size_t bytes, bool last, uint8_t *dst)
{
    static const uint8_t size_bytes[4] = {0, 2, 4, 8};
    const bool single_segment = frame[4] & 0x20;
    const size_t begin =
        5 + !single_segment + (frame[4] >> 6 ? size_bytes[frame[4] >> 6] : single_segment);
    for (size_t at = begin; at < bytes;) {
        const uint32_t head =
            (uint32_t)frame[at] | (uint32_t)frame[at + 1] << 8 | (uint32_t)frame[at + 2] << 16;
        put_block_head(frame + at, last && (head & 1), head >> 1 & 3, head >> 3);
        at += BLOCK_HEAD + ((head >> 1 & 3) == BLOCK_SAME ? 1 : head >> 3);
    }
    memcpy(dst, frame + begin, bytes - begin);
    return bytes - begin;
}

/* The stretches from the first to the last that zstd codes: [*first, *end). They form one run. zstd
 * assumes the repeat offsets of a fresh frame. That holds at the head of a frame, and behind blocks
 * that have no matches. Behind other blocks it does not hold. */
static void find_run(const cuts *c, unsigned *first, unsigned *end)
{
    *first = c->count;
    *end = 0;
    for (unsigned i = 0; i < c->count; i++)
        if (c->kind[i] == STRETCH_CODED) {
            *first = i < *first ? i : *first;
            *end = i + 1;
        }
}

static size_t encode_run(lort_codec *codec, unsigned first, unsigned end, const uint8_t *src,
                         bool last, uint8_t *dst, size_t capacity)
{
    const cuts *c = &codec->cuts;
    const uint64_t begin = first ? c->end[first - 1] : 0;
    cuts run = {.count = end - first};
    for (unsigned i = first; i < end; i++)
        run.end[i - first] = c->end[i] - begin;
    const size_t stored = encode_plainly(
        codec, &run, src + begin, (size_t)(c->end[end - 1] - begin), codec->spare, SPARE_BYTES);
    return ZSTD_isError(stored) ? stored
           : stored > capacity  ? 0
                                : take_blocks(codec->spare, stored, last, dst);
}

/* Puts one frame together: each stretch as its kind says. Returns 0 if there is no room. */
static size_t encode_stretched(lort_codec *codec, const uint8_t *src, size_t bytes, uint8_t *dst,
                               size_t capacity)
{
    /* A content size of four bytes, which is the window too; no checksum, no dictionary. */
    static const uint8_t head[5] = {0x28, 0xb5, 0x2f, 0xfd, 0xA0};
    const cuts *c = &codec->cuts;
    unsigned first, end;
    size_t out = HEADER_BYTES;
    find_run(c, &first, &end);
    memcpy(dst, head, sizeof head);
    lort_store_u32(dst + sizeof head, (uint32_t)bytes);
    for (unsigned i = 0; i < c->count; i = i == first ? end : i + 1) {
        const uint64_t begin = i ? c->end[i - 1] : 0;
        const size_t stored = i == first ? encode_run(codec, first, end, src, end == c->count,
                                                      dst + out, capacity - out)
                                         : put_blocks(src + begin, c->end[i] - begin, c->kind[i],
                                                      i + 1 == c->count, dst + out, capacity - out);
        if (stored == 0 || ZSTD_isError(stored))
            return stored;
        out += stored;
    }
    return out;
}

/* ---- the calls ---- */

static lort_code zstd_failure(size_t result, lort_code otherwise, const char *doing,
                              lort_error *err)
{
    lort_code code =
        ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation ? LORT_E_MEMORY : otherwise;
    return lort_fail(err, code, "zstd: %s: %s", doing, ZSTD_getErrorName(result));
}

lort_code lort_codec_encode(lort_codec *codec, const void *src, uint64_t bytes, void *dst,
                            uint64_t capacity, uint64_t *stored, lort_error *err)
{
    return lort_codec_encode_planes(codec, src, bytes, 1, dst, capacity, stored, err);
}

lort_code lort_codec_encode_planes(lort_codec *codec, const void *src, uint64_t bytes,
                                   uint32_t width, void *dst, uint64_t capacity, uint64_t *stored,
                                   lort_error *err)
{
    *stored = 0;
    if (capacity < lort_codec_bound(bytes))
        return lort_fail(err, LORT_E_INTERNAL,
                         "zstd: %llu bytes of room are too few to encode %llu bytes",
                         (unsigned long long)capacity, (unsigned long long)bytes);
    if (width > LORT_PLANE_WIDTH_MAX || bytes > LORT_CHUNK_TARGET)
        width = 1;
    find_cuts(src, bytes, width, &codec->cuts);
    const bool quick = codec->level == 1 && width > 1 && bytes >= QUICK_LEAST &&
                       !rows_repeat(codec, src, bytes / width) && is_disordered(codec, src);
    size_t best = quick ? encode_stretched(codec, src, (size_t)bytes, dst, (size_t)capacity) : 0;
    if (best == 0)
        best = encode_twice(codec, src, (size_t)bytes, dst, (size_t)capacity);
    if (ZSTD_isError(best))
        return zstd_failure(best, LORT_E_INTERNAL, "encoding", err);
    *stored = best;
    return LORT_OK;
}

lort_code lort_codec_encode_symbols(lort_codec *codec, const void *src, uint64_t bytes, void *dst,
                                    uint64_t capacity, uint64_t *stored, lort_error *err)
{
    const size_t result = encode_plainly(codec, NULL, src, (size_t)bytes, dst, (size_t)capacity);
    *stored = ZSTD_isError(result) ? 0 : result;
    return ZSTD_isError(result) ? zstd_failure(result, LORT_E_INTERNAL, "encoding", err) : LORT_OK;
}

/* Bytes of the window that a frame asks for; 0 for a single-segment frame, where the window is the
 * content (RFC 8878, 3.1.1.1.2). */
static uint64_t window_of(const uint8_t *frame)
{
    const bool single_segment = frame[4] & 0x20;
    const uint64_t base = UINT64_C(1) << (10 + (frame[5] >> 3));
    return single_segment ? 0 : base + base / 8 * (frame[5] & 7);
}

lort_code lort_codec_content(const void *src, uint64_t stored, uint64_t *bytes, lort_error *err)
{
    unsigned long long claimed = ZSTD_CONTENTSIZE_ERROR;
    if (stored >= 6 &&
        /* 6: the shortest header. Skippable frames hold no data. */
        memcmp(src, "\x28\xb5\x2f\xfd", 4) == 0)
        claimed = ZSTD_getFrameContentSize(src, (size_t)stored);
    *bytes = claimed;
    if (claimed == ZSTD_CONTENTSIZE_ERROR ||
        ZSTD_findFrameCompressedSize(src, (size_t)stored) != stored)
        return lort_fail(err, LORT_E_DAMAGED, "%llu stored bytes are not one zstd frame",
                         (unsigned long long)stored);
    return LORT_OK;
}

lort_code lort_codec_decode(lort_codec *codec, const void *src, uint64_t stored, void *dst,
                            uint64_t decoded, lort_error *err)
{
    uint64_t claimed;
    lort_code code = lort_codec_content(src, stored, &claimed, err);
    if (code)
        return code;
    if (claimed != decoded)
        return lort_fail(err, LORT_E_DAMAGED,
                         "zstd frame says %lld decoded bytes where %llu are expected",
                         (long long)claimed, (unsigned long long)decoded);
    if (window_of(src) > WINDOW_MOST)
        return lort_fail(err, LORT_E_DAMAGED, "zstd frame with a window of %llu bytes (at most %u)",
                         (unsigned long long)window_of(src), WINDOW_MOST);
    size_t result = ZSTD_decompressDCtx(codec->decoder, dst, (size_t)decoded, src, (size_t)stored);
    if (ZSTD_isError(result))
        return zstd_failure(result, LORT_E_DAMAGED, "decoding", err);
    if (result != decoded)
        return lort_fail(err, LORT_E_DAMAGED, "zstd frame gives %zu bytes where %llu are expected",
                         result, (unsigned long long)decoded);
    return LORT_OK;
}

lort_code lort_codec_decode_frames(lort_codec *codec, const void *src, uint64_t stored, void *dst,
                                   uint64_t decoded, lort_error *err)
{
    const uint8_t *from = src;
    uint8_t *to = dst;
    while (stored > 0) {
        const size_t frame = ZSTD_findFrameCompressedSize(from, (size_t)stored);
        const unsigned long long size =
            ZSTD_isError(frame) ? ZSTD_CONTENTSIZE_ERROR : ZSTD_getFrameContentSize(from, frame);
        if (size > decoded) /* the two error values are the largest numbers */
            return lort_fail(
                err, LORT_E_DAMAGED,
                "zstd frame of unknown size, or of more than the %llu bytes that are left",
                (unsigned long long)decoded);
        lort_code code = lort_codec_decode(codec, from, frame, to, size, err);
        if (code)
            return code;
        from += frame;
        stored -= frame;
        to += size;
        decoded -= size;
    }
    return decoded
               ? lort_fail(err, LORT_E_DAMAGED, "zstd frames give %llu bytes less than expected",
                           (unsigned long long)decoded)
               : LORT_OK;
}
