/* gguf: the grammar of a GGUF header, shared by the reader and the writer of it. Integers are
 * little-endian; "count" is u32 in version 1 and u64 in versions 2 and 3.
 *
 *   file        = "GGUF", u32 version, count tensors, count pairs, PAIR*, INFO*, padding to
 * general.alignment, data STRING      = count n, n bytes                       (version 1 writers
 * counted a NUL at the end; it is dropped) PAIR        = STRING key, u32 value type, value array
 * value = u32 element type, count n, n elements INFO        = STRING name, u32 dims, count ne[dims]
 * fastest first, u32 tensor type, u64 offset in the data */
#ifndef LORT_FORMATS_INPUTS_GGUF_H
#define LORT_FORMATS_INPUTS_GGUF_H

#include "formats/base/bytes.h"
#include "formats/inputs/format.h"

#define LORT_GGUF_MAX_DIMS 4
#define LORT_GGUF_MAX_NAME 64

typedef struct lort_gguf_reader {
    lort_cursor cursor;
    uint32_t version;
    uint64_t tensor_count, kv_count;
} lort_gguf_reader;

typedef struct lort_gguf_info {
    const char *name; /* view */
    uint32_t name_bytes, n_dims, type;
    uint64_t ne[LORT_GGUF_MAX_DIMS], offset;
    uint64_t at, type_at; /* where the info and its type field start in the file */
} lort_gguf_info;

/* Each reads one thing at the cursor; the cursor keeps the first failure. Only the grammar and the
 * ranges of single fields are checked. Strings are views; kv->text_copy stays NULL. */
lort_code lort_gguf_read_head(lort_gguf_reader *reader);
lort_code lort_gguf_read_kv(lort_gguf_reader *reader, lort_kv *out);
lort_code lort_gguf_read_info(lort_gguf_reader *reader, lort_gguf_info *out);

/* gguf_write.c: as lort_format's rewrite */
lort_code lort_gguf_rewrite(const lort_header *header, const uint8_t *data,
                            const lort_dtype_info *const *types, lort_buffer *out,
                            uint64_t *offsets, uint64_t *file_size, lort_error *err);

#endif
