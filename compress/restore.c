/* restore: gives the original kind of files back. Kept bytes come out as they were; factored tensors are multiplied out in their
 * own type (F32, F16, BF16; else F16) or --dtype, and headers, offsets and total_size follow when a type changes. */
#include "compress/factor.h"
#include "compress/reading.h"
#include "compress/report.h"
#include "formats/format.h"
#include "formats/shards.h"
#include "loader/publish.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES (4u << 20)   /* f32 rows a slot aims at */
#define F16_MAX 65504.0f

/* What one file of the model becomes. */
typedef struct out_file {
    uint64_t first, count; /* its parts */
    bool retyped;          /* some tensor changes its type: the header is written anew */
    uint64_t size;         /* of the restored file */
    lort_buffer header;    /* retyped: the new header */
    uint64_t *offsets;     /* retyped: new offset of its tensors, in order */
    uint64_t tensors;
    lort_buffer text;      /* index.json whose total_size changes */
} out_file;

typedef struct restoring {
    lort_reading reading;
    const lort_restore_options *options;
    const lort_dtype_info *wanted; /* --dtype, or NULL */
    out_file *files;
    lort_publish *publish;
    lort_hasher *hasher;
} restoring;

static const lort_alloc *alloc_of(const restoring *r) { return &r->reading.session.alloc; }
static const lort_model_record *model_of(const restoring *r) { return lort_archive_model(r->reading.archive); }
static const lort_part *part_of(const restoring *r, uint64_t i) { return lort_archive_part(r->reading.archive, i); }

/* The type a part is written in. */
static const lort_dtype_info *out_type(const restoring *r, const lort_part *part)
{
    const lort_dtype_info *own = lort_dtype_get(part->dtype);
    if (lort_part_is_raw(part))
        return own;
    if (r->wanted)
        return r->wanted;
    return lort_dtype_encoder(own->id) ? own : lort_dtype_get(LORT_F16);
}

static uint64_t elements_of(const lort_part *part)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < part->n_dims; i++)
        n *= (uint64_t)part->dims[i];
    return n;
}

static uint64_t out_bytes(const restoring *r, const lort_part *part)
{
    const lort_dtype_info *type = out_type(r, part);
    return lort_part_is_raw(part) ? part->source_bytes : elements_of(part) * type->block_bytes;
}

/* ---- rows of factored tensors ---- */

typedef struct row_run {
    restoring *r;
    const lort_part *part;
    const lort_slice *slice;
    const lort_dtype_info *type;
    int64_t step; /* rows of a block */
    float *values;   /* [window][step][cols] */
    uint8_t *bytes;  /* [window][step][cols] of type */
    lort_chunk_cache *caches; /* [threads] */
} row_run;

static int64_t block_rows(int64_t rows, int64_t cols)
{
    int64_t step = BLOCK_BYTES / (int64_t)sizeof(float) / (cols > 0 ? cols : 1) / LORT_DECODE_ROWS * LORT_DECODE_ROWS;
    int64_t all = (rows + LORT_DECODE_ROWS - 1) / LORT_DECODE_ROWS * LORT_DECODE_ROWS;
    step = step < LORT_DECODE_ROWS ? LORT_DECODE_ROWS : step;
    return step < all ? step : all;
}

static uint64_t values_of(const row_run *run) { return (uint64_t)run->step * (uint64_t)run->slice->shape.cols; }

static lort_code check_range(const row_run *run, const float *values, uint64_t n, lort_error *err)
{
    for (uint64_t i = 0; run->type->id == LORT_F16 && i < n; i++)
        if (fabsf(values[i]) > F16_MAX)
            return lort_fail(err, LORT_E_NUMERIC, "value %g does not fit F16: use --dtype BF16 or F32", (double)values[i]);
    return LORT_OK;
}

