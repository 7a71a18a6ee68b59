/* page_text: texts and numbers of a page. Names come from models of strangers, so every text of a
 * page goes through lort_page_text, which leaves nothing that the page's language, a terminal or a
 * reader's eye would take for more than text. */
#ifndef LORT_COMPRESS_REPORT_PAGE_TEXT_H
#define LORT_COMPRESS_REPORT_PAGE_TEXT_H

#include "formats/base/alloc.h"

/* Where a text stands. */
typedef enum lort_page_place {
    LORT_PAGE_PLAIN,    /* anywhere: control and format characters are written as \xHH */
    LORT_PAGE_HTML,     /* between tags, or in an attribute in double quotes */
    LORT_PAGE_SCRIPT,   /* JSON in a script element of HTML */
    LORT_PAGE_MARKDOWN, /* a code span, in a table too */
    LORT_PAGE_CSV,      /* a field in double quotes, which no spreadsheet takes for a formula */
    LORT_PAGE_LABEL     /* a value of a label of Prometheus, in double quotes */
} lort_page_place;

/* Puts a text, with the quotation marks of its place. In every place, bytes that are no UTF-8,
 * control characters and format characters become \xHH, byte by byte. SCRIPT leaves them: they
 * stand escaped in JSON. */
void lort_page_text(lort_buffer *out, lort_page_place place, const char *text, size_t n);
/* Puts a finite number with up to `digits` digits and a point, whatever the locale; "" for NaN. */
void lort_page_number(lort_buffer *out, double v, int digits);

#endif
