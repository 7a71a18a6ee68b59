/* source_parts: what the files of loader/source share. No other room includes it.
 *
 *     source_name.c     the text of a MODEL argument -> lort_source_name
 *     source_places.c   variables of the environment, and the roots of caches
 *     source_list.c     the files of a directory of a cache
 *     source_whole.c    whether these files are a whole model
 *     source_tree.c     JSON of caches: trees/COMMIT.json, manifests of Ollama
 *     source_search.c   what a search found or lacks, and whether a directory is the model
 *     source_hub.c      the cache of Hugging Face
 *     source_folders.c  the caches of llama.cpp, LM Studio and ModelScope
 *     source_ollama.c   the store of Ollama
 *     source.c          the order of all these */
#ifndef LORT_LOADER_SOURCE_SOURCE_PARTS_H
#define LORT_LOADER_SOURCE_SOURCE_PARTS_H

#include "formats/base/plain_path.h"
#include "loader/model/model_shards.h"
#include "loader/os/os.h"
#include "loader/source/source.h"

/* ---- names (source_name.c) ---- */

#define LORT_NAME_PART_MAX 96u      /* bytes of ORG and of NAME (huggingface_hub, _validators.py) */
#define LORT_OLLAMA_PART_MAX 80u    /* bytes of each part (ollama, types/model/name.go) */
#define LORT_REVISION_MAX 255u      /* bytes of a branch or tag */
#define LORT_ENDPOINT_MAX 255u      /* bytes of HF_ENDPOINT */
#define LORT_ADDRESS_MAX 8192u      /* bytes of an address: signed ones are long */
#define LORT_SOURCE_PLACE_MAX 4096u /* bytes of a path of a cache, with the NUL */

typedef enum lort_source_form {
    LORT_FORM_PATH,
    LORT_FORM_HUB, /* hf:// or a pasted address: the user says that the Hub has it */
    LORT_FORM_URL,
    LORT_FORM_OLLAMA,
    LORT_FORM_BARE /* ORG/NAME */
} lort_source_form;

typedef struct lort_source_name {
    lort_source_form form;
    /* HUB and BARE */
    char endpoint[LORT_ENDPOINT_MAX + 1];
    char repository[2 * LORT_NAME_PART_MAX + 2]; /* "ORG/NAME" or "NAME" */
    char revision[LORT_REVISION_MAX + 1];        /* "main" if the text has none */
    bool revision_given;
    char file[LORT_PLAIN_PATH_MAX + 1]; /* "": none */
    /* OLLAMA */
    char host[LORT_OLLAMA_PART_MAX + 1], space[LORT_OLLAMA_PART_MAX + 1],
        model[LORT_OLLAMA_PART_MAX + 1], tag[LORT_OLLAMA_PART_MAX + 1];
} lort_source_name;

/* Reads the text. It opens no file. endpoint: the Hub's address without a last slash.
 * On failure: LORT_E_USAGE, which names the text and says what is allowed. */
lort_code lort_source_name_parse(const char *text, const char *endpoint, lort_source_name *out,
                                 lort_error *err);

/* ---- places (source_places.c) ---- */

/* A path as text. A path that does not fit in `text` sets cut. */
typedef struct lort_place {
    char text[LORT_SOURCE_PLACE_MAX];
    bool cut;
} lort_place;
void lort_place_set(lort_place *place, const char *format, ...) LORT_PRINTF(2, 3);
/* HF_ENDPOINT without its last slash, or the address of huggingface.co. */
void lort_source_endpoint(char out[LORT_ENDPOINT_MAX + 1]);
/* The value of a variable as a path, in which "~", "$NAME" and "${NAME}" are expanded. False if it
 * is not set, or empty. */
bool lort_place_variable(const char *variable, lort_place *out);
/* A path below the home directory. False without one. */
bool lort_place_home(const char *below, lort_place *out);
/* XDG_CACHE_HOME/below, else ~/.cache/below; on Windows also LOCALAPPDATA. */
bool lort_place_cache(const char *below, lort_place *out);
/* True if there is a directory, or a regular file. */
bool lort_place_is_dir(const char *path);
bool lort_place_is_file(const char *path, uint64_t *size);

/* ---- a search (source_search.c) ---- */

typedef struct lort_search {
    const char *text; /* as the user wrote it */
    const lort_source_name *name;
    const lort_alloc *alloc;
    bool offline;
    lort_source *out;
    bool found;       /* out is filled */
    bool lacking;     /* a cache has a part of the model only */
    char lack[700];   /* what lacks */
    char places[512]; /* that were looked at, escaped */
} lort_search;

/* Adds a place to the list of places. what: such as "Hugging Face cache". */
void lort_search_looked(lort_search *search, const char *what, const char *path);
/* Copies text into memory of the source. text: NULL gives NULL. */
lort_code lort_search_keep(const lort_search *search, const char *text, char **out,
                           lort_error *err);
/* The model is at `path`. how: for the log, such as "Ollama". */
lort_code lort_search_take(lort_search *search, const char *path, const char *how, lort_error *err);

/* ---- files of a cache (source_list.c) ---- */

typedef struct lort_cached_folder {
    struct lort_cached_folder *next;
    const char *path;   /* "" or "unet/" */
    const char **names; /* of regular files and links to them, sorted */
    uint64_t *sizes;
    uint32_t count;
} lort_cached_folder;
typedef struct lort_cached {
    lort_arena arena;
    lort_cached_folder *first, **last;
    uint32_t files, folders;
} lort_cached;

