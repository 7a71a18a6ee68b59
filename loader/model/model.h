/* model: the set of input files behind one MODEL argument, with one index over all tensors and a
 * list of extents that tiles every file. After open everything in it is validated; only reads can
 * still fail (LORT_E_READ). */
#ifndef LORT_LOADER_MODEL_MODEL_H
#define LORT_LOADER_MODEL_MODEL_H

#include "formats/container/container.h"
#include "formats/inputs/format.h"
#include "loader/machine/pool.h"
#include "loader/os/os.h"

#define LORT_SIDE_FILE_MAX (64u << 20) /* larger side files are left out, with a warning */

typedef struct lort_model_file {
    const char *name; /* plain base name */
    lort_role role;
    uint64_t size;
    int64_t mtime_ns;
    lort_header header; /* WEIGHTS only */
} lort_model_file;

typedef struct lort_model lort_model;

/* Warnings are handed to warn() (may be NULL) as one escaped line each. */
typedef void lort_warn_fn(void *ctx, const char *text);

/* path: a .gguf, any shard of a split, a .safetensors, an index.json or a directory; told by
 * content. LORT_E_USAGE if a directory holds several models, LORT_E_INPUT if a file is malformed.
 */
lort_code lort_model_open(const char *path, const lort_alloc *alloc, lort_warn_fn *warn,
                          void *warn_ctx, lort_model **out, lort_error *err);
void lort_model_close(lort_model *model); /* accepts NULL */

const char *lort_model_format(const lort_model *model); /* "gguf" | "safetensors" */
bool lort_model_directory(const lort_model *model);     /* is restored as a directory */
uint64_t lort_model_bytes(const lort_model *model);     /* of all files */
uint32_t lort_model_mode_bits(const lort_model *model); /* permissions common to all files */
uint32_t lort_model_file_count(const lort_model *model);
const lort_model_file *lort_model_get_file(const lort_model *model, uint32_t file);
/* all tensors; tensor->file and offset say where */
const lort_index *lort_model_index(const lort_model *model);

/* Extents in file order, then offset order; tensor_of[i] = index of extent i's tensor, or
 * UINT64_MAX for raw ones. */
const lort_extent *lort_model_extents(const lort_model *model, uint64_t *count);
uint64_t lort_model_extent_tensor(const lort_model *model, uint64_t extent);

/* True if device and inode are those of one of the model's files (an output must not be). */
bool lort_model_owns(const lort_model *model, const lort_file_info *info);
/* True if some file could not be mapped: views then need their scratch. */
bool lort_model_unmapped(const lort_model *model);

/* n bytes at `offset` of a file: a view into memory, or read into scratch (n bytes; may be NULL
 * when nothing is unmapped). */
lort_code lort_model_view(lort_model *model, uint32_t file, uint64_t offset, uint64_t n,
                          void *scratch, const uint8_t **out, lort_error *err);
/* After results were computed from views: LORT_E_READ if the file shrank or could not be read under
 * them. */
lort_code lort_model_check(lort_model *model, uint32_t file, lort_error *err);
/* LORT_E_READ if size, time or identity of any file differs from what open saw, it is gone, or
 * lort_model_check finds fault with it. */
lort_code lort_model_unchanged(lort_model *model, lort_error *err);
lort_code lort_model_file_unchanged(lort_model *model, uint32_t file, lort_error *err); /* of one */

/* Asked between pieces of a load and of a hash; true: LORT_E_STOPPED. Any thread asks. */
void lort_model_stop_when(lort_model *model, bool (*stop)(void *ctx), void *ctx);
/* Adds n bytes at `offset` of a file to the hash, in views of scratch_bytes at most. */
lort_code lort_model_hash(lort_model *model, uint32_t file, uint64_t offset, uint64_t n,
                          void *scratch, uint64_t scratch_bytes, lort_hasher *hasher,
                          lort_error *err);

/* Full mode: reads every file into memory from alloc; views then point there. */
lort_code lort_model_load(lort_model *model, const lort_alloc *alloc, lort_pool *pool,
                          lort_error *err);
uint64_t lort_model_load_bytes(const lort_model *model); /* what that takes from alloc */
/* Stream mode: the range is what will be worked on next: a thread reads it, and of what follows as
 * much as is worth reading ahead. And dropping pages behind. Advice only; one thread asks. */
#define LORT_AHEAD_LEAST ((uint64_t)32 << 20)
#define LORT_AHEAD_MOST ((uint64_t)64 << 20)
/* instead of LORT_AHEAD_MOST: what the page cache has room for */
void lort_model_ahead_limit(lort_model *model, uint64_t bytes);
void lort_model_prefetch(lort_model *model, uint32_t file, uint64_t offset, uint64_t n);
void lort_model_release(lort_model *model, uint32_t file, uint64_t offset, uint64_t n);

#endif
