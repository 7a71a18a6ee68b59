/* input: a model or a container, and its tensors, behind one interface. LoRT tells the two apart by
 * the contents of the file. */
#ifndef LORT_COMPRESS_READ_INPUT_H
#define LORT_COMPRESS_READ_INPUT_H

#include "compress/read/encoding.h"
#include "compress/read/named.h"
#include "loader/model/model.h"

typedef struct lort_input {
    lort_model *model;       /* NULL: a container */
    lort_archive *archive;   /* NULL: a model */
    const lort_index *index; /* the tensors; of a container: lort_archive_names */
    lort_named named;        /* how it was found */
} lort_input;

/* Opens a model or a container by its path or name. warn and stop may be NULL; ctx goes to both.
 * stop: see lort_archive_open_until. On failure: the codes of lort_named_find, lort_model_open and
 * lort_archive_open_until. On failure *out is zero. */
lort_code lort_input_open(const char *path, const lort_alloc *alloc, lort_warn_fn *warn,
                          bool (*stop)(void *ctx), void *ctx, lort_input *out, lort_error *err);
/* The same, with options for a model. options->offline: as lort_named_find. */
lort_code lort_input_open_as(const char *path, const lort_model_options *options,
                             const lort_alloc *alloc, lort_warn_fn *warn, bool (*stop)(void *ctx),
                             void *ctx, lort_input *out, lort_error *err);
void lort_input_close(lort_input *input); /* accepts a zeroed one */
/* LORT_E_READ if any file changed since it was opened, or could not be read. */
lort_code lort_input_unchanged(const lort_input *input, lort_error *err);

/* Of a model from the network: LORT_E_READ if its bytes are not those that the server promised. May
 * fetch what was not read in order. */
lort_code lort_input_proven(const lort_input *input, lort_error *err);
/* The same without fetching: returns the number of files of which nobody knows. */
uint32_t lort_input_unproven(const lort_input *input);

/* Refuses a resumable output that is a file of the input or its importance matrix, by whatever
 * name. Its partial output and its journal are written too, so they are checked as well. imatrix:
 * may be NULL. On failure: LORT_E_USAGE or LORT_E_MEMORY. */
lort_code lort_input_refuse(const lort_input *input, const char *imatrix, const char *output,
                            const lort_alloc *alloc, lort_error *err);

/* The number of weight files. Those of a container are the files that it restores. */
uint32_t lort_input_weight_files(const lort_input *input);
/* Copies the first bytes of a weight file in front of its first tensor, buffer_bytes at most.
 * file: 0 .. lort_input_weight_files - 1. *bytes: all bytes in front of the first tensor.
 * Uses the codec and the buffers of scratch for a container.
 * On failure: LORT_E_READ, LORT_E_DAMAGED or LORT_E_MEMORY. */
lort_code lort_input_header(const lort_input *input, uint32_t file, const lort_scratch *scratch,
                            void *buffer, uint64_t buffer_bytes, uint64_t *bytes, lort_error *err);

/* One tensor of an input. */
typedef struct lort_entry {
    const lort_input *input;
    /* Name, type, dims and bytes of the original. file and offset hold for a model only. */
    const lort_tensor *tensor;
    const lort_part *part; /* of a container; NULL: a model */
} lort_entry;

/* Tensor `number` of the index. */
lort_entry lort_input_entry(const lort_input *input, uint64_t number);
/* Finds a tensor by name; false, and *out unchanged, if there is none. */
bool lort_input_find(const lort_input *input, const char *name, uint64_t name_bytes,
                     lort_entry *out);
/* True if the tensor can be decoded to f32: its types have decoders. */
bool lort_entry_decodes(const lort_entry *entry);
/* Decodes elements [first, first + count) of a tensor of a model to dst. Both are whole blocks of
 * the type. Uses scratch->bytes if the file is not mapped. */
lort_code lort_entry_elements(const lort_entry *entry, uint64_t first, uint64_t count,
                              const lort_scratch *scratch, float *dst, lort_error *err);
/* Hands the original bytes to sink, in order. The tensor is of a model, or a part that is kept
 * whole (lort_part_is_raw). */
lort_code lort_entry_bytes(const lort_entry *entry, const lort_scratch *scratch, lort_sink_fn *sink,
                           void *ctx, lort_error *err);
/* Checks the reads so far: LORT_E_READ if a read of the model's file failed. Costs nothing, but
 * does not see a file that shrank within a page. LORT_OK for a container: its chunks are checked as
 * they are read. */
lort_code lort_entry_check(const lort_entry *entry, lort_error *err);
/* Checks at the end: as lort_entry_check, and LORT_E_READ if the model's file has changed. */
lort_code lort_entry_unchanged(const lort_entry *entry, lort_error *err);
/* Releases the pages of the tensor. */
void lort_entry_release(const lort_entry *entry);

#endif
