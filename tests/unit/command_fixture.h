/* Runs commands on tiny models: options, observers that stop or interfere, files to compare,
 * containers written again by hand. Include after cmocka.h. */
#ifndef LORT_TESTS_COMMAND_FIXTURE_H
#define LORT_TESTS_COMMAND_FIXTURE_H

#include "compress/lort.h"
#include "formats/types/planes.h"
#include "loader/store/archive.h"
#include "loader/store/record.h"
#include "tests/unit/sanitized.h"
#include "tests/unit/sized.h"
#include "tests/unit/tiny_model.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>

/* For commands whose memory is not what a test is about. */
static const lort_run_options plenty = {RUN_SIZE, .memory_bytes = UINT64_C(64) << 30, .threads = 2};

/* ---- files ---- */

static char dir[32]; /* of the test that runs */

static inline int dir_open(void **state)
{
    tiny_dir(dir);
    return 0;
}

static inline int dir_close(void **state)
{
    tiny_remove(dir);
    return 0;
}

#define command_test(f) cmocka_unit_test_setup_teardown(f, dir_open, dir_close)

static inline bool file_exists(const char *name) { return access(tiny_path(dir, name), F_OK) == 0; }

/* Counts the names in the directory, with dot files: a command may have left files behind. */
static inline int names_left(void)
{
    DIR *d = opendir(dir);
    int n = -2;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

/* Removes the unfinished work of an output: both of its files, or none. */
static inline void remove_unfinished(const char *output)
{
    char name[2][64];
    snprintf(name[0], sizeof name[0], "%s.part", output);
    snprintf(name[1], sizeof name[1], "%s.part.journal", output);
    assert_true(file_exists(name[0]) == file_exists(name[1]));
    for (int i = 0; i < 2 && file_exists(name[i]); i++)
        assert_int_equal(unlink(tiny_path(dir, name[i])), 0);
}

static inline lort_buffer file_read(const char *name)
{
    lort_buffer out = {.alloc = &lort_alloc_heap};
    FILE *in = fopen(tiny_path(dir, name), "rb");
    uint8_t piece[4096];
    size_t n;
    if (!in)
        fail_msg("no file %s", name);
    while ((n = fread(piece, 1, sizeof piece, in)) > 0)
        lort_put_bytes(&out, piece, n);
    fclose(in);
    assert_int_equal(lort_buffer_check(&out, NULL), LORT_OK);
    return out;
}

/* Makes the file look old, so that the next write shows even with a coarse clock. */
static inline void make_old(const char *name)
{
    const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, tiny_path(dir, name), times, 0), 0);
}

static inline bool same_files(const char *a, const char *b)
{
    lort_buffer x = file_read(a), y = file_read(b);
    bool same = x.size == y.size && memcmp(x.data, y.data, x.size) == 0;
    lort_buffer_free(&x);
    lort_buffer_free(&y);
    return same;
}

/* ---- commands ---- */

static inline lort_options options_rank(int64_t rank)
{
    lort_options options;
    lort_options_init(&options);
    options.goal = LORT_GOAL_RANK;
    options.rank = rank;
    options.min_dim = 8;
    options.threads = 2;
    options.zstd_level = 3;
    return options;
}

#define assert_code(found, code, err)                                                              \
    do {                                                                                           \
        lort_code found_ = (found);                                                                \
        if (found_ != (code))                                                                      \
            fail_msg("code %d, wanted %d: %s", (int)found_, (int)(code),                           \
                     found_ ? (err)->message : "");                                                \
    } while (0)
#define assert_says(err, text)                                                                     \
    do {                                                                                           \
        if (!strstr((err)->message, text))                                                         \
            fail_msg("'%s' lacks '%s'", (err)->message, text);                                     \
    } while (0)

