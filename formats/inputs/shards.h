/* shards: reads the index.json of Hugging Face, which lists the shards of a model. The JSON is
 * untrusted: its names must be plain file names. */
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
    bool has_total;      /* as a number, or as a text of one */
    bool odd_total;      /* total_size is no whole number, or stands twice */
    uint64_t total_size; /* metadata.total_size: bytes of all tensors */
    /* The place of the digits in the file, so that LoRT can rewrite them. */
    uint64_t total_at, total_text_bytes;
    lort_arena arena;
} lort_shard_list;

/* True if the first n bytes could begin an index.json: a JSON object, behind white space or a byte
 * order mark. */
bool lort_shards_may_be(const uint8_t *head, uint64_t n);
/* True if they look like one: a "weight_map" key stands somewhere in them. */
bool lort_shards_bid(const uint8_t *head, uint64_t n);
/* The same for a whole file, whose object has the key weight_map itself. False where a fault of the
 * JSON comes first. */
bool lort_shards_bid_whole(const uint8_t *data, uint64_t size);
/* Parses an index.json of `size` bytes. data: not needed afterwards. On failure: LORT_E_INPUT or
 * LORT_E_MEMORY; *out is zero. */
lort_code lort_shards_parse(const uint8_t *data, uint64_t size, const lort_alloc *alloc,
                            lort_shard_list *out, lort_error *err);
/* Frees the list and sets it to zero. list: NULL is allowed. */
void lort_shards_free(lort_shard_list *list);
/* Appends the JSON text to *out with another total_size, which stays a text where it was one. A
 * file without has_total stays as it is. */
lort_code lort_shards_rewrite(const lort_shard_list *list, const uint8_t *data, uint64_t size,
                              uint64_t total_size, lort_buffer *out, lort_error *err);

#endif
