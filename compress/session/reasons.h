/* reasons: the one table of actions and reasons. No other file compares their texts. */
#ifndef LORT_COMPRESS_SESSION_REASONS_H
#define LORT_COMPRESS_SESSION_REASONS_H

#include "compress/lort.h"
#include <stdbool.h>

/* The reason that has this text. NONE for "", OTHER for a text that is not in the table. */
lort_reason lort_reason_find(const char *text);
/* True if `reason` means NaN/Inf weights or a numerical failure; the caller must warn. */
bool lort_reason_is_fault(lort_reason reason);
/* "2 of 8 slices kept: REASON", or "" if kept is 0. The text lives as long as the report. */
const char *lort_reason_partly(lort_report *report, uint64_t kept, uint64_t slices,
                               const char *reason);

#endif
