/* compare: relative error, cosine and largest difference of each tensor of two models or
 * containers.
 *
 *     rel_error = sqrt(sum (a - b)^2 / sum a^2)        A is the reference
 *     cosine    = sum a b / sqrt(sum a^2 sum b^2)
 *
 * LoRT reads both sides cell by cell. Sums are f64, one per cell, added in the order of the cells.
 * Equal NaN or Inf at the same place of both sides is no difference and is left out of the sums.
 * NaN or Inf on one side only makes the error undefined. */
#include "compress/commands/compare_cells.h"
#include "compress/commands/compare_check.h"
#include "compress/delta/base.h"
#include "compress/factor/factor.h"
#include "compress/goal/given.h"
#include "compress/read/input.h"
#include "compress/session/figures.h"
#include "compress/session/report.h"
#include "compress/session/type_totals.h"
#include "loader/os/os.h"
#include <math.h>
#include <string.h>

#define MOST_CELLS 256 /* of an item of the pool, where slices are small */

/* One tensor on one side. */
typedef struct operand {
    lort_entry entry;
    lort_slice slice; /* of a container: the open slice */
} operand;

typedef struct worker_state {
    lort_scratch a, b;
    lort_chunk_cache cache_a, cache_b;
    float *values; /* [2][LORT_CELL_VALUES] */
} worker_state;

typedef struct sums {
    double diff2, a2, b2, dot, max_abs;
    uint64_t unlike; /* NaN or Inf on one side only, or Inf of the other sign */
} sums;

typedef struct comparing {
    lort_session session;
    lort_input a, b;
    worker_state *workers;
    lort_block_need blocks; /* of either side */
    operand left, right;
    lort_matrices shape;
    int64_t first, end; /* slices in work */
    lort_cell_grid grid;
    int64_t group;      /* cells of an item: several, where slices are small */
    sums *slots, total; /* slots: [window][MOST_CELLS] */
    unsigned window;
    uint64_t undefined;          /* tensors that differ, but have no error */
    uint64_t first_undefined;    /* its number */
    lort_compare_undecoded told; /* pairs of types */
    lort_base *base;             /* NULL: none */
} comparing;

/* ---- cells ---- */

static bool is_sliced(const operand *o) { return o->entry.part && o->entry.part->slices > 1; }

/* The first slice from `slice` on that may be other than zero; shape.slices if there is none. */
static int64_t next_stored(const comparing *c, const operand *o, int64_t slice)
{
    if (is_sliced(o))
        return slice < c->shape.slices ? lort_part_stored(o->entry.part, (uint32_t)slice) : slice;
    return o->entry.part && o->entry.part->chunk_count == 0 ? c->shape.slices : slice;
}

/* Opens slice `number` of a container's part. */
static lort_code open_slice(comparing *c, operand *o, uint32_t number, lort_scratch *scratch,
                            lort_chunk_cache *cache, lort_error *err)
{
    lort_slice_close(&o->slice);
    cache->valid = false; /* opening uses the buffers of worker 0 */
    return lort_slice_open(o->entry.input->archive, o->entry.part, number, scratch,
                           &c->session.alloc, &o->slice, err);
}

/* Opens the slice in work of a part with several slices, if it is stored there. A slice that is
 * closed reads as zero. */
static lort_code open_sliced(comparing *c, operand *o, lort_scratch *scratch,
                             lort_chunk_cache *cache, lort_error *err)
{
    if (!is_sliced(o))
        return LORT_OK;
    lort_slice_close(&o->slice);
    return next_stored(c, o, c->first) == c->first
               ? open_slice(c, o, (uint32_t)c->first, scratch, cache, err)
               : LORT_OK;
}

/* Opens a part that has one slice for the whole tensor: once, however many slices the other side
 * has. */
static lort_code open_whole(comparing *c, operand *o, lort_scratch *scratch,
                            lort_chunk_cache *cache, lort_error *err)
{
    return o->entry.part && !is_sliced(o) ? open_slice(c, o, 0, scratch, cache, err) : LORT_OK;
}

