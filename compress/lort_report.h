/* lort_report.h: what a command tells of its work: actions, reasons, and the report. lort.h
 * includes it. */
#ifndef LORT_REPORT_H
#define LORT_REPORT_H

#include "formats/base/error.h"
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* full: the input is read into memory. stream: the input is read piece by piece. auto: LoRT decides
 * by the available memory. The bytes of an output do not depend on the mode. */
typedef enum lort_mode { LORT_MODE_AUTO, LORT_MODE_FULL, LORT_MODE_STREAM } lort_mode;

typedef enum lort_command {
    LORT_COMMAND_NONE, /* the command failed before it began a report */
    LORT_COMMAND_COMPRESS,
    LORT_COMMAND_PLAN,
    LORT_COMMAND_INSPECT,
    LORT_COMMAND_VERIFY,
    LORT_COMMAND_RESTORE,
    LORT_COMMAND_COMPARE,
    LORT_COMMAND_QUANTIZE,
    LORT_COMMAND_EXTRACT,
    LORT_COMMAND_RUN,
    LORT_COMMAND_MERGE,
    LORT_COMMAND_REPORT
} lort_command;
#define LORT_COMMANDS (LORT_COMMAND_REPORT + 1)
const char *lort_command_text(lort_command command); /* "compress", "plan", ...; "" for NONE */
const char *lort_mode_text(lort_mode mode);          /* "auto", "full", "stream" */

/* How a command treated a tensor. */
typedef enum lort_action {
    LORT_ACTION_NONE,      /* not at all: inspect reads the headers of a model only */
    LORT_ACTION_KEPT,      /* stored losslessly */
    LORT_ACTION_FACTORED,  /* stored as low-rank factors alone */
    LORT_ACTION_CODED,     /* stored as integers or trits, with or without factors beside them */
    LORT_ACTION_COMPARED,  /* compared with another tensor */
    LORT_ACTION_QUANTISED, /* written in a block type of llama.cpp */
    LORT_ACTION_CONVERTED  /* written in another plain type */
} lort_action;
#define LORT_ACTIONS (LORT_ACTION_CONVERTED + 1)
/* "kept", "factored", "coded", "compared", "quantised", "converted"; "" for NONE. */
const char *lort_action_text(lort_action action);

