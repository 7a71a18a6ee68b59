/* sha256: see sha256.h. Nettle's state is made for each call, so LoRT's own has no private part. */
#include "formats/base/sha256.h"
#include <nettle/sha2.h>
#include <nettle/version.h>
#include <string.h>

#define BLOCK 64u

/* Nettle counts whole blocks. It keeps the bytes of the last one apart. */
static void to_nettle(const lort_sha256 *hash, struct sha256_ctx *state)
{
    memset(state, 0, sizeof *state);
    memcpy(state->state, hash->state, sizeof hash->state);
    state->count = hash->bytes / BLOCK;
    state->index = (unsigned)(hash->bytes % BLOCK);
    memcpy(state->block, hash->rest, state->index);
}

static void from_nettle(const struct sha256_ctx *state, lort_sha256 *hash)
{
    memset(hash, 0, sizeof *hash);
    memcpy(hash->state, state->state, sizeof hash->state);
    hash->bytes = state->count * BLOCK + state->index;
    memcpy(hash->rest, state->block, state->index);
}

void lort_sha256_start(lort_sha256 *hash)
{
    struct sha256_ctx state;
    memset(&state, 0, sizeof state);
    sha256_init(&state);
    from_nettle(&state, hash);
}

void lort_sha256_add(lort_sha256 *hash, const void *bytes, uint64_t n)
{
    struct sha256_ctx state;
    if (n == 0)
        return;
    to_nettle(hash, &state);
    sha256_update(&state, (size_t)n, bytes);
    from_nettle(&state, hash);
}

void lort_sha256_value(const lort_sha256 *hash, uint8_t value[32])
{
    struct sha256_ctx state;
    to_nettle(hash, &state);
#if NETTLE_VERSION_MAJOR >= 4 /* the argument of the length went away */
    sha256_digest(&state, value);
#else
    sha256_digest(&state, SHA256_DIGEST_SIZE, value);
#endif
}

void lort_sha256_text(const uint8_t value[32], char text[65])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) {
        text[2 * i] = digits[value[i] >> 4];
        text[2 * i + 1] = digits[value[i] & 15];
    }
    text[64] = '\0';
}
