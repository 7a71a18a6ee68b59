/* chunk: encodes bytes of the input as lossless chunks, and measures how many bytes a run of input
 * takes in this form. */
#ifndef LORT_COMPRESS_SLICE_CHUNK_H
#define LORT_COMPRESS_SLICE_CHUNK_H

#include "compress/slice/slice.h"

/* LoRT measures the lossless size of a slice on at most 8 evenly spaced chunks. These are all
 * chunks of a slice of up to 8 MiB. To encode every byte twice would cost more than the decision
 * gains (docs/ARCHITECTURE.md, "Decisions"). */
#define LORT_SAMPLE_CHUNKS 8

/* Elements and bytes of one chunk of this type. A chunk holds whole blocks of the type and at most
 * LORT_CHUNK_TARGET bytes. */
uint64_t lort_chunk_elements(const lort_dtype_info *type);
uint64_t lort_chunk_bytes(const lort_dtype_info *type);
/* Encodes `bytes` bytes at `src` as one chunk: splits them into byte planes where the type has
 * planes, then compresses them. Leaves the zstd frame in buffers->coded and its size in *stored.
 * Threads: one call at a time for each codec and each scratch. */
lort_code lort_chunk_encode(lort_codec *codec, lort_scratch *buffers, const lort_dtype_info *type,
                            const uint8_t *src, uint64_t bytes, uint64_t *stored, lort_error *err);
/* The same for bytes at `offset` of a tensor that matches tensor `number` of the base: as their
 * difference, if that is smaller. Takes lort_chunk_against_cost for one thread. */
lort_code lort_chunk_encode_against(lort_session *session, uint64_t number, uint64_t offset,
                                    lort_codec *codec, lort_scratch *buffers,
                                    const lort_dtype_info *type, const uint8_t *src, uint64_t bytes,
                                    uint64_t *stored, lort_error *err);
/* Encodes bytes at `offset` of a file, of the extent of `planned`, in the way that emit stores
 * them: as the difference to the base, where the plan says so. */
lort_code lort_chunk_encode_planned(const lort_decider *decider, const lort_tensor_plan *planned,
                                    uint64_t offset, lort_codec *codec, lort_scratch *buffers,
                                    const uint8_t *src, uint64_t bytes, uint64_t *stored,
                                    lort_error *err);
/* Bytes that differences take with so many threads. */
uint64_t lort_chunk_against_cost(const lort_session *session, unsigned threads);
/* Measures how many bytes a run of input takes losslessly. Encodes at most `most` evenly spaced
 * chunks and scales the result up; the result is exact if these are all chunks. On failure *bytes
 * is 0. */
lort_code lort_raw_size(const lort_decider *decider, lort_work work,
                        const lort_tensor_plan *planned, const lort_range *range, uint64_t most,
                        uint64_t *bytes, lort_error *err);
/* Does the same for the bytes of one slice. */
lort_code lort_slice_raw_size(const lort_slice_source *source, lort_work work, uint64_t most,
                              uint64_t *bytes, lort_error *err);

#endif
