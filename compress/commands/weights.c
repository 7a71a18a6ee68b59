/* weights: the weights of a model or container for a program, by name, by address or streamed. It
 * owns the budget of a handle, and the values that the last stream decoded. */
#include "compress/commands/weights_parts.h"
#include "compress/files/rows.h"
#include "compress/goal/given.h"
#include "compress/read/input.h"
#include "compress/read/reading.h"
#include "compress/read/work.h"
#include "compress/session/report.h"
#include "formats/container/part.h"
#include "loader/os/os.h"
#include <string.h>

typedef unsigned long long ull;

/* ---- open and close ---- */

static lort_code open_budget(lort_weights *w, uint64_t memory_bytes, lort_error *err)
{
    lort_memory memory;
    lort_code code = memory_bytes ? LORT_OK : lort_memory_probe("", 0, &memory, err);
    if (code)
        return code;
    const uint64_t limit = memory_bytes ? memory_bytes : lort_memory_limit(memory.available);
    code = lort_budget_open(limit, &w->session.budget, err);
    if (code)
        return code;
    w->session.alloc = *lort_budget_alloc(w->session.budget);
    w->session.report = &w->report;
    w->alloc = &w->session.alloc;
    code = lort_report_open(&w->report, err);
    w->report.budget_bytes = limit;
    return code;
}

/* The scratch of streams, which is that of worker 0. */
static lort_code open_scratch(lort_weights *w, lort_error *err)
{
    void *memory;
    w->chunk = w->input.archive ? lort_archive_chunk_max(w->input.archive) : LORT_CHUNK_TARGET;
    lort_code code = lort_take_zero(w->alloc, sizeof *w->session.scratch, "a worker", &memory, err);
    if (code)
        return code;
    w->session.scratch = memory;
    w->session.threads = w->listed = 1;
    return lort_scratch_open_read(w->session.scratch, w->alloc, w->chunk, err);
}

/* Takes the memory that decoding needs for any tensor: zstd, chunks, blocks. */
static lort_code open_decoder(lort_weights *w, lort_error *err)
{
    const lort_archive *archive = w->input.archive;
    const uint64_t libraries = lort_codec_memory(LORT_ZSTD_LEVEL_DEFAULT);
    lort_code code = lort_budget_reserve(w->session.budget, libraries, "libraries", err);
    if (code)
        return code;
    w->reserved = libraries;
    code = open_scratch(w, err);
    if (code == LORT_OK)
        code = lort_codec_open(LORT_ZSTD_LEVEL_DEFAULT, &w->session.scratch->codec, err);
    lort_archive_block_need(archive, &w->blocks);
    return code ? code
                : lort_block_space_open(&w->session.scratch->block, w->alloc, &w->blocks, err);
}

lort_code lort_weights_open(const char *path, const lort_run_options *given, lort_weights **out,
                            lort_error *err)
{
    void *memory;
    lort_run_options run;
    *out = NULL;
    lort_code code = lort_given_run(given, &run, NULL, err);
    if (code == LORT_OK)
        code = lort_take_zero(&lort_alloc_heap, sizeof(lort_weights), "a handle of weights",
                              &memory, err);
    if (code)
        return code;
    lort_weights *w = memory;
    lort_host_enter(&w->host);
    const lort_model_options files = {.weights = run.weights,
                                      .all_side_files = run.side_files == LORT_SIDE_FILES_ALL,
                                      .offline = run.offline,
                                      .spool = run.spool};
    w->session.offline = run.offline;
    w->session.spool = run.spool;
    code = open_budget(w, run.memory_bytes, err);
    if (code == LORT_OK)
        code = lort_input_open_as(path, &files, w->alloc, NULL, NULL, NULL, &w->input, err);
    if (code == LORT_OK)
        code = w->input.archive ? open_decoder(w, err) : open_scratch(w, err);
    if (code == LORT_OK && w->input.archive && run.base)
        code = lort_base_attach(&w->session, run.base, w->input.archive, &w->base, err);
    lort_host_leave(&w->host);
    if (code)
        lort_weights_close(w);
    else
        *out = w;
    return code;
}

