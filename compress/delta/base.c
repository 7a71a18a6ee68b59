/* base: see base.h. Each tensor of the base is hashed before its first bytes go to a reader of a
 * container. A container as base has these hashes already, and checks each chunk. */
#include "compress/delta/base.h"
#include "compress/session/report.h"
#include "formats/base/plain_path.h"
#include "formats/container/base.h"
#include "formats/container/difference.h"
#include "formats/container/part.h"
#include <string.h>

#define HASH_PIECE (256u << 10)

/* The buffers of one reader of a container. Readers take a free one. */
typedef struct chunk_reader {
    struct chunk_reader *next;
    lort_codec *codec;
    uint8_t *planes, *bytes; /* [chunk] each */
    lort_chunk_cache cache;
} chunk_reader;

struct lort_base {
    lort_session *session;
    const lort_alloc *alloc;
    lort_input input;
    const char *shown; /* the path, escaped */
    lort_mutex *mutex;
    lort_hash128 *hashes; /* [index->count] */
    bool *hashed;         /* [index->count] */
    uint64_t chunk;       /* the largest chunk of a container */
    chunk_reader *idle;
};

/* ---- opening ---- */

static lort_code check_archive(const lort_base *base, lort_error *err)
{
    const lort_archive *archive = base->input.archive;
    char name[200];
    if (archive && lort_archive_has_base(archive))
        return lort_fail(err, LORT_E_INPUT,
                         "%s: the base is itself a difference to another base: restore it first",
                         base->shown);
    for (uint64_t i = 0; archive && i < lort_archive_count(archive); i++) {
        const lort_part *part = lort_archive_part(archive, i);
        if (!lort_part_is_raw(part))
            return lort_fail(err, LORT_E_INPUT,
                             "%s: the base does not hold its model losslessly (tensor %s): give "
                             "the model that it was made from",
                             base->shown,
                             lort_escape(name, sizeof name, part->name, part->name_bytes));
    }
    return LORT_OK;
}

static lort_code open_lists(lort_base *base, lort_error *err)
{
    const uint64_t count = base->input.index->count;
    void *memory;
    lort_code code = lort_take_zero(base->alloc, count * sizeof *base->hashes, "hashes of the base",
                                    &memory, err);
    if (code)
        return code;
    base->hashes = memory;
    code = lort_take_zero(base->alloc, count * sizeof *base->hashed, "hashes of the base", &memory,
                          err);
    base->hashed = code ? NULL : memory;
    for (uint64_t i = 0; code == LORT_OK && base->input.archive && i < count; i++) {
        base->hashes[i] =
            lort_archive_part(base->input.archive, base->input.index->tensors[i].offset)->source;
        base->hashed[i] = true;
    }
    if (base->input.archive)
        base->chunk = lort_archive_chunk_max(base->input.archive);
    return code ? code : lort_os_mutex_open(&base->mutex, err);
}

static uint32_t file_count(const lort_base *base)
{
    return base->input.archive ? lort_archive_model(base->input.archive)->file_count
                               : lort_model_file_count(base->input.model);
}

static void note_report(lort_base *base)
{
    lort_report *report = base->session->report;
    report->base_path =
        lort_report_escape(report, base->input.named.path, strlen(base->input.named.path));
    report->base_bytes = base->input.archive ? lort_archive_size(base->input.archive)
                                             : lort_model_bytes(base->input.model);
    report->base_files = file_count(base);
    base->shown = report->base_path;
}

lort_code lort_base_open(lort_session *session, const char *path, const char *weights,
                         lort_base **out, lort_error *err)
{
    const lort_model_options files = lort_named_options(session, weights, true, false);
    void *memory;
    *out = NULL;
    lort_code code = lort_take_zero(&session->alloc, sizeof(lort_base), "the base", &memory, err);
    if (code)
        return code;
    lort_base *base = memory;
    base->session = session;
    base->alloc = &session->alloc;
    base->shown = "";
    code = lort_input_open_as(path, &files, base->alloc, lort_session_warn_text, lort_session_stops,
                              session, &base->input, err);
    if (code == LORT_OK) {
        note_report(base);
        code = check_archive(base, err);
    } else if (code != LORT_E_MEMORY) {
        lort_error_prefix(err, "base");
    }
    if (code == LORT_OK)
        code = open_lists(base, err);
    if (code == LORT_OK && base->input.model)
        lort_model_stop_when(base->input.model, lort_session_stops, session);
    if (code)
        lort_base_close(base);
    else
        *out = base;
    return lort_session_name_limit(session, path, code, err);
}

