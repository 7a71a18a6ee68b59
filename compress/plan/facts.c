/* facts: see facts.h. */
#include "compress/plan/facts.h"
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "formats/inputs/json.h"
#include <string.h>

#define FILE_MOST (8u << 20)   /* bytes of a file that LoRT reads; others are no configuration */
#define FILES_MOST 64          /* files that LoRT reads */
#define SPARED_MOST (1u << 20) /* bytes of names of spared modules */
#define PARTS_MOST 12          /* parts of a name that may be those of a spared module */
#define EXPERTS_MOST 65536     /* experts of a layer */

typedef enum key {
    KEY_OTHER,
    KEY_CONFIG, /* an object about quantisation */
    KEY_MLX,    /* the same as mlx-lm writes it */
    KEY_METHOD,
    KEY_BITSANDBYTES, /* a flag of it */
    KEY_SPARED,
    KEY_EXPERTS
} key;

static const struct {
    const char *text;
    key key;
} keys[] = {{"quantization_config", KEY_CONFIG},
            {"compression_config", KEY_CONFIG},
            {"quantization", KEY_MLX},
            {"quant_method", KEY_METHOD},
            {"load_in_4bit", KEY_BITSANDBYTES},
            {"load_in_8bit", KEY_BITSANDBYTES},
            {"modules_to_not_convert", KEY_SPARED},
            {"llm_int8_skip_modules", KEY_SPARED},
            {"ignore", KEY_SPARED},
            {"ignored_layers", KEY_SPARED},
            {"exclude_modules", KEY_SPARED},
            {"num_experts", KEY_EXPERTS},
            {"num_local_experts", KEY_EXPERTS},
            {"n_routed_experts", KEY_EXPERTS},
            {"moe_num_experts", KEY_EXPERTS},
            {"moe_num_primary_experts", KEY_EXPERTS},
            {"n_experts", KEY_EXPERTS}};

/* The files that LoRT reads. whole: the file is about quantisation as a whole. */
static const struct config_file {
    const char *name, *method; /* of an object KEY_MLX, or of the whole file */
    bool whole;
} files[] = {{"config.json", "mlx", false},
             {"hf_quant_config.json", "modelopt", false},
             {"quantize_config.json", "gptq", true},
             {"quant_config.json", "awq", true}};

typedef struct walk {
    lort_json json;
    const struct config_file *file;
    lort_facts *facts;
    const char *likely;                  /* the method, if no quant_method says it */
    key inside[LORT_JSON_MAX_DEPTH + 1]; /* the key of each open object or array */
} walk;

static const struct config_file *find_file(const char *name)
{
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(files[i].name, name) == 0)
            return &files[i];
    return NULL;
}

static key find_key(const lort_json *json)
{
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
        if (lort_json_text_is(json, keys[i].text))
            return keys[i].key;
    return KEY_OTHER;
}

