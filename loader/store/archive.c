/* archive: reads a .lort file through one gate. open accounts for every byte of the file:
 *
 *     HEAD | MODEL | payload 0 | PART 0 | payload 1 | PART 1 | ... | INDEX | FOOTER
 *
 * There is no gap and nothing behind FOOTER. formats/container checks what a record says.
 * lort_archive_chunk checks a chunk when it reads the chunk. After open nothing changes but the
 * page cache, so any number of threads may read chunks. */
#include "loader/store/archive.h"
#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include "formats/container/base.h"
#include "formats/container/part.h"
#include "formats/container/task.h"
#include "formats/types/planes.h"
#include "loader/os/os.h"
#include "loader/store/own.h"
#include "loader/store/record.h"

typedef unsigned long long ull;

struct lort_archive {
    const lort_alloc *alloc;
    lort_arena arena;
    const char *path, *name; /* name: within dir; the end of path */
    lort_dir *dir;
    lort_file *file;
    lort_map *map;       /* NULL: no address space; LoRT reads windows */
    lort_file_info info; /* at open */
    uint64_t size;
    lort_head head;
    lort_footer footer;
    lort_model_record model;
    lort_index_record index;
    lort_part *parts; /* [model.extent_count] */
    /* Unused: tensors[i].file. tensors[i].offset is the number of the part. */
    lort_index names;
    bool (*stop)(void *ctx); /* during open; may be NULL */
    void *stop_ctx;
    lort_base_reader base;
};

static const uint8_t head_start[] = {0x50, 0x2A, 0x4D, 0x18};
static const uint8_t head_mark[] = {'L', 'O', 'R', 'T', '\r', '\n', 0x1a, '\n'};

bool lort_archive_bid(const uint8_t *head, uint64_t n)
{
    uint64_t start = n < sizeof head_start ? n : sizeof head_start;
    if (n == 0 || memcmp(head, head_start, start) != 0)
        return false;
    if (n <= LORT_FRAME_HEADER)
        return true;
    uint64_t mark = n - LORT_FRAME_HEADER;
    return memcmp(head + LORT_FRAME_HEADER, head_mark,
                  mark < sizeof head_mark ? mark : sizeof head_mark) == 0;
}

bool lort_archive_resembles(const uint8_t *head, uint64_t n)
{
    uint8_t wanted[LORT_FRAME_HEADER + sizeof head_mark];
    n = n < sizeof wanted ? n : sizeof wanted;
    memcpy(wanted, head, n);
    memcpy(wanted, head_start, sizeof head_start);
    memcpy(wanted + LORT_FRAME_HEADER, head_mark, sizeof head_mark);
    return lort_own_resembles(head, wanted, n);
}

/* ---- bytes of the file ---- */

/* Sets *out to n bytes at offset: in the map, or read into scratch. */
static lort_code read_window(const lort_archive *a, uint64_t offset, uint64_t n,
                             lort_buffer *scratch, const uint8_t **out, lort_error *err)
{
    *out = NULL;
    if (offset > a->size || n > a->size - offset)
        return lort_fail(err, LORT_E_DAMAGED, "incomplete: %llu bytes at %llu of a file of %llu",
                         (ull)n, (ull)offset, (ull)a->size);
    if (a->map) {
        *out = lort_os_map_data(a->map) + offset;
        return LORT_OK;
    }
    scratch->size = 0;
    lort_put_zeros(scratch, n ? n : 1);
    lort_code code = lort_buffer_check(scratch, err);
    if (code == LORT_OK && n)
        code = lort_os_read(a->file, scratch->data, n, offset, err);
    *out = scratch->data;
    return code;
}

static lort_code view_bytes(void *ctx, uint64_t offset, uint64_t n, lort_buffer *scratch,
                            const uint8_t **out, lort_error *err)
{
    return read_window(ctx, offset, n, scratch, out, err);
}

lort_code lort_archive_unchanged(const lort_archive *a, lort_error *err)
{
    lort_file *again;
    lort_code code = lort_os_open_again(a->dir, a->name, &a->info, &again, err);
    if (code)
        return code;
    lort_os_close(again, NULL);
    char shown[600];
    if (a->map && lort_os_map_faulted(a->map))
        return lort_fail(err, LORT_E_READ, "'%s' could not be read, or shrank while it was read",
                         lort_escape_text(shown, sizeof shown, a->path));
    return LORT_OK;
}

