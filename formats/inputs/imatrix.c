/* imatrix: walks both forms twice. The first walk checks the grammar and counts; the second fills
 * arrays of the right size. Values are checked when they are divided. */
#include "formats/inputs/imatrix.h"
#include "formats/base/bytes.h"
#include "formats/base/text.h"
#include "formats/inputs/format.h"
#include "formats/inputs/header.h"
#include "formats/types/layout.h"
#include <float.h>
#include <inttypes.h>
#include <stdio.h>

#define MAX_NAME 1024u /* as in a GGUF file */
#define ENTRY_MIN 17u  /* bytes, legacy form: three numbers, a name of one byte, one value */

/* ---- what both forms fill ---- */

typedef struct source { /* one entry, as views into the file */
    const char *name;
    uint32_t name_bytes;
    int64_t n_mat, n_in;
    const uint8_t *sums;   /* f32 [n_mat][n_in] */
    const uint8_t *counts; /* f32 [n_mat]; NULL: `count` for all */
    uint32_t count;
} source;

typedef struct builder {
    const uint8_t *data;
    lort_imatrix *out;
    lort_error *err;
    uint64_t entries, text, values; /* walk 1 counts; in walk 2 what is left */
    char *next_text;
    float *next_value;
} builder;

static float load_f32(const uint8_t *p)
{
    const uint32_t bits = lort_load_u32(p);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* False also for NaN. */
static bool is_amount(double v) { return v >= 0 && v <= FLT_MAX; }

static lort_code refuse_value(const builder *b, const source *s, const char *what, int64_t number,
                              const uint8_t *at, double value)
{
    char shown[LORT_SHOWN_NAME];
    return lort_fail(b->err, LORT_E_INPUT,
                     "entry '%s': %s %" PRId64 " (at offset %" PRIu64
                     ") is %g; a finite number of at least 0 is allowed",
                     lort_escape(shown, sizeof shown, s->name, s->name_bytes), what, number,
                     (uint64_t)(at - b->data), value);
}

static lort_code divide_by_counts(const builder *b, const source *s, int64_t matrix, double count,
                                  float *out)
{
    for (int64_t i = 0; i < s->n_in; i++) {
        const int64_t number = matrix * s->n_in + i;
        const uint8_t *at = s->sums + 4 * number;
        const double sum = load_f32(at), mean = count > 0 ? sum / count : 1;
        if (!is_amount(sum))
            return refuse_value(b, s, "value", number, at, sum);
        if (!is_amount(mean))
            return refuse_value(b, s, "the mean of value", number, at, mean);
        out[i] = (float)mean;
    }
    return LORT_OK;
}

/* *empty: matrices without data. */
static lort_code add_values(const builder *b, const source *s, uint64_t *empty)
{
    *empty = 0;
    for (int64_t m = 0; m < s->n_mat; m++) {
        const double count = s->counts ? load_f32(s->counts + 4 * m) : s->count;
        if (!is_amount(count))
            return refuse_value(b, s, "count", m, s->counts + 4 * m, count);
        lort_code code = divide_by_counts(b, s, m, count, b->next_value + m * s->n_in);
        if (code)
            return code;
        *empty += !(count > 0);
    }
    return LORT_OK;
}

static lort_code add_name(builder *b, const source *s, const lort_importance *entry)
{
    char shown[LORT_SHOWN_NAME];
    bool is_new;
    uint32_t found;
    lort_code code = lort_names_add(&b->out->names, entry->name, entry->name_bytes,
                                    (uint32_t)b->out->count, &is_new, &found, b->err);
    if (code || is_new)
        return code;
    return lort_fail(b->err, LORT_E_INPUT, "entry '%s' stands twice",
                     lort_escape(shown, sizeof shown, s->name, s->name_bytes));
}

static void count_entry(builder *b, const source *s)
{
    b->entries++;
    b->text += s->name_bytes + 1u;
    b->values += (uint64_t)s->n_mat * (uint64_t)s->n_in;
}

/* Drops an entry for what *b->err says. */
static lort_code drop_entry(builder *b)
{
    lort_imatrix *out = b->out;
    const uint64_t number = out->dropped++;
    if (number >= LORT_IMATRIX_REASONS)
        return LORT_OK;
    return lort_arena_text(&out->arena, b->err->message, strlen(b->err->message),
                           &out->reasons[number], b->err);
}

static lort_code add_entry(builder *b, const source *s)
{
    const uint64_t values = (uint64_t)s->n_mat * (uint64_t)s->n_in;
    uint64_t empty;
    if (b->entries == 0 || b->text < s->name_bytes + 1u || b->values < values)
        return lort_fail(b->err, LORT_E_INPUT, "the importance matrix changed while it was read");
    b->entries--;
    b->text -= s->name_bytes + 1u;
    b->values -= values;
    if (add_values(b, s, &empty))
        return drop_entry(b);
    lort_importance *entry = &b->out->entries[b->out->count];
    *entry = (lort_importance){b->next_text, s->name_bytes, s->n_mat, s->n_in, b->next_value};
    memcpy(b->next_text, s->name, s->name_bytes);
    b->next_text[s->name_bytes] = 0;
    lort_code code = add_name(b, s, entry);
    b->out->count++;
    b->out->empty += empty;
    b->next_text += s->name_bytes + 1u;
    b->next_value += values;
    return code;
}

static lort_code take_all(builder *b)
{
    const uint64_t bytes[] = {b->entries * sizeof *b->out->entries,
                              b->values * sizeof *b->next_value, b->text};
    void *taken[3] = {NULL};
    lort_code code = LORT_OK;
    for (unsigned i = 0; i < 3 && code == LORT_OK; i++)
        code = lort_arena_take(&b->out->arena, bytes[i], &taken[i], b->err);
    b->out->entries = taken[0];
    b->next_value = taken[1];
    b->next_text = taken[2];
    return code;
}

/* ---- GGUF ---- */

static const char sums_end[] = ".in_sum2", counts_end[] = ".counts";

/* Length of the name in front of `end`, or 0 if the name of the tensor does not end so. */
static uint32_t stem_of(const lort_tensor *t, const char *end)
{
    const uint32_t n = (uint32_t)strlen(end);
    return t->name_bytes >= n && memcmp(t->name + t->name_bytes - n, end, n) == 0
               ? t->name_bytes - n
               : 0;
}

static const lort_tensor *find_sibling(const lort_header *h, const lort_tensor *t, uint32_t stem,
                                       const char *end)
{
    char name[MAX_NAME + 1];
    const size_t n = strlen(end);
    if (stem + n > sizeof name)
        return NULL;
    memcpy(name, t->name, stem);
    memcpy(name + stem, end, n);
    return lort_index_find(&h->index, name, stem + n);
}

static lort_code refuse_tensor(const builder *b, const lort_tensor *t, const char *allowed)
{
    char name[LORT_SHOWN_NAME], shape[128];
    return lort_fail(b->err, LORT_E_INPUT, "tensor '%s' (%s %s, at offset %" PRIu64 "): %s",
                     lort_escape(name, sizeof name, t->name, t->name_bytes), t->type->name,
                     lort_shape_text(t, shape, sizeof shape), t->offset, allowed);
}

static lort_code gguf_entry(const builder *b, const lort_tensor *sums, const lort_tensor *counts,
                            uint32_t stem, source *out)
{
    const lort_matrices shape = lort_tensor_matrices(sums);
    if (sums->type->id != LORT_F32 || sums->elements == 0)
        return refuse_tensor(b, sums, "sums of squares must be F32 and not empty");
    *out = (source){.name = sums->name,
                    .name_bytes = stem,
                    .n_mat = shape.slices * shape.rows,
                    .n_in = shape.cols,
                    .sums = b->data + sums->offset,
                    .counts = b->data + counts->offset};
    if (counts->type->id != LORT_F32 || counts->elements != (uint64_t)out->n_mat)
        return refuse_tensor(b, counts,
                             "counts must be F32, one for each row of the sums of squares");
    return LORT_OK;
}

static lort_code walk_gguf(builder *b, const lort_header *h, bool filling)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < h->index.count && code == LORT_OK; i++) {
        const lort_tensor *t = &h->index.tensors[i];
        const uint32_t stem = stem_of(t, sums_end), other = stem_of(t, counts_end);
        source s;
        if (other && !find_sibling(h, t, other, sums_end))
            return refuse_tensor(b, t, "there is no tensor of sums (.in_sum2) beside these counts");
        const lort_tensor *counts = stem ? find_sibling(h, t, stem, counts_end) : NULL;
        if (stem && !counts)
            return refuse_tensor(b, t, "there is no tensor of counts (.counts) beside these sums");
        if (stem)
            code = gguf_entry(b, t, counts, stem, &s);
        if (stem && code == LORT_OK && filling)
            code = add_entry(b, &s);
        else if (stem && code == LORT_OK)
            count_entry(b, &s);
    }
    return code;
}

