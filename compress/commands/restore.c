/* restore: writes the files of a model from a container.
 *
 * Kept tensors come back byte for byte. Factored and coded tensors are decoded and written in their
 * own type if it is F32, F16 or BF16, else in F16; --dtype overrides that. Where a type changes,
 * the header of the file, its offsets and total_size of index.json change along. */
#include "compress/commands/restore_rows.h"
#include "compress/delta/base.h"
#include "compress/goal/given.h"
#include "compress/read/finite.h"
#include "compress/read/headers.h"
#include "compress/session/report.h"
#include "formats/base/bytes.h"
#include "formats/base/plain_path.h"
#include "formats/container/part.h"
#include "formats/inputs/shards.h"
#include "loader/store/publish.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One file to write. */
typedef struct out_file {
    uint64_t first, count; /* parts of the file */
    bool retyped;          /* a tensor changes its type, so the header changes */
    uint64_t size;         /* of the restored file */
    lort_buffer header;    /* retyped: the new header */
    uint64_t *offsets;     /* retyped: new offsets of the tensors, in order */
    uint64_t tensors;
    lort_buffer text; /* index.json with a new total_size; else empty */
} out_file;

typedef struct restoring {
    lort_reading reading;
    const lort_restore_options *options;
    const lort_dtype_info *wanted; /* --dtype, or NULL */
    const lort_part *part;         /* --tensor, or NULL */
    lort_headers headers;
    out_file *files;
    lort_publish *publish;
    lort_hasher *hasher;
    lort_base *base; /* NULL: none */
} restoring;

static const lort_alloc *alloc_of(const restoring *r) { return &r->reading.session.alloc; }
static const lort_model_record *model_of(const restoring *r)
{
    return lort_archive_model(r->reading.archive);
}
static const lort_part *part_of(const restoring *r, uint64_t i)
{
    return lort_archive_part(r->reading.archive, i);
}

/* The type a part is written in. */
static const lort_dtype_info *out_type(const restoring *r, const lort_part *part)
{
    const lort_dtype_info *own = part->type;
    if (lort_part_is_raw(part))
        return own;
    if (r->wanted)
        return r->wanted;
    if (own->id == LORT_F64)
        return lort_dtype_get(LORT_F32);
    return lort_dtype_encoder(own->id) ? own : lort_dtype_get(LORT_F16);
}

static uint64_t out_bytes(const restoring *r, const lort_part *part)
{
    const lort_dtype_info *type = out_type(r, part);
    return lort_part_is_raw(part) ? part->source_bytes
                                  : lort_part_elements(part) * type->block_bytes;
}

/* ---- memory ---- */

static uint64_t rows_cost(const void *ctx, const lort_part *part, unsigned threads)
{
    const uint64_t rows =
        lort_restore_rows_bytes(lort_part_matrices(part), out_type(ctx, part), threads);
    return rows > lort_finite_bytes(part) ? rows : lort_finite_bytes(part);
}

static uint64_t headers_cost(const restoring *r)
{
    const lort_model_record *model = model_of(r);
    bool retyped = false;
    for (uint64_t i = 0; i < model->extent_count; i++)
        retyped |= out_type(r, part_of(r, i))->id != part_of(r, i)->dtype;
    return model->file_count * sizeof(out_file) + lort_headers_cost(r->reading.archive, retyped);
}

/* ---- parts ---- */

static lort_code append_and_hash(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    restoring *r = ctx;
    lort_hasher_add(r->hasher, bytes, n);
    return lort_publish_append(r->publish, bytes, n, err);
}

static lort_code write_raw(restoring *r, const lort_part *part, lort_error *err)
{
    lort_code code = lort_hasher_open(alloc_of(r), &r->hasher, err);
    if (code == LORT_OK)
        code = lort_reading_all_bytes(&r->reading, part, append_and_hash, r, err);
    if (code == LORT_OK)
        code = lort_reading_check_hash(part, r->hasher, err);
    lort_hasher_close(r->hasher);
    r->hasher = NULL;
    return code;
}

static lort_code append_only(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    return lort_publish_append(((restoring *)ctx)->publish, bytes, n, err);
}

