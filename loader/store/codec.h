/* codec: the only user of <zstd.h>. A codec holds one compression and one decompression context:
 * one per worker. */
#ifndef LORT_LOADER_STORE_CODEC_H
#define LORT_LOADER_STORE_CODEC_H

#include "formats/base/error.h"
#include <stdint.h>

/* Measured with zstd 1.5.4 on 1 MiB chunks, entropy trial included, one 2.6 GHz Zen 4 core (share
 * of the size left, encoding speed): level                       1               3              9
 * 19 planes of GPT-2, BF16   0.669 1445 MB/s  0.669 325 MB/s  0.667 65 MB/s  0.667 6 MB/s planes of
 * kjv-3m, F16   0.671            0.670           0.670          0.673 English text            0.358
 * 161 MB/s   0.340 156 MB/s  0.315 44 MB/s  0.300 5 MB/s With both trials of every plane the first
 * figure is 0.669 (415 MB/s); without the trial the first row is 0.682 (492 MB/s), 0.704, 0.693,
 * 0.668. Small tensors need tables that change where planes do: the matrices of kjv-3m (64 to 384
 * KiB) as BF16 0.719 with the cuts zstd makes, 0.666 with ours; as Q8_0 0.962 and 0.943 (order-0
 * entropy: 0.936). */
#define LORT_ZSTD_LEVEL_DEFAULT 1

typedef struct lort_codec lort_codec;
/* LORT_E_USAGE: level outside 1..19 */
lort_code lort_codec_open(int level, lort_codec **out, lort_error *err);
void lort_codec_close(lort_codec *codec); /* accepts NULL */
/* Bytes a codec takes at most, whatever it codes (the window is 1 MiB); for the plan. 0 for a level
 * outside 1..19. */
uint64_t lort_codec_memory(int level);
/* most that encode can give; UINT64_MAX if bytes is absurd */
uint64_t lort_codec_bound(uint64_t bytes);
/* One frame: content size, no checksum (the record has XXH64 of the stored bytes), no dictionary.
 * What of up to LORT_CHUNK_TARGET bytes is coded twice: at the level, and with hardly any matches,
 * which is smaller on planes of weights; the smaller frame is kept. The result depends on the
 * bytes, the level and the zstd version only. capacity: at least lort_codec_bound(bytes). */
lort_code lort_codec_encode(lort_codec *codec, const void *src, uint64_t bytes, void *dst,
                            uint64_t capacity, uint64_t *stored, lort_error *err);
/* As above, of bytes in split form (formats/types/planes.h) of so many planes: those that are alike
 * share entropy tables, others do not. At level 1 planes of noise and of one byte go into the frame
 * as they are, and the level is tried only where a sample says that matches pay, or strings come
 * again. */
lort_code lort_codec_encode_planes(lort_codec *codec, const void *src, uint64_t bytes,
                                   uint32_t width, void *dst, uint64_t capacity, uint64_t *stored,
                                   lort_error *err);
/* One frame of symbols without order, such as a stream of quantised weights: hardly any matches are
 * looked for. As above otherwise. */
lort_code lort_codec_encode_symbols(lort_codec *codec, const void *src, uint64_t bytes, void *dst,
                                    uint64_t capacity, uint64_t *stored, lort_error *err);
/* Exactly one frame of `stored` bytes that gives exactly `decoded`; never writes more; a window
 * over 128 MiB is refused. LORT_E_DAMAGED. */
lort_code lort_codec_decode(lort_codec *codec, const void *src, uint64_t stored, void *dst,
                            uint64_t decoded, lort_error *err);
/* One frame behind the other, each as above. */
lort_code lort_codec_decode_frames(lort_codec *codec, const void *src, uint64_t stored, void *dst,
                                   uint64_t decoded, lort_error *err);
/* Bytes of the frame that starts at src; 0: it is not whole within `available`, or none. */
uint64_t lort_codec_frame_bytes(const void *src, uint64_t available);
const char *lort_codec_version(void); /* of the library in use */

#endif
