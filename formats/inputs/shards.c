/* shards: see shards.h. Other people chose the names in an index.json, so only plain file names
 * pass, and this code opens no file. The JSON is walked twice, as in safetensors.c: the first walk
 * counts, the second fills. */
#include "formats/inputs/shards.h"
#include "formats/base/names.h"
#include "formats/base/plain_name.h"
#include "formats/base/text.h"
#include "formats/inputs/json.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 200 /* bytes for a name in a message */

#define MAX_JSON (1u << 30)
#define MAX_FILES 99999u /* the most that five digits of a split name count */

/* --- index.json --- */

bool lort_shards_bid(const uint8_t *head, uint64_t n)
{
    static const char key[] = "\"weight_map\"";
    uint64_t at = 0;
    while (at < n && head[at] && strchr(" \t\r\n", head[at]))
        at++;
    if (n - at < 2 || head[at] != '{' ||
        head[at + 1] == 0) /* a NUL: a safetensors file with a header of 0x..7b bytes */
        return false;
    for (; n - at >= sizeof key - 1; at++) {
        if (head[at] == '"' && memcmp(head + at, key, sizeof key - 1) == 0)
            return true;
    }
    return false;
}

typedef struct walker {
    lort_json json;
    lort_shard_list *list;
    bool filling;
    uint64_t entries, text; /* walk 1 counts; in walk 2 what is left */
    char *pool;
    lort_names tensors, files;
} walker;

static uint32_t decode_name(const lort_json *j, char *out, uint64_t cap)
{
    bool fits = j->text_size <= cap;
    uint64_t n = fits ? lort_json_text(j, out) : cap;
    if (!fits)
        memcpy(out, j->data + j->text, cap);
    return (uint32_t)n;
}

/* Adds the file that the scanner stands on, if it is new. *file: its number, in order of first
 * mention. */
static lort_code add_file(walker *w, uint32_t *file)
{
    lort_json *j = &w->json;
    char name[6 * LORT_PLAIN_NAME_MAX + 1]; /* each byte may be escaped as \u00XX */
    const char *copy;
    bool is_new;
    uint32_t bytes = decode_name(j, name, sizeof name);
    lort_code code = lort_plain_name(name, bytes, j->error);
    if (code)
        return code;
    lort_names_slot *slot = lort_names_find(&w->files, name, bytes);
    if (slot) {
        *file = slot->value;
        return LORT_OK;
    }
    if (w->files.used == MAX_FILES)
        return lort_json_fail(j, "weight_map names more than %u files", MAX_FILES);
    code = lort_arena_text(&w->list->arena, name, bytes, &copy, j->error);
    return code ? code
                : lort_names_add(&w->files, copy, bytes, (uint32_t)w->files.used, &is_new, file,
                                 j->error);
}

static lort_code fill_entry(walker *w, const lort_json *key)
{
    lort_json *j = &w->json;
    char shown[SHOWN];
    bool is_new;
    uint32_t found;
    if (!w->entries || key->text_size >= w->text)
        return lort_json_fail(j, "the index changed while it was read");
    lort_shard_entry *e = &w->list->entries[w->list->entry_count++];
    e->tensor = w->pool;
    e->tensor_bytes = (uint32_t)lort_json_text(key, w->pool);
    w->pool[e->tensor_bytes] = 0;
    w->pool += e->tensor_bytes + 1u;
    w->text -= e->tensor_bytes + 1u;
    w->entries--;
    lort_code code = add_file(w, &e->file);
    if (!code)
        code =
            lort_names_add(&w->tensors, e->tensor, e->tensor_bytes, 0, &is_new, &found, j->error);
    if (!code && !is_new)
        code = lort_fail(j->error, LORT_E_INPUT, "weight_map names tensor '%s' twice",
                         lort_escape(shown, sizeof shown, e->tensor, e->tensor_bytes));
    return code;
}

static lort_code walk_map(walker *w)
{
    lort_json *j = &w->json;
    char name[SHOWN], shown[SHOWN];
    if (lort_json_next(j) != LORT_JSON_OBJECT)
        return lort_json_fail(j, "weight_map must be an object");
    while (lort_json_next(j) == LORT_JSON_KEY) {
        lort_json key = *j;
        if (lort_json_next(j) != LORT_JSON_STRING)
            return lort_json_fail(
                j, "weight_map gives tensor '%s' no file name: a string is expected",
                lort_escape(shown, sizeof shown, name, decode_name(&key, name, sizeof name)));
        if (w->filling) {
            lort_code code = fill_entry(w, &key);
            if (code)
                return code;
        } else {
            w->entries++;
            w->text += key.text_size + 1;
        }
    }
    if (!j->code && !w->filling && !w->entries)
        return lort_json_fail(j, "weight_map is empty");
    return j->code;
}

