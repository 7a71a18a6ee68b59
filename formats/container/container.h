/* container: .lort records to structs and back, and the rules that records must keep.
 * docs/FORMAT.md is normative.
 *
 * Room formats/container: owns the bytes of records and frames. It must not read a file or call
 * zstd: loader/store/codec has the zstd part, loader/store/archive the file part.
 *
 * Everything is little-endian.
 *
 *     file   = HEAD MODEL { chunk* PART }* INDEX FOOTER
 *     chunk  = one zstd data frame, at most LORT_CHUNK_MAX bytes decoded, decodable alone
 *     record = each of the others: one or more zstd skippable frames
 *
 *     frame, every kind of record:
 *       0     u32 magic 0x184D2A50 + kind
 *       4     u32 bytes that follow this field
 *       8     u32 flags (bit 0: the body is zstd)
 *       12    u32 piece, from 0
 *       16    u32 pieces
 *       20    u32 zero
 *       24    u64 decoded bytes of the whole body
 *       32    n bytes of the body
 *       32+n  u64 XXH64 of the frame up to here
 *
 * A body over 1 GiB is cut into pieces, each a frame, in order. HEAD and FOOTER are never
 * compressed. A compressed body is one piece and decodes to at most lort_frame_decoded_max bytes.
 *
 * A PART record follows its payload. So an unfinished file says itself which parts are whole.
 * Offsets of chunks are relative to the start of the payload. So payload and record together can be
 * moved or copied to another container. */
#ifndef LORT_FORMATS_CONTAINER_CONTAINER_H
#define LORT_FORMATS_CONTAINER_CONTAINER_H

#include "formats/base/hash.h"
#include "formats/container/terms.h"
#include "formats/types/tensor.h"

#define LORT_CONTAINER_MAJOR 1 /* readers refuse others (exit code 3) */
#define LORT_CONTAINER_MINOR 0
/* Required bit: a term of integers may have scaled columns (docs/FORMAT.md, section 8). */
#define LORT_FEATURE_SCALES 1ull
/* Required bit: a term of integers may have scaled rows (docs/FORMAT.md, section 8). */
#define LORT_FEATURE_ROW_SCALES (1ull << 1)
/* Required bit: a part may have a term of outliers (docs/FORMAT.md, section 7). */
#define LORT_FEATURE_OUTLIERS (1ull << 2)
/* Required bit: a part may be a convolution, one matrix (docs/FORMAT.md, section 6). */
#define LORT_FEATURE_CONVOLUTION (1ull << 3)
/* Required bit: a part may be the same as an earlier part (docs/FORMAT.md, section 6). */
#define LORT_FEATURE_SAME (1ull << 4)
/* Required bit: a file has a relative path with a '/' for a name (docs/FORMAT.md, section 5). */
#define LORT_FEATURE_PATHS (1ull << 5)
/* Required bit: a tensor is of an opaque type (docs/FORMAT.md, section 10). */
#define LORT_FEATURE_OPAQUE (1ull << 6)
/* Required bit: the container holds differences to a base model (docs/FORMAT.md, section 5). */
#define LORT_FEATURE_BASE (1ull << 7)
/* Required feature bits that this reader knows: bits 0 to 7. */
#define LORT_FEATURES_REQUIRED ((1ull << 8) - 1)
#define LORT_CHUNK_MAX (16u << 20)   /* decoded bytes of a chunk that readers accept */
#define LORT_CHUNK_TARGET (1u << 20) /* decoded bytes of a chunk that writers aim at */
#define LORT_FRAME_HEADER 32u
#define LORT_FRAME_TRAILER 8u
/* Most body bytes of one frame, and most decoded bytes of a compressed body. */
#define LORT_FRAME_BODY_MAX (1u << 30)
#define LORT_FRAME_PIECES_MAX 65536u /* docs/FORMAT.md, section 2 */
/* A compressed body of n bytes may decode to 64 KiB + 1024 n. Writers store a body that compresses
 * better as it is. So a small hostile file cannot make a reader take much memory (docs/FORMAT.md,
 * section 2). */
