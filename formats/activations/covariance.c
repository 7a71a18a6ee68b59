/* covariance: see covariance.h. One walk over the tensors finds the entries, another their numbers.
 * Then the list of equal inputs is resolved. */
#include "formats/activations/covariance.h"
#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include "formats/inputs/format.h"
#include "formats/inputs/header.h"
#include "formats/inputs/imatrix.h"
#include "formats/types/layout.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_NAME 1024u      /* as in a GGUF file */
#define LARGEST 1.001f      /* rounding to F16 may take a correlation above 1 */
#define DIAGONAL_OFF 0.001f /* from 1 */

static const char sums_end[] = ".in_sum2", counts_end[] = ".counts", values_end[] = ".in_cov",
                  factor_end[] = ".in_cov_factor";

typedef struct builder {
    const uint8_t *head;
    const lort_header *header;
    lort_covariances *out;
    lort_error *err;
} builder;

/* Length of the name in front of `end`; 0 if the name of the tensor does not end so. */
static uint32_t stem_of(const lort_tensor *t, const char *end)
{
    const uint32_t n = (uint32_t)strlen(end);
    return t->name_bytes > n && memcmp(t->name + t->name_bytes - n, end, n) == 0 ? t->name_bytes - n
                                                                                 : 0;
}

static lort_code refuse_tensor(const builder *b, const lort_tensor *t, const char *why)
{
    char name[LORT_SHOWN_NAME], shape[128];
    return lort_fail(b->err, LORT_E_INPUT, "tensor '%s' (%s %s, at offset %" PRIu64 "): %s",
                     lort_escape(name, sizeof name, t->name, t->name_bytes), t->type->name,
                     lort_shape_text(t, shape, sizeof shape), t->offset, why);
}

static const lort_tensor *find_sibling(const builder *b, const char *name, uint32_t bytes,
                                       const char *end)
{
    char full[MAX_NAME + 1];
    const size_t n = strlen(end);
    if (bytes + n > sizeof full)
        return NULL;
    memcpy(full, name, bytes);
    memcpy(full + bytes, end, n);
    return lort_index_find(&b->header->index, full, bytes + n);
}

static lort_covariance *find_entry(const lort_covariances *set, const char *name, uint64_t bytes)
{
    const lort_names_slot *slot =
        bytes <= MAX_NAME ? lort_names_find(&set->names, name, (uint32_t)bytes) : NULL;
    return slot ? &set->entries[slot->value] : NULL;
}

/* ---- sums ---- */

static lort_code add_entry(builder *b, const lort_tensor *sums, uint32_t stem)
{
    const lort_tensor *counts = find_sibling(b, sums->name, stem, counts_end);
    const lort_matrices shape = lort_tensor_matrices(sums);
    lort_covariance *entry = &b->out->entries[b->out->count];
    bool is_new;
    uint32_t found;
    if (sums->type->id != LORT_F32 || sums->elements == 0)
        return refuse_tensor(b, sums, "sums of squares must be F32 and not empty");
    if (!counts)
        return refuse_tensor(b, sums, "there is no tensor of counts (.counts) beside these sums");
    *entry = (lort_covariance){.name_bytes = stem,
                               .inputs = shape.cols,
                               .matrices = shape.slices * shape.rows,
                               .sums_at = sums->offset,
                               .counts_at = counts->offset};
    if (counts->type->id != LORT_F32 || counts->elements != (uint64_t)entry->matrices)
        return refuse_tensor(b, counts,
                             "counts must be F32, one for each row of the sums of squares");
    lort_code code = lort_arena_text(&b->out->arena, sums->name, stem, &entry->name, b->err);
    if (code == LORT_OK)
        code = lort_names_add(&b->out->names, entry->name, stem, (uint32_t)b->out->count, &is_new,
                              &found, b->err);
    b->out->count++;
    return code;
}

static lort_code add_entries(builder *b)
{
    const lort_index *index = &b->header->index;
    uint64_t count = 0;
    void *memory;
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < index->count; i++)
        count += stem_of(&index->tensors[i], sums_end) != 0;
    if (count == 0)
        return lort_fail(b->err, LORT_E_INPUT,
                         "the covariance file has no entry (found no tensor whose name ends in "
                         ".in_sum2)");
    code = lort_arena_take(&b->out->arena, count * sizeof *b->out->entries, &memory, b->err);
    b->out->entries = memory;
    for (uint64_t i = 0; i < index->count && code == LORT_OK; i++) {
        const uint32_t stem = stem_of(&index->tensors[i], sums_end);
        if (stem)
            code = add_entry(b, &index->tensors[i], stem);
    }
    return code;
}