/* Reads digits, or digits and ".0": some writers compute the size as a float. */
static lort_code read_total(walker *w, lort_json_token token)
{
    lort_json *j = &w->json, whole = *j;
    uint64_t n = 0;
    bool zeros = true;
    if (token != LORT_JSON_NUMBER) /* a token of another kind has no text */
        return lort_json_fail(j, "metadata.total_size must be a whole number");
    while (n < j->text_size && j->data[j->text + n] != '.')
        n++;
    for (uint64_t i = n + 1; i < j->text_size; i++)
        zeros &= j->data[j->text + i] == '0';
    whole.text_size = n;
    if (!zeros || !lort_json_u64(&whole, &w->list->total_size))
        return lort_json_fail(j, "metadata.total_size must be a whole number below 2^64");
    w->list->has_total = true;
    w->list->total_at = j->text;
    w->list->total_text_bytes = j->text_size;
    return LORT_OK;
}

static lort_code walk_metadata(walker *w)
{
    lort_json *j = &w->json;
    bool seen = false;
    lort_json_token token = lort_json_next(j);
    if (token != LORT_JSON_OBJECT)
        return lort_json_skip(j, token) ? LORT_OK : j->code;
    while (lort_json_next(j) == LORT_JSON_KEY) {
        bool total = lort_json_text_is(j, "total_size");
        if (total && seen)
            return lort_json_fail(j, "metadata.total_size stands twice");
        seen |= total;
        token = lort_json_next(j);
        if (total ? read_total(w, token) != LORT_OK : !lort_json_skip(j, token))
            return j->code;
    }
    return j->code;
}

static const struct section {
    const char *key;
    lort_code (*walk)(walker *w);
} sections[] = {{"weight_map", walk_map}, {"metadata", walk_metadata}};

static lort_code walk_key(walker *w, unsigned *seen)
{
    lort_json *j = &w->json;
    for (unsigned i = 0; i < 2; i++) {
        if (!lort_json_text_is(j, sections[i].key))
            continue;
        if (*seen & 1u << i)
            return lort_json_fail(j, "'%s' stands twice", sections[i].key);
        *seen |= 1u << i;
        return sections[i].walk(w);
    }
    return lort_json_skip(j, lort_json_next(j)) ? LORT_OK : j->code;
}

static lort_code walk_index(walker *w)
{
    lort_json *j = &w->json;
    unsigned seen = 0;
    if (lort_json_next(j) != LORT_JSON_OBJECT)
        return lort_json_fail(j, "the index must be a JSON object");
    while (lort_json_next(j) == LORT_JSON_KEY) {
        lort_code code = walk_key(w, &seen);
        if (code)
            return code;
    }
    if (!j->code && !(seen & 1))
        return lort_json_fail(j, "the index has no weight_map");
    return lort_json_next(j) == LORT_JSON_END ? LORT_OK : j->code;
}

/* --- files sorted by name --- */

static bool name_before(const lort_names_slot *a, const lort_names_slot *b)
{
    return strcmp(a->name, b->name) < 0; /* plain names hold no NUL */
}

static void sift_down(lort_names_slot *heap, uint64_t at, uint64_t n)
{
    for (uint64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && name_before(&heap[child], &heap[child + 1]))
            child++;
        if (!name_before(&heap[at], &heap[child]))
            return;
        lort_names_slot swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
    }
}

static void heap_sort(lort_names_slot *slots, uint64_t n)
{
    for (uint64_t i = n / 2; i-- > 0;)
        sift_down(slots, i, n);
    for (uint64_t i = n; i-- > 1;) {
        lort_names_slot swap = slots[0];
        slots[0] = slots[i];
        slots[i] = swap;
        sift_down(slots, 0, i);
    }
}