static lort_code read_cells(comparing *c, operand *o, int64_t slice, lort_cells cells,
                            lort_scratch *scratch, lort_chunk_cache *cache, float *dst,
                            lort_error *err)
{
    int64_t before = slice * c->shape.rows;
    if (!o->entry.part)
        return lort_compare_model_cells(&o->entry, before, c->shape.cols, &cells, scratch, dst,
                                        err);
    if (o->entry.part->slices <= 1 && o->slice.shape.cols != c->shape.cols)
        return lort_compare_other_cells(&o->slice, (uint64_t)(before * c->shape.cols),
                                        c->shape.cols, &cells, scratch, cache, dst, err);
    if (o->entry.part->slices <= 1) {
        cells.r0 += before;
        cells.r1 += before;
    }
    return lort_slice_cells(&o->slice, &cells, scratch, cache, dst, err);
}

static sums sum_cells(const float *a, const float *b, uint64_t n)
{
    sums s = {0};
    for (uint64_t i = 0; i < n; i++) {
        double x = a[i], y = b[i], d = x - y;
        if (!isfinite(x) || !isfinite(y)) {
            s.unlike += !(a[i] == b[i] || (isnan(x) && isnan(y)));
            continue;
        }
        s.diff2 += d * d;
        s.a2 += x * x;
        s.b2 += y * y;
        s.dot += x * y;
        s.max_abs = fabs(d) > s.max_abs ? fabs(d) : s.max_abs;
    }
    return s;
}

static int64_t cells_of(const comparing *c)
{
    return (c->end - c->first) * c->grid.down * c->grid.across;
}

/* Compares cell `number` of the slices in work. */
static lort_code compare_cell(comparing *c, int64_t number, worker_state *w, sums *out,
                              lort_error *err)
{
    const int64_t per = c->grid.down * c->grid.across, slice = c->first + number / per;
    lort_cells cells = lort_cell_get(&c->grid, number % per);
    float *a = w->values, *b = w->values + LORT_CELL_VALUES;
    lort_code code = read_cells(c, &c->left, slice, cells, &w->a, &w->cache_a, a, err);
    if (code == LORT_OK)
        code = read_cells(c, &c->right, slice, cells, &w->b, &w->cache_b, b, err);
    lort_session_tick(&c->session, lort_cell_count(&cells));
    if (code == LORT_OK)
        *out = sum_cells(a, b, lort_cell_count(&cells));
    return code;
}

static int64_t group_end(const comparing *c, int64_t item)
{
    const int64_t end = (item + 1) * c->group;
    return end < cells_of(c) ? end : cells_of(c);
}

static lort_code compare_group(void *ctx, int64_t item, unsigned worker, unsigned slot,
                               lort_error *err)
{
    comparing *c = ctx;
    lort_code code = LORT_OK;
    sums *out = c->slots + (size_t)slot * MOST_CELLS;
    for (int64_t i = item * c->group; i < group_end(c, item) && code == LORT_OK; i++)
        code = compare_cell(c, i, &c->workers[worker], out++, err);
    return code;
}

static lort_code add_group(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    comparing *c = ctx;
    const sums *s = c->slots + (size_t)slot * MOST_CELLS;
    for (int64_t i = item * c->group; i < group_end(c, item); i++, s++) {
        c->total.diff2 += s->diff2;
        c->total.a2 += s->a2;
        c->total.b2 += s->b2;
        c->total.dot += s->dot;
        c->total.max_abs = fmax(s->max_abs, c->total.max_abs);
        c->total.unlike += s->unlike;
    }
    return lort_session_check_stop(&c->session, err);
}

static bool is_convolution(const operand *o) { return o->entry.part && o->entry.part->convolution; }

/* The matrices to compare: the slices if a side stores them one by one, or one matrix as a side
 * stores it, else all rows as one. */
static lort_matrices shape_of(const operand *a, const operand *b)
{
    const lort_tensor *tensor = a->entry.tensor;
    const lort_matrices shape = lort_tensor_matrices(tensor);
    if (is_sliced(a) || is_sliced(b))
        return shape;
    return shape.rows && shape.cols && (is_convolution(a) || is_convolution(b))
               ? lort_dims_convolution(tensor->dims, tensor->n_dims)
               : (lort_matrices){1, shape.slices * shape.rows, shape.cols};
}

/* Chooses the next slices that are not zero on both sides: one slice that a side stores by itself,
 * or all slices in front of the next such one. False: none is left. */
