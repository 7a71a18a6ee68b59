/* files: the header of the new file, and adapter_config.json (adapter.h). */
#include "compress/adapter/adapter.h"
#include "formats/base/bytes.h"
#include "formats/outputs/gguf_new.h"
#include "formats/outputs/safetensors_new.h"
#include <inttypes.h>
#include <string.h>

/* ---- the tensors of the new file ---- */

/* Two names of factors. */
typedef struct suffixes {
    const char *before, *a, *b;
    uint32_t cut; /* bytes at the end of the tensor's name that they take the place of */
} suffixes;

static suffixes suffixes_of(const lort_extractor *x, const lort_module *m)
{
    if (x->gguf)
        return (suffixes){"", ".lora_a", ".lora_b", 0};
    const uint32_t weight = sizeof ".weight" - 1;
    return m->form == LORT_FORM_EMBEDDING
               ? (suffixes){"base_model.model.", ".lora_embedding_A", ".lora_embedding_B", weight}
               : (suffixes){"base_model.model.", ".lora_A.weight", ".lora_B.weight", weight};
}

static lort_code put_tensor(lort_extractor *x, const lort_tensor *of, const char *prefix,
                            uint32_t name_bytes, const char *suffix, const lort_dtype_info *type,
                            const int64_t *dims, uint32_t n_dims, lort_error *err)
{
    lort_tensor *t = &x->tensors[x->tensor_count++];
    const size_t n = strlen(prefix), m = strlen(suffix), all = n + name_bytes + m;
    void *name, *shape;
    lort_code code = lort_arena_take(&x->arena, all + 1, &name, err);
    if (code == LORT_OK)
        code = lort_arena_take(&x->arena, (n_dims + 1) * sizeof *dims, &shape, err);
    if (code)
        return code;
    memcpy(name, prefix, n);
    memcpy((char *)name + n, of->name, name_bytes);
    memcpy((char *)name + n + name_bytes, suffix, m);
    memcpy(shape, dims, n_dims * sizeof *dims);
    *t = (lort_tensor){.name = name,
                       .name_bytes = (uint32_t)all,
                       .n_dims = n_dims,
                       .dims = shape,
                       .type = type,
                       .elements = 1};
    for (uint32_t i = 0; i < n_dims; i++)
        t->elements *= (uint64_t)dims[i];
    return lort_dtype_bytes(type, t->elements, &t->bytes)
               ? LORT_OK
               : lort_fail(err, LORT_E_INTERNAL, "a factor is not whole blocks of %s", type->name);
}

/* A factor with its shape as stored. Stacks have the number of experts in front. */
static lort_code put_factor(lort_extractor *x, const lort_module *m, bool left, const char *suffix,
                            lort_error *err)
{
    const lort_matrices shape = m->tensor->shape;
    const lort_tensor *t = m->tensor->base.tensor;
    const suffixes s = suffixes_of(x, m);
    const bool turned = left ? lort_module_turns_left(x, m) : lort_module_turns_right(x, m);
    const int64_t down = left ? shape.rows : m->rank, across = left ? m->rank : shape.cols;
    const int64_t dims[3] = {shape.slices, turned ? across : down, turned ? down : across};
    const uint32_t skip = t->n_dims > 2 ? 0 : 1;
    return put_tensor(x, t, s.before, t->name_bytes - s.cut, suffix, left ? m->left : m->right,
                      dims + skip, 3 - skip, err);
}

/* The first factor in the file, lora_A, is the right one unless the update is stored turned. */
static lort_code put_module(lort_extractor *x, const lort_module *m, lort_error *err)
{
    const suffixes s = suffixes_of(x, m);
    const bool left_first = m->form != LORT_FORM_LINEAR;
    lort_code code = put_factor(x, m, left_first, s.a, err);
    return code ? code : put_factor(x, m, !left_first, s.b, err);
}

static lort_code put_whole(lort_extractor *x, const lort_module *m, lort_error *err)
{
    const lort_tensor *t = m->tensor->tuned.tensor;
    return put_tensor(x, t, "base_model.model.", t->name_bytes, "", t->type, t->dims, t->n_dims,
                      err);
}

static lort_code list_tensors(lort_extractor *x, lort_error *err)
{
    void *tensors, *offsets;
    lort_code code =
        lort_arena_take(&x->arena, (2 * x->count + 1) * sizeof *x->tensors, &tensors, err);
    if (code == LORT_OK)
        code = lort_arena_take(&x->arena, (2 * x->count + 1) * sizeof *x->offsets, &offsets, err);
    if (code)
        return code;
    x->tensors = tensors;
    x->offsets = offsets;
    x->tensor_count = 0;
    for (uint64_t i = 0; i < x->count && code == LORT_OK; i++) {
        const lort_module *m = &x->modules[i];
        if (m->rank > 0)
            code = put_module(x, m, err);
        else if (m->form == LORT_FORM_WHOLE && m->differs)
            code = put_whole(x, m, err);
    }
    return code;
}