void lort_weights_drop_band(lort_weights *w)
{
    lort_give(w->alloc, w->band.values, w->band.bytes);
    w->band = (lort_weights_band){.number = -1};
}

static void close_slice(lort_weights *w)
{
    lort_weights_drop_band(w);
    lort_slice_close(&w->slice);
}

void lort_weights_close(lort_weights *w)
{
    if (!w)
        return;
    if (w->session.budget) {
        close_slice(w);
        lort_weights_drop_workers(w);
        if (w->session.scratch)
            lort_scratch_close(w->session.scratch, w->alloc);
        lort_give(w->alloc, w->session.scratch, w->listed * sizeof *w->session.scratch);
        lort_base_close(w->base);
        lort_input_close(&w->input);
        lort_budget_release(w->session.budget, w->reserved);
        lort_budget_close(w->session.budget);
        lort_report_free(&w->report);
    }
    lort_give(&lort_alloc_heap, w, sizeof *w);
}

/* ---- names and shapes ---- */

uint64_t lort_weights_count(const lort_weights *w) { return w->input.index->count; }

lort_code lort_weights_find(const lort_weights *w, const char *name, uint64_t *number,
                            lort_error *err)
{
    char shown[200];
    const lort_tensor *tensor = lort_index_find(w->input.index, name, strlen(name));
    *number = tensor ? (uint64_t)(tensor - w->input.index->tensors) : 0;
    if (tensor)
        return LORT_OK;
    return lort_fail(err, LORT_E_USAGE, "no tensor '%s'; lort inspect lists them",
                     lort_escape_text(shown, sizeof shown, name));
}

lort_code lort_weights_entry(const lort_weights *w, uint64_t number, lort_entry *out,
                             lort_error *err)
{
    if (number >= w->input.index->count)
        return lort_fail(err, LORT_E_USAGE, "no tensor number %llu: there are %llu", (ull)number,
                         (ull)w->input.index->count);
    *out = lort_input_entry(&w->input, number);
    return LORT_OK;
}

/* The tensor as matrices; all 0 if it has no elements. */
lort_matrices lort_weights_shape(const lort_tensor *tensor)
{
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        if (tensor->dims[i] == 0)
            return (lort_matrices){0, 0, 0};
    return lort_tensor_matrices(tensor);
}

static bool has_bytes(const lort_entry *entry)
{
    return !entry->part || lort_part_is_raw(entry->part);
}

const lort_dtype_info *lort_weights_own_type(const lort_entry *entry)
{
    return entry->part ? lort_rows_own_type(entry->part) : entry->tensor->type;
}

lort_code lort_weights_info(const lort_weights *w, uint64_t number, lort_tensor_info *out,
                            lort_error *err)
{
    lort_entry entry;
    *out = (lort_tensor_info){0};
    lort_code code = lort_weights_entry(w, number, &entry, err);
    if (code)
        return code;
    const lort_tensor *tensor = entry.tensor;
    const lort_matrices shape = lort_weights_shape(tensor);
    const lort_dtype_info *own = lort_weights_own_type(&entry);
    *out = (lort_tensor_info){.name = tensor->name,
                              .dtype = tensor->type->name,
                              .n_dims = tensor->n_dims,
                              .dims = tensor->dims,
                              .slices = shape.slices,
                              .rows = shape.rows,
                              .cols = shape.cols,
                              .bytes = tensor->bytes,
                              .has_bytes = has_bytes(&entry),
                              .has_rows = lort_entry_decodes(&entry),
                              .kept = has_bytes(&entry),
                              .elements = tensor->elements,
                              .own_dtype = own->name,
                              .own_bytes = has_bytes(&entry) ? tensor->bytes
                                                             : tensor->elements * own->block_bytes};
    return LORT_OK;
}

const void *lort_weights_address(const lort_weights *w, uint64_t number)
{
    const uint8_t *view;
    if (!w->input.model || number >= w->input.index->count)
        return NULL;
    const lort_tensor *tensor = &w->input.index->tensors[number];
    /* 0 bytes: gives the address and reads nothing */
    (void)lort_model_view(w->input.model, tensor->file, tensor->offset, 0, NULL, &view, NULL);
    return view;
}

