/* model_parts: owns the types and functions that the model*.c files share. No other room includes
 * it. */
#ifndef LORT_LOADER_MODEL_MODEL_PARTS_H
#define LORT_LOADER_MODEL_MODEL_PARTS_H

#include "formats/inputs/shards.h"
#include "loader/model/model.h"
#include "loader/model/model_shards.h"

#define LORT_INDEX_MAX (1u << 30) /* bytes of an index.json */

typedef struct lort_model_entry {
    lort_model_file shown; /* its name is the plain one */
    const char *name;      /* on the disk, or of the source */
    lort_file *file;       /* NULL: closed; readers open it again */
    lort_file_info info;
    lort_map *map;        /* NULL: empty, or could not be mapped */
    uint8_t *loaded;      /* full mode: the bytes in memory, from byte loaded_from on */
    uint64_t loaded_from; /* 0, but where a run needs only the rest of the file, or a part of it */
    uint64_t loaded_to;   /* likewise; the size of the file */
    uint32_t supplied;    /* the number of the file at the supply */
    uint8_t *head;        /* unmapped files and files of a source: the header bytes */
    uint64_t head_bytes;
} lort_model_entry;

/* Reading ahead: a thread that brings the bytes of the files into the page cache, in file order.
 * Positions count all files as one. */
typedef struct lort_model_ahead {
    lort_thread *thread; /* NULL: not started yet */
    lort_mutex *lock;
    lort_cond *wake;
    uint64_t at, end;        /* the rest of the range that is being read */
    uint64_t next, next_end; /* the range after it */
    uint64_t most;           /* most bytes of a range; 0: LORT_AHEAD_MOST */
    bool closing, refused;
} lort_model_ahead;

/* An index.json and its list. Its shards follow it in the list of files. */
typedef struct lort_model_shards {
    struct lort_model_shards *next;
    uint32_t file; /* number of the index.json */
    lort_shard_list list;
} lort_model_shards;

#define LORT_MODEL_HEAD LORT_FORMAT_HEAD /* bytes that tell what a file is */

typedef struct lort_model_note {
    struct lort_model_note *next;
    const char *text;
} lort_model_note;

struct lort_model {
    const lort_alloc *alloc;
    const lort_alloc *load_alloc;
    lort_arena arena;
    const char *path;
    lort_dir *dir;
    const lort_model_source *source; /* NULL: the files lie in `dir` */
    /* A load must bring the bytes of the extents from `needed` on; run_only: up to needed_end. */
    uint64_t needed, needed_end;
    bool run_only;
    lort_model_entry *files;
    uint32_t file_count, file_room, open_count;
    bool directory;
    uint32_t lead; /* `_` in front of names that are made plain, so that no name comes twice */
    bool watch;    /* a new ctime is a failure */
    _Atomic bool touched;            /* it was one */
    lort_model_shards *indexes;      /* the last one first; NULL: none */
    uint64_t left_files, left_bytes; /* what is left out */
    lort_index index;
    lort_extent *extents;
    uint64_t *extent_tensor;
    uint64_t extent_count;
    lort_model_ahead ahead;
    bool (*stop)(void *ctx);
    void *stop_ctx;
    lort_warn_fn *warn;
    void *warn_ctx;
    lort_model_note *held; /* warnings that wait for lort_model_say, the last one first */
};

/* True if the files are those that a container restores. */
static inline bool lort_model_is_stored(const lort_model *model)
{
    return model->source && !model->source->supply;
}
/* What brings the bytes of the files; NULL: they lie on a disk or in a container. */
static inline const lort_model_supply *lort_model_supply_of(const lort_model *model)
{
    return model->source ? model->source->supply : NULL;
}

void lort_model_warn(lort_model *model, const char *format, ...) LORT_PRINTF(2, 3);
/* Keeps a warning for lort_model_say: words about files that are left out come after errors. */
void lort_model_hold(lort_model *model, const char *format, ...) LORT_PRINTF(2, 3);
/* Opens a closed file again. On failure: LORT_E_READ if it is not the same file any more, or has
 * another ctime while LoRT watches. The caller closes *out. */
lort_code lort_model_open_again(lort_model *model, const lort_model_entry *entry, lort_file **out,
                                lort_error *err);
/* Copies the entry's size, identity and times to what callers see. */
void lort_model_show_info(lort_model_entry *entry);
/* Enters the folder of n bytes at `path` below the model's directory, one name at a time, without
 * following a link. *out: the caller closes it; NULL if n is 0. On failure: the codes of
 * lort_os_stat. */
