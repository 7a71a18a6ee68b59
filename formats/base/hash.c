/* hash: see hash.h. */
#include "formats/base/hash.h"
#include <string.h>
#include <xxhash.h>

uint64_t lort_xxh64(const void *bytes, uint64_t n) { return XXH64(bytes, (size_t)n, 0); }

static lort_hash128 to_canonical(XXH128_hash_t value)
{
    XXH128_canonical_t form;
    lort_hash128 out;
    XXH128_canonicalFromHash(&form, value);
    memcpy(out.bytes, form.digest, sizeof out.bytes);
    return out;
}

lort_hash128 lort_xxh128(const void *bytes, uint64_t n)
{
    return to_canonical(XXH3_128bits(bytes, (size_t)n));
}

struct lort_hasher {
    const lort_alloc *alloc;
    XXH3_state_t *state; /* xxHash allocates it with the 64-byte alignment it needs */
};

lort_code lort_hasher_open(const lort_alloc *alloc, lort_hasher **out, lort_error *err)
{
    void *memory;
    *out = NULL;
    lort_code code = lort_take(alloc, sizeof **out, "a hash state", &memory, err);
    if (code)
        return code;
    lort_hasher *hasher = memory;
    *hasher = (lort_hasher){alloc, XXH3_createState()};
    if (!hasher->state) {
        lort_give(alloc, hasher, sizeof *hasher);
        return lort_fail(err, LORT_E_MEMORY, "not enough memory for a hash state");
    }
    XXH3_128bits_reset(hasher->state);
    *out = hasher;
    return LORT_OK;
}

/* This function uses the vector instructions that the processor has. It is four times as fast and
 * gives equal hashes. xxHash has it on x86 only, and not in every build; elsewhere it is NULL. */
extern XXH_errorcode XXH3_128bits_update_dispatch(XXH3_state_t *state, const void *bytes, size_t n)
    __attribute__((weak));

void lort_hasher_add(lort_hasher *hasher, const void *bytes, uint64_t n)
{
    (XXH3_128bits_update_dispatch ? XXH3_128bits_update_dispatch
                                  : XXH3_128bits_update)(hasher->state, bytes, (size_t)n);
}

void lort_hasher_copy(lort_hasher *to, const lort_hasher *from)
{
    XXH3_copyState(to->state, from->state);
}

lort_hash128 lort_hasher_value(const lort_hasher *hasher)
{
    return to_canonical(XXH3_128bits_digest(hasher->state));
}

void lort_hasher_close(lort_hasher *hasher)
{
    if (!hasher)
        return;
    XXH3_freeState(hasher->state);
    lort_give(hasher->alloc, hasher, sizeof *hasher);
}

uint64_t lort_xxh3_64(const void *bytes, uint64_t n) { return XXH3_64bits(bytes, (size_t)n); }

unsigned lort_hash_version(void) { return XXH_versionNumber(); }

uint64_t lort_name_hash(const char *name, uint64_t name_bytes)
{
    return lort_xxh3_64(name, name_bytes);
}
