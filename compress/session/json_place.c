/* json_place: see json_place.h. A file is written beside its name and renamed
 * (loader/store/publish). A FIFO, a device and an open descriptor are streams: LoRT writes to them
 * and replaces nothing. */
#include "compress/session/json_place.h"
#include "loader/os/os.h"
#include "loader/store/publish.h"
#include <string.h>

struct lort_json {
    lort_publish *publish; /* a file */
    lort_stream *stream;   /* a stream */
    bool (*stop)(void *ctx);
    void *stop_ctx;
};

bool lort_json_is_own(const uint8_t *head, uint64_t bytes)
{
    static const char first[] = "{\n \"lort\": \"", second[] = "\",\n \"command\": ";
    const uint64_t version = sizeof first - 1;
    uint64_t at = version;
    if (bytes < version || memcmp(head, first, version) != 0)
        return false;
    while (at < bytes && head[at] != '"' && head[at] >= 0x20)
        at++;
    return at > version && bytes - at >= sizeof second - 1 &&
           memcmp(head + at, second, sizeof second - 1) == 0;
}

/* ---- what stands there ---- */

static lort_code refuse_foreign(const char *path, const char *what, lort_error *err)
{
    char shown[512];
    return lort_fail(err, LORT_E_EXISTS,
                     "the JSON report: '%s' exists and is %s; LoRT replaces its own reports only: "
                     "move it away, or name another file",
                     lort_escape_text(shown, sizeof shown, path), what);
}

/* True if a file is an earlier report, or empty, as mktemp leaves it. */
static bool is_own_file(const char *path)
{
    lort_dir *dir = NULL;
    lort_file *file = NULL;
    const char *name;
    lort_code code = lort_os_dir_of(path, &dir, &name, NULL);
    if (code == LORT_OK)
        code = lort_own_open(dir, name, lort_json_is_own, &file, NULL);
    lort_os_close(file, NULL);
    lort_os_dir_close(dir);
    return code == LORT_OK;
}

static lort_code check_old(const char *path, lort_name_kind kind, lort_error *err)
{
    char shown[512];
    switch (kind) {
    case LORT_NAME_DIRECTORY:
        return lort_fail(err, LORT_E_WRITE,
                         "the JSON report cannot be written: '%s' is a directory; name a file",
                         lort_escape_text(shown, sizeof shown, path));
    case LORT_NAME_LINK:
        return refuse_foreign(path, "a symbolic link", err);
    case LORT_NAME_LINKED:
        return refuse_foreign(path, "a file with several names (hard links)", err);
    case LORT_NAME_BLOCK_DEVICE:
        return refuse_foreign(path, "a block device", err);
    case LORT_NAME_FILE:
        return is_own_file(path) ? LORT_OK : refuse_foreign(path, "no report of LoRT", err);
    case LORT_NAME_FREE:
    case LORT_NAME_STREAM:
        break;
    }
    return LORT_OK;
}

/* ---- opening, writing ---- */

/* A failed read or a missing directory is a fault of the place: no report can be written. */
static lort_code of_place(lort_code code, lort_error *err)
{
    if (code == LORT_OK)
        return code;
    if (code == LORT_E_INPUT || code == LORT_E_READ)
        code = LORT_E_WRITE;
    if (err) {
        lort_error_prefix(err, "the JSON report");
        err->code = code;
    }
    return code;
}

static lort_code open_place(lort_json *json, const char *path, lort_error *err)
{
    /* publish checks again while it holds the name: another process may have put a file there */
    const lort_publish_options options = {
        .force = true, .own_only = true, .begins = lort_json_is_own, .mode = 0644};
    if (strcmp(path, "-") == 0)
        return of_place(lort_os_stream_stdout(&json->stream, err), err);
    const lort_name_kind kind = lort_os_name_kind(path);
    lort_code code = check_old(path, kind, err);
    if (code)
        return code;
    if (kind == LORT_NAME_STREAM)
        return of_place(lort_os_stream_open(path, &json->stream, err), err);
    code = lort_publish_begin(path, &options, &lort_alloc_heap, &json->publish, err);
    if (code == LORT_OK)
        code = lort_publish_file(json->publish, path, err);
    return of_place(code, err);
}

lort_code lort_json_open(const char *path, bool (*stop)(void *ctx), void *ctx, lort_json **out,
                         lort_error *err)
{
    void *memory;
    *out = NULL;
    lort_code code =
        lort_take_zero(&lort_alloc_heap, sizeof(lort_json), "the JSON report", &memory, err);
    if (code)
        return code;
    lort_json *json = memory;
    json->stop = stop;
    json->stop_ctx = ctx;
    code = open_place(json, path, err);
    if (code)
        lort_json_close(json);
    else
        *out = json;
    return code;
}

lort_code lort_json_append(lort_json *json, const void *bytes, size_t n, lort_error *err)
{
    return of_place(
        json->stream ? lort_os_stream_write(json->stream, bytes, n, json->stop, json->stop_ctx, err)
                     : lort_publish_append(json->publish, bytes, n, err),
        err);
}

lort_code lort_json_commit(lort_json *json, lort_error *err)
{
    lort_code code;
    if (json->stream) {
        code = lort_os_stream_close(json->stream, err);
        json->stream = NULL;
    } else {
        code = lort_publish_commit(json->publish, err);
    }
    return of_place(code, err);
}

void lort_json_close(lort_json *json)
{
    if (!json)
        return;
    lort_os_stream_close(json->stream, NULL);
    lort_publish_close(json->publish);
    lort_give(&lort_alloc_heap, json, sizeof *json);
}
