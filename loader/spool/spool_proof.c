/* spool_proof: SHA-256 of the files, in file order, over the bytes that the work read. So a wrong
 * bit is found before a file counts, and no byte is fetched twice for it. The state of the hash is
 * plain words, which a journal holds for a later run. */
#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include "loader/spool/spool_parts.h"
#include <string.h>

#define GAP_MOST LORT_SPOOL_UNIT /* between tensors: nobody reads padding but the proof */
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

static lort_code hash_to(lort_spool *spool, lort_spool_file *file, uint64_t end, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t n; !file->proved && file->proof.bytes < end && code == LORT_OK;) {
        const uint64_t at = file->proof.bytes,
                       most = file->loaded && at < file->loaded_from && file->loaded_from < end
                                  ? file->loaded_from - at
                                  : end - at;
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
    return code;
}

static bool has_hash(const lort_spool *spool, const lort_spool_file *file)
{
    return lort_remote_get(spool->remote, file->number)->has_sha256;
}

/* wait: for another thread that proves. Returns false if there is one. */
static bool take_turn(lort_spool *spool, bool wait)
{
    lort_os_lock_mutex(spool->mutex);
    while (spool->proving && wait)
        lort_os_wait(spool->changed, spool->mutex);
    const bool free = !spool->proving;
    spool->proving = true;
    lort_os_unlock_mutex(spool->mutex);
    return free;
}

static void end_turn(lort_spool *spool)
{
    lort_os_lock_mutex(spool->mutex);
    spool->proving = false;
    lort_os_wake_all(spool->changed);
    lort_os_unlock_mutex(spool->mutex);
}

/* An end before that of the proof begins another reading, which is proved anew. */
lort_code lort_spool_prove(lort_spool *spool, lort_spool_file *file, uint64_t end,
                           lort_buffer *state, lort_error *err)
{
    const uint64_t wanted = end < file->size ? end : file->size;
    if (!has_hash(spool, file))
        return LORT_OK;
    (void)take_turn(spool, true);
    if (wanted < file->proof.bytes) {
        lort_sha256_start(&file->proof);
        file->proved = false;
    }
    lort_code code = hash_to(spool, file, wanted, err);
    if (code == LORT_OK && state && file->proof.bytes == wanted)
        put_state(&file->proof, state);
    end_turn(spool);
    return code;
}

void lort_spool_prove_along(lort_spool *spool, lort_spool_file *file, uint64_t offset, uint64_t end)
{
    lort_error why = {0};
    if (!has_hash(spool, file) || !take_turn(spool, false))
        return;
    lort_code code = LORT_OK;
    if (offset <= file->proof.bytes + GAP_MOST && file->proof.bytes < end)
        code = hash_to(spool, file, end, &why);
    end_turn(spool);
    lort_os_lock_mutex(spool->mutex);
    if (code && !spool->failed.code)
        spool->failed = why;
    lort_os_unlock_mutex(spool->mutex);
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
