/* safetensors_new: see safetensors_new.h. */
#include "formats/outputs/safetensors_new.h"
#include "formats/base/bytes.h"
#include "formats/base/escape.h"
#include "formats/base/text.h"
#include <inttypes.h>
#include <string.h>

enum { SHOWN = 4096 };

void lort_put_json_text(lort_buffer *out, const char *text)
{
    char shown[SHOWN];
    const size_t n = strlen(text);
    if (!lort_utf8_valid(text, n))
        text = lort_escape_plain(shown, sizeof shown, text, n);
    lort_put_u8(out, '"');
    for (; *text; text++) {
        const uint8_t c = (uint8_t)*text;
        if (c < 0x20 || c == 0x7F)
            lort_put_text(out, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            lort_put_text(out, "\\%c", c);
        else
            lort_put_u8(out, c);
    }
    lort_put_u8(out, '"');
}

static lort_code put_tensor(const lort_tensor *t, bool first, lort_buffer *out, uint64_t *end,
                            lort_error *err)
{
    const uint64_t begin = *end;
    char shown[200];
    if (!t->type->in_safetensors)
        return lort_fail(err, LORT_E_USAGE,
                         "tensor '%s' cannot be written to a safetensors file as %s",
                         lort_escape(shown, sizeof shown, t->name, t->name_bytes), t->type->name);
    if (!lort_add_u64(*end, t->bytes, end))
        return lort_fail(err, LORT_E_INPUT, "the output needs more than 2^64 bytes");
    lort_put_text(out, first ? "" : ",");
    lort_put_json_text(out, t->name);
    lort_put_text(out, ":{\"dtype\":\"%s\",\"shape\":[", t->type->name);
    for (uint32_t d = 0; d < t->n_dims; d++)
        lort_put_text(out, "%s%" PRId64, d ? "," : "", t->dims[d]);
    lort_put_text(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, *end);
    return LORT_OK;
}

lort_code lort_safetensors_make(const lort_tensor *tensors, uint64_t count, lort_buffer *out,
                                uint64_t *offsets, uint64_t *file_size, lort_error *err)
{
    const uint64_t first = out->size;
    uint64_t end = 0;
    lort_code code = LORT_OK;
    *file_size = 0;
    lort_put_u64(out, 0);
    lort_put_text(out, "{\"__metadata__\":{\"format\":\"pt\"}%s", count ? "," : "");
    for (uint64_t i = 0; i < count && code == LORT_OK; i++) {
        offsets[i] = end;
        code = put_tensor(&tensors[i], i == 0, out, &end, err);
    }
    lort_put_text(out, "}");
    while ((out->size - first) % 8 && !out->error.code)
        lort_put_u8(out, ' ');
    if (code == LORT_OK)
        code = lort_buffer_check(out, err);
    if (code)
        return code;
    const uint64_t header = out->size - first;
    lort_store_u64(out->data + first, header - 8);
    for (uint64_t i = 0; i < count; i++)
        offsets[i] += header;
    return lort_add_u64(header, end, file_size)
               ? LORT_OK
               : lort_fail(err, LORT_E_INPUT, "the output needs more than 2^64 bytes");
}
