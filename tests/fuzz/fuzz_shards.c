/* Fuzz target: index.json. Names are plain, every tensor occurs once, files are sorted, and
 * total_size is rewritten in place. */
#include "formats/base/plain_name.h"
#include "formats/inputs/shards.h"
#include "fuzz_header.h"

static void check_list(const lort_shard_list *list)
{
    CHECK(list->entry_count > 0 && list->file_count > 0);
    for (uint32_t i = 0; i < list->file_count; i++) {
        CHECK(lort_plain_name(list->files[i], strlen(list->files[i]), NULL) == LORT_OK);
        CHECK(i == 0 || strcmp(list->files[i - 1], list->files[i]) < 0);
    }
    for (uint64_t i = 0; i < list->entry_count; i++) {
        const lort_shard_entry *e = &list->entries[i];
        CHECK(e->file < list->file_count && e->tensor[e->tensor_bytes] == 0);
        for (uint64_t k = 0; k < i && k < 100; k++)
            CHECK(e->tensor_bytes != e[-1 - (int64_t)k].tensor_bytes ||
                  memcmp(e->tensor, e[-1 - (int64_t)k].tensor, e->tensor_bytes));
    }
}

static void check_total(const lort_shard_list *list, const uint8_t *data, uint64_t size,
                        uint64_t total)
{
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_shard_list again;
    CHECK(lort_shards_rewrite(list, data, size, total, &out, NULL) == LORT_OK);
    CHECK(lort_shards_parse(out.data, out.size, &lort_alloc_heap, &again, NULL) == LORT_OK);
    CHECK(again.has_total == list->has_total && again.total_size == (list->has_total ? total : 0));
    CHECK(again.entry_count == list->entry_count && again.file_count == list->file_count);
    lort_shards_free(&again);
    lort_buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    allocations l = {0};
    lort_alloc alloc = {ledger_take, ledger_give, &l};
    lort_error err = {0};
    lort_shard_list list;
    lort_shards_bid(data, size);
    lort_shards_bid_whole(data, size);
    lort_code code = lort_shards_parse(data, size, &alloc, &list, &err);
    CHECK(l.peak <= (1u << 20) + 64 * (uint64_t)size);
    if (code) {
        check_failed(code, &err, &l);
        return 0;
    }
    check_list(&list);
    check_total(&list, data, size, 0);
    check_total(&list, data, size, UINT64_MAX);
    lort_shards_free(&list);
    CHECK(l.blocks == 0 && l.out == 0);
    return 0;
}
