/* model_forms: the weights of one folder, and which of several forms of them LoRT takes.
 *
 * A form is an index with its shards, a numbered set without an index, or a single file. LoRT goes
 * through the forms in this order, and takes a form whose tensors are all new:
 *
 *     the one that the user names
 *     model*, then others, then consolidated*; of GGUF after all of safetensors
 *     plain names before variants such as model.fp16.safetensors
 *     an index before a numbered set, and that before a single file
 *
 * A form that repeats a tensor is another form of the same weights, and is left out. The tensors of
 * consolidated* have other names than those of model*. There the sizes tell. */
#include "formats/base/plain_path.h"
#include "formats/base/text.h"
#include "loader/model/model_tree.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_FORM UINT32_MAX
/* Two forms of one model differ in size by at most this factor: F32 against 8 bits. */
#define SIZES_APART 4

typedef enum rank {
    RANK_NAMED,  /* by the user */
    RANK_MODEL,  /* model, diffusion_pytorch_model */
    RANK_MODELS, /* model* */
    RANK_OTHER,
    RANK_CONSOLIDATED,
    RANK_GGUF
} rank;

typedef enum shape { SHAPE_INDEX, SHAPE_SET, SHAPE_FILE } shape;

typedef struct form {
    rank rank;
    shape shape;
    bool variant;
    bool consolidated; /* also if the user names it */
    bool gguf;
    const char *path; /* of the index, or of its first file */
    char stem[LORT_PLAIN_NAME_MAX + 1];
    char full[LORT_PLAIN_NAME_MAX + 34]; /* stem and variant: "model.fp16" */
    char word[32];                       /* of the variant */
    lort_found *index;                   /* NULL: none */
    uint32_t set;                        /* its numbered set; LORT_NO_SET: none */
    uint32_t number;                     /* before the forms were sorted: lort_found.form */
    uint64_t bytes, files;
    uint32_t first_file, end_file; /* taken: its files of the model */
} form;

typedef struct chooser {
    lort_tree *tree;
    lort_found_folder *folder;
    lort_arena arena;
    form *forms;
    uint32_t count;
    lort_folder all;    /* base names of all files */
    const char **names; /* base names of the weights that no index lists */
    lort_found **of_name;
    lort_shard_sets sets;
    lort_names tensors; /* of the forms that are taken, with the place of the form */
    lort_names files;   /* paths of the files that are taken */
    uint64_t taken_bytes;
    const form *taken; /* the first one */
    bool said;         /* its name is among the names of the forms that are taken */
} chooser;

/* ---- names ---- */