lort_code lort_base_open_for(lort_session *session, const lort_options *options,
                             const lort_index *tensors, lort_error *err)
{
    session->offline = options->offline;
    lort_code code = lort_base_open(session, options->base, options->weights, &session->base, err);
    for (uint64_t i = 0; code == LORT_OK && i < tensors->count; i++) {
        uint64_t number;
        const lort_base_match match = lort_base_find(session->base, &tensors->tensors[i], &number);
        session->report->tensors[i].base =
            match == LORT_BASE_WHOLE ? "difference" : lort_base_match_text(match);
    }
    return code;
}

static void close_reader(const lort_base *base, chunk_reader *reader)
{
    lort_codec_close(reader->codec);
    lort_give(base->alloc, reader->planes, base->chunk);
    lort_give(base->alloc, reader->bytes, base->chunk);
    lort_give(base->alloc, reader, sizeof *reader);
}

void lort_base_close(lort_base *base)
{
    if (!base)
        return;
    while (base->idle) {
        chunk_reader *reader = base->idle;
        base->idle = reader->next;
        close_reader(base, reader);
    }
    const uint64_t count = base->input.index ? base->input.index->count : 0;
    if (base->hashes)
        lort_give(base->alloc, base->hashes, count * sizeof *base->hashes);
    if (base->hashed)
        lort_give(base->alloc, base->hashed, count * sizeof *base->hashed);
    if (base->mutex)
        lort_os_mutex_close(base->mutex);
    lort_input_close(&base->input);
    lort_give(base->alloc, base, sizeof *base);
}

lort_code lort_base_unchanged(const lort_base *base, lort_error *err)
{
    return base ? lort_input_unchanged(&base->input, err) : LORT_OK;
}

const lort_input *lort_base_input(const lort_base *base) { return &base->input; }

uint64_t lort_base_cost(const lort_base *base, unsigned threads)
{
    uint64_t each = sizeof(lort_difference_space);
    if (!base)
        return 0;
    if (base->input.archive)
        each += 2 * base->chunk + lort_codec_memory(LORT_ZSTD_LEVEL_DEFAULT);
    return threads * each + HASH_PIECE;
}

/* ---- tensors ---- */

lort_base_match lort_base_find(const lort_base *base, const lort_tensor *tensor, uint64_t *number)
{
    const lort_index *index = base->input.index;
    const lort_tensor *found = lort_index_find(index, tensor->name, tensor->name_bytes);
    bool same = true;
    if (!found)
        return LORT_BASE_NEW;
    *number = (uint64_t)(found - index->tensors);
    if (found->type->id != tensor->type->id)
        return LORT_BASE_TYPE;
    same = found->n_dims == tensor->n_dims;
    for (uint32_t i = 1; same && i < tensor->n_dims; i++)
        same = found->dims[i] == tensor->dims[i];
    if (!same || tensor->bytes == 0 || found->bytes == 0)
        return LORT_BASE_SHAPE;
    if (found->bytes == tensor->bytes)
        return LORT_BASE_WHOLE;
    return tensor->type->kind == LORT_KIND_OPAQUE ? LORT_BASE_SHAPE : LORT_BASE_ROWS;
}

const char *lort_base_match_text(lort_base_match match)
{
    static const char *const texts[] = {
        [LORT_BASE_WHOLE] = "",
        [LORT_BASE_ROWS] = "the base has another number of rows: the common ones as a difference",
        [LORT_BASE_NEW] = "the base lacks it",
        [LORT_BASE_TYPE] = "the base has it in another type",
        [LORT_BASE_SHAPE] = "the base has it in another shape"};
    return texts[match];
}

static lort_code hash_tensor(lort_base *base, uint64_t number, lort_error *err)
{
    const lort_tensor *tensor = &base->input.index->tensors[number];
    void *scratch;
    lort_hasher *hasher = NULL;
    lort_code code = lort_take(base->alloc, HASH_PIECE, "reading the base", &scratch, err);
    if (code)
        return code;
    code = lort_hasher_open(base->alloc, &hasher, err);
    if (code == LORT_OK)
        code = lort_model_hash(base->input.model, tensor->file, tensor->offset, tensor->bytes,
                               scratch, HASH_PIECE, hasher, err);
    if (code == LORT_OK)
        code = lort_model_check(base->input.model, tensor->file, err);
    if (code == LORT_OK) {
        base->hashes[number] = lort_hasher_value(hasher);
        base->hashed[number] = true;
    }
    lort_hasher_close(hasher);
    lort_give(base->alloc, scratch, HASH_PIECE);
    return code;
}

