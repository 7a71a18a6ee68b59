/* lort.h: the public API of liblort, and the only header that a program needs. It includes
 * lort_report.h, lort_weights.h for weights, and lort_files.h for ranges of restored files.
 *
 * The library never prints, exits or forks, and sets one signal handler: that of SIGBUS, for mapped
 * input files. It stays set, and passes every other SIGBUS to the handler before it.
 *
 * A call gives the host program its state back, after failures too:
 *   - the floating-point environment of the calling thread: rounding, traps, flags, tiny numbers.
 *     Inside the call LoRT rounds to nearest, without traps. `event` and the functions of streams
 *     run in the caller's environment, `stop` in LoRT's.
 *   - the number of threads of OpenBLAS. lort_compress, lort_plan and lort_extract set it to 1,
 *     also for the host's own products. The host must not set it meanwhile. The last of these calls
 *     that ends gives it back. All other calls leave OpenBLAS alone. A library that was built
 *     without OpenBLAS (BLAS=none) has them all, but these three return LORT_E_USAGE.
 * Under ulimit -v all threads of the process share one heap from the first worker on (M_ARENA_MAX
 * of glibc). After one of the three calls, OpenBLAS keeps the buffers that LoRT mapped.
 *
 * A command is one call. It takes options, fills a report, and tells an observer what happens
 * meanwhile. Every call that can fail returns a lort_code, which is also the exit code of `lort`
 * (docs/lort.1, "EXIT STATUS"). The last argument err takes the message; err may be NULL.
 *
 * The caller owns a report and frees it with lort_report_free. All strings and arrays in a report
 * live until then. */
#ifndef LORT_H
#define LORT_H

#include "compress/lort_files.h"
#include "compress/lort_report.h"
#include "compress/lort_weights.h"
#include "formats/base/error.h"
#include "formats/base/text.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LORT_VERSION "0.1.0"
/* Raised whenever equal inputs and options may give other bytes than the version before gave. */
#define LORT_ALGORITHM 7

/* The interface of this header: major version << 16 | minor version.
 *   - The minor version rises with each function, member and value that programs may use and that
 *     the version before lacks. A program needs the minor version that has what it uses.
 *   - The major version rises when a program that is built already would go wrong. The number of
 *     the shared library (liblort.so.0) and the node of its symbols (LORT_0) rise with it. */
#define LORT_API_VERSION 0x00000003u
/* The interface of the library that runs. It may be newer than LORT_API_VERSION of the program. A
 * program that finds an older one may ask for a newer library. */
uint32_t lort_api_version(void);

/* The value of the environment variable OPENBLAS_CORETYPE that lets OpenBLAS load the kernels of
 * `asked`, as blas_core in lort_options; NULL: the variable must not be set. asked NULL, unknown,
 * or a core that this processor cannot run: the value for "portable". OpenBLAS reads the variable
 * once, when it is loaded, so a program sets it and then executes itself again. The text is static.
 */
const char *lort_blas_coretype(const char *asked);

/* Structs that grow. A program and a shared library may be of different versions, so:
 *   - Options begin with their size. The init function of a struct sets the size and the defaults.
 *     Call it first, then change members. New members come at the end, and zero or the default
 *     means what the version before did. A program may be older than the library, or newer:
 *     LORT_E_USAGE says that the struct was not initialised, or that the program sets a member that
 *     the library does not know. NULL in place of options means the defaults.
 *   - Structs that LoRT fills, or takes without a size, end with reserved members. A new member
 *     takes the place of some of them, so sizes and offsets stay. LoRT zeroes the reserved members
 *     that it fills. The caller zeroes those of an observer.
 *   - An event is handed out by pointer. It may grow at its end. Do not copy one by its size.
 *   - New values of an enum come at its end, in front of a count. So a program must expect values
 *     that it does not know. */

