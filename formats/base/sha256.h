/* sha256: SHA-256 (FIPS 180-4) behind names of LoRT, from Nettle. Only sha256.c includes
 * <nettle/sha2.h>. The Hub and Ollama name large files by this hash. */
#ifndef LORT_FORMATS_BASE_SHA256_H
#define LORT_FORMATS_BASE_SHA256_H

#include <stdint.h>

/* The state after some bytes, in plain words that a journal can hold. Every value is a state: only
 * start makes the first one, and bytes % 64 says how much of rest counts. */
typedef struct lort_sha256 {
    uint32_t state[8];
    uint64_t bytes;   /* that were added */
    uint8_t rest[64]; /* the last bytes % 64 bytes; zeros behind them */
} lort_sha256;

void lort_sha256_start(lort_sha256 *hash);
/* Adds n bytes; n may be 0. Equal bytes give equal states, however they are split. */
void lort_sha256_add(lort_sha256 *hash, const void *bytes, uint64_t n);
/* The hash of the bytes so far. More may be added afterwards. */
void lort_sha256_value(const lort_sha256 *hash, uint8_t value[32]);
/* 64 hexadecimal digits in lower case and a NUL. */
void lort_sha256_text(const uint8_t value[32], char text[65]);

#endif
