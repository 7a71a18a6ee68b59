/* Fuzz target: GGUF headers. No crash, bounded memory. An accepted header keeps the promises of
 * formats/inputs/format.h. The new header that quantize makes of it is accepted too, and tells the
 * types, places and keys that were asked for. */
#include "formats/inputs/format.h"
#include "formats/outputs/gguf_new.h"
#include "fuzz_header.h"

static const lort_gguf_change changes[] = {
    {.key = "general.quantization_version", .action = LORT_GGUF_SET_U32, .u32 = 2},
    {.key = "general.file_type", .action = LORT_GGUF_SET_U32, .u32 = 7},
    {.key = "split.", .action = LORT_GGUF_DROP_PREFIX},
    {.key = "quantize.imatrix.file", .action = LORT_GGUF_SET_TEXT, .text = "a"}};
enum { CHANGES = sizeof changes / sizeof *changes };

/* All keys but those of splits, and each changed key once. */
static void check_keys(const lort_header *old, const lort_header *made)
{
    unsigned seen[CHANGES] = {0};
    uint64_t others = 0;
    for (uint64_t i = 0; i < made->kv_count; i++) {
        const lort_kv *kv = &made->kv[i];
        CHECK(strncmp(kv->key, "split.", 6) != 0);
        for (int c = 0; c < CHANGES; c++)
            if (strcmp(kv->key, changes[c].key) == 0) {
                CHECK(changes[c].action == LORT_GGUF_SET_TEXT || kv->v.u == changes[c].u32);
                seen[c]++;
            }
    }
    CHECK(seen[0] == 1 && seen[1] == 1 && seen[3] == 1);
    for (uint64_t i = 0; i < old->kv_count; i++)
        others += strncmp(old->kv[i].key, "split.", 6) != 0;
    CHECK(made->kv_count >= others && made->kv_count <= others + 3);
}

static void check_new(const lort_header *h, const uint8_t *data)
{
    const uint64_t n = h->index.count;
    const lort_gguf_origin origin = {h, data};
    const lort_tensor **tensors = calloc(n + 1, sizeof *tensors);
    const lort_dtype_info **types = calloc(n + 1, sizeof *types);
    uint64_t *offsets = calloc(n + 1, sizeof *offsets), size, wanted;
    lort_buffer out = {.alloc = &lort_alloc_heap};
    lort_header made;
    CHECK(tensors && types && offsets);
    for (uint64_t i = 0; i < n; i++) {
        const lort_tensor *t = &h->index.tensors[i];
        const bool divides = t->n_dims && t->dims[t->n_dims - 1] % 32 == 0;
        tensors[i] = t;
        types[i] =
            t->type->kind == LORT_KIND_FLOAT && divides ? lort_dtype_get(LORT_Q8_0) : t->type;
    }
    const lort_gguf_plan plan = {&origin, 1, changes, CHANGES, tensors, types, n};
    lort_code code = lort_gguf_make(&plan, &lort_alloc_heap, &out, offsets, &size, NULL);
    CHECK(code == LORT_OK);
    code = h->format->parse(out.data, out.size, size, &lort_alloc_heap, &made, &wanted, NULL);
    CHECK(code == LORT_OK && made.gaps == 0 && made.header_bytes == out.size && !made.split);
    check_header(&made, size);
    CHECK(made.index.count == n && made.alignment == h->alignment && made.version == 3);
    for (uint64_t i = 0; i < n; i++) {
        const lort_tensor *t =
            lort_index_find(&made.index, tensors[i]->name, tensors[i]->name_bytes);
        CHECK(t && t->type->id == types[i]->id && t->offset == offsets[i]);
    }
    check_keys(h, &made);
    lort_header_free(&made);
    lort_buffer_free(&out);
    free(tensors);
    free(types);
    free(offsets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lort_header h;
    uint64_t wanted;
    if (lort_format_gguf.parse(data, size, size, &lort_alloc_heap, &h, &wanted, NULL) == LORT_OK) {
        check_new(&h, data);
        lort_header_free(&h);
    }
    return fuzz_header(&lort_format_gguf, data, size);
}
