/* archive: a .lort file opened: mapped, every record validated, its chunks still encoded. */
#ifndef LORT_LOADER_STORE_ARCHIVE_H
#define LORT_LOADER_STORE_ARCHIVE_H

#include "formats/container/container.h"
#include "loader/store/codec.h"

typedef struct lort_archive lort_archive;

bool lort_archive_bid(const uint8_t *head, uint64_t n); /* starts like a .lort */
/* Is the file at path a .lort? A missing path or a directory is not one (*archive false, LORT_OK).
 */
lort_code lort_archive_told(const char *path, bool *archive, lort_error *err);
/* Opens and validates everything outside chunks; every byte of the file is accounted for.
 * LORT_E_DAMAGED ("incomplete" where an end is missing), LORT_E_INPUT (not a .lort, or one from the
 * future), LORT_E_READ. Memory: the decoded records. Maps the file; without address space for that
 * it reads windows. After open any number of threads may use it, each with its own codec. */
lort_code lort_archive_open(const char *path, const lort_alloc *alloc, lort_archive **out,
                            lort_error *err);
void lort_archive_close(lort_archive *archive);

/* LORT_E_READ if size, time or identity of the file differs from what open saw, it is gone, or a
 * page of it could not be read. */
lort_code lort_archive_unchanged(const lort_archive *archive, lort_error *err);

const char *lort_archive_path(const lort_archive *archive);
uint64_t lort_archive_size(const lort_archive *archive);
const lort_head *lort_archive_head(const lort_archive *archive);
const lort_model_record *lort_archive_model(const lort_archive *archive);
const lort_index_record *lort_archive_index(const lort_archive *archive);
/* parts = extents */
uint64_t lort_archive_count(const lort_archive *archive);
/* NULL past the end */
const lort_part *lort_archive_part(const lort_archive *archive, uint64_t number);
/* tensor or NULL */
const lort_part *lort_archive_find(const lort_archive *archive, const char *name,
                                   uint64_t name_bytes);

/* tensors in order: name, dims, type, bytes; offset = part number */
const lort_index *lort_archive_names(const lort_archive *archive);

/* Chunks of one array of one slice: [*first, *first + *count) in part->chunks. */
void lort_part_array(const lort_part *part, lort_array array, uint32_t slice, uint64_t *first,
                     uint64_t *count);
/* Checks the hash, decompresses and joins planes: chunk->decoded bytes into dst. scratch holds
 * LORT_CHUNK_MAX bytes or at least chunk->decoded. Where the file is not mapped, chunk->stored
 * bytes more are taken from the archive's allocator for the call. */
lort_code lort_archive_chunk(const lort_archive *archive, const lort_part *part, uint64_t chunk,
                             lort_codec *codec, void *scratch, void *dst, lort_error *err);
/* Stored bytes between records must be exactly the payloads: done at open. Releases the payload's
 * pages behind a reader. */
void lort_archive_release(const lort_archive *archive, const lort_part *part);

#endif
