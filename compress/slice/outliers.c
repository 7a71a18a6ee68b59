/* outliers: see outliers.h.
 *
 *     pass 1   counts magnitudes in bins; a bin is a quarter of an octave, linear in the octave
 *     border   from the top bin down: at most n / 1000 weights above, 16 times the rms below
 *     crowd    more than that, but at most n / 100, are so large: LoRT keeps the slice
 *     pass 2   only if a border was found: takes the places and values above it, in order
 *
 * Counts are integers, so the border does not depend on the order of the work. */
#include "compress/slice/outliers.h"
#include <math.h>
#include <string.h>

#define CROWD_ONE_IN 100 /* from here on large weights are no outliers, but weights like others */
#define OUTLIERS_RMS 16  /* an outlier is so many times as large as the rms of the others */
#define BINS 1024        /* a sign-less f32 has 8 bits of exponent; 2 bits of its fraction count */
#define BIN_SHIFT 21
#define FIRST_NONFINITE 1020 /* bin of Inf; NaN lies in it or above it */
#define TILE_VALUES (1 << 14)

typedef struct search_slot {
    float values[TILE_VALUES];
    const float *seen;
    int64_t ld;
    uint64_t hits;
    uint32_t counts[BINS];
} search_slot;

typedef struct search {
    lort_slice_source *source;
    lort_work work;
    int64_t rows, cols, high, wide, across; /* of the slice, of a tile, tiles in a row of tiles */
    uint64_t counts[BINS];
    unsigned border; /* the first bin of the outliers */
    lort_outliers *out;
    uint64_t room;
    search_slot *slots; /* [window] */
} search;

static unsigned bin_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7fffffffu) >> BIN_SHIFT;
}