/* Splits "model.fp16" into stem and variant. A version such as "llama-3.1" is no variant. */
static void split_variant(form *f)
{
    char *dot = strrchr(f->stem, '.');
    const char c = dot ? dot[1] : 0;
    if (!dot || dot == f->stem || !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
        return;
    snprintf(f->word, sizeof f->word, "%s", dot + 1);
    *dot = 0;
    f->variant = true;
}

static void cut_end(char *text, const char *end)
{
    if (lort_text_ends(text, end))
        text[strlen(text) - strlen(end)] = 0;
}

/* "x.safetensors.index.fp16.json" gives the stem "x" and the variant "fp16". */
static void name_index(form *f)
{
    char *mark;
    cut_end(f->stem, ".json");
    mark = strstr(f->stem, ".index");
    if (mark && mark[6] == '.') {
        snprintf(f->word, sizeof f->word, "%s", mark + 7);
        f->variant = true;
    }
    if (mark)
        *mark = 0;
    cut_end(f->stem, ".safetensors");
}

static void name_form(form *f)
{
    const char *base = lort_path_base(f->path);
    lort_numbered number;
    snprintf(f->stem, sizeof f->stem, "%s", base);
    if (f->index)
        name_index(f);
    else if (f->set != LORT_NO_SET && lort_numbered_parse(base, &number))
        snprintf(f->stem, sizeof f->stem, "%.*s%s", (int)number.prefix_bytes, base,
                 lort_numbered_rest(base, &number));
    cut_end(f->stem, ".safetensors");
    cut_end(f->stem, ".gguf");
    cut_end(f->stem, "-");
    if (!f->variant && !f->gguf)
        split_variant(f);
    cut_end(f->stem, "-");
    snprintf(f->full, sizeof f->full, "%s%s%s", f->stem, f->variant ? "." : "", f->word);
    f->consolidated = strncmp(f->stem, "consolidated", 12) == 0;
    f->rank = f->gguf                             ? RANK_GGUF
              : f->consolidated                   ? RANK_CONSOLIDATED
              : strcmp(f->stem, "model") == 0     ? RANK_MODEL
              : strstr(f->stem, "pytorch_model")  ? RANK_MODEL
              : strncmp(f->stem, "model", 5) == 0 ? RANK_MODELS
                                                  : RANK_OTHER;
}

/* True if the user names this path, its last name, the stem or the variant. */
static bool is_named(const char *name, const char *path)
{
    return strcmp(name, path) == 0 || strcmp(name, lort_path_base(path)) == 0;
}

static void mark_named(const chooser *c, form *f)
{
    const char *name = c->tree->options->weights;
    const size_t n = strlen(c->all.path); /* "unet/" in front of a stem */
    const char *below = name && strncmp(name, c->all.path, n) == 0 ? name + n : name;
    bool named =
        name && (is_named(name, f->path) || strcmp(below, f->stem) == 0 ||
                 strcmp(below, f->full) == 0 || (f->variant && strcmp(below, f->word) == 0));
    for (const lort_found *one = c->folder->first; one && name && !named; one = one->next)
        named = one->form == f->number && is_named(name, one->path);
    if (!named)
        return;
    f->rank = RANK_NAMED;
    c->tree->chosen = true;
}

/* ---- collecting ---- */

static form *new_form(chooser *c, lort_found *first)
{
    form *f = &c->forms[c->count];
    *f = (form){.path = first->path,
                .set = LORT_NO_SET,
                .number = c->count++,
                .gguf = first->kind == LORT_FOUND_GGUF};
    return f;
}

static void join(form *f, lort_found *file)
{
    file->form = f->number;
    f->bytes += file->size;
    f->files++;
}

static lort_code read_list(chooser *c, const lort_found *index, lort_shard_list *list,
                           lort_error *err)
{
    const lort_alloc *alloc = c->tree->model->alloc;
    void *text;
    char shown[300];
    *list = (lort_shard_list){0};
    lort_code code = lort_take(alloc, index->size, "an index.json", &text, err);
    if (code)
        return code;
    code = lort_model_read_whole(c->tree->model, index->path, text, index->size, err);
    if (code == LORT_OK) {
        code = lort_shards_parse(text, index->size, alloc, list, err);
        if (code)
            lort_error_prefix(err, "%s", lort_escape_text(shown, sizeof shown, index->path));
    }
    lort_give(alloc, text, index->size);
    return code;
}

/* Puts the shards of an index that are here into its form. An index of PyTorch under an odd name
 * has no shard here. */
static lort_code add_index_form(chooser *c, lort_found *index, const lort_names *files,
                                lort_error *err)
{
    lort_shard_list list;
    lort_code code = read_list(c, index, &list, err);
    if (code)
        return code;
    form *f = new_form(c, index);
    f->index = index;
    f->bytes = index->size;
    index->form = f->number;
    for (uint32_t i = 0; i < list.file_count; i++) {
        const lort_names_slot *slot =
            lort_names_find(files, list.files[i], (uint32_t)strlen(list.files[i]));
        if (slot && c->of_name[slot->value]->form == NO_FORM)
            join(f, c->of_name[slot->value]);
    }
    lort_shards_free(&list);
    return LORT_OK;
}

/* Looks at whole files called .json for the list of shards. What a source lists was named before.
 */
static lort_code look_for_lists(chooser *c, lort_error *err)
{
    uint8_t head[LORT_MODEL_HEAD];
    uint64_t n, size;
    lort_code code = LORT_OK;
    for (lort_found *f = c->folder->first; f && code == LORT_OK; f = f->next) {
        if (f->kind != LORT_FOUND_SIDE || f->name_class != LORT_NAME_PLAIN || f->lists_shards ||
            !lort_text_ends(f->path, ".json") || lort_model_is_stored(c->tree->model))
            continue;
        code = lort_model_read_head(c->tree->model, f->path, head, &n, &size, err);
        if (code == LORT_OK)
            code = lort_model_tell_index(c->tree->model, f->path, head, n, size, &f->lists_shards,
                                         err);
    }
    return code;
}

/* The one file that lists shards under a name of its own; NULL: there is none, or several. Beside a
 * single weight file it is the model's index only if the user names it. */
static lort_code odd_index(chooser *c, lort_found **odd, lort_error *err)
{
    const char *name = c->tree->options->weights;
    lort_found *only = NULL;
    unsigned count = 0;
    const bool alone =
        c->folder->counts[LORT_FOUND_SAFETENSORS] < 2 || c->folder->counts[LORT_FOUND_INDEX] > 0;
    lort_code code = alone ? LORT_OK : look_for_lists(c, err);
    *odd = NULL;
    for (lort_found *f = c->folder->first; f && code == LORT_OK && !*odd; f = f->next) {
        if (!f->lists_shards || f->name_class != LORT_NAME_PLAIN)
            continue;
        *odd = name && is_named(name, f->path) ? f : NULL;
        only = f;
        count++;
    }
    if (!*odd && count == 1 && !alone)
        *odd = only;
    return code;
}

static bool is_weights(const lort_found *f)
{
    return f->kind == LORT_FOUND_SAFETENSORS || f->kind == LORT_FOUND_GGUF;
}

/* Lists the weights by their base names. */
static lort_code list_names(chooser *c, lort_names *files, uint32_t *count, lort_error *err)
{
    lort_code code = LORT_OK;
    bool is_new;
    uint32_t number;
    *count = 0;
    for (lort_found *f = c->folder->first; f && code == LORT_OK; f = f->next) {
        if (!is_weights(f))
            continue;
        const char *base = lort_path_base(f->path);
        c->of_name[*count] = f;
        c->names[*count] = base;
        code =
            lort_names_add(files, base, (uint32_t)strlen(base), (*count)++, &is_new, &number, err);
    }
    return code;
}

static lort_code add_index_forms(chooser *c, const lort_names *files, lort_error *err)
{
    lort_found *odd;
    lort_code code = odd_index(c, &odd, err);
    if (code == LORT_OK && odd)
        code = add_index_form(c, odd, files, err);
    for (lort_found *f = c->folder->first; f && code == LORT_OK; f = f->next)
        if (f->kind == LORT_FOUND_INDEX)
            code = add_index_form(c, f, files, err);
    return code;
}

/* Makes forms of the weights that no index lists. */
static lort_code add_other_forms(chooser *c, uint32_t count, lort_error *err)
{
    uint32_t n = 0;
    void *memory;
    for (uint32_t i = 0; i < count; i++) /* names and files move together */
        if (c->of_name[i]->form == NO_FORM) {
            c->names[n] = c->names[i];
            c->of_name[n++] = c->of_name[i];
        }
    const lort_folder folder = {.path = c->all.path, .names = c->names, .count = n};
    /* a container may hold one shard alone */
    const bool alone = lort_model_is_stored(c->tree->model) &&
                       c->folder->counts[LORT_FOUND_SAFETENSORS] == 1 &&
                       c->folder->counts[LORT_FOUND_GGUF] == 0;
    lort_code code = lort_shard_sets_find(&folder, c->tree->model->alloc, &c->sets, err);
    if (code == LORT_OK)
        code = lort_arena_take(&c->arena, c->sets.count * sizeof(form *), &memory, err);
    if (code)
        return code;
    form **of_set = memory;
    memset(of_set, 0, c->sets.count * sizeof *of_set);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t set = alone ? LORT_NO_SET : c->sets.set_of[i];
        form *f = set == LORT_NO_SET ? NULL : of_set[set];
        if (!f) {
            f = new_form(c, c->of_name[i]);
            f->set = set;
            f->shape = set == LORT_NO_SET ? SHAPE_FILE : SHAPE_SET;
        }
        if (set != LORT_NO_SET)
            of_set[set] = f;
        join(f, c->of_name[i]);
    }
    return LORT_OK;
}

