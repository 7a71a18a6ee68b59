/* codec: the only user of <zstd.h>. A codec holds one compression and one decompression context: one per worker. */
#ifndef LORT_LOADER_CODEC_H
#define LORT_LOADER_CODEC_H

#include "formats/error.h"
#include <stdint.h>

/* Measured on 1 MiB chunks of the byte planes of real bf16 weights (share of the size left, encoding speed of one 2.6 GHz Zen 4 core),
 * each with the entropy trial below: level 1 0.667, 330 MB/s; 3 0.667, 200; 9 0.667, 60; 19 0.665, 4. Text: 0.358, 0.340, 0.315, 0.300. */
#define LORT_ZSTD_LEVEL_DEFAULT 1

typedef struct lort_codec lort_codec;
lort_code lort_codec_open(int level, lort_codec **out, lort_error *err); /* LORT_E_USAGE: level outside 1..19 */
void lort_codec_close(lort_codec *codec);                                /* accepts NULL */
/* Bytes a codec takes at most, whatever it codes (the window is 1 MiB); for the plan. 0 for a level outside 1..19. */
uint64_t lort_codec_memory(int level);
uint64_t lort_codec_bound(uint64_t bytes); /* most that encode can give; UINT64_MAX if bytes is absurd */
/* One frame: content size, no checksum (the record has XXH64 of the stored bytes), no dictionary. What of up to LORT_CHUNK_TARGET bytes
 * is coded twice: at the level, and with hardly any matches, which is smaller on planes of weights; the smaller frame is kept.
 * The result depends on the bytes, the level and the zstd version only. capacity: at least lort_codec_bound(bytes). */
lort_code lort_codec_encode(lort_codec *codec, const void *src, uint64_t bytes, void *dst, uint64_t capacity, uint64_t *stored,
                            lort_error *err);
/* Exactly one frame of `stored` bytes that gives exactly `decoded`; never writes more; a window over 128 MiB is refused. LORT_E_DAMAGED. */
lort_code lort_codec_decode(lort_codec *codec, const void *src, uint64_t stored, void *dst, uint64_t decoded, lort_error *err);
const char *lort_codec_version(void); /* of the library in use */

#endif