/* Packs and sorts the slots of the set in place. Then every entry gets its new file number. */
static lort_code sort_files(walker *w, lort_error *err)
{
    lort_shard_list *list = w->list;
    uint64_t n = 0;
    void *files, *numbers;
    for (uint64_t i = 0; i < w->files.slot_count; i++) {
        if (w->files.slots[i].name)
            w->files.slots[n++] = w->files.slots[i];
    }
    heap_sort(w->files.slots, n);
    lort_code code = lort_arena_take(&list->arena, n * sizeof *list->files, &files, err);
    if (!code)
        code = lort_take(list->arena.alloc, n * sizeof(uint32_t), "shard numbers", &numbers, err);
    if (code)
        return code;
    list->files = files;
    list->file_count = (uint32_t)n;
    uint32_t *number = numbers;
    for (uint32_t i = 0; i < n; i++) {
        list->files[i] = w->files.slots[i].name;
        number[w->files.slots[i].value] = i;
    }
    for (uint64_t i = 0; i < list->entry_count; i++)
        list->entries[i].file = number[list->entries[i].file];
    lort_give(list->arena.alloc, numbers, n * sizeof(uint32_t));
    return LORT_OK;
}

static lort_code fill_list(walker *w, lort_error *err)
{
    lort_shard_list *list = w->list;
    void *entries, *pool;
    lort_code code =
        lort_arena_take(&list->arena, w->entries * sizeof *list->entries, &entries, err);
    if (!code)
        code = lort_arena_take(&list->arena, w->text, &pool, err);
    if (code)
        return code;
    list->entries = entries;
    w->pool = pool;
    w->filling = true;
    w->json = lort_json_start(w->json.data, w->json.size, err);
    code = walk_index(w);
    return code ? code : sort_files(w, err);
}

lort_code lort_shards_parse(const uint8_t *data, uint64_t size, const lort_alloc *alloc,
                            lort_shard_list *out, lort_error *err)
{
    memset(out, 0, sizeof *out);
    if (size > MAX_JSON)
        return lort_fail(err, LORT_E_INPUT,
                         "the index has %" PRIu64 " bytes; at most %u are allowed", size, MAX_JSON);
    lort_shard_list list = {.arena.alloc = alloc};
    walker w = {.json = lort_json_start(data, size, err),
                .list = &list,
                .tensors.alloc = alloc,
                .files.alloc = alloc};
    lort_code code = walk_index(&w);
    if (!code)
        code = fill_list(&w, err);
    lort_names_free(&w.tensors);
    lort_names_free(&w.files);
    if (code)
        lort_shards_free(&list);
    else
        *out = list;
    return code;
}

void lort_shards_free(lort_shard_list *list)
{
    if (!list)
        return;
    lort_arena_free(&list->arena);
    memset(list, 0, sizeof *list);
}

lort_code lort_shards_rewrite(const lort_shard_list *list, const uint8_t *data, uint64_t size,
                              uint64_t total_size, lort_buffer *out, lort_error *err)
{
    if (list->has_total) {
        uint64_t after = list->total_at + list->total_text_bytes;
        lort_put_bytes(out, data, list->total_at);
        lort_put_text(out, "%" PRIu64, total_size);
        lort_put_bytes(out, data + after, size - after);
    } else {
        lort_put_bytes(out, data, size);
    }
    return lort_buffer_check(out, err);
}

/* --- split names --- */

static bool five_digits(const char *p, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 5; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        *out = *out * 10 + (uint32_t)(p[i] - '0');
    }
    return true;
}

bool lort_split_name_parse(const char *name, uint32_t *prefix_bytes, uint32_t *number,
                           uint32_t *count)
{
    static const char form[] = "-00001-of-00003.gguf"; /* every such ending has this length */
    size_t n = strlen(name), ending = sizeof form - 1;
    *prefix_bytes = *number = *count = 0;
    if (n <= ending || n - ending > UINT32_MAX)
        return false;
    const char *p = name + n - ending;
    uint32_t a, b;
    bool good = p[0] == '-' && five_digits(p + 1, &a) && memcmp(p + 6, "-of-", 4) == 0 &&
                five_digits(p + 10, &b) && strcmp(p + 15, ".gguf") == 0 && a >= 1 && a <= b;
    if (!good)
        return false;
    *prefix_bytes = (uint32_t)(n - ending);
    *number = a;
    *count = b;
    return true;
}

void lort_split_name_make(const char *name, uint32_t prefix_bytes, uint32_t number, uint32_t count,
                          char *out, size_t cap)
{
    snprintf(out, cap, "%.*s-%05" PRIu32 "-of-%05" PRIu32 ".gguf", (int)prefix_bytes, name, number,
             count);
}