/* Appends zeros until the file has `size` bytes. */
static lort_code pad_to(restoring *r, uint64_t size, lort_error *err)
{
    static const uint8_t zeros[64 << 10];
    lort_code code = LORT_OK;
    while (code == LORT_OK && lort_publish_size(r->publish) < size) {
        uint64_t n = size - lort_publish_size(r->publish);
        code = lort_publish_append(r->publish, zeros, n < sizeof zeros ? n : sizeof zeros, err);
        if (code == LORT_OK)
            code = lort_session_check_stop(&r->reading.session, err);
    }
    return code;
}

static lort_code write_slice(restoring *r, const lort_part *part, uint32_t number, lort_error *err)
{
    const lort_dtype_info *type = out_type(r, part);
    lort_slice slice;
    lort_code code = lort_slice_open(r->reading.archive, part, number,
                                     &r->reading.session.scratch[0], alloc_of(r), &slice, err);
    if (code)
        return code;
    code = lort_slice_check_finite(&slice, &r->reading.session.scratch[0], alloc_of(r), err);
    if (code == LORT_OK && type->id == part->dtype && slice.term[LORT_TERM_RAW])
        code = lort_reading_bytes(&r->reading, part, number, append_only, r, err);
    else if (code == LORT_OK)
        code = lort_restore_rows(&r->reading, r->publish, &slice, type, err);
    lort_slice_close(&slice);
    return code;
}

/* Slices without chunks are zeros. Any number of them in a row is written as one piece. */
static lort_code write_factored(restoring *r, const lort_part *part, lort_error *err)
{
    const lort_matrices shape = lort_part_matrices(part);
    const uint64_t bytes =
        (uint64_t)shape.rows * (uint64_t)shape.cols * out_type(r, part)->block_bytes;
    lort_code code = LORT_OK;
    for (uint32_t s = 0; s < part->slices && code == LORT_OK; s++) {
        const uint32_t first = s;
        s = lort_part_stored(part, first);
        code = pad_to(r, lort_publish_size(r->publish) + (s - first) * bytes, err);
        if (code == LORT_OK && s < part->slices)
            code = write_slice(r, part, s, err);
    }
    return code;
}

static lort_code write_part(restoring *r, const lort_part *part, lort_error *err)
{
    lort_reading_begin(&r->reading, part);
    lort_code code =
        lort_part_is_raw(part) ? write_raw(r, part, err) : write_factored(r, part, err);
    if (code)
        return lort_reading_name_error(part, err);
    return lort_reading_done(&r->reading, part, err);
}

/* ---- files whose tensors change their type ---- */

/* Checks a part that is not copied, since LoRT writes other bytes in its place. What verify refuses
 * is not restored, even if these bytes are not needed. */
static lort_code check_replaced(restoring *r, const lort_part *part, lort_error *err)
{
    lort_code code = lort_reading_check_raw(&r->reading, part, err);
    if (code)
        return lort_reading_name_error(part, err);
    return lort_reading_done(&r->reading, part, err);
}

static lort_code collect_bytes(void *buffer, const void *bytes, uint64_t n, lort_error *err)
{
    lort_put_bytes(buffer, bytes, n);
    return lort_buffer_check(buffer, err);
}

/* Makes the new header: the old one with other types. */
static lort_code rewrite_header(restoring *r, uint32_t file, lort_error *err)
{
    out_file *out = &r->files[file];
    const uint8_t *old;
    const lort_header *header = lort_headers_get(&r->headers, file, &old);
    lort_arena arena = {.alloc = alloc_of(r)};
    uint64_t at = 0;
    void *types = NULL, *offsets;
    lort_code code = lort_arena_take(&arena, out->tensors * sizeof(lort_dtype_info *), &types, err);
    if (code == LORT_OK)
        code = lort_take(alloc_of(r), out->tensors * sizeof(uint64_t), "tensor offsets", &offsets,
                         err);
    if (code == LORT_OK) {
        out->offsets = offsets;
        for (uint64_t i = out->first; i < out->first + out->count; i++)
            if (part_of(r, i)->tensor)
                ((const lort_dtype_info **)types)[at++] = out_type(r, part_of(r, i));
        out->header.alloc = alloc_of(r);
        code = header->format->rewrite(header, old, types, &out->header, out->offsets, &out->size,
                                       err);
    }
    lort_arena_free(&arena);
    return code;
}

