/* header: finds metadata in a parsed header, and frees the header. */
#ifndef LORT_FORMATS_INPUTS_HEADER_H
#define LORT_FORMATS_INPUTS_HEADER_H

#include "formats/inputs/format.h"

const lort_kv *lort_header_find(const lort_header *header, const char *key); /* or NULL */
/* Frees the header and sets it to zero. header: NULL is allowed. */
void lort_header_free(lort_header *header);
#endif
