/* numbered: names of numbered shards, such as "model-00001-of-00003.safetensors". The digits may be
 * of any number, and a variant may stand before the ending (".fp16.safetensors"). GGUF names have
 * the five digits of llama.cpp. This code opens no file. */
#ifndef LORT_FORMATS_INPUTS_NUMBERED_H
#define LORT_FORMATS_INPUTS_NUMBERED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LORT_NUMBERED_MOST 99999u /* shards of a set */

typedef struct lort_numbered {
    uint32_t prefix_bytes; /* bytes before the number */
    uint32_t digits;       /* of the number */
    uint32_t number, count;
} lort_numbered;

/* Reads a name. Returns false if it is not the name of a numbered shard of safetensors or GGUF.
 * Some writers number from 0, so *out may have the number 0. */
bool lort_numbered_parse(const char *name, lort_numbered *out);
/* What follows the number. Shards of one set have equal rests and equal prefixes. */
const char *lort_numbered_rest(const char *name, const lort_numbered *form);
/* Writes to `out` the name of shard `number` of the set to which `name` belongs. */
void lort_numbered_make(const char *name, const lort_numbered *form, uint32_t number, char *out,
                        size_t cap);

#endif
