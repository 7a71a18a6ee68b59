/* lort_weights.h: the weights of a model or container for a program. lort.h includes it. */
#ifndef LORT_WEIGHTS_H
#define LORT_WEIGHTS_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lort_run_options; /* lort.h */

/* A handle is a model or a container that stays open. A program finds tensors by name, reads them
 * where they lie in memory, or streams them through a buffer of its own.
 *
 * Threads: any number of threads may call count, find, info, address and check at the same time.
 * Only one thread at a time may stream with a handle; open more handles to stream in parallel.
 *
 * A handle holds the values that the last stream decoded. So LoRT decodes them once if rows are
 * read one after the other. */
typedef struct lort_weights lort_weights;

/* name, dtype and dims belong to the handle and live until lort_weights_close. */
typedef struct lort_tensor_info {
    const char *name;    /* as the file spells it, NUL-terminated; escape it before printing */
    const char *dtype;   /* element type of the original, such as "F16" or "Q4_K" */
    uint32_t n_dims;     /* 0: a scalar */
    const int64_t *dims; /* n_dims numbers, the slowest dimension first */
    /* The tensor as matrices: slices x rows x cols is the number of elements. All are 0 if there
     * are no elements. */
    int64_t slices, rows, cols;
    uint64_t bytes; /* of the original */
    /* lort_weights_bytes works: a tensor of a model, or a tensor that a container keeps. */
    bool has_bytes;
    bool has_rows; /* lort_weights_rows works: LoRT has a decoder for the type */
    bool kept;     /* a container keeps the tensor losslessly; true for a tensor of a model */
    uint64_t elements;
    /* What LORT_READ_OWN gives, and `lort restore` writes: the element type, and the bytes of all
     * rows. Of a tensor that is not kept the type may differ from dtype. */
    const char *own_dtype;
    uint64_t own_bytes;
    uint64_t reserved[6];
} lort_tensor_info;

/* Opens a model or a container.
 * path: as for lort_inspect.
 * run: memory_bytes is the memory that the handle may take, for its records and streams; the mapped
 * file and the caller's buffers do not count. 0: 80 % of the memory available now. A container
 * takes about 15 MiB for its streams, a model 2 MiB. `weights` and `side_files` as for
 * lort_inspect, `base` as for lort_restore. Without a base, tensors that are differences cannot be
 * read. `threads` are not used. NULL: the defaults.
 * On failure *out is NULL: LORT_E_USAGE, LORT_E_INPUT, LORT_E_READ or LORT_E_DAMAGED as for the
 * commands; LORT_E_MEMORY.
 * Owner: the caller, who closes *out with lort_weights_close. */
lort_code lort_weights_open(const char *path, const struct lort_run_options *run,
                            lort_weights **out, lort_error *err);
/* Closes a handle. Its names, dims and addresses end with it. Accepts NULL. */
void lort_weights_close(lort_weights *weights);

/* The number of tensors. Tensors have the numbers 0 .. count - 1, in the order of the files. */
uint64_t lort_weights_count(const lort_weights *weights);
/* The number of the tensor with this name, by one look into a hash table.
 * On failure *number is 0: LORT_E_USAGE if no tensor has the name. */
lort_code lort_weights_find(const lort_weights *weights, const char *name, uint64_t *number,
                            lort_error *err);
/* Describes a tensor.
 * On failure *out is zero: LORT_E_USAGE if no tensor has the number. */
lort_code lort_weights_info(const lort_weights *weights, uint64_t number, lort_tensor_info *out,
                            lort_error *err);

/* The address of the original bytes in memory: read-only, info.bytes long, and constant until
 * close. The alignment is that of the file: mostly 32 bytes in GGUF, none in safetensors. NULL in
 * three cases: a container, whose bytes are encoded; a file that is not mapped for want of address
 * space; a number that no tensor has. Stream then. Pages that cannot be read give zeros and no
 * signal. So call lort_weights_check after reading: only its LORT_OK confirms the bytes. */
const void *lort_weights_address(const lort_weights *weights, uint64_t number);
/* Checks the files of a model since the handle was opened. LORT_OK for a container: streams check
 * it as they read.
 * On failure: LORT_E_READ if a file shrank, was changed or replaced, or could not be read. */
lort_code lort_weights_check(const lort_weights *weights, lort_error *err);

/* Copies the header of a weight file: what it has in front of its first tensor, as far as it fits
 * the buffer. file: 0, 1, ... in the order of the model. *bytes: of the whole header; a container
 * may claim any number. Threads: as for streams.
 * On failure *bytes is 0: LORT_E_USAGE behind the last file; LORT_E_READ or LORT_E_DAMAGED. */
lort_code lort_weights_header(lort_weights *weights, uint32_t file, void *buffer,
                              uint64_t buffer_bytes, uint64_t *bytes, lort_error *err);

