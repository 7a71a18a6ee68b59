/* keys: what the text of a key says. A key is a text of lines, LABEL TAB VALUE; it has all that
 * decides bytes, and what tells the input (compress/write/journal_key.c makes it). Runs and tasks
 * compare keys before one goes on with the work of another. */
#ifndef LORT_COMPRESS_TASK_KEYS_H
#define LORT_COMPRESS_TASK_KEYS_H

#include "formats/base/hash.h"
#include <stdbool.h>

/* How a line begins that tells times and identity of a file. Others decide, these raise doubt. */
#define LORT_KEY_TIME "time of "
/* The label of the line that tells which task of how many. */
#define LORT_KEY_TASK "task"

typedef struct lort_key {
    const char *text;
    uint64_t bytes;
} lort_key;

/* Compares two keys. whose: the file that has the first one. tasks: the keys are of
 * two tasks of one model, whose LORT_KEY_TASK lines may differ.
 * LORT_OK if they are equal but for times and identities of files. Then *touched is set. On
 * failure: LORT_E_READ names the first difference of the input, LORT_E_USAGE that of options. */
lort_code lort_key_compare(const char *whose, lort_key was, lort_key is, bool tasks, bool *touched,
                           lort_error *err);
/* The hash of all lines that the keys of all tasks of one model share: all but times, identities
 * and the task. On failure: LORT_E_MEMORY. */
lort_code lort_key_hash(lort_key key, const lort_alloc *alloc, lort_hash128 *out, lort_error *err);

#endif
