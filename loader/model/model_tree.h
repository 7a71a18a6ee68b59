/* model_tree: what lies in the directory of a model, before LoRT chooses. The files model_find.c,
 * model_tree.c, model_forms.c, model_side.c and model_names.c share it. No other room includes it.
 *
 *     model_tree.c    names of the directory, its folders and theirs     -> lort_tree
 *     model_find.c    which folders are the model, and which must be there
 *     model_names.c   what a name alone says: a copy in a framework, a hidden file, an index
 *     model_forms.c   the weights of each folder, of which one form is taken
 *     model_side.c    the other files, and the words about what is left out */
#ifndef LORT_LOADER_MODEL_MODEL_TREE_H
#define LORT_LOADER_MODEL_MODEL_TREE_H

#include "formats/base/names.h"
#include "loader/model/model_parts.h"
#include "loader/model/model_shards.h"

/* Most files and folders of a directory. Together with the depth of a path they bound the walk. */
#define LORT_TREE_FILES_MOST 200000u
#define LORT_TREE_FOLDERS_MOST 20000u

/* What a file holds, by its contents first. */
typedef enum lort_found_kind {
    LORT_FOUND_SIDE,
    LORT_FOUND_INDEX,
    LORT_FOUND_SAFETENSORS,
    LORT_FOUND_GGUF,
    LORT_FOUND_KINDS
} lort_found_kind;

/* What the name of a file or folder says. A folder hands its class down. */
typedef enum lort_name_class {
    LORT_NAME_PLAIN,
    LORT_NAME_COPY,   /* the weights in another framework, such as pytorch_model.bin or onnx/ */
    LORT_NAME_HIDDEN, /* a leading dot, but for .gitattributes */
    LORT_NAME_NEVER   /* .git and .cache: no part of a model */
} lort_name_class;

typedef struct lort_found {
    struct lort_found *next;
    const char *path; /* below the model's directory */
    lort_found_kind kind;
    lort_name_class name_class;
    bool lists_shards; /* SIDE only: the contents of an index.json under another name */
    bool left;         /* weights or an index that is left out */
    bool looked;       /* LoRT has read its head */
    bool container;    /* looked: it begins as a container of LoRT */
    uint64_t size;
    uint32_t form; /* place in the forms of its folder; UINT32_MAX: none */
} lort_found;

typedef struct lort_found_folder {
    struct lort_found_folder *next;
    const char *path; /* "" is the model's directory itself */
    lort_name_class name_class;
    struct lort_found_folder *top; /* the uppermost folder of this class; NULL for PLAIN */
    lort_found *first, **last;
    unsigned counts[LORT_FOUND_KINDS];
    bool filled;                     /* the disk has a name in it, of whatever kind */
    uint64_t left_files, left_bytes; /* of a `top` folder: what is left out below it */
} lort_found_folder;

/* Why files are left out that stand together in one line. */
typedef enum lort_left {
    LORT_LEFT_FORM,
    LORT_LEFT_COPY,
    LORT_LEFT_HIDDEN,
    LORT_LEFT_OUTPUT,
    LORT_LEFT_NEVER,
    LORT_LEFTS
} lort_left;
typedef struct lort_left_list {
    lort_name_text names;
    uint64_t files, bytes;
} lort_left_list;

typedef struct lort_tree {
    lort_model *model;
    const lort_model_options *options;
    lort_found_folder *first, **last; /* the model's directory first, then level by level */
    lort_names by_path;               /* folders, with their numbers */
    lort_found_folder **folders;      /* by number */
    uint32_t folder_count, folder_room, file_count;
    lort_left_list left[LORT_LEFTS];
    lort_name_text taken, forms; /* names of the forms that are taken, and of all */
    bool chosen;                 /* a form is the one that options->weights names */
} lort_tree;

/* ---- model_names.c ---- */

lort_name_class lort_name_tell(const char *name, bool folder);
/* A pickle with weights, such as pytorch_model.bin. */
bool lort_name_is_pickle(const char *name);
/* A folder of another save of the model beside it, such as checkpoint-500. */
bool lort_name_is_save(const char *name);
/* The path leads through such a folder. */
bool lort_name_in_save(const char *path);
/* Files and directories that LoRT puts beside an output for a while. */
bool lort_name_is_temporary(const char *name);
/* How many names the path has. */
unsigned lort_name_depth(const char *path);
/* Says which rule of docs/FORMAT.md, section 5, the last name of the path breaks, or the path. */
void lort_name_fault(const char *path, char *out, uint64_t cap);
/* Unfinished files of LoRT itself, or of a download. */
bool lort_name_is_unfinished(const char *name);

/* ---- model_tree.c ---- */

void lort_tree_free(lort_tree *tree);
/* Lists the files and folders of the model's directory, or of its source. On failure also:
 * LORT_E_INPUT for the root of a Hugging Face cache. */
lort_code lort_tree_list(lort_tree *tree, lort_error *err);
/* The folder of this path; NULL: none. */
lort_found_folder *lort_tree_folder(const lort_tree *tree, const char *path);

/* ---- model_forms.c ---- */

/* Adds the weights of a folder to the model. Of several forms it takes one, and leaves out the
 * others. On failure: LORT_E_USAGE if no rule says which one. */
lort_code lort_forms_add(lort_tree *tree, lort_found_folder *folder, lort_error *err);

/* ---- model_side.c ---- */

/* Adds a file to a line about what is left out. */
void lort_left_add(lort_tree *tree, lort_left why, const char *path, uint64_t files,
                   uint64_t bytes);
/* Warns that one file is left out, for a reason of its own. */
void lort_left_warn(lort_tree *tree, const char *path, uint64_t bytes, const char *format, ...)
    LORT_PRINTF(4, 5);
/* Adds the side files to the model, or leaves them out. Then says what is left out. */
lort_code lort_side_add(lort_tree *tree, lort_error *err);
/* Says which files beside a single weight file are not taken. */
void lort_side_note(lort_model *model, const char *name);

#endif
