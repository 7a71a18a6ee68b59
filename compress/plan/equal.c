/* equal: see equal.h.
 *
 *     all tensors        key = hash of type and dims          alone: no group
 *       of equal keys    key = + hash of three samples        alone: no group
 *       of equal keys    key = + hash of all bytes            the first of a key is the origin
 *
 * Keys are XXH3-128. LoRT compares type and dims themselves, and trusts the hash of the bytes. When
 * it writes a tensor as the same as another one, it hashes the bytes again (write/emit.c). */
#include "compress/plan/equal.h"
#include "compress/goal/goal.h"
#include "compress/goal/kinds.h"
#include "formats/base/names.h"
#include <string.h>

#define LEAST_BYTES 1024 /* less would save next to nothing: a record takes a hundred */
#define SAMPLES 3        /* at the beginning, in the middle and at the end */
#define SAMPLE_BYTES 4096u
#define NETWORK_SAMPLE 256u    /* the one sample of a tensor on a network */
#define PIECE_BYTES (1u << 20) /* hashed at once */

typedef struct item {
    lort_hash128 key;
    uint64_t extent;
    uint32_t first;  /* the first item of this key */
    uint32_t others; /* of the first item: how many more have its key */
} item;

typedef struct search {
    lort_session *session;
    lort_model *model;
    lort_work_plan *plan;
    item *items; /* [count] */
    uint64_t count, room;
    uint8_t *piece; /* [PIECE_BYTES] */
} search;

static const lort_tensor *tensor_of(const search *s, uint64_t number)
{
    return s->plan->tensors[s->items[number].extent].tensor;
}

/* ---- keys ---- */

/* Finds the first item of every key, and counts the others. Keys that were made to collide end the
 * search: the items from there on are alone. */
static lort_code match_keys(search *s, lort_error *err)
{
    lort_names keys = {.alloc = &s->session->alloc};
    lort_error why = {0};
    lort_code code = LORT_OK;
    for (uint32_t i = 0; i < s->count; i++) {
        item *it = &s->items[i];
        bool is_new;
        it->first = i;
        it->others = 0;
        if (code == LORT_OK)
            code = lort_names_add(&keys, (const char *)it->key.bytes, sizeof it->key.bytes, i,
                                  &is_new, &it->first, &why);
        if (code)
            it->first = i;
        s->items[it->first].others += it->first != i;
    }
    lort_names_free(&keys);
    return code && code != LORT_E_INPUT ? lort_fail(err, code, "%s", why.message) : LORT_OK;
}

/* Drops the items whose key is theirs alone. */
static lort_code drop_single(search *s, lort_error *err)
{
    uint64_t kept = 0;
    lort_code code = match_keys(s, err);
    for (uint64_t i = 0; i < s->count; i++)
        s->items[i].others =
            s->items[s->items[i].first].others; /* first <= i: still in its place */
    for (uint64_t i = 0; i < s->count; i++)
        if (s->items[i].others)
            s->items[kept++] = s->items[i];
    s->count = kept;
    return code;
}

static void key_of_shape(const lort_tensor *tensor, lort_hasher *hasher)
{
    const uint32_t type[2] = {(uint32_t)tensor->type->id, tensor->n_dims};
    lort_hasher_add(hasher, type, sizeof type);
    lort_hasher_add(hasher, tensor->dims, tensor->n_dims * sizeof *tensor->dims);
}

static bool is_zero(const uint8_t *bytes, uint64_t n)
{
    return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)n - 1) == 0);
}

static lort_code add_bytes(search *s, const lort_tensor *tensor, uint64_t at, uint64_t n,
                           lort_hasher *hasher, bool *zero, lort_error *err)
{
    const uint8_t *bytes;
    lort_code code = lort_session_check_stop(s->session, err);
    if (code == LORT_OK)
        code =
            lort_model_view(s->model, tensor->file, tensor->offset + at, n, s->piece, &bytes, err);
    if (code)
        return code;
    lort_hasher_add(hasher, bytes, n);
    *zero = *zero && is_zero(bytes, n);
    return LORT_OK;
}

/* From a network comes one page of a tensor. Samples decide nothing: they only spare LoRT to
 * compare all bytes. */
static uint64_t network_sample(const lort_tensor *tensor, uint64_t *at)
{
    const uint64_t n = tensor->bytes < NETWORK_SAMPLE ? tensor->bytes : NETWORK_SAMPLE;
    *at = (tensor->bytes - n) / 2;
    return n;
}

/* A request takes its time to come and go. So many are on their way at once. */
static void ask_samples(const search *s)
{
    for (uint64_t i = 0; i < s->count && lort_model_is_supplied(s->model); i++) {
        const lort_tensor *tensor = tensor_of(s, i);
        uint64_t at;
        const uint64_t n = network_sample(tensor, &at);
        lort_model_prefetch(s->model, tensor->file, tensor->offset + at, n);
    }
}

static lort_code add_samples(search *s, const lort_tensor *tensor, lort_hasher *hasher, bool *zero,
                             lort_error *err)
{
    const uint64_t n = tensor->bytes < SAMPLE_BYTES ? tensor->bytes : SAMPLE_BYTES;
    lort_code code = LORT_OK;
    if (lort_model_is_supplied(s->model)) {
        uint64_t at;
        const uint64_t some = network_sample(tensor, &at);
        return add_bytes(s, tensor, at, some, hasher, zero, err);
    }
    for (unsigned i = 0; i < SAMPLES && code == LORT_OK; i++)
        code = add_bytes(s, tensor, (tensor->bytes - n) / (SAMPLES - 1) * i, n, hasher, zero, err);
    return code;
}

