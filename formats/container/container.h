/* container: .lort records <-> structs. docs/FORMAT.md is normative. Pure: bytes in, bytes out;
 * loader/codec does the zstd part and loader/archive the file part. Everything is little-endian.
 *
 *   file   = HEADER MODEL { chunk* PART }* INDEX FOOTER
 *   chunk  = one zstd data frame, at most LORT_CHUNK_MAX bytes decoded, decodable alone
 *   others = zstd skippable frames ("frames"), each with its own XXH64 over everything before it in
 * the frame
 *
 *   frame  = u32 magic 0x184D2A50 + kind | u32 size of what follows | u32 flags (bit 0: body is
 * zstd) | u32 piece | u32 pieces | u32 zero | u64 decoded size of the whole body | body bytes | u64
 * XXH64(frame up to here) A body over 1 GiB is cut into pieces, each a frame, in order. The same
 * shape for every kind; HEADER and FOOTER are never compressed; a compressed body is one piece and
 * decodes to at most lort_frame_decoded_max.
 *
 * A PART record follows its payload, so an unfinished file is its own journal; chunk offsets are
 * relative to the payload's start, so payload + record can be moved or copied to another container
 * whole. */
#ifndef LORT_FORMATS_CONTAINER_CONTAINER_H
#define LORT_FORMATS_CONTAINER_CONTAINER_H

#include "formats/base/hash.h"
#include "formats/types/tensor.h"

#define LORT_CONTAINER_MAJOR 1 /* readers refuse others (exit 3) */
#define LORT_CONTAINER_MINOR 0
#define LORT_FEATURE_SCALES 1ull /* required bit: a QUANTISED term may have scaled columns */
#define LORT_FEATURES_REQUIRED LORT_FEATURE_SCALES /* required feature bits this reader knows */
#define LORT_CHUNK_MAX (16u << 20)   /* decoded bytes of a chunk: what readers accept */
#define LORT_CHUNK_TARGET (1u << 20) /* decoded bytes of a chunk: what writers aim at */
#define LORT_FRAME_HEADER 32u
#define LORT_FRAME_TRAILER 8u
/* body bytes of one frame, and decoded bytes of a compressed body */
#define LORT_FRAME_BODY_MAX (1u << 30)
#define LORT_FRAME_PIECES_MAX 65536u
/* a compressed body of n bytes may claim 64 KiB + 1024 n: writers store what beats it as it is */
#define LORT_FRAME_RATIO_MAX 1024u
#define LORT_FRAME_FREE_BYTES (64u << 10)
#define LORT_HEAD_BODY 32u
#define LORT_FOOTER_BODY 40u
#define LORT_HEADER_BYTES (LORT_FRAME_HEADER + LORT_HEAD_BODY + LORT_FRAME_TRAILER)
#define LORT_FOOTER_BYTES (LORT_FRAME_HEADER + LORT_FOOTER_BODY + LORT_FRAME_TRAILER)
#define LORT_CHUNK_ENTRY 48u /* bytes of one chunk in a PART body */
#define LORT_PLANE_WIDTH_MAX 1024u
#define LORT_TEXT_MAX 65536u /* bytes of a text in a MODEL body */
#define LORT_REASON_MAX 1024u
/* of a part: with it no product of elements and bytes of a number overflows, whatever type they
 * become */
#define LORT_ELEMENTS_MAX (UINT64_C(1) << 60)
#define LORT_EXPONENT_MAX 4096 /* |exponent| of factors */
#define LORT_TERMS_MAX 16u

typedef enum lort_frame_kind {
    LORT_FRAME_HEAD = 0,
    LORT_FRAME_MODEL = 1,
    LORT_FRAME_PART = 2,
    LORT_FRAME_INDEX = 3,
    LORT_FRAME_FOOTER = 4
} lort_frame_kind;

/* HEADER body (32): "LORT\r\n\x1a\n", u16 major, u16 minor, u32 zero, u64 required features, u64
 * optional features. A reader refuses a required bit it does not know ("needs LoRT >= ..."), and
 * ignores optional ones. */
typedef struct lort_head {
    uint16_t major, minor;
    uint64_t required, optional;
} lort_head;

/* FOOTER body (40): "LORTEND\0", u64 model frame offset, u64 index offset, u64 index bytes (all
 * frames), u64 file size. */
typedef struct lort_footer {
    uint64_t model_offset, index_offset, index_bytes, file_size;
} lort_footer;

typedef enum lort_role { LORT_ROLE_WEIGHTS = 0, LORT_ROLE_INDEX = 1, LORT_ROLE_SIDE = 2 } lort_role;
typedef struct lort_input_file {
    const char *name; /* a plain base name */
    uint64_t size;
    lort_role role;
    const char *format; /* "gguf", "safetensors", "json", "bytes" */
} lort_input_file;

/* An extent: [offset, offset + bytes) of a file is part number `position in this list`. Extents
 * tile every file, in order; raw ones are not empty, tensors may be. The offset is not stored: it
 * follows from the sizes before it. */
typedef struct lort_extent {
    uint32_t file;
    bool tensor; /* false: raw bytes (header, padding, gap, tail, side file) */
    uint64_t offset, bytes;
} lort_extent;

