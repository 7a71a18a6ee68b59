/* encoding: decodes stored slices to cells of f32.
 *
 *     slice = raw                       kept
 *           = factors                   factored
 *           = [factors +] integers      coded
 *           = [factors +] trits         coded
 *             with outliers in place of some elements
 *             and the base of a difference added
 *
 * One table has a row per term of a container (docs/FORMAT.md). A row names the memory that
 * reading needs, and the functions that open a slice and decode it. A new encoding is a row here
 * and an outcome in compress/slice/decide.c.
 *
 * The room turns what is stored into f32, for models and containers alike. It must not write, and
 * decides nothing. */
#ifndef LORT_COMPRESS_READ_ENCODING_H
#define LORT_COMPRESS_READ_ENCODING_H

#include "compress/session/session.h"
#include "loader/store/archive.h"

/* Receives bytes in order. */
typedef lort_code lort_sink_fn(void *ctx, const void *bytes, uint64_t n, lort_error *err);

/* The chunk in a scratch, so that neighbouring rows do not decode it again. Zero-initialise it. Set
 * valid to false if the buffers of the scratch are used for something else. */
typedef struct lort_chunk_cache {
    const lort_part *part;
    uint64_t chunk;
    bool valid;
} lort_chunk_cache;

/* One slice of a stored part, opened for reading cells. */
typedef struct lort_slice {
    const lort_archive *archive;
    const lort_part *part;
    const lort_alloc *alloc;
    uint32_t slice;
    lort_matrices shape;                    /* rows and cols of the slice */
    const lort_term *term[LORT_TERM_KINDS]; /* by kind: terms of the sum; all NULL: zero */
    float *left, *right;                    /* factors in f32: [rows][rank], [rank][cols] */
    /* Integers: codes of the rows, then of the columns, then of the column scales if there are any.
     */
    uint8_t *codes;
    float *scales; /* trits: [rows] */
    /* Outliers: [count] each, by place. One block of memory. */
    uint64_t *places;
    float *outliers;
} lort_slice;

/* Rows [r0, r1) x columns [c0, c1): any. Of a raw slice c0 and c1 are borders of blocks of its
 * type. The bits of an element do not depend on the cells. */
typedef struct lort_cells {
    int64_t r0, r1, c0, c1;
} lort_cells;

/* Readers cut a matrix as blocks of integers are cut, so that no block is decoded twice. */
#define LORT_CELL_VALUES ((uint64_t)LORT_BLOCK_WEIGHTS)
typedef lort_block_grid lort_cell_grid;
lort_cell_grid lort_cell_grid_of(int64_t rows, int64_t cols);
/* Cell `number` of the grid, counted row by row. */
lort_cells lort_cell_get(const lort_cell_grid *grid, int64_t number);
uint64_t lort_cell_count(const lort_cells *cells); /* values in the cells */

typedef struct lort_encoding {
    lort_term_kind kind;
    const char *name;
    /* Bytes that `open` takes for a slice of the part. */
    uint64_t (*memory)(const lort_part *part, const lort_term *term, uint32_t slice);
    lort_code (*open)(lort_slice *slice, lort_scratch *scratch, lort_error *err);
    /* Puts the cells of the term into dst, dense. RAW and FACTORS set dst; INTEGERS and TERNARY
     * add to dst; OUTLIERS sets some of it; BASE adds to dst, unless the slice is RAW. Threads: any
     * number at a time, with a scratch and a cache each. */
    lort_code (*cells)(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch,
                       lort_chunk_cache *cache, float *dst, lort_error *err);
} lort_encoding;

const lort_encoding *lort_encoding_get(lort_term_kind kind); /* NULL: unknown kind */

/* Widens a need to the blocks of all coded parts of an archive. */
void lort_archive_block_need(const lort_archive *archive, lort_block_need *need);

/* Opens slice `slice` of a part: decodes factors, codes and scales into memory of alloc.
 * scratch: chunks of lort_archive_chunk_max bytes, and the blocks of lort_archive_block_need.
 * On failure: LORT_E_DAMAGED, LORT_E_MEMORY and others; *out is zero.
 * Owner: the caller, who closes *out. */
lort_code lort_slice_open(const lort_archive *archive, const lort_part *part, uint32_t slice,
                          lort_scratch *scratch, const lort_alloc *alloc, lort_slice *out,
                          lort_error *err);
/* Decodes cells of an open slice to f32 in dst, dense and row-major. Threads: any number at a time,
 * with a scratch and a cache each. */
lort_code lort_slice_cells(const lort_slice *slice, const lort_cells *cells, lort_scratch *scratch,
                           lort_chunk_cache *cache, float *dst, lort_error *err);
/* Decodes one block of a slice with integers or trits into scratch->block.weights, without factors.
 * number: in the grid of blocks. */
lort_code lort_slice_load(const lort_slice *slice, int64_t number, lort_scratch *scratch,
                          lort_chunk_cache *cache, lort_error *err);
/* Decodes elements [at, end) of a raw slice, in row-major order. at and end are borders of blocks
 * of the type. */
lort_code lort_slice_elements(const lort_slice *slice, uint64_t at, uint64_t end,
                              lort_scratch *scratch, lort_chunk_cache *cache, float *dst,
                              lort_error *err);
void lort_slice_close(lort_slice *slice); /* accepts a zeroed one */
/* Bytes that lort_slice_open takes for one slice. */
uint64_t lort_slice_memory(const lort_part *part, uint32_t slice);
/* The same for the largest slice of a part; 0 for a part that is kept whole. */
uint64_t lort_part_memory(const lort_part *part);
/* Bytes of the largest chunk of an archive, at least LORT_CHUNK_TARGET. Decoded bytes count; for
 * blocks the stored bytes, since they are decoded to lort_block_space. */
uint64_t lort_archive_chunk_max(const lort_archive *archive);
/* True if the slice has a term that is stored in blocks. */
bool lort_slice_has_blocks(const lort_slice *slice);

#endif