static lort_code add_all(search *s, const lort_tensor *tensor, lort_hasher *hasher, bool *zero,
                         lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t at = 0; at < tensor->bytes && code == LORT_OK; at += PIECE_BYTES) {
        const uint64_t left = tensor->bytes - at;
        code = add_bytes(s, tensor, at, left < PIECE_BYTES ? left : PIECE_BYTES, hasher, zero, err);
    }
    return code;
}

typedef lort_code add_fn(search *s, const lort_tensor *tensor, lort_hasher *hasher, bool *zero,
                         lort_error *err);

/* Makes the key of an item from type, dims and the bytes that `add` reads; NULL: no bytes.
 * *zero: whether all of these bytes are zero. */
static lort_code make_key(search *s, item *it, add_fn *add, bool *zero, lort_error *err)
{
    const lort_tensor *tensor = s->plan->tensors[it->extent].tensor;
    lort_hasher *hasher;
    lort_code code = lort_hasher_open(&s->session->alloc, &hasher, err);
    *zero = true;
    if (code)
        return code;
    key_of_shape(tensor, hasher);
    if (add)
        code = add(s, tensor, hasher, zero, err);
    if (code == LORT_OK && add)
        code = lort_model_check(s->model, tensor->file, err);
    if (code == LORT_OK)
        it->key = lort_hasher_value(hasher);
    lort_hasher_close(hasher);
    return code;
}

/* ---- the search ---- */

static lort_code list_items(search *s, lort_error *err)
{
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < s->plan->count && code == LORT_OK; i++) {
        const lort_tensor *tensor = s->plan->tensors[i].tensor;
        bool zero;
        if (!tensor || tensor->bytes < LEAST_BYTES)
            continue;
        s->items[s->count] = (item){.extent = i};
        code = make_key(s, &s->items[s->count++], NULL, &zero, err);
    }
    return code;
}

/* Gives the items that are left new keys. drop_zero: all-zero tensors leave the search. */
static lort_code read_items(search *s, add_fn *add, bool drop_zero, lort_error *err)
{
    uint64_t kept = 0;
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < s->count && code == LORT_OK; i++) {
        bool zero;
        code = make_key(s, &s->items[i], add, &zero, err);
        if (code == LORT_OK && !(zero && drop_zero))
            s->items[kept++] = s->items[i];
    }
    s->count = kept;
    return code;
}

static bool equal_shapes(const lort_tensor *a, const lort_tensor *b)
{
    bool equal = a->type->id == b->type->id && a->n_dims == b->n_dims && a->bytes == b->bytes;
    for (uint32_t i = 0; equal && i < a->n_dims; i++)
        equal = a->dims[i] == b->dims[i];
    return equal;
}

/* True if the errors of `a` must be smaller than those of `b`. */
static bool is_stricter(const lort_options *options, const lort_kind_info *a,
                        const lort_kind_info *b)
{
    const int place_a = lort_goal_place(options, a), place_b = lort_goal_place(options, b);
    return place_a > place_b || (place_a == place_b && a->by_row && !b->by_row);
}

/* Makes one tensor of the group the same as the first. What keeps one of them keeps all. */
static void join_group(const lort_options *options, uint64_t origin, lort_tensor_plan *first,
                       lort_tensor_plan *other)
{
    if (is_stricter(options, &other->kind, &first->kind))
        first->kind = other->kind;
    if (first->candidate && !other->candidate)
        first->reason = other->reason;
    first->candidate = first->candidate && other->candidate;
    other->same = true;
    other->origin = origin;
    other->candidate = false;
    other->reason = LORT_REASON_SAME;
}

static lort_code join_groups(search *s, const lort_options *options, lort_error *err)
{
    lort_code code = match_keys(s, err);
    for (uint64_t i = 0; i < s->count && code == LORT_OK; i++) {
        const uint64_t first = s->items[i].first, origin = s->items[first].extent;
        if (first != i && equal_shapes(tensor_of(s, first), tensor_of(s, i)))
            join_group(options, origin, &s->plan->tensors[origin],
                       &s->plan->tensors[s->items[i].extent]);
    }
    return code;
}

static lort_code open_search(search *s, lort_error *err)
{
    const lort_alloc *alloc = &s->session->alloc;
    void *memory;
    s->room = s->plan->count;
    lort_code code =
        lort_take(alloc, s->room * sizeof *s->items, "the search for equal tensors", &memory, err);
    s->items = code ? NULL : memory;
    if (code == LORT_OK)
        code = lort_take(alloc, PIECE_BYTES, "the search for equal tensors", &memory, err);
    s->piece = code ? NULL : memory;
    return code;
}

static void close_search(search *s)
{
    const lort_alloc *alloc = &s->session->alloc;
    if (s->items)
        lort_give(alloc, s->items, s->room * sizeof *s->items);
    if (s->piece)
        lort_give(alloc, s->piece, PIECE_BYTES);
}

lort_code lort_equal_find(lort_session *session, lort_model *model, const lort_options *options,
                          lort_work_plan *plan, lort_error *err)
{
    search s = {.session = session, .model = model, .plan = plan};
    lort_code code = open_search(&s, err);
    if (code == LORT_OK)
        code = list_items(&s, err);
    if (code == LORT_OK)
        code = drop_single(&s, err);
    if (code == LORT_OK) {
        ask_samples(&s);
        lort_model_scattered(model, true);
        code = read_items(&s, add_samples, false, err);
        lort_model_scattered(model, false);
    }
    if (code == LORT_OK)
        code = drop_single(&s, err);
    if (code == LORT_OK)
        code = read_items(&s, add_all, true, err);
    if (code == LORT_OK)
        code = join_groups(&s, options, err);
    close_search(&s);
    return code;
}
