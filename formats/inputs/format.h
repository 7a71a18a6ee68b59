/* format: what each format of weight files gives LoRT, and the table of formats. LoRT detects the
 * format from the contents: each format bids on the first bytes. A new input format is one file
 * with a lort_format, and one row in format.c.
 *
 * Room formats/inputs: owns the headers of input files: weight files, index.json and importance
 * matrices. It must not read a file or write a container. */
#ifndef LORT_FORMATS_INPUTS_FORMAT_H
#define LORT_FORMATS_INPUTS_FORMAT_H

#include "formats/types/tensor.h"

/* One metadata entry of a header, for `lort inspect`. Values are views into the header bytes, or
 * exact numbers. */
typedef enum lort_kv_kind {
    LORT_KV_U64,
    LORT_KV_I64,
    LORT_KV_F64,
    LORT_KV_BOOL,
    LORT_KV_TEXT,
    LORT_KV_ARRAY
} lort_kv_kind;
typedef struct lort_kv {
    const char *key;
    uint32_t key_bytes;
    lort_kv_kind kind;
    /* The type of the value as the format names it, such as "uint32"; for an array that of its
     * elements. */
    const char *type;
    union {
        uint64_t u;
        int64_t i;
        double f;
        bool b;
        struct { /* bytes in the file; safetensors: still escaped */
            uint64_t at, bytes;
        } text;
        struct { /* at: the first element, behind type and count */
            uint64_t at, count;
        } array;
    } v;
    const char *text_copy; /* TEXT only: an unescaped copy in the arena, NUL-terminated */
} lort_kv;

struct lort_format;
typedef struct lort_header {
    const struct lort_format *format;
    /* Tensors in data order (ascending offset). Offsets count from the start of the file. */
    lort_index index;
    uint64_t header_bytes; /* all before the data section, with padding */
    uint32_t version;      /* GGUF: 1 to 3; safetensors: 1 */
    uint32_t alignment;    /* of tensor data; safetensors: 1 */
    bool split;            /* GGUF: split.count is over 1 */
    uint32_t split_no, split_count;
    uint64_t split_tensors;   /* of all shards together */
    const char *architecture; /* "" if unknown */
    lort_kv *kv;
    uint64_t kv_count;
    /* Bytes between tensors, or behind the last, that are no padding to the alignment. LoRT keeps
     * them as raw extents. */
    uint64_t gaps;
    char warning[256]; /* for the user, about an accepted file; or "" */
    lort_arena arena;
} lort_header;

typedef struct lort_format {
    const char *name; /* "gguf", "safetensors" */
    /* Says how much a file looks like this format: 0 is no. From LORT_BID_SURE on there is more
     * evidence than a plausible length. head: the first n bytes, at most LORT_FORMAT_HEAD of
     * file_size. */
    int (*bid)(const uint8_t *head, uint64_t n, uint64_t file_size);
    /* Validates the whole header and fills *out, with an arena from `alloc`. data: the first
     * `available` of file_size bytes. If more bytes are needed, it fails and sets *wanted to their
     * number; otherwise *wanted is 0. No allocation is larger than a small multiple of the header.
     * On failure: LORT_E_INPUT or LORT_E_MEMORY, and *out is zero. */
    lort_code (*parse)(const uint8_t *data, uint64_t available, uint64_t file_size,
                       const lort_alloc *alloc, lort_header *out, uint64_t *wanted,
                       lort_error *err);
    /* Appends to *out a header like `header`, with its padding, in which tensor i has the type
     * types[i]. data: the bytes that `header` was parsed from. offsets[i]: the new offset of
     * tensor i from the start of the new file. *file_size: its size. Data is contiguous in index
     * order, padded as the format wants. Metadata stays identical, but for the key that states
     * types. That key, general.file_type, follows the type of most elements if that is F32, F16 or
     * BF16. On failure: LORT_E_USAGE if the format cannot hold a type. *out may then hold part of
     * a header. */
    lort_code (*rewrite)(const lort_header *header, const uint8_t *data,
                         const lort_dtype_info *const *types, lort_buffer *out, uint64_t *offsets,
                         uint64_t *file_size, lort_error *err);
} lort_format;

extern const lort_format lort_format_gguf;        /* gguf.c */
extern const lort_format lort_format_safetensors; /* safetensors.c */

#define LORT_BID_SURE 50
#define LORT_FORMAT_HEAD 4096 /* bytes of the head that decide about the format */

const lort_format *lort_format_at(uint32_t i); /* row i of the table; NULL past its end */
/* Puts the format with the highest bid into *out. head: the first min(file_size, LORT_FORMAT_HEAD)
 * bytes, or more. On failure: LORT_E_INPUT; the message says what the file looks like, such as a
 * Git LFS pointer, ZIP, pickle or HTML. */
lort_code lort_format_tell(const uint8_t *head, uint64_t n, uint64_t file_size,
                           const lort_format **out, lort_error *err);
/* Detects the format and parses the header; arguments as in lort_format.parse. On failure *out is
 * zero; lort_header_free accepts that. */
lort_code lort_header_parse(const uint8_t *data, uint64_t available, uint64_t file_size,
                            const lort_alloc *alloc, lort_header *out, uint64_t *wanted,
                            lort_error *err);

#endif