static lort_code decode_rows(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    row_run *run = ctx;
    int64_t r0 = item * run->step, r1 = r0 + run->step < run->slice->shape.rows ? r0 + run->step : run->slice->shape.rows;
    uint64_t n = (uint64_t)(r1 - r0) * (uint64_t)run->slice->shape.cols;
    float *values = run->values + slot * values_of(run);
    lort_code code = lort_slice_rows(run->slice, r0, r1, &run->r->reading.session.scratch[worker], &run->caches[worker], values, err);
    if (code == LORT_OK)
        code = check_range(run, values, n, err);
    if (code == LORT_OK)
        lort_dtype_encoder(run->type->id)(values, run->bytes + slot * values_of(run) * run->type->block_bytes, n);
    return code;
}

static lort_code append_rows(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    row_run *run = ctx;
    int64_t r0 = item * run->step, left = run->slice->shape.rows - r0, rows = left < run->step ? left : run->step;
    if (lort_session_stopped(&run->r->reading.session))
        return lort_fail(err, LORT_E_STOPPED, "stopped; nothing was published");
    return lort_publish_append(run->r->publish, run->bytes + slot * values_of(run) * run->type->block_bytes,
                               (uint64_t)rows * (uint64_t)run->slice->shape.cols * run->type->block_bytes, err);
}

/* As many blocks in flight as the window allows, fewer for very wide matrices. */
static unsigned row_window(const restoring *r, uint64_t block_values)
{
    uint64_t fits = 16ull * BLOCK_BYTES / (block_values * sizeof(float) + 1);
    return fits < 1 ? 1 : fits < r->reading.window ? (unsigned)fits : r->reading.window;
}