/* Streams: lort_weights_bytes and lort_weights_rows.
 *
 * LoRT fills the caller's buffer with one piece after the other, in order, and calls the caller's
 * function for each. The last piece may be shorter.
 *   - Any code but LORT_OK from the function ends the stream, and the stream returns that code.
 *   - The function may call count, find, info, address and check. It may not stream with the same
 *     handle and may not close it.
 *   - LoRT checks the reads behind a piece before it hands the piece on. It checks the whole stream
 *     before it hands on the last piece. Only LORT_OK from the stream confirms all pieces.
 *   - Memory, out of memory_bytes: one chunk, block or row of blocks. That is 2 MiB, or 256 bytes a
 *     column for a matrix that is not kept and has more than 8192 columns. A container also needs
 *     the factors of one slice in f32. LoRT never holds a whole tensor.
 *   - On failure: LORT_E_USAGE if no tensor has the number, or the tensor cannot be read this way.
 *     LORT_E_READ if the input shrank, was changed, or could not be read. LORT_E_DAMAGED if a
 *     container fails its checks. LORT_E_MEMORY if memory_bytes are too few. */

/* Takes one piece: `count` bytes, the first at `offset` from the start of the tensor. */
typedef lort_code lort_bytes_fn(void *ctx, uint64_t offset, const void *bytes, uint64_t count);
/* Streams the original bytes of a tensor, in pieces of buffer_bytes (at least 1).
 * LORT_E_USAGE if info.has_bytes is false: a container has no original bytes of a factored or coded
 * tensor; stream rows instead. LoRT compares kept bytes with the hash of their source before it
 * hands on the last piece. */
lort_code lort_weights_bytes(lort_weights *weights, uint64_t number, void *buffer,
                             uint64_t buffer_bytes, lort_bytes_fn *piece, void *ctx,
                             lort_error *err);

#define LORT_ROWS_ALL (-1) /* as row_count: all rows from first_row on */
/* Takes one piece: `count` values, the first being element number `first` of the tensor. The row of
 * an element is its number / cols. */
typedef lort_code lort_rows_fn(void *ctx, uint64_t first, const float *values, uint64_t count);
/* Streams rows [first_row, first_row + row_count) of a tensor as f32. Rows are counted slice after
 * slice: there are slices x rows of them. The bits equal those of all other readers, such as
 * `lort restore --dtype F32`.
 * A piece has as many whole rows as buffer_bytes hold. If one row is longer than the buffer, a
 * piece has as many values as fit, in whole blocks of the type. 1024 bytes are enough for any type,
 * and 4 bytes for F32, F16 and BF16. LORT_E_USAGE: a buffer that is too small (the message names
 * the smallest); rows that do not exist; info.has_rows false (stream bytes instead).
 * LORT_E_INPUT: the stream has handed over as many values as the bytes of the container allow for
 * one call (docs/FORMAT.md, section 12), and more are to come; ask for fewer rows.
 * LORT_E_NUMERIC: a product of factors that does not fit f32. */
lort_code lort_weights_rows(lort_weights *weights, uint64_t number, int64_t first_row,
                            int64_t row_count, float *buffer, uint64_t buffer_bytes,
                            lort_rows_fn *piece, void *ctx, lort_error *err);

/* How lort_weights_read writes values. */
typedef enum lort_read_type {
    LORT_READ_F32,
    LORT_READ_F16,
    LORT_READ_BF16,
    /* The original bytes of a kept tensor or of a model. Of a factored or coded tensor the type
     * that `lort restore` writes without --dtype (info.own_dtype). */
    LORT_READ_OWN
} lort_read_type;

/* Fills a buffer with rows [first_row, first_row + row_count) of a tensor. Several threads decode.
 * name: NUL-terminated, as info.name.
 * rows: counted slice after slice, as for lort_weights_rows. LORT_ROWS_ALL: all from first_row on.
 * A tensor whose type is opaque or has no rows in whole blocks comes as OWN, and whole only:
 * first_row 0 and LORT_ROWS_ALL. A tensor without elements gives no bytes.
 * buffer: dense and row-major, of any alignment. Its contents are undefined after a failure.
 * buffer_bytes: at least the bytes of the rows; the rest of the buffer stays as it is.
 * threads: workers, at most 256; 0: cores that the process may use. LoRT takes fewer if the work is
 * small or memory_bytes are short.
 * One thread needs no more memory than lort_weights_rows. The bytes do not depend on threads.
 * The values equal those of `lort restore --dtype`, bit for bit, and those of lort_weights_rows,
 * rounded to nearest. A kept tensor in another type than its own is rounded in the same way. Bytes
 * of a kept tensor that is read whole as OWN also have the hash of their source.
 * On failure: LORT_E_USAGE if no tensor has the name; rows do not exist; the buffer is too small
 * (the message names the bytes); LoRT has no decoder for the type (read OWN). LORT_E_NUMERIC if a
 * value does not fit the type. LORT_E_READ, LORT_E_DAMAGED and LORT_E_MEMORY as for streams.
 * Threads: as for streams, one call at a time with a handle. */
lort_code lort_weights_read(lort_weights *weights, const char *name, lort_read_type type,
                            int64_t first_row, int64_t row_count, void *buffer,
                            uint64_t buffer_bytes, unsigned threads, lort_error *err);

#ifdef __cplusplus
}
#endif
#endif