static bool next_slices(comparing *c)
{
    const int64_t left = next_stored(c, &c->left, c->end),
                  right = next_stored(c, &c->right, c->end), all = c->shape.slices;
    int64_t alone = is_sliced(&c->left) ? left : all; /* the next slice that is stored by itself */
    alone = is_sliced(&c->right) && right < alone ? right : alone;
    c->first = left < right ? left : right;
    c->end = c->first < alone ? alone : c->first + 1;
    return c->first < all;
}

static lort_code compare_next(comparing *c, lort_error *err)
{
    worker_state *w = &c->workers[0];
    lort_code code = open_sliced(c, &c->left, &w->a, &w->cache_a, err);
    if (code == LORT_OK)
        code = open_sliced(c, &c->right, &w->b, &w->cache_b, err);
    if (code == LORT_OK)
        code = lort_pool_run(c->session.pool, (cells_of(c) + c->group - 1) / c->group, c->window,
                             compare_group, add_group, c, err);
    return code;
}

static lort_code compare_slices(comparing *c, lort_error *err)
{
    worker_state *w = &c->workers[0];
    if (c->shape.rows == 0 || c->shape.cols == 0)
        return LORT_OK;
    const uint64_t values = (uint64_t)c->shape.rows * (uint64_t)c->shape.cols;
    c->grid = lort_cell_grid_of(c->shape.rows, c->shape.cols);
    c->group = values < LORT_CELL_VALUES / MOST_CELLS ? MOST_CELLS : 1;
    c->first = c->end = 0;
    lort_code code = open_whole(c, &c->left, &w->a, &w->cache_a, err);
    if (code == LORT_OK)
        code = open_whole(c, &c->right, &w->b, &w->cache_b, err);
    while (code == LORT_OK && next_slices(c))
        code = compare_next(c, err);
    lort_slice_close(&c->left.slice);
    lort_slice_close(&c->right.slice);
    return code;
}

/* ---- types without a decoder: bytes are compared ---- */

typedef struct hashing {
    comparing *c;
    lort_hasher *hasher;
} hashing;

static lort_code hash_bytes(void *ctx, const void *bytes, uint64_t n, lort_error *err)
{
    hashing *h = ctx;
    lort_hasher_add(h->hasher, bytes, n);
    return lort_session_check_stop(&h->c->session, err);
}

/* Hashes the bytes of a tensor. The hash in a container is not used: its bytes are decoded. A type
 * without a decoder has raw arrays only. */
static lort_code hash_operand(comparing *c, const operand *o, lort_hash128 *out, lort_error *err)
{
    hashing h = {.c = c};
    lort_code code = lort_hasher_open(&c->session.alloc, &h.hasher, err);
    if (code == LORT_OK)
        code = lort_entry_bytes(&o->entry, &c->workers[0].a, hash_bytes, &h, err);
    if (code == LORT_OK)
        *out = lort_hasher_value(h.hasher);
    lort_hasher_close(h.hasher);
    return code;
}

/* Counts a difference that has no error. It is as one above any --fail-above. */
static void count_undefined(comparing *c, const lort_tensor_report *entry)
{
    if (c->undefined++ == 0)
        c->first_undefined = (uint64_t)(entry - c->session.report->tensors);
}

static void note_undefined(comparing *c, const lort_tensor_report *entry, const char *why)
{
    lort_compare_warn(&c->session, entry, why);
    count_undefined(c, entry);
}

/* Both sides must have one type: a container may not store a tensor of another type as bytes. */
static lort_code same_bytes(comparing *c, bool *same, lort_error *err)
{
    lort_hash128 a, b;
    lort_code code = hash_operand(c, &c->left, &a, err);
    if (code == LORT_OK)
        code = hash_operand(c, &c->right, &b, err);
    *same = code == LORT_OK && memcmp(&a, &b, sizeof a) == 0;
    return code;
}

static void set_reason(lort_tensor_report *entry, lort_reason reason)
{
    entry->reason = reason;
    entry->reason_text = lort_reason_text(reason);
}