static lort_code check_type(const builder *b, const lort_header *h)
{
    static const char allowed[] = "an importance matrix has general.type 'imatrix'";
    const lort_kv *type = lort_header_find(h, "general.type");
    char shown[LORT_SHOWN_NAME];
    if (!type || !type->text_copy)
        return lort_fail(b->err, LORT_E_INPUT, "the GGUF file does not say what it is: %s",
                         allowed);
    if (strcmp(type->text_copy, "imatrix") != 0)
        return lort_fail(b->err, LORT_E_INPUT, "the GGUF file is of general.type '%s': %s",
                         lort_escape_text(shown, sizeof shown, type->text_copy), allowed);
    return LORT_OK;
}

/* Notes what text the importances come from, where the file says so. */
static lort_code note_text(builder *b, const lort_header *h)
{
    const lort_kv *chunks = lort_header_find(h, "imatrix.chunk_count"),
                  *texts = lort_header_find(h, "imatrix.datasets");
    if (chunks && chunks->kind == LORT_KV_U64 && chunks->v.u <= UINT32_MAX)
        b->out->chunks = (uint32_t)chunks->v.u;
    if (h->version < 2 || !texts || texts->kind != LORT_KV_ARRAY || texts->v.array.count == 0 ||
        strcmp(texts->type, "string") != 0)
        return LORT_OK;
    const uint8_t *at = b->data + texts->v.array.at;
    return lort_arena_text(&b->out->arena, at + 8, (size_t)lort_load_u64(at), &b->out->dataset,
                           b->err);
}