/* Turns a failure into a read error once a page of the map has faulted, whatever the failure looked
 * like. Damage counts as a read error too if the file has changed since open. */
static lort_code as_read_error(const lort_archive *a, lort_code code, lort_error *err)
{
    const bool look = code == LORT_E_DAMAGED || (a->map && lort_os_map_faulted(a->map));
    return look && lort_archive_unchanged(a, err) != LORT_OK ? LORT_E_READ : code;
}

/* ---- the gate ---- */

static lort_code open_file(lort_archive *a, const char *path, lort_error *err)
{
    lort_code code = lort_arena_text(&a->arena, path, strlen(path), &a->path, err);
    if (code == LORT_OK)
        code = lort_os_dir_of(a->path, &a->dir, &a->name, err);
    if (code == LORT_OK)
        code = lort_os_open(a->dir, a->name, &a->file, err);
    if (code == LORT_OK)
        code = lort_os_info(a->file, &a->info, err);
    if (code)
        return code;
    a->size = a->info.size;
    if (a->size == 0)
        return lort_fail(err, LORT_E_DAMAGED, "incomplete: the file is empty");
    code = lort_os_map(a->file, a->size, &a->map, err);
    return code == LORT_E_MEMORY ? LORT_OK : code;
}

static lort_code read_head(lort_archive *a, const lort_record_source *source, lort_error *err)
{
    uint8_t start[LORT_FRAME_HEADER + sizeof head_mark] = {0};
    uint64_t n = a->size < sizeof start ? a->size : sizeof start;
    const uint8_t *data;
    lort_record record;
    lort_buffer scratch = {.alloc = a->alloc};
    lort_code code = read_window(a, 0, n, &scratch, &data, err);
    if (code == LORT_OK)
        memcpy(start, data, n);
    lort_buffer_free(&scratch);
    if (code)
        return code;
    bool marked =
        n == sizeof start && memcmp(start + LORT_FRAME_HEADER, head_mark, sizeof head_mark) == 0;
    bool started = memcmp(start, head_start, n < sizeof head_start ? n : sizeof head_start) == 0;
    if (!marked && !started)
        return lort_fail(err, LORT_E_INPUT, "not a .lort file");
    if (a->size < LORT_HEADER_BYTES)
        return lort_fail(err, LORT_E_DAMAGED,
                         "incomplete: the file has %llu bytes, its head alone has %llu",
                         (ull)a->size, (ull)LORT_HEADER_BYTES);
    code = lort_record_read(source, LORT_FRAME_HEAD, 0, LORT_HEADER_BYTES, &record, err);
    if (code == LORT_OK)
        code = lort_head_get(record.body, record.bytes, &a->head, err);
    lort_record_free(&record);
    return code;
}

/* A file of a task ends in a record of its own. */
static bool ends_as_task(const lort_archive *a, const lort_record_source *source,
                         lort_task_record *task)
{
    lort_record record = {0};
    bool is = a->size >= LORT_TASK_BYTES &&
              lort_record_read(source, LORT_FRAME_TASK, a->size - LORT_TASK_BYTES, a->size, &record,
                               NULL) == LORT_OK;
    is = is && lort_task_record_get(record.body, record.bytes, task, NULL) == LORT_OK;
    lort_record_free(&record);
    return is;
}

static lort_code read_footer(lort_archive *a, const lort_record_source *source, lort_error *err)
{
    lort_record record = {0};
    if (a->size < LORT_HEADER_BYTES + LORT_FOOTER_BYTES)
        return lort_fail(err, LORT_E_DAMAGED,
                         "incomplete: the file has %llu bytes, head and footer alone have %llu",
                         (ull)a->size, (ull)(LORT_HEADER_BYTES + LORT_FOOTER_BYTES));
    lort_code code = lort_record_read(source, LORT_FRAME_FOOTER, a->size - LORT_FOOTER_BYTES,
                                      a->size, &record, err);
    if (code == LORT_OK)
        code = lort_footer_get(record.body, record.bytes, &a->footer, err);
    lort_record_free(&record);
    lort_task_record task;
    if (code == LORT_E_DAMAGED && ends_as_task(a, source, &task))
        return lort_fail(err, LORT_E_INPUT,
                         "the file of task %u/%u, not a container: 'lort merge' joins all tasks",
                         task.task, task.tasks);
    if (code == LORT_E_DAMAGED)
        return lort_fail(
            err, code,
            "incomplete, or bytes follow its end: no footer at %llu, where the last %u bytes begin",
            (ull)(a->size - LORT_FOOTER_BYTES), LORT_FOOTER_BYTES);
    if (code == LORT_OK && a->footer.file_size != a->size)
        return lort_fail(
            err, LORT_E_DAMAGED,
            "the file has %llu bytes, its footer says %llu: bytes were put before or behind it",
            (ull)a->size, (ull)a->footer.file_size);
    return code;
}