/* ---- correlations ---- */

/* Finds the form that a tensor of correlations has for an entry; NONE: none fits. */
static lort_covariance_form form_of(const lort_covariance *entry, const lort_tensor *t,
                                    bool is_factor)
{
    const lort_matrices shape = lort_tensor_matrices(t);
    const int64_t rows = shape.slices * shape.rows, n = entry->inputs;
    if (is_factor)
        return entry->matrices == 1 && shape.cols == n && rows >= 1 && rows <= n
                   ? LORT_COVARIANCE_FACTOR
                   : LORT_COVARIANCE_NONE;
    /* n (n + 1) / 2 does not overflow: the tensor is in the file, so its columns bound n. */
    if (n <= shape.cols && n < INT32_MAX && shape.cols == n * (n + 1) / 2 &&
        rows == entry->matrices)
        return LORT_COVARIANCE_PACKED;
    return entry->matrices == 1 && shape.cols == n && rows == n ? LORT_COVARIANCE_FULL
                                                                : LORT_COVARIANCE_NONE;
}

static lort_code refuse_shape(const builder *b, const lort_covariance *entry, const lort_tensor *t,
                              bool is_factor)
{
    char name[LORT_SHOWN_NAME], shape[128];
    return lort_fail(b->err, LORT_E_INPUT,
                     "tensor '%s' (at offset %" PRIu64 "): its shape %s does not fit %" PRId64
                     " matrices of n = %" PRId64 " inputs; %s is allowed",
                     lort_escape(name, sizeof name, t->name, t->name_bytes), t->offset,
                     lort_shape_text(t, shape, sizeof shape), entry->matrices, entry->inputs,
                     is_factor             ? "[r, n] of one matrix, r at most n,"
                     : entry->matrices > 1 ? "[matrices, n (n + 1) / 2]"
                                           : "[n (n + 1) / 2] or [n, n]");
}

static lort_code add_values(builder *b, const lort_tensor *t, uint32_t stem, bool is_factor)
{
    lort_covariance *entry = find_entry(b->out, t->name, stem);
    if (!entry)
        return refuse_tensor(b, t, "there is no tensor of sums (.in_sum2) of this name");
    if (t->type->id != LORT_F16 && t->type->id != LORT_F32)
        return refuse_tensor(b, t,
                             "correlations must be F16 or F32; shorter types make the matrix "
                             "indefinite");
    if (entry->form)
        return refuse_tensor(b, t, "this matrix has correlations already");
    entry->form = form_of(entry, t, is_factor);
    if (!entry->form)
        return refuse_shape(b, entry, t, is_factor);
    entry->type = t->type;
    entry->values_at = t->offset;
    entry->from = entry->name;
    if (is_factor) {
        const lort_matrices shape = lort_tensor_matrices(t);
        entry->rank = shape.slices * shape.rows;
    }
    return LORT_OK;
}

static lort_code add_correlations(builder *b)
{
    const lort_index *index = &b->header->index;
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < index->count && code == LORT_OK; i++) {
        const lort_tensor *t = &index->tensors[i];
        const uint32_t factor = stem_of(t, factor_end), stem = stem_of(t, values_end);
        if (factor || stem)
            code = add_values(b, t, factor ? factor : stem, factor != 0);
    }
    return code;
}

/* ---- equal inputs ---- */

/* Gives matrix a the correlations of matrix b. */
static lort_code add_same(builder *build, const char *a, uint64_t a_bytes, const char *b,
                          uint64_t b_bytes)
{
    char left[LORT_SHOWN_NAME], right[LORT_SHOWN_NAME];
    lort_covariance *to = find_entry(build->out, a, a_bytes),
                    *from = find_entry(build->out, b, b_bytes);
    const char *why = !to                                 ? "the first has no .in_sum2"
                      : to->form                          ? "the first has correlations of its own"
                      : !from || from->from != from->name ? "the second has no .in_cov"
                      : to->inputs != from->inputs || to->matrices != from->matrices
                          ? "their numbers of inputs differ"
                          : NULL;
    if (why)
        return lort_fail(build->err, LORT_E_INPUT,
                         "lort.covariance.same: '%s' cannot have the inputs of '%s': %s",
                         lort_escape(left, sizeof left, a, a_bytes),
                         lort_escape(right, sizeof right, b, b_bytes), why);
    to->form = from->form;
    to->type = from->type;
    to->rank = from->rank;
    to->values_at = from->values_at;
    to->from = from->name;
    return LORT_OK;
}

