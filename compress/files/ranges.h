/* ranges: any range of bytes of the parts of a container, as they are restored.
 *
 * A range of a kept part or slice is a run of its chunks, and a range of any other slice a run of
 * bands of rows (rows.h). The workers decode a run. What a run decodes beyond the range at its end
 * is kept for the next range. */
#ifndef LORT_COMPRESS_FILES_RANGES_H
#define LORT_COMPRESS_FILES_RANGES_H

#include "compress/files/layout.h"

/* The block that was decoded last: bytes [at, at + count) of a part. */
typedef struct lort_range_block {
    const lort_part *part; /* NULL: none */
    uint64_t at, count;
    uint8_t *bytes; /* [room] */
    uint64_t room;
} lort_range_block;

typedef struct lort_ranges {
    const lort_layout *layout;
    lort_slice slice; /* the open one; zero: none */
    lort_range_block block;
    /* The chunk that the last search found, and the place of its bytes in its part. */
    const lort_part *found;
    uint64_t chunk, chunk_at;
    /* The part whose bytes come in order, and the end of those that came. */
    const lort_part *ordered;
    uint64_t ordered_at;
    lort_hasher *hasher;
} lort_ranges;

/* Most bytes that reading takes beside lort_rows_bytes: for all parts; for a part that is not kept
 * whole. */
uint64_t lort_ranges_cost(const lort_archive *archive);
uint64_t lort_ranges_part_cost(const lort_layout *layout, const lort_part *part);
/* Puts bytes [at, at + n) of a part into dst. The part has them. Checks the hash of the source when
 * ranges in order reach the end of a part that is kept whole.
 * ranges: zero-initialised, with `layout` set, and closed after the last range.
 * On failure: LORT_E_DAMAGED, LORT_E_NUMERIC and others; the message names the tensor. */
lort_code lort_ranges_read(lort_ranges *ranges, const lort_part *part, uint64_t at, void *dst,
                           uint64_t n, lort_error *err);
void lort_ranges_close(lort_ranges *ranges);

#endif
