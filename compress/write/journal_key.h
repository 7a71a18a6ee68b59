/* journal_key: the key of a journal, as text: all that decides bytes, and what the input files are.
 * The files of a base come behind those of the input, with "base " before their names. */
#ifndef LORT_COMPRESS_WRITE_JOURNAL_KEY_H
#define LORT_COMPRESS_WRITE_JOURNAL_KEY_H

#include "compress/write/journal.h"

/* Appends the key of a run. On failure: LORT_E_READ or LORT_E_MEMORY. */
lort_code lort_journal_key(const lort_journal_run *run, lort_buffer *key, lort_error *err);

#endif