static lort_code parse_gguf(builder *b, uint64_t bytes)
{
    lort_header header;
    uint64_t wanted;
    lort_code code = lort_format_gguf.parse(b->data, bytes, bytes, b->out->arena.alloc, &header,
                                            &wanted, b->err);
    if (code)
        return code;
    code = check_type(b, &header);
    if (code == LORT_OK)
        code = walk_gguf(b, &header, false);
    if (code == LORT_OK && b->entries == 0)
        code = lort_fail(
            b->err, LORT_E_INPUT,
            "the importance matrix has no entry (found no tensor whose name ends in .in_sum2)");
    if (code == LORT_OK)
        code = take_all(b);
    if (code == LORT_OK)
        code = walk_gguf(b, &header, true);
    if (code == LORT_OK)
        code = note_text(b, &header);
    lort_header_free(&header);
    return code;
}

/* ---- legacy ---- */

static uint32_t get_number(lort_cursor *c, uint32_t least, uint32_t most, const char *what)
{
    const uint32_t v = lort_get_u32(c, what);
    if (c->code == LORT_OK && (v < least || v > most)) {
        c->at -= 4;
        lort_cursor_fail(c, "%s is %" PRId32 " (allowed: %" PRIu32 " to %" PRIu32 ")", what,
                         (int32_t)v, least, most);
    }
    return v;
}

static lort_code get_entry(lort_cursor *c, source *out)
{
    *out = (source){.n_mat = 1};
    out->name_bytes = get_number(c, 1, MAX_NAME, "length of an entry's name");
    out->name = (const char *)lort_get_bytes(c, out->name_bytes, "an entry's name");
    out->count = get_number(c, 0, INT32_MAX, "number of calls of an entry");
    out->n_in = get_number(c, 1, INT32_MAX, "number of values of an entry");
    out->sums = lort_get_bytes(c, 4 * (uint64_t)out->n_in, "values of an entry");
    return c->code;
}