/* ---- GGUF ---- */

/* general.file_type, as llama.cpp numbers types. It is a label only. */
static uint32_t file_type(const lort_extractor *x)
{
    static const uint32_t numbers[][2] = {
        {LORT_F32, 0}, {LORT_F16, 1}, {LORT_Q8_0, 7}, {LORT_BF16, 32}};
    uint32_t i = 0;
    while (numbers[i][0] != (uint32_t)x->type->id)
        i++;
    return numbers[i][1];
}

static lort_code make_gguf(lort_extractor *x, const lort_header *base, const uint8_t *data,
                           lort_error *err)
{
    const lort_gguf_origin origin = {base, data};
    const lort_gguf_change changes[] = {
        {.key = "general.type", .action = LORT_GGUF_SET_TEXT, .text = "adapter"},
        {.key = "general.architecture", .action = LORT_GGUF_SET_TEXT, .text = base->architecture},
        {.key = "general.file_type", .action = LORT_GGUF_SET_U32, .u32 = file_type(x)},
        {.key = "adapter.type", .action = LORT_GGUF_SET_TEXT, .text = "lora"},
        {.key = "adapter.lora.alpha", .action = LORT_GGUF_SET_F32, .u32 = 0},
        {.key = "general.alignment", .action = LORT_GGUF_SET_U32, .u32 = base->alignment},
        {.key = "", .action = LORT_GGUF_DROP_PREFIX}};
    const uint64_t n = x->tensor_count, bytes = 2 * (n + 1) * sizeof(void *);
    void *memory;
    lort_code code = lort_take(&x->session.alloc, bytes, "the new header", &memory, err);
    if (code)
        return code;
    const lort_tensor **tensors = memory;
    const lort_dtype_info **types = (const lort_dtype_info **)(void *)(tensors + n);
    for (uint64_t i = 0; i < n; i++) {
        tensors[i] = &x->tensors[i];
        types[i] = x->tensors[i].type;
    }
    const lort_gguf_plan plan = {.origins = &origin,
                                 .origin_count = 1,
                                 .changes = changes,
                                 .change_count = sizeof changes / sizeof *changes,
                                 .tensors = tensors,
                                 .types = types,
                                 .count = n};
    code = lort_gguf_make(&plan, &x->session.alloc, &x->header, x->offsets, &x->file_size, err);
    lort_give(&x->session.alloc, memory, bytes);
    return code;
}

/* The header is copied: pages of a mapped file may go. */
static lort_code make_gguf_file(lort_extractor *x, lort_error *err)
{
    lort_model *model = x->pair.base.model;
    uint32_t file = 0;
    while (lort_model_get_file(model, file)->role != LORT_ROLE_WEIGHTS)
        file++;
    const lort_header *header = &lort_model_get_file(model, file)->header;
    const uint8_t *view;
    void *memory;
    lort_code code =
        lort_take(&x->session.alloc, header->header_bytes, "the base's header", &memory, err);
    if (code)
        return code;
    code = lort_model_view(model, file, 0, header->header_bytes, memory, &view, err);
    if (code == LORT_OK && view != memory)
        memcpy(memory, view, (size_t)header->header_bytes);
    if (code == LORT_OK)
        code = lort_model_check(model, file, err);
    if (code == LORT_OK)
        code = make_gguf(x, header, memory, err);
    lort_give(&x->session.alloc, memory, header->header_bytes);
    return code;
}

/* ---- adapter_config.json ---- */

/* The name of a module: the tensor's without ".weight" or ".bias". */
static void put_module_name(lort_buffer *out, const lort_tensor *t, bool escape)
{
    char name[2048];
    size_t n = 0;
    const char *last = strrchr(t->name, '.');
    for (const char *at = t->name; at < last && n + 3 < sizeof name; at++) {
        if (escape && strchr(".\\+*?[]^$(){}|", *at))
            name[n++] = '\\';
        name[n++] = *at;
    }
    name[n] = '\0';
    lort_put_json_text(out, name);
}

/* The rank that most modules have; of two as frequent the lower. 0: there is none. */
static lort_code common_rank(const lort_extractor *x, int64_t *common, lort_error *err)
{
    int64_t most = 0;
    void *memory;
    for (uint64_t i = 0; i < x->count; i++)
        most = x->modules[i].rank > most ? x->modules[i].rank : most;
    const uint64_t bytes = ((uint64_t)most + 1) * sizeof(uint32_t);
    lort_code code = lort_take_zero(&x->session.alloc, bytes, "counts of ranks", &memory, err);
    uint32_t *counts = memory;
    *common = 0;
    for (uint64_t i = 0; i < x->count && code == LORT_OK; i++)
        counts[x->modules[i].rank] += x->modules[i].rank > 0;
    for (int64_t rank = 1; rank <= most && code == LORT_OK; rank++)
        *common = counts[rank] > counts[*common] ? rank : *common;
    if (code == LORT_OK)
        lort_give(&x->session.alloc, memory, bytes);
    return code;
}