static lort_code take_room(chooser *c, lort_error *err)
{
    uint64_t n = 1, all = 0;
    void *taken[4] = {NULL};
    char *path;
    const size_t bytes_of_path = strlen(c->folder->path);
    for (const lort_found *f = c->folder->first; f; f = f->next)
        all++;
    for (unsigned kind = LORT_FOUND_INDEX; kind < LORT_FOUND_KINDS; kind++)
        n += c->folder->counts[kind];
    const uint64_t bytes[] = {n * sizeof(form), n * sizeof(char *), n * sizeof(lort_found *),
                              all * sizeof(char *) + bytes_of_path + 2};
    lort_code code = LORT_OK;
    for (int i = 0; i < 4 && code == LORT_OK; i++)
        code = lort_arena_take(&c->arena, bytes[i], &taken[i], err);
    if (code)
        return code;
    c->forms = taken[0];
    c->names = taken[1];
    c->of_name = taken[2];
    const char **names = taken[3];
    path = (char *)(names + all);
    snprintf(path, bytes_of_path + 2, "%s%s", c->folder->path, bytes_of_path ? "/" : "");
    c->all = (lort_folder){.path = path, .names = names};
    if (c->tree->options->index_named && c->tree->model->dir) /* a path that names no directory */
        c->all.place = lort_os_dir_path(c->tree->model->dir);
    for (const lort_found *f = c->folder->first; f; f = f->next)
        names[c->all.count++] = lort_path_base(f->path);
    return LORT_OK;
}

