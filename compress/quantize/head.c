/* head: see head.h. */
#include "compress/quantize/head.h"
#include "formats/base/bytes.h"
#include "formats/base/plain_path.h"
#include "formats/inputs/header.h"
#include "loader/os/os.h"
#include <stdio.h>
#include <string.h>

enum { QUANTIZATION_VERSION = 2 };

/* ---- the headers of the input ---- */

static uint32_t file_count(const lort_quantizer *q)
{
    return q->input.archive ? lort_archive_model(q->input.archive)->file_count
                            : lort_model_file_count(q->input.model);
}

static bool holds_weights(const lort_quantizer *q, uint32_t file, const char **name)
{
    if (q->input.archive) {
        const lort_input_file *record = &lort_archive_model(q->input.archive)->files[file];
        *name = record->name;
        return record->role == LORT_ROLE_WEIGHTS;
    }
    const lort_model_file *own = lort_model_get_file(q->input.model, file);
    *name = own->name;
    return own->role == LORT_ROLE_WEIGHTS;
}

/* A header is copied: the pages of a mapped file may be dropped, and stream mode reads windows. */
static lort_code copy_header(lort_quantizer *q, uint32_t file, lort_gguf_origin *out,
                             lort_error *err)
{
    const uint8_t *view;
    void *memory;
    out->header = &lort_model_get_file(q->input.model, file)->header;
    lort_code code = lort_arena_take(&q->arena, out->header->header_bytes, &memory, err);
    if (code == LORT_OK)
        code =
            lort_model_view(q->input.model, file, 0, out->header->header_bytes, memory, &view, err);
    if (code == LORT_OK && view != memory)
        memcpy(memory, view, (size_t)out->header->header_bytes);
    out->data = memory;
    return code ? code : lort_model_check(q->input.model, file, err);
}

static lort_code open_header(lort_quantizer *q, uint32_t file, const char *name, lort_error *err)
{
    char shown[200];
    q->files[q->origin_count] = (lort_new_file){
        .name = name, .header.alloc = &lort_session_of(q)->alloc, .first = q->count};
    lort_gguf_origin *origin = &q->origins[q->origin_count++];
    lort_code code = LORT_OK;
    if (q->input.archive)
        origin->header = lort_headers_get(&q->headers, file, &origin->data);
    else
        code = copy_header(q, file, origin, err);
    if (code)
        return code;
    lort_escape_text(shown, sizeof shown, name);
    if (origin->header->format != &lort_format_gguf)
        return lort_fail(err, LORT_E_INPUT,
                         "%s is a %s file: quantize reads GGUF models; llama.cpp's "
                         "convert_hf_to_gguf.py makes one",
                         shown, origin->header->format->name);
    if (lort_path_folder(name))
        return lort_fail(err, LORT_E_INPUT,
                         "%s: the model has weights in folders: quantize reads one GGUF model",
                         shown);
    return LORT_OK;
}

/* The file of a tensor, as a number of the input. */
static uint32_t file_of(const lort_quantizer *q, uint64_t number)
{
    const lort_entry *entry = &q->tensors[number].entry;
    return entry->part ? lort_archive_model(q->input.archive)->extents[entry->part->number].file
                       : entry->tensor->file;
}

/* Gives each new file its tensors, which lie file by file. `at`: numbers of the files. */
static void share_tensors(lort_quantizer *q, const uint32_t *at)
{
    uint64_t next = 0;
    for (uint32_t f = 0; f < q->file_count; f++) {
        lort_new_file *file = &q->files[f];
        file->first = next;
        while (next < q->count && file_of(q, next) == at[f])
            next++;
        file->count = next - file->first;
    }
}

static lort_code open_headers(lort_quantizer *q, uint32_t *at, lort_error *err)
{
    const char *name;
    lort_code code = LORT_OK;
    for (uint32_t i = 0; i < file_count(q) && code == LORT_OK; i++)
        if (holds_weights(q, i, &name)) {
            at[q->origin_count] = i;
            code = open_header(q, i, name, err);
        }
    if (code == LORT_OK && q->origin_count == 0)
        return lort_fail(err, LORT_E_INPUT, "the input has no weights: quantize reads GGUF models");
    q->file_count = lort_head_splits(q) ? q->origin_count : 1;
    if (lort_head_splits(q))
        share_tensors(q, at);
    else
        q->files[0] =
            (lort_new_file){.header.alloc = &lort_session_of(q)->alloc, .count = q->count};
    return code;
}