/* The target that the user chose. docs/lort.1 has the details, "TARGETS OF COMPRESS AND PLAN". */
typedef enum lort_goal {
    LORT_GOAL_DEFAULT,  /* GOAL_ERROR with the value 0.05 */
    LORT_GOAL_RANK,     /* factors of a given rank */
    LORT_GOAL_ENERGY,   /* the lowest rank that keeps a share of the squared norm */
    LORT_GOAL_ERROR,    /* an upper bound for the relative error of each matrix */
    LORT_GOAL_LOSSLESS, /* every tensor is kept */
    LORT_GOAL_BPW,      /* bits per weight over all tensors, records included */
    LORT_GOAL_SIZE,     /* the size of the output file */
    LORT_GOAL_TYPE      /* lort_quantize only: a mix of types by its name */
} lort_goal;

/* How LoRT stores the residual: the part of a matrix that low-rank factors do not capture. */
typedef enum lort_residual {
    /* AUTO selects INT for DEFAULT, ERROR, BPW and SIZE, and NONE for RANK, ENERGY and LOSSLESS. */
    LORT_RESIDUAL_AUTO,
    /* Not stored: a matrix is factored or kept. Not with BPW and SIZE. */
    LORT_RESIDUAL_NONE,
    /* As integers of a trellis quantiser. LoRT codes the whole matrix where no component of low
     * rank saves space. Not with RANK, ENERGY and LOSSLESS. */
    LORT_RESIDUAL_INT,
    /* As -1, 0 or 1 times a scale per row. With RANK, ENERGY, ERROR and DEFAULT. With DEFAULT LoRT
     * takes the components that INT would take. */
    LORT_RESIDUAL_TERNARY
} lort_residual;

/* Which files of a directory belong to the model besides its weights. */
typedef enum lort_side_files {
    LORT_SIDE_FILES_USUAL, /* all but those that ALL adds; the default */
    /* Also copies of the weights in other frameworks, hidden files, and files over 64 MiB. Never
     * .git and .cache. */
    LORT_SIDE_FILES_ALL
} lort_side_files;

/* Options of lort_compress and lort_plan. lort_options_init sets the defaults. The caller owns the
 * strings and lists; they must live until the call returns. */