/* Files that no reader may open: parts of downloads, and notes of them. */
bool lort_source_is_partial(const char *name);
typedef struct lort_cached_filter {
    const char *only;   /* links elsewhere may lead to nothing; they are left out. NULL: none may */
    const char *prefix; /* files of the directory itself with this prefix only; NULL: all files */
} lort_cached_filter;
/* Lists a directory and the folders below it, without such files and without hidden names.
 * root: the real path of every file must lie below it; NULL: anywhere.
 * On failure: LORT_E_INPUT for a link that leads to nothing or out of the root, or for too many
 * files. Free *out in either case. */
lort_code lort_cached_list(const char *directory, const char *root,
                           const lort_cached_filter *filter, const lort_alloc *alloc,
                           lort_cached *out, lort_error *err);
void lort_cached_free(lort_cached *cached);
/* The size of a file of the list. path: below its directory. False if it is not there. */
bool lort_cached_find(const lort_cached *cached, const char *path, uint64_t *size);

/* ---- JSON of caches (source_tree.c) ---- */

#define LORT_TREE_JSON_MAX (64u << 20)    /* bytes: 200,000 files with hashes take 40 MB */
#define LORT_MANIFEST_JSON_MAX (1u << 20) /* bytes; those of Ollama have about 1 kB */

typedef struct lort_source_tree_file {
    const char *path; /* a plain path */
    uint64_t size;
} lort_source_tree_file;
typedef struct lort_source_tree {
    lort_arena arena;
    lort_source_tree_file *files;
    uint32_t count;
} lort_source_tree;
/* Parses trees/COMMIT.json of huggingface_hub, format 1. A path that is not plain is a failure.
 * On failure: LORT_E_INPUT or LORT_E_MEMORY; *out is zero. */
lort_code lort_source_tree_parse(const void *data, uint64_t size, const lort_alloc *alloc,
                                 lort_source_tree *out, lort_error *err);
void lort_source_tree_free(lort_source_tree *tree); /* zeros are allowed */

typedef struct lort_manifest {
    char digest[65]; /* of the weights: 64 hexadecimal digits in lower case */
    uint64_t size;
} lort_manifest;
/* Parses a manifest of Ollama. On failure: LORT_E_INPUT, also for one without weights, with several
 * weights, or with one tensor a blob. */
lort_code lort_manifest_parse(const void *data, uint64_t size, lort_manifest *out, lort_error *err);

/* Reads a whole file of at most `most` bytes. Owner: the caller gives *size bytes back.
 * On failure: the codes of lort_os_open; *out is NULL. */
lort_code lort_source_read(const char *path, uint64_t most, const lort_alloc *alloc, void **out,
                           uint64_t *size, lort_error *err);

/* ---- whole models (source_whole.c) ---- */

typedef struct lort_whole {
    const char *directory; /* whose files `cached` lists */
    const lort_cached *cached;
    const lort_source_tree *tree; /* NULL: none */
    const char *below;            /* the directory in the tree: "" or "FOLDER/" */
    const lort_alloc *alloc;
} lort_whole;
/* True if a file of the list has a name of weights or of a container. */
bool lort_whole_has_weights(const lort_cached *cached);
/* Counts the models of GGUF files, of which a numbered set is one. 1 if there are safetensors too:
 * then the rules of a directory decide. names: gets the first file of each. */
lort_code lort_whole_models(const lort_cached *cached, const lort_alloc *alloc, uint32_t *count,
                            lort_name_text *names, lort_error *err);
/* Fails with LORT_E_INPUT if files of the model lack. The message names them. */
lort_code lort_whole_check(const lort_whole *whole, lort_error *err);
/* The same for one file: its numbered set must be whole. path: below the directory. */
lort_code lort_whole_check_file(const lort_whole *whole, const char *path, lort_error *err);

/* ---- caches ---- */

/* A directory that may be the model. */
typedef struct lort_candidate {
    const char *directory;
    const char *root;             /* of lort_cached_list */
    const lort_source_tree *tree; /* NULL: none */
    const char *what;             /* the cache, such as "LM Studio" */
    const char *how;              /* for the log */
} lort_candidate;
/* Takes the directory, or the file of search->name in it, if it is whole. Else sets
 * search->lacking, or neither if no weights are there. On failure: LORT_E_USAGE for several models,
 * and the codes of lort_cached_list. */
lort_code lort_search_directory(lort_search *search, const lort_candidate *candidate,
                                lort_error *err);
/* Notes what lacks: a failure of lort_whole_check. Other failures stay. */
lort_code lort_search_lacks(lort_search *search, lort_code code, lort_error *err);
/* Fails: several models. names: of their files. */
lort_code lort_search_ambiguous(const lort_search *search, lort_name_text *names, lort_error *err);

/* Each looks for the model of search->name, and sets search->found or search->lacking. On failure:
 * the codes of lort_source_find. */
lort_code lort_search_hub(lort_search *search, lort_error *err);
lort_code lort_search_llama(lort_search *search, lort_error *err);
lort_code lort_search_lm_studio(lort_search *search, lort_error *err);
lort_code lort_search_model_scope(lort_search *search, lort_error *err);
lort_code lort_search_ollama(lort_search *search, lort_error *err);

#endif
