/* source: the room loader/source owns names of models. From the text of a MODEL argument it finds a
 * path on this machine, or a place on the network. It must not open a connection. */
#ifndef LORT_LOADER_SOURCE_SOURCE_H
#define LORT_LOADER_SOURCE_SOURCE_H

#include "formats/base/alloc.h"
#include "formats/base/error.h"
#include <stdbool.h>

typedef enum lort_source_kind {
    LORT_SOURCE_PATH,  /* the text is a path */
    LORT_SOURCE_CACHE, /* a path below a cache: of Hugging Face, Ollama, ... */
    LORT_SOURCE_HUB,   /* a repository of the Hub, or one file of it */
    LORT_SOURCE_URL    /* one file of an ordinary server */
} lort_source_kind;

/* Owner of every text: the source. NULL where a member says nothing. */
typedef struct lort_source {
    lort_source_kind kind;
    /* PATH and CACHE: the file or directory to open */
    char *path;
    /* For the input line of the log: how it was found, such as "Hugging Face cache, main" */
    char *found;
    /* HUB: "https://huggingface.co" without a last slash, "ORG/NAME", "main", and a plain path
     * in the repository (NULL: the model of the repository) */
    char *endpoint, *repository, *revision, *file;
    /* URL: the whole address */
    char *url;
} lort_source;

/* Finds what `text` names, by the order of docs (section "Names of models"). Reads caches; opens no
 * connection. offline: HUB and URL are failures. The variables HF_HUB_OFFLINE and
 * TRANSFORMERS_OFFLINE set offline too.
 * Owner: lort_source_close. On failure: LORT_E_USAGE for a name that no form allows or that is
 * ambiguous, LORT_E_INPUT with every place that was looked at, or with what lacks. */
lort_code lort_source_find(const char *text, bool offline, const lort_alloc *alloc,
                           lort_source *out, lort_error *err);
void lort_source_close(lort_source *source, const lort_alloc *alloc); /* zeros are allowed */

#endif
