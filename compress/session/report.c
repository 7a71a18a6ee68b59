/* report: see report.h. An owner behind the report has its arena and its first error. */
#include "compress/session/report.h"
#include "formats/base/alloc.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct lort_report_owner {
    lort_arena arena;
    lort_alloc alloc;    /* of the arena: the heap, booked in the budget */
    lort_budget *budget; /* NULL: no run counts this report */
    uint64_t booked;     /* bytes in the budget */
    bool settled;        /* later bytes are not booked */
    lort_error error;    /* the first failure */
    unsigned warning_capacity, warnings_dropped;
} lort_report_owner;

/* ---- memory ---- */

static void *take_booked(void *ctx, size_t bytes)
{
    lort_report_owner *owner = ctx;
    const bool books = owner->budget && !owner->settled;
    if (books && lort_budget_reserve(owner->budget, bytes, "the report", NULL))
        return NULL;
    void *memory = lort_alloc_heap.take(lort_alloc_heap.ctx, bytes);
    if (books && memory)
        owner->booked += bytes;
    else if (books)
        lort_budget_release(owner->budget, bytes);
    return memory;
}

/* The arena gives its blocks back with the report. By then they are not booked any more. */
static void give_heap(void *ctx, void *memory, size_t bytes)
{
    (void)ctx;
    lort_alloc_heap.give(lort_alloc_heap.ctx, memory, bytes);
}

void lort_report_charge(lort_report *report, lort_budget *budget)
{
    lort_report_owner *owner = report->owner;
    owner->budget = budget;
}

void lort_report_settle(lort_report *report)
{
    lort_report_owner *owner = report->owner;
    if (owner)
        owner->settled = true;
}

void lort_report_uncharge(lort_report *report)
{
    lort_report_owner *owner = report->owner;
    if (!owner || !owner->budget)
        return;
    lort_budget_release(owner->budget, owner->booked);
    owner->budget = NULL;
    owner->booked = 0;
}

/* ---- building ---- */

lort_code lort_report_open(lort_report *report, lort_error *err)
{
    void *memory;
    memset(report, 0, sizeof *report);
    lort_code code =
        lort_take_zero(&lort_alloc_heap, sizeof(lort_report_owner), "report", &memory, err);
    if (code)
        return code;
    lort_report_owner *owner = memory;
    owner->alloc = (lort_alloc){take_booked, give_heap, owner};
    owner->arena.alloc = &owner->alloc;
    *report = (lort_report){.mode_reason = "",
                            .binding_source = "",
                            .blas_config = "",
                            .blas_core = "",
                            .input_path = "",
                            .input_found = "",
                            .input_label = "",
                            .input_commit = "",
                            .spool_path = "",
                            .input_format = "",
                            .verified = "",
                            .output_path = "",
                            .partial_path = "",
                            .threshold = 0.8,
                            .sample_seconds = NAN,
                            .estimated_seconds = NAN,
                            .bpw = NAN,
                            .ratio = NAN,
                            .input_bpw = NAN,
                            .worst_error = NAN,
                            .slowest_over_mean = NAN,
                            .mean_error = NAN,
                            .weighted_worst = NAN,
                            .weighted_mean = NAN,
                            .imatrix_path = "",
                            .covariance_path = "",
                            .base_path = "",
                            .owner = owner};
    return LORT_OK;
}

void lort_report_free(lort_report *report)
{
    if (!report)
        return;
    lort_report_owner *owner = report->owner;
    if (owner) {
        lort_arena_free(&owner->arena);
        lort_give(&lort_alloc_heap, owner, sizeof *owner);
    }
    memset(report, 0, sizeof *report);
}

lort_code lort_report_check(const lort_report *report, lort_error *err)
{
    const lort_report_owner *owner = report->owner;
    if (err && owner->error.code)
        *err = owner->error;
    return owner->error.code;
}

/* Zeroed bytes of the arena, or NULL with the failure remembered. */
static void *take_zeroed(lort_report *report, uint64_t count, uint64_t size)
{
    lort_report_owner *owner = report->owner;
    void *memory = NULL;
    lort_error err;
    lort_code code = count > UINT64_MAX / size
                         ? lort_fail(&err, LORT_E_MEMORY, "report: %llu entries do not fit memory",
                                     (unsigned long long)count)
                         : lort_arena_take(&owner->arena, count * size, &memory, &err);
    if (code && !owner->error.code)
        owner->error = err;
    return code ? NULL : memory;
}

static const char *format_text(lort_report *report, const char *format, va_list args)
    LORT_PRINTF(2, 0);
static const char *format_text(lort_report *report, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    char *text = n < 0 ? NULL : take_zeroed(report, (uint64_t)n + 1, 1);
    if (!text)
        return "";
    vsnprintf(text, (size_t)n + 1, format, args);
    return text;
}

const char *lort_report_text(lort_report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *text = format_text(report, format, args);
    va_end(args);
    return text;
}

const char *lort_report_escape(lort_report *report, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    uint64_t cap = 4; /* NUL and "...", for which lort_escape_plain wants room until the end */
    for (size_t i = 0; i < n; i++)
        cap += p[i] >= 0x20 && p[i] < 0x7F && p[i] != '\\' ? 1 : 4; /* "\xHH" */
    char *text = take_zeroed(report, cap, 1);
    return text ? lort_escape_plain(text, (size_t)cap, bytes, n) : "";
}

/* The text, or a copy in which nothing harms a terminal. Names in a report keep format characters,
 * and warnings name tensors. */
static const char *printable_text(lort_report *report, const char *text)
{
    const size_t n = strlen(text), cap = 4 * n + 4;
    char *copy = take_zeroed(report, cap, 1);
    return copy ? lort_printable(copy, cap, text, n) : "";
}