lort_code lort_head_open(lort_quantizer *q, lort_error *err)
{
    void *origins, *files, *at;
    const uint64_t most = file_count(q) + 1ull;
    lort_code code = lort_arena_take(&q->arena, most * sizeof *q->origins, &origins, err);
    if (code == LORT_OK)
        code = lort_arena_take(&q->arena, most * sizeof *q->files, &files, err);
    if (code == LORT_OK)
        code = lort_arena_take(&q->arena, most * sizeof(uint32_t), &at, err);
    if (code)
        return code;
    q->origins = origins;
    q->files = files;
    return open_headers(q, at, err);
}

bool lort_head_splits(const lort_quantizer *q)
{
    return q->options->keep_split && q->origin_count > 1;
}

uint64_t lort_head_bytes(const lort_quantizer *q)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < q->file_count; i++)
        bytes += q->files[i].header.size;
    return bytes;
}

uint64_t lort_head_alignment(const lort_quantizer *q) { return q->origins[0].header->alignment; }

/* ---- facts ---- */

/* The value of a whole number, or of the first element of an array of such; else `other`. */
static uint64_t number_of(const lort_gguf_origin *origin, const lort_kv *kv, uint64_t other)
{
    if (kv->kind == LORT_KV_U64)
        return kv->v.u;
    if (kv->kind == LORT_KV_I64)
        return kv->v.i < 0 ? other : (uint64_t)kv->v.i;
    if (kv->kind == LORT_KV_ARRAY && kv->v.array.count &&
        (strcmp(kv->type, "int32") == 0 || strcmp(kv->type, "uint32") == 0))
        return lort_load_u32(origin->data + kv->v.array.at);
    return other;
}

/* The value of the key ARCH.`key`. */
static uint64_t fact(const lort_quantizer *q, const char *key, uint64_t other)
{
    const lort_gguf_origin *origin = &q->origins[0];
    char name[200];
    const int n = snprintf(name, sizeof name, "%s.%s", origin->header->architecture, key);
    const lort_kv *kv =
        n > 0 && (size_t)n < sizeof name ? lort_header_find(origin->header, name) : NULL;
    return kv ? number_of(origin, kv, other) : other;
}

void lort_head_facts(const lort_quantizer *q, lort_mix_facts *out)
{
    const uint64_t heads = fact(q, "attention.head_count", 0), layers = fact(q, "block_count", 0);
    *out = (lort_mix_facts){.arch = q->origins[0].header->architecture,
                            .n_layer = layers > INT32_MAX ? 0 : (int64_t)layers,
                            .n_head = heads,
                            .n_head_kv = fact(q, "attention.head_count_kv", heads),
                            .n_expert = fact(q, "expert_count", 0),
                            .has_imatrix = q->imatrix.count != 0};
}

/* ---- the new header ---- */

/* general.file_type: of a mix its number, else that of the type with most weights. It is a label
 * only. */
static uint32_t file_type_of(const lort_quantizer *q, const lort_wishes *wishes)
{
    double most[64] = {0};
    uint32_t best = 0, number = 0, found;
    if (wishes->mix && wishes->count == 0)
        return lort_mix_file_type(wishes->mix, q->options->pure);
    for (uint64_t i = 0; i < q->count; i++) {
        const lort_target_tensor *t = &q->tensors[i];
        const uint32_t id = (uint32_t)t->type->id;
        if (id >= 64 || !lort_file_type_of(t->type->id, &found))
            continue;
        most[id] += (double)t->entry.tensor->elements;
        best = most[id] > most[best] ? id : best;
    }
    return most[best] > 0 && lort_file_type_of((lort_dtype)best, &found) ? found : number;
}

/* The keys of the importance matrix, as llama-quantize names them. The file has its name without
 * folders, so that equal inputs give equal bytes. out: room for IMATRIX_KEYS. */
