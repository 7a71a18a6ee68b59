/* headers: see headers.h.
 *
 *     container                       source                   loader/model
 *     first parts of a file  ------>  first bytes of a file -> parsers, shards, names, extents
 *     records (roles, parts) <------------- compared ----------------------'
 */
#include "compress/read/headers.h"
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "formats/container/part.h"
#include <string.h>

typedef unsigned long long ull;

#define SHOWN 200 /* bytes for a name in a message */
#define NOT_FOUND UINT32_MAX

static const lort_model_record *record_of(const lort_headers *h)
{
    return lort_archive_model(h->reading->archive);
}

static const char *show_file(const lort_headers *h, uint32_t file, char *out)
{
    return lort_escape_text(out, SHOWN, record_of(h)->files[file].name);
}

/* ---- memory ---- */

/* Bytes of memory per byte of a header: its bytes, read again twice as long if the parser asks for
 * more, and the copies of its texts. A new header takes as much again, since buffers grow by
 * doubling. Measured: 9 bytes per byte with a new header. */
#define HEADER_FACTOR 6
#define REWRITING_FACTOR 12
/* A tensor with its slots in two hash tables, two extents and the sort of the layout. */
#define TENSOR_BYTES 384
/* A file in the list of the model, and its name in a hash table. */
#define FILE_BYTES (1024 + sizeof(lort_header_file))
/* A gap before the first tensor looks like a header, and may be as long as the file. */
#define HEADER_MOST (256ull << 20)

uint64_t lort_headers_cost(const lort_archive *archive, bool rewriting)
{
    const lort_model_record *model = lort_archive_model(archive);
    uint64_t bytes = 0, tensors = 0;
    for (uint64_t i = 0; i < model->extent_count; i++) {
        const lort_extent *extent = &model->extents[i];
        tensors += extent->tensor;
        if (!extent->tensor && extent->offset == 0 &&
            model->files[extent->file].role != LORT_ROLE_SIDE)
            bytes += extent->bytes < HEADER_MOST ? extent->bytes : HEADER_MOST;
    }
    return (rewriting ? REWRITING_FACTOR : HEADER_FACTOR) * bytes + TENSOR_BYTES * tensors +
           FILE_BYTES * model->file_count;
}

/* ---- the files of the container as a source ---- */

static lort_code find_file(const lort_headers *h, const char *name, uint32_t *file, lort_error *err)
{
    char shown[SHOWN];
    const lort_names_slot *slot = lort_names_find(&h->names, name, (uint32_t)strlen(name));
    *file = slot ? slot->value : NOT_FOUND;
    return slot ? LORT_OK
                : lort_fail(err, LORT_E_INPUT, "the container holds no file '%s'",
                            lort_escape_text(shown, sizeof shown, name));
}

static lort_code list_files(void *ctx,
                            lort_code (*each)(void *each_ctx, const char *name, lort_error *),
                            void *each_ctx, lort_error *err)
{
    const lort_model_record *record = record_of(ctx);
    lort_code code = LORT_OK;
    for (uint32_t i = 0; i < record->file_count && code == LORT_OK; i++)
        code = each(each_ctx, record->files[i].name, err);
    return code;
}

static lort_code file_size(void *ctx, const char *name, uint64_t *size, lort_error *err)
{
    uint32_t file;
    lort_code code = find_file(ctx, name, &file, err);
    *size = code ? 0 : record_of(ctx)->files[file].size;
    return code;
}

/* Copies at most n decoded bytes of a raw part. *done: how many. */
static lort_code read_part(lort_headers *h, const lort_part *part, uint8_t *to, uint64_t n,
                           uint64_t *done, lort_error *err)
{
    const lort_scratch *scratch = &h->reading->session.scratch[0];
    for (uint64_t i = 0; i < part->chunk_count && *done < n; i++) {
        uint64_t bytes = part->chunks[i].decoded;
        lort_code code = lort_session_check_stop(&h->reading->session, err);
        if (code == LORT_OK)
            code = lort_archive_chunk(h->reading->archive, part, i, scratch->codec, scratch->planes,
                                      scratch->bytes, err);
        h->undecodable |= code == LORT_E_DAMAGED;
        if (code)
            return code;
        bytes = bytes < n - *done ? bytes : n - *done;
        memcpy(to + *done, scratch->bytes, (size_t)bytes);
        *done += bytes;
    }
    return LORT_OK;
}

/* Gives zeros from the first tensor on. A header that reaches into them does not match the
 * extents. */