static lort_code read_model(lort_archive *a, const lort_record_source *source, uint64_t *end,
                            lort_error *err)
{
    lort_record record;
    lort_code code = lort_record_read(source, LORT_FRAME_MODEL, LORT_HEADER_BYTES,
                                      a->footer.index_offset, &record, err);
    if (code == LORT_OK)
        code = lort_model_record_get(record.body, record.bytes, &a->arena, &a->model, err);
    if (code == LORT_OK && lort_model_record_has_paths(&a->model) &&
        !(a->head.required & LORT_FEATURE_PATHS))
        code = lort_fail(err, LORT_E_DAMAGED,
                         "files have paths, but bit 5 of the required features is not set");
    if (code == LORT_OK && a->model.base_count && !(a->head.required & LORT_FEATURE_BASE))
        code = lort_fail(err, LORT_E_DAMAGED,
                         "there is a base, but bit 7 of the required features is not set");
    *end = LORT_HEADER_BYTES + record.frame_bytes;
    lort_record_free(&record);
    if (code)
        lort_error_prefix(err, "model record");
    return code;
}

static lort_code read_index(lort_archive *a, const lort_record_source *source, lort_error *err)
{
    lort_record record;
    uint64_t offset = a->footer.index_offset, end = offset + a->footer.index_bytes;
    lort_code code = lort_record_read(source, LORT_FRAME_INDEX, offset, end, &record, err);
    if (code == LORT_OK && record.frame_bytes != a->footer.index_bytes)
        code = lort_fail(err, LORT_E_DAMAGED, "%llu bytes between the index and the footer",
                         (ull)(a->footer.index_bytes - record.frame_bytes));
    if (code == LORT_OK)
        code = lort_index_record_get(record.body, record.bytes, &a->arena, &a->index, err);
    if (code == LORT_OK && a->index.count != a->model.extent_count)
        code = lort_fail(err, LORT_E_DAMAGED, "%llu entries (expected %llu, one for each part)",
                         (ull)a->index.count, (ull)a->model.extent_count);
    lort_record_free(&record);
    if (code)
        lort_error_prefix(err, "index");
    return code;
}

/* Reads part i. Its payload begins at `start`, the end of the record before, and ends where its own
 * record begins. */
static lort_code read_part(lort_archive *a, const lort_record_source *source, uint64_t i,
                           uint64_t start, lort_error *err)
{
    lort_record record = {0};
    lort_part *part = &a->parts[i];
    const lort_index_entry *entry = &a->index.entries[i];
    if (entry->record_offset < start || entry->record_offset > a->footer.index_offset ||
        entry->record_bytes > a->footer.index_offset - entry->record_offset)
        return lort_fail(err, LORT_E_DAMAGED,
                         "its %llu bytes at offset %llu lie outside %llu to %llu",
                         (ull)entry->record_bytes, (ull)entry->record_offset, (ull)start,
                         (ull)a->footer.index_offset);
    lort_code code = lort_record_read(source, LORT_FRAME_PART, entry->record_offset,
                                      entry->record_offset + entry->record_bytes, &record, err);
    if (code == LORT_OK)
        code = lort_part_get(record.body, record.bytes, &a->arena, part, err);
    if (code == LORT_OK)
        code = lort_part_matches(part, &a->model, err);
    if (code == LORT_OK && (part->number != i || record.frame_bytes != entry->record_bytes ||
                            part->payload_bytes != entry->record_offset - start))
        code = lort_fail(
            err, LORT_E_DAMAGED, "it says part %llu with %llu payload bytes where %llu bytes lie",
            (ull)part->number, (ull)part->payload_bytes, (ull)(entry->record_offset - start));
    if (code == LORT_OK && lort_part_base(part) && a->model.base_count == 0)
        code = lort_fail(err, LORT_E_DAMAGED, "it is a difference, but there is no base");
    lort_record_free(&record);
    return code;
}

