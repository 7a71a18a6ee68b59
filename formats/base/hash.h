/* hash: xxHash behind names of LoRT. Only hash.c includes <xxhash.h>. XXH64 guards stored bytes;
 * XXH3-128 identifies source bytes. */
#ifndef LORT_FORMATS_BASE_HASH_H
#define LORT_FORMATS_BASE_HASH_H

#include "formats/base/alloc.h"

typedef struct lort_hash128 {
    uint8_t bytes[16]; /* XXH128 canonical (big-endian) form */
} lort_hash128;

uint64_t lort_xxh64(const void *bytes, uint64_t n);      /* seed 0 */
uint64_t lort_xxh3_64(const void *bytes, uint64_t n);    /* seed 0 */
lort_hash128 lort_xxh128(const void *bytes, uint64_t n); /* XXH3-128, seed 0 */

/* XXH3-128 of bytes that come piece by piece. On failure: LORT_E_MEMORY. */
typedef struct lort_hasher lort_hasher;
lort_code lort_hasher_open(const lort_alloc *alloc, lort_hasher **out, lort_error *err);
void lort_hasher_add(lort_hasher *hasher, const void *bytes, uint64_t n);
/* Makes *to hash what *from has hashed so far. */
void lort_hasher_copy(lort_hasher *to, const lort_hasher *from);
lort_hash128 lort_hasher_value(const lort_hasher *hasher);
void lort_hasher_close(lort_hasher *hasher); /* accepts NULL */

/* The version of the xxHash library in use: major * 10000 + minor * 100 + release. */
unsigned lort_hash_version(void);

/* A 64-bit hash of a name (XXH3, seed 0), equal on every machine. It keys the random numbers and
 * the index of tensors. */
uint64_t lort_name_hash(const char *name, uint64_t name_bytes);
#endif