lort_code lort_weights_check(const lort_weights *w, lort_error *err)
{
    return w->input.model ? lort_model_unchanged(w->input.model, err)
                          : lort_base_unchanged(w->base, err);
}

/* ---- headers ---- */

lort_code lort_weights_header(lort_weights *w, uint32_t file, void *buffer, uint64_t buffer_bytes,
                              uint64_t *bytes, lort_error *err)
{
    const uint32_t files = lort_input_weight_files(&w->input);
    *bytes = 0;
    if (file >= files)
        return lort_fail(err, LORT_E_USAGE, "no weight file number %u: there are %u", file, files);
    w->cache.valid = false; /* a header uses its buffer */
    lort_host_enter(&w->host);
    lort_code code = lort_input_header(&w->input, file, &w->session.scratch[0], buffer,
                                       buffer_bytes, bytes, err);
    lort_host_leave(&w->host);
    return code;
}

/* ---- bytes ---- */

lort_code lort_weights_name_error(const lort_entry *entry, lort_code code, lort_error *err)
{
    char name[200];
    if (!code)
        return LORT_OK;
    if (code == LORT_E_DAMAGED && entry->part)
        lort_error_file(err, lort_archive_path(entry->input->archive));
    lort_error_tensor(err, entry->tensor->name, entry->tensor->name_bytes);
    lort_error_prefix(
        err, "tensor %s",
        lort_escape(name, sizeof name, entry->tensor->name, entry->tensor->name_bytes));
    return code;
}

/* The caller's buffer while it fills. A full buffer is handed on only when more bytes come. So the
 * last piece waits for the checks of the whole tensor. */
typedef struct delivery {
    const lort_entry *entry;
    lort_host *host;
    lort_hasher *hasher; /* of a container; NULL: a model */
    uint8_t *buffer;
    uint64_t size, used, at;
    lort_bytes_fn *piece;
    void *ctx;
} delivery;

static lort_code caller_stopped(lort_code code, uint64_t at, const char *unit, lort_error *err)
{
    return code ? lort_fail(err, code, "the caller ended the stream at %s %llu", unit, (ull)at)
                : LORT_OK;
}

static lort_code hand_on(delivery *d, lort_error *err)
{
    lort_code code = lort_entry_check(d->entry, err);
    if (code == LORT_OK) {
        lort_host_lend(d->host);
        code = d->piece(d->ctx, d->at, d->buffer, d->used);
        lort_host_return(d->host);
        code = caller_stopped(code, d->at, "byte", err);
    }
    d->at += d->used;
    d->used = 0;
    return code;
}

static lort_code deliver_piece(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    delivery *d = ctx;
    const uint8_t *from = bytes;
    lort_code code = LORT_OK;
    if (d->hasher)
        lort_hasher_add(d->hasher, bytes, n);
    while (n && code == LORT_OK) {
        if (d->used == d->size)
            code = hand_on(d, err);
        const uint64_t take = n < d->size - d->used ? n : d->size - d->used;
        memcpy(d->buffer + d->used, from, (size_t)take);
        d->used += take;
        from += take;
        n -= take;
    }
    return code;
}

static lort_code stream_bytes(lort_weights *w, delivery *d, lort_error *err)
{
    const lort_entry *entry = d->entry;
    lort_host_enter(&w->host);
    lort_code code = entry->part ? lort_hasher_open(w->alloc, &d->hasher, err) : LORT_OK;
    w->cache.valid = false; /* this stream uses its buffer */
    if (code == LORT_OK)
        code = lort_entry_bytes(entry, w->session.scratch, deliver_piece, d, err);
    if (code == LORT_OK)
        code = d->hasher ? lort_reading_check_hash(entry->part, d->hasher, err)
                         : lort_entry_unchanged(entry, err);
    if (code == LORT_OK && d->used)
        code = hand_on(d, err);
    lort_hasher_close(d->hasher);
    lort_entry_release(entry);
    lort_host_leave(&w->host);
    return code;
}

