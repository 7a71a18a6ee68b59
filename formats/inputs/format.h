/* format: what every weight-file format gives LoRT, and the table of formats. A format is told by
 * content: each bids on the first bytes. Adding an input format is one new file with a lort_format,
 * and one row in format.c. */
#ifndef LORT_FORMATS_INPUTS_FORMAT_H
#define LORT_FORMATS_INPUTS_FORMAT_H

#include "formats/types/tensor.h"

/* One metadata entry of a header, for inspection. Values are views into the header bytes or exact
 * numbers. */
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
    const char *type; /* the format's name for the value type: "uint32", "string"; for arrays that
                         of the elements */
    union {
        uint64_t u;
        int64_t i;
        double f;
        bool b;
        struct { /* raw bytes in the file (safetensors: still escaped) */
            uint64_t at, bytes;
        } text;
        struct { /* `at`: first element, after type and count */
            uint64_t at, count;
        } array;
    } v;
    const char *text_copy; /* TEXT only: NUL-terminated copy in the arena, unescaped */
} lort_kv;

struct lort_format;
typedef struct lort_header {
    const struct lort_format *format;
    /* in data order (ascending offset); offsets are from the start of the file */
    lort_index index;
    uint64_t header_bytes; /* everything before the data section, padding included */
    uint32_t version;      /* GGUF 1..3; safetensors 1 */
    uint32_t alignment;    /* of tensor data; safetensors 1 */
    bool split;            /* GGUF split.* keys with a count over 1 */
    uint32_t split_no, split_count;
    uint64_t split_tensors;   /* total over all shards */
    const char *architecture; /* "" if unknown */
    lort_kv *kv;
    uint64_t kv_count;
    /* bytes between tensors or behind the last that are neither a tensor's nor padding to the
     * alignment (all of them are kept as raw extents) */
    uint64_t gaps;
    char warning[256]; /* "" or what a person should know about an accepted file */
    lort_arena arena;
} lort_header;

typedef struct lort_format {
    const char *name; /* "gguf", "safetensors" */
    /* Does this look like mine? 0 no, higher = surer, from LORT_BID_SURE on there is more than a
     * plausible length. `n` bytes of the head (up to 4096) of file_size. */
    int (*bid)(const uint8_t *head, uint64_t n, uint64_t file_size);
    /* Validates the whole header and fills *out (arena from alloc). `data` holds the first
     * `available` of file_size bytes; when more are needed, fails with *wanted = how many (else 0).
     * No allocation is larger than a small multiple of the header. */
    lort_code (*parse)(const uint8_t *data, uint64_t available, uint64_t file_size,
                       const lort_alloc *alloc, lort_header *out, uint64_t *wanted,
                       lort_error *err);
    /* Writes a header like `header` (parsed from `data`, header_bytes of it) for tensors whose
     * types become types[i], appended to *out with its padding (*out need not be empty); offsets[i]
     * = new offset of tensor i from the file's start, *file_size = size of the new file (data
     * contiguous in index order, padded as the format wants). All metadata is carried
     * byte-identical except what states types: general.file_type follows the type most elements
     * have, where it is F32, F16 or BF16. LORT_E_USAGE if the format cannot hold a type; *out may
     * then hold part of a header. */
    lort_code (*rewrite)(const lort_header *header, const uint8_t *data,
                         const lort_dtype_info *const *types, lort_buffer *out, uint64_t *offsets,
                         uint64_t *file_size, lort_error *err);
} lort_format;

extern const lort_format lort_format_gguf;        /* gguf.c */
extern const lort_format lort_format_safetensors; /* safetensors.c */

#define LORT_BID_SURE 50
#define LORT_FORMAT_HEAD 4096 /* bytes of the head that tell a format */

const lort_format *lort_format_at(uint32_t i); /* the table; NULL past its end */
/* The format with the highest bid; `head` is the first min(file_size, LORT_FORMAT_HEAD) bytes or
 * more. LORT_E_INPUT says what the file looks like instead (Git LFS pointer, ZIP, pickle, HTML,
 * GGJT, FUGG ...). */
lort_code lort_format_tell(const uint8_t *head, uint64_t n, uint64_t file_size,
                           const lort_format **out, lort_error *err);
/* tell + parse. On failure *out is zero; lort_header_free accepts that. */
lort_code lort_header_parse(const uint8_t *data, uint64_t available, uint64_t file_size,
                            const lort_alloc *alloc, lort_header *out, uint64_t *wanted,
                            lort_error *err);

#endif