static inline void compress_to(const char *model, const char *output, const lort_options *options)
{
    lort_report report = {0};
    lort_error err = {0};
    assert_code(
        lort_compress(tiny_path(dir, model), tiny_path(dir, output), options, NULL, &report, &err),
        LORT_OK, &err);
    lort_report_free(&report);
}

static inline lort_code restore_with(const char *container, const char *output,
                                     const lort_restore_options *options,
                                     const lort_observer *observer, lort_error *err)
{
    lort_report report = {0};
    lort_code code = lort_restore(tiny_path(dir, container), tiny_path(dir, output), options,
                                  observer, &report, err);
    lort_report_free(&report);
    return code;
}

static inline const lort_tensor_report *entry_named(const lort_report *report, const char *name)
{
    for (uint64_t i = 0; i < report->tensor_count; i++)
        if (strcmp(report->tensors[i].name, name) == 0)
            return &report->tensors[i];
    fail_msg("no entry %s", name);
    return NULL;
}

/* ---- an observer that counts, stops, or does something at an event ---- */

typedef struct watcher {
    lort_observer observer;
    int64_t stop_after;            /* questions that get a no before the yes; negative: never */
    int64_t stop_at_event;         /* stop from the event of this number on; negative: never */
    _Atomic int64_t asked, events; /* any thread may ask */
    int64_t kinds[LORT_EVENT_PROGRESS + 1];
    void (*act)(void); /* called once, at the first TENSOR event */
} watcher;

static inline void watch_event(void *ctx, const lort_event *event)
{
    watcher *w = ctx;
    assert_non_null(event->report);
    w->events += event->kind != LORT_EVENT_PROGRESS; /* the clock decides how many of these come */
    if (w->kinds[event->kind]++ == 0 && event->kind == LORT_EVENT_TENSOR && w->act)
        w->act();
}

static inline bool watch_stop(void *ctx)
{
    watcher *w = ctx;
    const int64_t before = w->asked++;
    return (w->stop_after >= 0 && before >= w->stop_after) ||
           (w->stop_at_event >= 0 && w->events > w->stop_at_event);
}

static inline void watch_start(watcher *w, int64_t stop_after, int64_t stop_at_event)
{
    *w = (watcher){.observer = {.event = watch_event, .stop = watch_stop, .ctx = w},
                   .stop_after = stop_after,
                   .stop_at_event = stop_at_event};
}

/* Stops a command at every question that it asks and at every event that it reports. Each stop must
 * end the run and leave `names` names. The caller checks the output of a run without a stop. */
static inline void stop_everywhere(lort_code (*run)(const lort_observer *observer, lort_error *err),
                                   int names)
{
    watcher w;
    lort_error err = {0};
    watch_start(&w, -1, -1);
    assert_code(run(&w.observer, &err), LORT_OK, &err);
    int64_t asked = w.asked, events = w.events;
    int kept = names_left();
    assert_true(asked > 3 && events > 2);
    for (int64_t i = 0; i < asked + events; i++) {
        watch_start(&w, i < asked ? i : -1, i < asked ? -1 : i - asked);
        assert_code(run(&w.observer, &err), LORT_E_STOPPED, &err);
        assert_says(&err, "stopped");
        assert_int_equal(names_left(), names);
    }
    assert_true(kept >= names);
}

/* ---- memory ---- */

/* The N of "... the smallest --memory that would do is N", in bytes. */
static inline uint64_t smallest_said(const lort_error *err)
{
    const char *at = strstr(err->message, "smallest --memory that would do is ");
    uint64_t bytes;
    if (!at)
        fail_msg("'%s' names no memory", err->message);
    assert_int_equal(lort_parse_size(strrchr(at, ' ') + 1, &bytes, NULL), LORT_OK);
    return bytes;
}

typedef lort_code memory_run(uint64_t memory, lort_report *report, lort_error *err);

/* The smallest memory that a run with a budget of 1 MiB reports. The run must fail and name
 * `tensor`. */
