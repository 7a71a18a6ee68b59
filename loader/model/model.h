/* model: the room loader/model owns the input files as one model; it must not write a file.
 *
 * This file owns the files behind one MODEL argument: one index over all tensors, and a list of
 * extents that tiles every file. After open everything in the model is valid. Only reads can still
 * fail (LORT_E_READ). */
#ifndef LORT_LOADER_MODEL_MODEL_H
#define LORT_LOADER_MODEL_MODEL_H

#include "formats/container/container.h"
#include "formats/inputs/format.h"
#include "loader/machine/pool.h"
#include "loader/os/os.h"

#define LORT_SIDE_FILE_MAX                                                                         \
    (64u << 20) /* 64 MiB; larger side files are left out, with a warning                          \
                 */

typedef struct lort_model_file {
    /* a plain path below the model's directory, under which a container stores the file
     * (formats/base/plain_path.h) */
    const char *name;
    const char *own_name; /* on the disk */
    lort_role role;
    uint64_t size;
    uint64_t device, inode;
    int64_t mtime_ns, ctime_ns;
    lort_header header; /* WEIGHTS only */
} lort_model_file;

typedef struct lort_model lort_model;

/* Receives each warning as one escaped line. May be NULL. */
typedef void lort_warn_fn(void *ctx, const char *text);

/* Opens the model at `path`: a .gguf, a .safetensors, any shard of a numbered set, an index.json or
 * a directory. The contents decide, not the name. Owner: lort_model_close frees the model. On
 * failure: LORT_E_USAGE if a directory holds several models, LORT_E_INPUT if a file is malformed.
 * Else LORT_E_READ or LORT_E_MEMORY. */
lort_code lort_model_open(const char *path, const lort_alloc *alloc, lort_warn_fn *warn,
                          void *warn_ctx, lort_model **out, lort_error *err);
/* What the user says about a directory. */
typedef struct lort_model_options {
    /* The form of the weights to take: the name of an index, of a weight file, or of a variant such
     * as fp16. NULL: LoRT chooses (loader/model/model_forms.c). */
    const char *weights;
    bool
        weights_elsewhere; /* another input may have that form: a file is no error, but a warning */
    /* Take also copies of the weights in other frameworks, hidden files and large files. */
    bool all_side_files;
    bool index_named; /* weights is the path of an index.json, whatever its name is */
} lort_model_options;
/* The same, with options. The caller calls lort_model_say once nothing else can go wrong with the
 * command line. On failure also: LORT_E_USAGE if no form has the name. */
lort_code lort_model_open_as(const char *path, const lort_model_options *options,
                             const lort_alloc *alloc, lort_warn_fn *warn, void *warn_ctx,
                             lort_model **out, lort_error *err);
void lort_model_close(lort_model *model); /* accepts NULL */
/* Warns about what is left out of the model. lort_model_open has done so. Accepts NULL. */
void lort_model_say(lort_model *model);
/* Files of the directory that are no part of the model, and their bytes. */
void lort_model_left_out(const lort_model *model, uint64_t *files, uint64_t *bytes);

/* Files that do not lie on a disk, such as those that a container restores. */
typedef struct lort_model_source {
    /* Calls `each` with the name of every file. */
    lort_code (*list)(void *ctx, lort_code (*each)(void *each_ctx, const char *name, lort_error *),
                      void *each_ctx, lort_error *err);
    /* Sets *size to the bytes of a file. On failure: LORT_E_INPUT if there is no such file. */
    lort_code (*size)(void *ctx, const char *name, uint64_t *size, lort_error *err);
    /* Reads the first n bytes of a file, n being at most its size. Bytes of tensors may be zeros:
     * a header has none. */
    lort_code (*read)(void *ctx, const char *name, void *buffer, uint64_t n, lort_error *err);
    void *ctx;
} lort_model_source;

/* Opens the model of a source by the rules of lort_model_open, without a file. Side files are not
 * added, and no weights are left out. directory: the files are a directory, and name is its
 * index.json, or NULL; else name is the file by which to open. The model answers
 * questions about its files, tensors and extents, and lort_model_head. It gives no views.
 * Owner: the caller, who closes *out. On failure: as lort_model_open. */
lort_code lort_model_open_source(const lort_model_source *source, const char *name, bool directory,
                                 const lort_alloc *alloc, lort_model **out, lort_error *err);
/* The bytes that the header of a weight file of a source was parsed from. Owner: the model. */
const uint8_t *lort_model_head(const lort_model *model, uint32_t file);
/* True if LoRT finds the model of a directory by an index.json of this name. */
bool lort_model_finds_index(const char *name);