typedef struct lort_model_record {
    uint32_t algorithm; /* LoRT's algorithm version: bytes may differ between two of them */
    uint64_t seed;
    bool directory;       /* restored as a directory (several files), else as one file */
    const char *producer; /* "lort 0.1.0" */
    const char *options; /* the quality options in canonical form, e.g. "max-error=0.05 max-rank=256
                            min-dim=32" */
    const char *libraries; /* "openblas 0.3.21 Zen; zstd 1.5.4": they may decide bytes */
    lort_input_file *files;
    uint32_t file_count;
    lort_extent *extents;
    uint64_t extent_count;
} lort_model_record;

typedef enum lort_term_kind {
    LORT_TERM_RAW = 0, /* elements of the tensor in `left` dtype, losslessly */
    /* per slice 2^exponent * L (rows x rank, dtype left) * R (rank x cols, dtype right), row-major
     */
    LORT_TERM_FACTORS = 1,
    LORT_TERM_INTEGERS = 2, /* per slice step * integers of a trellis, in blocks (docs/FORMAT.md) */
    LORT_TERM_SCALE = 3,    /* reserved: row or column scales */
    /* reserved: {XXH3-128 of a base model, tensor name}, for differences of two models */
    LORT_TERM_BASE = 4,
    LORT_TERM_TERNARY = 5 /* per row a scale (dtype left) times -1, 0 or 1, in blocks */
} lort_term_kind;
#define LORT_TERM_KINDS 6

typedef struct lort_term {
    lort_term_kind kind;
    /* RAW: both the tensor's dtype. FACTORS: F32, F16, BF16, or Q8_0, whose blocks may cross rows.
     * TERNARY: BF16, U8 */
    lort_dtype left, right;
    /* plane width of the stored chunks (formats/types/planes.h), 1 = not split */
    uint16_t left_width, right_width;
    bool left_rotate, right_rotate; /* RAW uses left_* only; right_* read back equal to it */
    /* [slices]; FACTORS: 0 = this slice has no factors. Others: 1 = this slice is in it, 0 = not */
    uint32_t *rank;
    int32_t *exponent; /* [slices]; FACTORS only, else NULL */
    /* [slices]; QUANTISED only, else NULL: 2^-100 to 2^100 where the slice is in it, else 0 */
    float *step;
    bool scaled; /* QUANTISED only: CODES end with a scale code of each column */
} lort_term;

/* Version 1 has one RAW, one QUANTISED and one TERNARY term at most and one FACTORS term per pair
 * of types at most, in any order. A slice is in RAW alone, or in one FACTORS term, or in QUANTISED
 * or TERNARY, or in FACTORS and one of these, whose sum it is then; a slice in none is all zero
 * (allowed only beside terms other than RAW). Elements of a slice: rows x cols, row-major
 * (lort_part_matrices).
 *
 * Which array of a payload a chunk belongs to: array kind in the top 8 bits, slice in the low 24. A
 * payload is slice-major: RAW or LEFT, RIGHT, CODES, BLOCKS, SCALES, TRITS of slice 0, then of
 * slice 1, ...; within an array chunks ascend; empty arrays have no chunks. CODES are rows + cols
 * bytes, and cols more where columns are scaled; a chunk of BLOCKS is one block of the grid, and as
 * many zstd frames as its writer likes. SCALES are rows elements; a chunk of TRITS is one block of
 * the same grid, five trits a byte. */
typedef enum lort_array {
    LORT_ARRAY_RAW = 0,
    LORT_ARRAY_LEFT = 1,
    LORT_ARRAY_RIGHT = 2,
    LORT_ARRAY_CODES = 3,
    LORT_ARRAY_BLOCKS = 4,
    LORT_ARRAY_SCALES = 5,
    LORT_ARRAY_TRITS = 6
} lort_array;
/* Codes of column scales, 2^((code - 128) / 4): no more than 8 octaves either way, so that no
 * product of a reader leaves what is normal. */
#define LORT_SCALE_ONE 128
#define LORT_SCALE_LEAST 96
#define LORT_SCALE_MOST 160
/* Bytes of CODES of a slice of these sides in a QUANTISED term. */
uint64_t lort_codes_bytes(bool scaled, const lort_matrices *shape);
#define LORT_ARRAY_ID(array, slice) ((uint32_t)(array) << 24 | (uint32_t)(slice))
#define LORT_MAX_SLICES (1u << 24)

/* How a quantised slice is cut, row of blocks by row of blocks: blocks as even as can be of at most
 * LORT_BLOCK_COLS columns (whole rows where they fit) and LORT_BLOCK_WEIGHTS weights, whose sides
 * are multiples of the units but at the slice's edges. */