lort_code lort_weights_bytes(lort_weights *w, uint64_t number, void *buffer, uint64_t buffer_bytes,
                             lort_bytes_fn *piece, void *ctx, lort_error *err)
{
    lort_entry entry;
    lort_code code = lort_weights_entry(w, number, &entry, err);
    if (code)
        return code;
    delivery d = {.entry = &entry,
                  .host = &w->host,
                  .buffer = buffer,
                  .size = buffer_bytes,
                  .piece = piece,
                  .ctx = ctx};
    if (buffer_bytes == 0)
        code = lort_fail(err, LORT_E_USAGE, "a buffer of 0 bytes: the smallest that would do is 1");
    else if (!has_bytes(&entry))
        code = lort_fail(
            err, LORT_E_USAGE,
            "the container holds a lossy form and not the original bytes; read rows of it");
    else
        code = stream_bytes(w, &d, err);
    return lort_weights_name_error(&entry, code, err);
}

/* ---- rows of a container ---- */

/* Opens a slice, which stays open until another one is needed. Opening uses the scratch. */
lort_code lort_weights_open_slice(lort_weights *w, const lort_part *part, uint32_t number,
                                  lort_error *err)
{
    if (w->slice.part == part && w->slice.slice == number)
        return LORT_OK;
    lort_code code;
    do {
        close_slice(w);
        w->cache.valid = false;
        code = lort_slice_open(w->input.archive, part, number, w->session.scratch, w->alloc,
                               &w->slice, err);
    } while (code == LORT_E_MEMORY && lort_weights_drop_workers(w));
    return code;
}

/* Takes the memory of a row of cells, once per slice. */
static lort_code open_band(lort_weights *w, lort_error *err)
{
    const lort_cell_grid grid = lort_cell_grid_of(w->slice.shape.rows, w->slice.shape.cols);
    const int64_t high = grid.high < grid.rows ? grid.high : grid.rows;
    const uint64_t values =
        (uint64_t)high * (uint64_t)grid.cols + (grid.across > 1 ? LORT_CELL_VALUES : 0);
    void *memory;
    if (w->band.values)
        return LORT_OK;
    lort_code code;
    do
        code = lort_take(w->alloc, values * sizeof(float), "a row of blocks", &memory, err);
    while (code == LORT_E_MEMORY && lort_weights_drop_workers(w));
    if (code == LORT_OK)
        w->band = (lort_weights_band){
            .values = memory, .bytes = values * sizeof(float), .number = -1, .grid = grid};
    return code;
}

/* Decodes one cell to its place in the band. Refuses NaN and Inf if factors are involved: they
 * cannot be values of the source then. */
static lort_code band_cell(lort_weights *w, const lort_cells *cells, int64_t first_row,
                           lort_error *err)
{
    const lort_weights_band *b = &w->band;
    const uint64_t wide = (uint64_t)(cells->c1 - cells->c0), count = lort_cell_count(cells),
                   cols = (uint64_t)b->grid.cols;
    float *values =
        b->grid.across > 1 ? b->values + b->bytes / sizeof(float) - LORT_CELL_VALUES : b->values;
    lort_code code = lort_slice_cells(&w->slice, cells, w->session.scratch, &w->cache, values, err);
    if (code == LORT_OK && w->slice.left && lort_find_nonfinite(values, count) < count)
        code = lort_fail(err, LORT_E_NUMERIC, "value %g does not fit F32",
                         (double)values[lort_find_nonfinite(values, count)]);
    for (int64_t r = cells->r0; r < cells->r1 && code == LORT_OK && b->grid.across > 1; r++)
        memcpy(b->values + (uint64_t)(r - first_row) * cols + (uint64_t)cells->c0,
               values + (uint64_t)(r - cells->r0) * wide, (size_t)(wide * sizeof(float)));
    return code;
}