static lort_code get_tail(builder *b, lort_cursor *c)
{
    if (c->code || c->at == c->limit)
        return c->code;
    const uint32_t chunks = lort_get_u32(c, "number of the last chunk"),
                   bytes = get_number(c, 0, INT32_MAX, "length of the text's name");
    const uint8_t *name = lort_get_bytes(c, bytes, "name of the text");
    if (c->code == LORT_OK && c->at != c->limit)
        lort_cursor_fail(c, "%" PRIu64 " bytes follow the name of the text", c->limit - c->at);
    if (c->code || bytes == 0 || b->out->dataset)
        return c->code;
    b->out->chunks = chunks;
    return lort_arena_text(&b->out->arena, name, bytes, &b->out->dataset, b->err);
}

static lort_code walk_legacy(builder *b, uint64_t bytes, bool filling)
{
    lort_cursor c = lort_cursor_make(b->data, bytes, bytes, LORT_E_INPUT, b->err);
    const uint32_t count = lort_get_u32(&c, "number of entries");
    if (c.code == LORT_OK && (count == 0 || count > (bytes - 4) / ENTRY_MIN))
        return lort_fail(
            b->err, LORT_E_INPUT,
            "not an importance matrix: neither GGUF nor the legacy form (found %" PRIu32
            " entries in %" PRIu64 " bytes, allowed 1 to %" PRIu64 ")",
            count, bytes, (bytes - 4) / ENTRY_MIN);
    for (uint32_t i = 0; i < count && c.code == LORT_OK; i++) {
        source s;
        if (get_entry(&c, &s)) {
            lort_error_prefix(b->err, "entry %" PRIu32 " of %" PRIu32, i + 1, count);
            return c.code;
        }
        lort_code code = filling ? add_entry(b, &s) : LORT_OK;
        if (code)
            return code;
        if (!filling)
            count_entry(b, &s);
    }
    return get_tail(b, &c);
}

static lort_code parse_legacy(builder *b, uint64_t bytes)
{
    lort_code code = walk_legacy(b, bytes, false);
    if (code == LORT_OK)
        code = take_all(b);
    return code ? code : walk_legacy(b, bytes, true);
}

/* ---- the whole ---- */

lort_code lort_imatrix_parse(const uint8_t *data, uint64_t bytes, const lort_alloc *alloc,
                             lort_imatrix *out, lort_error *err)
{
    memset(out, 0, sizeof *out);
    if (bytes > LORT_IMATRIX_MAX)
        return lort_fail(err, LORT_E_INPUT,
                         "the importance matrix has %" PRIu64 " bytes; at most %" PRIu64
                         " are allowed",
                         bytes, LORT_IMATRIX_MAX);
    lort_error local;
    lort_imatrix result = {.names.alloc = alloc, .arena.alloc = alloc};
    builder b = {.data = data, .out = &result, .err = err ? err : &local};
    const bool gguf = bytes >= 4 && memcmp(data, "GGUF", 4) == 0;
    lort_code code = gguf ? parse_gguf(&b, bytes) : parse_legacy(&b, bytes);
    if (code == LORT_OK && result.count == 0)
        code = lort_fail(err, LORT_E_INPUT, "%s", result.reasons[0]);
    if (code)
        lort_imatrix_free(&result);
    else
        *out = result;
    return code;
}

void lort_imatrix_free(lort_imatrix *imatrix)
{
    if (!imatrix)
        return;
    if (imatrix->names.slots)
        lort_names_free(&imatrix->names);
    lort_arena_free(&imatrix->arena);
    memset(imatrix, 0, sizeof *imatrix);
}

/* ---- looking up ---- */

static const lort_names_slot *find_exact(const lort_names *names, const char *name, uint64_t bytes)
{
    return bytes <= MAX_NAME ? lort_names_find(names, name, (uint32_t)bytes) : NULL;
}