/* Readers go over slices and chunks of every part, and a small record shares those of a large one.
 * So the sum over all parts that share has a limit (docs/FORMAT.md, section 6). *sum: so far. */
static lort_code share_part(lort_archive *a, lort_part *part, uint64_t *sum, lort_error *err)
{
    /* the gate has checked that the origin is an earlier part */
    lort_code code = lort_part_share(part, &a->parts[part->origin], err);
    if (code)
        return code;
    *sum += part->chunk_count + (uint64_t)part->slices * part->term_count;
    if (*sum > LORT_SHARED_MOST)
        return lort_fail(err, LORT_E_DAMAGED,
                         "the parts that are the same as others have %llu chunks and ranks in all "
                         "(allowed: %llu)",
                         (ull)*sum, (ull)LORT_SHARED_MOST);
    return LORT_OK;
}

static lort_code read_parts(lort_archive *a, const lort_record_source *source, uint64_t start,
                            lort_error *err)
{
    void *memory;
    uint64_t shared = 0;
    lort_code code = lort_arena_take(&a->arena, a->index.count * sizeof *a->parts, &memory, err);
    if (code)
        return code;
    a->parts = memory;
    for (uint64_t i = 0; i < a->index.count; i++) {
        const lort_index_entry *entry = &a->index.entries[i];
        if (a->stop && a->stop(a->stop_ctx))
            return lort_fail(err, LORT_E_STOPPED, "stopped; nothing was published");
        code = read_part(a, source, i, start, err);
        if (code == LORT_OK && a->parts[i].same)
            code = share_part(a, &a->parts[i], &shared, err);
        if (code) {
            lort_error_prefix(err, "record of part %llu at offset %llu", (ull)i,
                              (ull)entry->record_offset);
            return code;
        }
        start = entry->record_offset + entry->record_bytes;
    }
    if (start != a->footer.index_offset)
        return lort_fail(err, LORT_E_DAMAGED, "%llu bytes between the last part and the index",
                         (ull)(a->footer.index_offset - start));
    return LORT_OK;
}

static lort_code check_identity(lort_archive *a, lort_error *err)
{
    lort_hasher *hasher;
    lort_code code = lort_hasher_open(a->alloc, &hasher, err);
    if (code)
        return code;
    for (uint64_t i = 0; i < a->index.count; i++)
        lort_hasher_add(hasher, a->parts[i].source.bytes, sizeof a->parts[i].source.bytes);
    lort_hash128 model = lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    if (memcmp(model.bytes, a->index.model.bytes, sizeof model.bytes) != 0)
        return lort_fail(err, LORT_E_DAMAGED,
                         "the model hash of the index is not that of its parts");
    return LORT_OK;
}

static lort_code build_names(lort_archive *a, lort_error *err)
{
    void *memory;
    uint64_t tensors = 0;
    for (uint64_t i = 0; i < a->index.count; i++)
        tensors += a->parts[i].tensor;
    lort_code code = lort_arena_take(&a->arena, tensors * sizeof(lort_tensor), &memory, err);
    if (code)
        return code;
    a->names.tensors = memory;
    for (uint64_t i = 0; i < a->index.count; i++) {
        const lort_part *part = &a->parts[i];
        if (part->tensor)
            a->names.tensors[a->names.count++] = (lort_tensor){.name = part->name,
                                                               .name_bytes = part->name_bytes,
                                                               .n_dims = part->n_dims,
                                                               .dims = part->dims,
                                                               .type = part->type,
                                                               .elements = lort_part_elements(part),
                                                               .bytes = part->source_bytes,
                                                               .offset = i};
    }
    code = lort_index_build(&a->names, &a->arena, err);
    if (code == LORT_E_INPUT) {
        code = LORT_E_DAMAGED;
        if (err)
            err->code = code;
    }
    return code;
}