/* Why a tensor is kept, or why compare has no figures. A trit is -1, 0 or 1. */
typedef enum lort_reason {
    LORT_REASON_NONE, /* the tensor is not kept, or no reason is recorded */
    /* From options and headers: */
    LORT_REASON_LOSSLESS,     /* the user chose lossless */
    LORT_REASON_EMPTY,        /* the tensor has no elements */
    LORT_REASON_VECTOR,       /* fewer than two dimensions */
    LORT_REASON_OPAQUE,       /* LoRT has no decoder for the type */
    LORT_REASON_UNKNOWN_TYPE, /* LoRT does not know the type, or a fork gave it another layout */
    LORT_REASON_NOT_FLOAT,    /* not a floating-point type */
    LORT_REASON_F8_SCALES,    /* an F8 tensor whose scales are another tensor */
    LORT_REASON_SLICES,       /* too many slices */
    LORT_REASON_EXCLUDED,     /* the user excluded the name */
    LORT_REASON_SMALL,        /* a side under min_dim */
    LORT_REASON_QUANTISED,    /* already block-quantised */
    LORT_REASON_EMBEDDING,    /* an embedding or an output head */
    LORT_REASON_PACKED,       /* the packed weight of a module that is quantised already */
    LORT_REASON_COMPANION,    /* a scale, zero point or the like of a packed weight */
    LORT_REASON_ROUTER,       /* chooses experts or tokens, so a small error changes the choice */
    LORT_REASON_MASK,         /* a mask: no weights */
    LORT_REASON_TABLE,        /* a table of positions, such as cosines */
    LORT_REASON_SAME,         /* not kept itself: its bytes are those of another tensor */
    /* From the weights: */
    LORT_REASON_ZERO,            /* all zero */
    LORT_REASON_NOT_FINITE,      /* NaN or Inf */
    LORT_REASON_NOT_CONVERGED,   /* the eigenvalues did not converge */
    LORT_REASON_LOW_RANK,        /* low rank cannot meet the target */
    LORT_REASON_OUTLIERS,        /* too many weights are far larger than all others */
    LORT_REASON_INTEGERS,        /* integers cannot meet the target */
    LORT_REASON_TRITS,           /* trits leave an error of 100 % or more */
    LORT_REASON_TRITS_LOW_RANK,  /* trits and low rank cannot meet the target */
    LORT_REASON_BREAK_EVEN,      /* factors of the rank would take more than the lossless form */
    LORT_REASON_SHARE,           /* the lossless form fits the share of a target size */
    LORT_REASON_FACTORS_LARGER,  /* factors were found, but are not smaller than lossless */
    LORT_REASON_INTEGERS_LARGER, /* the same for integers */
    LORT_REASON_TRITS_LARGER,    /* the same for trits */
    /* The lossless difference to the base is smaller. Rounding to the type of the file bounds how
     * small the error of another one can be. */
    LORT_REASON_DIFFERENCE,
    /* From quantize: */
    LORT_REASON_LIKE_TYPE, /* the tensor has the wished type already */
    /* From extract-lora: */
    LORT_REASON_UNCHANGED, /* equal in both models */
    LORT_REASON_LOST,      /* it differs, and the adapter has no form for it */
    LORT_REASON_NOISE,     /* what differs is rounding of the type */
    LORT_REASON_SPARED,    /* its update is too small to count under the target */
    LORT_REASON_WHOLE,     /* stored whole, as modules_to_save of PEFT */
    /* From compare: */
    LORT_REASON_SAME_BYTES,          /* no decoder, and the bytes are equal */
    LORT_REASON_BYTES_DIFFER,        /* no decoder, and the bytes differ */
    LORT_REASON_TYPES_DIFFER,        /* the types differ, and one has no decoder */
    LORT_REASON_ONE_SIDE_NOT_FINITE, /* NaN or Inf in one of the two tensors only */
    LORT_REASON_REFERENCE_ZERO,      /* the tensor of A is all zero */
    LORT_REASON_OTHER /* the container has a reason that this version does not know */
} lort_reason;
#define LORT_REASONS (LORT_REASON_OTHER + 1)
const char *lort_reason_text(lort_reason reason); /* one short phrase; "" for NONE */

/* ---- reports: the result of a command ---- */

/* `lort --json` writes the fields of a report (docs/lort.1, "JSON"). Texts are never NULL: "" says
 * that there is none. Control characters, backslashes and bytes that are no UTF-8 are escaped in
 * them, as \xHH. Format characters of Unicode are not: pass a text to lort_printable before a
 * terminal gets it. Warnings, events and error messages are printable as they are. */

typedef struct lort_tensor_report {
    const char *name;
    uint32_t n_dims;
    const int64_t *shape; /* n_dims numbers, the slowest dimension first */
    const char *dtype;    /* element type of the original, such as "BF16" */
    const char *type;     /* quantize: as written; compare: in B; else "" */
    lort_action action;
    lort_reason reason;      /* why the tensor, or some of its slices, are kept */
    const char *reason_text; /* the reason for a person: "2 of 8 slices kept: holds NaN or Inf" */
    const char *detail;      /* figures behind the reason */
    /* How it is stored beside a base: "difference", or why not; "": there is no base. */
    const char *base;
    const char *same_as;     /* the tensor with the same bytes, which alone is stored */
    int64_t rank;            /* the largest of the slices; 0 if kept */
    int64_t slices;          /* matrices in the tensor */
    int64_t passes;          /* compress: whole readings of the tensor, the most of its slices */
    double rel_error;        /* norm(W - W') / norm(W), Frobenius; NaN: undefined, null in JSON */
    double rel_error_update; /* with a base: norm(W - W') / norm(W - base); NaN: not known */
    double weighted_error;   /* the same, weighed by an importance matrix; NaN: not known */
    /* compress: weights that are stored exactly because they are far larger than the others. The
     * same error over the others; NaN: there are no outliers. */
    uint64_t outliers;
    double rel_error_rest;
    /* compress: of an embedding or output head that is coded without factors, the relative error of
     * its worst row, without outliers; NaN: not known. */
    double worst_row_error;
    /* extract-lora: the share of the squared norm of the update that the factors hold; NaN: none.
     * There rel_error is that of the update. */
    double energy;
    double cosine, max_abs; /* compare: cosine, largest |difference|; NaN for other commands */
    uint64_t bytes_in;      /* of the original */
    uint64_t bytes_out;     /* in the container: payload and record; compare: of B */
    uint64_t offset;        /* inspect: from the start of the file */
    const char *file;       /* inspect: the name of the file */
    double seconds;
    /* compress, extract-lora, with `spectra`: the largest singular values that LoRT found on its
     * way, relative to the norm; of a stack those of its first matrix. extract-lora: of the update.
     * NULL: none. */
    const float *spectrum;
    uint32_t spectrum_count; /* at most 16 */
    uint32_t reserved;       /* memory of inspect: docs/FORMAT.md, section 12 */
    /* compress, with a covariance: tr(E H E') of the error E, the mean square of the error of the
     * outputs; and the damping of H, a part of the mean of its diagonal. NaN: none. */
    double proxy_loss, damping;
} lort_tensor_report;

