/* hub_list: see hub_list.h. The scanner is formats/inputs/json.h, so depth and memory are bounded.
 */
#include "loader/remote/hub_list.h"
#include "formats/base/plain_path.h"
#include "formats/base/sort.h"
#include "formats/base/text.h"
#include "formats/inputs/json.h"
#include <string.h>

#define SHOWN 300                              /* bytes for a path in a message */
#define LONGEST_TEXT (6 * LORT_PLAIN_PATH_MAX) /* each byte may be escaped as \u00XX */
#define SHA1_DIGITS 40u
#define SHA256_DIGITS 64u

/* One entry as it is read. */
typedef struct entry {
    char path[LONGEST_TEXT];
    uint64_t path_bytes, size, large_size;
    bool has_path, has_size, is_file, is_large, has_large_size;
    char oid[SHA256_DIGITS + 1], large_oid[SHA256_DIGITS + 1];
    uint32_t seen; /* a bit for each key */
} entry;

/* What the server should not have said is a failure of reading, whatever the scanner calls it. */
static lort_code misread(lort_json *j, const char *what)
{
    const lort_code code = lort_json_fail(j, "%s", what);
    if (code != LORT_E_INPUT)
        return code;
    if (j->error)
        j->error->code = LORT_E_READ;
    return LORT_E_READ;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Copies a string of hexadecimal digits in lower case, at most SHA256_DIGITS. */
static bool read_hex(lort_json *j, char *out)
{
    char text[SHA256_DIGITS];
    out[0] = 0;
    if (lort_json_next(j) != LORT_JSON_STRING || j->text_size > sizeof text)
        return false;
    const uint64_t n = lort_json_text(j, text);
    for (uint64_t i = 0; i < n; i++)
        if (hex_value(text[i]) < 0)
            return false;
    memcpy(out, text, n);
    out[n] = 0;
    return true;
}

lort_code lort_hub_list_commit(const void *json, uint64_t size, char out[LORT_COMMIT_DIGITS + 1],
                               lort_error *err)
{
    char text[SHA256_DIGITS + 1];
    lort_json_token token;
    bool found = false;
    lort_json j = lort_json_start(json, size, err);
    out[0] = 0;
    if (lort_json_next(&j) != LORT_JSON_OBJECT)
        return misread(&j, "the answer about the revision is no object");
    while ((token = lort_json_next(&j)) == LORT_JSON_KEY) {
        if (lort_json_text_is(&j, "sha")) {
            if (found || !read_hex(&j, text) || strlen(text) != LORT_COMMIT_DIGITS)
                return misread(&j, "'sha' is no commit of 40 hexadecimal digits");
            found = true;
        } else if (!lort_json_skip(&j, lort_json_next(&j))) {
            return misread(&j, "");
        }
    }
    if (token != LORT_JSON_OBJECT_END || lort_json_next(&j) != LORT_JSON_END)
        return misread(&j, "the answer about the revision is cut");
    if (!found)
        return misread(&j, "the answer about the revision has no 'sha'");
    memcpy(out, text, LORT_COMMIT_DIGITS + 1);
    return LORT_OK;
}

/* ---- one entry ---- */

static bool read_type(lort_json *j, entry *e)
{
    if (lort_json_next(j) != LORT_JSON_STRING)
        return false;
    e->is_file = lort_json_text_is(j, "file");
    return true;
}

static bool read_path(lort_json *j, entry *e)
{
    if (lort_json_next(j) != LORT_JSON_STRING || j->text_size > sizeof e->path)
        return false;
    e->path_bytes = lort_json_text(j, e->path);
    e->has_path = true;
    return true;
}

static bool read_size(lort_json *j, entry *e)
{
    e->has_size = true;
    return lort_json_next(j) == LORT_JSON_NUMBER && lort_json_u64(j, &e->size) &&
           e->size < UINT64_MAX / 2;
}

static bool read_oid(lort_json *j, entry *e) { return read_hex(j, e->oid); }

/* "lfs": {"oid": SHA-256, "size": N}, or null */
static bool read_large(lort_json *j, entry *e)
{
    const lort_json_token first = lort_json_next(j);
    if (first == LORT_JSON_NULL)
        return true;
    if (first != LORT_JSON_OBJECT)
        return false;
    e->is_large = true;
    lort_json_token token;
    while ((token = lort_json_next(j)) == LORT_JSON_KEY) {
        bool fine;
        if (lort_json_text_is(j, "oid")) {
            fine = !e->large_oid[0] && read_hex(j, e->large_oid);
        } else if (lort_json_text_is(j, "size")) {
            fine = !e->has_large_size && lort_json_next(j) == LORT_JSON_NUMBER &&
                   lort_json_u64(j, &e->large_size);
            e->has_large_size = true;
        } else {
            fine = lort_json_skip(j, lort_json_next(j));
        }
        if (!fine)
            return false;
    }
    return token == LORT_JSON_OBJECT_END && strlen(e->large_oid) == SHA256_DIGITS;
}

static const struct {
    const char *key;
    bool (*read)(lort_json *j, entry *e);
} members[] = {{"type", read_type},
               {"path", read_path},
               {"size", read_size},
               {"oid", read_oid},
               {"lfs", read_large}};

/* Reads one member whose key is the current token. */
static bool read_member(lort_json *j, entry *e)
{
    for (uint32_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (lort_json_text_is(j, members[i].key)) {
            const bool again = e->seen >> i & 1;
            e->seen |= UINT32_C(1) << i;
            return !again && members[i].read(j, e);
        }
    }
    return lort_json_skip(j, lort_json_next(j));
}

/* True for a path that would lead out of the repository. Other odd names are left out, since they
 * do no harm: LoRT leaves them out of directories too. */
static bool leaves(const char *path, uint64_t n)
{
    if (n == 0 || path[0] == '/' || memchr(path, 0, n) || memchr(path, '\\', n) ||
        (n >= 2 && path[1] == ':'))
        return true;
    for (uint64_t at = 0; at <= n;) {
        const char *slash = memchr(path + at, '/', n - at);
        const uint64_t end = slash ? (uint64_t)(slash - path) : n;
        if (end - at == 2 && memcmp(path + at, "..", 2) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

/* ---- the list ---- */

static lort_code grow(lort_hub_list *l, lort_error *err)
{
    void *memory;
    if (l->count < l->room)
        return LORT_OK;
    const uint32_t room = l->room ? 2 * l->room : 64;
    const lort_code code = lort_arena_take(&l->arena, room * sizeof *l->files, &memory, err);
    if (code)
        return code;
    if (l->count)
        memcpy(memory, l->files, l->count * sizeof *l->files);
    l->files = memory;
    l->room = room;
    return LORT_OK;
}

static void put_sha256(const char *digits, uint8_t out[32])
{
    for (size_t i = 0; i < 32; i++)
        out[i] = (uint8_t)(hex_value(digits[2 * i]) << 4 | hex_value(digits[2 * i + 1]));
}

static lort_code add_file(lort_hub_list *l, const entry *e, lort_error *err)
{
    lort_code code = grow(l, err);
    if (code)
        return code;
    lort_remote_file *file = &l->files[l->count];
    const char *etag = e->is_large ? e->large_oid : e->oid;
    *file = (lort_remote_file){.size = e->is_large && e->has_large_size ? e->large_size : e->size,
                               .has_sha256 = e->is_large};
    if (e->is_large)
        put_sha256(e->large_oid, file->sha256);
    code = lort_arena_text(&l->arena, e->path, e->path_bytes, &file->name, err);
    if (!code)
        code = lort_arena_text(&l->arena, etag, strlen(etag), &file->etag, err);
    l->count += !code;
    return code;
}

static lort_code check_entry(lort_hub_list *l, lort_json *j, const entry *e)
{
    char shown[SHOWN];
    if (!e->has_path || !(e->seen & 1))
        return misread(j, "an entry of the list has no type or no path");
    if (leaves(e->path, e->path_bytes))
        return lort_fail(j->error, LORT_E_READ,
                         "the list has the path '%s', which leaves the "
                         "repository; do not use this repository",
                         lort_escape(shown, sizeof shown, e->path, e->path_bytes));
    if (!e->is_file)
        return LORT_OK;
    if (!e->has_size || (e->is_large && e->has_large_size && e->large_size != e->size))
        return misread(j, "an entry of the list has no size, or two");
    if (lort_plain_path(e->path, e->path_bytes, NULL)) {
        l->odd++;
        return LORT_OK;
    }
    if (l->count == LORT_HUB_FILES_MOST)
        return misread(j, "the list has more than 100000 files");
    return add_file(l, e, j->error);
}

static lort_code read_entry(lort_hub_list *l, lort_json *j, entry *e)
{
    lort_json_token token;
    memset(e, 0, sizeof *e);
    while ((token = lort_json_next(j)) == LORT_JSON_KEY)
        if (!read_member(j, e))
            return misread(j, "an entry of the list has a wrong member");
    return token == LORT_JSON_OBJECT_END ? check_entry(l, j, e)
                                         : misread(j, "an entry of the list is cut");
}

lort_code lort_hub_list_add(lort_hub_list *l, const void *json, uint64_t size, lort_error *err)
{
    void *memory;
    lort_json_token token;
    lort_json j = lort_json_start(json, size, err);
    lort_code code = lort_take(l->arena.alloc, sizeof(entry), "an entry of a list", &memory, err);
    if (code)
        return code;
    if (lort_json_next(&j) != LORT_JSON_ARRAY)
        code = misread(&j, "the list of files is no array");
    while (!code && (token = lort_json_next(&j)) != LORT_JSON_ARRAY_END)
        code = token == LORT_JSON_OBJECT ? read_entry(l, &j, memory)
                                         : misread(&j, "an entry of the list is no object");
    if (!code && lort_json_next(&j) != LORT_JSON_END)
        code = misread(&j, "bytes follow the list of files");
    lort_give(l->arena.alloc, memory, sizeof(entry));
    return code;
}

static bool is_before(const void *a, const void *b)
{
    const lort_remote_file *left = a, *right = b;
    return strcmp(left->name, right->name) < 0;
}

lort_code lort_hub_list_sort(lort_hub_list *l, lort_error *err)
{
    char shown[SHOWN];
    lort_sort(l->files, l->count, sizeof *l->files, is_before);
    for (uint32_t i = 1; i < l->count; i++)
        if (strcmp(l->files[i - 1].name, l->files[i].name) == 0)
            return lort_fail(err, LORT_E_READ, "the list has the path '%s' twice",
                             lort_escape_text(shown, sizeof shown, l->files[i].name));
    return LORT_OK;
}

void lort_hub_list_free(lort_hub_list *l)
{
    lort_arena_free(&l->arena);
    *l = (lort_hub_list){.arena.alloc = l->arena.alloc};
}
