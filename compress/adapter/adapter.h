/* adapter: a run of `lort extract-lora` as data. commands/extract.c has its order of work.
 *
 *   modules   what an adapter makes of each tensor, by name and shape
 *   check     whether fine-tune and base fit together
 *   update    differences as the factorisation reads them
 *   measure   which tensors differ; norms, noise of rounding and singular values of the updates
 *   ranks     the rank of each module
 *   files     the headers of the output, and the configuration of PEFT
 *   factors   factors of each module, written in order
 *   space     mode, threads and memory
 *
 * Room compress/adapter: owns the work of `lort extract-lora`. It must not print. */
#ifndef LORT_COMPRESS_ADAPTER_ADAPTER_H
#define LORT_COMPRESS_ADAPTER_ADAPTER_H

#include "compress/delta/pair.h"
#include "compress/factor/factor.h"
#include "loader/store/publish.h"

/* What an adapter makes of a tensor. */
typedef enum lort_form {
    LORT_FORM_NONE,      /* nothing: excluded, or without elements */
    LORT_FORM_LINEAR,    /* stored as n_out x n_in; of GGUF also a stack of such */
    LORT_FORM_TURNED,    /* stored as n_in x n_out: Conv1D of GPT-2 */
    LORT_FORM_EMBEDDING, /* stored as n_vocab x n_embd */
    LORT_FORM_WHOLE,     /* PEFT: stored whole if it differs */
    LORT_FORM_LOST       /* an adapter cannot hold it */
} lort_form;

/* One tensor of the pair, under the same number. */
typedef struct lort_module {
    const lort_pair_tensor *tensor;
    lort_form form;
    const char *why;      /* LOST, or rows are new: why an adapter cannot hold it */
    bool differs;         /* measured */
    bool has_factors;     /* one of LINEAR, TURNED, EMBEDDING */
    double tuned2, norm2; /* ||W'||^2 and ||D||^2 of the common rows */
    double noise2;        /* what rounding of W' adds to ||D||^2, about */
    double *values;       /* [count] squared singular values, descending; of a stack their sums */
    int64_t count, above; /* values that are known; those above the noise */
    bool low;             /* the update ends at rank `above`, far above the noise */
    int64_t rank;         /* 0: left out */
    bool closed;          /* SIZE: the next piece did not fit */
    bool floored;         /* the noise stopped it before the target */
    const lort_dtype_info *left, *right; /* types of the stored factors of D = L R */
    double error2;                       /* ||D - L R||^2 */
} lort_module;

typedef struct lort_extractor {
    const lort_extract_options *options;
    const char *base_path;
    lort_session session;
    lort_pair pair;
    lort_mode mode;
    bool gguf;                   /* the pair is one of GGUF: the output is a file */
    bool conv1d;                 /* config.json says gpt2: fan_in_fan_out */
    const lort_dtype_info *type; /* of factors, as asked for */
    lort_arena arena;
    lort_module *modules;
    uint64_t count;
    uint64_t tile_floats;
    float *noise;    /* [threads][2][LORT_NOISE_TILE] */
    double *columns; /* [window][columns_most] */
    int64_t columns_most;
    unsigned window;
    /* the output */
    lort_tensor *tensors; /* of the new file */
    uint64_t *offsets;
    uint64_t tensor_count, file_size;
    lort_buffer header, config;
    lort_publish *publish;
} lort_extractor;

#define LORT_NOISE_ROWS 64
#define LORT_NOISE_COLS 4096
#define LORT_NOISE_TILE ((uint64_t)LORT_NOISE_ROWS * LORT_NOISE_COLS)

/* ---- modules.c ---- */
/* Gives each tensor its form. On failure: LORT_E_INPUT, which names the first tensor of other
 * shape; LORT_E_MEMORY. */
lort_code lort_modules_list(lort_extractor *x, lort_error *err);
/* The name of a tensor of the pair, as stored. */
const lort_tensor *lort_module_tensor(const lort_module *module);
/* True if the module stores factors that lie in the file turned: [rank][rows] for the left one,
 * [cols][rank] for the right one. */
bool lort_module_turns_left(const lort_extractor *x, const lort_module *module);
bool lort_module_turns_right(const lort_extractor *x, const lort_module *module);
/* Types of factors of this rank, and the bytes of both in all slices. */
void lort_module_types(const lort_extractor *x, const lort_module *module, int64_t rank,
                       const lort_dtype_info **left, const lort_dtype_info **right);
uint64_t lort_module_bytes(const lort_extractor *x, const lort_module *module, int64_t rank);

/* ---- check.c ---- */
/* Checks what the headers and config.json of both sides say, and the name of the output.
 * On failure: LORT_E_INPUT or LORT_E_USAGE. */
lort_code lort_check_pair(lort_extractor *x, const char *output, lort_error *err);

/* ---- update.c ---- */
/* A tile of D as the factorisation reads it; ctx: the extractor, whose pair has an open slice. */
lort_code lort_update_read(void *ctx, unsigned worker, int64_t r0, int64_t r1, int64_t c0,
                           int64_t c1, float *dst, const float **out, int64_t *ld, lort_error *err);
lort_matrix_source lort_update_source(lort_extractor *x, const lort_module *module);
/* The target of lort_factor_values, and of lort_factor at the most. */
lort_target lort_values_target(const lort_extractor *x, const lort_module *module);
lort_target lort_factor_target(const lort_extractor *x, int64_t rank);

/* ---- measure.c ---- */
/* Compares the tensors that have no factors. With drop_unsupported warns of each one that is lost;
 * else LORT_E_INPUT, which names them. */
lort_code lort_measure_others(lort_extractor *x, lort_error *err);
/* Finds norms, noise and singular values of the updates. On failure: LORT_E_INPUT if nothing
 * differs. */
lort_code lort_measure_modules(lort_extractor *x, lort_error *err);
/* ---- ranks.c ---- */
/* Chooses rank and types of each module by the goal. other_bytes: of the output, that are no
 * factors. On failure: LORT_E_NUMERIC if max_rank does not reach ERROR. */
lort_code lort_ranks_choose(lort_extractor *x, uint64_t other_bytes, lort_error *err);
/* SIZE: the most bytes of the output. */
uint64_t lort_ranks_limit(const lort_extractor *x);

/* ---- files.c ---- */
/* Makes the header of the new file, and the configuration of PEFT. */
lort_code lort_files_make(lort_extractor *x, lort_error *err);
void lort_files_free(lort_extractor *x);

/* ---- factors.c ---- */
/* Writes header, factors and whole tensors to x->publish. */
lort_code lort_factors_write(lort_extractor *x, lort_error *err);
/* ---- space.c ---- */
/* Chooses mode and threads, starts the workers and takes their buffers. */
lort_code lort_space_open(lort_extractor *x, lort_error *err);
void lort_space_give(lort_extractor *x);

#endif