/* The memory of the process at a moment of the run. */
typedef struct lort_sample_report {
    double seconds; /* since the command began */
    uint64_t anon_bytes, file_bytes;
    uint64_t reserved[2];
} lort_sample_report;

/* The time that went into one kind of work, such as "measuring". */
typedef struct lort_phase_report {
    const char *phase;
    double seconds;
    uint64_t reserved[2];
} lort_phase_report;

/* One option of a command line. */
typedef struct lort_option_report {
    const char *name;  /* the long one, without dashes */
    const char *value; /* as it was given; NULL: the option takes none */
    uint64_t reserved[2];
} lort_option_report;

/* One limit of memory that applies. */
typedef struct lort_source_report {
    const char *name, *where; /* such as "MemAvailable" and "/proc/meminfo" */
    uint64_t bytes;           /* left by this limit */
    bool binds;               /* the smallest of all: report->available_bytes */
    uint64_t reserved[4];
} lort_source_report;

/* One value of a header. */
typedef struct lort_meta_report {
    const char *key, *type;
    const char *text; /* the value: plain text if is_text, "" if is_array, else a JSON literal */
    uint64_t count;   /* is_array: its length */
    bool is_text, is_array;
    uint64_t reserved[2];
} lort_meta_report;

/* inspect, compare: sums over the tensors of equal dtype and type; past 63 of them, "others". */
typedef struct lort_type_report {
    const char *dtype, *type;
    uint64_t tensors, elements, bytes, bytes_out;
    double worst_error, mean_error; /* of the tensors with an error; NaN: none */
    uint64_t reserved[8];
} lort_type_report;

/* restore with sha256: a file as it was written. */
typedef struct lort_hash_report {
    const char *name;   /* below the output; "": the output is the file */
    const char *sha256; /* 64 hexadecimal digits in lower case */
    uint64_t bytes;
    uint64_t reserved[2];
} lort_hash_report;

/* plan with tasks: what one task codes. */
typedef struct lort_run_report {
    uint64_t first, extents; /* in the order of the files: tensors, and bytes between them */
    uint64_t tensors;
    uint64_t bytes_in;
    double share;          /* of the planned cost of all tasks, from 0 to 1 */
    uint64_t memory_bytes; /* planned peak of the task in stream mode, one slice in work */
} lort_run_report;