typedef struct lort_options {
    size_t size;    /* set by lort_options_init */
    lort_goal goal; /* default: DEFAULT, a relative error of at most 0.05 */
    int64_t rank;   /* RANK: at least 1; with TERNARY at least 0 */
    /* ENERGY: the share, above 0, at most 1. ERROR: the bound, from 0, below 1. BPW: the bits.
     * SIZE: per cent of the input, used if size_bytes is 0. */
    double value;
    uint64_t size_bytes;    /* SIZE: bytes of the output file; 0: `value` has the size */
    int64_t max_rank;       /* the highest rank that LoRT tries; default 256 */
    lort_residual residual; /* default: AUTO */
    int64_t min_dim;        /* LoRT keeps matrices with a side under it; default 32 */
    /* Patterns of tensor names. include: also try tensors that LoRT keeps by default. exclude: keep
     * the tensor. exclude wins over include. */
    const char **include;
    unsigned include_count;
    const char **exclude;
    unsigned exclude_count;
    /* Of a directory with several forms of the weights, the form to take: the name of its index, of
     * a weight file, or of a variant such as fp16. NULL: LoRT chooses. */
    const char *weights;
    lort_side_files side_files; /* default: USUAL */
    /* Path of an importance matrix that llama.cpp wrote, or NULL. LoRT weighs errors by it, column
     * by column, and keeps them low where importance is high. */
    const char *imatrix;
    /* Path of the base model of a fine-tune, or NULL: the container holds differences to it. */
    const char *base;
    /* A tensor with a relative error above it (with a covariance: a weighted error) makes the run
     * fail with LORT_E_NUMERIC, and nothing is published. Below 0: no limit, the default. */
    double fail_above;
    lort_mode mode;        /* default: AUTO */
    uint64_t memory_bytes; /* memory that LoRT may use; 0: LoRT probes the machine, the default */
    unsigned threads;      /* worker threads; 0: cores that the process may use, the default */
    uint64_t seed;         /* of the random sketches; default 0 */
    int zstd_level;        /* effort of the lossless coder, 1 to 19; default 1 */
    bool force;            /* replace an existing output file */
    /* compress: resume an interrupted run; fail if its inputs or options differ. If false, LoRT
     * resumes work that fits this run and drops other work with a warning. */
    bool resume;
    /* compress: stop at a checkpoint after so many seconds, with LORT_E_STOPPED. 0: no limit. */
    double time_limit;
    int64_t sample; /* plan: compress so many matrices and report the figures; 0: none */
    bool offline;   /* names of models: touch no network (as HF_HUB_OFFLINE=1) */
    /* A model on the network goes through a file of this directory, the spool. NULL: TMPDIR, else
     * the directory of the output. spool_keep: all that was fetched stays there until the command
     * ends, so a second reading fetches nothing. */
    const char *spool;
    bool spool_keep;
    /* The kernels of OpenBLAS that must be loaded: "portable", "native" or a core such as
     * "Haswell" (docs/lort.1, --blas-core). LORT_E_USAGE if others are. OpenBLAS chooses when it is
     * loaded, so this only checks; lort_blas_coretype tells how to choose. NULL, the default: the
     * kernels that the process has. The container and the report name them. */
    const char *blas_core;
    /* compress: the call is task `task` of `tasks`, from 0, and codes its run of the tensors into
     * the file OUTPUT.task-I-of-N; lort_merge joins the files. plan: the runs of so many tasks.
     * tasks 0: one process does all. */
    uint32_t task, tasks;
    /* A task under BPW or SIZE: the first reading of its run, into OUTPUT.curves-I-of-N. Without it
     * the curves of all tasks must be there, or the call fails with LORT_E_USAGE. */
    bool measure;
    /* BPW and SIZE: bytes that the shares leave unused. lort_merge names them where the output of
     * tasks missed its size. */
    uint64_t reserve;
    bool spectra; /* put leading singular values into the report; changes no byte of the output */
    /* Path of a covariance file (docs/FORMAT.md, "Covariance files"), or NULL. LoRT rounds so that
     * later columns repair the errors of earlier ones, and bounds the error of the outputs. It goes
     * with ERROR, BPW, SIZE and DEFAULT, and neither with imatrix nor with base. */
    const char *covariance;
} lort_options;
void lort_options_init_sized(lort_options *options, size_t size);
static inline void lort_options_init(lort_options *options)
{
    lort_options_init_sized(options, sizeof *options);
}

/* ---- events: the progress of a command ---- */

typedef enum lort_event_kind {
    LORT_EVENT_START,   /* mode, memory, threads and plan are known: see `report` */
    LORT_EVENT_WARNING, /* see `text` */
    LORT_EVENT_NOTE,    /* see `text`; for example the expected ratio after the first matrices */
    LORT_EVENT_TENSOR,  /* one tensor is finished: see `tensor` */
    /* Work goes on, or another phase begins. At most a few a second, so their number depends on the
     * clock. They come within a tensor too. */
    LORT_EVENT_PROGRESS
} lort_event_kind;

/* What a command is at. */
typedef enum lort_phase {
    LORT_PHASE_OPENING,      /* headers and records, and all that has no phase of its own */
    LORT_PHASE_CHECKING,     /* compress: finished tensors of an earlier run; verify: all */
    LORT_PHASE_LOADING,      /* full mode: the input is read into memory */
    LORT_PHASE_MEASURING,    /* the first reading, under BPW and SIZE */
    LORT_PHASE_SAMPLING,     /* plan with a sample */
    LORT_PHASE_WRITING,      /* compress, restore */
    LORT_PHASE_READING_BACK, /* compress, restore: the finished output */
    LORT_PHASE_COMPARING,    /* compare */
    LORT_PHASES
} lort_phase;
const char *lort_phase_text(lort_phase phase); /* "measuring", ... */
struct lort_report;
struct lort_tensor_report;

