/* compare: relative error, cosine and largest difference per tensor between two models or containers. A is the reference.
 * Rows are read block by block on both sides; sums are f64, per block, added in block order. */
#include "compress/encoding.h"
#include "compress/factor.h"
#include "compress/report.h"
#include "loader/model.h"
#include <math.h>
#include <string.h>

#define BLOCK_VALUES (256u << 10) /* f32 values a worker holds of each side */

/* One side: a model or a container. */
typedef struct side {
    const char *path;
    lort_model *model;
    lort_archive *archive;
} side;

/* One tensor on one side. */
typedef struct operand {
    const side *owner;
    const lort_tensor *tensor; /* of a model */
    const lort_part *part;     /* of a container */
    const lort_dtype_info *type;
    uint32_t n_dims;
    const int64_t *dims;
    lort_slice slice;          /* container: the slice that is open */
} operand;

typedef struct worker_state {
    lort_scratch a, b;
    lort_chunk_cache cache_a, cache_b;
    float *values; /* [2][block] */
} worker_state;

typedef struct sums {
    double diff2, a2, b2, dot, max_abs;
} sums;

typedef struct comparing {
    lort_session session;
    side a, b;
    worker_state *workers;
    uint64_t block; /* values a worker can hold of one side */
    operand left, right;
    lort_matrices shape;
    int64_t slice, step; /* the slice at hand; rows of a block */
    sums *slots, total;  /* [window] */
    unsigned window;
} comparing;

/* ---- sides ---- */

static lort_code open_side(comparing *c, side *s, const char *path, lort_error *err)
{
    bool archive;
    s->path = path;
    lort_code code = lort_archive_told(path, &archive, err);
    if (code)
        return code;
    if (archive)
        return lort_archive_open(path, &c->session.alloc, &s->archive, err);
    return lort_model_open(path, &c->session.alloc, lort_session_warn_text, &c->session, &s->model, err);
}

static void close_side(side *s)
{
    lort_model_close(s->model);
    lort_archive_close(s->archive);
}

static uint64_t entries_of(const side *s) { return s->model ? lort_model_index(s->model)->count : lort_archive_count(s->archive); }

static void from_tensor(const side *s, const lort_tensor *tensor, operand *out)
{
    *out = (operand){.owner = s, .tensor = tensor, .type = tensor->type, .n_dims = tensor->n_dims, .dims = tensor->dims};
}

static void from_part(const side *s, const lort_part *part, operand *out)
{
    *out = (operand){.owner = s, .part = part, .type = lort_dtype_get(part->dtype), .n_dims = part->n_dims, .dims = part->dims};
}

/* Entry i of a side; false for a container's raw parts. */
static bool entry_of(const side *s, uint64_t i, operand *out)
{
    if (s->model) {
        from_tensor(s, &lort_model_index(s->model)->tensors[i], out);
        return true;
    }
    const lort_part *part = lort_archive_part(s->archive, i);
    if (part->tensor)
        from_part(s, part, out);
    return part->tensor;
}

static const char *name_of(const operand *o) { return o->tensor ? o->tensor->name : o->part->name; }
static uint32_t name_bytes_of(const operand *o) { return o->tensor ? o->tensor->name_bytes : o->part->name_bytes; }

static bool find(const side *s, const char *name, uint32_t bytes, operand *out)
{
    if (s->model) {
        const lort_tensor *tensor = lort_index_find(lort_model_index(s->model), name, bytes);
        if (tensor)
            from_tensor(s, tensor, out);
        return tensor != NULL;
    }
    const lort_part *part = lort_archive_find(s->archive, name, bytes);
    if (part)
        from_part(s, part, out);
    return part != NULL;
}

/* ---- rows ---- */

static bool decodes(const operand *o) { return o->part ? lort_part_decodes(o->part) : o->type->decode != NULL; }

/* A container stores a tensor whole or slice by slice; a model is read slice by slice. */
static lort_code open_slice(comparing *c, operand *o, lort_scratch *scratch, lort_error *err)
{
    if (!o->part)
        return LORT_OK;
    uint32_t number = o->part->slices > 1 ? (uint32_t)c->slice : 0;
    return lort_slice_open(o->owner->archive, o->part, number, scratch, &c->session.alloc, &o->slice, err);
}

