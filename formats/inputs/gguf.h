/* gguf: the grammar of a GGUF header, which its reader and its writer share. Integers are
 * little-endian. A "count" is u32 in version 1 and u64 in versions 2 and 3.
 *
 *     file   = "GGUF", u32 version, count tensors, count pairs, PAIR*, INFO*,
 *              padding to general.alignment, data
 *     STRING = count n, n bytes     (writers of version 1 counted a NUL at the end; LoRT drops it)
 *     PAIR   = STRING key, u32 value type, value
 *     array  = u32 element type, count n, n elements     (a value)
 *     INFO   = STRING name, u32 dims, count ne[dims] (fastest first), u32 tensor type,
 *              u64 offset in the data
 */
#ifndef LORT_FORMATS_INPUTS_GGUF_H
#define LORT_FORMATS_INPUTS_GGUF_H

#include "formats/base/bytes.h"
#include "formats/inputs/format.h"

/* ggml and the GGUF specification allow 4 dimensions and names of 64 bytes. Builds of other
 * programs write more: 5 dimensions for video models, names of 90 bytes. */
#define LORT_GGUF_MAX_DIMS 8
#define LORT_GGUF_MAX_NAME 1024 /* bytes */

typedef struct lort_gguf_reader {
    lort_cursor cursor;
    uint32_t version;
    uint64_t tensor_count, kv_count;
} lort_gguf_reader;

typedef struct lort_gguf_info {
    const char *name; /* a view */
    uint32_t name_bytes, n_dims, type;
    uint64_t ne[LORT_GGUF_MAX_DIMS], offset;
    uint64_t at, type_at; /* where the info and its type field start in the file */
} lort_gguf_info;

/* Each reads one thing at the cursor of the reader, which keeps the first failure. They check the
 * grammar and the ranges of single fields only. Strings are views; kv->text_copy stays NULL.
 * Returns LORT_OK, or LORT_E_INPUT with the key or tensor and the offset. */
lort_code lort_gguf_read_head(lort_gguf_reader *reader);
lort_code lort_gguf_read_kv(lort_gguf_reader *reader, lort_kv *out);
lort_code lort_gguf_read_info(lort_gguf_reader *reader, lort_gguf_info *out);

/* Finds the places of all tensors of the header, whose offsets count from the start of the data. It
 * sorts the tensors, makes offsets count from the start of the file, gives opaque tensors their
 * bytes, and builds the index. infos_end: where the header ends, without its padding. It is in
 * gguf_place.c. On failure: LORT_E_INPUT, which names the tensor, or LORT_E_MEMORY. */
lort_code lort_gguf_place(lort_header *header, uint64_t infos_end, uint64_t file_size,
                          lort_error *err);
/* True if forks of ggml use the id of this type for another layout. */
bool lort_gguf_may_differ(const lort_dtype_info *type);
/* The bytes of a tensor whose rows are no whole blocks of such a type, until its place is known. */
#define LORT_GGUF_UNFIT UINT64_MAX

/* Puts the bytes of a tensor in another type into *bytes. Returns false if GGUF cannot hold it so.
 * An opaque tensor keeps its type and its bytes. It is in gguf_write.c. */
bool lort_gguf_bytes_as(const lort_tensor *t, const lort_dtype_info *type, uint64_t *bytes);
/* As lort_format.rewrite; it is in gguf_write.c. */
lort_code lort_gguf_rewrite(const lort_header *header, const uint8_t *data,
                            const lort_dtype_info *const *types, lort_buffer *out,
                            uint64_t *offsets, uint64_t *file_size, lort_error *err);

#endif