static int by_rank(const void *a, const void *b)
{
    const form *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->variant != y->variant)
        return x->variant ? 1 : -1;
    if (x->shape != y->shape)
        return x->shape < y->shape ? -1 : 1;
    return strcmp(x->path, y->path);
}

static lort_code collect(chooser *c, lort_error *err)
{
    lort_names files = {.alloc = c->tree->model->alloc};
    uint32_t count;
    lort_code code = take_room(c, err);
    if (code == LORT_OK)
        code = list_names(c, &files, &count, err);
    if (code == LORT_OK)
        code = add_index_forms(c, &files, err);
    if (code == LORT_OK)
        code = add_other_forms(c, count, err);
    lort_names_free(&files);
    for (uint32_t i = 0; i < c->count && code == LORT_OK; i++) {
        form *f = &c->forms[i];
        name_form(f);
        mark_named(c, f);
        lort_name_text_add(&c->tree->forms, f->path, (uint32_t)strlen(f->path));
    }
    if (code == LORT_OK)
        qsort(c->forms, c->count, sizeof *c->forms, by_rank);
    return code;
}

/* ---- choosing ---- */

static lort_code add_form(chooser *c, form *f, lort_error *err)
{
    lort_model *model = c->tree->model;
    f->first_file = model->file_count;
    lort_code code = f->index ? lort_model_add_index(model, &c->all, lort_path_base(f->path), err)
                     : f->set != LORT_NO_SET ? lort_model_add_set(model, &c->sets, f->set, err)
                                             : lort_model_add_single(model, f->path, err);
    f->end_file = model->file_count;
    return code;
}

/* The taken form that has a tensor of this one; NULL: all are new. */
static const form *repeats(const chooser *c, const form *f)
{
    for (uint32_t i = f->first_file; i < f->end_file; i++) {
        const lort_index *index = &c->tree->model->files[i].shown.header.index;
        for (uint64_t t = 0; t < index->count; t++) {
            const lort_names_slot *slot =
                lort_names_find(&c->tensors, index->tensors[t].name, index->tensors[t].name_bytes);
            if (slot)
                return &c->forms[slot->value];
        }
    }
    return NULL;
}

/* Names that a form has twice are refused later, by lort_model_merge. */
static lort_code keep_names(chooser *c, const form *f, lort_error *err)
{
    lort_code code = LORT_OK;
    bool is_new;
    uint32_t found;
    for (uint32_t i = f->first_file; i < f->end_file && code == LORT_OK; i++) {
        const lort_index *index = &c->tree->model->files[i].shown.header.index;
        for (uint64_t t = 0; t < index->count && code == LORT_OK; t++)
            code = lort_names_add(&c->tensors, index->tensors[t].name, index->tensors[t].name_bytes,
                                  (uint32_t)(f - c->forms), &is_new, &found, err);
    }
    return code;
}

static lort_code take(chooser *c, const form *f, lort_error *err)
{
    bool is_new;
    uint32_t found;
    lort_code code = c->count > 1 ? keep_names(c, f, err) : LORT_OK;
    if (!c->taken)
        c->taken = f;
    c->taken_bytes += f->bytes;
    for (uint32_t i = f->first_file; i < f->end_file && code == LORT_OK; i++) {
        const char *path = c->tree->model->files[i].name;
        code = lort_names_add(&c->files, path, (uint32_t)strlen(path), i, &is_new, &found, err);
    }
    return code;
}

