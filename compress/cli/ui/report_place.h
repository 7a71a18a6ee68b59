/* report_place: a report never lands on a file of the run. */
#ifndef LORT_COMPRESS_CLI_UI_REPORT_PLACE_H
#define LORT_COMPRESS_CLI_UI_REPORT_PLACE_H

#include "compress/cli/ui/options.h"

/* Refuses a --json that names what the command reads or writes, by any spelling, or a place inside
 * the output. Its own partial file must not be such a name either. Writes nothing. On failure:
 * LORT_E_USAGE; LORT_E_MEMORY. */
lort_code lort_cli_check_report(const lort_cli_values *values, lort_error *err);

#endif