const char *lort_model_format(const lort_model *model); /* "gguf" or "safetensors" */
bool lort_model_directory(const lort_model *model);     /* LoRT restores it as a directory */
uint64_t lort_model_bytes(const lort_model *model);     /* sum over all files */
uint32_t lort_model_mode_bits(const lort_model *model); /* permissions that all files have */
uint32_t lort_model_file_count(const lort_model *model);
const lort_model_file *lort_model_get_file(const lort_model *model, uint32_t file);
/* All tensors. tensor->file and tensor->offset tell the place. */
const lort_index *lort_model_index(const lort_model *model);

/* All extents, by file, then by offset. lort_model_extent_tensor gives the index of an extent's
 * tensor, or UINT64_MAX for raw bytes. */
const lort_extent *lort_model_extents(const lort_model *model, uint64_t *count);
uint64_t lort_model_extent_tensor(const lort_model *model, uint64_t extent);

/* True if device and inode are those of one of the model's files. An output must not be one of
 * them. */
bool lort_model_owns(const lort_model *model, const lort_file_info *info);
/* True if LoRT could not map some file. Views then need their scratch. */
bool lort_model_unmapped(const lort_model *model);

/* Sets *out to n bytes at `offset` of a file: a view into memory, or scratch with the bytes read
 * into it. scratch: n bytes; may be NULL if every file is mapped or loaded. On failure:
 * LORT_E_READ. */
lort_code lort_model_view(lort_model *model, uint32_t file, uint64_t offset, uint64_t n,
                          void *scratch, const uint8_t **out, lort_error *err);
/* Call this after computing results from views. On failure: LORT_E_READ if the file shrank or a
 * page could not be read. */
lort_code lort_model_check(lort_model *model, uint32_t file, lort_error *err);
/* Checks all files. On failure: LORT_E_READ if a file is gone, if its size, time or identity
 * differs from what open saw, or if lort_model_check fails. */
lort_code lort_model_unchanged(lort_model *model, lort_error *err);
/* of one file */
lort_code lort_model_file_unchanged(lort_model *model, uint32_t file, lort_error *err);

/* The ctime of a file says that contents, names or permissions changed, but not which. From this
 * call on a new ctime fails the checks above, and reads of unmapped files, with LORT_E_READ. */
void lort_model_watch(lort_model *model);
/* True if a check failed since the last lort_model_accept because of a ctime alone. */
bool lort_model_touched(const lort_model *model);
/* Takes the ctimes of now for those of open, and drops what lort_model_load read. The caller must
 * compare with the files all that it made from them, headers included. On failure: LORT_E_READ if
 * more than a ctime differs. Threads: nobody else uses the model. */
lort_code lort_model_accept(lort_model *model, lort_error *err);

/* Sets a function that LoRT calls between pieces of a load and of a hash. If it returns true, the
 * call fails with LORT_E_STOPPED. Threads: any thread calls it. */
void lort_model_stop_when(lort_model *model, bool (*stop)(void *ctx), void *ctx);
/* Adds n bytes at `offset` of a file to the hash. scratch: scratch_bytes, the largest view at
 * once. */
lort_code lort_model_hash(lort_model *model, uint32_t file, uint64_t offset, uint64_t n,
                          void *scratch, uint64_t scratch_bytes, lort_hasher *hasher,
                          lort_error *err);

/* Full mode: reads every file into memory from alloc. Views then point there. */
lort_code lort_model_load(lort_model *model, const lort_alloc *alloc, lort_pool *pool,
                          lort_error *err);
uint64_t lort_model_load_bytes(const lort_model *model); /* what lort_model_load takes from alloc */
/* Stream mode: least and most bytes of a range that LoRT reads ahead. */
#define LORT_AHEAD_LEAST ((uint64_t)32 << 20)
#define LORT_AHEAD_MOST ((uint64_t)64 << 20)
/* Sets the most bytes to read ahead, instead of LORT_AHEAD_MOST: what the page cache has room
 * for. */
void lort_model_ahead_limit(lort_model *model, uint64_t bytes);
/* Stream mode: asks a thread to read [offset, offset + n), which LoRT works on next, and more
 * behind it if n is small. Advice only: it cannot fail. Threads: one thread asks. */
void lort_model_prefetch(lort_model *model, uint32_t file, uint64_t offset, uint64_t n);
/* Stream mode: drops the pages of [offset, offset + n), which LoRT has finished. Advice only. */
void lort_model_release(lort_model *model, uint32_t file, uint64_t offset, uint64_t n);

#endif
