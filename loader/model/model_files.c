/* model_files: opens, maps and reads the files of a model, and gives views into them. */
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "formats/inputs/header.h"
#include "loader/model/model_parts.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HEAD_FIRST_TRY (64u << 10)
/* Unmapped files that stay open for their reads. A mapping needs no open file. */
#define MOST_OPEN 2

static const char *show_name(char *out, size_t cap, const lort_model_entry *entry)
{
    return lort_escape_text(out, cap, entry->name);
}

void lort_model_warn(lort_model *model, const char *format, ...)
{
    char text[1600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (model->warn)
        model->warn(model->warn_ctx, text);
}

/* Without memory the warning is lost, and the next step fails. */
void lort_model_hold(lort_model *model, const char *format, ...)
{
    char text[1600];
    void *memory;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (lort_arena_take(&model->arena, sizeof(lort_model_note), &memory, NULL))
        return;
    lort_model_note *note = memory;
    *note = (lort_model_note){.next = model->held};
    if (lort_arena_text(&model->arena, text, strlen(text), &note->text, NULL) == LORT_OK)
        model->held = note;
}

void lort_model_say(lort_model *model)
{
    lort_model_note *first = NULL;
    if (!model)
        return;
    for (lort_model_note *one = model->held, *next; one; one = next) { /* turns the list round */
        next = one->next;
        one->next = first;
        first = one;
    }
    for (; first; first = first->next)
        lort_model_warn(model, "%s", first->text);
    model->held = NULL;
}

/* Makes room for one more file. The array moves only here, before anybody holds a pointer into
 * it. */
static lort_code room_for_file(lort_model *model, lort_error *err)
{
    void *memory;
    if (model->file_count < model->file_room)
        return LORT_OK;
    uint32_t room = model->file_room ? model->file_room * 2 : 8;
    lort_code code = lort_take_zero(model->alloc, room * sizeof *model->files, "the list of files",
                                    &memory, err);
    if (code)
        return code;
    if (model->file_count)
        memcpy(memory, model->files, model->file_count * sizeof *model->files);
    lort_give(model->alloc, model->files, model->file_room * sizeof *model->files);
    model->files = memory;
    model->file_room = room;
    return LORT_OK;
}

/* ---- paths ---- */

lort_code lort_model_enter(lort_model *model, const char *path, uint32_t n, lort_dir **out,
                           lort_error *err)
{
    char name[LORT_PLAIN_NAME_MAX + 1];
    lort_code code = LORT_OK;
    *out = NULL;
    for (uint32_t at = 0, end; at < n && code == LORT_OK; at = end + 1) {
        lort_dir *above = *out;
        for (end = at; end < n && path[end] != '/'; end++)
            ;
        snprintf(name, sizeof name, "%.*s", (int)(end - at), path + at);
        code = lort_os_dir_down(above ? above : model->dir, name, out, err);
        lort_os_dir_close(above);
    }
    return code;
}

lort_code lort_model_open_path(lort_model *model, const char *path, lort_file **out,
                               lort_error *err)
{
    lort_dir *folder;
    *out = NULL;
    lort_code code = lort_model_enter(model, path, lort_path_folder(path), &folder, err);
    if (code == LORT_OK)
        code = lort_os_open(folder ? folder : model->dir, lort_path_base(path), out, err);
    lort_os_dir_close(folder);
    return code;
}

/* Fails if the file has another ctime than at open. */
static lort_code check_ctime(lort_model *model, const lort_model_entry *entry, lort_file *file,
                             lort_error *err)
{
    lort_file_info now;
    char name[200];
    lort_code code = lort_os_info(file, &now, err);
    if (code || now.ctime_ns == entry->info.ctime_ns)
        return code;
    model->touched = true;
    return lort_fail(err, LORT_E_READ,
                     "'%s' was touched while it was read: contents, names or permissions changed",
                     show_name(name, sizeof name, entry));
}

lort_code lort_model_open_again(lort_model *model, const lort_model_entry *entry, lort_file **out,
                                lort_error *err)
{
    lort_dir *folder;
    const char *path = entry->name;
    *out = NULL;
    lort_code code = lort_model_enter(model, path, lort_path_folder(path), &folder, err);
    if (code == LORT_E_INPUT) /* the folder was there before */
        code = lort_fail(err, LORT_E_READ, "the input changed during the run: a folder is gone");
    if (code == LORT_OK)
        code = lort_os_open_again(folder ? folder : model->dir, lort_path_base(path), &entry->info,
                                  out, err);
    lort_os_dir_close(folder);
    if (code == LORT_OK && model->watch)
        code = check_ctime(model, entry, *out, err);
    if (code) {
        lort_os_close(*out, NULL);
        *out = NULL;
    }
    return code;
}

static lort_code model_read(lort_model *model, const lort_model_entry *entry, void *buffer,
                            uint64_t n, uint64_t offset, lort_error *err)
{
    lort_file *again = NULL;
    const lort_model_supply *supply = lort_model_supply_of(model);
    if (supply && n && offset + n <= entry->head_bytes) {
        memcpy(buffer, entry->head + offset, n);
        return LORT_OK;
    }
    if (supply)
        return supply->read(model->source->ctx, entry->supplied, buffer, n, offset, err);
    if (model->source) /* only a whole index.json is read again */
        return model->source->read(model->source->ctx, entry->name, buffer, n, err);
    lort_code code = entry->file ? LORT_OK : lort_model_open_again(model, entry, &again, err);
    if (code == LORT_OK)
        code = lort_os_read(entry->file ? entry->file : again, buffer, n, offset, err);
    lort_os_close(again, NULL);
    return code;
}

/* For a file that is not mapped: reads the head, and more of it as long as the parser asks for
 * more. */
static lort_code parse_unmapped(lort_model *model, lort_model_entry *entry, lort_error *err)
{
    uint64_t want = entry->info.size < HEAD_FIRST_TRY ? entry->info.size : HEAD_FIRST_TRY;
    for (;;) {
        void *memory;
        uint64_t wanted = 0;
        lort_code code = lort_take(model->alloc, want, "a file header", &memory, err);
        if (code)
            return code;
        code = model_read(model, entry, memory, want, 0, err);
        entry->head = memory;
        entry->head_bytes = want;
        if (code == LORT_OK)
            code = lort_header_parse(entry->head, want, entry->info.size, model->alloc,
                                     &entry->shown.header, &wanted, err);
        if (code == LORT_OK || wanted <= want || want == entry->info.size)
            return code;
        lort_give(model->alloc, entry->head, entry->head_bytes);
        entry->head = NULL;
        entry->head_bytes = 0;
        want = wanted > 2 * want ? wanted : 2 * want;
        want = want < entry->info.size ? want : entry->info.size;
    }
}

static lort_code parse_header(lort_model *model, lort_model_entry *entry, lort_error *err)
{
    lort_code code;
    uint64_t wanted;
    char name[200];
    if (entry->map || entry->info.size == 0)
        code = lort_header_parse(entry->map ? lort_os_map_data(entry->map) : (const uint8_t *)"",
                                 entry->info.size, entry->info.size, model->alloc,
                                 &entry->shown.header, &wanted, err);
    else
        code = parse_unmapped(model, entry, err);
    if (entry->map && lort_os_map_faulted(entry->map))
        code = lort_fail(err, LORT_E_READ, "the file shrank or could not be read");
    show_name(name, sizeof name, entry);
    if (code) {
        lort_error_prefix(err, "%s", name);
        lort_error_file(err, entry->shown.name);
        return code;
    }
    if (entry->shown.header.warning[0])
        lort_model_warn(model, "%s: %s", name, entry->shown.header.warning);
    return LORT_OK;
}

/* A model may have more files than the process may open. A mapping outlives its descriptor. Windows
 * of other files are read through a new descriptor. */
static void close_if_mapped(lort_model *model, lort_model_entry *entry)
{
    if (entry->file && entry->info.size && !entry->map && model->open_count < MOST_OPEN) {
        model->open_count++;
        return;
    }
    lort_os_close(entry->file, NULL);
    entry->file = NULL;
}

void lort_model_show_info(lort_model_entry *entry)
{
    entry->shown.size = entry->info.size;
    entry->shown.device = entry->info.device;
    entry->shown.inode = entry->info.inode;
    entry->shown.mtime_ns = entry->info.mtime_ns;
    entry->shown.ctime_ns = entry->info.ctime_ns;
}

static lort_code map_file(lort_model_entry *entry, lort_error *err)
{
    lort_code code = lort_os_info(entry->file, &entry->info, err);
    if (code || entry->info.size == 0)
        return code;
    code = lort_os_map(entry->file, entry->info.size, &entry->map, err);
    return code == LORT_E_MEMORY ? LORT_OK : code; /* it is read in windows */
}

bool lort_model_name_is_free(const lort_model *model, const char *name, uint32_t lead)
{
    char plain[LORT_PLAIN_NAME_MAX + 1];
    lort_file_info info;
    bool exists = false;
    lort_plain_name_make(name, lead, plain);
    for (uint32_t i = 0; i < model->file_count; i++)
        if (strcmp(model->files[i].shown.name, plain) == 0)
            return false;
    return !model->dir ||
           (lort_os_look(model->dir, plain, &info, &exists, NULL) == LORT_OK && !exists);
}

/* Writes the name that the stored one is made from. LoRT must find an index again by its name. */
static const char *findable(const char *name, lort_role role, char *out, size_t cap)
{
    if (role != LORT_ROLE_INDEX || lort_model_index_is_found(name))
        return name;
    const bool hidden = name[0] == '.';
    snprintf(out, cap, "%s%s%s", hidden ? "_" : "", name + hidden,
             lort_model_index_is_found(name + hidden) ? "" : ".index.json");
    return out;
}

/* Gives the entry its two names. The names in a source are plain. */
static lort_code name_entry(lort_model *model, lort_model_entry *entry, const char *name,
                            lort_error *err)
{
    char plain[LORT_PLAIN_NAME_MAX + 1], shown[200], room[600];
    uint32_t lead = model->lead;
    lort_code code = lort_arena_text(&model->arena, name, strlen(name), &entry->name, err);
    entry->shown.name = entry->shown.own_name = entry->name;
    const char *from = findable(name, entry->shown.role, room, sizeof room);
    if (code || lort_model_is_stored(model) || lort_path_folder(name) ||
        (from == name && !lort_plain_name(name, strlen(name), NULL)))
        return code; /* LoRT takes only plain names from folders */
    while (!lort_model_name_is_free(model, from, lead))
        if (++lead == LORT_PLAIN_NAME_MAX)
            return lort_fail(err, LORT_E_INPUT, "%s: no plain name is left for it; rename it",
                             show_name(shown, sizeof shown, entry));
    lort_plain_name_make(from, lead, plain);
    return lort_arena_text(&model->arena, plain, strlen(plain), &entry->shown.name, err);
}

/* The permissions are those of a fresh download. */
static lort_code find_supplied(const lort_model_source *source, lort_model_entry *entry,
                               lort_error *err)
{
    entry->info.mode = 0666;
    return source->supply->find(source->ctx, entry->name, &entry->supplied, &entry->shown.identity,
                                err);
}

lort_code lort_model_add(lort_model *model, const char *name, lort_role role, lort_error *err)
{
    const lort_model_source *source = model->source;
    lort_code code = room_for_file(model, err);
    if (code)
        return code;
    lort_model_entry *entry = &model->files[model->file_count];
    *entry = (lort_model_entry){.shown.role = role};
    code = name_entry(model, entry, name, err);
    if (code == LORT_OK)
        code = source ? source->size(source->ctx, name, &entry->info.size, err)
                      : lort_model_open_path(model, name, &entry->file, err);
    if (code == LORT_OK && source && source->supply)
        code = find_supplied(source, entry, err);
    if (code)
        return code;
    model->file_count++; /* from here close() cleans up */
    code = source ? LORT_OK : map_file(entry, err);
    if (code)
        return code;
    lort_model_show_info(entry);
    code = role == LORT_ROLE_WEIGHTS ? parse_header(model, entry, err) : LORT_OK;
    close_if_mapped(model, entry);
    return code;
}

lort_code lort_model_view(lort_model *model, uint32_t file, uint64_t offset, uint64_t n,
                          void *scratch, const uint8_t **out, lort_error *err)
{
    lort_model_entry *entry = &model->files[file];
    const bool loaded =
        entry->loaded && offset >= entry->loaded_from && offset + n <= entry->loaded_to;
    *out = loaded       ? entry->loaded + (offset - entry->loaded_from)
           : entry->map ? lort_os_map_data(entry->map) + offset
                        : scratch;
    if (loaded || entry->map || n == 0)
        return LORT_OK;
    lort_code code = model_read(model, entry, scratch, n, offset, err);
    if (code)
        *out = NULL;
    return code;
}

lort_code lort_model_check(lort_model *model, uint32_t file, lort_error *err)
{
    lort_model_entry *entry = &model->files[file];
    char name[200];
    const bool whole =
        entry->loaded && entry->loaded_from == 0 && entry->loaded_to == entry->info.size;
    if (whole || !entry->map || !lort_os_map_faulted(entry->map))
        return LORT_OK;
    return lort_fail(err, LORT_E_READ, "%s: the file shrank or could not be read while it was used",
                     show_name(name, sizeof name, entry));
}

static void close_file(lort_model *model, lort_model_entry *entry)
{
    lort_header_free(&entry->shown.header);
    lort_os_unmap(entry->map);
    lort_give(model->alloc, entry->head, entry->head_bytes);
    lort_give(model->load_alloc, entry->loaded, entry->loaded_to - entry->loaded_from);
    lort_os_close(entry->file, NULL);
}

void lort_model_drop(lort_model *model, uint32_t first)
{
    for (uint32_t i = first; i < model->file_count; i++) {
        model->open_count -= model->files[i].file != NULL;
        close_file(model, &model->files[i]);
    }
    while (model->indexes && model->indexes->file >= first) {
        lort_shards_free(&model->indexes->list);
        model->indexes = model->indexes->next;
    }
    model->file_count = first < model->file_count ? first : model->file_count;
}

/* ---- files that are only looked at ---- */

static lort_code read_source_head(const lort_model_source *source, const char *name, uint8_t *head,
                                  uint64_t *n, uint64_t *size, lort_error *err)
{
    lort_code code = source->size(source->ctx, name, size, err);
    if (code)
        return code;
    *n = *size < LORT_MODEL_HEAD ? *size : LORT_MODEL_HEAD;
    return source->read(source->ctx, name, head, *n, err);
}

lort_code lort_model_read_head(lort_model *model, const char *path, uint8_t *head, uint64_t *n,
                               uint64_t *size, lort_error *err)
{
    lort_file *file;
    lort_file_info info;
    *n = 0;
    if (model->source)
        return read_source_head(model->source, path, head, n, size, err);
    lort_code code = lort_model_open_path(model, path, &file, err);
    if (code)
        return code;
    code = lort_os_info(file, &info, err);
    if (code == LORT_OK) {
        *size = info.size;
        *n = info.size < LORT_MODEL_HEAD ? info.size : LORT_MODEL_HEAD;
        code = lort_os_read(file, head, *n, 0, err);
    }
    lort_os_close(file, NULL);
    return code;
}

lort_code lort_model_read_whole(lort_model *model, const char *path, void *buffer, uint64_t n,
                                lort_error *err)
{
    lort_file *file;
    if (model->source)
        return model->source->read(model->source->ctx, path, buffer, n, err);
    lort_code code = lort_model_open_path(model, path, &file, err);
    if (code == LORT_OK)
        code = lort_os_read(file, buffer, n, 0, err);
    lort_os_close(file, NULL);
    return code;
}