static lort_code read_start(void *ctx, const char *name, void *buffer, uint64_t n, lort_error *err)
{
    lort_headers *h = ctx;
    uint32_t file;
    uint64_t done = 0;
    lort_code code = find_file(h, name, &file, err);
    if (code)
        return code;
    const lort_header_file *span = &h->files[file];
    for (uint64_t i = span->first; i < span->first + span->count && code == LORT_OK; i++) {
        const lort_part *part = lort_archive_part(h->reading->archive, i);
        if (part->tensor || done == n)
            break;
        code = read_part(h, part, buffer, n, &done, err);
    }
    if (code == LORT_OK)
        memset((uint8_t *)buffer + done, 0, (size_t)(n - done));
    return code;
}

static lort_code list_spans(lort_headers *h, lort_error *err)
{
    const lort_model_record *record = record_of(h);
    const lort_alloc *alloc = &h->reading->session.alloc;
    void *memory;
    lort_code code =
        lort_take_zero(alloc, record->file_count * sizeof *h->files, "files", &memory, err);
    if (code)
        return code;
    h->files = memory;
    h->names.alloc = alloc;
    for (uint32_t f = 0; f < record->file_count && code == LORT_OK; f++) {
        bool is_new;
        uint32_t number;
        const char *name = record->files[f].name;
        h->files[f].found = NOT_FOUND;
        code = lort_names_add(&h->names, name, (uint32_t)strlen(name), f, &is_new, &number, err);
    }
    for (uint64_t i = 0; i < record->extent_count && code == LORT_OK; i++) {
        lort_header_file *span = &h->files[record->extents[i].file];
        span->first = span->count++ ? span->first : i;
        span->tensors += record->extents[i].tensor;
    }
    return code;
}

/* ---- the model ---- */

/* The file by which LoRT opens the restored model; NULL: by its directory. An index of another name
 * must be named: LoRT may not see from the start of the file that it is one. */
static const char *opening_file(const lort_model_record *record)
{
    const char *odd = NULL;
    if (!record->directory)
        return record->files[0].name;
    for (uint32_t i = 0; i < record->file_count; i++)
        if (record->files[i].role == LORT_ROLE_INDEX &&
            !lort_model_finds_index(record->files[i].name))
            odd = record->files[i].name;
    return odd;
}

static lort_code note_files(lort_headers *h, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint32_t i = 0; i < lort_model_file_count(h->model) && code == LORT_OK; i++) {
        uint32_t file;
        code = find_file(h, lort_model_get_file(h->model, i)->name, &file, err);
        if (code == LORT_OK)
            h->files[file].found = i;
    }
    return code;
}

static lort_code open_model(lort_headers *h, lort_error *err)
{
    const lort_model_record *record = record_of(h);
    h->source = (lort_model_source){list_files, file_size, read_start, h, NULL};
    lort_code code = lort_model_open_source(&h->source, opening_file(record), record->directory,
                                            &h->reading->session.alloc, &h->model, err);
    if (code == LORT_OK && lort_model_directory(h->model) != record->directory)
        code = lort_fail(err, LORT_E_INPUT, "it has several files, but is restored as one file");
    if (code == LORT_OK)
        return note_files(h, err);
    if (code != LORT_E_INPUT && code != LORT_E_USAGE)
        return code;
    lort_error_prefix(err, "the files in the container are no model that LoRT opens");
    if (err)
        err->code = LORT_E_DAMAGED;
    return LORT_E_DAMAGED;
}

static lort_code match_file(const lort_headers *h, uint32_t file, lort_error *err)
{
    static const char *const roles[] = {"weights", "index", "side file"};
    const lort_input_file *own = &record_of(h)->files[file];
    const lort_header_file *span = &h->files[file];
    lort_role role = LORT_ROLE_SIDE;
    const char *format = "bytes";
    char name[SHOWN], shown[SHOWN];
    if (span->found != NOT_FOUND) {
        const lort_model_file *found = lort_model_get_file(h->model, span->found);
        role = found->role;
        format = role == LORT_ROLE_INDEX ? "json" : found->header.format->name;
    }
    if (own->role != role || strcmp(own->format, format) != 0)
        return lort_fail(err, LORT_E_DAMAGED,
                         "file '%s' has the role '%s' and the format '%s' in the container (by its "
                         "contents: '%s' and '%s')",
                         show_file(h, file, name), roles[own->role],
                         lort_escape_text(shown, sizeof shown, own->format), roles[role], format);
    if (role == LORT_ROLE_SIDE && span->tensors)
        return lort_fail(err, LORT_E_DAMAGED, "side file '%s' has %llu tensors (allowed: 0)",
                         show_file(h, file, name), (ull)span->tensors);
    return LORT_OK;
}

static bool is_tensor(const lort_part *part, const lort_tensor *tensor)
{
    bool same = tensor->name_bytes == part->name_bytes &&
                memcmp(tensor->name, part->name, part->name_bytes) == 0 &&
                tensor->type->id == part->dtype && tensor->n_dims == part->n_dims;
    for (uint32_t i = 0; same && i < part->n_dims; i++)
        same = tensor->dims[i] == part->dims[i];
    return same;
}