#define LORT_BLOCK_WEIGHTS (1 << 19)
#define LORT_BLOCK_COLS (1 << 13)
#define LORT_BLOCK_ROW_UNIT 64
#define LORT_BLOCK_COL_UNIT 1024
#define LORT_BLOCK_HEAD_MAX 2560 /* bytes of a block's body that are not its weights' */
typedef struct lort_block_grid {
    int64_t rows, cols;   /* of the slice */
    int64_t high, wide;   /* of a block */
    int64_t down, across; /* blocks; block number = row of blocks * across + column of blocks */
} lort_block_grid;
typedef struct lort_block_place {
    int64_t row, col, rows, cols; /* first of, and how many */
} lort_block_place;
lort_block_grid lort_block_grid_of(int64_t rows, int64_t cols);
lort_block_place lort_block_get(const lort_block_grid *grid, int64_t number);

typedef struct lort_chunk {
    uint32_t array;           /* LORT_ARRAY_ID */
    uint32_t stored, decoded; /* bytes */
    uint64_t offset;          /* relative to the payload's start */
    uint64_t first, count;    /* element range within the array (of that slice) */
    uint64_t hash;            /* XXH64 of the stored bytes */
} lort_chunk;

typedef struct lort_part {
    uint64_t number; /* = extent number */
    bool tensor;
    const char *name; /* "" for raw parts */
    uint32_t name_bytes;
    lort_dtype dtype; /* raw parts: LORT_U8 */
    uint32_t n_dims;
    int64_t *dims;   /* raw parts: [bytes] */
    uint32_t slices; /* how the tensor is cut: 1 (whole) or the product of its leading dims */
    uint64_t source_bytes;
    lort_hash128 source; /* XXH3-128 of the source bytes */
    bool has_error;
    /* measured over all slices; 0 where all is raw; has_error false = undefined (zero or non-finite
     * tensor) */
    double rel_error;
    const char *reason; /* why it was kept, or "" */
    lort_term *terms;
    uint32_t term_count;
    lort_chunk *chunks;
    uint64_t chunk_count;
    uint64_t payload_bytes; /* the payload ends where the first frame of this record begins */
} lort_part;

typedef struct lort_index_entry {
    uint64_t record_offset, record_bytes; /* all frames of the PART record */
} lort_index_entry;
typedef struct lort_index_record {
    lort_index_entry *entries; /* [extent_count], by part number */
    uint64_t count;
    lort_hash128 model; /* XXH3-128 over the parts' source hashes in order: the model's identity */
} lort_index_record;

/* Body encoders append to *out; check the buffer. */
void lort_head_put(const lort_head *head, lort_buffer *out);
void lort_footer_put(const lort_footer *footer, lort_buffer *out);
void lort_model_record_put(const lort_model_record *model, lort_buffer *out);
void lort_part_put(const lort_part *part, lort_buffer *out);
void lort_index_record_put(const lort_index_record *index, lort_buffer *out);

/* Body decoders: the gate of the container. Everything is validated here (ranges, shapes, ranks <=
 * min(rows, cols), chunks that tile each array exactly in order and the payload exactly, extents
 * that tile the files, plain names, no NaN error, zero padding), so nothing behind them checks
 * again. LORT_E_DAMAGED, or LORT_E_INPUT for a version or required feature from the future. */
lort_code lort_head_get(const uint8_t *body, uint64_t bytes, lort_head *out, lort_error *err);
lort_code lort_footer_get(const uint8_t *body, uint64_t bytes, lort_footer *out, lort_error *err);
lort_code lort_model_record_get(const uint8_t *body, uint64_t bytes, lort_arena *arena,
                                lort_model_record *out, lort_error *err);
lort_code lort_part_get(const uint8_t *body, uint64_t bytes, lort_arena *arena, lort_part *out,
                        lort_error *err);
lort_code lort_index_record_get(const uint8_t *body, uint64_t bytes, lort_arena *arena,
                                lort_index_record *out, lort_error *err);
/* Terms with a left and a right array of types of their own. */
static inline bool lort_term_two_sided(lort_term_kind kind)
{
    return kind == LORT_TERM_FACTORS || kind == LORT_TERM_TERNARY;
}
/* The term of this kind that slice `slice` is in, or NULL. */
const lort_term *lort_part_term(const lort_part *part, uint32_t slice, lort_term_kind kind);
/* A part against the extent it claims to be (number, kind, byte count). */
lort_code lort_part_matches(const lort_part *part, const lort_model_record *model, lort_error *err);

/* Frames. */
uint64_t lort_frame_decoded_max(uint64_t stored);
typedef struct lort_frame {
    lort_frame_kind kind;
    bool compressed;
    uint32_t piece, pieces;
    uint64_t decoded;    /* bytes of the whole body, all pieces, decompressed */
    const uint8_t *body; /* view of this piece */
    uint64_t body_bytes;
    uint64_t frame_bytes; /* header + body + trailer */
} lort_frame;
/* Appends one frame (body_bytes <= 1 GiB). */
void lort_frame_put(const lort_frame *frame, lort_buffer *out);
/* Size of the frame that starts at data, from its first 8 bytes, without its hash being checked. */
lort_code lort_frame_bytes(const uint8_t *data, uint64_t available, uint64_t *frame_bytes,
                           lort_error *err);
/* Reads the frame that starts at data (`available` bytes to the end of the file); checks magic,
 * size, zero fields and hash. */
lort_code lort_frame_get(const uint8_t *data, uint64_t available, lort_frame *out, lort_error *err);

#endif
