/* input: a model or a container, told by content, and its tensors behind one interface: for whoever
 * reads weights and does not care which of the two holds them. */
#ifndef LORT_COMPRESS_READ_INPUT_H
#define LORT_COMPRESS_READ_INPUT_H

#include "compress/read/encoding.h"
#include "loader/model/model.h"

typedef struct lort_input {
    lort_model *model;       /* or NULL */
    lort_archive *archive;   /* or NULL */
    const lort_index *index; /* tensors in order, and by name; of a container: lort_archive_names */
} lort_input;

/* LORT_E_USAGE, LORT_E_INPUT, LORT_E_READ, LORT_E_DAMAGED as lort_model_open and lort_archive_open
 * give them; warn may be NULL. */
lort_code lort_input_open(const char *path, const lort_alloc *alloc, lort_warn_fn *warn,
                          void *warn_ctx, lort_input *out, lort_error *err);
void lort_input_close(lort_input *input); /* accepts zeroed */
/* The same of all files, as lort_entry_unchanged has it of one. */
lort_code lort_input_unchanged(const lort_input *input, lort_error *err);

/* One tensor. */
typedef struct lort_entry {
    const lort_input *input;
    /* name, type, dims, bytes of the original; file and offset of a model only */
    const lort_tensor *tensor;
    const lort_part *part; /* of a container, else NULL */
} lort_entry;

lort_entry lort_input_entry(const lort_input *input, uint64_t number);
bool lort_input_find(const lort_input *input, const char *name, uint64_t name_bytes,
                     lort_entry *out);
/* True if it comes as rows of f32: its types have decoders. */
bool lort_entry_decodes(const lort_entry *entry);
/* Elements [first, first + count) of a model's tensor that decodes, both whole blocks.
 * scratch->bytes is used where the file is not mapped. */
lort_code lort_entry_elements(const lort_entry *entry, uint64_t first, uint64_t count,
                              const lort_scratch *scratch, float *dst, lort_error *err);
/* The original bytes in order: of a model, or of a part that is raw (lort_part_is_raw). */
lort_code lort_entry_bytes(const lort_entry *entry, const lort_scratch *scratch, lort_sink_fn *sink,
                           void *ctx, lort_error *err);
/* After something was read: LORT_E_READ if a read of the model's file has failed. Costs nothing,
 * and does not see what shrank within a page. */
lort_code lort_entry_check(const lort_entry *entry, lort_error *err);
/* At the end: the same, and LORT_E_READ if the file is not what it was. Both: a container's chunks
 * are checked as they are read. */
lort_code lort_entry_unchanged(const lort_entry *entry, lort_error *err);
void lort_entry_release(const lort_entry *entry); /* its pages */

#endif