/* All pointers of an event are valid until the observer returns. */
typedef struct lort_event {
    lort_event_kind kind;
    const char *text;                 /* WARNING, NOTE: one line, escaped for a terminal */
    const struct lort_report *report; /* the report as far as it is filled */
    /* TENSOR: the finished tensor. PROGRESS: the tensor in work, only its name is set; or NULL. */
    const struct lort_tensor_report *tensor;
    lort_phase phase;
    unsigned attempt; /* 1 and above: LoRT does all again, since the output missed its size */
    /* Of the phase: bytes of the input, and tensors. READING_BACK: bytes of the output. */
    uint64_t done_bytes, total_bytes;
    uint64_t tensors_done, tensors_total;
    uint64_t out_bytes; /* written so far */
    double worst_error; /* relative, of the tensors so far; NaN: none */
    double seconds;     /* since the call began */
    /* Of all phases together, weighed by the time that they take: the share that is done, 0 to 1,
     * and the seconds that are left. NaN: not known yet. Work of an earlier run does not count. */
    double share, seconds_left;
    double bytes_per_second; /* of this run, in the phase; NaN: not known yet */
} lort_event;

/* Commands take a pointer to an observer; NULL: nobody listens. */
typedef struct lort_observer {
    /* May be NULL. LoRT calls it on the thread that called the command, and on no other. */
    void (*event)(void *ctx, const lort_event *event);
    /* May be NULL. True asks the command to stop: it returns LORT_E_STOPPED and publishes nothing.
     * Any thread of LoRT may call it, and calls are frequent. */
    bool (*stop)(void *ctx);
    void *ctx;            /* goes to both functions */
    uint64_t reserved[5]; /* zero */
} lort_observer;

/* Lines of JSON that tell of a run, for programs (docs/lort.1, "PROGRESS JSON"). Each is one object
 * and one line, and valid UTF-8.
 * On failure: LORT_E_MEMORY. Then `take` is not called. */

/* Takes one line: `bytes` bytes with the line feed, no NUL. The line is valid until it returns. */
typedef void lort_line_fn(void *ctx, const char *line, uint64_t bytes);
/* Makes the line of an event. event: as an observer got it. */
lort_code lort_event_json(const lort_event *event, lort_line_fn *take, void *ctx, lort_error *err);
/* Makes the line of report->error. LORT_E_USAGE: the report has no error. */
lort_code lort_error_json(const lort_report *report, lort_line_fn *take, void *ctx,
                          lort_error *err);
/* Makes the last line of a run. exit_code: that of the program. report: may be zeroed. */
lort_code lort_end_json(const lort_report *report, int exit_code, lort_line_fn *take, void *ctx,
                        lort_error *err);

/* A place for a JSON report. Open it before the work: if it cannot be written, no work is lost. */
typedef struct lort_json lort_json;
/* Opens the place.
 * path: a file, a FIFO with a reader, a character device, or a descriptor such as /dev/fd/3; "-" is
 * stdout. A file appears whole, or an older one stays. LoRT replaces an older file only if it is
 * empty or begins as a report does, has one name, and is no symbolic link.
 * stop: if it returns true, the wait for a reader that takes nothing ends within a second. NULL:
 * never.
 * On failure *out is NULL: LORT_E_EXISTS if something else has the name, or another process writes
 * the file. LORT_E_WRITE if the place cannot be written, or no process reads the FIFO.
 * LORT_E_USAGE if the path ends in no name. LORT_E_MEMORY.
 * Owner: the caller, who closes *out with lort_json_close. */
lort_code lort_json_open(const char *path, bool (*stop)(void *ctx), void *ctx, lort_json **out,
                         lort_error *err);
/* Writes the report as JSON (docs/lort.1, "JSON"), once. A zeroed report, or one of a command that
 * failed, gives the figures that are known.
 * On failure: LORT_E_WRITE; LORT_E_EXISTS; LORT_E_MEMORY; LORT_E_STOPPED if `stop` ended a wait. */
