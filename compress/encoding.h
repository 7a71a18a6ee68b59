/* encoding: ONE table of the ways a slice is stored (the container's terms): what reading one takes, and how cells of f32 come out of it.
 * A new encoding is a row here and, on the writing side, an outcome in decide.c. */
#ifndef LORT_COMPRESS_ENCODING_H
#define LORT_COMPRESS_ENCODING_H

#include "compress/session.h"
#include "loader/archive.h"

/* The chunk a worker decoded last, so that neighbouring rows do not decode it again. Zero-initialise. */
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
    lort_matrices shape; /* rows, cols of the slice */
    const struct lort_encoding *encoding; /* NULL: no term covers it, all zero */
    const lort_term *term;
    float *left, *right; /* FACTORS: f32 copies, [rows][rank] and [rank][cols] */
} lort_slice;

/* Rows [r0, r1) x columns [c0, c1): r0 a multiple of LORT_DECODE_ROWS, c0 of LORT_DECODE_COLS, r1 and c1 too or the end. */
typedef struct lort_cells {
    int64_t r0, r1, c0, c1;
} lort_cells;

/* How readers cut a rows x cols matrix: cells of at most LORT_CELL_VALUES, whole rows where they fit. */
#define LORT_CELL_COLS 4096
#define LORT_CELL_VALUES (64u * LORT_CELL_COLS)
typedef struct lort_cell_grid {
    int64_t rows, cols;  /* of the matrix */
    int64_t high, wide;  /* rows and columns of a cell */
    int64_t down, across; /* how many */
} lort_cell_grid;
lort_cell_grid lort_cell_grid_of(int64_t rows, int64_t cols);
lort_cells lort_cell_get(const lort_cell_grid *grid, int64_t number); /* row by row of cells */
uint64_t lort_cell_count(const lort_cells *cells);                    /* values in it */

typedef struct lort_encoding {
    lort_term_kind kind;
    const char *name;
    /* Bytes open takes for slice `slice` of the part. */
    uint64_t (*memory)(const lort_part *part, const lort_term *term, uint32_t slice);
    lort_code (*open)(lort_slice *slice, lort_scratch *scratch, lort_error *err);
    /* The cells, dense, into dst. Thread-safe with a scratch and cache each. */
    lort_code (*cells)(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch, lort_chunk_cache *cache, float *dst, lort_error *err);
} lort_encoding;

const lort_encoding *lort_encoding_get(lort_term_kind kind); /* NULL: not in this version */

/* scratch chunks must be as large as the archive's largest (lort_archive_chunk_max). */
lort_code lort_slice_open(const lort_archive *archive, const lort_part *part, uint32_t slice, lort_scratch *scratch, const lort_alloc *alloc,
                          lort_slice *out, lort_error *err);
lort_code lort_slice_cells(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch, lort_chunk_cache *cache, float *dst,
                           lort_error *err);
void lort_slice_close(lort_slice *slice); /* accepts zeroed */
uint64_t lort_slice_memory(const lort_part *part, uint32_t slice);
uint64_t lort_part_memory(const lort_part *part); /* of its largest slice */
/* The largest decoded chunk of an archive, at least LORT_CHUNK_TARGET. */
uint64_t lort_archive_chunk_max(const lort_archive *archive);
uint64_t lort_part_elements(const lort_part *part);
/* True if the part is stored losslessly whole. */
bool lort_part_is_raw(const lort_part *part);
/* True if rows of f32 can be had: every term's element type has a decoder. */
bool lort_part_decodes(const lort_part *part);

#endif
