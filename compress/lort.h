/* lort.h: the public API of liblort. Nothing here prints, exits or sets a signal handler (the
 * SIGBUS guard of mapped inputs apart).
 *
 * A command is one call: options in, a result out, with an observer told what happens meanwhile.
 * Results are owned by the caller and freed by their _free; strings in them live as long. Every
 * call returns a lort_code, which is also the exit code. */
#ifndef LORT_H
#define LORT_H

#include "formats/base/error.h"
#include "formats/base/text.h"
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LORT_VERSION "0.1.0"
#define LORT_ALGORITHM 5 /* raised whenever the same input and options may give other bytes */

typedef enum lort_mode { LORT_MODE_AUTO, LORT_MODE_FULL, LORT_MODE_STREAM } lort_mode;
typedef enum lort_goal {
    LORT_GOAL_DEFAULT,
    LORT_GOAL_RANK,
    LORT_GOAL_ENERGY,
    LORT_GOAL_ERROR,
    LORT_GOAL_LOSSLESS,
    LORT_GOAL_BPW,
    LORT_GOAL_SIZE
} lort_goal;

/* What codes the rest that factors leave: nothing, or integers of a trellis (of the whole matrix
 * where no component pays), or -1, 0, 1 times a scale per row (TERNARY: for GOAL_RANK, ENERGY,
 * ERROR; with GOAL_DEFAULT the components that integers would have). AUTO: INT for GOAL_DEFAULT,
 * ERROR, BPW and SIZE, which need it or gain by it; NONE for the others, which it does not go with.
 */
typedef enum lort_residual {
    LORT_RESIDUAL_AUTO,
    LORT_RESIDUAL_NONE,
    LORT_RESIDUAL_INT,
    LORT_RESIDUAL_TERNARY
} lort_residual;

/* Options of compress and plan. lort_options_init gives the defaults. Strings are the caller's. */
typedef struct lort_options {
    lort_goal goal; /* DEFAULT = max-error 0.05 */
    int64_t rank;   /* GOAL_RANK: 1.., beside TERNARY 0.. */
    /* GOAL_ENERGY: (0, 1]; GOAL_ERROR: [0, 1); GOAL_BPW: bits; GOAL_SIZE without size_bytes: per
     * cent of the input */
    double value;
    uint64_t size_bytes;    /* GOAL_SIZE */
    int64_t max_rank;       /* 256 */
    lort_residual residual; /* AUTO */
    int64_t min_dim;        /* 32 */
    /* globs on tensor names; the later of --include / --exclude does not matter: exclude wins */
    const char **include;
    unsigned include_count;
    const char **exclude;
    unsigned exclude_count;
    /* path of an importance matrix, or NULL: errors are weighed by it, and kept low where it is
     * high */
    const char *imatrix;
    /* < 0: off. A tensor over this error: LORT_E_NUMERIC, nothing published */
    double fail_above;
    lort_mode mode;
    uint64_t memory_bytes; /* 0: probe */
    unsigned threads;      /* 0: topology's default */
    uint64_t seed;         /* 0 */
    int zstd_level;        /* 1..19 */
    bool force;            /* replace an existing output */
    /* compress: go on with what an earlier run left unfinished, or say why not. Without it work
     * that does not go with this run is dropped */
    bool resume;
    /* compress: seconds, then it stops at a checkpoint (LORT_E_STOPPED); 0: none */
    double time_limit;
    int64_t sample; /* plan only: run this many matrices, 0 = none */
} lort_options;
void lort_options_init(lort_options *options);