static lort_code compare_bytes(comparing *c, lort_tensor_report *entry, lort_error *err)
{
    const bool same_type = c->left.entry.tensor->type->id == c->right.entry.tensor->type->id;
    bool same = false;
    lort_code code = same_type ? same_bytes(c, &same, err) : LORT_OK;
    if (code)
        return code;
    entry->rel_error = same ? 0 : NAN;
    entry->max_abs = same ? 0 : NAN;
    set_reason(entry, same        ? LORT_REASON_SAME_BYTES
                      : same_type ? LORT_REASON_BYTES_DIFFER
                                  : LORT_REASON_TYPES_DIFFER);
    if (same)
        return LORT_OK;
    lort_compare_warn_undecoded(&c->session, &c->told, entry, lort_entry_decodes(&c->left.entry),
                                lort_entry_decodes(&c->right.entry));
    count_undefined(c, entry);
    return LORT_OK;
}

/* ---- tensors ---- */

static void fill_entry(comparing *c, lort_tensor_report *entry)
{
    const sums *s = &c->total;
    entry->rel_error = s->unlike      ? NAN
                       : s->a2 > 0    ? sqrt(s->diff2 / s->a2)
                       : s->diff2 > 0 ? NAN
                                      : 0.0;
    entry->cosine = !s->unlike && s->a2 > 0 && s->b2 > 0 ? s->dot / sqrt(s->a2) / sqrt(s->b2) : NAN;
    entry->max_abs = s->unlike ? NAN : s->max_abs;
    if (s->unlike) {
        set_reason(entry, LORT_REASON_ONE_SIDE_NOT_FINITE);
        note_undefined(c, entry, "NaN or Inf on one side only, so the error is undefined");
    } else if (isnan(entry->rel_error)) {
        set_reason(entry, LORT_REASON_REFERENCE_ZERO);
        note_undefined(c, entry, "A is all zero and B is not, so the relative error is undefined");
    }
}

static lort_code compare_tensor(comparing *c, lort_tensor_report *entry, lort_error *err)
{
    lort_report *report = c->session.report;
    const lort_tensor *left = c->left.entry.tensor;
    uint64_t start = lort_os_clock_ns();
    lort_report_tensor(report, left, entry);
    entry->type = lort_report_dtype(report, c->right.entry.tensor->type);
    entry->bytes_out = c->right.entry.tensor->bytes;
    entry->action = LORT_ACTION_COMPARED;
    c->shape = shape_of(&c->left, &c->right);
    c->total = (sums){0};
    bool numbers = lort_entry_decodes(&c->left.entry) && lort_entry_decodes(&c->right.entry);
    lort_code code = numbers ? compare_slices(c, err) : compare_bytes(c, entry, err);
    if (code == LORT_OK)
        code = lort_entry_unchanged(&c->left.entry, err);
    if (code == LORT_OK)
        code = lort_entry_unchanged(&c->right.entry, err);
    if (code == LORT_OK && numbers)
        fill_entry(c, entry);
    entry->seconds = (double)(lort_os_clock_ns() - start) * 1e-9;
    return code;
}

/* Takes tensor `number` of A and the tensor of its name in B. */
static void take_pair(comparing *c, uint64_t number)
{
    c->left = (operand){.entry = lort_input_entry(&c->a, number)};
    c->right = (operand){.entry = c->left.entry};
    lort_input_find(&c->b, c->left.entry.tensor->name, c->left.entry.tensor->name_bytes,
                    &c->right.entry);
}

static lort_code compare_all(comparing *c, lort_error *err)
{
    lort_report *report = c->session.report;
    lort_code code = lort_compare_check(&c->a, &c->b, err);
    if (code == LORT_OK)
        code = lort_report_tensors(report, c->a.index->count, err);
    c->session.tensors_total = c->a.index->count;
    lort_compare_expect(&c->session, c->a.index);
    for (uint64_t i = 0; code == LORT_OK && i < c->a.index->count; i++) {
        lort_tensor_report *entry = &report->tensors[i];
        take_pair(c, i);
        lort_session_work_on(&c->session, entry);
        code = compare_tensor(c, entry, err);
        if (code) {
            lort_error_prefix(err, "tensor %s", entry->name);
            lort_error_tensor(err, c->left.entry.tensor->name, c->left.entry.tensor->name_bytes);
            break;
        }
        c->session.tensors_done++;
        c->session.done_bytes += entry->bytes_in;
        lort_session_did(&c->session, c->left.entry.tensor->elements, entry->bytes_in, 1);
        lort_entry_release(&c->left.entry);
        lort_entry_release(&c->right.entry);
        lort_session_sample(&c->session);
        lort_session_say(&c->session, LORT_EVENT_TENSOR, entry, NULL);
        code = lort_session_check_stop(&c->session, err);
    }
    lort_compare_sum_up(report);
    if (code == LORT_OK)
        code = lort_report_type_totals(report, err);
    if (code == LORT_OK)
        code = lort_compare_unchanged(&c->session, &c->a, &c->b, err);
    if (code == LORT_OK)
        code = lort_base_unchanged(c->base, err);
    return code ? code : lort_report_check(report, err);
}