lort_code lort_model_enter(lort_model *model, const char *path, uint32_t n, lort_dir **out,
                           lort_error *err);
/* Opens the file of a path below the model's directory. On failure: as lort_os_open. */
lort_code lort_model_open_path(lort_model *model, const char *path, lort_file **out,
                               lort_error *err);
/* Reads the first LORT_MODEL_HEAD bytes of a file that is not in the model yet, or fewer: *n. */
lort_code lort_model_read_head(lort_model *model, const char *path, uint8_t *head, uint64_t *n,
                               uint64_t *size, lort_error *err);
/* Reads the first n bytes of such a file. */
lort_code lort_model_read_whole(lort_model *model, const char *path, void *buffer, uint64_t n,
                                lort_error *err);
/* Takes back the files from number `first` on, and their indexes. */
void lort_model_drop(lort_model *model, uint32_t first);
/* True if LoRT can give the file `name` a plain name that no other file of the directory has, with
 * `lead` times `_` in front. */
bool lort_model_name_is_free(const lort_model *model, const char *name, uint32_t lead);
/* Opens and maps the file of a path below the model's directory and appends it. Parses the header
 * of weights. Gives another name to a file whose name is not plain, and to an
 * index that LoRT would not find in the restored directory. */
lort_code lort_model_add(lort_model *model, const char *path, lort_role role, lort_error *err);
/* Lists the names of the model's directory, or of its source, into the arena of the model. */
lort_code lort_model_names(lort_model *model, lort_folder *out, lort_error *err);
/* Sets *is to true if the file is an index.json by its contents. Reads the whole file only if it
 * may be one and the key stands late. head: its first n bytes. On failure: as lort_os_read. */
lort_code lort_model_tell_index(lort_model *model, const char *name, const uint8_t *head,
                                uint64_t n, uint64_t size, bool *is, lort_error *err);
/* Adds an index.json of the folder, and the shards that it names. On failure: LORT_E_INPUT, with
 * the names of the shards that the folder lacks. */
lort_code lort_model_add_index(lort_model *model, const lort_folder *folder, const char *name,
                               lort_error *err);
/* Adds the shards of a set, by number. On failure: as lort_shard_set_check. */
lort_code lort_model_add_set(lort_model *model, const lort_shard_sets *sets, uint32_t number,
                             lort_error *err);
/* Adds a weight file that is no shard of a set. On failure: LORT_E_INPUT if its header says that it
 * is one. */
lort_code lort_model_add_single(lort_model *model, const char *path, lort_error *err);
/* Finds and adds every file behind the path. */
lort_code lort_model_find(lort_model *model, const char *path, const lort_model_options *options,
                          lort_error *err);
/* The same for a source with a supply. name: a file; NULL: all files are a directory. */
lort_code lort_model_find_supplied(lort_model *model, const char *name,
                                   const lort_model_options *options, lort_error *err);
/* The same for the source. directory: name is the index.json of the model, or NULL. */
lort_code lort_model_find_source(lort_model *model, const char *name, bool directory,
                                 lort_error *err);
/* Warns once for each type of which tensors are kept, since LoRT does not know the type. */
void lort_model_warn_opaque(lort_model *model);
/* code: of a failure to add the file. If the name or the bytes behind the data tell more than the
 * failure does, *err gets another message. Both return `code`. explain_piece: one piece of a file
 * that was cut, such as "x.gguf.part1of2". explain_glued: shards that were joined with cat; file:
 * its number in the model. */
lort_code lort_model_explain_piece(const char *name, lort_code code, lort_error *err);
lort_code lort_model_explain_glued(lort_model *model, uint32_t file, lort_code code,
                                   lort_error *err);
/* Merges the indexes of the files, checks shards against each other, lists extents. */
lort_code lort_model_merge(lort_model *model, lort_error *err);

/* Asks to read [start_at, end) after the range that was asked for last. If the new range follows
 * that one or overlaps it, both become one range. Otherwise LoRT gives up the rest of the range
 * before that one. Starts the thread; if that fails, LoRT reads nothing ahead. Threads: one thread
 * asks. */
void lort_model_ahead_ask(lort_model *model, uint64_t start_at, uint64_t end);
/* Tells that nobody wants [start_at, end) any more. */
void lort_model_ahead_pass(lort_model *model, uint64_t start_at, uint64_t end);
/* Ends the thread. A later lort_model_ahead_ask starts another one. */
void lort_model_ahead_close(lort_model *model);

#endif
