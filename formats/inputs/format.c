/* format: the table of formats, and the messages about files of no known format. */
#include "formats/inputs/format.h"
#include "formats/base/text.h"
#include "formats/container/container.h"
#include <inttypes.h>
#include <string.h>

static const lort_format *const formats[] = {&lort_format_gguf, &lort_format_safetensors};

const lort_format *lort_format_at(uint32_t i)
{
    return i < sizeof formats / sizeof *formats ? formats[i] : NULL;
}

/* Files that users give by mistake. LoRT takes the first row that matches. */
static const struct look {
    uint16_t at;
    uint8_t bytes;
    const char *magic, *says;
} looks[] = {
    {0, 24, "version https://git-lfs.",
     "is a Git LFS pointer, not the model itself: run git lfs pull"},
    {LORT_FRAME_HEADER, 8, "LORT\r\n\x1a\n",
     "is a LoRT container: use restore to get the model back"},
    {0, 4, "PK\3\4",
     "is a ZIP archive, most likely a PyTorch checkpoint (.pt, .bin): convert it to safetensors"},
    {0, 4, "PK\5\6", "is an empty ZIP archive"},
    {0, 2, "\x80\2", "is a Python pickle (.pt, .bin): convert it to safetensors"},
    {0, 2, "\x80\3", "is a Python pickle (.pt, .bin): convert it to safetensors"},
    {0, 2, "\x80\4", "is a Python pickle (.pt, .bin): convert it to safetensors"},
    {0, 2, "\x80\5", "is a Python pickle (.pt, .bin): convert it to safetensors"},
    {0, 14, "<!DOCTYPE html",
     "is an HTML page: the download gave an error page instead of the model"},
    {0, 14, "<!doctype html",
     "is an HTML page: the download gave an error page instead of the model"},
    {0, 5, "<html", "is an HTML page: the download gave an error page instead of the model"},
    {0, 5, "<HTML", "is an HTML page: the download gave an error page instead of the model"},
    {0, 5, "<?xml", "is an XML page: the download gave an error page instead of the model"},
    {0, 4, "lmgg", "is a GGML file, the unversioned form before GGUF: convert it to GGUF"},
    {0, 4, "fmgg", "is a GGMF file, a form before GGUF: convert it to GGUF"},
    {0, 4, "tjgg", "is a GGJT file, a form before GGUF: convert it to GGUF"},
    {0, 4, "algg", "is a GGLA adapter, a form before GGUF: convert it to GGUF"},
    {0, 4, "nsgg", "is a llama.cpp session, not a model"},
    {0, 4, "FUGG",
     "has the magic FUGG: a pre-release or byte-swapped GGUF file, which is not supported"},
    {0, 2, "\x1f\x8b", "is compressed with gzip: unpack it first"},
    {0, 4, "\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it first"},
    {0, 6, "\xfd\x37zXZ\0", "is compressed with xz: unpack it first"},
    {0, 3, "BZh", "is compressed with bzip2: unpack it first"},
    {0, 6, "7z\xbc\xaf\x27\x1c", "is a 7-Zip archive: unpack it first"},
    {257, 5, "ustar", "is a tar archive: unpack it first"},
    {0, 8, "\x89HDF\r\n\x1a\n", "is an HDF5 file (.h5, Keras): convert it to safetensors"},
    {0, 6, "\x93NUMPY", "is a NumPy array: convert it to safetensors"},
    {0, 1, "{", "is JSON text: name a model file, or the directory the model is in"},
};

static const char *looks_like(const uint8_t *head, uint64_t n)
{
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        const struct look *look = &looks[i];
        if (n >= (uint64_t)look->at + look->bytes &&
            memcmp(head + look->at, look->magic, look->bytes) == 0)
            return look->says;
    }
    return NULL;
}

static lort_code refuse_format(const uint8_t *head, uint64_t n, uint64_t file_size, lort_error *err)
{
    char shown[64];
    const char *says = looks_like(head, n);
    if (file_size == 0)
        return lort_fail(err, LORT_E_INPUT, "the file is empty");
    if (says)
        return lort_fail(err, LORT_E_INPUT, "the file %s", says);
    if (file_size < 24)
        return lort_fail(err, LORT_E_INPUT, "file too short for a header (%" PRIu64 " < 24 bytes)",
                         file_size);
    return lort_fail(err, LORT_E_INPUT, "neither GGUF nor safetensors: the file begins with '%s'",
                     lort_escape(shown, sizeof shown, head, n < 8 ? n : 8));
}

lort_code lort_format_tell(const uint8_t *head, uint64_t n, uint64_t file_size,
                           const lort_format **out, lort_error *err)
{
    int best = 0;
    *out = NULL;
    for (uint32_t i = 0; lort_format_at(i); i++) {
        int bid = lort_format_at(i)->bid(head, n, file_size);
        *out = bid > best ? lort_format_at(i) : *out;
        best = bid > best ? bid : best;
    }
    return *out ? LORT_OK : refuse_format(head, n, file_size, err);
}

lort_code lort_header_parse(const uint8_t *data, uint64_t available, uint64_t file_size,
                            const lort_alloc *alloc, lort_header *out, uint64_t *wanted,
                            lort_error *err)
{
    const lort_format *format;
    uint64_t head = file_size < LORT_FORMAT_HEAD ? file_size : LORT_FORMAT_HEAD;
    memset(out, 0, sizeof *out);
    *wanted = available < head ? head : 0;
    if (*wanted)
        return lort_fail(
            err, LORT_E_INPUT,
            "the format cannot be detected without the first %" PRIu64 " bytes of the file", head);
    lort_code code = lort_format_tell(data, head, file_size, &format, err);
    return code ? code : format->parse(data, available, file_size, alloc, out, wanted, err);
}
