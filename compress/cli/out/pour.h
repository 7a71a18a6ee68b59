/* pour: restored files that go to standard output.
 *
 * The room owns the places of restored files that are no files on a disk, and the command that
 * reads them. It must not include any header of the library but lort.h. */
#ifndef LORT_COMPRESS_CLI_OUT_POUR_H
#define LORT_COMPRESS_CLI_OUT_POUR_H

#include "compress/lort.h"

typedef struct lort_cli_pour {
    lort_restore_sink sink; /* takes one file */
    uint64_t written;       /* bytes on standard output */
    bool blocks;            /* a write may wait: not a regular file */
} lort_cli_pour;

/* Must stay where it is while the sink is in use. On failure: LORT_E_USAGE if standard output is a
 * terminal. */
lort_code lort_cli_pour_open(lort_cli_pour *pour, lort_error *err);

#endif