static lort_code read_rows(comparing *c, operand *o, int64_t r0, int64_t r1, lort_scratch *scratch, lort_chunk_cache *cache, float *dst, lort_error *err)
{
    int64_t before = c->slice * c->shape.rows, cols = c->shape.cols;
    if (o->part) {
        int64_t skip = o->part->slices > 1 ? 0 : before;
        return lort_slice_rows(&o->slice, skip + r0, skip + r1, scratch, cache, dst, err);
    }
    uint64_t row = (uint64_t)cols / o->type->block_elements * o->type->block_bytes;
    const uint8_t *bytes;
    lort_code code = lort_model_view(o->owner->model, o->tensor->file, o->tensor->offset + (uint64_t)(before + r0) * row, (uint64_t)(r1 - r0) * row,
                                     scratch->bytes, &bytes, err);
    if (code == LORT_OK)
        o->type->decode(bytes, dst, (uint64_t)(r1 - r0) * (uint64_t)cols);
    return code;
}

static sums sum_block(const float *a, const float *b, uint64_t n)
{
    sums s = {0};
    for (uint64_t i = 0; i < n; i++) {
        double x = a[i], y = b[i], d = x - y;
        if (a[i] == b[i] || (isnan(x) && isnan(y)))
            d = 0; /* Inf - Inf and NaN - NaN: the same value is no difference */
        s.diff2 += d * d;
        s.a2 += x * x;
        s.b2 += y * y;
        s.dot += x * y;
        s.max_abs = fabs(d) > s.max_abs || isnan(d) ? fabs(d) : s.max_abs;
    }
    return s;
}

static lort_code compare_block(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    comparing *c = ctx;
    worker_state *w = &c->workers[worker];
    int64_t r0 = item * c->step, r1 = r0 + c->step < c->shape.rows ? r0 + c->step : c->shape.rows;
    float *a = w->values, *b = w->values + c->block;
    lort_code code = read_rows(c, &c->left, r0, r1, &w->a, &w->cache_a, a, err);
    if (code == LORT_OK)
        code = read_rows(c, &c->right, r0, r1, &w->b, &w->cache_b, b, err);
    if (code == LORT_OK)
        c->slots[slot] = sum_block(a, b, (uint64_t)(r1 - r0) * (uint64_t)c->shape.cols);
    return code;
}

static lort_code add_block(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    comparing *c = ctx;
    const sums *s = &c->slots[slot];
    (void)item;
    if (lort_session_stopped(&c->session))
        return lort_fail(err, LORT_E_STOPPED, "stopped");
    c->total.diff2 += s->diff2;
    c->total.a2 += s->a2;
    c->total.b2 += s->b2;
    c->total.dot += s->dot;
    c->total.max_abs = s->max_abs > c->total.max_abs || isnan(s->max_abs) ? s->max_abs : c->total.max_abs;
    return LORT_OK;
}

/* Rows of one block: whole grid steps of the decoder, as many as a worker holds. */
static int64_t rows_per_block(const comparing *c)
{
    int64_t fits = (int64_t)(c->block / (uint64_t)(c->shape.cols ? c->shape.cols : 1)) / LORT_DECODE_ROWS * LORT_DECODE_ROWS;
    return fits < LORT_DECODE_ROWS ? LORT_DECODE_ROWS : fits;
}

static lort_code compare_rows(comparing *c, lort_error *err)
{
    lort_code code = LORT_OK;
    c->step = rows_per_block(c);
    for (c->slice = 0; c->slice < c->shape.slices && code == LORT_OK; c->slice++) {
        code = open_slice(c, &c->left, &c->workers[0].a, err);
        if (code == LORT_OK)
            code = open_slice(c, &c->right, &c->workers[0].b, err);
        c->workers[0].cache_a.valid = c->workers[0].cache_b.valid = false; /* their buffers were used to open */
        if (code == LORT_OK)
            code = lort_pool_run(c->session.pool, (c->shape.rows + c->step - 1) / c->step, c->window, compare_block, add_block, c, err);
        lort_slice_close(&c->left.slice);
        lort_slice_close(&c->right.slice);
    }
    return code;
}

