/* headers: checks that the files of a container are a model that LoRT opens.
 *
 * verify and restore ask it before they decode a weight, so both refuse the same containers. The
 * headers and index.json are parsed from the container, by the code that opens a model on a disk.
 * Nothing is written. */
#ifndef LORT_COMPRESS_READ_HEADERS_H
#define LORT_COMPRESS_READ_HEADERS_H

#include "compress/read/reading.h"
#include "formats/base/names.h"
#include "loader/model/model.h"

/* The parts of one file of the container. */
typedef struct lort_header_file {
    uint64_t first, count; /* parts */
    uint64_t tensors;
    uint32_t found; /* its number in the model that was opened; UINT32_MAX: a side file */
} lort_header_file;

typedef struct lort_headers {
    lort_reading *reading;
    lort_names names;        /* names of the container's files, with their numbers */
    lort_header_file *files; /* [files of the container] */
    lort_model *model;
    lort_model_source source;
    bool undecodable; /* a chunk in front of the tensors is damaged */
} lort_headers;

/* Bytes that lort_headers_open takes at most for headers as models have them.
 * rewriting: restore makes new headers from them. */
uint64_t lort_headers_cost(const lort_archive *archive, bool rewriting);
/* Opens the model that the container restores, and compares it with the records: files, roles,
 * formats, and every extent with its tensor's name, shape and type.
 * reading: started. headers: must stay where it is until it is closed.
 * On failure: LORT_E_DAMAGED, which names the file or part; LORT_E_READ, LORT_E_MEMORY or
 * LORT_E_STOPPED.
 * Owner: the caller, who closes *headers with lort_headers_close, after a failure too. */
lort_code lort_headers_open(lort_headers *headers, lort_reading *reading, lort_error *err);
void lort_headers_close(lort_headers *headers); /* accepts a zeroed one */

/* The parsed header of a weight file of the container, and in *bytes the bytes it was parsed
 * from. */
const lort_header *lort_headers_get(const lort_headers *headers, uint32_t file,
                                    const uint8_t **bytes);

#endif
