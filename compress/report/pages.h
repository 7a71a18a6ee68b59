/* pages: the forms in which LoRT shows runs. A form puts the whole page into a buffer. */
#ifndef LORT_COMPRESS_REPORT_PAGES_H
#define LORT_COMPRESS_REPORT_PAGES_H

#include "compress/report/run.h"

#define LORT_PAGE_RUNS 2 /* the most runs on one page */

/* runs[count]: at least one. Failures stay in *out. html: *err, for what is no failure of the
 * buffer. */
void lort_page_markdown(const lort_page_run *runs, unsigned count, lort_buffer *out);
void lort_page_csv(const lort_page_run *runs, unsigned count, lort_buffer *out);
void lort_page_prometheus(const lort_page_run *runs, unsigned count, lort_buffer *out);
lort_code lort_page_html(const lort_page_run *runs, unsigned count, lort_buffer *out,
                         lort_error *err);

#endif