/* Finds the name with ".weight" added, or taken away if the name has it. */
static const lort_names_slot *find_other_ending(const lort_names *names, const char *name,
                                                uint64_t bytes)
{
    static const char end[] = ".weight";
    const uint64_t n = sizeof end - 1;
    char longer[MAX_NAME + 1];
    if (bytes > n && memcmp(name + bytes - n, end, n) == 0)
        return find_exact(names, name, bytes - n);
    if (bytes + n > MAX_NAME)
        return NULL;
    memcpy(longer, name, bytes);
    memcpy(longer + bytes, end, n);
    return find_exact(names, longer, bytes + n);
}

const lort_names_slot *lort_imatrix_find_name(const lort_names *names, const char *name,
                                              uint64_t name_bytes)
{
    char mapped[64];
    const lort_names_slot *found = find_exact(names, name, name_bytes);
    if (!found)
        found = find_other_ending(names, name, name_bytes);
    const uint64_t bytes =
        found ? 0 : lort_imatrix_map_name(name, name_bytes, mapped, sizeof mapped);
    return bytes ? find_exact(names, mapped, bytes) : found;
}

const lort_importance *lort_imatrix_find(const lort_imatrix *imatrix, const char *name,
                                         uint64_t name_bytes)
{
    const lort_names_slot *slot = lort_imatrix_find_name(&imatrix->names, name, name_bytes);
    return slot ? &imatrix->entries[slot->value] : NULL;
}

const float *lort_importance_row(const lort_importance *importance, const lort_matrices *shape,
                                 int64_t slice)
{
    const int64_t n_mat = importance->n_mat, n_in = importance->n_in;
    if (slice < 0 || slice >= shape->slices || shape->cols <= 0)
        return NULL;
    if (n_in == shape->cols && (n_mat == 1 || n_mat == shape->slices))
        return importance->mean_square + (n_mat == 1 ? 0 : slice * n_in);
    /* a stack in the legacy form */
    if (n_mat == 1 && n_in % shape->cols == 0 && n_in / shape->cols == shape->slices)
        return importance->mean_square + slice * shape->cols;
    return NULL;
}

/* ---- names of Hugging Face models like Llama ---- */

static const struct name_pair {
    const char *theirs, *gguf;
} whole_names[] = {{"lm_head.weight", "output.weight"},
                   {"model.embed_tokens.weight", "token_embd.weight"}},
  layer_names[] = {
      {"self_attn.q_proj.weight", "attn_q.weight"},
      {"self_attn.k_proj.weight", "attn_k.weight"},
      {"self_attn.v_proj.weight", "attn_v.weight"},
      {"self_attn.o_proj.weight", "attn_output.weight"},
      {"mlp.gate_proj.weight", "ffn_gate.weight"},
      {"mlp.up_proj.weight", "ffn_up.weight"},
      {"mlp.down_proj.weight", "ffn_down.weight"},
};

static const char *translate_name(const struct name_pair *pairs, size_t count, const char *name,
                                  uint64_t bytes)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(pairs[i].theirs) == bytes && memcmp(pairs[i].theirs, name, (size_t)bytes) == 0)
            return pairs[i].gguf;
    return NULL;
}

/* Number of digits at the front of a name. */
static uint64_t count_digits(const char *name, uint64_t bytes)
{
    uint64_t n = 0;
    while (n < bytes && name[n] >= '0' && name[n] <= '9')
        n++;
    return n;
}

uint64_t lort_imatrix_map_name(const char *name, uint64_t name_bytes, char *out, uint64_t cap)
{
    static const char layers[] = "model.layers.";
    const uint64_t head = sizeof layers - 1;
    const char *to =
        translate_name(whole_names, sizeof whole_names / sizeof *whole_names, name, name_bytes);
    int n = to ? snprintf(out, (size_t)cap, "%s", to) : 0;
    if (!to && name_bytes > head && memcmp(name, layers, head) == 0) {
        const uint64_t number = count_digits(name + head, name_bytes - head),
                       rest = head + number + 1;
        if (number == 0 || number > 9 || rest > name_bytes || name[rest - 1] != '.')
            return 0;
        to = translate_name(layer_names, sizeof layer_names / sizeof *layer_names, name + rest,
                            name_bytes - rest);
        n = to ? snprintf(out, (size_t)cap, "blk.%.*s.%s", (int)number, name + head, to) : 0;
    }
    return n > 0 && (uint64_t)n < cap ? (uint64_t)n : 0;
}
