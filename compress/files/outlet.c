/* outlet: see outlet.h. */
#include "compress/files/outlet.h"

/* What the caller's functions return. A code without a message gets one. */
static lort_code answer(const lort_outlet *o, lort_code code, lort_error *err)
{
    if (code && err && !*err->message)
        return lort_fail(err, code, "the caller ended the run at byte %llu of a file",
                         (unsigned long long)o->size);
    return code;
}

lort_code lort_outlet_file(lort_outlet *o, const char *name, const char *shown, uint64_t bytes,
                           lort_error *err)
{
    o->size = 0;
    if (!o->sink)
        return lort_publish_file(o->publish, name, err);
    lort_host_lend(&o->session->host);
    const lort_code code = o->sink->file(o->sink->ctx, shown, bytes, err);
    lort_host_return(&o->session->host);
    return answer(o, code, err);
}

lort_code lort_outlet_append(void *outlet, const void *bytes, uint64_t n, lort_error *err)
{
    lort_outlet *o = outlet;
    lort_code code = LORT_OK;
    if (o->sink && n > 0) {
        lort_host_lend(&o->session->host);
        code = o->sink->bytes(o->sink->ctx, bytes, n, err);
        lort_host_return(&o->session->host);
        code = answer(o, code, err);
    } else if (n > 0) {
        code = lort_publish_append(o->publish, bytes, n, err);
    }
    o->size += n;
    return code;
}

lort_code lort_outlet_pad(lort_outlet *o, uint64_t size, lort_error *err)
{
    static const uint8_t zeros[64 << 10];
    lort_code code = LORT_OK;
    while (code == LORT_OK && o->size < size) {
        const uint64_t n = size - o->size;
        code = lort_outlet_append(o, zeros, n < sizeof zeros ? n : sizeof zeros, err);
        if (code == LORT_OK)
            code = lort_session_check_stop(o->session, err);
    }
    return code;
}

lort_code lort_outlet_commit(lort_outlet *o, lort_error *err)
{
    return o->publish ? lort_publish_commit(o->publish, err) : LORT_OK;
}

void lort_outlet_close(lort_outlet *o)
{
    lort_publish_close(o->publish);
    o->publish = NULL;
}