static lort_code load_band(lort_weights *w, int64_t number, lort_error *err)
{
    lort_code code = open_band(w, err);
    if (code || w->band.number == number)
        return code;
    w->band.number = -1;
    for (int64_t k = 0; k < w->band.grid.across && code == LORT_OK; k++) {
        const lort_cells cells = lort_cell_get(&w->band.grid, number * w->band.grid.across + k);
        code = band_cell(w, &cells, number * w->band.grid.high, err);
    }
    if (code == LORT_OK)
        w->band.number = number;
    return code;
}

/* Elements [at, end) of the open slice. */
static lort_code slice_elements(lort_weights *w, uint64_t at, uint64_t end, float *dst,
                                lort_error *err)
{
    lort_code code = LORT_OK;
    if (w->slice.term[LORT_TERM_RAW])
        return lort_slice_elements(&w->slice, at, end, w->session.scratch, &w->cache, dst, err);
    while (at < end && code == LORT_OK) {
        const lort_cell_grid grid = lort_cell_grid_of(w->slice.shape.rows, w->slice.shape.cols);
        const uint64_t per = (uint64_t)grid.high * (uint64_t)grid.cols, inside = at % per,
                       n = end - at < per - inside ? end - at : per - inside;
        code = load_band(w, (int64_t)(at / per), err);
        if (code == LORT_OK)
            memcpy(dst, w->band.values + inside, (size_t)(n * sizeof *dst));
        at += n;
        dst += n;
    }
    return code;
}

/* Elements [at, end) of one stored slice of a part. */
static lort_code stored_elements(lort_weights *w, const lort_part *part, uint32_t slice,
                                 uint64_t at, uint64_t end, float *dst, lort_error *err)
{
    lort_code code = lort_weights_open_slice(w, part, slice, err);
    return code ? code : slice_elements(w, at, end, dst, err);
}

/* Elements [at, end) of a part, slice by slice. Slices without chunks are zeros, any number of them
 * at once. */
static lort_code part_elements(lort_weights *w, const lort_part *part, uint64_t at, uint64_t end,
                               float *dst, lort_error *err)
{
    const lort_matrices shape = lort_part_matrices(part);
    const uint64_t per = (uint64_t)shape.rows * (uint64_t)shape.cols;
    lort_code code = LORT_OK;
    while (at < end && code == LORT_OK) {
        const uint32_t slice = (uint32_t)(at / per), stored = lort_part_stored(part, slice);
        const uint64_t first = slice * per, border = stored > slice ? stored * per : first + per,
                       stop = end < border ? end : border;
        if (stored > slice)
            memset(dst, 0, (size_t)((stop - at) * sizeof *dst));
        else
            code = stored_elements(w, part, slice, at - first, stop - first, dst, err);
        dst += stop - at;
        at = stop;
    }
    return code;
}

/* ---- rows ---- */

typedef struct row_stream {
    lort_entry entry;
    uint64_t at, end, cols; /* elements */
    float *buffer;
    uint64_t room; /* values, in whole blocks */
    lort_rows_fn *piece;
    void *ctx;
} row_stream;

lort_code lort_weights_check_rows(const lort_tensor *tensor, int64_t first, int64_t *count,
                                  lort_error *err)
{
    const lort_matrices shape = lort_weights_shape(tensor);
    const int64_t rows = shape.slices * shape.rows;
    if (*count == LORT_ROWS_ALL)
        *count = first < rows ? rows - first : 0;
    if (first < 0 || first > rows || *count < 0 || *count > rows - first)
        return lort_fail(err, LORT_E_USAGE, "%lld rows from row %lld on: there are %lld",
                         (long long)*count, (long long)first, (long long)rows);
    return LORT_OK;
}

static lort_code check_rows(const row_stream *s, int64_t first, int64_t *count,
                            uint64_t buffer_bytes, lort_error *err)
{
    const lort_dtype_info *type = s->entry.tensor->type;
    const int64_t least = (int64_t)(type->block_elements * sizeof(float));
    if (!lort_entry_decodes(&s->entry))
        return lort_fail(err, LORT_E_USAGE, "%s has no decoder; read the bytes of the tensor",
                         type->name);
    lort_code code = lort_weights_check_rows(s->entry.tensor, first, count, err);
    if (code == LORT_OK && buffer_bytes < (uint64_t)least)
        code = lort_fail(err, LORT_E_USAGE,
                         "a buffer of %llu bytes: the smallest that would do is %lld",
                         (ull)buffer_bytes, (long long)least);
    return code;
}

