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
    /* What tells the contents of a file that has none of these four: of a supply. NULL: on a disk
     */
    const char *identity;
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
    /* For callers that take a name (compress/read/named.h); a path needs none of these. offline:
     * touch no network. spool, beside, spool_keep, stop: as in loader/spool/spool.h. */
    bool offline, spool_keep;
    const char *spool, *beside;
    bool (*stop)(void *ctx);
    void *stop_ctx;
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

/* What a supply did and may do, for reports. Texts belong to the supply. */
typedef struct lort_supply_figures {
    const char *label, *commit; /* such as "hf://ORG/NAME@COMMIT"; commit: "" if there is none */
    const char *place;          /* the directory of the spool */
    uint64_t fetched, requests; /* bytes and requests so far */
    uint64_t spool_most;        /* most bytes in the spool so far */
    uint64_t spool_plan;        /* most bytes that it will hold; 0: nobody knows yet */
    uint32_t unproved;          /* files that were read and not proved to their ends */
} lort_supply_figures;

/* Brings the bytes of a source's files, such as from a network. Files have numbers.
 * Threads: any number of threads may call read, ahead and release; one calls the others. */
typedef struct lort_model_supply {
    /* Finds a file of the list. *identity: what tells its contents. */
    lort_code (*find)(void *ctx, const char *name, uint32_t *file, const char **identity,
                      lort_error *err);
    /* Waits for n bytes at `offset` and copies them. */
    lort_code (*read)(void *ctx, uint32_t file, void *buffer, uint64_t n, uint64_t offset,
                      lort_error *err);
    /* Fills memory with the bytes of the file from `from` to its end. The supply may read the
     * memory until it closes. */
    lort_code (*load)(void *ctx, uint32_t file, uint64_t from, uint8_t *memory, lort_error *err);
    /* Advice: the bytes will be read next; the bytes have been used. */
    void (*ahead)(void *ctx, uint32_t file, uint64_t offset, uint64_t n);
    void (*release)(void *ctx, uint32_t file, uint64_t offset, uint64_t n);
    /* Proves the bytes up to `end`, which follow those that were proved before. Bytes that are
     * there no more are fetched once more. At the end of a file: LORT_E_READ if the contents are
     * others than promised. state: what tells how far the proof is, for a later run; may be NULL.
     */
    lort_code (*prove)(void *ctx, uint32_t file, uint64_t end, lort_buffer *state, lort_error *err);
    /* Goes on from such a state, if it proves at most `end` bytes. Else does nothing. An empty
     * state: an earlier run proved the whole file. */
    void (*proved)(void *ctx, uint32_t file, uint64_t end, const uint8_t *state, uint64_t bytes);
    /* The work begins: at most `work` bytes are read and not released at a time. Fails with
     * LORT_E_WRITE if they have no room. bytes: of all files. full: they are loaded. */
    lort_code (*begin)(void *ctx, uint64_t work, uint64_t bytes, bool full, lort_error *err);
    void (*tell)(void *ctx, lort_supply_figures *out);
    void (*close)(void *ctx);
} lort_model_supply;

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
    /* Of files of which views are wanted. The list then goes level by level, and each folder by
     * name, as a walk through a directory does. NULL: only headers are read. */
    const lort_model_supply *supply;
} lort_model_source;

/* Opens the model of a source by the rules of lort_model_open, without a file. Side files are not
 * added, and no weights are left out. directory: the files are a directory, and name is its
 * index.json, or NULL; else name is the file by which to open. The model answers
 * questions about its files, tensors and extents, and lort_model_head. It gives no views.
 * Owner: the caller, who closes *out. On failure: as lort_model_open. */
lort_code lort_model_open_source(const lort_model_source *source, const char *name, bool directory,
                                 const lort_alloc *alloc, lort_model **out, lort_error *err);
/* Opens the model of a source with a supply, as lort_model_open_as opens files on a disk. name: a
 * file of the source; NULL: the source is a directory. label: stands for the path in messages.
 * Owner: the caller, who closes *out. Closing the model closes the supply, and so does a failure.
 * On failure: as lort_model_open_as. */
lort_code lort_model_open_supplied(const lort_model_source *source, const char *name,
                                   const char *label, const lort_model_options *options,
                                   const lort_alloc *alloc, lort_warn_fn *warn, void *warn_ctx,
                                   lort_model **out, lort_error *err);
/* True if the bytes come from a supply. */
bool lort_model_is_supplied(const lort_model *model);
/* Fills *out with zeros and "" if there is no supply. */
void lort_model_figures(const lort_model *model, lort_supply_figures *out);
/* The three do nothing and succeed if there is no supply; see lort_model_supply. */
lort_code lort_model_begin(lort_model *model, uint64_t work, bool full, lort_error *err);
lort_code lort_model_prove(lort_model *model, uint32_t file, uint64_t end, lort_buffer *state,
                           lort_error *err);
void lort_model_proved(lort_model *model, uint32_t file, uint64_t end, const uint8_t *state,
                       uint64_t bytes);
/* Proves all files to their ends. */
lort_code lort_model_prove_all(lort_model *model, lort_error *err);
/* Full mode: an earlier run finished the extents before this one. A later load need not bring the
 * bytes of a supply. */
void lort_model_need_from(lort_model *model, uint64_t extent);
/* Full mode: only extents [first, end) are wanted. Call it before lort_model_load_bytes. */
void lort_model_need_run(lort_model *model, uint64_t first, uint64_t end);
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
/* While `scattered` is true, the system reads no more of a mapped file than the pages that LoRT
 * touches. Else a page here and there would bring a read-ahead each, which may be megabytes. */
void lort_model_scattered(lort_model *model, bool scattered);
/* Stream mode: drops the pages of [offset, offset + n), which LoRT has finished. Advice only. */
void lort_model_release(lort_model *model, uint32_t file, uint64_t offset, uint64_t n);

#endif
