/* chunk: runs of input bytes as they are stored losslessly, and what they come to. */
#ifndef LORT_COMPRESS_SLICE_CHUNK_H
#define LORT_COMPRESS_SLICE_CHUNK_H

#include "compress/slice/slice.h"

/* the lossless size of a slice is measured on at most so many, evenly spaced (all of them for up to
 * 8 MiB) */
#define LORT_SAMPLE_CHUNKS 8

/* Elements a chunk of this type holds, and their bytes: whole blocks, at most LORT_CHUNK_TARGET
 * bytes. */
uint64_t lort_chunk_elements(const lort_dtype_info *type);
uint64_t lort_chunk_bytes(const lort_dtype_info *type);
/* Splits into planes (when the type asks for it) and compresses `bytes` bytes; the frame is left in
 * buffers->coded. */
lort_code lort_chunk_encode(lort_codec *codec, lort_scratch *buffers, const lort_dtype_info *type,
                            const uint8_t *src, uint64_t bytes, uint64_t *stored, lort_error *err);
/* Bytes of a run of input stored losslessly, measured on `most` evenly spaced chunks at most and
 * scaled up; exact when that is all of them. */
lort_code lort_raw_size(const lort_decider *decider, lort_work work, const lort_dtype_info *type,
                        const lort_range *range, uint64_t most, uint64_t *bytes, lort_error *err);
lort_code lort_slice_raw_size(const lort_slice_source *source, lort_work work, uint64_t most,
                              uint64_t *bytes, lort_error *err);

#endif
