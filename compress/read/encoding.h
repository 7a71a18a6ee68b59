/* encoding: ONE table of the ways a slice is stored (the container's terms): what reading one
 * takes, and how cells of f32 come out of it. A new encoding is a row here and, on the writing
 * side, an outcome in decide.c. */
#ifndef LORT_COMPRESS_READ_ENCODING_H
#define LORT_COMPRESS_READ_ENCODING_H

#include "compress/session/session.h"
#include "loader/store/archive.h"

/* Takes bytes in order. */
typedef lort_code lort_sink_fn(void *ctx, const void *bytes, uint64_t n, lort_error *err);

/* The chunk a worker decoded last, so that neighbouring rows do not decode it again.
 * Zero-initialise. */
typedef struct lort_chunk_cache {
    const lort_part *part;
    uint64_t chunk;
    bool valid;
} lort_chunk_cache;

/* One slice of a part of an archive, opened for reading cells. */
typedef struct lort_slice {
    const lort_archive *archive;
    const lort_part *part;
    const lort_alloc *alloc;
    uint32_t slice;
    lort_matrices shape;                    /* rows, cols of the slice */
    const lort_term *term[LORT_TERM_KINDS]; /* by kind: those it is the sum of; all NULL: zero */
    float *left, *right; /* of factors: f32 copies, [rows][rank] and [rank][cols] */
    /* of integers: of the rows, then of the columns, then of their scales where there are any */
    uint8_t *codes;
    float *scales; /* of trits: of the rows */
} lort_slice;

/* Rows [r0, r1) x columns [c0, c1): r0 a multiple of LORT_DECODE_ROWS, c0 of LORT_DECODE_COLS, r1
 * and c1 too or the end. */
typedef struct lort_cells {
    int64_t r0, r1, c0, c1;
} lort_cells;

/* How readers cut a rows x cols matrix: as quantised blocks are, so that none is decoded twice. */
#define LORT_CELL_VALUES ((uint64_t)LORT_BLOCK_WEIGHTS)
typedef lort_block_grid lort_cell_grid;
lort_cell_grid lort_cell_grid_of(int64_t rows, int64_t cols);
lort_cells lort_cell_get(const lort_cell_grid *grid, int64_t number); /* row by row of cells */
uint64_t lort_cell_count(const lort_cells *cells);                    /* values in it */

typedef struct lort_encoding {
    lort_term_kind kind;
    const char *name;
    /* Bytes open takes for slice `slice` of the part. */
    uint64_t (*memory)(const lort_part *part, const lort_term *term, uint32_t slice);
    lort_code (*open)(lort_slice *slice, lort_scratch *scratch, lort_error *err);
    /* The cells, dense, added to dst, which is zero or what terms of the kinds before came to.
     * Thread-safe with a scratch and cache each. */
    lort_code (*cells)(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch,
                       lort_chunk_cache *cache, float *dst, lort_error *err);
} lort_encoding;

const lort_encoding *lort_encoding_get(lort_term_kind kind); /* NULL: not in this version */

/* Widens a need to the quantised blocks of an archive. */
void lort_archive_block_need(const lort_archive *archive, lort_block_need *need);

/* scratch chunks must be as large as the archive's largest (lort_archive_chunk_max), and its block
 * as lort_archive_block_need says. */
lort_code lort_slice_open(const lort_archive *archive, const lort_part *part, uint32_t slice,
                          lort_scratch *scratch, const lort_alloc *alloc, lort_slice *out,
                          lort_error *err);
lort_code lort_slice_cells(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch,
                           lort_chunk_cache *cache, float *dst, lort_error *err);
/* Decodes block `number` of the grid of a slice with integers or trits, into
 * scratch->block.weights. */
lort_code lort_slice_load(const lort_slice *slice, int64_t number, lort_scratch *scratch,
                          lort_chunk_cache *cache, lort_error *err);
/* Elements [at, end) of a slice that is raw, in row-major order: whole blocks of its type. */
lort_code lort_slice_elements(const lort_slice *slice, uint64_t at, uint64_t end,
                              lort_scratch *scratch, lort_chunk_cache *cache, float *dst,
                              lort_error *err);
void lort_slice_close(lort_slice *slice); /* accepts zeroed */
uint64_t lort_slice_memory(const lort_part *part, uint32_t slice);
uint64_t lort_part_memory(const lort_part *part); /* of its largest slice */
/* The largest decoded chunk of an archive, at least LORT_CHUNK_TARGET. */
uint64_t lort_archive_chunk_max(const lort_archive *archive);

#endif
