/* model_shards: which of the names of one folder are numbered sets of shards, which sets are whole,
 * and what lacks. It reads names only, and opens no file. */
#ifndef LORT_LOADER_MODEL_MODEL_SHARDS_H
#define LORT_LOADER_MODEL_MODEL_SHARDS_H

#include "formats/base/alloc.h"
#include "formats/inputs/numbered.h"

#define LORT_NO_SET UINT32_MAX

/* The names of one folder of the model. */
typedef struct lort_folder {
    const char *path; /* goes before each name: "" or "unet/" */
    const char *const *names;
    uint32_t count;
    const char *place; /* what a refusal names; NULL: the caller names it */
} lort_folder;

typedef struct lort_shard_set {
    const char *name;    /* of its first shard that is there */
    lort_numbered form;  /* of that name */
    uint32_t low, high;  /* a whole set has the shards low to high */
    uint32_t have, lack; /* shards that are there, and that are not */
    uint32_t at;         /* its first shard in members[] */
} lort_shard_set;

typedef struct lort_shard_sets {
    lort_folder folder;
    lort_shard_set *sets; /* by their first name in the folder */
    uint32_t count;
    uint32_t *members; /* places in folder.names, set after set, by number */
    uint32_t *set_of;  /* [folder.count]: the set of a name, or LORT_NO_SET */
    lort_arena arena;
} lort_shard_sets;

/* Finds the sets of a folder. folder: its names must stay where they are. On failure:
 * LORT_E_MEMORY, or LORT_E_INPUT for names that were made to collide; *out is zero. */
lort_code lort_shard_sets_find(const lort_folder *folder, const lort_alloc *alloc,
                               lort_shard_sets *out, lort_error *err);
/* Frees the sets and sets them to zero. sets: NULL is allowed. */
void lort_shard_sets_free(lort_shard_sets *sets);
/* The set to which a name belongs, or LORT_NO_SET. */
uint32_t lort_shard_sets_of(const lort_shard_sets *sets, const char *name);
/* The name of a member of a set, from 0, as the folder has it. */
const char *lort_shard_set_member(const lort_shard_sets *sets, const lort_shard_set *set,
                                  uint32_t number);
/* Fails with LORT_E_INPUT if shards of the set lack. The message names them, asks whether the
 * download is complete, and names a whole set of the folder, if there is one. */
lort_code lort_shard_set_check(const lort_shard_sets *sets, uint32_t set, lort_error *err);

/* A list of names in a message: as many as have room, then how many more there are. */
typedef struct lort_name_text {
    char text[400];
    uint32_t shown, more;
} lort_name_text;
void lort_name_text_add(lort_name_text *list, const char *name, uint32_t bytes);
/* The finished text. */
const char *lort_name_text_end(lort_name_text *list);
/* Fails: "LACK of ALL shards are missing: NAMES; is the download complete?". sets: a whole set of
 * them is named. index: the file that lists the shards, or NULL. */
lort_code lort_shards_refuse(const lort_shard_sets *sets, const char *index, uint32_t lack,
                             uint32_t all, lort_name_text *names, lort_error *err);

/* True if the name is that of an index.json of safetensors, such as "x.index.json" and
 * "x.index.fp16.json". The contents must be looked at too. */
bool lort_model_claims_index(const char *name);
/* True for an index of PyTorch's .bin files and the like. */
bool lort_model_foreign_index(const char *name);
bool lort_model_claims_weights(const char *name);
/* True if LoRT can find an index of this name in a directory. Other names must be named. */
bool lort_model_index_is_found(const char *name);

#endif