/* ---- types without a decoder: the same bytes or not ---- */

static lort_code hash_operand(comparing *c, operand *o, lort_hash128 *out, lort_error *err)
{
    lort_scratch *scratch = &c->workers[0].a;
    lort_hasher *hasher;
    if (o->part) {
        *out = o->part->source;
        return LORT_OK;
    }
    lort_code code = lort_hasher_open(&c->session.alloc, &hasher, err);
    for (uint64_t at = 0; code == LORT_OK && at < o->tensor->bytes; at += scratch->size) {
        uint64_t n = o->tensor->bytes - at < scratch->size ? o->tensor->bytes - at : scratch->size;
        const uint8_t *bytes;
        code = lort_model_view(o->owner->model, o->tensor->file, o->tensor->offset + at, n, scratch->bytes, &bytes, err);
        if (code == LORT_OK)
            lort_hasher_add(hasher, bytes, n);
    }
    if (code == LORT_OK)
        *out = lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    return code;
}

static lort_code compare_bytes(comparing *c, lort_tensor_report *entry, lort_error *err)
{
    lort_hash128 a, b;
    lort_code code = hash_operand(c, &c->left, &a, err);
    if (code == LORT_OK)
        code = hash_operand(c, &c->right, &b, err);
    if (code)
        return code;
    bool same = c->left.type == c->right.type && memcmp(&a, &b, sizeof a) == 0;
    entry->rel_error = same ? 0 : NAN;
    entry->max_abs = same ? 0 : NAN;
    entry->reason = same ? "same bytes" : "bytes differ; the type has no decoder";
    if (!same)
        lort_session_warn(&c->session, "%s: %s has no decoder, and the bytes differ", entry->name, c->left.type->name);
    return LORT_OK;
}

/* ---- tensors ---- */

static lort_code same_shape(const operand *a, const operand *b, const char *name, lort_error *err)
{
    bool same = a->n_dims == b->n_dims;
    for (uint32_t i = 0; same && i < a->n_dims; i++)
        same = a->dims[i] == b->dims[i];
    if (same)
        return LORT_OK;
    lort_tensor left = {.n_dims = a->n_dims, .dims = a->dims}, right = {.n_dims = b->n_dims, .dims = b->dims};
    char x[200], y[200];
    return lort_fail(err, LORT_E_INPUT, "cannot be compared: %s is %s in A and %s in B", name, lort_shape_text(&left, x, sizeof x), lort_shape_text(&right, y, sizeof y));
}

static void fill_entry(comparing *c, lort_tensor_report *entry)
{
    const sums *s = &c->total;
    entry->rel_error = s->a2 > 0 ? sqrt(s->diff2 / s->a2) : s->diff2 > 0 ? NAN : 0.0;
    entry->cosine = s->a2 > 0 && s->b2 > 0 ? s->dot / sqrt(s->a2) / sqrt(s->b2) : NAN;
    entry->max_abs = s->max_abs;
}

static lort_code compare_tensor(comparing *c, lort_tensor_report *entry, lort_error *err)
{
    lort_report *report = c->session.report;
    lort_tensor view = {.n_dims = c->left.n_dims, .dims = c->left.dims};
    entry->name = lort_report_escape(report, name_of(&c->left), name_bytes_of(&c->left));
    entry->dtype = c->left.type->name;
    entry->n_dims = c->left.n_dims;
    entry->shape = lort_report_shape(report, c->left.dims, c->left.n_dims);
    entry->bytes_in = c->left.tensor ? c->left.tensor->bytes : c->left.part->source_bytes;
    entry->bytes_out = c->right.tensor ? c->right.tensor->bytes : c->right.part->source_bytes;
    entry->action = "compare";
    c->shape = lort_tensor_matrices(&view);
    entry->slices = c->shape.slices;
    c->total = (sums){0};
    if (!decodes(&c->left) || !decodes(&c->right))
        return compare_bytes(c, entry, err);
    lort_code code = compare_rows(c, err);
    if (code == LORT_OK && c->left.tensor)
        code = lort_model_check(c->left.owner->model, c->left.tensor->file, err);
    if (code == LORT_OK && c->right.tensor)
        code = lort_model_check(c->right.owner->model, c->right.tensor->file, err);
    fill_entry(c, entry);
    return code;
}

