/* run: the JSON report of a run, read back. The text may come from anybody: every member may lack
 * or have another type, and then counts as unknown. */
#ifndef LORT_COMPRESS_REPORT_RUN_H
#define LORT_COMPRESS_REPORT_RUN_H

#include "compress/report/page_text.h"
#include "compress/session/json_tree.h"

#define LORT_RUN_MOST ((uint64_t)256 << 20) /* bytes of a report: some 400,000 tensors */

typedef struct lort_page_run {
    lort_node *root;
} lort_page_run;

/* Reads a report. On failure: LORT_E_INPUT if the file is none of one run, LORT_E_READ,
 * LORT_E_MEMORY; messages name the path. The caller frees *out with lort_page_run_free. */
lort_code lort_page_run_read(const char *path, const lort_alloc *alloc, lort_page_run *out,
                             lort_error *err);
void lort_page_run_free(lort_page_run *run); /* accepts a zeroed run */

/* A member of members: "memory.peak_anon_bytes". NULL: unknown. */
lort_node *lort_page_run_get(const lort_page_run *run, const char *path);
/* The text of a member of `object`; "": unknown. */
const char *lort_page_run_text(const lort_node *object, const char *key);
double lort_page_run_number(const lort_node *object, const char *key); /* NaN: unknown */
/* Walks over the tensors of a run that are objects: begin with *at 0; NULL at the end. */
lort_node *lort_page_run_tensor(const lort_page_run *run, uint64_t *at);

/* ---- facts: what every page tells of a run first ---- */

typedef enum lort_fact_form {
    LORT_FACT_TEXT,
    LORT_FACT_BYTES,
    LORT_FACT_NUMBER,
    LORT_FACT_SECONDS,
    LORT_FACT_OPTIONS
} lort_fact_form;
typedef struct lort_fact {
    const char *title, *path;
    lort_fact_form form;
} lort_fact;
/* The last one has no title. */
extern const lort_fact lort_facts[];
/* Puts the value of a fact as text for people, without escapes; nothing if it is unknown. */
void lort_fact_put(const lort_page_run *run, const lort_fact *fact, lort_buffer *out);

#endif
