/* archive: owns an opened .lort file: mapped, every record validated, its chunks still encoded. */
#ifndef LORT_LOADER_STORE_ARCHIVE_H
#define LORT_LOADER_STORE_ARCHIVE_H

#include "formats/container/container.h"
#include "loader/os/os.h"
#include "loader/store/base_chunk.h"
#include "loader/store/codec.h"

typedef struct lort_archive lort_archive;

bool lort_archive_bid(const uint8_t *head, uint64_t n); /* starts like a .lort */
/* A lort_own_fn: one byte may differ from the beginning of a .lort. */
bool lort_archive_resembles(const uint8_t *head, uint64_t n);
/* Sets *archive to true if the file at path is a .lort. For a missing path or a directory *archive
 * is false, and the call returns LORT_OK. */
lort_code lort_archive_told(const char *path, bool *archive, lort_error *err);
/* Opens a .lort and validates everything outside its chunks. Accounts for every byte of the file,
 * so the bytes between records are exactly the payloads. Memory: docs/FORMAT.md, section 12. Maps
 * the file; without address space it reads windows. Threads: after open any number may use the
 * archive, each with its own codec. On failure: LORT_E_DAMAGED ("incomplete" where an end is
 * missing), LORT_E_INPUT (not a .lort, or a newer format), or LORT_E_READ. */
lort_code lort_archive_open(const char *path, const lort_alloc *alloc, lort_archive **out,
                            lort_error *err);
/* The same, and asks stop(stop_ctx) before each PART record, unless stop is NULL. If it returns
 * true, the call fails with LORT_E_STOPPED. */
lort_code lort_archive_open_until(const char *path, const lort_alloc *alloc,
                                  bool (*stop)(void *ctx), void *stop_ctx, lort_archive **out,
                                  lort_error *err);
void lort_archive_close(lort_archive *archive);

/* On failure: LORT_E_READ if the file is gone, if its size, time or identity differs from what open
 * saw, or if a page could not be read. */
lort_code lort_archive_unchanged(const lort_archive *archive, lort_error *err);

const char *lort_archive_path(const lort_archive *archive);
uint64_t lort_archive_size(const lort_archive *archive);
const lort_file_info *lort_archive_info(const lort_archive *archive); /* of the file, at open */
const lort_head *lort_archive_head(const lort_archive *archive);
const lort_model_record *lort_archive_model(const lort_archive *archive);
const lort_index_record *lort_archive_index(const lort_archive *archive);
/* number of parts, which is the number of extents */
uint64_t lort_archive_count(const lort_archive *archive);
/* NULL past the end. A part that is the same as an earlier one has the terms, chunks and payload of
 * that part. */
const lort_part *lort_archive_part(const lort_archive *archive, uint64_t number);
/* the part of the tensor of that name, or NULL */
const lort_part *lort_archive_find(const lort_archive *archive, const char *name,
                                   uint64_t name_bytes);

/* all tensors in order: name, dims, type, bytes; offset = number of the part */
const lort_index *lort_archive_names(const lort_archive *archive);

/* The chunks of one array of one slice are [*first, *first + *count) in part->chunks. */
void lort_part_array(const lort_part *part, lort_array array, uint32_t slice, uint64_t *first,
                     uint64_t *count);
/* The first slice from `slice` on that has chunks; part->slices if there is none. A slice without
 * chunks is zero, or has no elements. So a loop over the slices of a part goes with its chunks. */
uint32_t lort_part_stored(const lort_part *part, uint32_t slice);
/* Reads one chunk into dst: checks the hash, decompresses, joins planes. dst: chunk->decoded bytes.
 * scratch: LORT_CHUNK_MAX bytes, or at least chunk->decoded. Where the file is not mapped, the call
 * takes chunk->stored bytes more from the archive's allocator. On failure: LORT_E_DAMAGED,
 * LORT_E_READ or LORT_E_MEMORY. */
lort_code lort_archive_chunk(const lort_archive *archive, const lort_part *part, uint64_t chunk,
                             lort_codec *codec, void *scratch, void *dst, lort_error *err);
/* Gives the archive its base, before any chunk is read. */
void lort_archive_set_base(lort_archive *archive, const lort_base_reader *base);
/* True if the archive holds differences to a base. */
bool lort_archive_has_base(const lort_archive *archive);
/* True if chunks of this part give zeros, since its base is absent (lort_base_reader). */
bool lort_archive_part_absent(const lort_archive *archive, const lort_part *part);
/* Puts bytes [offset, offset + n) of the base's tensor of a part that has one into dst. Zeros if
 * the base is absent. On failure: LORT_E_USAGE without a base, and as lort_base_reader. */
lort_code lort_archive_base_bytes(const lort_archive *archive, const lort_part *part,
                                  uint64_t offset, uint64_t n, uint8_t *dst, lort_error *err);
/* Releases the pages of a part's payload, behind a reader. Advice only. */
void lort_archive_release(const lort_archive *archive, const lort_part *part);

#endif