static lort_code count_pairs(comparing *c, uint64_t *pairs, lort_error *err)
{
    uint64_t others = 0;
    char name[200];
    operand o, other;
    *pairs = 0;
    for (uint64_t i = 0; i < entries_of(&c->b); i++)
        others += entry_of(&c->b, i, &o);
    for (uint64_t i = 0; i < entries_of(&c->a); i++) {
        if (!entry_of(&c->a, i, &o))
            continue;
        lort_escape(name, sizeof name, name_of(&o), name_bytes_of(&o));
        if (!find(&c->b, name_of(&o), name_bytes_of(&o), &other))
            return lort_fail(err, LORT_E_INPUT, "cannot be compared: tensor %s of A is not in B", name);
        lort_code code = same_shape(&o, &other, name, err);
        if (code)
            return code;
        ++*pairs;
    }
    if (others > *pairs)
        return lort_fail(err, LORT_E_INPUT, "cannot be compared: B has %llu tensors, A %llu", (unsigned long long)others, (unsigned long long)*pairs);
    return LORT_OK;
}

static void sum_up(lort_report *report)
{
    double sum = 0;
    uint64_t count = 0;
    for (uint64_t i = 0; i < report->tensor_count; i++) {
        double error = report->tensors[i].rel_error;
        if (isnan(error))
            continue;
        sum += error;
        count++;
        report->worst_error = fmax(error, isnan(report->worst_error) ? 0 : report->worst_error);
    }
    report->mean_error = count ? sum / (double)count : NAN;
}

static lort_code compare_all(comparing *c, lort_error *err)
{
    lort_report *report = c->session.report;
    uint64_t pairs, at = 0;
    lort_code code = count_pairs(c, &pairs, err);
    if (code == LORT_OK)
        code = lort_report_tensors(report, pairs, err);
    c->session.tensors_total = pairs;
    for (uint64_t i = 0; code == LORT_OK && i < entries_of(&c->a); i++) {
        if (!entry_of(&c->a, i, &c->left))
            continue;
        find(&c->b, name_of(&c->left), name_bytes_of(&c->left), &c->right);
        lort_tensor_report *entry = &report->tensors[at++];
        code = compare_tensor(c, entry, err);
        if (code) {
            lort_error_prefix(err, "tensor %s", entry->name);
            break;
        }
        c->session.tensors_done++;
        c->session.done_bytes += entry->bytes_in;
        lort_session_say(&c->session, LORT_EVENT_TENSOR, entry, NULL);
    }
    sum_up(report);
    return code ? code : lort_report_check(report, err);
}

/* ---- workers ---- */

/* Values a worker must hold of one side: a decoder's grid step of the widest tensor at least. */
static uint64_t block_values(const comparing *c)
{
    uint64_t most = BLOCK_VALUES;
    operand o;
    for (uint64_t i = 0; i < entries_of(&c->a); i++)
        if (entry_of(&c->a, i, &o) && o.n_dims) {
            uint64_t step = (uint64_t)o.dims[o.n_dims - 1] * LORT_DECODE_ROWS;
            most = step > most ? step : most;
        }
    return most;
}

static uint64_t chunk_bytes(const comparing *c)
{
    uint64_t most = c->block * sizeof(double); /* a block of an unmapped model's rows, whatever its type */
    uint64_t a = c->a.archive ? lort_archive_chunk_max(c->a.archive) : 0, b = c->b.archive ? lort_archive_chunk_max(c->b.archive) : 0;
    bool unmapped = (c->a.model && lort_model_unmapped(c->a.model)) || (c->b.model && lort_model_unmapped(c->b.model));
    most = unmapped ? most : LORT_CHUNK_TARGET;
    most = a > most ? a : most;
    return b > most ? b : most;
}