static void put_pattern(lort_extractor *x, const char *key, int64_t common)
{
    const char *comma = "";
    lort_put_text(&x->config, ",\n  \"%s\": {", key);
    for (uint64_t i = 0; i < x->count; i++) {
        const lort_module *m = &x->modules[i];
        if (m->rank == 0 || m->rank == common)
            continue;
        lort_put_text(&x->config, "%s\n    ", comma);
        put_module_name(&x->config, m->tensor->base.tensor, true);
        lort_put_text(&x->config, ": %" PRId64, m->rank);
        comma = ",";
    }
    lort_put_text(&x->config, "%s}", *comma ? "\n  " : "");
}

static bool is_first_of_module(const lort_extractor *x, uint64_t number)
{
    const lort_tensor *t = lort_module_tensor(&x->modules[number]);
    const char *last = strrchr(t->name, '.');
    /* a weight, or a bias beside no weight that is stored: the pairs are stored together */
    return last && strcmp(last, ".weight") == 0;
}

static void put_targets(lort_extractor *x)
{
    const char *comma = "";
    lort_put_text(&x->config, ",\n  \"target_modules\": [");
    for (uint64_t i = 0; i < x->count; i++)
        if (x->modules[i].rank > 0) {
            lort_put_text(&x->config, "%s\n    ", comma);
            put_module_name(&x->config, x->modules[i].tensor->base.tensor, false);
            comma = ",";
        }
    lort_put_text(&x->config, "%s]", *comma ? "\n  " : "");
}

static void put_saved(lort_extractor *x)
{
    const char *comma = "";
    bool any = false;
    for (uint64_t i = 0; i < x->count; i++)
        any |= x->modules[i].form == LORT_FORM_WHOLE && x->modules[i].differs;
    lort_put_text(&x->config, ",\n  \"modules_to_save\": %s", any ? "[" : "null");
    for (uint64_t i = 0; any && i < x->count; i++)
        if (x->modules[i].form == LORT_FORM_WHOLE && x->modules[i].differs &&
            is_first_of_module(x, i)) {
            lort_put_text(&x->config, "%s\n    ", comma);
            put_module_name(&x->config, lort_module_tensor(&x->modules[i]), false);
            comma = ",";
        }
    lort_put_text(&x->config, any ? "\n  ]" : "");
}

static lort_code make_config(lort_extractor *x, lort_error *err)
{
    int64_t common;
    lort_code code = common_rank(x, &common, err);
    if (code)
        return code;
    const int64_t rank = common ? common : 8; /* PEFT wants one, used or not */
    lort_put_text(&x->config, "{\n  \"peft_type\": \"LORA\",\n  \"task_type\": \"CAUSAL_LM\"");
    lort_put_text(&x->config, ",\n  \"base_model_name_or_path\": ");
    lort_put_json_text(&x->config, x->base_path);
    lort_put_text(&x->config,
                  ",\n  \"r\": %" PRId64 ",\n  \"lora_alpha\": %" PRId64
                  ",\n  \"lora_dropout\": 0.0,\n  \"fan_in_fan_out\": %s,\n  \"bias\": \"none\""
                  ",\n  \"inference_mode\": true,\n  \"use_rslora\": false,\n  \"use_dora\": false"
                  ",\n  \"init_lora_weights\": true",
                  rank, rank, x->conv1d ? "true" : "false");
    put_pattern(x, "rank_pattern", common);
    put_pattern(x, "alpha_pattern", common);
    put_targets(x);
    put_saved(x);
    lort_put_text(&x->config, "\n}\n");
    return lort_buffer_check(&x->config, err);
}

/* ---- both ---- */

lort_code lort_files_make(lort_extractor *x, lort_error *err)
{
    lort_files_free(x);
    x->header.alloc = x->config.alloc = &x->session.alloc;
    lort_code code = list_tensors(x, err);
    if (code)
        return code;
    if (x->gguf)
        return make_gguf_file(x, err);
    code = lort_safetensors_make(x->tensors, x->tensor_count, &x->header, x->offsets, &x->file_size,
                                 err);
    return code ? code : make_config(x, err);
}

void lort_files_free(lort_extractor *x)
{
    lort_buffer_free(&x->header);
    lort_buffer_free(&x->config);
}