/* ---- what a command says while it runs ---- */
typedef enum lort_event_kind {
    LORT_EVENT_START,   /* mode, memory, threads, plan are known: `report` points to them */
    LORT_EVENT_WARNING, /* text */
    LORT_EVENT_NOTE,    /* text: e.g. the expected ratio after the first dozen matrices */
    LORT_EVENT_TENSOR,  /* one tensor is done: `tensor` */
    LORT_EVENT_PROGRESS /* bytes moved within a tensor */
} lort_event_kind;
struct lort_report;
struct lort_tensor_report;
typedef struct lort_event {
    lort_event_kind kind;
    const char *text;                 /* WARNING, NOTE; escaped, one line */
    const struct lort_report *report; /* always */
    /* TENSOR, PROGRESS: the one that is worked on (PROGRESS: name only) */
    const struct lort_tensor_report *tensor;
    uint64_t done_bytes, total_bytes; /* of the input */
    uint64_t out_bytes;               /* written so far */
    uint64_t tensors_done, tensors_total;
    double worst_error; /* so far */
    double seconds;
} lort_event;
typedef struct lort_observer {
    /* may be NULL; called from the caller's thread only */
    void (*event)(void *ctx, const lort_event *event);
    /* may be NULL; true asks to stop: LORT_E_STOPPED, nothing published. Any thread asks, often */
    bool (*stop)(void *ctx);
    void *ctx;
} lort_observer;

typedef enum lort_command {
    LORT_COMMAND_NONE, /* a command failed before its report was begun */
    LORT_COMMAND_COMPRESS,
    LORT_COMMAND_PLAN,
    LORT_COMMAND_INSPECT,
    LORT_COMMAND_VERIFY,
    LORT_COMMAND_RESTORE,
    LORT_COMMAND_COMPARE
} lort_command;
const char *lort_command_text(lort_command command); /* "compress", "plan", ...; "" for NONE */
const char *lort_mode_text(lort_mode mode);          /* "auto", "full", "stream" */

/* What was done to a tensor. */
typedef enum lort_action {
    LORT_ACTION_NONE,     /* nothing: a model is only looked at */
    LORT_ACTION_KEPT,     /* stored losslessly */
    LORT_ACTION_FACTORED, /* stored as low-rank factors alone */
    /* stored as entropy-coded integers or trits, with or without factors beside them */
    LORT_ACTION_CODED,
    LORT_ACTION_COMPARED
} lort_action;
#define LORT_ACTIONS (LORT_ACTION_COMPARED + 1)
const char *
lort_action_text(lort_action action); /* "kept", "factored", "coded", "compared"; "" for NONE */

/* Why a tensor is kept, or why compare has no figures. */
typedef enum lort_reason {
    LORT_REASON_NONE, /* the tensor is not kept, or nobody asked why */
    /* known from options and headers: */
    LORT_REASON_LOSSLESS,
    LORT_REASON_EMPTY,
    LORT_REASON_VECTOR,
    LORT_REASON_OPAQUE,
    LORT_REASON_NOT_FLOAT,
    LORT_REASON_F8_SCALES,
    LORT_REASON_SLICES,
    LORT_REASON_EXCLUDED,
    LORT_REASON_SMALL,
    LORT_REASON_QUANTISED,
    LORT_REASON_EMBEDDING,
    /* known from the weights: */
    LORT_REASON_ZERO,
    LORT_REASON_NOT_FINITE,
    LORT_REASON_NOT_CONVERGED,
    LORT_REASON_LOW_RANK,
    LORT_REASON_INTEGERS,
    LORT_REASON_TRITS,
    LORT_REASON_TRITS_LOW_RANK,
    LORT_REASON_BREAK_EVEN,
    LORT_REASON_SHARE,
    /* another form was found, but is larger: */
    LORT_REASON_FACTORS_LARGER,
    LORT_REASON_INTEGERS_LARGER,
    LORT_REASON_TRITS_LARGER,
    /* what compare found, where it has no figures: */
    LORT_REASON_SAME_BYTES,
    LORT_REASON_BYTES_DIFFER,
    LORT_REASON_TYPES_DIFFER,
    LORT_REASON_ONE_SIDE_NOT_FINITE,
    LORT_REASON_REFERENCE_ZERO,
    LORT_REASON_OTHER /* a container states a reason that this version does not know */
} lort_reason;
#define LORT_REASONS (LORT_REASON_OTHER + 1)
const char *lort_reason_text(lort_reason reason); /* one short phrase; "" for NONE */