enum { IMATRIX_KEYS = 4 };
static uint32_t imatrix_keys(const lort_quantizer *q, lort_gguf_change *out)
{
    const lort_imatrix *imatrix = &q->imatrix;
    uint32_t n = 0;
    if (!imatrix->count)
        return 0;
    out[n++] = (lort_gguf_change){.key = "quantize.imatrix.file",
                                  .action = LORT_GGUF_SET_TEXT,
                                  .text = lort_os_base_name(q->options->imatrix)};
    if (imatrix->dataset)
        out[n++] = (lort_gguf_change){.key = "quantize.imatrix.dataset",
                                      .action = LORT_GGUF_SET_TEXT,
                                      .text = imatrix->dataset};
    out[n++] = (lort_gguf_change){.key = "quantize.imatrix.entries_count",
                                  .action = LORT_GGUF_SET_U32,
                                  .u32 = (uint32_t)imatrix->count};
    if (imatrix->chunks)
        out[n++] = (lort_gguf_change){.key = "quantize.imatrix.chunks_count",
                                      .action = LORT_GGUF_SET_U32,
                                      .u32 = imatrix->chunks};
    return n;
}

/* The lists that a header is made from. */
typedef struct head_lists {
    const lort_tensor **tensors;
    const lort_dtype_info **types;
    uint64_t *offsets;
} head_lists;

/* A shard keeps its own keys, those of the split among them. */
static lort_code make_file(lort_quantizer *q, const lort_wishes *wishes, uint32_t number,
                           const head_lists *lists, lort_error *err)
{
    const bool splits = lort_head_splits(q);
    lort_new_file *file = &q->files[number];
    lort_gguf_change changes[3 + IMATRIX_KEYS] = {
        {.key = "general.quantization_version",
         .action = LORT_GGUF_SET_U32,
         .u32 = QUANTIZATION_VERSION},
        {.key = "general.file_type", .action = LORT_GGUF_SET_U32, .u32 = file_type_of(q, wishes)}};
    uint32_t count = 2 + imatrix_keys(q, changes + 2);
    if (!splits)
        changes[count++] = (lort_gguf_change){.key = "split.", .action = LORT_GGUF_DROP_PREFIX};
    const lort_gguf_plan plan = {.origins = q->origins + (splits ? number : 0),
                                 .origin_count = splits ? 1 : q->origin_count,
                                 .changes = changes,
                                 .change_count = splits && number ? 0 : count,
                                 .tensors = lists->tensors + file->first,
                                 .types = lists->types + file->first,
                                 .count = file->count};
    file->header.size = 0;
    return lort_gguf_make(&plan, &lort_session_of(q)->alloc, &file->header,
                          lists->offsets + file->first, &file->size, err);
}

static lort_code make_files(lort_quantizer *q, const lort_wishes *wishes, const head_lists *lists,
                            lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < q->count; i++) {
        lists->tensors[i] = q->tensors[i].entry.tensor;
        lists->types[i] = q->tensors[i].type;
    }
    q->file_size = 0;
    for (uint32_t f = 0; f < q->file_count && code == LORT_OK; f++) {
        code = make_file(q, wishes, f, lists, err);
        if (code == LORT_OK && !lort_add_u64(q->file_size, q->files[f].size, &q->file_size))
            code = lort_fail(err, LORT_E_INPUT, "the output needs more than 2^64 bytes");
    }
    for (uint64_t i = 0; i < q->count && code == LORT_OK; i++)
        q->tensors[i].offset = lists->offsets[i];
    return code;
}

lort_code lort_head_make(lort_quantizer *q, const lort_wishes *wishes, lort_error *err)
{
    const lort_alloc *alloc = &lort_session_of(q)->alloc;
    const uint64_t bytes = q->count * (2 * sizeof(void *) + sizeof(uint64_t));
    void *memory;
    lort_code code = lort_take(alloc, bytes, "the new header", &memory, err);
    if (code)
        return code;
    head_lists lists = {.tensors = memory};
    lists.types = (const lort_dtype_info **)(void *)(lists.tensors + q->count);
    lists.offsets = (uint64_t *)(void *)(lists.types + q->count);
    code = make_files(q, wishes, &lists, err);
    lort_give(alloc, memory, bytes);
    return code;
}
