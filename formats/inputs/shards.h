/* shards: finds which files belong to one model. Sources are the index.json of Hugging Face and the
 * split names of llama.cpp, "PREFIX-00001-of-00003.gguf". The JSON is untrusted: its names must be
 * plain file names. */
#ifndef LORT_FORMATS_INPUTS_SHARDS_H
#define LORT_FORMATS_INPUTS_SHARDS_H

#include "formats/types/tensor.h"

typedef struct lort_shard_entry {
    const char *tensor;
    uint32_t tensor_bytes;
    uint32_t file; /* index into files[] */
} lort_shard_entry;

typedef struct lort_shard_list {
    const char **files; /* plain file names, sorted by name */
    uint32_t file_count;
    lort_shard_entry *entries;
    uint64_t entry_count;
    bool has_total;
    uint64_t total_size; /* metadata.total_size: bytes of all tensors */
    /* The place of that number in the JSON text, so that LoRT can rewrite it. */
    uint64_t total_at, total_text_bytes;
    lort_arena arena;
} lort_shard_list;

/* True if the first n bytes look like an index.json: a JSON object with a "weight_map" key
 * somewhere in them. */
bool lort_shards_bid(const uint8_t *head, uint64_t n);
/* Parses an index.json of `size` bytes. data: not needed afterwards. On failure: LORT_E_INPUT or
 * LORT_E_MEMORY; *out is zero. */
lort_code lort_shards_parse(const uint8_t *data, uint64_t size, const lort_alloc *alloc,
                            lort_shard_list *out, lort_error *err);
/* Frees the list and sets it to zero. list: NULL is allowed. */
void lort_shards_free(lort_shard_list *list);
/* Appends the JSON text to *out with another total_size. A text without total_size stays as it
 * is. */
lort_code lort_shards_rewrite(const lort_shard_list *list, const uint8_t *data, uint64_t size,
                              uint64_t total_size, lort_buffer *out, lort_error *err);

/* Reads "PREFIX-%05d-of-%05d.gguf". Returns false if `name` does not have that form. *number: from
 * 1, as in the name. */
bool lort_split_name_parse(const char *name, uint32_t *prefix_bytes, uint32_t *number,
                           uint32_t *count);
/* Writes to `out` the name of shard `number` (from 1) of the model that has the shard `name`. */
void lort_split_name_make(const char *name, uint32_t prefix_bytes, uint32_t number, uint32_t count,
                          char *out, size_t cap);

#endif