/* ---- what a command found: the JSON of --json has the same fields ---- */
typedef struct lort_tensor_report {
    const char *name;
    uint32_t n_dims;
    const int64_t *shape;
    const char *dtype;
    lort_action action;
    lort_reason reason;      /* why the tensor, or some of its slices, are kept */
    const char *reason_text; /* the same for a person: "2 of 8 slices kept: holds NaN or Inf" */
    const char *detail;      /* figures behind the reason, or "" */
    int64_t rank;            /* largest of the slices; 0 if kept */
    int64_t slices;
    int64_t passes;         /* compress: whole readings of its bytes; the most of its slices */
    double rel_error;       /* NaN = undefined (null in JSON) */
    double weighted_error;  /* by the importance of columns (--imatrix); NaN = none known */
    double cosine, max_abs; /* compare: cosine and largest |difference|; NaN otherwise */
    uint64_t bytes_in, bytes_out;
    uint64_t offset;  /* inspect: from the start of its file */
    const char *file; /* inspect: which file */
    double seconds;
} lort_tensor_report;

typedef struct lort_source_report { /* of how much memory there is */
    const char *name, *where;
    uint64_t bytes;
    bool binds; /* the least of all: report->available_bytes */
} lort_source_report;
/* text: JSON-ready value; count: array length */
typedef struct lort_meta_report {
    const char *key, *type, *text;
    uint64_t count;
    bool is_text, is_array;
} lort_meta_report;

typedef struct lort_report {
    lort_command command;
    lort_mode mode;          /* AUTO where a command has none */
    const char *mode_reason; /* "" where a command has none */
    uint64_t available_bytes, need_bytes, planned_peak_bytes, budget_bytes;
    const char *binding_source;
    lort_source_report *sources;
    unsigned source_count;
    double threshold;                                                             /* 0.8 */
    uint64_t peak_anon_bytes, peak_file_bytes, peak_rss_bytes, cgroup_peak_bytes; /* 0 = unknown */
    double stall_seconds;
    unsigned threads;
    const char *blas_config, *blas_core;
    const char *input_path, *input_format;
    uint64_t input_bytes;
    uint64_t input_files;
    uint64_t input_version; /* inspect: of the file format, 0 = unknown */
    const char *output_path;
    uint64_t output_bytes;
    uint64_t output_low, output_high; /* plan: estimated interval */
    const char *partial_path; /* compress that ended early: the unfinished output that was left, ""
                                 if none */
    uint64_t partial_tensors; /* finished in it */
    uint64_t resumed_tensors; /* compress: finished by an earlier run */
    uint64_t disk_free_bytes; /* compress: where the output goes; plan: here; 0 = unknown */
    /* plan --sample: spent on the sample, and what all candidates would take; NaN */
    double sample_seconds, estimated_seconds;
    double bpw, ratio; /* ratio = output / input */
    double seconds;
    double worst_error, mean_error; /* over factored tensors (compare: over all); NaN if none */
    /* the same weighed, of those whose importance is known; NaN if none */
    double weighted_worst, weighted_mean;
    const char *imatrix_path; /* "" without */
    /* of the file; matrices of the model, of those that are tried, whose importance it has */
    uint64_t imatrix_entries, imatrix_matrices;
    lort_tensor_report *tensors;
    uint64_t tensor_count;
    lort_meta_report *meta; /* inspect: metadata of the header(s) */
    uint64_t meta_count;
    const char **warnings;
    unsigned warning_count;
    void *owner; /* internal */
} lort_report;
void lort_report_free(lort_report *report);
/* Writes the report as JSON (docs/lort.1, "JSON") to path, or to stdout for "-". LORT_E_WRITE if it
 * cannot. */
lort_code lort_report_json(const lort_report *report, const char *path, lort_error *err);

