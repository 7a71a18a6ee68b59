/* host: see host.h. */
#include "compress/session/host.h"
#include "compress/math/blas.h"

void lort_host_enter(lort_host *host)
{
    host->entered = true;
    lort_os_float_enter(&host->env);
    lort_blas_start();
}

void lort_host_leave(lort_host *host)
{
    if (!host->entered)
        return;
    host->entered = false;
    lort_blas_stop();
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