const char *lort_report_file(lort_report *report, uint64_t i, const char *name, bool again)
{
    return again ? report->tensors[i - 1].file : lort_report_escape(report, name, strlen(name));
}

/* Doubles the array of warnings. The arena frees the old array with the report. */
static bool grow_warnings(lort_report *report)
{
    lort_report_owner *owner = report->owner;
    unsigned capacity = owner->warning_capacity ? 2 * owner->warning_capacity : 8;
    const char **grown = take_zeroed(report, capacity, sizeof *grown);
    if (!grown)
        return false;
    for (unsigned i = 0; i < report->warning_count; i++)
        grown[i] = report->warnings[i];
    report->warnings = grown;
    owner->warning_capacity = capacity;
    return true;
}

const char *lort_report_warn(lort_report *report, const char *format, ...)
{
    lort_report_owner *owner = report->owner;
    va_list args;
    va_start(args, format);
    const char *text = printable_text(report, format_text(report, format, args));
    va_end(args);
    /* a full report is searched no more: a hostile file may cause millions of warnings */
    for (unsigned i = 0; i < report->warning_count && report->warning_count < LORT_REPORT_WARNINGS;
         i++)
        if (strcmp(report->warnings[i], text) == 0)
            return NULL;
    if (report->warning_count == LORT_REPORT_WARNINGS) {
        report->warnings[LORT_REPORT_WARNINGS - 1] =
            lort_report_text(report, "and %u more warnings", ++owner->warnings_dropped + 1);
        return text;
    }
    if (report->warning_count == owner->warning_capacity && !grow_warnings(report))
        return text;
    report->warnings[report->warning_count++] = text;
    return text;
}

lort_code lort_report_tensors(lort_report *report, uint64_t count, lort_error *err)
{
    lort_tensor_report *tensors = take_zeroed(report, count, sizeof *tensors);
    if (!tensors)
        return lort_report_check(report, err);
    for (uint64_t i = 0; i < count; i++)
        tensors[i] = (lort_tensor_report){.name = "",
                                          .dtype = "",
                                          .type = "",
                                          .reason_text = "",
                                          .detail = "",
                                          .base = "",
                                          .same_as = "",
                                          .file = "",
                                          .slices = 1,
                                          .rel_error = NAN,
                                          .rel_error_update = NAN,
                                          .weighted_error = NAN,
                                          .rel_error_rest = NAN,
                                          .worst_row_error = NAN,
                                          .energy = NAN,
                                          .cosine = NAN,
                                          .max_abs = NAN,
                                          .proxy_loss = NAN,
                                          .damping = NAN};
    report->tensors = tensors;
    report->tensor_count = count;
    return LORT_OK;
}

lort_code lort_report_sources(lort_report *report, unsigned count, lort_error *err)
{
    lort_source_report *sources = take_zeroed(report, count, sizeof *sources);
    if (!sources)
        return lort_report_check(report, err);
    for (unsigned i = 0; i < count; i++)
        sources[i].name = sources[i].where = "";
    report->sources = sources;
    report->source_count = count;
    return LORT_OK;
}

lort_code lort_report_meta(lort_report *report, uint64_t count, lort_error *err)
{
    lort_meta_report *meta = take_zeroed(report, count, sizeof *meta);
    if (!meta)
        return lort_report_check(report, err);
    for (uint64_t i = 0; i < count; i++)
        meta[i].key = meta[i].type = meta[i].text = "";
    report->meta = meta;
    report->meta_count = count;
    return LORT_OK;
}

lort_code lort_report_types(lort_report *report, uint64_t count, lort_error *err)
{
    lort_type_report *types = take_zeroed(report, count, sizeof *types);
    if (!types)
        return lort_report_check(report, err);
    report->types = types;
    report->type_count = count;
    return LORT_OK;
}

const char *lort_report_dtype(lort_report *report, const lort_dtype_info *type)
{
    return type->kind == LORT_KIND_OPAQUE ? lort_report_text(report, "%s", type->name) : type->name;
}

const int64_t *lort_report_shape(lort_report *report, const int64_t *dims, uint32_t n_dims)
{
    static const int64_t none[1] = {0};
    int64_t *copy = take_zeroed(report, n_dims, sizeof *copy);
    if (!copy)
        return none;
    for (uint32_t i = 0; i < n_dims; i++)
        copy[i] = dims[i];
    return copy;
}

lort_code lort_report_hashes(lort_report *report, uint64_t count, lort_error *err)
{
    report->hashes = take_zeroed(report, count, sizeof *report->hashes);
    return report->hashes ? LORT_OK : lort_report_check(report, err);
}

lort_code lort_report_course(lort_report *report, const lort_sample_report *samples, unsigned count,
                             unsigned phases)
{
    report->samples = take_zeroed(report, count, sizeof *samples);
    report->phases = take_zeroed(report, phases, sizeof *report->phases);
    if (!report->samples || !report->phases)
        return lort_report_check(report, NULL);
    memcpy(report->samples, samples, count * sizeof *samples);
    report->sample_count = count;
    return LORT_OK;
}

const float *lort_report_floats(lort_report *report, const float *values, uint64_t count)
{
    float *copy = take_zeroed(report, count, sizeof *copy);
    if (copy)
        memcpy(copy, values, (size_t)count * sizeof *copy);
    return copy;
}

lort_code lort_report_runs(lort_report *report, uint64_t count, lort_error *err)
{
    report->runs = take_zeroed(report, count, sizeof *report->runs);
    report->run_count = report->runs ? count : 0;
    return lort_report_check(report, err);
}