/* ---- the commands ---- */
/* On failure *report may still hold what is known (it is always safe to free). */
lort_code lort_compress(const char *model, const char *output, const lort_options *options,
                        const lort_observer *observer, lort_report *report, lort_error *err);
lort_code lort_plan(const char *model, const lort_options *options, const lort_observer *observer,
                    lort_report *report, lort_error *err);
lort_code lort_inspect(const char *path, lort_report *report, lort_error *err);
typedef struct lort_run_options {
    uint64_t memory_bytes; /* 0: probe */
    unsigned threads;      /* 0: default */
} lort_run_options;
lort_code lort_verify(const char *path, const lort_run_options *run, const lort_observer *observer,
                      lort_report *report, lort_error *err);
typedef struct lort_restore_options {
    lort_run_options run;
    const char *dtype;  /* NULL: the original; else F32, F16 or BF16 for factored tensors */
    const char *tensor; /* NULL: the whole model; else only this tensor's bytes */
    bool force;
} lort_restore_options;
lort_code lort_restore(const char *path, const char *output, const lort_restore_options *options,
                       const lort_observer *observer, lort_report *report, lort_error *err);
lort_code lort_compare(const char *a, const char *b, double fail_above, const lort_run_options *run,
                       const lort_observer *observer, lort_report *report, lort_error *err);

/* ---- weights, read by a program ---- */
/* A model or a container that stays open, and its tensors: found by name, looked at where they lie,
 * or streamed through the caller's buffer.
 *
 * Threads: any number may count, find, look, ask for addresses and check at once. A handle streams
 * for one thread at a time, and keeps what the last stream decoded, so that rows asked for one
 * after the other are decoded once; who wants more at a time opens more handles. */
typedef struct lort_weights lort_weights;

typedef struct lort_tensor_info {
    /* the handle's, NUL-terminated, as the file spells it: print it escaped */
    const char *name;
    const char *dtype;   /* "F16", "Q4_K": of the original */
    uint32_t n_dims;     /* 0 = scalar */
    const int64_t *dims; /* the handle's: slowest first */
    /* as matrices: their product is the number of elements. All 0 where there is none */
    int64_t slices, rows, cols;
    uint64_t bytes; /* of the original */
    /* lort_weights_bytes gives them: a model's tensor, or one that a container keeps losslessly */
    bool has_bytes;
    bool has_rows; /* lort_weights_rows gives them: the type has a decoder */
} lort_tensor_info;

/* path: whatever lort_inspect takes, told by content. memory_bytes: what the handle may take,
 * records and streams included, the mapped file and the caller's buffers not; 0: 80 % of what is
 * available now. A container takes some 15 MiB for its streams, a model 2 MiB. On failure *out is
 * NULL: LORT_E_USAGE, LORT_E_INPUT, LORT_E_READ, LORT_E_DAMAGED as the commands have them,
 * LORT_E_MEMORY. */
lort_code lort_weights_open(const char *path, uint64_t memory_bytes, lort_weights **out,
                            lort_error *err);
/* accepts NULL; names, dims and addresses end with it */
void lort_weights_close(lort_weights *weights);

/* Tensors have the numbers 0 .. count - 1, in the order of the files. */
uint64_t lort_weights_count(const lort_weights *weights);
/* One look into a hash of the names. LORT_E_USAGE: there is none; *number is 0 then. */
lort_code lort_weights_find(const lort_weights *weights, const char *name, uint64_t *number,
                            lort_error *err);
/* LORT_E_USAGE: no such number; *out is zero then. */
lort_code lort_weights_info(const lort_weights *weights, uint64_t number, lort_tensor_info *out,
                            lort_error *err);

/* Where the original bytes lie in memory: read-only, the same address every time until close,
 * info.bytes of them, aligned as the file is (GGUF: 32 bytes mostly; safetensors: not at all). NULL
 * where they lie nowhere: in a container they are encoded; a file may not be mapped for want of
 * address space; no such number. Stream then. What is read there means something only if
 * lort_weights_check says so afterwards: pages that cannot be read give zeros, not a signal. */