#define LORT_FRAME_RATIO_MAX 1024u
#define LORT_FRAME_FREE_BYTES (64u << 10)
#define LORT_HEAD_BODY 32u
#define LORT_FOOTER_BODY 40u
#define LORT_HEADER_BYTES (LORT_FRAME_HEADER + LORT_HEAD_BODY + LORT_FRAME_TRAILER)
#define LORT_FOOTER_BYTES (LORT_FRAME_HEADER + LORT_FOOTER_BODY + LORT_FRAME_TRAILER)
#define LORT_CHUNK_ENTRY 48u       /* bytes of one chunk entry in a PART body */
#define LORT_PLANE_WIDTH_MAX 1024u /* docs/FORMAT.md, section 7 */
#define LORT_TEXT_MAX 65536u       /* bytes of one string in a MODEL body */
#define LORT_REASON_MAX 1024u      /* bytes of the reason in a PART body */
/* Elements of a part. With this limit no product of elements and bytes of an element overflows, for
 * any type. */
#define LORT_ELEMENTS_MAX (UINT64_C(1) << 60)
#define LORT_EXPONENT_MAX 4096     /* |exponent| of factors (docs/FORMAT.md, section 7) */
#define LORT_TERMS_MAX 16u         /* docs/FORMAT.md, section 6 */
#define LORT_OUTLIERS_ONE_IN 1000u /* at most one element of a slice in so many is an outlier */
/* Chunks and ranks of all parts that are the same as others, together (docs/FORMAT.md, section
 * 6). */
#define LORT_SHARED_MOST (UINT64_C(1) << 26)

typedef enum lort_frame_kind {
    LORT_FRAME_HEAD = 0,
    LORT_FRAME_MODEL = 1,
    LORT_FRAME_PART = 2,
    LORT_FRAME_INDEX = 3,
    LORT_FRAME_FOOTER = 4,
    LORT_FRAME_TASK = 5,  /* task.h: not in a container */
    LORT_FRAME_CURVES = 6 /* the same */
} lort_frame_kind;

/* HEAD body (32 bytes): "LORT\r\n\x1a\n", u16 major, u16 minor, u32 zero, u64 required features,
 * u64 optional features. A reader refuses a required bit that it does not know ("it needs a newer
 * LoRT"), and ignores optional bits. */
typedef struct lort_head {
    uint16_t major, minor;
    uint64_t required, optional;
} lort_head;

/* FOOTER body (40 bytes): "LORTEND\0", u64 offset of MODEL, u64 offset of INDEX, u64 bytes of INDEX
 * (all frames), u64 size of the file. */
typedef struct lort_footer {
    uint64_t model_offset, index_offset, index_bytes, file_size;
} lort_footer;

typedef enum lort_role { LORT_ROLE_WEIGHTS = 0, LORT_ROLE_INDEX = 1, LORT_ROLE_SIDE = 2 } lort_role;
typedef struct lort_input_file {
    const char *name; /* a plain name, or a plain path (formats/base/plain_path.h) */
    uint64_t size;
    lort_role role;
    const char *format; /* "gguf", "safetensors", "json", "bytes" */
} lort_input_file;

/* An extent: bytes [offset, offset + bytes) of a file. Its place in this list is the number of its
 * part. The extents of a file tile it in order. A raw extent is not empty; a tensor may be. The
 * container does not store the offset: it follows from the sizes before it. */
typedef struct lort_extent {
    uint32_t file;
    bool tensor; /* false: raw bytes (header, padding, gap, tail, side file) */
    uint64_t offset, bytes;
} lort_extent;

/* A weight file of the base model. */
typedef struct lort_base_file {
    const char *name; /* as that of lort_input_file */
    uint64_t size;
    lort_hash128 header; /* XXH3-128 of the bytes before its first tensor */
} lort_base_file;

