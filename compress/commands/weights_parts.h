/* weights_parts: what the files of lort_weights share: the handle, and the state of its streams. */
#ifndef LORT_COMPRESS_COMMANDS_WEIGHTS_PARTS_H
#define LORT_COMPRESS_COMMANDS_WEIGHTS_PARTS_H

#include "compress/delta/base.h"
#include "compress/read/input.h"

/* A row of cells of the open slice, as wide as the matrix. Pieces of rows are copied from it. */
typedef struct lort_weights_band {
    float *values; /* [high][cols]; if a row has several cells, one more cell behind them */
    uint64_t bytes;
    int64_t number; /* of the decoded row of cells; -1: none */
    lort_cell_grid grid;
} lort_weights_band;

struct lort_weights {
    lort_host host; /* entered while a call opens, streams or reads */
    /* Not opened as those of commands are: it holds budget, report, pool and the scratch of each
     * worker. scratch[0] is that of streams. session.threads: workers that have a scratch. */
    lort_session session;
    lort_report report; /* for messages of the base */
    unsigned listed;    /* places in session.scratch */
    const lort_alloc *alloc;
    uint64_t reserved; /* bytes for libraries, of worker 0 */
    unsigned cores;    /* that the process may use; 0: not asked yet */
    lort_block_need blocks;
    uint64_t chunk; /* bytes of the largest chunk */
    lort_input input;
    lort_base *base;        /* NULL: none */
    lort_chunk_cache cache; /* the chunk in scratch[0] */
    lort_slice slice;       /* of a container: the open slice; zero: none */
    lort_weights_band band; /* of the open slice; opened when first needed */
};

/* Tensor `number` of the handle. On failure: LORT_E_USAGE. */
lort_code lort_weights_entry(const lort_weights *weights, uint64_t number, lort_entry *out,
                             lort_error *err);
/* The tensor as matrices; all 0 if it has no elements. */
lort_matrices lort_weights_shape(const lort_tensor *tensor);
/* Checks rows [first, first + *count), and puts the number of rows into *count for LORT_ROWS_ALL.
 * On failure: LORT_E_USAGE. */
lort_code lort_weights_check_rows(const lort_tensor *tensor, int64_t first, int64_t *count,
                                  lort_error *err);
/* Puts "tensor NAME: " in front of the message. Returns code. */
lort_code lort_weights_name_error(const lort_entry *entry, lort_code code, lort_error *err);
/* Opens a slice, which stays open until another one is needed. */
lort_code lort_weights_open_slice(lort_weights *weights, const lort_part *part, uint32_t number,
                                  lort_error *err);
/* Frees the rows of the open slice that a stream decoded. */
void lort_weights_drop_band(lort_weights *weights);
/* Makes the pool have workers for so many items: as many as are wanted (0: the cores that the
 * process may use) and fit the memory. A larger pool stays, as far as it is wanted. Returns the
 * number of workers, at least 1. */
unsigned lort_weights_workers(lort_weights *weights, unsigned threads, int64_t items);
/* Gives up all workers but one, and their memory. True if there were any. */
bool lort_weights_drop_workers(lort_weights *weights);
/* The type of LORT_READ_OWN. */
const lort_dtype_info *lort_weights_own_type(const lort_entry *entry);

#endif