/* ---- workers ---- */

#define SMALL_THINGS (1u << 20) /* partial sums, hashers, workers */

static uint64_t chunk_bytes(const comparing *c)
{
    uint64_t a = c->a.archive ? lort_archive_chunk_max(c->a.archive) : 0,
             b = c->b.archive ? lort_archive_chunk_max(c->b.archive) : 0;
    a = a > LORT_CHUNK_TARGET ? a : LORT_CHUNK_TARGET;
    return b > a ? b : a;
}

/* The most bytes of factors that are open at one time, and the tensor that has them. */
static uint64_t most_factors(const comparing *c, const lort_tensor **which)
{
    uint64_t most = 0;
    for (uint64_t i = 0; i < c->a.index->count; i++) {
        lort_entry a = lort_input_entry(&c->a, i), b;
        if (!lort_input_find(&c->b, a.tensor->name, a.tensor->name_bytes, &b))
            continue;
        uint64_t bytes =
            (a.part ? lort_part_memory(a.part) : 0) + (b.part ? lort_part_memory(b.part) : 0);
        if (bytes > most) {
            most = bytes;
            *which = a.tensor;
        }
    }
    return most;
}

/* A worker has the scratch of the session, a second one for B, and two cells. Archives that are not
 * mapped also need a stored chunk each. */
static uint64_t worker_cost(const comparing *c, uint64_t chunk)
{
    return lort_session_cost(&c->session, 1, LORT_ZSTD_LEVEL_DEFAULT, chunk, &c->blocks) +
           lort_block_space_bytes(&c->blocks) + 2 * chunk + 3 * lort_codec_bound(chunk) +
           2 * LORT_CELL_VALUES * sizeof(float) + 2 * MOST_CELLS * sizeof(sums);
}

static lort_code plan_memory(comparing *c, const lort_run_options *run, uint64_t chunk,
                             unsigned *threads, lort_error *err)
{
    lort_report *report = c->session.report;
    const lort_tensor *which = NULL;
    uint64_t limit = lort_session_limit(&c->session, run->memory_bytes),
             factors = most_factors(c, &which);
    *threads = c->session.threads;
    uint64_t base = c->session.base_anon + lort_budget_used(c->session.budget) + factors +
                    SMALL_THINGS + lort_base_cost(c->base, *threads);
    while (*threads > 1 && base + *threads * worker_cost(c, chunk) > limit)
        --*threads;
    report->planned_peak_bytes = base + *threads * worker_cost(c, chunk);
    if (report->planned_peak_bytes < lort_session_peak(&c->session)) /* by records, before */
        report->planned_peak_bytes = lort_session_peak(&c->session);
    if (report->planned_peak_bytes <= limit) {
        lort_budget_limit(c->session.budget, limit);
        return LORT_OK;
    }
    return lort_session_refuse(which ? which->name : NULL, which ? which->name_bytes : 0,
                               report->planned_peak_bytes, limit, err);
}

static lort_code open_worker(comparing *c, worker_state *w, lort_scratch *base, lort_error *err)
{
    void *memory;
    lort_code code =
        lort_take(&c->session.alloc, 2 * LORT_CELL_VALUES * sizeof(float), "cells", &memory, err);
    if (code)
        return code;
    w->values = memory;
    w->a = *base; /* the session owns it */
    code = lort_scratch_open(&w->b, &c->session.alloc, base->size, err);
    w->b.codec = base->codec;
    return code ? code : lort_block_space_open(&w->b.block, &c->session.alloc, &c->blocks, err);
}

