/* shards: see shards.h. Other people chose the names in an index.json, so only plain file names
 * pass, and this code opens no file. The JSON is walked twice, as in safetensors.c: the first walk
 * counts, the second fills. */
#include "formats/inputs/shards.h"
#include "formats/base/names.h"
#include "formats/base/plain_name.h"
#include "formats/base/sort.h"
#include "formats/base/text.h"
#include "formats/inputs/json.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOWN 200 /* bytes for a name in a message */

#define MAX_JSON (1u << 30)
#define MAX_FILES 99999u /* the most that five digits of a split name count */

/* --- index.json --- */

/* Bytes of a byte order mark, which editors on Windows put in front of a text. */
static uint64_t mark_bytes(const uint8_t *data, uint64_t n)
{
    return n >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

bool lort_shards_may_be(const uint8_t *head, uint64_t n)
{
    uint64_t at = mark_bytes(head, n);
    while (at < n && head[at] && strchr(" \t\r\n", head[at]))
        at++;
    /* a NUL: a safetensors file with a header of 0x..7b bytes */
    return n - at >= 2 && head[at] == '{' && head[at + 1] != 0;
}

bool lort_shards_bid(const uint8_t *head, uint64_t n)
{
    static const char key[] = "\"weight_map\"";
    if (!lort_shards_may_be(head, n))
        return false;
    for (uint64_t at = 0; n - at >= sizeof key - 1; at++) {
        if (head[at] == '"' && memcmp(head + at, key, sizeof key - 1) == 0)
            return true;
    }
    return false;
}

bool lort_shards_bid_whole(const uint8_t *data, uint64_t size)
{
    const uint64_t mark = mark_bytes(data, size);
    lort_json j = lort_json_start(data + mark, size - mark, NULL);
    if (lort_json_next(&j) != LORT_JSON_OBJECT)
        return false;
    while (lort_json_next(&j) == LORT_JSON_KEY) {
        if (lort_json_text_is(&j, "weight_map"))
            return true;
        if (!lort_json_skip(&j, lort_json_next(&j)))
            return false;
    }
    return false;
}

typedef struct walker {
    lort_json json;
    uint64_t mark; /* bytes of the byte order mark in front of the JSON */
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

/* Appends digits to *value. Returns how many, or 0 if there are none or they do not fit. */
static uint64_t take_digits(const uint8_t *text, uint64_t n, uint64_t *value)
{
    uint64_t at = 0;
    for (; at < n && text[at] >= '0' && text[at] <= '9'; at++) {
        const uint64_t digit = text[at] - (uint64_t)'0';
        if (*value > (UINT64_MAX - digit) / 10)
            return 0;
        *value = *value * 10 + digit;
    }
    return at;
}

static bool scale_by_ten(uint64_t *value, int64_t power)
{
    for (; power < 0 && *value; power++) {
        if (*value % 10)
            return false;
        *value /= 10;
    }
    for (; power > 0 && *value; power--) {
        if (*value > UINT64_MAX / 10)
            return false;
        *value *= 10;
    }
    return true;
}

/* Reads a whole number in any form of JSON: 8, 8.0 or 2.6e+05. Some writers compute a size as a
 * float. */
static bool read_whole(const uint8_t *text, uint64_t n, uint64_t *out)
{
    uint64_t exponent = 0, more = 0, value = 0, at = take_digits(text, n, &value);
    int64_t power = 0;
    if (at && at < n && text[at] == '.') {
        more = take_digits(text + at + 1, n - at - 1, &value);
        power = -(int64_t)more;
        at = more ? at + 1 + more : 0;
    }
    if (at && at < n && (text[at] == 'e' || text[at] == 'E')) {
        const bool minus = ++at < n && text[at] == '-';
        at += minus || (at < n && text[at] == '+');
        more = take_digits(text + at, n - at, &exponent);
        if (!more || exponent > 1000)
            return false;
        power += minus ? -(int64_t)exponent : (int64_t)exponent;
        at += more;
    }
    if (!at || at != n || !scale_by_ten(&value, power))
        return false;
    *out = value;
    return true;
}

/* The size is advice. LoRT leaves alone what is no number, and a size that stands twice. */
static void read_total(walker *w, lort_json_token token)
{
    lort_json *j = &w->json;
    lort_shard_list *list = w->list;
    const bool again = list->has_total || list->odd_total,
               readable = token == LORT_JSON_NUMBER || token == LORT_JSON_STRING;
    list->has_total =
        !again && readable && read_whole(j->data + j->text, j->text_size, &list->total_size);
    list->odd_total = !list->has_total;
    list->total_at = list->has_total ? w->mark + j->text : 0;
    list->total_text_bytes = list->has_total ? j->text_size : 0;
    list->total_size = list->has_total ? list->total_size : 0;
}

static lort_code walk_metadata(walker *w)
{
    lort_json *j = &w->json;
    lort_json_token token = lort_json_next(j);
    w->list->has_total = w->list->odd_total = false; /* as the first walk left them */
    if (token != LORT_JSON_OBJECT)
        return lort_json_skip(j, token) ? LORT_OK : j->code;
    while (lort_json_next(j) == LORT_JSON_KEY) {
        bool total = lort_json_text_is(j, "total_size");
        token = lort_json_next(j);
        if (total)
            read_total(w, token);
        if (!lort_json_skip(j, token))
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

static bool name_before(const void *a, const void *b)
{
    const lort_names_slot *x = a, *y = b;
    return strcmp(x->name, y->name) < 0; /* plain names hold no NUL */
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
    lort_sort(w->files.slots, n, sizeof *w->files.slots, name_before);
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

/* Messages count offsets from the start of the file. */
static lort_json start_index(const uint8_t *json, uint64_t size, uint64_t mark, lort_error *err)
{
    lort_json j = lort_json_start(json, size, err);
    j.base = mark;
    return j;
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
    w->json = start_index(w->json.data, w->json.size, w->mark, err);
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
    const uint64_t mark = mark_bytes(data, size);
    walker w = {.json = start_index(data + mark, size - mark, mark, err),
                .mark = mark,
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