lort_code lort_json_write(lort_json *json, const lort_report *report, lort_error *err);
/* The same for the reports of several runs of one command: one object with a list "results". Its
 * error is the first one of the list. count: at least 1. */
lort_code lort_json_write_list(lort_json *json, const lort_report *reports, unsigned count,
                               lort_error *err);
/* Closes the place. Nothing is left of a report that was not written. Accepts NULL. */
void lort_json_close(lort_json *json);
/* Opens, writes and closes at once. On failure: the codes of lort_json_open and lort_json_write. */
lort_code lort_report_json(const lort_report *report, const char *path, lort_error *err);

/* Shows the JSON reports of one or two runs, as one page.
 * paths: `count` files that lort_report_json or `lort --json` wrote. output: a new file. Its ending
 * is the form: .html (a page that needs no network), .md, .csv (a row per tensor), .prom (a text
 * file for node_exporter). It appears whole, or not at all. force: replace a file.
 * report: input_path is the first path, output_path and output_bytes the page.
 * LORT_E_INPUT: a file is no report of one run. LORT_E_USAGE: another ending, or other counts. */
lort_code lort_report_page(const char *const *paths, unsigned count, const char *output, bool force,
                           const lort_observer *observer, struct lort_report *report,
                           lort_error *err);

/* ---- the commands ---- */

/* Common to all commands:
 *   - A path of a model names a .gguf file, a .safetensors file, any shard of a numbered set, or a
 *     directory that holds one model, with its folders. An index.json stands for its directory.
 *   - A tensor of a file in a folder has the name FOLDER/name: in reports, patterns and weights.
 *   - report is filled from scratch. After a failure it holds the figures known so far. Call
 *     lort_report_free in either case.
 *   - LORT_E_USAGE: options that do not fit together. LORT_E_INPUT: a malformed or unsupported
 *     input. LORT_E_READ: a failed read, or an input that changed. LORT_E_WRITE: a failed write.
 *     LORT_E_MEMORY: one step does not fit the memory. LORT_E_DAMAGED: a container fails its
 *     checks. LORT_E_EXISTS: the output exists, or another process writes it. LORT_E_STOPPED: the
 *     observer or the time limit stopped the command. */

/* Compresses a model into one container, the file `output`. The file appears complete and checked,
 * or not at all. On failure a partial output may stay beside it: see report->partial_path.
 * LORT_E_NUMERIC: an error above fail_above, or a size that cannot be reached. */
lort_code lort_compress(const char *model, const char *output, const lort_options *options,
                        const lort_observer *observer, lort_report *report, lort_error *err);

/* Reports the mode, the memory and an interval of the size that lort_compress would have. Writes
 * nothing. Reads headers only, unless options->sample asks for matrices. A small model is read too
 * if headers leave open whether it can have the size that BPW or SIZE asks for.
 *
 * LORT_E_NUMERIC: the size is out of reach, as lort_compress would say. If only lort_compress can
 * tell, a warning says so. */
lort_code lort_plan(const char *model, const lort_options *options, const lort_observer *observer,
                    lort_report *report, lort_error *err);

/* The most tasks that may share one model. */
#define LORT_TASKS_MOST 65536

/* Options of lort_merge. lort_merge_options_init sets the defaults. */
typedef struct lort_merge_options {
    size_t size;       /* set by lort_merge_options_init */
    uint32_t tasks;    /* how many tasks there are; 0: their files tell */
    bool keep;         /* keep the files of the tasks */
    bool force;        /* replace an existing output file */
    double fail_above; /* as in lort_options; below 0: what the tasks were given, the default */
    /* Wait so many seconds for a file that is not there: a file system of a network may show it
     * late. Default: 60. */
    double wait;
    uint64_t memory_bytes; /* as in lort_options */
} lort_merge_options;
void lort_merge_options_init_sized(lort_merge_options *options, size_t size);
static inline void lort_merge_options_init(lort_merge_options *options)
{
    lort_merge_options_init_sized(options, sizeof *options);
}

