/* layout: what every restored file of a container consists of.
 *
 * The room compress/files owns restored files: their layout, their bytes, any range of them, and
 * where restore writes them. It must not decide anything about a tensor.
 *
 * Kept tensors and side files have the bytes of the source. A factored or coded tensor has its own
 * type if that is F32, F16 or BF16, else F16, or the type that the user wants. Where a type
 * changes, the header of the file, the places behind it, and total_size of index.json change. */
#ifndef LORT_COMPRESS_FILES_LAYOUT_H
#define LORT_COMPRESS_FILES_LAYOUT_H

#include "compress/read/headers.h"

/* One restored file. */
typedef struct lort_out_file {
    uint64_t first, count; /* parts of the file */
    bool retyped;          /* a tensor changes its type, so the header changes */
    uint64_t size;         /* of the restored file */
    lort_buffer header;    /* retyped: the new header */
    /* Retyped: [count], the places of the parts. A part that is no tensor has the place where the
     * part before it ends, and no bytes. Else NULL. */
    uint64_t *places;
    uint64_t tensors;
    lort_buffer text; /* index.json with a new total_size; else empty */
} lort_out_file;

/* Zero-initialise it and set the first two members. It must not outlive the reading. */
typedef struct lort_layout {
    lort_reading *reading;
    const lort_dtype_info *wanted; /* --dtype; NULL: none */
    lort_out_file *files;          /* [files of the container]; NULL: not planned */
    uint64_t bytes;                /* of all files */
} lort_layout;

/* Reads the name of a type: F32, F16 or BF16. name NULL: *out is NULL. On failure: LORT_E_USAGE. */
lort_code lort_layout_dtype(const char *name, const lort_dtype_info **out, lort_error *err);
/* The type that a part is written in, and its bytes in that type. */
const lort_dtype_info *lort_layout_type(const lort_layout *layout, const lort_part *part);
uint64_t lort_layout_part_bytes(const lort_layout *layout, const lort_part *part);
/* Bytes that lort_layout_open takes at most, for headers as models have them. */
uint64_t lort_layout_cost(const lort_layout *layout);
/* Checks the headers of the container (compress/read/headers.h) and lays out all files.
 * reading: started.
 * On failure: the codes of lort_headers_open; LORT_E_USAGE for a header that grows too large;
 * LORT_E_WRITE for files of 2^64 bytes or more.
 * Owner: the caller, who closes *layout with lort_layout_close, after a failure too. */
lort_code lort_layout_open(lort_layout *layout, lort_error *err);
void lort_layout_close(lort_layout *layout); /* accepts a zeroed one */

/* What a place in a file belongs to. One of `part` and `bytes` is set; NULL both: zeros. */
typedef struct lort_layout_piece {
    const lort_part *part; /* the place is `inside` bytes behind the start of this part */
    const uint8_t *bytes;  /* the bytes from the place on */
    uint64_t inside;
    uint64_t count; /* bytes from the place to the end of the piece */
} lort_layout_piece;
/* The piece of file `file` at `at`, which is below the size of the file. */
lort_layout_piece lort_layout_at(const lort_layout *layout, uint32_t file, uint64_t at);
/* The file of this name. On failure: LORT_E_USAGE, which names the first files that there are. */
lort_code lort_layout_find(const lort_layout *layout, const char *name, uint32_t *file,
                           lort_error *err);

#endif
