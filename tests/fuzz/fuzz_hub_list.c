/* Fuzz target: the Hub's JSON. Paths are plain and occur once, failures are failures of reading,
 * and memory is bounded by the text. */
#include "formats/base/plain_path.h"
#include "fuzz_header.h"
#include "loader/remote/hub_list.h"

static void check_misread(lort_code code, const lort_error *err)
{
    CHECK(code == LORT_E_READ && err->code == code && err->message[0]);
    CHECK(lort_utf8_valid(err->message, strlen(err->message)));
    for (const char *p = err->message; *p; p++)
        CHECK((uint8_t)*p >= 0x20);
}

static void check_list(const lort_hub_list *list)
{
    static const uint8_t zeros[32];
    for (uint32_t i = 0; i < list->count; i++) {
        const lort_remote_file *f = &list->files[i];
        CHECK(lort_plain_path(f->name, strlen(f->name), NULL) == LORT_OK);
        CHECK(i == 0 || strcmp(list->files[i - 1].name, f->name) < 0);
        CHECK(f->size < UINT64_MAX / 2 && strlen(f->etag) <= 64);
        CHECK(f->has_sha256 ? strlen(f->etag) == 64 : memcmp(f->sha256, zeros, 32) == 0);
    }
}

static void check_commit(const uint8_t *data, size_t size)
{
    char commit[LORT_COMMIT_DIGITS + 1];
    lort_error err = {0};
    const lort_code code = lort_hub_list_commit(data, size, commit, &err);
    if (code)
        check_misread(code, &err);
    CHECK(strlen(commit) == (code ? 0 : LORT_COMMIT_DIGITS));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    allocations l = {0};
    const lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_hub_list list = {.arena.alloc = &alloc};
    lort_error err = {0};
    check_commit(data, size);
    lort_code code = lort_hub_list_add(&list, data, size, &err);
    if (!code)
        code = lort_hub_list_sort(&list, &err);
    if (code)
        check_misread(code, &err);
    else
        check_list(&list);
    CHECK(l.peak <= (1u << 20) + 64 * (uint64_t)size);
    lort_hub_list_free(&list);
    CHECK(l.blocks == 0 && l.out == 0);
    return 0;
}