static inline uint64_t least_memory(memory_run *run, const char *tensor)
{
    lort_error err = {0};
    lort_report report = {0};
    assert_code(run(1 << 20, &report, &err), LORT_E_MEMORY, &err);
    assert_says(&err, "not enough memory: ");
    assert_says(&err, tensor);
    lort_report_free(&report);
    return smallest_said(&err);
}

/* The run must succeed, within the peak that it planned. */
static inline void runs_within(memory_run *run, uint64_t memory)
{
    lort_error err = {0};
    lort_report report = {0};
    assert_code(run(memory, &report, &err), LORT_OK, &err);
    assert_true(report.planned_peak_bytes <= memory);
    assert_true(SANITIZED || report.peak_anon_bytes <= report.planned_peak_bytes);
    lort_report_free(&report);
}

/* A run with too little memory reports the smallest memory that would do. 2 MiB less must fail;
 * that figure and larger ones must do. Under a sanitizer the figures mean nothing: its own memory
 * grows from run to run. */
static inline void sweep_memory(memory_run *run)
{
    lort_error err = {0};
    lort_report report = {0};
    least_memory(run, " needs "); /* what a first run leaves in the process counts for the next */
    const uint64_t least = least_memory(run, " needs ");
    if (SANITIZED) {
        runs_within(run, 2ull << 30);
        return;
    }
    assert_code(run(least - (2 << 20), &report, &err), LORT_E_MEMORY, &err);
    lort_report_free(&report);
    for (uint64_t memory = least; memory < least + (48 << 20); memory += 6 << 20)
        runs_within(run, memory);
}

/* ---- a container written again, with changes ---- */

/* Changes the n decoded bytes of one chunk in place, or leaves them. */
typedef void edit_fn(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes, uint64_t n);

static inline const lort_term *term_of_chunk(const lort_part *part, const lort_chunk *chunk)
{
    const lort_term *term = lort_part_term(part, chunk->array & (LORT_MAX_SLICES - 1),
                                           lort_array_get(chunk->array)->term);
    assert_non_null(term);
    return term;
}

/* The part whose source hash rewrite_part makes wrong. */
static uint64_t wrong_source = UINT64_MAX;

/* Writes one part again. Returns its source hash; in a part of one chunk the hash is that of the
 * new bytes. */
static inline lort_hash128 rewrite_part(const lort_archive *archive, uint64_t number, edit_fn *edit,
                                        lort_codec *codec, lort_buffer *out,
                                        lort_index_entry *entry)
{
    lort_part part = *lort_archive_part(archive, number);
    lort_chunk *chunks = calloc(part.chunk_count + 1, sizeof *chunks);
    uint8_t *bytes = malloc(3 * LORT_CHUNK_MAX), *planes = bytes + LORT_CHUNK_MAX,
            *coded = planes + LORT_CHUNK_MAX;
    uint64_t start = out->size;
    lort_buffer body = {.alloc = &lort_alloc_heap};
    assert_true(chunks && bytes);
    for (uint64_t i = 0; i < part.chunk_count; i++) {
        const lort_term *term = term_of_chunk(&part, &part.chunks[i]);
        const bool right = lort_array_get(part.chunks[i].array)->right;
        uint64_t stored;
        chunks[i] = part.chunks[i];
        assert_int_equal(
            lort_archive_chunk(archive, &part, i, codec,
                               part.chunks[i].array >> 24 == LORT_ARRAY_BLOCKS ? NULL : planes,
                               bytes, NULL),
            LORT_OK);
        edit(&part, &chunks[i], bytes, chunks[i].decoded);
        lort_planes_split(bytes, planes, chunks[i].decoded,
                          right ? term->right_width : term->left_width,
                          right ? term->right_rotate : term->left_rotate);
        assert_int_equal(lort_codec_encode(codec, planes, chunks[i].decoded, coded, LORT_CHUNK_MAX,
                                           &stored, NULL),
                         LORT_OK);
        chunks[i].stored = (uint32_t)stored;
        chunks[i].offset = out->size - start;
        chunks[i].hash = lort_xxh64(coded, stored);
        lort_put_bytes(out, coded, stored);
        if (part.chunk_count == 1)
            part.source = lort_xxh128(bytes, chunks[i].decoded);
    }
    part.source.bytes[0] ^= number == wrong_source;
    part.chunks = chunks;
    part.payload_bytes = out->size - start;
    entry->record_offset = out->size;
    lort_part_put(&part, &body);
    assert_int_equal(lort_record_put(LORT_FRAME_PART, body.data, body.size, codec, &lort_alloc_heap,
                                     LORT_FRAME_BODY_MAX, out, NULL),
                     LORT_OK);
    entry->record_bytes = out->size - entry->record_offset;
    lort_buffer_free(&body);
    free(chunks);
    free(bytes);
    return part.source;
}

