/* header: finds metadata in a parsed header, and frees the header. */
#ifndef LORT_FORMATS_INPUTS_HEADER_H
#define LORT_FORMATS_INPUTS_HEADER_H

#include "formats/inputs/format.h"

/* Sets *twice to the first metadata entry whose key stands before it too, or to NULL. On failure:
 * LORT_E_MEMORY, or LORT_E_INPUT for keys that were made to collide. */
lort_code lort_header_twice(const lort_header *header, const lort_kv **twice, lort_error *err);
const lort_kv *lort_header_find(const lort_header *header, const char *key); /* or NULL */
/* Frees the header and sets it to zero. header: NULL is allowed. */
void lort_header_free(lort_header *header);
#endif