typedef struct lort_model_record {
    uint32_t algorithm; /* LoRT's algorithm version: two versions may give different bytes */
    uint64_t seed;
    bool directory;       /* true: restored as a directory; false: as one file */
    const char *producer; /* "lort 0.1.0" */
    /* The quality options in canonical form, such as "max-error=0.05 max-rank=256 min-dim=32". */
    const char *options;
    /* Libraries that may decide bytes, such as "openblas 0.3.21 Zen; zstd 1.5.4". */
    const char *libraries;
    lort_input_file *files;
    uint32_t file_count;
    lort_extent *extents;
    uint64_t extent_count;
    lort_base_file *base; /* the base's weight files; base_count 0: there is no base */
    uint32_t base_count;
} lort_model_record;

/* The tensor of the base that a part is a difference to. */
typedef struct lort_base_tensor {
    const char *name;
    uint32_t name_bytes;
    uint64_t bytes;
    lort_hash128 hash; /* XXH3-128 of its bytes */
} lort_base_tensor;

typedef struct lort_term {
    lort_term_kind kind;
    /* RAW: both are the tensor's type. FACTORS: F32, F16, BF16 or Q8_0, whose blocks may cross
     * rows. INTEGERS: U8 and U8. TERNARY: BF16 and U8. OUTLIERS: F32 and U64. BASE: both are the
     * tensor's type. */
    lort_dtype left, right;
    /* Plane widths of the stored chunks (formats/types/planes.h); 1: not split. */
    uint16_t left_width, right_width;
    bool left_rotate, right_rotate; /* RAW uses left_* only; a reader gets equal right_* */
    /* [slices]. FACTORS: the rank, or 0 if the slice has no factors. OUTLIERS: how many. Others: 1
     * if the slice is in this term, else 0. */
    uint32_t *rank;
    int32_t *exponent; /* [slices]; FACTORS only, else NULL */
    /* [slices]; INTEGERS only, else NULL. 2^-100 to 2^100 if the slice is in this term, else 0.
     * With scaled rows 2^-68 to 2^68. */
    float *step;
    unsigned scaled;       /* lort_scaling; INTEGERS only: which scales follow in CODES */
    lort_base_tensor base; /* BASE only */
} lort_term;

/* Version 1 has at most one RAW, one INTEGERS, one TERNARY, one OUTLIERS and one BASE term. It has
 * at most one FACTORS term for each pair of types. Terms stand in any order. A slice is in RAW
 * alone, or in at most one FACTORS term and at most one of INTEGERS and TERNARY. The slice is the
 * sum of these. A slice in no term is all zero; this is allowed only beside terms other than RAW.
 * The elements of a slice are rows x cols, row-major (lort_part_matrices).
 *
 * A payload goes slice by slice: RAW, or LEFT,
 * RIGHT, CODES, BLOCKS, SCALES, TRITS, PLACES, OUTLIERS of slice 0, then of slice 1, and so on. The
 * chunks of an array ascend; an empty array has no chunks. CODES are rows + cols bytes, then cols
 * more if columns are scaled, then rows more if rows are scaled. A chunk of BLOCKS is one block of
 * the grid, in any number of zstd frames. SCALES are rows elements. A chunk of TRITS is one block
 * of that grid, five trits a byte. */
#define LORT_STEP_OCTAVES 100    /* steps are 2^-100 to 2^100 */
#define LORT_ROW_STEP_OCTAVES 68 /* with scaled rows */
/* Which scales a term of integers has, a bit each. */
typedef enum lort_scaling { LORT_SCALING_COLS = 1, LORT_SCALING_ROWS = 2 } lort_scaling;
/* Codes of scales, 2^((code - 128) / 4). Scales of columns go at most 8 octaves either way, scales
 * of rows 32, so that no product of a reader leaves the normal numbers. */
#define LORT_SCALE_ONE 128
#define LORT_SCALE_LEAST 96
#define LORT_SCALE_MOST 160
#define LORT_ROW_SCALE_LEAST 1
#define LORT_ROW_SCALE_MOST 255
/* Bytes of CODES of a slice of this shape in a term of integers. scaled: lort_scaling. */
uint64_t lort_codes_bytes(unsigned scaled, const lort_matrices *shape);
/* Views of the codes of the scales in CODES; NULL: not scaled. */
typedef struct lort_scales {
    const uint8_t *cols, *rows; /* [cols], [rows] of the slice */
} lort_scales;
lort_scales lort_scales_in(const uint8_t *codes, unsigned scaled, const lort_matrices *shape);

