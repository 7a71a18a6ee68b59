/* named: what a MODEL argument names (loader/source/source.h), for every command. This is the one
 * place where a name becomes a path, and where models that are not on this machine are refused. */
#ifndef LORT_COMPRESS_READ_NAMED_H
#define LORT_COMPRESS_READ_NAMED_H

#include "compress/session/session.h"
#include "loader/model/model.h"
#include "loader/source/source.h"

typedef struct lort_named {
    lort_source source;
    /* The file or directory to open. Of a model on the network: what a person calls it. */
    const char *path;
    bool remote; /* it is on the network */
    char shown[400];
    const lort_alloc *alloc;
} lort_named;

/* Finds what `text` names. offline: as lort_source_find.
 * Owner: lort_named_close, also after a failure. On failure: the codes of lort_source_find.
 * LORT_E_INPUT for a model that is on the network, if this build has no HTTP. */
lort_code lort_named_find(const char *text, bool offline, const lort_alloc *alloc, lort_named *out,
                          lort_error *err);
/* Sets *archive to true for a container. On failure: the codes of lort_archive_told; LORT_E_INPUT
 * for a container on the network. */
lort_code lort_named_told(const lort_named *named, bool *archive, lort_error *err);
/* What a command says of names and of the network, for lort_named_model. */
lort_model_options lort_named_options(lort_session *session, const char *weights,
                                      bool weights_elsewhere, bool all_side_files);
/* Opens it as a model. On failure: the codes of lort_model_open_as; of a directory of a cache with
 * several models the message says how to name one. */
lort_code lort_named_model(const lort_named *named, const lort_model_options *options,
                           lort_warn_fn *warn, void *warn_ctx, lort_model **out, lort_error *err);
/* Both: finds a model by name, with options->offline, and opens it. */
lort_code lort_named_open(const char *text, const lort_model_options *options,
                          lort_session *session, lort_named *out, lort_model **model,
                          lort_error *err);
void lort_named_close(lort_named *named); /* zeros are allowed */
/* Puts into the report what a model on the network cost so far. model: NULL is allowed. */
void lort_named_cost(const lort_model *model, lort_report *report);
/* Puts the path, and how it was found, into the report as its input. */
void lort_named_report(const lort_named *named, lort_report *report);
/* Warns of files that a container stores under another name, since their own is not plain. */
void lort_named_warn(lort_session *session, const lort_model *model);

#endif
