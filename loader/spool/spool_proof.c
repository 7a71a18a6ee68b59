/* spool_proof: SHA-256 of the files, in file order, over the bytes that the work read. So a wrong
 * bit is found before a file counts, and no byte is fetched twice for it. The state of the hash is
 * plain words, which a journal holds for a later run. */
#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include "loader/spool/spool_parts.h"
#include <string.h>

#define STATE_BYTES (8 * 4 + 8 + 64)

/* A view into memory, or the buffer with the bytes. */
static lort_code view(lort_spool *spool, lort_spool_file *file, uint64_t at, uint64_t n,
                      const uint8_t **out, lort_error *err)
{
    void *memory = spool->buffer;
    if (file->loaded && at >= file->loaded_from) {
        *out = file->loaded + (at - file->loaded_from);
        return LORT_OK;
    }
    lort_code code =
        memory ? LORT_OK : lort_take(spool->alloc, LORT_SPOOL_PROOF, "a proof", &memory, err);
    if (code)
        return code;
    *out = spool->buffer = memory;
    return lort_spool_read(spool, file, memory, n, at, err);
}

static void put_state(const lort_sha256 *proof, lort_buffer *out)
{
    for (unsigned i = 0; i < 8; i++)
        lort_put_u32(out, proof->state[i]);
    lort_put_u64(out, proof->bytes);
    lort_put_bytes(out, proof->rest, sizeof proof->rest);
}

static lort_code judge(const lort_spool *spool, lort_spool_file *file, lort_error *err)
{
    const lort_remote_file *remote = lort_remote_get(spool->remote, file->number);
    uint8_t value[32];
    char found[65], promised[65], shown[300];
    lort_sha256_value(&file->proof, value);
    file->proved = !remote->has_sha256 || memcmp(value, remote->sha256, sizeof value) == 0;
    if (file->proved)
        return LORT_OK;
    lort_sha256_text(value, found);
    lort_sha256_text(remote->sha256, promised);
    return lort_fail(err, LORT_E_READ,
                     "%s: the bytes that came are not those that the server promised (SHA-256 "
                     "%.16s..., promised %.16s...); run the command again",
                     lort_escape_text(shown, sizeof shown, file->path), found, promised);
}

/* Bytes that come once more for the proof alone leave again. */
static void leave(lort_spool *spool, lort_spool_file *file, uint64_t at, uint64_t n)
{
    bool flight;
    lort_os_lock_mutex(spool->mutex);
    if (file->units && !spool->keep &&
        lort_spool_here(file, at / LORT_SPOOL_PAGE, (at + n) / LORT_SPOOL_PAGE, &flight))
        lort_spool_free_pages(spool, file, at / LORT_SPOOL_PAGE, (at + n) / LORT_SPOOL_PAGE);
    lort_os_unlock_mutex(spool->mutex);
}

static bool is_here(lort_spool *spool, const lort_spool_file *file, uint64_t at, uint64_t n)
{
    bool flight;
    lort_os_lock_mutex(spool->mutex);
    const bool here =
        (file->loaded && at >= file->loaded_from) ||
        (file->units && lort_spool_here(file, at / LORT_SPOOL_PAGE,
                                        (at + n + LORT_SPOOL_PAGE - 1) / LORT_SPOOL_PAGE, &flight));
    lort_os_unlock_mutex(spool->mutex);
    return here;
}

lort_code lort_spool_prove(lort_spool *spool, lort_spool_file *file, uint64_t end,
                           lort_buffer *state, lort_error *err)
{
    const uint64_t wanted = end < file->size ? end : file->size;
    lort_code code = LORT_OK;
    for (uint64_t n; !file->proved && file->proof.bytes < wanted && code == LORT_OK;) {
        const uint64_t at = file->proof.bytes,
                       most = file->loaded && at < file->loaded_from && file->loaded_from < wanted
                                  ? file->loaded_from - at
                                  : wanted - at;
        const uint8_t *bytes;
        n = most < LORT_SPOOL_PROOF ? most : LORT_SPOOL_PROOF;
        const bool here = is_here(spool, file, at, n);
        code = view(spool, file, at, n, &bytes, err);
        if (code == LORT_OK)
            lort_sha256_add(&file->proof, bytes, n);
        if (!here)
            leave(spool, file, at, n);
    }
    if (code == LORT_OK && !file->proved && file->proof.bytes == file->size)
        code = judge(spool, file, err);
    if (code == LORT_OK && state && file->proof.bytes == wanted)
        put_state(&file->proof, state);
    return code;
}

void lort_spool_proved(lort_spool_file *file, uint64_t end, const uint8_t *state, uint64_t bytes)
{
    lort_sha256 proof = {.bytes = 0};
    if (bytes == 0)
        file->proved = true;
    if (bytes != STATE_BYTES)
        return;
    for (unsigned i = 0; i < 8; i++)
        proof.state[i] = lort_load_u32(state + 4 * (uint64_t)i);
    proof.bytes = lort_load_u64(state + 32);
    memcpy(proof.rest, state + 40, sizeof proof.rest);
    if (proof.bytes <= end && proof.bytes > file->proof.bytes)
        file->proof = proof;
}
