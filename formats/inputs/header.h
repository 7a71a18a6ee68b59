/* header: looks up and frees what a parser of a weight file made. */
#ifndef LORT_FORMATS_INPUTS_HEADER_H
#define LORT_FORMATS_INPUTS_HEADER_H

#include "formats/inputs/format.h"

const lort_kv *lort_header_find(const lort_header *header, const char *key); /* or NULL */
void lort_header_free(lort_header *header);
#endif
