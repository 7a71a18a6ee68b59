/* reasons: the one table of actions and reasons. No other file compares their texts. */
#ifndef LORT_COMPRESS_SESSION_REASONS_H
#define LORT_COMPRESS_SESSION_REASONS_H

#include "compress/lort.h"
#include <stdbool.h>

/* The reason whose text this is; NONE for "", OTHER for a text that is not in the table. */
lort_reason lort_reason_find(const char *text);
/* True if the weights are no numbers, or a numerical method gave up: the caller must warn. */
bool lort_reason_is_fault(lort_reason reason);
/* "2 of 8 slices kept: REASON", or "" where kept is 0; the report's. */
const char *lort_reason_partly(lort_report *report, uint64_t kept, uint64_t slices,
                               const char *reason);

#endif