static lort_code read_all(lort_archive *a, lort_error *err)
{
    uint64_t parts_start;
    lort_record_source source = {.view = view_bytes, .ctx = a, .alloc = a->alloc};
    lort_code code = lort_codec_open(1, &source.codec, err);
    if (code == LORT_OK)
        code = read_head(a, &source, err);
    if (code == LORT_OK)
        code = read_footer(a, &source, err);
    if (code == LORT_OK)
        code = read_model(a, &source, &parts_start, err);
    if (code == LORT_OK)
        code = read_index(a, &source, err);
    if (code == LORT_OK)
        code = read_parts(a, &source, parts_start, err);
    if (code == LORT_OK)
        code = check_identity(a, err);
    if (code == LORT_OK)
        code = build_names(a, err);
    lort_codec_close(source.codec);
    return as_read_error(a, code, err);
}

lort_code lort_archive_open(const char *path, const lort_alloc *alloc, lort_archive **out,
                            lort_error *err)
{
    return lort_archive_open_until(path, alloc, NULL, NULL, out, err);
}

lort_code lort_archive_open_until(const char *path, const lort_alloc *alloc,
                                  bool (*stop)(void *ctx), void *stop_ctx, lort_archive **out,
                                  lort_error *err)
{
    void *memory;
    *out = NULL;
    lort_code code = lort_take_zero(alloc, sizeof(lort_archive), "an archive", &memory, err);
    if (code)
        return code;
    lort_archive *a = memory;
    a->alloc = a->arena.alloc = alloc;
    a->stop = stop;
    a->stop_ctx = stop_ctx;
    code = open_file(a, path, err);
    if (code == LORT_OK)
        code = read_all(a, err);
    if (code == LORT_E_DAMAGED || code == LORT_E_INPUT)
        lort_error_path(err, path);
    if (code) {
        lort_archive_close(a);
        return code;
    }
    *out = a;
    return LORT_OK;
}

void lort_archive_close(lort_archive *a)
{
    if (!a)
        return;
    lort_os_unmap(a->map);
    lort_os_close(a->file, NULL);
    lort_os_dir_close(a->dir);
    lort_arena_free(&a->arena);
    lort_give(a->alloc, a, sizeof *a);
}

/* ---- what is in it ---- */

const char *lort_archive_path(const lort_archive *a) { return a->path; }
const lort_file_info *lort_archive_info(const lort_archive *archive) { return &archive->info; }
uint64_t lort_archive_size(const lort_archive *a) { return a->size; }
const lort_head *lort_archive_head(const lort_archive *a) { return &a->head; }
const lort_model_record *lort_archive_model(const lort_archive *a) { return &a->model; }
const lort_index_record *lort_archive_index(const lort_archive *a) { return &a->index; }
uint64_t lort_archive_count(const lort_archive *a) { return a->index.count; }
const lort_index *lort_archive_names(const lort_archive *a) { return &a->names; }

const lort_part *lort_archive_part(const lort_archive *a, uint64_t number)
{
    return number < a->index.count ? &a->parts[number] : NULL;
}

const lort_part *lort_archive_find(const lort_archive *a, const char *name, uint64_t name_bytes)
{
    const lort_tensor *tensor = lort_index_find(&a->names, name, name_bytes);
    return tensor ? &a->parts[tensor->offset] : NULL;
}

/* Position of an array in its part: payloads go slice by slice, and so do the chunks. */
static uint64_t array_order(uint32_t id)
{
    return (uint64_t)(id & (LORT_MAX_SLICES - 1)) << 8 | id >> 24;
}

