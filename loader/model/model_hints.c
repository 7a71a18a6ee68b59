/* model_hints: what a user should know about the files of a model: types that LoRT does not know,
 * pieces of a file that was cut for a download, and files that were joined by mistake. */
#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include "formats/types/opaque.h"
#include "loader/model/model_parts.h"
#include <stdio.h>
#include <string.h>

typedef unsigned long long ull;

/* ---- opaque types ---- */

/* More types than files of models have. Those beyond share one warning. */
#define MOST_TYPES 32u

typedef struct opaque_sum {
    uint32_t id; /* in the file */
    ull tensors;
    uint64_t bytes;
} opaque_sum;

static void warn_type(lort_model *model, const opaque_sum *sum)
{
    char size[32], why[120];
    const lort_dtype_info *known = lort_dtype_get(sum->id);
    snprintf(why, sizeof why, "type %u is unknown:", (unsigned)sum->id);
    if (known && known->in_gguf)
        snprintf(why, sizeof why, "type %u has another layout here than %s: a fork's file;",
                 (unsigned)sum->id, known->name);
    lort_model_warn(model, "%s %llu %s (%s) kept as %s", why, sum->tensors,
                    sum->tensors == 1 ? "tensor" : "tensors",
                    lort_size_text(sum->bytes, size, sizeof size),
                    sum->tensors == 1 ? "it is" : "they are");
}

void lort_model_warn_opaque(lort_model *model)
{
    opaque_sum sums[MOST_TYPES] = {{0}}, others = {0};
    char size[32];
    unsigned count = 0, at;
    for (uint64_t i = 0; i < model->index.count; i++) {
        const lort_tensor *tensor = &model->index.tensors[i];
        if (tensor->type->kind != LORT_KIND_OPAQUE)
            continue;
        const uint32_t id = lort_ggml_id(tensor->type);
        for (at = 0; at < count && sums[at].id != id; at++)
            ;
        opaque_sum *sum = at < MOST_TYPES ? &sums[at] : &others;
        count += at == count && count < MOST_TYPES;
        sum->id = id;
        sum->tensors++;
        sum->bytes += tensor->bytes;
    }
    for (at = 0; at < count; at++)
        warn_type(model, &sums[at]);
    if (others.tensors)
        lort_model_warn(model, "more types are unknown: %llu tensors (%s) kept as they are",
                        others.tensors, lort_size_text(others.bytes, size, sizeof size));
}

/* ---- pieces of a file ---- */

/* Reads digits. Returns the number of digits, or 0 if there are none or more than 5. */
static size_t read_digits(const char *text, unsigned *value)
{
    size_t n = 0;
    *value = 0;
    for (; text[n] >= '0' && text[n] <= '9'; n++)
        *value = n < 5 ? 10 * *value + (unsigned)(text[n] - '0') : 0;
    return n > 5 ? 0 : n;
}

/* Reads "1", "1of2", "-1-of-2" or "a", to the end of the name or to an extension. */
static bool parse_number(const char *at, unsigned *number, unsigned *count)
{
    *count = 0;
    at += *at == '-' || *at == '_';
    if (at[0] >= 'a' && at[0] <= 'z' && at[1] == 0) { /* as split(1) counts */
        *number = (unsigned)(at[0] - 'a') + 1;
        return true;
    }
    size_t n = read_digits(at, number);
    at += n;
    if (n == 0 || *at == 0)
        return n != 0;
    at += *at == '-' || *at == '_';
    if (strncmp(at, "of", 2) != 0)
        return false;
    at += 2 + (at[2] == '-' || at[2] == '_');
    n = read_digits(at, count);
    return n && (at[n] == 0 || at[n] == '.') && *number <= *count;
}

/* Reads the end of a name such as "x.gguf.part1of2", "x.gguf-split-a" or "x.gguf.001". */
static bool parse_piece(const char *name, unsigned *number, unsigned *count)
{
    static const char *const marks[] = {".part",   "-part",  "_part",  "-split-",
                                        ".split-", ".gguf.", ".gguf-", ".safetensors."};
    for (unsigned i = 0; i < sizeof marks / sizeof *marks; i++)
        for (const char *p = strstr(name, marks[i]); p; p = strstr(p + 1, marks[i]))
            if (parse_number(p + strlen(marks[i]), number, count))
                return true;
    return false;
}

lort_code lort_model_explain_piece(const char *name, lort_code code, lort_error *err)
{
    unsigned number, count;
    char shown[300], of[40] = "a larger file";
    if (code != LORT_E_INPUT || !parse_piece(name, &number, &count))
        return code;
    if (count)
        snprintf(of, sizeof of, "%u", count);
    return lort_fail(err, code, "%s: is part %u of %s: join the parts with cat first",
                     lort_escape_text(shown, sizeof shown, name), number, of);
}

/* ---- shards that were joined ---- */

/* The offset behind the data of a file, with its padding. */
static uint64_t data_end(const lort_header *header)
{
    const uint64_t count = header->index.count;
    const lort_tensor *last = count ? &header->index.tensors[count - 1] : NULL;
    uint64_t bytes = last ? last->offset + last->bytes - header->header_bytes : 0;
    return lort_align_up(bytes, header->alignment, &bytes) ? header->header_bytes + bytes
                                                           : UINT64_MAX;
}

lort_code lort_model_explain_glued(lort_model *model, uint32_t file, lort_code code,
                                   lort_error *err)
{
    const lort_model_entry *entry = &model->files[file];
    const lort_header *header = &entry->shown.header;
    uint8_t scratch[4];
    const uint8_t *view;
    char shown[200];
    if (code != LORT_E_INPUT || model->source || file >= model->file_count || !header->split)
        return code;
    const uint64_t end = data_end(header), size = entry->info.size;
    if (end > size || size - end < sizeof scratch ||
        lort_model_view(model, file, end, sizeof scratch, scratch, &view, NULL) ||
        memcmp(view, "GGUF", sizeof scratch) != 0)
        return code;
    return lort_fail(err, code,
                     "%s: is shards glued together (another header begins at offset %llu); join "
                     "the shards with llama-gguf-split --merge, not with cat",
                     lort_escape_text(shown, sizeof shown, entry->shown.name), (ull)end);
}
