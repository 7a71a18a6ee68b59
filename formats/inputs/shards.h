/* shards: which files belong to one model. Hugging Face index.json (untrusted JSON: names are plain
 * file names or refused), and llama.cpp's split names "PREFIX-00001-of-00003.gguf". */
#ifndef LORT_FORMATS_INPUTS_SHARDS_H
#define LORT_FORMATS_INPUTS_SHARDS_H

#include "formats/types/tensor.h"

typedef struct lort_shard_entry {
    const char *tensor;
    uint32_t tensor_bytes;
    uint32_t file; /* into files[] */
} lort_shard_entry;

typedef struct lort_shard_list {
    const char **files; /* plain file names, in order of first mention sorted by name */
    uint32_t file_count;
    lort_shard_entry *entries;
    uint64_t entry_count;
    bool has_total;
    uint64_t total_size; /* metadata.total_size: tensor bytes */
    /* where that number stands in the JSON text, to rewrite it */
    uint64_t total_at, total_text_bytes;
    lort_arena arena;
} lort_shard_list;

/* Looks like an index.json: a JSON object with a "weight_map" key near the front or anywhere in the
 * first n bytes. */
bool lort_shards_bid(const uint8_t *head, uint64_t n);
lort_code lort_shards_parse(const uint8_t *data, uint64_t size, const lort_alloc *alloc,
                            lort_shard_list *out, lort_error *err);
void lort_shards_free(lort_shard_list *list);
/* The same JSON text with another total_size (unchanged if it had none). */
lort_code lort_shards_rewrite(const lort_shard_list *list, const uint8_t *data, uint64_t size,
                              uint64_t total_size, lort_buffer *out, lort_error *err);

/* "PREFIX-%05d-of-%05d.gguf": false if `name` is not of that form. number is 1-based as in the
 * name. */
bool lort_split_name_parse(const char *name, uint32_t *prefix_bytes, uint32_t *number,
                           uint32_t *count);
/* Writes the name of shard `number` (1-based) that belongs to `name`. */
void lort_split_name_make(const char *name, uint32_t prefix_bytes, uint32_t number, uint32_t count,
                          char *out, size_t cap);

#endif