static lort_code open_worker(comparing *c, worker_state *w, lort_scratch *base, lort_error *err)
{
    void *memory;
    lort_code code = lort_take(&c->session.alloc, 2 * c->block * sizeof(float), "rows", &memory, err);
    if (code)
        return code;
    w->values = memory;
    w->a = *base; /* owned by the session */
    code = lort_scratch_open(&w->b, &c->session.alloc, base->size, err);
    w->b.codec = base->codec;
    return code;
}

static lort_code open_workers(comparing *c, const lort_run_options *run, lort_error *err)
{
    void *memory;
    uint64_t limit = lort_session_limit(&c->session, run->memory_bytes), chunk, each;
    unsigned threads = c->session.threads;
    c->block = block_values(c);
    chunk = chunk_bytes(c);
    each = 2 * chunk + lort_codec_bound(chunk) + 2 * c->block * sizeof(float) + lort_session_cost(1, LORT_ZSTD_LEVEL_DEFAULT, chunk);
    while (threads > 1 && c->session.base_anon + threads * each > limit)
        threads--;
    c->session.report->planned_peak_bytes = c->session.base_anon + threads * each;
    c->session.report->budget_bytes = limit;
    lort_code code = lort_session_start(&c->session, threads, LORT_ZSTD_LEVEL_DEFAULT, chunk, err);
    if (code)
        return code;
    c->window = 2 * c->session.threads;
    code = lort_take_zero(&c->session.alloc, c->window * sizeof *c->slots, "partial sums", &memory, err);
    c->slots = memory;
    if (code == LORT_OK)
        code = lort_take_zero(&c->session.alloc, c->session.threads * sizeof *c->workers, "workers", &memory, err);
    if (code)
        return code;
    c->workers = memory;
    for (unsigned i = 0; i < c->session.threads && code == LORT_OK; i++)
        code = open_worker(c, &c->workers[i], &c->session.scratch[i], err);
    return code;
}

static void close_workers(comparing *c)
{
    const lort_alloc *alloc = &c->session.alloc;
    for (unsigned i = 0; c->workers && i < c->session.threads; i++) {
        c->workers[i].b.codec = NULL;
        lort_scratch_close(&c->workers[i].b, alloc);
        lort_give(alloc, c->workers[i].values, 2 * c->block * sizeof(float));
    }
    lort_give(alloc, c->workers, c->session.threads * sizeof *c->workers);
    lort_give(alloc, c->slots, c->window * sizeof *c->slots);
}

lort_code lort_compare(const char *a, const char *b, double fail_above, const lort_run_options *run, const lort_observer *observer, lort_report *report, lort_error *err)
{
    comparing c = {0};
    lort_code code = lort_session_open(&c.session, "compare", run->memory_bytes, run->threads, observer, report, err);
    if (code == LORT_OK)
        code = open_side(&c, &c.a, a, err);
    if (code == LORT_OK)
        code = open_side(&c, &c.b, b, err);
    if (code == LORT_OK) {
        report->input_path = lort_report_escape(report, a, strlen(a));
        report->output_path = lort_report_escape(report, b, strlen(b));
        report->input_format = c.a.model ? lort_model_format(c.a.model) : "lort";
        report->input_bytes = c.a.model ? lort_model_bytes(c.a.model) : lort_archive_size(c.a.archive);
        c.session.total_bytes = report->input_bytes;
        code = open_workers(&c, run, err);
    }
    if (code == LORT_OK)
        code = compare_all(&c, err);
    if (code == LORT_OK && fail_above >= 0 && report->worst_error > fail_above)
        code = lort_fail(err, LORT_E_NUMERIC, "the worst relative error %.6g is above --fail-above %g", report->worst_error, fail_above);
    close_workers(&c);
    close_side(&c.a);
    close_side(&c.b);
    lort_session_close(&c.session);
    return code;
}
