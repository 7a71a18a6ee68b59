/* codec: the only user of <zstd.h>. A codec holds one compression and one decompression context: one per worker. */
#ifndef LORT_LOADER_CODEC_H
#define LORT_LOADER_CODEC_H

#include "formats/error.h"
#include <stdint.h>

#define LORT_ZSTD_LEVEL_DEFAULT 3 /* tests/bench/levels.md */

typedef struct lort_codec lort_codec;
lort_code lort_codec_open(int level, lort_codec **out, lort_error *err); /* LORT_E_USAGE: level outside 1..19 */
void lort_codec_close(lort_codec *codec);
uint64_t lort_codec_memory(int level);          /* bytes both contexts take for chunks up to LORT_CHUNK_TARGET; for the plan */
uint64_t lort_codec_bound(uint64_t bytes);      /* most that encode can give */
/* One frame: content size, no checksum (the record has XXH64 of the stored bytes), no dictionary. */
lort_code lort_codec_encode(lort_codec *codec, const void *src, uint64_t bytes, void *dst, uint64_t capacity, uint64_t *stored, lort_error *err);
/* Exactly one frame of `stored` bytes that gives exactly `decoded`; never writes more, windowLog bounded. LORT_E_DAMAGED. */
lort_code lort_codec_decode(lort_codec *codec, const void *src, uint64_t stored, void *dst, uint64_t decoded, lort_error *err);
const char *lort_codec_version(void); /* of the library in use */

#endif