typedef struct lort_report {
    lort_command command;
    lort_mode mode;          /* AUTO: the command has no mode */
    const char *mode_reason; /* "": the command has no mode */
    /* Memory in bytes: left by the binding source; that full mode would take; the most that the
     * plan lets LoRT take (inspect plans nothing: the most that it took); the limit of LoRT. */
    uint64_t available_bytes, need_bytes, planned_peak_bytes, budget_bytes;
    const char *binding_source; /* the name of the source that binds */
    lort_source_report *sources;
    unsigned source_count;
    double threshold; /* 0.8: the share of available_bytes that full mode may need */
    /* Peaks of the process: anonymous, file-backed, resident; and of its cgroup. 0: unknown. */
    uint64_t peak_anon_bytes, peak_file_bytes, peak_rss_bytes, cgroup_peak_bytes;
    double stall_seconds; /* time that the process waited for memory */
    unsigned threads;
    const char *blas_config, *blas_core; /* OpenBLAS's own description, and the core that it
                                          * chose; "" if the command computes without it */
    const char *input_path, *input_format;
    uint64_t input_bytes;
    uint64_t input_files;
    double input_bpw; /* inspect: 8 x bytes of weight files / elements of all tensors; NaN: none */
    uint64_t left_files, left_bytes; /* in the input's directory, but no part of the model */
    const char *base_path;           /* of --base, or "" */
    uint64_t base_bytes, base_files;
    uint64_t input_version; /* inspect: of the file format; 0: unknown */
    const char *verified;   /* verify: "all" or "records"; "": not verified */
    const char *output_path;
    uint64_t output_bytes;
    uint64_t output_low, output_high; /* plan: the estimated size lies between them */
    const char *partial_path;         /* compress that ended early: the unfinished output, or "" */
    uint64_t partial_tensors;         /* finished in partial_path */
    bool partial_other;               /* partial_path is the work of another command */
    uint64_t resumed_tensors;         /* compress: finished by an earlier run */
    uint64_t disk_free_bytes; /* compress: at the output; plan: in this directory; 0: unknown */
    /* plan with a sample: time for the sample, and an estimate for all candidates; else NaN */
    double sample_seconds, estimated_seconds;
    /* 8 x bytes (payload and record) of all weights / their elements; NaN: none. No weights: packed
     * tensors of quantised modules, their companions, masks and tables of positions. */
    double bpw;
    double ratio; /* output / input; NaN: none */
    double seconds;
    /* Relative errors of the tensors that are not kept; compare: of all tensors. NaN: none. */
    double worst_error, mean_error;
    /* Weighted errors, of the tensors whose importance is known. NaN: none. */
    double weighted_worst, weighted_mean;
    const char *imatrix_path; /* "": no importance matrix */
    /* Entries of the importance matrix; tried matrices of the model whose importance it has. */
    uint64_t imatrix_entries, imatrix_matrices;
    lort_tensor_report *tensors;
    uint64_t tensor_count;
    lort_type_report *types; /* inspect, compare: the most bytes first */
    uint64_t type_count;
    lort_meta_report *meta; /* inspect: the metadata of the headers */
    uint64_t meta_count;
    const char **warnings;
    unsigned warning_count;
    /* Why the command failed; code LORT_OK: it did not. The functions of LoRT leave it empty. A
     * caller copies the error of a command here for the JSON report. */
    lort_error error;
    void *owner; /* internal: the memory of the report */
    /* How a name led to input_path, such as "Hugging Face cache, main"; "": it was a path. */
    const char *input_found;
    lort_hash_report *hashes; /* in the order of the files */
    uint64_t hash_count;
    /* Of an input on the network, else "": such as "hf://ORG/NAME@COMMIT", its commit, and the
     * directory of the spool. Bytes and requests of this command; most bytes of the spool so far;
     * compress, plan: the bytes that all will fetch, and the most that the spool will hold. */
    const char *input_label, *input_commit, *spool_path;
    uint64_t fetched_bytes, requests, spool_bytes, fetch_plan_bytes, spool_plan_bytes;
    /* A task of several: its number and how many there are, and the bytes of its run of the input.
     * Output, ratio, tensors and errors are those of the run. tasks 0: no task. merge: task 0. */
    uint32_t task, tasks;
    uint64_t task_bytes;
    /* The options of the run. The functions of LoRT leave this empty. A caller may put them here
     * for the JSON report; they must live until it is written. */
    const lort_option_report *options;
    uint64_t option_count;
    lort_sample_report *samples; /* in the order of time; at most 200 */
    uint64_t sample_count;
    lort_phase_report *phases; /* those that took time */
    uint64_t phase_count;
    int64_t started_ns, ended_ns; /* the time of day, in nanoseconds since 1970; 0: unknown */
    lort_run_report *runs;        /* plan with tasks: [run_count], of all tasks in order */
    uint64_t run_count;
    double
        slowest_over_mean; /* plan with tasks: the largest planned cost over the mean, else NaN */
    /* compress, plan: the covariance file, "" or NULL: none; its entries with a covariance; tried
     * tensors of the model that have one. */
    const char *covariance_path;
    uint64_t covariance_entries, covariance_matrices;
    uint64_t reserved[5];
} lort_report;

/* Frees what a report points to. Accepts a zeroed report. */
void lort_report_free(lort_report *report);

#ifdef __cplusplus
}
#endif
#endif