/* The parser of the header has checked that the strings lie within it. */
static lort_code add_sames(builder *b)
{
    const lort_kv *same = lort_header_find(b->header, "lort.covariance.same");
    lort_code code = LORT_OK;
    if (!same)
        return LORT_OK;
    if (same->kind != LORT_KV_ARRAY ||
        (same->v.array.count > 0 && strcmp(same->type, "string") != 0) || same->v.array.count % 2)
        return lort_fail(b->err, LORT_E_INPUT,
                         "lort.covariance.same must be an array of strings, two for each pair");
    uint64_t at = same->v.array.at;
    for (uint64_t i = 0; i < same->v.array.count && code == LORT_OK; i += 2) {
        const uint64_t a = lort_load_u64(b->head + at), second = at + 8 + a,
                       n = lort_load_u64(b->head + second);
        code =
            add_same(b, (const char *)b->head + at + 8, a, (const char *)b->head + second + 8, n);
        at = second + 8 + n;
    }
    return code;
}

/* ---- the whole ---- */

static lort_code check_keys(const builder *b)
{
    const lort_kv *type = lort_header_find(b->header, "general.type"),
                  *version = lort_header_find(b->header, "lort.covariance.version");
    if (!type || !type->text_copy || strcmp(type->text_copy, "imatrix") != 0)
        return lort_fail(b->err, LORT_E_INPUT,
                         "not a covariance file: general.type must be 'imatrix'");
    if (b->header->version < 2)
        return lort_fail(b->err, LORT_E_INPUT,
                         "not a covariance file: GGUF version %" PRIu32 " (allowed: 2 and 3)",
                         b->header->version);
    if (!version)
        return lort_fail(b->err, LORT_E_INPUT,
                         "not a covariance file: the key lort.covariance.version is missing; an "
                         "importance matrix goes with --imatrix");
    if (version->kind != LORT_KV_U64 || version->v.u != 1)
        return lort_fail(b->err, LORT_E_INPUT,
                         "lort.covariance.version must be the number 1; another version needs "
                         "another LoRT");
    return LORT_OK;
}

static lort_code fill(builder *b)
{
    lort_code code = check_keys(b);
    if (code == LORT_OK)
        code = add_entries(b);
    if (code == LORT_OK)
        code = add_correlations(b);
    if (code == LORT_OK)
        code = add_sames(b);
    for (uint64_t i = 0; code == LORT_OK && i < b->out->count; i++)
        b->out->known += b->out->entries[i].form != LORT_COVARIANCE_NONE;
    if (code == LORT_OK && b->out->known == 0)
        code = lort_fail(b->err, LORT_E_INPUT,
                         "the covariance file has no covariance (found no tensor whose name ends "
                         "in .in_cov or .in_cov_factor)");
    return code;
}

lort_code lort_covariances_parse(const uint8_t *head, uint64_t available, uint64_t file_size,
                                 const lort_alloc *alloc, lort_covariances *out, uint64_t *wanted,
                                 lort_error *err)
{
    lort_error local;
    lort_header header;
    lort_covariances result = {.names.alloc = alloc, .arena.alloc = alloc};
    *out = (lort_covariances){0};
    *wanted = 0;
    if (available >= 4 && memcmp(head, "GGUF", 4) != 0)
        return lort_fail(err, LORT_E_INPUT, "not a covariance file: it is no GGUF file");
    lort_code code =
        lort_format_gguf.parse(head, available, file_size, alloc, &header, wanted, err);
    if (code)
        return code;
    builder b = {head, &header, &result, err ? err : &local};
    code = fill(&b);
    lort_header_free(&header);
    if (code)
        lort_covariances_free(&result);
    else
        *out = result;
    return code;
}