static lort_code write_rows(restoring *r, const lort_part *part, const lort_slice *slice, lort_error *err)
{
    row_run run = {.r = r, .part = part, .slice = slice, .type = out_type(r, part), .step = block_rows(slice->shape.rows, slice->shape.cols)};
    unsigned window = row_window(r, values_of(&run));
    uint64_t values = window * values_of(&run);
    uint64_t caches = r->reading.session.threads * sizeof *run.caches, total = values * (sizeof(float) + run.type->block_bytes) + caches;
    void *memory;
    if (values == 0)
        return LORT_OK;
    lort_code code = lort_take_zero(alloc_of(r), total, "rows to write", &memory, err);
    if (code)
        return code;
    run.values = memory;
    run.caches = (lort_chunk_cache *)(void *)((uint8_t *)memory + values * sizeof(float));
    run.bytes = (uint8_t *)memory + values * sizeof(float) + caches;
    code = lort_pool_run(r->reading.session.pool, (slice->shape.rows + run.step - 1) / run.step, window, decode_rows, append_rows, &run, err);
    lort_give(alloc_of(r), memory, total);
    return code;
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
    for (uint32_t s = 0; s < part->slices && code == LORT_OK; s++)
        code = lort_reading_bytes(&r->reading, part, s, append_and_hash, r, err);
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

static lort_code write_factored(restoring *r, const lort_part *part, lort_error *err)
{
    bool same_type = out_type(r, part)->id == part->dtype;
    lort_code code = LORT_OK;
    for (uint32_t s = 0; s < part->slices && code == LORT_OK; s++) {
        lort_slice slice;
        code = lort_slice_open(r->reading.archive, part, s, &r->reading.session.scratch[0], alloc_of(r), &slice, err);
        if (code)
            return code;
        if (same_type && slice.term && slice.term->kind == LORT_TERM_RAW)
            code = lort_reading_bytes(&r->reading, part, s, append_only, r, err);
        else
            code = write_rows(r, part, &slice, err);
        lort_slice_close(&slice);
    }
    return code;
}

static lort_code write_part(restoring *r, const lort_part *part, lort_error *err)
{
    lort_code code = lort_part_is_raw(part) ? write_raw(r, part, err) : write_factored(r, part, err);
    if (code)
        return lort_reading_name_error(part, err);
    return lort_reading_done(&r->reading, part, err);
}

/* ---- files whose tensors change their type ---- */

static lort_code collect_bytes(void *buffer, const void *bytes, uint64_t n, lort_error *err)
{
    lort_put_bytes(buffer, bytes, n);
    return lort_buffer_check(buffer, err);
}

static const lort_format *format_named(const char *name)
{
    uint32_t i = 0;
    const lort_format *format;
    while ((format = lort_format_at(i)) && strcmp(format->name, name) != 0)
        i++;
    return format;
}

/* The old header, which is the file's first part, read again. */
static lort_code parse_header(restoring *r, uint32_t file, lort_buffer *old, lort_header *header, lort_error *err)
{
    const lort_input_file *input = &model_of(r)->files[file];
    const lort_format *format = format_named(input->format);
    uint64_t wanted;
    if (!format)
        return lort_fail(err, LORT_E_DAMAGED, "file %u: its format is not known here", file);
    lort_code code = lort_reading_bytes(&r->reading, part_of(r, r->files[file].first), 0, collect_bytes, old, err);
    if (code == LORT_OK)
        code = format->parse(old->data, old->size, input->size, alloc_of(r), header, &wanted, err);
    if (code == LORT_OK && header->index.count != r->files[file].tensors)
        code = lort_fail(err, LORT_E_DAMAGED, "the header holds %llu tensors, the container %llu", (unsigned long long)header->index.count,
                         (unsigned long long)r->files[file].tensors);
    return code;
}

/* The new header: the old one with other types. */
static lort_code rewrite_header(restoring *r, uint32_t file, lort_error *err)
{
    out_file *out = &r->files[file];
    lort_buffer old = {.alloc = alloc_of(r)};
    lort_arena arena = {.alloc = alloc_of(r)};
    lort_header header = {0};
    uint64_t at = 0;
    void *types = NULL, *offsets;
    lort_code code = parse_header(r, file, &old, &header, err);
    if (code == LORT_OK)
        code = lort_arena_take(&arena, out->tensors * sizeof(lort_dtype_info *), &types, err);
    if (code == LORT_OK)
        code = lort_take(alloc_of(r), out->tensors * sizeof(uint64_t), "tensor offsets", &offsets, err);
    if (code == LORT_OK) {
        out->offsets = offsets;
        for (uint64_t i = out->first; i < out->first + out->count; i++)
            if (part_of(r, i)->tensor)
                ((const lort_dtype_info **)types)[at++] = out_type(r, part_of(r, i));
        out->header.alloc = alloc_of(r);
        code = header.format->rewrite(&header, old.data, types, &out->header, out->offsets, &out->size, err);
    }
    lort_header_free(&header);
    lort_arena_free(&arena);
    lort_buffer_free(&old);
    return code;
}

static lort_code pad_to(restoring *r, uint64_t offset, lort_error *err)
{
    static const uint8_t zeros[4096];
    lort_code code = LORT_OK;
    while (code == LORT_OK && lort_publish_size(r->publish) < offset) {
        uint64_t n = offset - lort_publish_size(r->publish);
        code = lort_publish_append(r->publish, zeros, n < sizeof zeros ? n : sizeof zeros, err);
    }
    return code;
}

static lort_code write_retyped(restoring *r, const out_file *out, lort_error *err)
{
    uint64_t at = 0;
    lort_code code = lort_publish_append(r->publish, out->header.data, out->header.size, err);
    for (uint64_t i = out->first; i < out->first + out->count && code == LORT_OK; i++) {
        const lort_part *part = part_of(r, i);
        if (!part->tensor)
            continue; /* header and padding are written anew */
        code = pad_to(r, out->offsets[at++], err);
        if (code == LORT_OK)
            code = write_part(r, part, err);
    }
    return code ? code : pad_to(r, out->size, err);
}

/* index.json: total_size follows the tensors' new sizes. */
static lort_code rewrite_index(restoring *r, uint32_t file, lort_error *err)
{
    out_file *out = &r->files[file];
    lort_buffer old = {.alloc = alloc_of(r)};
    lort_shard_list shards = {0};
    uint64_t total = 0;
    out->text.alloc = alloc_of(r);
    for (uint64_t i = 0; i < lort_archive_count(r->reading.archive); i++)
        total += part_of(r, i)->tensor ? out_bytes(r, part_of(r, i)) : 0;
    lort_code code = out->count ? lort_reading_bytes(&r->reading, part_of(r, out->first), 0, collect_bytes, &old, err) : LORT_OK;
    if (code == LORT_OK)
        code = lort_shards_parse(old.data, old.size, alloc_of(r), &shards, err);
    if (code == LORT_OK)
        code = lort_shards_rewrite(&shards, old.data, old.size, total, &out->text, err);
    out->size = out->text.size;
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
    lort_code code = lort_take_zero(alloc_of(r), model->file_count * sizeof *r->files, "files to write", &memory, err);
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
    if (out->text.size)
        return lort_publish_append(r->publish, out->text.data, out->text.size, err);
    if (out->retyped)
        return write_retyped(r, out, err);
    for (uint64_t i = out->first; i < out->first + out->count && code == LORT_OK; i++)
        code = write_part(r, part_of(r, i), err);
    return code;
}

/* With --force the output replaces a file: not the one that is read. */
static lort_code check_output(const restoring *r, const char *output, const lort_file_info *container, lort_error *err)
{
    lort_file_info info;
    bool exists;
    char shown[300];
    if (lort_os_stat(output, &info, &exists, NULL) || !exists || info.device != container->device || info.inode != container->inode)
        return LORT_OK;
    return lort_fail(err, LORT_E_USAGE, "%s: the output is the container itself", lort_escape(shown, sizeof shown, output, strlen(output)));
}

static lort_code begin(restoring *r, const char *output, uint64_t bytes, bool directory, lort_error *err)
{
    lort_file_info info = {.mode = 0600};
    bool exists;
    lort_code code = lort_os_stat(lort_archive_path(r->reading.archive), &info, &exists, err);
    if (code == LORT_OK)
        code = check_output(r, output, &info, err);
    if (code)
        return code;
    /* Outputs get no more permissions than the container has. */
    lort_publish_options publish = {.directory = directory, .force = r->options->force, .mode = info.mode, .expect_bytes = bytes};
    r->reading.session.report->output_path = lort_report_escape(r->reading.session.report, output, strlen(output));
    return lort_publish_begin(output, &publish, alloc_of(r), &r->publish, err);
}

static lort_code restore_model(restoring *r, const char *output, lort_error *err)
{
    const lort_model_record *model = model_of(r);
    uint64_t bytes = 0;
    lort_code code = plan_files(r, err);
    for (uint32_t f = 0; code == LORT_OK && f < model->file_count; f++)
        bytes += r->files[f].size;
    if (code == LORT_OK)
        code = begin(r, output, bytes, model->directory, err);
    for (uint32_t f = 0; code == LORT_OK && f < model->file_count; f++)
        code = write_file(r, f, err);
    r->reading.session.report->output_bytes = bytes;
    return code;
}

static lort_code restore_tensor(restoring *r, const char *output, const char *name, lort_error *err)
{
    char shown[200];
    const lort_part *part = lort_archive_find(r->reading.archive, name, strlen(name));
    if (!part)
        return lort_fail(err, LORT_E_USAGE, "no tensor '%s' in the container: lort inspect lists them", lort_escape(shown, sizeof shown, name, strlen(name)));
    lort_code code = begin(r, output, out_bytes(r, part), false, err);
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

lort_code lort_restore(const char *path, const char *output, const lort_restore_options *options, const lort_observer *observer, lort_report *report, lort_error *err)
{
    restoring r = {.options = options};
    lort_code code = lort_reading_open(&r.reading, "restore", path, &options->run, observer, report, err);
    if (code == LORT_OK)
        code = read_dtype(&r, err);
    if (code == LORT_OK)
        code = options->tensor ? restore_tensor(&r, output, options->tensor, err) : restore_model(&r, output, err);
    if (code == LORT_OK)
        code = lort_publish_commit(r.publish, err);
    if (code == LORT_OK)
        report->ratio = report->input_bytes ? (double)report->output_bytes / (double)report->input_bytes : NAN;
    lort_publish_close(r.publish);
    if (r.reading.archive)
        close_files(&r);
    lort_reading_close(&r.reading);
    return code;
}