/* Joins the files OUTPUT.task-I-of-N of all tasks into the container OUTPUT, the bytes that one
 * process would have written. Reads nothing of the model. Checks every byte of the files against
 * its hash. Once the container is on the disk, removes these files and those of curves.
 *
 * LORT_E_INPUT: a file is missing, unfinished, or of another run: of other options, another model
 * or another number of tasks. LORT_E_DAMAGED: a file is damaged. LORT_E_NUMERIC: an error above
 * fail_above; or the container misses its size: the message has the reserve to repeat with. */
lort_code lort_merge(const char *output, const lort_merge_options *options,
                     const lort_observer *observer, lort_report *report, lort_error *err);

/* Options of lort_quantize. lort_quantize_options_init sets the defaults. The caller owns the
 * strings and lists; they must live until the call returns. */
typedef struct lort_quantize_options {
    size_t size;    /* set by lort_quantize_options_init */
    lort_goal goal; /* TYPE, BPW or SIZE; there is no default */
    /* TYPE: the name of a mix as llama-quantize spells it, such as "Q4_K_M". Case does not count.
     */
    const char *type;
    /* BPW: 8 x bytes of the whole file / elements of all tensors, at most. SIZE: per cent of the
     * input, used if size_bytes is 0. */
    double value;
    uint64_t size_bytes; /* SIZE: the most bytes of the output */
    const char *imatrix; /* path of an importance matrix that llama.cpp wrote, or NULL */
    const char
        *types; /* BPW and SIZE: the types to choose from, with commas; NULL: all good ones */
    const char **tensor_types; /* "GLOB=TYPE"; the first one that matches a name counts */
    unsigned tensor_type_count;
    bool pure;             /* TYPE: every quantised tensor in the base type of the mix */
    bool allow_requantize; /* accept a model that is quantised already */
    bool keep_split;       /* a split model gives a directory of as many shards */
    bool dry_run;          /* choose types and sizes; write nothing */
    const char *recipe; /* write the choice here, as llama-quantize --tensor-type-file reads it */
    lort_mode mode;     /* default: AUTO */
    uint64_t memory_bytes;
    unsigned threads;
    bool force, resume; /* as in lort_options */
    double time_limit;  /* seconds; 0: no limit */
    bool offline;       /* as in lort_options */
    const char *spool;  /* as in lort_options */
    bool spool_keep;    /* as in lort_options */
} lort_quantize_options;
void lort_quantize_options_init_sized(lort_quantize_options *options, size_t size);
static inline void lort_quantize_options_init(lort_quantize_options *options)
{
    lort_quantize_options_init_sized(options, sizeof *options);
}

/* Writes a GGUF model anew in block types that llama.cpp runs.
 * model: a GGUF file, the first shard of one, or a container made from one. output: the new GGUF
 * file; with keep_split a new directory; NULL for a dry run. The output appears complete and
 * checked, or not at all.
 * LORT_E_INPUT: the model is no GGUF, or is quantised already. LORT_E_NUMERIC: the size cannot be
 * reached. */
lort_code lort_quantize(const char *model, const char *output, const lort_quantize_options *options,
                        const lort_observer *observer, lort_report *report, lort_error *err);

/* Options of lort_extract. lort_extract_options_init sets the defaults. The caller owns the strings
 * and lists; they must live until the call returns. */
