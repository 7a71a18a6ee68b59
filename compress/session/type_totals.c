/* type_totals: see type_totals.h. A table of few rows keeps memory and time bounded. */
#include "compress/session/type_totals.h"
#include "compress/session/report.h"
#include "formats/base/sort.h"
#include "formats/types/layout.h"
#include <math.h>
#include <string.h>

typedef struct totals {
    lort_type_report rows[LORT_TYPE_TOTALS];
    uint64_t
        measured[LORT_TYPE_TOTALS]; /* tensors with an error; mean_error is a sum till the end */
    unsigned count;
} totals;

static uint64_t add(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

/* The row of the types of an entry: an old one, a new one, or that of all others. */
static unsigned row_of(totals *t, const lort_tensor_report *entry)
{
    unsigned i = 0;
    while (i < t->count && (strcmp(t->rows[i].dtype, entry->dtype) != 0 ||
                            strcmp(t->rows[i].type, entry->type) != 0))
        i++;
    if (i < t->count)
        return i;
    if (i == LORT_TYPE_TOTALS)
        return i - 1;
    const bool last = i == LORT_TYPE_TOTALS - 1;
    t->rows[i] = (lort_type_report){.dtype = last ? LORT_TYPE_OTHERS : entry->dtype,
                                    .type = last ? "" : entry->type,
                                    .worst_error = NAN,
                                    .mean_error = NAN};
    t->count++;
    return i;
}

static void add_entry(totals *t, const lort_tensor_report *entry)
{
    const unsigned i = row_of(t, entry);
    lort_type_report *row = &t->rows[i];
    uint64_t elements;
    row->tensors++;
    if (lort_layout_elements(entry->shape, entry->n_dims, &elements))
        row->elements = add(row->elements, elements);
    row->bytes = add(row->bytes, entry->bytes_in);
    row->bytes_out = add(row->bytes_out, entry->bytes_out);
    if (isnan(entry->rel_error))
        return;
    const bool first = t->measured[i]++ == 0;
    row->mean_error = entry->rel_error + (first ? 0 : row->mean_error);
    row->worst_error = first ? entry->rel_error : fmax(row->worst_error, entry->rel_error);
}

static bool more_bytes(const void *a, const void *b)
{
    const lort_type_report *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes;
    const int order = strcmp(x->dtype, y->dtype);
    return order ? order < 0 : strcmp(x->type, y->type) < 0;
}

_Static_assert(sizeof(lort_type_report) <= LORT_SORT_BYTES_MAX, "lort_sort moves rows");

lort_code lort_report_type_totals(lort_report *report, lort_error *err)
{
    totals t = {.count = 0};
    for (uint64_t i = 0; i < report->tensor_count; i++)
        add_entry(&t, &report->tensors[i]);
    for (unsigned i = 0; i < t.count; i++)
        if (t.measured[i])
            t.rows[i].mean_error /= (double)t.measured[i];
    lort_sort(t.rows, t.count, sizeof *t.rows, more_bytes);
    lort_code code = lort_report_types(report, t.count, err);
    if (code == LORT_OK)
        memcpy(report->types, t.rows, t.count * sizeof *t.rows);
    return code;
}

uint64_t lort_report_elements(const lort_report *report)
{
    uint64_t elements = 0;
    for (uint64_t i = 0; i < report->type_count; i++)
        elements = add(elements, report->types[i].elements);
    return elements;
}