/* The values that one call may hand over. A container of few bytes may claim any number of rows,
 * and the caller would wait for their end. */
static uint64_t most_values(const row_stream *s)
{
    const double values = (double)(s->end - s->at);
    if (!s->entry.part || values <= (double)LORT_CELL_VALUES)
        return s->end - s->at;
    const double work = lort_part_work(s->entry.part) / (double)lort_part_elements(s->entry.part),
                 most = lort_work_allowed((double)lort_archive_size(s->entry.input->archive)) /
                        (1 + work);
    return values <= most ? s->end - s->at : (uint64_t)most;
}

static lort_code too_many(const row_stream *s, lort_error *err)
{
    return lort_fail(err, LORT_E_INPUT,
                     "the container stores %llu bytes, which is too little for %llu more values in "
                     "one call; ask for fewer rows",
                     (ull)lort_archive_size(s->entry.input->archive), (ull)(s->end - s->at));
}

/* The values of the next piece: as many whole rows as fit the buffer, or a part of one row. */
static uint64_t next_piece(const row_stream *s)
{
    const uint64_t row = s->cols - s->at % s->cols, most = s->room < s->cols
                                                               ? (s->room < row ? s->room : row)
                                                               : s->room / s->cols * s->cols;
    return s->end - s->at < most ? s->end - s->at : most;
}

static lort_code stream_piece(lort_weights *w, row_stream *s, uint64_t n, lort_error *err)
{
    lort_code code =
        s->entry.part
            ? part_elements(w, s->entry.part, s->at, s->at + n, s->buffer, err)
            : lort_entry_elements(&s->entry, s->at, n, w->session.scratch, s->buffer, err);
    if (code == LORT_OK) /* the last piece waits for the check of the file */
        code = (s->at + n < s->end ? lort_entry_check : lort_entry_unchanged)(&s->entry, err);
    if (code)
        return code;
    lort_host_lend(&w->host);
    code = s->piece(s->ctx, s->at, s->buffer, n);
    lort_host_return(&w->host);
    return caller_stopped(code, s->at, "element", err);
}

static lort_code stream_rows(lort_weights *w, row_stream *s, lort_error *err)
{
    lort_code code = LORT_OK;
    const uint64_t first = s->at, most = most_values(s);
    lort_host_enter(&w->host);
    while (s->at < s->end && code == LORT_OK) {
        const uint64_t n = next_piece(s);
        code = s->at - first >= most ? too_many(s, err) : stream_piece(w, s, n, err);
        s->at += n;
    }
    lort_host_leave(&w->host);
    return code;
}

lort_code lort_weights_rows(lort_weights *w, uint64_t number, int64_t first_row, int64_t row_count,
                            float *buffer, uint64_t buffer_bytes, lort_rows_fn *piece, void *ctx,
                            lort_error *err)
{
    row_stream s = {.buffer = buffer, .piece = piece, .ctx = ctx};
    lort_code code = lort_weights_entry(w, number, &s.entry, err);
    if (code)
        return code;
    code = check_rows(&s, first_row, &row_count, buffer_bytes, err);
    if (code == LORT_OK) {
        const lort_matrices shape = lort_weights_shape(s.entry.tensor);
        const uint64_t block = s.entry.tensor->type->block_elements;
        s.cols = (uint64_t)shape.cols;
        s.room = buffer_bytes / sizeof(float) / block * block;
        s.at = (uint64_t)first_row * s.cols;
        s.end = s.at + (uint64_t)row_count * s.cols;
        code = stream_rows(w, &s, err);
        if (row_count == shape.slices * shape.rows)
            lort_entry_release(&s.entry);
    }
    return lort_weights_name_error(&s.entry, code, err);
}