/* Hashes a tensor unless that is done. Others who want the hash wait. */
static lort_code want_hash(lort_base *base, uint64_t number, lort_error *err)
{
    lort_os_lock_mutex(base->mutex);
    lort_code code = base->hashed[number] ? LORT_OK : hash_tensor(base, number, err);
    lort_os_unlock_mutex(base->mutex);
    return code;
}

lort_code lort_base_describe(lort_base *base, uint64_t number, lort_base_tensor *out,
                             lort_error *err)
{
    const lort_tensor *tensor = &base->input.index->tensors[number];
    lort_code code = want_hash(base, number, err);
    *out =
        (lort_base_tensor){tensor->name, tensor->name_bytes, tensor->bytes, base->hashes[number]};
    return code;
}

static lort_code take_reader(lort_base *base, chunk_reader **out, lort_error *err)
{
    void *memory;
    lort_os_lock_mutex(base->mutex);
    chunk_reader *reader = base->idle;
    base->idle = reader ? reader->next : NULL;
    lort_os_unlock_mutex(base->mutex);
    *out = reader;
    if (reader)
        return LORT_OK;
    lort_code code =
        lort_take_zero(base->alloc, sizeof *reader, "a reader of the base", &memory, err);
    if (code)
        return code;
    reader = memory;
    code = lort_codec_open(LORT_ZSTD_LEVEL_DEFAULT, &reader->codec, err);
    if (code == LORT_OK)
        code = lort_take(base->alloc, base->chunk, "a chunk of the base", &memory, err);
    reader->planes = code ? NULL : memory;
    if (code == LORT_OK)
        code = lort_take(base->alloc, base->chunk, "a chunk of the base", &memory, err);
    reader->bytes = code || !reader->planes ? NULL : memory;
    if (code)
        close_reader(base, reader);
    else
        *out = reader;
    return code;
}

static void give_reader(lort_base *base, chunk_reader *reader)
{
    lort_os_lock_mutex(base->mutex);
    reader->next = base->idle;
    base->idle = reader;
    lort_os_unlock_mutex(base->mutex);
}

/* Where a chunk of a part that is kept whole begins, in bytes of its tensor. */
static uint64_t chunk_place(const lort_part *part, uint64_t number)
{
    const lort_chunk *chunk = &part->chunks[number];
    const uint64_t slice = chunk->array & (LORT_MAX_SLICES - 1);
    return slice * (part->source_bytes / part->slices) +
           chunk->first / part->type->block_elements * part->type->block_bytes;
}