static inline void put_record(lort_frame_kind kind, lort_buffer *body, lort_codec *codec,
                              lort_buffer *out)
{
    assert_int_equal(lort_record_put(kind, body->data, body->size, codec, &lort_alloc_heap,
                                     LORT_FRAME_BODY_MAX, out, NULL),
                     LORT_OK);
    lort_buffer_free(body);
}

/* Writes INDEX and FOOTER, behind all parts. */
static inline void put_end(const lort_index_record *index, lort_footer *footer, lort_codec *codec,
                           lort_buffer *out)
{
    lort_buffer body = {.alloc = &lort_alloc_heap};
    footer->index_offset = out->size;
    lort_index_record_put(index, &body);
    put_record(LORT_FRAME_INDEX, &body, codec, out);
    footer->index_bytes = out->size - footer->index_offset;
    footer->file_size = out->size + LORT_FOOTER_BYTES;
    lort_footer_put(footer, &body);
    put_record(LORT_FRAME_FOOTER, &body, codec, out);
}

/* Writes a sound container `to` with the chunks of `from`, changed by `edit`. */
static inline void rewrite_container(const char *from, const char *to, edit_fn *edit)
{
    lort_archive *archive;
    lort_codec *codec;
    lort_error err = {0};
    lort_buffer body = {.alloc = &lort_alloc_heap}, out = {.alloc = &lort_alloc_heap};
    assert_code(lort_archive_open(tiny_path(dir, from), &lort_alloc_heap, &archive, &err), LORT_OK,
                &err);
    assert_int_equal(lort_codec_open(1, &codec, NULL), LORT_OK);
    lort_index_record index = *lort_archive_index(archive);
    lort_footer footer = {0};
    index.entries = calloc(index.count + 1, sizeof *index.entries);
    lort_hash128 *hashes = calloc(index.count + 1, sizeof *hashes);
    assert_true(index.entries && hashes);
    lort_head_put(lort_archive_head(archive), &body);
    put_record(LORT_FRAME_HEAD, &body, codec, &out);
    footer.model_offset = out.size;
    lort_model_record_put(lort_archive_model(archive), &body);
    put_record(LORT_FRAME_MODEL, &body, codec, &out);
    for (uint64_t i = 0; i < index.count; i++)
        hashes[i] = rewrite_part(archive, i, edit, codec, &out, &index.entries[i]);
    index.model = lort_xxh128(hashes, index.count * sizeof *hashes);
    put_end(&index, &footer, codec, &out);
    tiny_write_buffer(dir, to, &out);
    free(hashes);
    free(index.entries);
    lort_codec_close(codec);
    lort_archive_close(archive);
}

/* An edit: NaN into the last element of every right factor. */
static inline void poison_right(const lort_part *part, const lort_chunk *chunk, uint8_t *bytes,
                                uint64_t n)
{
    if (chunk->array >> 24 != LORT_ARRAY_RIGHT)
        return;
    bytes[n - 1] = 0x7f;
    bytes[n - 2] = 0xff; /* NaN in F16 and in BF16 */
}

#endif
