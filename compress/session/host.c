/* host: see host.h. */
#include "compress/session/host.h"
#include "compress/math/blas.h"

void lort_host_enter(lort_host *host)
{
    host->entered = true;
    lort_os_float_enter(&host->env);
}

lort_code lort_host_start_blas(lort_host *host, lort_error *err)
{
    lort_code code = lort_blas_start(err);
    host->blas = code == LORT_OK;
    return code;
}

void lort_host_leave(lort_host *host)
{
    if (!host->entered)
        return;
    host->entered = false;
    if (host->blas)
        lort_blas_stop();
    host->blas = false;
    lort_os_float_leave(&host->env);
}

void lort_host_lend(const lort_host *host)
{
    if (host->entered)
        lort_os_float_leave(&host->env);
}

void lort_host_return(lort_host *host)
{
    if (host->entered)
        lort_os_float_enter(&host->env);
}