/* An outlier in memory: its place, row * cols + column, and its value. */
#define LORT_OUTLIER_BYTES (sizeof(uint64_t) + sizeof(float))
/* The number of the first of these ascending places that is `place` or behind it; count: none. */
uint64_t lort_outliers_from(const uint64_t *places, uint64_t count, uint64_t place);
/* The largest step that readers accept, for scales such as `scaled` (lort_scaling). The smallest is
 * its inverse. */
float lort_step_most(unsigned scaled);

/* The grid of blocks of a coded slice, numbered row of blocks by row of blocks. Blocks are as even
 * as they can be. A block has at most LORT_BLOCK_COLS columns (whole rows where they fit) and at
 * most LORT_BLOCK_WEIGHTS weights. Its sides are multiples of the units, except at the edges of the
 * slice. */
#define LORT_BLOCK_WEIGHTS (1 << 19)
#define LORT_BLOCK_COLS (1 << 13)
#define LORT_BLOCK_ROW_UNIT 64
#define LORT_BLOCK_COL_UNIT 1024
#define LORT_BLOCK_HEAD_MAX 2560 /* bytes of a block's body beside its weights */
typedef struct lort_block_grid {
    int64_t rows, cols;   /* of the slice */
    int64_t high, wide;   /* of a block */
    int64_t down, across; /* blocks; block number = row of blocks * across + column of blocks */
} lort_block_grid;
typedef struct lort_block_place {
    int64_t row, col, rows, cols; /* first row and column, and how many of each */
} lort_block_place;
lort_block_grid lort_block_grid_of(int64_t rows, int64_t cols);
lort_block_place lort_block_get(const lort_block_grid *grid, int64_t number);

typedef struct lort_chunk {
    uint32_t array;           /* LORT_ARRAY_ID */
    uint32_t stored, decoded; /* bytes */
    uint64_t offset;          /* from the start of the payload */
    uint64_t first, count;    /* elements [first, first + count) of the array (of that slice) */
    uint64_t hash;            /* XXH64 of the stored bytes */
} lort_chunk;

typedef struct lort_part {
    uint64_t number; /* = extent number */
    bool tensor;
    const char *name; /* "" for raw parts */
    uint32_t name_bytes;
    lort_dtype dtype;            /* raw parts: LORT_U8 */
    const lort_dtype_info *type; /* of dtype; set by lort_part_get, writers need not set it */
    uint32_t n_dims;
    int64_t *dims;    /* raw parts: [bytes] */
    uint32_t slices;  /* 1 (one matrix), or the product of the leading dims */
    bool convolution; /* one matrix: dims[0] rows, all other dims columns */
    /* The tensor of part `origin`, an earlier one, once more. Its record has no terms and no chunks
     * of its own: lort_part_share takes over those of the origin. Of any other part the origin is
     * the part itself. */
    bool same;
    uint64_t origin; /* the part whose payload it has */
    uint64_t source_bytes;
    lort_hash128 source; /* XXH3-128 of the source bytes */
    bool has_error;
    /* Measured over all slices; 0 if all is raw. has_error false: undefined, since the tensor is
     * zero or has NaN or Inf. */
    double rel_error;
    const char *reason; /* why it was kept, or "" */
    lort_term *terms;
    uint32_t term_count;
    lort_chunk *chunks;
    uint64_t chunk_count;
    uint64_t payload_bytes; /* the payload ends at the first frame of this record */
} lort_part;

typedef struct lort_index_entry {
    uint64_t record_offset, record_bytes; /* all frames of the PART record */
} lort_index_entry;
typedef struct lort_index_record {
    lort_index_entry *entries; /* [extent_count], by part number */
    uint64_t count;
    /* XXH3-128 over the source hashes of all parts, in order: it identifies the model. */
    lort_hash128 model;
} lort_index_record;