typedef struct lort_extract_options {
    size_t size; /* set by lort_extract_options_init */
    /* DEFAULT: updates of low rank whole, of the others together ENERGY 0.98. RANK. ENERGY: a share
     * of the squared norm of all updates together; of updates of low rank, each. ERROR: the
     * relative error of each update, at most. SIZE: of all factors, at most. */
    lort_goal goal;
    int64_t rank;
    double value;         /* ENERGY, ERROR; SIZE: per cent of the fine-tune if size_bytes is 0 */
    uint64_t size_bytes;  /* SIZE */
    int64_t max_rank;     /* no rank is above it; default 256. Not for RANK. */
    const char *outtype;  /* "F32", "F16", "BF16", or "Q8_0" (GGUF only); NULL: F16 */
    const char **include; /* patterns of names; if any is given, no other tensor is looked at */
    unsigned include_count;
    const char **exclude; /* tensors of these names are not looked at */
    unsigned exclude_count;
    bool drop_unsupported; /* leave out what an adapter cannot hold, with a warning each */
    const char *weights;   /* as in lort_options, for both models */
    lort_mode mode;        /* default: AUTO */
    uint64_t memory_bytes;
    unsigned threads;
    bool force;            /* replace an existing GGUF file; a directory is never replaced */
    bool offline;          /* as in lort_options */
    const char *spool;     /* as in lort_options */
    bool spool_keep;       /* as in lort_options */
    const char *blas_core; /* as in lort_options */
    bool spectra;          /* as in lort_options: of the updates */
} lort_extract_options;
void lort_extract_options_init_sized(lort_extract_options *options, size_t size);
static inline void lort_extract_options_init(lort_extract_options *options)
{
    lort_extract_options_init_sized(options, sizeof *options);
}

/* Writes the difference of a fine-tune and its base as a LoRA adapter.
 * tuned, base: both GGUF models, or both of safetensors. output: of GGUF a file for llama.cpp that
 * ends in .gguf, else a new directory for PEFT. It appears whole, or not at all.
 * LORT_E_INPUT: the two do not fit together; nothing differs; or something differs that an adapter
 * cannot hold, unless drop_unsupported. LORT_E_NUMERIC: max_rank does not reach ERROR. */
lort_code lort_extract(const char *tuned, const char *base, const char *output,
                       const lort_extract_options *options, const lort_observer *observer,
                       lort_report *report, lort_error *err);

/* Options of commands that read. lort_run_options_init sets the defaults, and so does NULL in place
 * of a pointer to them. */
typedef struct lort_run_options {
    size_t size; /* set by lort_run_options_init */
    /* Memory that LoRT may use; 0: LoRT probes the machine. The limit holds from the first byte of
     * a file on. What headers and records take counts, and so does the report. */
    uint64_t memory_bytes;
    unsigned threads; /* worker threads; 0: cores that the process may use */
    /* inspect, compare: as in lort_options, for each model that is a directory. */
    const char *weights;
    lort_side_files side_files;
    /* restore, verify, compare: the base model of a container that holds differences; else NULL.
     * A model, or a container that holds it losslessly. */
    const char *base;
    bool offline;      /* as in lort_options */
    const char *spool; /* as in lort_options */
} lort_run_options;
void lort_run_options_init_sized(lort_run_options *options, size_t size);
static inline void lort_run_options_init(lort_run_options *options)
{
    lort_run_options_init_sized(options, sizeof *options);
}

/* Reports the metadata and the tensors of a model or container. Reads no weight and starts no
 * thread: run->threads is not used. */
lort_code lort_inspect(const char *path, const lort_run_options *run, const lort_observer *observer,
                       lort_report *report, lort_error *err);

/* Options of lort_verify. lort_verify_options_init sets the defaults. */
typedef struct lort_verify_options {
    size_t size;                 /* set by lort_verify_options_init */
    const lort_run_options *run; /* the caller's; NULL: the defaults */
    bool quick; /* check structure and hashes of records only; read no header and no weight */
} lort_verify_options;
void lort_verify_options_init_sized(lort_verify_options *options, size_t size);
static inline void lort_verify_options_init(lort_verify_options *options)
{
    lort_verify_options_init_sized(options, sizeof *options);
}

/* Checks a container: every hash, every shape, and that its files are a model that LoRT opens. It
 * decodes everything, unless options->quick. lort_restore accepts a container that passes the full
 * check, with every dtype. The exceptions depend on the dtype: LORT_E_NUMERIC for a value that does
 * not fit it, and LORT_E_USAGE for a safetensors header that would grow beyond 100 MB. */
lort_code lort_verify(const char *path, const lort_verify_options *options,
                      const lort_observer *observer, lort_report *report, lort_error *err);