const void *lort_weights_address(const lort_weights *weights, uint64_t number);
/* LORT_E_READ if a file of the model shrank, was changed or replaced, or could not be read since it
 * was opened. LORT_OK for a container, which is checked as it is streamed. */
lort_code lort_weights_check(const lort_weights *weights, lort_error *err);

/* Streams. The caller's function gets one piece after the other, in order, in the caller's buffer;
 * the last piece may be shorter. Anything but LORT_OK from it ends the stream, which returns the
 * same code. It may call all of the above, but no stream of the same handle and no close. A piece
 * is handed on only after the reads behind it were checked, the last one after those of the whole
 * stream, whose LORT_OK alone confirms what was handed on before. Beside the buffer a stream takes
 * one chunk, block or row of blocks (2 MiB; 256 bytes a column where a matrix that is not kept has
 * more than 8192 columns) and of a container the factors of one slice in f32, from memory_bytes:
 * never a whole tensor. LORT_E_USAGE: no such number, or the tensor does not come that way.
 * LORT_E_READ: the input shrank, was changed, or could not be read. LORT_E_DAMAGED: a container
 * fails its checks. LORT_E_MEMORY: memory_bytes do not hold a step. */

/* offset: of the piece, from the tensor's start. bytes: `count` of them. */
typedef lort_code lort_bytes_fn(void *ctx, uint64_t offset, const void *bytes, uint64_t count);
/* The original bytes, in pieces of buffer_bytes (at least 1). LORT_E_USAGE for a tensor that is
 * factors, integers or trits in a container (info.has_bytes false): its original bytes are nowhere,
 * and there is no one type they would be encoded in; rows are what it has. Kept bytes have the hash
 * of their source before the last piece is handed on. */
lort_code lort_weights_bytes(lort_weights *weights, uint64_t number, void *buffer,
                             uint64_t buffer_bytes, lort_bytes_fn *piece, void *ctx,
                             lort_error *err);

#define LORT_ROWS_ALL (-1) /* a row_count: up to the last */
/* first: of the piece, the element's number from the tensor's start: row = first / cols. values:
 * `count` of them. */
typedef lort_code lort_rows_fn(void *ctx, uint64_t first, const float *values, uint64_t count);
/* Rows [first_row, first_row + row_count) of the slices x rows there are, slice after slice, as
 * f32: the very bits that every reader gets, `lort restore --dtype F32` among them. A piece is as
 * many whole rows as buffer_bytes hold, or, of a row that is longer, as many values, in whole
 * blocks of the type: 1024 bytes are enough for any type, 4 for F32, F16, BF16; LORT_E_USAGE says
 * how many would do. LORT_E_USAGE also for rows that are not there, and for a type without a
 * decoder (info.has_rows false), whose bytes can be had. LORT_E_NUMERIC: factors whose product is
 * beyond f32. */
lort_code lort_weights_rows(lort_weights *weights, uint64_t number, int64_t first_row,
                            int64_t row_count, float *buffer, uint64_t buffer_bytes,
                            lort_rows_fn *piece, void *ctx, lort_error *err);

/* What a tensor is for, by its name: a number below 32, and what kinds are called; NULL past the
 * last. */
unsigned lort_kind_of(const char *name);
const char *lort_kind_name(unsigned kind);

/* "lort 0.1.0 (algorithm 1; OpenBLAS 0.3.21 core Zen; zstd 1.5.4; ...)". */
const char *lort_version_text(void);
/* "256M", "1.5G", "4096" to bytes. */
lort_code lort_parse_size(const char *text, uint64_t *bytes, lort_error *err);
/* "1.5 GiB" into out. */
const char *lort_print_size(uint64_t bytes, char *out, uint64_t cap);

#ifdef __cplusplus
}
#endif
#endif