static lort_code write_retyped(restoring *r, const out_file *out, lort_error *err)
{
    uint64_t at = 0;
    lort_code code = lort_publish_append(r->publish, out->header.data, out->header.size, err);
    for (uint64_t i = out->first; i < out->first + out->count && code == LORT_OK; i++) {
        const lort_part *part = part_of(r, i);
        if (!part->tensor) { /* the new header and pad_to write these bytes */
            code = check_replaced(r, part, err);
            continue;
        }
        code = pad_to(r, out->offsets[at++], err);
        if (code == LORT_OK)
            code = write_part(r, part, err);
    }
    return code ? code : pad_to(r, out->size, err);
}

/* The sizes that a container claims are checked one by one, and their sum here. */
static lort_code too_large(lort_error *err)
{
    return lort_fail(err, LORT_E_WRITE, "the output needs more than 2^64 bytes");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds up the new bytes of all tensors of the shards that an index lists. *any: one of the shards
 * has tensors that change their type. */
static lort_code sum_shards(const restoring *r, const char *index, const lort_shard_list *shards,
                            uint64_t *total, bool *any, lort_error *err)
{
    const lort_model_record *model = model_of(r);
    *total = 0;
    *any = false;
    for (uint32_t f = 0; f < model->file_count; f++) {
        const out_file *file = &r->files[f];
        const char *base = lort_path_base(model->files[f].name);
        if (!lort_path_same_folder(model->files[f].name, index) ||
            !bsearch(&base, shards->files, shards->file_count, sizeof *shards->files, by_text))
            continue;
        *any |= file->retyped;
        for (uint64_t i = file->first; i < file->first + file->count; i++)
            if (part_of(r, i)->tensor && !lort_add_u64(*total, out_bytes(r, part_of(r, i)), total))
                return too_large(err);
    }
    return LORT_OK;
}

/* Writes index.json anew, with the sum of the new sizes as total_size, if a size changes. */
static lort_code rewrite_index(restoring *r, uint32_t file, lort_error *err)
{
    out_file *out = &r->files[file];
    lort_buffer old = {.alloc = alloc_of(r)};
    lort_shard_list shards = {0};
    uint64_t total;
    bool any = false;
    lort_code code = out->count ? lort_reading_bytes(&r->reading, part_of(r, out->first), 0,
                                                     collect_bytes, &old, err)
                                : LORT_OK;
    if (code == LORT_OK)
        code = lort_shards_parse(old.data, old.size, alloc_of(r), &shards, err);
    if (code == LORT_OK)
        code = sum_shards(r, model_of(r)->files[file].name, &shards, &total, &any, err);
    if (code == LORT_OK && any) {
        out->text.alloc = alloc_of(r);
        code = lort_shards_rewrite(&shards, old.data, old.size, total, &out->text, err);
        out->size = out->text.size;
    }
    lort_shards_free(&shards);
    lort_buffer_free(&old);
    return code;
}

/* ---- the whole ---- */

static lort_code plan_files(restoring *r, lort_error *err)
{
    const lort_model_record *model = model_of(r);
    bool any = false;
    void *memory;
    lort_code code = lort_take_zero(alloc_of(r), model->file_count * sizeof *r->files,
                                    "files to write", &memory, err);
    if (code)
        return code;
    r->files = memory;
    for (uint32_t f = 0; f < model->file_count; f++)
        r->files[f].size = model->files[f].size;
    for (uint64_t i = 0; i < model->extent_count; i++) {
        out_file *out = &r->files[model->extents[i].file];
        const lort_part *part = part_of(r, i);
        out->first = out->count++ ? out->first : i;
        out->tensors += part->tensor;
        out->retyped |= out_type(r, part)->id != part->dtype;
    }
    for (uint32_t f = 0; f < model->file_count && code == LORT_OK; f++)
        if (r->files[f].retyped) {
            any = true;
            code = rewrite_header(r, f, err);
        }
    for (uint32_t f = 0; any && f < model->file_count && code == LORT_OK; f++)
        if (model->files[f].role == LORT_ROLE_INDEX)
            code = rewrite_index(r, f, err);
    return code;
}

static lort_code write_file(restoring *r, uint32_t file, lort_error *err)
{
    const out_file *out = &r->files[file];
    lort_code code = lort_publish_file(r->publish, model_of(r)->files[file].name, err);
    if (code)
        return code;
    if (out->retyped)
        return write_retyped(r, out, err);
    for (uint64_t i = out->first; i < out->first + out->count && code == LORT_OK; i++)
        code = out->text.size ? check_replaced(r, part_of(r, i), err)
                              : write_part(r, part_of(r, i), err);
    if (code == LORT_OK && out->text.size)
        code = lort_publish_append(r->publish, out->text.data, out->text.size, err);
    return code;
}

/* --force replaces a file, which must not be the container that is read. */
static lort_code check_output(const restoring *r, const char *output,
                              const lort_file_info *container, lort_error *err)
{
    lort_file_info info;
    bool exists;
    char shown[300];
    if (lort_os_stat(output, &info, &exists, NULL) || !exists || info.device != container->device ||
        info.inode != container->inode)
        return LORT_OK;
    return lort_fail(err, LORT_E_USAGE, "%s: the output is the container itself",
                     lort_escape_text(shown, sizeof shown, output));
}

static lort_code begin_output(restoring *r, const char *output, uint64_t bytes, bool directory,
                              lort_error *err)
{
    lort_file_info info = {.mode = 0600};
    bool exists;
    lort_code code = lort_os_stat(lort_archive_path(r->reading.archive), &info, &exists, err);
    if (code == LORT_OK)
        code = check_output(r, output, &info, err);
    if (code)
        return code;
    /* The output gets the permissions of the container, so that a secret model stays secret. */
    lort_publish_options publish = {.directory = directory,
                                    .force = r->options->force,
                                    .mode = info.mode,
                                    .expect_bytes = bytes,
                                    .stop = lort_session_stops,
                                    .stop_ctx = &r->reading.session,
                                    .reads_back = lort_session_reads_back};
    lort_meter_expect(&r->reading.session.meter, LORT_PHASE_READING_BACK, bytes, bytes, 0);
    r->reading.session.report->output_path =
        lort_report_escape(r->reading.session.report, output, strlen(output));
    return lort_publish_begin(output, &publish, alloc_of(r), &r->publish, err);
}

/* True if the name ends so, in upper or lower case. `end` is in lower case. */
static bool ends_so(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    bool same = n >= m;
    for (size_t i = 0; same && i < m; i++) {
        const char c = name[n - m + i];
        same = (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) == end[i];
    }
    return same;
}

/* A model of several files becomes a directory. Nobody means one by the name of a weight file. */
static lort_code check_name(const restoring *r, const char *output, lort_error *err)
{
    static const char *const ends[] = {".gguf", ".safetensors", ".lort", ".json", ".bin"};
    const bool directory = model_of(r)->directory;
    char shown[300];
    for (size_t i = 0; directory && i < sizeof ends / sizeof *ends; i++) {
        if (!ends_so(output, ends[i]))
            continue;
        lort_fail(err, LORT_E_USAGE,
                  "output '%s' has the name of one file: the container holds several files, give a "
                  "directory (%s/ for a directory of this name)",
                  lort_escape_text(shown, sizeof shown, output), shown);
        lort_error_file(err, output);
        return LORT_E_USAGE;
    }
    return LORT_OK;
}

static lort_code restore_model(restoring *r, const char *output, lort_error *err)
{
    const lort_model_record *model = model_of(r);
    uint64_t bytes = 0;
    lort_code code = lort_headers_open(&r->headers, &r->reading, err);
    if (code == LORT_OK)
        code = plan_files(r, err);
    lort_headers_close(&r->headers); /* the new headers are made */
    for (uint32_t f = 0; code == LORT_OK && f < model->file_count; f++)
        code = lort_add_u64(bytes, r->files[f].size, &bytes) ? LORT_OK : too_large(err);
    if (code == LORT_OK)
        code = begin_output(r, output, bytes, model->directory, err);
    for (uint32_t f = 0; code == LORT_OK && f < model->file_count; f++)
        code = write_file(r, f, err);
    r->reading.session.report->output_bytes = bytes;
    return code;
}

/* A header that cannot be decoded does not hurt a tensor. A header that says something else than
 * the records does. */
static lort_code check_headers(restoring *r, lort_error *err)
{
    lort_error why = {0};
    lort_code code = lort_headers_open(&r->headers, &r->reading, &why);
    const bool undecodable = r->headers.undecodable;
    lort_headers_close(&r->headers);
    if (code == LORT_E_DAMAGED && undecodable) {
        lort_session_warn(&r->reading.session, "%s", why.message);
        return LORT_OK;
    }
    return code ? lort_fail(err, code, "%s", why.message) : LORT_OK;
}

static lort_code refuse_name(const char *name, lort_error *err)
{
    char shown[200];
    lort_fail(err, LORT_E_USAGE, "no tensor '%s' in the container: lort inspect lists them",
              lort_escape_text(shown, sizeof shown, name));
    lort_error_tensor(err, name, strlen(name));
    return LORT_E_USAGE;
}

/* A container whose headers lie is damaged, whatever tensor is asked for. */
static lort_code restore_tensor(restoring *r, const char *output, lort_error *err)
{
    const lort_part *part = r->part;
    lort_code code = check_headers(r, err);
    if (code == LORT_OK && !part)
        code = refuse_name(r->options->tensor, err);
    if (code)
        return code;
    lort_reading_expect(&r->reading, part);
    code = begin_output(r, output, out_bytes(r, part), false, err);
    if (code == LORT_OK)
        code = lort_publish_file(r->publish, NULL, err);
    if (code == LORT_OK)
        code = write_part(r, part, err);
    r->reading.session.report->output_bytes = out_bytes(r, part);
    return code;
}

static lort_code read_dtype(restoring *r, lort_error *err)
{
    const char *name = r->options->dtype;
    if (!name)
        return LORT_OK;
    r->wanted = lort_dtype_by_name(name, strlen(name));
    if (!r->wanted || !lort_dtype_encoder(r->wanted->id))
        return lort_fail(err, LORT_E_USAGE, "--dtype %.20s: allowed are F32, F16 and BF16", name);
    return LORT_OK;
}

static void close_files(restoring *r)
{
    for (uint32_t f = 0; r->files && f < model_of(r)->file_count; f++) {
        if (r->files[f].header.alloc)
            lort_buffer_free(&r->files[f].header);
        if (r->files[f].text.alloc)
            lort_buffer_free(&r->files[f].text);
        lort_give(alloc_of(r), r->files[f].offsets, r->files[f].tensors * sizeof(uint64_t));
    }
    if (r->files)
        lort_give(alloc_of(r), r->files, model_of(r)->file_count * sizeof *r->files);
}

/* Checks the name of the output before any work, and lists the tensor that is to be written. */
static lort_code check_request(restoring *r, const char *output, lort_error *err)
{
    const char *name = r->options->tensor;
    if (!name)
        return check_name(r, output, err);
    r->part = lort_archive_find(r->reading.archive, name, strlen(name));
    return r->part ? lort_reading_list_one(&r->reading, r->part, err) : LORT_OK;
}

lort_code lort_restore(const char *path, const char *output, const lort_restore_options *given,
                       const lort_observer *observer, lort_report *report, lort_error *err)
{
    lort_restore_options options;
    lort_run_options run;
    restoring r = {.options = &options};
    lort_code code = lort_given_restore(given, &options, report, err);
    if (code == LORT_OK)
        code = lort_given_run(options.run, &run, report, err);
    if (code)
        return code;
    code = lort_reading_open(&r.reading, LORT_COMMAND_RESTORE, path, &run, observer, report, err);
    if (code == LORT_OK)
        code = read_dtype(&r, err);
    if (code == LORT_OK)
        code = check_request(&r, output, err);
    if (code == LORT_OK)
        code = lort_base_attach(&r.reading.session, run.base, r.reading.archive, &r.base, err);
    if (code == LORT_OK)
        code = lort_reading_start(
            &r.reading, &run, headers_cost(&r) + lort_base_cost(r.base, r.reading.session.threads),
            rows_cost, &r, err);
    if (code == LORT_OK)
        code = options.tensor ? restore_tensor(&r, output, err) : restore_model(&r, output, err);
    if (code == LORT_OK)
        code = lort_session_check_stop(&r.reading.session, err);
    if (code == LORT_OK)
        code = lort_archive_unchanged(r.reading.archive, err);
    if (code == LORT_OK)
        code = lort_base_unchanged(r.base, err);
    if (code == LORT_OK)
        code = lort_publish_commit(r.publish, err);
    if (code == LORT_OK)
        lort_session_end(&r.reading.session);
    if (code == LORT_OK)
        report->ratio =
            report->input_bytes ? (double)report->output_bytes / (double)report->input_bytes : NAN;
    if (code == LORT_E_DAMAGED || code == LORT_E_READ)
        lort_error_file(err, path);
    lort_publish_close(r.publish);
    if (r.reading.archive)
        close_files(&r);
    lort_base_close(r.base);
    lort_reading_close(&r.reading);
    return code;
}