void lort_covariances_free(lort_covariances *covariances)
{
    if (!covariances)
        return;
    if (covariances->names.slots)
        lort_names_free(&covariances->names);
    lort_arena_free(&covariances->arena);
    memset(covariances, 0, sizeof *covariances);
}

const lort_covariance *lort_covariances_find(const lort_covariances *covariances, const char *name,
                                             uint64_t name_bytes)
{
    const lort_names_slot *slot = lort_imatrix_find_name(&covariances->names, name, name_bytes);
    const lort_covariance *found = slot ? &covariances->entries[slot->value] : NULL;
    return found && found->form ? found : NULL;
}

bool lort_covariance_fits(const lort_covariance *entry, const lort_matrices *shape)
{
    return entry->inputs == shape->cols &&
           (entry->matrices == 1 || entry->matrices == shape->slices);
}

/* ---- numbers ---- */

int64_t lort_covariance_lines(const lort_covariance *entry)
{
    return entry->form == LORT_COVARIANCE_FACTOR ? entry->rank : entry->inputs;
}

lort_covariance_line lort_covariance_line_of(const lort_covariance *entry, int64_t matrix,
                                             int64_t line)
{
    const uint64_t n = (uint64_t)entry->inputs, i = (uint64_t)line, each = entry->type->block_bytes;
    const bool packed = entry->form == LORT_COVARIANCE_PACKED;
    const uint64_t before = packed ? (uint64_t)matrix * (n * (n + 1) / 2) + i * (i + 1) / 2 : n * i;
    const uint64_t count = packed ? i + 1 : n;
    return (lort_covariance_line){entry->values_at + before * each, count * each, (int64_t)count};
}

static lort_code refuse_number(const lort_covariance *entry, int64_t matrix, const char *what,
                               int64_t line, int64_t number, double value, const char *allowed,
                               lort_error *err)
{
    char name[LORT_SHOWN_NAME];
    return lort_fail(err, LORT_E_INPUT,
                     "entry '%s', matrix %" PRId64 ": %s of inputs %" PRId64 " and %" PRId64
                     " is %g; %s is allowed",
                     lort_escape_text(name, sizeof name, entry->from), matrix, what, line, number,
                     value, allowed);
}

lort_code lort_covariance_check_line(const lort_covariance *entry, int64_t matrix, int64_t line,
                                     const float *values, lort_error *err)
{
    const bool factor = entry->form == LORT_COVARIANCE_FACTOR;
    const int64_t count = lort_covariance_line_of(entry, matrix, line).count;
    for (int64_t i = 0; i < count; i++)
        if (!(fabsf(values[i]) <= LARGEST))
            return refuse_number(entry, matrix, factor ? "the factor" : "the correlation", line, i,
                                 (double)values[i], "-1.001 to 1.001", err);
    if (!factor && !(fabsf(values[line] - 1) <= DIAGONAL_OFF))
        return refuse_number(entry, matrix, "the correlation", line, line, (double)values[line],
                             "1, or 0.001 off it,", err);
    return LORT_OK;
}

lort_code lort_covariance_check_shares(const lort_covariance *entry, const float *shares,
                                       lort_error *err)
{
    for (int64_t i = 0; i < entry->inputs; i++)
        if (!(shares[i] <= LARGEST))
            return refuse_number(entry, 0, "the product of the factors", i, i, (double)shares[i],
                                 "at most 1.001", err);
    return LORT_OK;
}

lort_code lort_covariance_check_sums(const lort_covariance *entry, int64_t matrix,
                                     const float *sums, float count, lort_error *err)
{
    char name[LORT_SHOWN_NAME];
    int64_t bad = 0;
    if (count >= 0 && isfinite(count))
        while (bad < entry->inputs && sums[bad] >= 0 && isfinite(sums[bad]))
            bad++;
    else
        bad = -1;
    if (bad == entry->inputs)
        return LORT_OK;
    return lort_fail(err, LORT_E_INPUT,
                     "entry '%s', matrix %" PRId64 ": %s %" PRId64
                     " is %g; a finite number of at least 0 is allowed",
                     lort_escape(name, sizeof name, entry->name, entry->name_bytes), matrix,
                     bad < 0 ? "count" : "the sum of squares of input", bad < 0 ? matrix : bad,
                     (double)(bad < 0 ? count : sums[bad]));
}
