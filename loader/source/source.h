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
    /* For the input line of the log: how it was found, such as "Hugging Face cache, main". NULL for
     * a PATH. Of HUB: also why a cache was not taken. Escape it before printing. */
    char *found;
    /* HUB: "https://huggingface.co" without a last slash, "ORG/NAME" (or "NAME"), "main", and a
     * plain path in the repository (NULL: the model of the repository) */
    char *endpoint, *repository, *revision, *file;
    /* URL: the whole address, without a fragment */
    char *url;
} lort_source;

/* Finds what `text` names. The first of these forms that fits decides (docs/lort.1, "NAMES OF
 * MODELS"):
 *
 *     an existing path                                        -> PATH
 *     hf://[models/]ORG/NAME[@REV][/FILE], a pasted address   -> CACHE, or HUB
 *         https://huggingface.co/ORG/NAME... or of HF_ENDPOINT
 *     https://HOST/PATH; http:// for this machine only        -> URL
 *     ollama:[HOST/][SPACE/]MODEL[:TAG]                       -> CACHE
 *     ORG/NAME[@REV]                                          -> CACHE, or HUB
 *
 * A text of no form is a PATH, which opening will refuse. A cache that holds a part of the model
 * only is a failure; for hf:// it is one if offline. Reads names of caches, and small files of
 * them; opens no connection. offline: HUB and URL are failures. The variables HF_HUB_OFFLINE and
 * TRANSFORMERS_OFFLINE set offline too.
 * Threads: any number, while nobody sets variables of the environment.
 * Owner: lort_source_close. On failure: LORT_E_USAGE for a name that no form allows or that is
 * ambiguous, LORT_E_INPUT with every place that was looked at, or with what lacks, or for a link
 * that leads to nothing or out of its repository. LORT_E_READ, LORT_E_MEMORY. */
lort_code lort_source_find(const char *text, bool offline, const lort_alloc *alloc,
                           lort_source *out, lort_error *err);
void lort_source_close(lort_source *source, const lort_alloc *alloc); /* zeros are allowed */
/* True if the variable says 1, ON, YES or TRUE in any case. */
bool lort_source_is_on(const char *variable);

#endif
