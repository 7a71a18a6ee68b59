/* json_place: the place of a JSON report, a file or a stream. It is opened before the work. */
#ifndef LORT_COMPRESS_SESSION_JSON_PLACE_H
#define LORT_COMPRESS_SESSION_JSON_PLACE_H

#include "compress/lort.h"

/* Appends n bytes. On failure: LORT_E_WRITE; LORT_E_STOPPED. */
lort_code lort_json_append(lort_json *json, const void *bytes, size_t n, lort_error *err);
/* Gives a file its name, or closes a stream. On failure: LORT_E_WRITE; LORT_E_EXISTS. */
lort_code lort_json_commit(lort_json *json, lort_error *err);
/* True if the first `bytes` bytes of a file begin as every report of LoRT does. */
bool lort_json_is_own(const uint8_t *head, uint64_t bytes);

#endif