/* Takes restored files in place of a path: file after file, and each in order. A function returns
 * LORT_OK; any other code ends the run with this code, and *err takes the message. LoRT has checked
 * the chunks behind the bytes that it hands over. It confirms a whole run by LORT_OK alone, after
 * the last byte. */
typedef struct lort_restore_sink {
    /* Begins the next file, of exactly `bytes` bytes. name: relative to the directory of the model;
     * it lives until the call of lort_restore returns. */
    lort_code (*file)(void *ctx, const char *name, uint64_t bytes, lort_error *err);
    lort_code (*bytes)(void *ctx, const void *bytes, uint64_t count, lort_error *err);
    void *ctx;
    bool several; /* takes a model of several files; else LORT_E_USAGE names their number */
    /* The files stay in memory, and count in the memory_bytes of `run`. LORT_E_MEMORY before any
     * byte if they do not fit. */
    bool in_memory;
    uint64_t reserved[4]; /* zero */
} lort_restore_sink;

/* Options of lort_restore. lort_restore_options_init sets the defaults. */
typedef struct lort_restore_options {
    size_t size;                 /* set by lort_restore_options_init */
    const lort_run_options *run; /* the caller's; NULL: the defaults */
    /* "F32", "F16" or "BF16" for factored and coded tensors. NULL: their original type if it is one
     * of these, else F16. */
    const char *dtype;
    const char *tensor; /* write only the bytes of this tensor; NULL: the whole model */
    bool force;         /* replace an existing output file; a directory is never replaced */
    const char *file;   /* write only this file of the model; not with `tensor` */
    /* NULL: LoRT writes to `output`. Else the sink gets the bytes, and the report calls it
     * `output`. */
    const lort_restore_sink *sink;
    bool sha256; /* hash each file while it is written; the report has the hashes */
} lort_restore_options;
void lort_restore_options_init_sized(lort_restore_options *options, size_t size);
static inline void lort_restore_options_init(lort_restore_options *options)
{
    lort_restore_options_init_sized(options, sizeof *options);
}

/* Writes the model of a container: one file, or a new directory if the model has several files.
 * Kept tensors come back byte for byte. LORT_E_NUMERIC: a value does not fit the type. */
lort_code lort_restore(const char *path, const char *output, const lort_restore_options *options,
                       const lort_observer *observer, lort_report *report, lort_error *err);

/* Measures each tensor of b against the tensor of the same name in a; either may be a container.
 * LORT_E_INPUT: names or shapes differ, or two containers claim far more elements than their bytes
 * allow (docs/FORMAT.md, section 12). LORT_E_NUMERIC: a relative error is above fail_above, or
 * tensors differ and the error is undefined. fail_above below 0: no limit. */
lort_code lort_compare(const char *a, const char *b, double fail_above, const lort_run_options *run,
                       const lort_observer *observer, lort_report *report, lort_error *err);

/* ---- names, versions, sizes ---- */

/* The kind of a tensor, told by its name: a number below 32. */
unsigned lort_kind_of(const char *name);
/* The kind of a tensor of a report: its reason tells routers and quantised modules, else its name
 * does. */
unsigned lort_kind_of_report(const lort_tensor_report *tensor);
/* The name of a kind, such as "attention q"; NULL past the last kind. */
const char *lort_kind_name(unsigned kind);

/* "lort 0.1.0 (algorithm 7; OpenBLAS 0.3.21 ..., core Zen; zstd 1.5.4; ...)": a static string.
 * Without OpenBLAS: "no BLAS". */
const char *lort_version_text(void);
/* Converts "256M", "1.5G" or "4096" to bytes; K, M, G and T are powers of 1024. On failure:
 * LORT_E_USAGE. */
lort_code lort_parse_size(const char *text, uint64_t *bytes, lort_error *err);
/* Writes a text such as "1.5 GiB" into out, which has cap bytes. Returns out. */
const char *lort_print_size(uint64_t bytes, char *out, uint64_t cap);

#ifdef __cplusplus
}
#endif
#endif
