/* outlet: see outlet.h. */
#include "compress/files/outlet.h"
#include "compress/session/report.h"
#include <string.h>

/* What the caller's functions return. A code without a message gets one. */
static lort_code answer(const lort_outlet *o, lort_code code, lort_error *err)
{
    if (code && err && !*err->message)
        return lort_fail(err, code, "the caller ended the run at byte %llu of a file",
                         (unsigned long long)o->size);
    return code;
}

/* Puts the hash of the present file into the report. */
static void end_hash(lort_outlet *o)
{
    lort_report *report = o->session->report;
    uint8_t value[32];
    char text[65];
    if (!o->hashes || !o->name)
        return;
    lort_sha256_value(&o->hash, value);
    lort_sha256_text(value, text);
    report->hashes[report->hash_count++] = (lort_hash_report){
        .name = o->several ? lort_report_escape(report, o->name, strlen(o->name)) : "",
        .sha256 = lort_report_text(report, "%s", text),
        .bytes = o->size};
    o->name = NULL;
}

lort_code lort_outlet_file(lort_outlet *o, const char *name, const char *shown, uint64_t bytes,
                           lort_error *err)
{
    end_hash(o);
    o->size = 0;
    o->name = shown;
    lort_sha256_start(&o->hash);
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
    if (o->hashes)
        lort_sha256_add(&o->hash, bytes, n);
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
    end_hash(o);
    return o->publish ? lort_publish_commit(o->publish, err) : LORT_OK;
}

void lort_outlet_close(lort_outlet *o)
{
    lort_publish_close(o->publish);
    o->publish = NULL;
}
