/* codec: compresses and decompresses. Only this file uses <zstd.h>. A codec holds one compression
 * and one decompression context. Threads: one codec per worker. */
#ifndef LORT_LOADER_STORE_CODEC_H
#define LORT_LOADER_STORE_CODEC_H

#include "formats/base/error.h"
#include <stdint.h>

/* Size left as a share, and encoding speed. Measured with zstd 1.5.4 on 1 MiB chunks, one core of
 * 2.6 GHz (Zen 4), entropy trial included:
 *
 *   level                   1                3               9              19
 *   planes of GPT-2, BF16   0.669 1445 MB/s  0.669 325 MB/s  0.667 65 MB/s  0.667 6 MB/s
 *   planes of kjv-3m, F16   0.671            0.670           0.670          0.673
 *   English text            0.358 161 MB/s   0.340 156 MB/s  0.315 44 MB/s  0.300 5 MB/s
 *
 * With both trials of every plane the first figure is 0.669 (415 MB/s). Without the trial the first
 * row is 0.682 (492 MB/s), 0.704, 0.693, 0.668.
 *
 * Small tensors need tables that change where planes do. The matrices of kjv-3m (64 to 384 KiB) as
 * BF16 take 0.719 with zstd's own cuts and 0.666 with LoRT's. As Q8_0 they take 0.962 and 0.943
 * (order-0 entropy: 0.936). */
#define LORT_ZSTD_LEVEL_DEFAULT 1

typedef struct lort_codec lort_codec;
/* On failure: LORT_E_USAGE if level is outside 1..19, LORT_E_MEMORY. */
lort_code lort_codec_open(int level, lort_codec **out, lort_error *err);
void lort_codec_close(lort_codec *codec); /* accepts NULL */
/* Most bytes that a codec takes, whatever it codes (the window is 1 MiB); for the plan. 0 if level
 * is outside 1..19. */
uint64_t lort_codec_memory(int level);
/* most bytes that encode can give; UINT64_MAX if bytes is absurd */
uint64_t lort_codec_bound(uint64_t bytes);
/* Encodes one frame: with content size, without dictionary, without checksum (the record has XXH64
 * of the stored bytes). Codes up to LORT_CHUNK_TARGET bytes twice and takes the smaller frame. One
 * trial is at the level. The other has hardly any matches, which is smaller on planes of weights.
 * The result depends only on the bytes, the level and the zstd version. capacity: at least
 * lort_codec_bound(bytes). */
lort_code lort_codec_encode(lort_codec *codec, const void *src, uint64_t bytes, void *dst,
                            uint64_t capacity, uint64_t *stored, lort_error *err);
/* Like lort_codec_encode, for bytes in split form (formats/types/planes.h) with `width` planes.
 * Similar planes share an entropy table; others do not. At level 1 planes of noise and of one byte
 * go into the frame as they are. The level is tried only where a sample says that matches pay, or
 * where strings occur again. */
lort_code lort_codec_encode_planes(lort_codec *codec, const void *src, uint64_t bytes,
                                   uint32_t width, void *dst, uint64_t capacity, uint64_t *stored,
                                   lort_error *err);
/* Like lort_codec_encode, for symbols without order, such as a stream of quantised weights. Looks
 * for hardly any matches. */
lort_code lort_codec_encode_symbols(lort_codec *codec, const void *src, uint64_t bytes, void *dst,
                                    uint64_t capacity, uint64_t *stored, lort_error *err);
/* Decodes exactly one frame of `stored` bytes into exactly `decoded` bytes; never writes more. On
 * failure: LORT_E_DAMAGED, also for a window of more than 128 MiB. */
lort_code lort_codec_decode(lort_codec *codec, const void *src, uint64_t stored, void *dst,
                            uint64_t decoded, lort_error *err);
/* Sets *bytes to the content size that the one frame of `stored` bytes states. On failure:
 * LORT_E_DAMAGED. */
lort_code lort_codec_content(const void *src, uint64_t stored, uint64_t *bytes, lort_error *err);
/* Decodes one frame behind the other, each like lort_codec_decode. */
lort_code lort_codec_decode_frames(lort_codec *codec, const void *src, uint64_t stored, void *dst,
                                   uint64_t decoded, lort_error *err);
/* Bytes of the frame that starts at src; 0 if there is no frame, or if it is not whole within
 * `available` bytes. */
uint64_t lort_codec_frame_bytes(const void *src, uint64_t available);
const char *lort_codec_version(void); /* of the library in use */

#endif