/* Body encoders append to *out. The caller checks the buffer. */
void lort_head_put(const lort_head *head, lort_buffer *out);
void lort_footer_put(const lort_footer *footer, lort_buffer *out);
void lort_model_record_put(const lort_model_record *model, lort_buffer *out);
void lort_part_put(const lort_part *part, lort_buffer *out);
void lort_index_record_put(const lort_index_record *index, lort_buffer *out);

/* Body decoders: the gate of the container. They check every field and the rules between fields, so
 * code behind them does not check again. They check ranges, shapes, ranks <= min(rows, cols),
 * finite errors, zero padding and plain names. Chunks tile each array in order and fill the
 * payload; extents tile the files. Owner of the results: the arena. On failure: LORT_E_DAMAGED, or
 * LORT_E_INPUT if the record needs another version of LoRT; *out is zero. */
lort_code lort_head_get(const uint8_t *body, uint64_t bytes, lort_head *out, lort_error *err);
lort_code lort_footer_get(const uint8_t *body, uint64_t bytes, lort_footer *out, lort_error *err);
lort_code lort_model_record_get(const uint8_t *body, uint64_t bytes, lort_arena *arena,
                                lort_model_record *out, lort_error *err);
/* The base's files in a MODEL record, and the base's tensor in a term (base.c). */
void lort_base_files_put(const lort_model_record *model, lort_buffer *out);
void lort_base_tensor_put(const lort_base_tensor *base, lort_buffer *out);
/* True if the name of a file is a path with a '/': HEAD must then have LORT_FEATURE_PATHS. */
bool lort_model_record_has_paths(const lort_model_record *model);
lort_code lort_part_get(const uint8_t *body, uint64_t bytes, lort_arena *arena, lort_part *out,
                        lort_error *err);
lort_code lort_index_record_get(const uint8_t *body, uint64_t bytes, lort_arena *arena,
                                lort_index_record *out, lort_error *err);
/* Takes over what a part that is the same as another one does not store: slices, error, reason,
 * terms, chunks and payload of `origin`. Both have been decoded; the arrays are the origin's.
 * On failure: LORT_E_DAMAGED if the origin is no tensor, is itself the same as another one, or
 * differs in type, shape, bytes or source hash. *part is as it was then. */
lort_code lort_part_share(lort_part *part, const lort_part *origin, lort_error *err);
/* Returns the term of this kind that holds slice `slice`, or NULL. */
const lort_term *lort_part_term(const lort_part *part, uint32_t slice, lort_term_kind kind);
/* Checks a part against the extent of its number: kind and byte count. On failure:
 * LORT_E_DAMAGED. */
lort_code lort_part_matches(const lort_part *part, const lort_model_record *model, lort_error *err);

/* Most decoded bytes of a compressed body of `stored` bytes. */
uint64_t lort_frame_decoded_max(uint64_t stored);
typedef struct lort_frame {
    lort_frame_kind kind;
    bool compressed;
    uint32_t piece, pieces;
    uint64_t decoded;    /* bytes of the whole body: all pieces, decompressed */
    const uint8_t *body; /* a view of this piece */
    uint64_t body_bytes;
    uint64_t frame_bytes; /* header + body + trailer */
} lort_frame;
/* Appends one frame to *out. frame->body_bytes: at most 1 GiB. */
void lort_frame_put(const lort_frame *frame, lort_buffer *out);
/* Reads the size of the frame at `data` from its first 8 bytes, without a check of its hash. On
 * failure: LORT_E_DAMAGED. */
lort_code lort_frame_bytes(const uint8_t *data, uint64_t available, uint64_t *frame_bytes,
                           lort_error *err);
/* Reads the frame at `data`. available: bytes to the end of the file. Checks magic, size, zero
 * fields and hash. On failure: LORT_E_DAMAGED. */
lort_code lort_frame_get(const uint8_t *data, uint64_t available, lort_frame *out, lort_error *err);

#endif
