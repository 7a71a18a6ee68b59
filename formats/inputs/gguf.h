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

#define LORT_GGUF_MAX_DIMS 4  /* as GGML_MAX_DIMS of ggml */
#define LORT_GGUF_MAX_NAME 64 /* bytes: GGUF specification */

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

/* As lort_format.rewrite; it is in gguf_write.c. */
lort_code lort_gguf_rewrite(const lort_header *header, const uint8_t *data,
                            const lort_dtype_info *const *types, lort_buffer *out,
                            uint64_t *offsets, uint64_t *file_size, lort_error *err);

#endif