static bool is_taken(const chooser *c, const char *path)
{
    return lort_names_find(&c->files, path, (uint32_t)strlen(path)) != NULL;
}

/* Two indexes may list one file. */
static void leave(chooser *c, const form *f)
{
    lort_tree *tree = c->tree;
    for (lort_found *one = c->folder->first; one; one = one->next)
        if (one->form == f->number && !one->left && !is_taken(c, one->path)) {
            one->left = true;
            lort_left_add(tree, LORT_LEFT_FORM, one->path, 1, one->size);
        }
    if (!c->said)
        lort_name_text_add(&tree->taken, c->taken->path, (uint32_t)strlen(c->taken->path));
    c->said = true;
}

/* True for a form whose names are others, but which has the same weights: GGUF beside safetensors,
 * consolidated* beside model*. */
static bool is_other_spelling(const chooser *c, const form *f)
{
    const uint64_t a = f->bytes, b = c->taken_bytes;
    if (!c->taken || lort_model_is_stored(c->tree->model))
        return false;
    if (f->gguf != c->taken->gguf)
        return true;
    return f->consolidated != c->taken->consolidated && a / SIZES_APART <= b &&
           b / SIZES_APART <= a;
}

/* No rule says which of the two is the model. */
static lort_code refuse_both(const chooser *c, const form *a, const form *b, lort_error *err)
{
    char one[300], other[300];
    return lort_fail(
        err, LORT_E_USAGE, "the directory holds several %s: %s, %s; name one with --weights NAME",
        lort_model_is_stored(c->tree->model) ? "files with one tensor"
        : a->gguf                            ? "GGUF models"
                                             : "models with equal tensor names",
        lort_escape_text(one, sizeof one, a->path), lort_escape_text(other, sizeof other, b->path));
}

static bool is_tie(const form *a, const form *b)
{
    return a->rank == b->rank && a->variant == b->variant && strcmp(a->stem, b->stem) != 0;
}

static lort_code consider(chooser *c, form *f, lort_error *err)
{
    if (is_other_spelling(c, f)) {
        leave(c, f);
        return LORT_OK;
    }
    if (c->taken && f->gguf && !lort_model_is_stored(c->tree->model)) { /* the user named another */
        leave(c, f);
        return LORT_OK;
    }
    lort_code code = add_form(c, f, err);
    if (code)
        return code;
    const form *other = c->count > 1 ? repeats(c, f) : NULL;
    if (!other)
        return take(c, f, err);
    if (is_tie(other, f) || lort_model_is_stored(c->tree->model))
        return refuse_both(c, other, f, err);
    lort_model_drop(c->tree->model, f->first_file);
    leave(c, f);
    return LORT_OK;
}

/* GGUF models have equal tensor names, so their headers need not be read. */
static lort_code refuse_several_gguf(const chooser *c, lort_error *err)
{
    lort_name_text names = {0};
    if (c->count < 2 || !c->forms[0].gguf || c->forms[1].rank != c->forms[0].rank ||
        lort_model_is_stored(c->tree->model))
        return LORT_OK;
    for (uint32_t i = 0; i < c->count; i++)
        lort_name_text_add(&names, c->forms[i].path, (uint32_t)strlen(c->forms[i].path));
    return lort_fail(err, LORT_E_USAGE,
                     "the directory holds several GGUF models: name one, or give --weights NAME "
                     "(%s)",
                     lort_name_text_end(&names));
}

lort_code lort_forms_add(lort_tree *tree, lort_found_folder *folder, lort_error *err)
{
    chooser c = {.tree = tree,
                 .folder = folder,
                 .arena.alloc = tree->model->alloc,
                 .tensors.alloc = tree->model->alloc,
                 .files.alloc = tree->model->alloc};
    lort_code code = collect(&c, err);
    if (code == LORT_OK)
        code = refuse_several_gguf(&c, err);
    for (uint32_t i = 0; i < c.count && code == LORT_OK; i++)
        code = consider(&c, &c.forms[i], err);
    lort_names_free(&c.tensors);
    lort_names_free(&c.files);
    lort_shard_sets_free(&c.sets);
    lort_arena_free(&c.arena);
    return code;
}
