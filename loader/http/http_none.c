/* http_none: the interface of http.h in a build without an HTTP library (make WITH_CURL=0). */
#include "loader/http/http.h"
#include <string.h>

bool lort_http_built(void) { return false; }

lort_code lort_http_open(const lort_http_options *options, const lort_alloc *alloc, lort_http **out,
                         lort_error *err)
{
    *out = NULL;
    return lort_fail(err, LORT_E_USAGE,
                     "this build of LoRT has no HTTP (found WITH_CURL=0); download the model, and "
                     "name its folder");
}

void lort_http_ask(lort_http *http, const lort_http_request *request, lort_http_take *take,
                   void *ctx, lort_http_reply *reply)
{
    memset(reply, 0, sizeof *reply);
    reply->end = LORT_HTTP_REFUSED;
}

void lort_http_close(lort_http *http) {}