/* The first chunk at this position or behind it. */
static uint64_t find_order(const lort_part *part, uint64_t order)
{
    uint64_t low = 0, high = part->chunk_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (array_order(part->chunks[middle].array) < order)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void lort_part_array(const lort_part *part, lort_array array, uint32_t slice, uint64_t *first,
                     uint64_t *count)
{
    uint64_t order = array_order(LORT_ARRAY_ID(array, slice));
    *first = find_order(part, order);
    *count = find_order(part, order + 1) - *first;
}

uint32_t lort_part_stored(const lort_part *part, uint32_t slice)
{
    const uint64_t chunk = find_order(part, (uint64_t)slice << 8);
    return chunk < part->chunk_count ? part->chunks[chunk].array & (LORT_MAX_SLICES - 1)
                                     : part->slices;
}

static uint64_t payload_at(const lort_archive *a, const lort_part *part)
{
    return a->index.entries[part->origin].record_offset - part->payload_bytes;
}

/* How the bytes of a chunk's array are split into planes. The gate has checked that the term
 * exists. */
static void planes_of(const lort_part *part, const lort_chunk *chunk, uint32_t *width, bool *rotate)
{
    const lort_array_info *array = lort_array_get(chunk->array);
    const lort_term *term = lort_part_term(part, chunk->array & (LORT_MAX_SLICES - 1), array->term);
    const bool right = array->right;
    *width = right ? term->right_width : term->left_width;
    *rotate = right ? term->right_rotate : term->left_rotate;
}

lort_code lort_archive_chunk(const lort_archive *a, const lort_part *part, uint64_t number,
                             lort_codec *codec, void *scratch, void *dst, lort_error *err)
{
    const lort_chunk *chunk = &part->chunks[number];
    uint32_t width;
    bool rotate;
    char shown[600];
    const uint8_t *stored;
    lort_buffer read = {.alloc = a->alloc};
    planes_of(part, chunk, &width, &rotate);
    lort_code code =
        read_window(a, payload_at(a, part) + chunk->offset, chunk->stored, &read, &stored, err);
    if (code == LORT_OK && lort_xxh64(stored, chunk->stored) != chunk->hash)
        code = lort_fail(err, LORT_E_DAMAGED, "the hash of its %u stored bytes does not match",
                         chunk->stored);
    const bool differs = chunk->array >> 24 == LORT_ARRAY_RAW && lort_part_base(part);
    bool done = false;
    if (code == LORT_OK && differs)
        code = lort_base_chunk(&a->base, part, chunk, stored, codec, a->alloc, scratch, dst, &done,
                               err);
    if (code == LORT_OK && !done)
        code =
            (lort_array_get(chunk->array)->frames ? lort_codec_decode_frames : lort_codec_decode)(
                codec, stored, chunk->stored, width == 1 ? dst : scratch, chunk->decoded, err);
    if (code == LORT_OK && width > 1 && !done)
        lort_planes_join(scratch, dst, chunk->decoded, width, rotate);
    lort_buffer_free(&read);
    code = as_read_error(a, code, err);
    if (code == LORT_E_DAMAGED)
        lort_error_prefix(err, "%s: part %llu, chunk %llu at offset %llu",
                          lort_escape_text(shown, sizeof shown, a->path), (ull)part->number,
                          (ull)number, (ull)(payload_at(a, part) + chunk->offset));
    return code;
}

void lort_archive_set_base(lort_archive *a, const lort_base_reader *base) { a->base = *base; }

lort_code lort_archive_base_bytes(const lort_archive *a, const lort_part *part, uint64_t offset,
                                  uint64_t n, uint8_t *dst, lort_error *err)
{
    if (a->base.absent)
        memset(dst, 0, (size_t)n);
    else if (!a->base.read)
        return lort_base_missing(err);
    return a->base.absent
               ? LORT_OK
               : a->base.read(a->base.ctx, part, &lort_part_base(part)->base, offset, n, dst, err);
}

bool lort_archive_has_base(const lort_archive *a) { return a->model.base_count != 0; }

bool lort_archive_part_absent(const lort_archive *a, const lort_part *part)
{
    return a->base.absent && lort_part_base(part);
}

void lort_archive_release(const lort_archive *a, const lort_part *part)
{
    if (a->map && part->payload_bytes)
        lort_os_map_advise(a->map, payload_at(a, part), part->payload_bytes, LORT_DONT_NEED, false);
}

lort_code lort_archive_told(const char *path, bool *archive, lort_error *err)
{
    lort_dir *dir;
    lort_file *file = NULL;
    lort_file_info info;
    const char *name;
    uint8_t head[64];
    bool exists;
    *archive = false;
    lort_code code = lort_os_stat(path, &info, &exists, err);
    if (code || !exists || info.kind == LORT_FILE_DIRECTORY)
        return code;
    code = lort_os_dir_of(path, &dir, &name, err);
    if (code)
        return code;
    code = lort_os_open(dir, name, &file, err);
    uint64_t n = info.size < sizeof head ? info.size : sizeof head;
    if (code == LORT_OK)
        code = lort_os_read(file, head, n, 0, err);
    if (code == LORT_OK)
        *archive = lort_archive_bid(head, n);
    lort_os_close(file, NULL);
    lort_os_dir_close(dir);
    return code;
}
