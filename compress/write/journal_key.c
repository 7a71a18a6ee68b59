/* journal_key: see journal_key.h. The key has these lines:
 *
 *   algorithm  TAB version               size of NAME    TAB bytes
 *   libraries  TAB versions              header of NAME  TAB XXH3-128
 *   option     TAB one option, ...       time of NAME    TAB mtime, ctime, device, inode
 *   file N     TAB NAME
 *   task       TAB I/N, of a task         sample of NAME  TAB XXH3-128, of a task
 *
 * A file from the network has "version of NAME TAB commit, ETag" in place of the times.
 *
 * Times are in ns. A program can set an mtime back, so LoRT also looks at the ctime. Device and
 * inode tell a file from another one that was moved to its place with all its times.
 *
 * Times have a grain: two changes within it leave the same ctime. A file that was changed just
 * before the run is in doubt. Its line then ends with the time of the run, so no other key has the
 * same line, and the next run compares contents. */
#include "compress/write/journal_key.h"
#include "compress/session/versions.h"
#include "compress/task/keys.h"
#include "formats/base/bytes.h"
#include "formats/base/plain_path.h"
#include "loader/os/os.h"
#include <stdio.h>
#include <string.h>

#define HASH_PIECE (64u << 10)
#define SAMPLES 32
#define SAMPLE_BYTES 512u
/* The coarsest grain of file times in use: FAT has 2 s for an mtime; local Linux file systems have
 * 1 to 10 ms for a ctime. */
#define GRAIN_NS 2000000000

/* A file of the input, as a key tells it. */
typedef struct key_file {
    const char *name;
    uint64_t size, device, inode;
    int64_t mtime_ns, ctime_ns;
    const char *identity; /* NULL: the numbers above tell the file */
} key_file;

/* The files of one input. */
typedef struct key_set {
    const lort_input *input;
    const lort_alloc *alloc;
    const char *label; /* before their names */
    bool samples;      /* tell weights by a sample: a task's times are those of its host */
    uint32_t first;    /* number of the first file */
} key_set;

/* XXH3-128 of the bytes before the data of a weight file, or of a whole file of another role. */
static lort_code hash_header(lort_model *model, uint32_t number, lort_hasher *hasher, void *scratch,
                             lort_error *err)
{
    const lort_model_file *file = lort_model_get_file(model, number);
    const uint64_t bytes = file->role == LORT_ROLE_WEIGHTS ? file->header.header_bytes : file->size;
    lort_code code = lort_model_hash(model, number, 0, bytes, scratch, HASH_PIECE, hasher, err);
    return code ? code : lort_model_check(model, number, err);
}

/* XXH3-128 of SAMPLES places, spread over the data of a weight file. Two models of one shape, such
 * as two fine-tunes, differ in it. */
static lort_code hash_samples(lort_model *model, uint32_t number, lort_hasher *hasher,
                              void *scratch, lort_error *err)
{
    const lort_model_file *file = lort_model_get_file(model, number);
    const uint64_t from = file->header.header_bytes, room = file->size - from,
                   each = room < SAMPLE_BYTES ? room : SAMPLE_BYTES;
    lort_code code = LORT_OK;
    for (uint64_t i = 0; i < SAMPLES && code == LORT_OK; i++)
        code = lort_model_hash(model, number, from + (room - each) / (SAMPLES - 1) * i, each,
                               scratch, HASH_PIECE, hasher, err);
    return code ? code : lort_model_check(model, number, err);
}

static void put_hash(const char *label, const char *name, lort_hash128 hash, lort_buffer *key)
{
    lort_put_text(key, "%s%s\t%016llx%016llx\n", label, name,
                  (unsigned long long)lort_load_u64(hash.bytes),
                  (unsigned long long)lort_load_u64(hash.bytes + 8));
}

/* Of a file from the network the version tells all. */
static lort_code put_sample(lort_model *model, uint32_t number, const char *name,
                            const lort_alloc *alloc, void *scratch, lort_buffer *key,
                            lort_error *err)
{
    const lort_model_file *file = lort_model_get_file(model, number);
    char shown[600];
    lort_hasher *hasher;
    if (file->role != LORT_ROLE_WEIGHTS || file->identity)
        return LORT_OK;
    lort_code code = lort_hasher_open(alloc, &hasher, err);
    if (code == LORT_OK)
        code = hash_samples(model, number, hasher, scratch, err);
    if (code == LORT_OK)
        put_hash("sample of ", lort_escape_text(shown, sizeof shown, name),
                 lort_hasher_value(hasher), key);
    lort_hasher_close(hasher);
    return code;
}

/* The hashes of all chunks tell a container: reading checks each chunk against its hash. */
static void hash_chunks(const lort_archive *archive, lort_hasher *hasher)
{
    for (uint64_t i = 0; i < lort_archive_count(archive); i++) {
        const lort_part *part = lort_archive_part(archive, i);
        lort_hasher_add(hasher, part->source.bytes, sizeof part->source.bytes);
        for (uint64_t c = 0; c < part->chunk_count; c++) {
            uint8_t hash[8];
            lort_store_u64(hash, part->chunks[c].hash);
            lort_hasher_add(hasher, hash, sizeof hash);
        }
    }
}

/* now: the time of day in ns. A clock of a file server that is behind ours by more than the grain
 * is not noticed; one that is ahead puts files in doubt. */