static lort_code open_workers(comparing *c, const lort_run_options *run, lort_error *err)
{
    void *memory;
    uint64_t chunk = chunk_bytes(c);
    unsigned threads;
    if (c->a.archive)
        lort_archive_block_need(c->a.archive, &c->blocks);
    if (c->b.archive)
        lort_archive_block_need(c->b.archive, &c->blocks);
    lort_code code = plan_memory(c, run, chunk, &threads, err);
    if (code == LORT_OK)
        code = lort_session_start(&c->session, threads, LORT_ZSTD_LEVEL_DEFAULT, chunk, &c->blocks,
                                  err);
    if (code)
        return code;
    c->window = 2 * c->session.threads;
    code = lort_take_zero(&c->session.alloc, c->window * MOST_CELLS * sizeof *c->slots,
                          "partial sums", &memory, err);
    c->slots = memory;
    if (code == LORT_OK)
        code = lort_take_zero(&c->session.alloc, c->session.threads * sizeof *c->workers, "workers",
                              &memory, err);
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
        lort_give(alloc, c->workers[i].values, 2 * LORT_CELL_VALUES * sizeof(float));
    }
    lort_give(alloc, c->workers, c->session.threads * sizeof *c->workers);
    lort_give(alloc, c->slots, c->window * MOST_CELLS * sizeof *c->slots);
}

static lort_code check_quality(const comparing *c, double fail_above, lort_error *err)
{
    const lort_report *report = c->session.report;
    const double worst = report->worst_error;
    uint64_t at = c->first_undefined; /* the tensor that fails */
    if (worst > fail_above) {
        lort_fail(err, LORT_E_NUMERIC, "the worst relative error %.6g is above --fail-above %g",
                  worst, fail_above);
        for (at = 0; report->tensors[at].rel_error != worst;)
            at++;
    } else if (c->undefined) {
        lort_fail(err, LORT_E_NUMERIC,
                  "%s: the tensors differ, but the error is undefined, which counts as above "
                  "--fail-above %g (such tensors: %llu)",
                  report->tensors[at].name, fail_above, (unsigned long long)c->undefined);
    } else {
        return LORT_OK;
    }
    lort_error_tensor(err, c->a.index->tensors[at].name, c->a.index->tensors[at].name_bytes);
    return LORT_E_NUMERIC;
}

lort_code lort_compare(const char *a, const char *b, double fail_above,
                       const lort_run_options *given, const lort_observer *observer,
                       lort_report *report, lort_error *err)
{
    comparing c = {0};
    lort_run_options run;
    lort_code code = lort_given_run(given, &run, report, err);
    if (code)
        return code;
    code = lort_session_open(&c.session, LORT_COMMAND_COMPARE, run.memory_bytes, run.threads,
                             observer, report, err);
    if (code == LORT_OK)
        code = lort_compare_open(&c.session, a, &run, &c.a, err);
    if (code == LORT_OK)
        code = lort_compare_open(&c.session, b, &run, &c.b, err);
    if (code == LORT_OK)
        code = lort_base_attach_two(&c.session, run.base, &c.a, &c.b, &c.base, err);
    if (code == LORT_OK) {
        lort_named_report(&c.a.named, report);
        report->output_path = lort_report_escape(report, c.b.named.path, strlen(c.b.named.path));
        lort_compare_sides(&c.a, &c.b, report);
        code = open_workers(&c, &run, err);
    }
    if (code == LORT_OK) {
        lort_model_say(c.a.model);
        lort_model_say(c.b.model);
        lort_session_say(&c.session, LORT_EVENT_START, NULL, NULL);
        code = compare_all(&c, err);
    }
    if (code == LORT_OK)
        lort_session_end(&c.session);
    if (code == LORT_OK && fail_above >= 0)
        code = check_quality(&c, fail_above, err);
    close_workers(&c);
    lort_named_cost(c.a.model ? c.a.model : c.b.model, report);
    lort_input_close(&c.a);
    lort_input_close(&c.b);
    lort_base_close(c.base);
    lort_session_close(&c.session);
    return code;
}