static float bin_start(unsigned bin)
{
    const uint32_t bits = (uint32_t)bin << BIN_SHIFT;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- tiles ---- */

typedef struct tile {
    int64_t r0, r1, c0, c1;
} tile;

static tile tile_at(const search *s, int64_t item)
{
    const int64_t r0 = item / s->across * s->high, c0 = item % s->across * s->wide;
    return (tile){r0, r0 + s->high < s->rows ? r0 + s->high : s->rows, c0,
                  c0 + s->wide < s->cols ? c0 + s->wide : s->cols};
}

static lort_code read_tile(search *s, int64_t item, unsigned worker, unsigned slot, tile *t,
                           lort_error *err)
{
    search_slot *at = &s->slots[slot];
    *t = tile_at(s, item);
    return lort_slice_read(s->source, lort_work_worker(s->work, worker), t->r0, t->r1, t->c0, t->c1,
                           at->values, &at->seen, &at->ld, err);
}

/* ---- pass 1 ---- */

static lort_code count_tile(void *ctx, int64_t item, unsigned worker, unsigned slot,
                            lort_error *err)
{
    search *s = ctx;
    search_slot *at = &s->slots[slot];
    tile t;
    lort_code code = read_tile(s, item, worker, slot, &t, err);
    if (code)
        return code;
    memset(at->counts, 0, sizeof at->counts);
    for (int64_t r = 0; r < t.r1 - t.r0; r++)
        for (int64_t c = 0; c < t.c1 - t.c0; c++)
            at->counts[bin_of(at->seen[r * at->ld + c])]++;
    return LORT_OK;
}

static lort_code add_counts(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    search *s = ctx;
    (void)item;
    (void)err;
    for (unsigned i = 0; i < BINS; i++)
        s->counts[i] += s->slots[slot].counts[i];
    return LORT_OK;
}

/* ---- the border ---- */

/* Finds the smallest border; BINS if there is none. The energy of a bin is that of its middle. */
static unsigned find_border(const search *s, uint64_t *above)
{
    const double n = (double)s->rows * (double)s->cols;
    double energy = 0;
    uint64_t left = 0;
    unsigned border = BINS;
    *above = 0;
    for (unsigned i = FIRST_NONFINITE; i < BINS; i++)
        left += s->counts[i];
    if (left)
        return BINS;
    double below[BINS];
    for (unsigned i = 0; i < FIRST_NONFINITE; i++) {
        /* Zeros are in bin 0, with numbers so small that they count as zeros. */
        const double middle = i ? ((double)bin_start(i) + (double)bin_start(i + 1)) / 2 : 0;
        below[i] = energy;
        energy += (double)s->counts[i] * middle * middle;
    }
    for (unsigned i = FIRST_NONFINITE; i-- > 0;) {
        left += s->counts[i];
        const bool few = (double)left * LORT_OUTLIERS_ONE_IN <= n;
        if (!few && (border < BINS || (double)left * CROWD_ONE_IN > n))
            break;
        const double start = (double)bin_start(i), rest = n - (double)left;
        if (left == 0 || !(below[i] > 0) ||
            start * start * rest < OUTLIERS_RMS * OUTLIERS_RMS * below[i])
            continue;
        s->out->crowded = !few;
        if (!few)
            return BINS;
        border = i;
        *above = left;
    }
    return border;
}

/* ---- pass 2 ---- */

static lort_code look_tile(void *ctx, int64_t item, unsigned worker, unsigned slot, lort_error *err)
{
    search *s = ctx;
    search_slot *at = &s->slots[slot];
    tile t;
    lort_code code = read_tile(s, item, worker, slot, &t, err);
    at->hits = 0;
    for (int64_t r = 0; code == LORT_OK && r < t.r1 - t.r0; r++)
        for (int64_t c = 0; c < t.c1 - t.c0; c++)
            at->hits += bin_of(at->seen[r * at->ld + c]) >= s->border;
    return code;
}

/* If the file changes in between, there may be more outliers than room. The run fails then, when it
 * looks at the file again. */
static lort_code take_tile(void *ctx, int64_t item, unsigned slot, lort_error *err)
{
    search *s = ctx;
    const search_slot *at = &s->slots[slot];
    const tile t = tile_at(s, item);
    (void)err;
    for (int64_t r = t.r0; at->hits && r < t.r1; r++)
        for (int64_t c = t.c0; c < t.c1 && s->out->count < s->room; c++) {
            const float value = at->seen[(r - t.r0) * at->ld + c - t.c0];
            if (bin_of(value) < s->border)
                continue;
            s->out->places[s->out->count] = (uint64_t)r * (uint64_t)s->cols + (uint64_t)c;
            s->out->values[s->out->count++] = value;
            s->out->energy += (double)value * value;
        }
    return LORT_OK;
}

static lort_code take_outliers(search *s, uint64_t count, lort_error *err)
{
    const lort_alloc *alloc = &s->source->decider->session->alloc;
    void *memory;
    lort_code code =
        lort_take(alloc, count * LORT_OUTLIER_BYTES, "outliers of a matrix", &memory, err);
    if (code)
        return code;
    s->out->places = memory;
    s->out->room = count;
    s->out->values = (float *)(void *)(s->out->places + count);
    s->room = count;
    s->source->passes++;
    code = lort_pool_run(s->work.pool, (s->rows + s->high - 1) / s->high * s->across,
                         lort_pool_window(s->work.pool), look_tile, take_tile, s, err);
    return code;
}

/* ---- the two arrays ---- */

static lort_code encode_both(const lort_outliers *outliers, lort_session *session, unsigned worker,
                             uint32_t slice, lort_outcome *out, lort_error *err)
{
    lort_code code = lort_outcome_encode(session, worker, LORT_ARRAY_PLACES, slice, LORT_U64,
                                         (const uint8_t *)outliers->places,
                                         outliers->count * sizeof *outliers->places, out, err);
    return code ? code
                : lort_outcome_encode(session, worker, LORT_ARRAY_OUTLIERS, slice, LORT_F32,
                                      (const uint8_t *)outliers->values,
                                      outliers->count * sizeof *outliers->values, out, err);
}

lort_code lort_outliers_encode(const lort_outliers *outliers, lort_session *session,
                               unsigned worker, uint32_t slice, lort_outcome *out, lort_error *err)
{
    return outliers->count ? encode_both(outliers, session, worker, slice, out, err) : LORT_OK;
}

static lort_code measure_stored(search *s, lort_error *err)
{
    lort_session *session = s->source->decider->session;
    lort_outcome spare = {.coded.alloc = &session->alloc};
    lort_code code = encode_both(s->out, session, s->work.worker, 0, &spare, err);
    s->out->stored = spare.coded.size + spare.chunk_count * LORT_CHUNK_ENTRY;
    lort_outcome_free(&spare, &session->alloc);
    return code;
}

/* ---- the search ---- */

uint64_t lort_outliers_bound(unsigned workers)
{
    return 2 * (uint64_t)workers * sizeof(search_slot);
}

uint64_t lort_outliers_most(const lort_matrices *shape)
{
    const uint64_t most = (uint64_t)shape->rows * (uint64_t)shape->cols / LORT_OUTLIERS_ONE_IN;
    /* as they are, and encoded in a buffer that doubles */
    return most * 4 * LORT_OUTLIER_BYTES;
}

static search search_of(lort_slice_source *source, lort_work work, lort_outliers *out)
{
    const lort_matrices *shape = &source->planned->shape;
    search s = {
        .source = source, .work = work, .rows = shape->rows, .cols = shape->cols, .out = out};
    /* A tile is whole rows, or a part of one row. So places ascend from tile to tile. */
    s.wide = s.cols < TILE_VALUES ? s.cols : TILE_VALUES;
    s.high = TILE_VALUES / s.wide;
    s.across = (s.cols + s.wide - 1) / s.wide;
    return s;
}

lort_code lort_outliers_find(lort_slice_source *source, lort_work work, lort_outliers *out,
                             lort_error *err)
{
    const lort_alloc *alloc = &source->decider->session->alloc;
    const unsigned window = lort_pool_window(work.pool);
    search s = search_of(source, work, out);
    uint64_t count;
    void *memory;
    *out = (lort_outliers){0};
    if (s.rows * s.cols < LORT_OUTLIERS_ONE_IN)
        return LORT_OK;
    lort_code code = lort_take(alloc, window * sizeof *s.slots, "magnitudes", &memory, err);
    if (code)
        return code;
    s.slots = memory;
    source->passes++;
    code = lort_pool_run(work.pool, (s.rows + s.high - 1) / s.high * s.across, window, count_tile,
                         add_counts, &s, err);
    s.border = code ? BINS : find_border(&s, &count);
    if (s.border < BINS)
        code = take_outliers(&s, count, err);
    lort_give(alloc, s.slots, window * sizeof *s.slots);
    if (code == LORT_OK && out->count)
        code = measure_stored(&s, err);
    if (code)
        lort_outliers_free(out, alloc);
    return code;
}