static void put_identity(const key_file *file, const char *name, int64_t now, lort_buffer *key)
{
    char shown[300];
    if (file->identity) {
        lort_put_text(key, "version of %s\t%s\n", name,
                      lort_escape_text(shown, sizeof shown, file->identity));
        return;
    }
    const int64_t changed = file->ctime_ns > file->mtime_ns ? file->ctime_ns : file->mtime_ns;
    lort_put_text(key, LORT_KEY_TIME "%s\t%lld %lld %llu %llu", name, (long long)file->mtime_ns,
                  (long long)file->ctime_ns, (unsigned long long)file->device,
                  (unsigned long long)file->inode);
    if (changed >= now - GRAIN_NS)
        lort_put_text(key, " in doubt at %lld", (long long)now);
    lort_put_text(key, "\n");
}

static void put_file(const key_file *file, uint32_t number, lort_hash128 hash, lort_buffer *key)
{
    char name[600];
    lort_escape_text(name, sizeof name, file->name);
    lort_put_text(key, "file %u\t%s\nsize of %s\t%llu\n", number, name, name,
                  (unsigned long long)file->size);
    put_hash("header of ", name, hash, key);
    put_identity(file, name, lort_os_time_ns(), key);
}

/* A file of the base has "base " before its name. */
#define KEY_NAME (LORT_PLAIN_PATH_MAX + 8)
static const char *key_name(const key_set *set, const char *name, char out[KEY_NAME])
{
    snprintf(out, KEY_NAME, "%s%s", set->label, name);
    return out;
}

static lort_code put_model_file(const key_set *set, uint32_t number, void *scratch,
                                lort_buffer *key, lort_error *err)
{
    const lort_model_file *f = lort_model_get_file(set->input->model, number);
    char name[KEY_NAME];
    const key_file file = {key_name(set, f->name, name),
                           f->size,
                           f->device,
                           f->inode,
                           f->mtime_ns,
                           f->ctime_ns,
                           f->identity};
    lort_hasher *hasher;
    lort_code code = lort_hasher_open(set->alloc, &hasher, err);
    if (code == LORT_OK)
        code = hash_header(set->input->model, number, hasher, scratch, err);
    if (code == LORT_OK)
        put_file(&file, set->first + number, lort_hasher_value(hasher), key);
    lort_hasher_close(hasher);
    if (code == LORT_OK && set->samples)
        code = put_sample(set->input->model, number, file.name, set->alloc, scratch, key, err);
    return code;
}

static lort_code put_model(const key_set *set, lort_buffer *key, lort_error *err)
{
    void *scratch;
    lort_code code = lort_take(set->alloc, HASH_PIECE, "reading headers", &scratch, err);
    if (code)
        return code;
    for (uint32_t i = 0; i < lort_model_file_count(set->input->model) && code == LORT_OK; i++)
        code = put_model_file(set, i, scratch, key, err);
    lort_give(set->alloc, scratch, HASH_PIECE);
    return code;
}

static lort_code put_archive(const key_set *set, lort_buffer *key, lort_error *err)
{
    const lort_archive *archive = set->input->archive;
    char name[KEY_NAME];
    const lort_file_info *f = lort_archive_info(archive);
    const key_file file = {key_name(set, lort_os_base_name(lort_archive_path(archive)), name),
                           f->size,
                           f->device,
                           f->inode,
                           f->mtime_ns,
                           f->ctime_ns,
                           NULL};
    lort_hasher *hasher;
    lort_code code = lort_hasher_open(set->alloc, &hasher, err);
    if (code)
        return code;
    hash_chunks(archive, hasher);
    put_file(&file, set->first, lort_hasher_value(hasher), key);
    lort_hasher_close(hasher);
    return LORT_OK;
}

/* One line for each option, so that a message can name the first one that differs. */
static void put_options(const lort_buffer *words, lort_buffer *key)
{
    for (uint64_t at = 0, n; at < words->size; at += n + 1) {
        const uint8_t *end = memchr(words->data + at, ' ', words->size - at);
        n = (end ? (uint64_t)(end - words->data) : words->size) - at;
        lort_put_text(key, "option\t");
        lort_put_bytes(key, words->data + at, n);
        lort_put_text(key, "\n");
    }
}

static lort_code put_input(const key_set *set, lort_buffer *key, lort_error *err)
{
    return set->input->archive ? put_archive(set, key, err) : put_model(set, key, err);
}

lort_code lort_journal_key(const lort_journal_run *run, lort_buffer *key, lort_error *err)
{
    char libraries[LORT_LIBRARIES_TEXT];
    lort_library_versions(run->products, libraries, sizeof libraries);
    lort_put_text(key, "algorithm\t%d\nlibraries\t%s\n", LORT_ALGORITHM, libraries);
    put_options(run->options, key);
    if (run->tasks)
        lort_put_text(key, LORT_KEY_TASK "\t%u/%u\n", run->task, run->tasks);
    const bool samples = run->tasks != 0;
    lort_code code =
        put_input(&(key_set){run->input, &run->session->alloc, "", samples, 0}, key, err);
    if (code == LORT_OK && run->base)
        code = put_input(&(key_set){run->base, &run->session->alloc, "base ", samples,
                                    lort_model_file_count(run->input->model)},
                         key, err);
    return code ? code : lort_buffer_check(key, err);
}