/* Compares part `number` of the container with extent `at` of the model. */
static lort_code match_part(const lort_headers *h, uint32_t file, uint64_t number, uint64_t at,
                            lort_error *err)
{
    uint64_t count;
    const lort_extent *extent = &lort_model_extents(h->model, &count)[at];
    const uint64_t tensor = lort_model_extent_tensor(h->model, at);
    const lort_part *part = lort_archive_part(h->reading->archive, number);
    char name[SHOWN];
    if (part->tensor != extent->tensor || part->source_bytes != extent->bytes)
        return lort_fail(err, LORT_E_DAMAGED,
                         "part %llu is %s of %llu bytes; the header of file '%s' has %s of %llu "
                         "bytes in this place",
                         (ull)number, part->tensor ? "a tensor" : "raw", (ull)part->source_bytes,
                         show_file(h, file, name), extent->tensor ? "a tensor" : "no tensor",
                         (ull)extent->bytes);
    if (part->tensor && !is_tensor(part, &lort_model_index(h->model)->tensors[tensor]))
        return lort_fail(err, LORT_E_DAMAGED,
                         "part %llu is not the tensor that the header of file '%s' has in this "
                         "place",
                         (ull)number, show_file(h, file, name));
    return LORT_OK;
}

/* Extents of a model go file by file, as the parts of the container do within a file. */
static lort_code match_parts(const lort_headers *h, lort_error *err)
{
    uint64_t count, at = 0, end;
    const lort_extent *extents = lort_model_extents(h->model, &count);
    lort_code code = LORT_OK;
    char name[SHOWN];
    for (uint32_t i = 0; i < lort_model_file_count(h->model) && code == LORT_OK; i++) {
        uint32_t file;
        code = find_file(h, lort_model_get_file(h->model, i)->name, &file, err);
        if (code)
            return code;
        const lort_header_file *span = &h->files[file];
        for (end = at; end < count && extents[end].file == i; end++)
            ;
        if (end - at != span->count)
            return lort_fail(err, LORT_E_DAMAGED,
                             "file '%s' has %llu parts in the container, but %llu by its header",
                             show_file(h, file, name), (ull)span->count, (ull)(end - at));
        for (uint64_t k = 0; k < span->count && code == LORT_OK; k++, at++)
            code = match_part(h, file, span->first + k, at, err);
    }
    return code;
}

/* Any type that --dtype allows must give files of less than 2^63 bytes. F32 is the largest. */
static lort_code check_sizes(const lort_headers *h, lort_error *err)
{
    uint64_t left = INT64_MAX;
    for (uint64_t i = 0; i < lort_archive_count(h->reading->archive); i++) {
        const lort_part *part = lort_archive_part(h->reading->archive, i);
        const uint64_t wide = lort_part_is_raw(part) ? 0 : 4 * lort_part_elements(part),
                       bytes = wide > part->source_bytes ? wide : part->source_bytes;
        if (bytes > left)
            return lort_fail(err, LORT_E_DAMAGED,
                             "the tensors up to part %llu have 2^63 bytes or more as F32", (ull)i);
        left -= bytes;
    }
    return LORT_OK;
}

static lort_code match_model(lort_headers *h, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint32_t f = 0; f < record_of(h)->file_count && code == LORT_OK; f++)
        code = match_file(h, f, err);
    if (code == LORT_OK)
        code = match_parts(h, err);
    return code ? code : check_sizes(h, err);
}

lort_code lort_headers_open(lort_headers *headers, lort_reading *reading, lort_error *err)
{
    *headers = (lort_headers){.reading = reading};
    lort_code code = list_spans(headers, err);
    if (code == LORT_OK)
        code = open_model(headers, err);
    if (code == LORT_OK)
        code = match_model(headers, err);
    if (code == LORT_E_DAMAGED && !headers->undecodable) /* else the path stands there already */
        lort_error_path(err, lort_archive_path(reading->archive));
    return code;
}

void lort_headers_close(lort_headers *headers)
{
    if (!headers->reading)
        return;
    const lort_alloc *alloc = &headers->reading->session.alloc;
    const uint64_t files = record_of(headers)->file_count;
    lort_model_close(headers->model);
    lort_give(alloc, headers->files, files * sizeof *headers->files);
    lort_names_free(&headers->names);
    *headers = (lort_headers){0};
}

const lort_header *lort_headers_get(const lort_headers *headers, uint32_t file,
                                    const uint8_t **bytes)
{
    const uint32_t found = headers->files[file].found;
    *bytes = lort_model_head(headers->model, found);
    return &lort_model_get_file(headers->model, found)->header;
}