/* The chunk with the byte at `place`. */
static uint64_t chunk_at(const lort_part *part, uint64_t place)
{
    uint64_t low = 0, high = part->chunk_count - 1;
    while (low < high) {
        const uint64_t middle = low + (high - low + 1) / 2;
        if (chunk_place(part, middle) <= place)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static lort_code load_chunk(const lort_base *base, chunk_reader *reader, const lort_part *part,
                            uint64_t number, lort_error *err)
{
    lort_chunk_cache *cache = &reader->cache;
    if (cache->valid && cache->part == part && cache->chunk == number)
        return LORT_OK;
    lort_code code = lort_archive_chunk(base->input.archive, part, number, reader->codec,
                                        reader->planes, reader->bytes, err);
    *cache = (lort_chunk_cache){part, number, code == LORT_OK};
    return code;
}

static lort_code archive_bytes(lort_base *base, const lort_part *part, uint64_t offset, uint64_t n,
                               uint8_t *dst, lort_error *err)
{
    chunk_reader *reader;
    lort_code code = take_reader(base, &reader, err);
    if (code)
        return code;
    while (n && code == LORT_OK) {
        const uint64_t number = chunk_at(part, offset), place = chunk_place(part, number),
                       left = place + part->chunks[number].decoded - offset,
                       some = left < n ? left : n;
        code = load_chunk(base, reader, part, number, err);
        if (code == LORT_OK)
            memcpy(dst, reader->bytes + (offset - place), (size_t)some);
        offset += some;
        dst += some;
        n -= some;
    }
    give_reader(base, reader);
    return code;
}

static lort_code model_bytes(const lort_base *base, const lort_tensor *tensor, uint64_t offset,
                             uint64_t n, uint8_t *dst, lort_error *err)
{
    const uint8_t *view;
    lort_code code = lort_model_view(base->input.model, tensor->file, tensor->offset + offset, n,
                                     dst, &view, err);
    if (code)
        return code;
    if (view != dst)
        memcpy(dst, view, (size_t)n);
    return lort_model_check(base->input.model, tensor->file, err);
}

lort_code lort_base_bytes(lort_base *base, uint64_t number, uint64_t offset, uint64_t n,
                          uint8_t *dst, lort_error *err)
{
    const lort_tensor *tensor = &base->input.index->tensors[number];
    const uint64_t left = offset < tensor->bytes ? tensor->bytes - offset : 0,
                   some = left < n ? left : n;
    lort_code code = LORT_OK;
    if (some && base->input.archive)
        code = archive_bytes(base, lort_archive_part(base->input.archive, tensor->offset), offset,
                             some, dst, err);
    else if (some)
        code = model_bytes(base, tensor, offset, some, dst, err);
    memset(dst + some, 0, (size_t)(n - some));
    return code ? lort_error_prefix(err, "base %s", base->shown) : LORT_OK;
}

lort_code lort_base_subtract(lort_base *base, uint64_t number, uint64_t first, uint64_t n,
                             float *dst, lort_error *err)
{
    enum { RUN = 1024 };
    const lort_dtype_info *type = base->input.index->tensors[number].type;
    uint8_t bytes[RUN * sizeof(double)];
    float values[RUN];
    for (uint64_t at = 0; at < n; at += RUN) {
        const uint64_t some = n - at < RUN ? n - at : RUN;
        lort_code code = lort_base_bytes(base, number, (first + at) * type->block_bytes,
                                         some * type->block_bytes, bytes, err);
        if (code)
            return code;
        type->decode(bytes, values, some);
        for (uint64_t i = 0; i < some; i++)
            dst[at + i] -= values[i];
    }
    return LORT_OK;
}

void lort_base_release(lort_base *base, uint64_t number)
{
    const lort_tensor *tensor = &base->input.index->tensors[number];
    if (base->input.model)
        lort_model_release(base->input.model, tensor->file, tensor->offset, tensor->bytes);
}

/* ---- files ---- */

/* The hash of the header of a file, and its first extent. */
static lort_code model_header(const lort_base *base, uint32_t number, lort_hash128 *hash,
                              lort_error *err)
{
    uint64_t count, header = 0;
    const lort_extent *extents = lort_model_extents(base->input.model, &count);
    void *scratch;
    lort_hasher *hasher = NULL;
    for (uint64_t i = 0; i < count && !header; i++)
        if (extents[i].file == number) {
            header = extents[i].tensor ? 0 : extents[i].bytes;
            break;
        }
    lort_code code = lort_take(base->alloc, HASH_PIECE, "reading headers", &scratch, err);
    if (code)
        return code;
    code = lort_hasher_open(base->alloc, &hasher, err);
    if (code == LORT_OK)
        code =
            lort_model_hash(base->input.model, number, 0, header, scratch, HASH_PIECE, hasher, err);
    if (code == LORT_OK)
        *hash = lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    lort_give(base->alloc, scratch, HASH_PIECE);
    return code;
}

static lort_hash128 archive_header(const lort_archive *archive, uint32_t number)
{
    const lort_model_record *model = lort_archive_model(archive);
    for (uint64_t i = 0; i < model->extent_count; i++)
        if (model->extents[i].file == number && !model->extents[i].tensor)
            return lort_archive_part(archive, i)->source;
    return (lort_hash128){{0}};
}

lort_code lort_base_list(lort_base *base, lort_arena *arena, lort_model_record *record,
                         lort_error *err)
{
    const uint32_t count = file_count(base);
    void *memory;
    record->base_count = 0;
    lort_code code = lort_arena_take(arena, count * sizeof *record->base, &memory, err);
    record->base = code ? NULL : memory;
    for (uint32_t i = 0; i < count && code == LORT_OK; i++) {
        lort_base_file *file = &record->base[record->base_count];
        if (base->input.archive) {
            const lort_input_file *f = &lort_archive_model(base->input.archive)->files[i];
            if (f->role != LORT_ROLE_WEIGHTS)
                continue;
            *file = (lort_base_file){f->name, f->size, archive_header(base->input.archive, i)};
        } else {
            const lort_model_file *f = lort_model_get_file(base->input.model, i);
            if (f->role != LORT_ROLE_WEIGHTS)
                continue;
            *file = (lort_base_file){f->name, f->size, {{0}}};
            code = model_header(base, i, &file->header, err);
        }
        record->base_count++;
    }
    return code;
}

/* ---- the base of a container ---- */

static lort_code differs(const lort_base *base, lort_error *err, const char *what, const char *name)
{
    char shown[300];
    return lort_fail(err, LORT_E_INPUT,
                     "%s: not the base that the container was made from: %s '%s'", base->shown,
                     what, lort_escape_text(shown, sizeof shown, name));
}

/* One file may have another name: people rename files. */
static lort_code check_files(lort_base *base, const lort_model_record *model, lort_error *err)
{
    lort_arena arena = {.alloc = base->alloc};
    lort_model_record own = {0};
    lort_code code = lort_base_list(base, &arena, &own, err);
    for (uint32_t i = 0; code == LORT_OK && i < model->base_count; i++) {
        const lort_base_file *want = &model->base[i], *have = &own.base[i];
        if (i >= own.base_count || (model->base_count > 1 && strcmp(want->name, have->name) != 0))
            code = differs(base, err, "it lacks the weight file", want->name);
        else if (want->size != have->size)
            code = differs(base, err, "another size has the weight file", have->name);
        else if (memcmp(want->header.bytes, have->header.bytes, sizeof want->header.bytes) != 0)
            code = differs(base, err, "another header has the weight file", have->name);
    }
    if (code == LORT_OK && own.base_count > model->base_count)
        code = differs(base, err, "it has the weight file too", own.base[model->base_count].name);
    lort_arena_free(&arena);
    return code;
}

static lort_code wrong_tensor(const lort_base *base, const lort_base_tensor *want, const char *why,
                              lort_error *err)
{
    char name[200];
    lort_error_tensor(err, want->name, want->name_bytes);
    return lort_fail(
        err, LORT_E_INPUT, "%s: not the base that the container was made from: its tensor %s %s",
        base->shown, lort_escape(name, sizeof name, want->name, want->name_bytes), why);
}

/* The read function of a lort_base_reader. */
static lort_code read_checked(void *ctx, const lort_part *part, const lort_base_tensor *want,
                              uint64_t offset, uint64_t n, uint8_t *dst, lort_error *err)
{
    lort_base *base = ctx;
    const lort_index *index = base->input.index;
    const lort_tensor *found = lort_index_find(index, want->name, want->name_bytes);
    if (!found)
        return wrong_tensor(base, want, "is not there", err);
    const uint64_t number = (uint64_t)(found - index->tensors);
    if (found->bytes != want->bytes || found->type->id != part->dtype)
        return wrong_tensor(base, want, "has another type or size", err);
    lort_code code = want_hash(base, number, err);
    if (code)
        return lort_error_prefix(err, "base %s", base->shown);
    if (memcmp(base->hashes[number].bytes, want->hash.bytes, sizeof want->hash.bytes) != 0)
        return wrong_tensor(base, want, "has other bytes", err);
    return lort_base_bytes(base, number, offset, n, dst, err);
}

static lort_code attach(lort_base *base, lort_archive *archive, lort_error *err)
{
    if (!archive || !lort_archive_has_base(archive))
        return LORT_OK;
    lort_archive_set_base(archive, &(lort_base_reader){.read = read_checked, .ctx = base});
    return check_files(base, lort_archive_model(archive), err);
}

static bool needs_base(const lort_archive *archive)
{
    return archive && lort_archive_has_base(archive);
}

static lort_code attach_both(lort_session *session, const char *path, lort_archive *a,
                             lort_archive *b, lort_base **out, lort_error *err)
{
    const bool needed = needs_base(a) || needs_base(b);
    *out = NULL;
    if (!path)
        return needed ? lort_base_missing(err) : LORT_OK;
    if (!needed) {
        lort_session_warn(session, "there are no differences to a base: --base is not used");
        return LORT_OK;
    }
    lort_code code = lort_base_open(session, path, NULL, out, err);
    if (code == LORT_OK)
        code = attach(*out, a, err);
    return code ? code : attach(*out, b, err);
}

lort_code lort_base_attach(lort_session *session, const char *path, lort_archive *archive,
                           lort_base **out, lort_error *err)
{
    return attach_both(session, path, archive, NULL, out, err);
}

lort_code lort_base_attach_two(lort_session *session, const char *path, const lort_input *a,
                               const lort_input *b, lort_base **out, lort_error *err)
{
    return attach_both(session, path, a->archive, b->archive, out, err);
}