static bool in_quantisation(const walk *w)
{
    bool in = w->file->whole;
    for (uint32_t i = 1; i <= w->json.depth && !in; i++)
        in = w->inside[i] == KEY_CONFIG || w->inside[i] == KEY_MLX;
    return in;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

/* A method of other characters than those of names is not repeated. The copy is checked, since
 * another process may write to the file. */
static void take_method(walk *w)
{
    lort_facts *facts = w->facts;
    char text[sizeof facts->method] = "";
    bool plain = w->json.text_size > 0 && w->json.text_size < sizeof text;
    if (!plain || *facts->method)
        return;
    memcpy(text, w->json.data + w->json.text, (size_t)w->json.text_size);
    for (uint64_t i = 0; plain && i < w->json.text_size; i++)
        plain = is_plain(text[i]);
    if (plain)
        memcpy(facts->method, text, sizeof text);
}

static void take_spared(walk *w)
{
    const uint64_t size = w->json.text_size;
    if (w->json.escaped || size == 0 || w->facts->spared.size + size >= SPARED_MOST)
        return;
    lort_put_bytes(&w->facts->spared, w->json.data + w->json.text, size);
    lort_put_u8(&w->facts->spared, 0);
}

static void add_experts(lort_facts *facts, uint64_t n)
{
    for (unsigned i = 0; i < facts->expert_count; i++)
        if (facts->experts[i] == n)
            return;
    if (n >= 2 && n <= EXPERTS_MOST && facts->expert_count < LORT_FACTS_EXPERTS)
        facts->experts[facts->expert_count++] = n;
}

static void open_level(walk *w, key of)
{
    w->inside[w->json.depth] = of;
    if (of == KEY_CONFIG || of == KEY_MLX)
        w->facts->quantised = true;
    if (of == KEY_MLX)
        w->likely = w->file->method;
}

/* A value that is no object or array. In an array `of` is the key of the array. */
static void take_value(walk *w, lort_json_token token, key of)
{
    uint64_t n;
    if (token == LORT_JSON_STRING && of == KEY_METHOD && in_quantisation(w))
        take_method(w);
    else if (token == LORT_JSON_STRING && of == KEY_SPARED && in_quantisation(w))
        take_spared(w);
    else if (token == LORT_JSON_TRUE && of == KEY_BITSANDBYTES && in_quantisation(w))
        w->likely = "bitsandbytes";
    else if (token == LORT_JSON_NUMBER && of == KEY_EXPERTS && lort_json_u64(&w->json, &n))
        add_experts(w->facts, n);
}

lort_code lort_facts_parse(const char *name, const void *text, uint64_t bytes, lort_facts *facts,
                           lort_error *err)
{
    const uint64_t mark = bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    walk w = {.json = lort_json_start((const uint8_t *)text + mark, bytes - mark, err),
              .file = find_file(name),
              .facts = facts};
    key next = KEY_OTHER;
    if (!w.file)
        return LORT_OK;
    facts->quantised |= w.file->whole;
    w.likely = w.file->whole ? w.file->method : "";
    for (;;) {
        const lort_json_token token = lort_json_next(&w.json);
        if (token == LORT_JSON_END || token == LORT_JSON_ERROR)
            break;
        if (token == LORT_JSON_KEY)
            next = find_key(&w.json);
        else if (token == LORT_JSON_OBJECT || token == LORT_JSON_ARRAY)
            open_level(&w, next);
        else if (token != LORT_JSON_OBJECT_END && token != LORT_JSON_ARRAY_END)
            take_value(&w, token, next);
        if (token == LORT_JSON_OBJECT)
            next = KEY_OTHER;
        else if (token != LORT_JSON_KEY)
            next = w.inside[w.json.depth];
    }
    if (!*facts->method)
        memcpy(facts->method, w.likely, strlen(w.likely));
    return w.json.code;
}

static lort_code read_file(lort_session *session, lort_model *model, uint32_t number,
                           lort_facts *facts, lort_error *err)
{
    const lort_model_file *file = lort_model_get_file(model, number);
    const uint8_t *text;
    void *scratch;
    char shown[200];
    lort_error why = {0};
    lort_code code = lort_take(&session->alloc, file->size, "a configuration", &scratch, err);
    if (code)
        return code;
    code = lort_model_view(model, number, 0, file->size, scratch, &text, err);
    if (code == LORT_OK &&
        lort_facts_parse(lort_path_base(file->name), text, file->size, facts, &why) != LORT_OK)
        lort_session_warn(session, "%s: not read as a configuration: %s",
                          lort_escape_text(shown, sizeof shown, file->name), why.message);
    if (code == LORT_OK)
        code = lort_model_check(model, number, err);
    lort_give(&session->alloc, scratch, file->size);
    return code;
}

/* GGUF says it as ARCH.expert_count. */
static void read_metadata(const lort_header *header, lort_facts *facts)
{
    static const char ending[] = ".expert_count";
    const size_t n = sizeof ending - 1;
    for (uint64_t i = 0; i < header->kv_count; i++) {
        const lort_kv *kv = &header->kv[i];
        if (kv->kind == LORT_KV_U64 && kv->key_bytes > n &&
            memcmp(kv->key + kv->key_bytes - n, ending, n) == 0)
            add_experts(facts, kv->v.u);
    }
}

lort_code lort_facts_list(lort_facts *facts, lort_error *err)
{
    const char *text = (const char *)facts->spared.data;
    lort_code code = lort_buffer_check(&facts->spared, err);
    facts->names.alloc = facts->spared.alloc;
    for (uint64_t at = 0; at < facts->spared.size && code == LORT_OK;) {
        const uint32_t n = (uint32_t)strlen(text + at);
        bool is_new;
        uint32_t found;
        if (lort_names_add(&facts->names, text + at, n, 0, &is_new, &found, err) == LORT_E_MEMORY)
            code = LORT_E_MEMORY;
        at += n + 1;
    }
    return code;
}

lort_code lort_facts_read(lort_session *session, lort_model *model, lort_facts *facts,
                          lort_error *err)
{
    unsigned read = 0;
    lort_code code = LORT_OK;
    *facts = (lort_facts){.spared = {.alloc = &session->alloc}};
    for (uint32_t f = 0; f < lort_model_file_count(model) && code == LORT_OK; f++) {
        const lort_model_file *file = lort_model_get_file(model, f);
        if (file->role == LORT_ROLE_WEIGHTS)
            read_metadata(&file->header, facts);
        else if (file->role == LORT_ROLE_SIDE && find_file(lort_path_base(file->name)) &&
                 file->size && file->size <= FILE_MOST && read++ < FILES_MOST)
            code = read_file(session, model, f, facts, err);
    }
    if (code == LORT_OK)
        code = lort_facts_list(facts, err);
    if (code)
        lort_facts_free(facts);
    return code;
}

/* The ends of the parts of a name, at most PARTS_MOST. */
static unsigned split_name(const char *name, uint32_t bytes, uint32_t *ends)
{
    unsigned count = 0;
    for (uint32_t i = 0; i <= bytes && count < PARTS_MOST; i++)
        if (i == bytes || name[i] == '.')
            ends[count++] = i;
    return count;
}

bool lort_facts_spare(const lort_facts *facts, const char *name, uint32_t bytes)
{
    uint32_t ends[PARTS_MOST];
    const unsigned count = facts->names.used ? split_name(name, bytes, ends) : 0;
    for (unsigned first = 0; first < count; first++) {
        const uint32_t start = first ? ends[first - 1] + 1 : 0;
        for (unsigned last = first; last < count; last++)
            if (lort_names_find(&facts->names, name + start, ends[last] - start))
                return true;
    }
    return false;
}

void lort_facts_free(lort_facts *facts)
{
    if (facts->names.alloc)
        lort_names_free(&facts->names);
    if (facts->spared.alloc)
        lort_buffer_free(&facts->spared);
    *facts = (lort_facts){0};
}
