/* report_place: see report_place.h. A place is known in two ways: by device and inode of the file,
 * if there is one, and by device and inode of the directory with the last name. So two spellings of
 * a name that does not exist yet are found equal too. */
#include "compress/cli/ui/report_place.h"
#include "compress/cli/console/place.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LINKS 40 /* symbolic links that Linux follows in a path */

typedef struct place {
    lort_identity file, directory; /* file: with links followed */
    char name[LORT_PLACE_NAME];
} place;

typedef struct place_list {
    place *places;
    size_t count;
    bool no_memory;
} place_list;

/* The names under which LoRT writes an output: the output itself, and the names beside it. */
static const struct {
    const char *before, *after;
} decorations[] = {{"", ""},      {".", ".lort-partial"}, {".", ".lort-lock"},
                   {"", ".part"}, {"", ".part.journal"},  {"", ".part.writer"}};
#define DECORATIONS (sizeof decorations / sizeof *decorations)
#define OF_A_REPORT 3 /* a report has the first three */

/* ---- places ---- */

static bool same_identity(const lort_identity *a, const lort_identity *b)
{
    return a->known && b->known && a->device == b->device && a->inode == b->inode;
}

static bool same_place(const place *a, const place *b)
{
    return same_identity(&a->file, &b->file) ||
           (same_identity(&a->directory, &b->directory) && lort_place_same_name(a->name, b->name));
}

static bool share_place(const place_list *a, const place_list *b)
{
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            if (same_place(&a->places[i], &b->places[j]))
                return true;
    return false;
}

/* Cuts a path in two: the directory with its slash ("" for none) and the last name. Slashes at the
 * end are cut off. Returns the bytes of the directory. */
static size_t cut_path(char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = '\0';
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static void add_place(place_list *list, const char *path, size_t directory)
{
    char parent[LORT_PLACE_PATH];
    place *grown = realloc(list->places, (list->count + 1) * sizeof *grown);
    list->no_memory |= !grown;
    if (!grown)
        return;
    list->places = grown;
    place *p = &list->places[list->count++];
    *p = (place){.file = lort_place_identity(path)};
    /* a path or a name that is too long cannot be opened either */
    if (directory >= sizeof parent || strlen(path + directory) >= sizeof p->name)
        return;
    snprintf(parent, sizeof parent, "%.*s", (int)directory, path);
    p->directory = lort_place_identity(directory ? parent : ".");
    strcpy(p->name, path + directory);
}

/* Adds the path, and each path that it leads to as a symbolic link. */
static void add_path(place_list *list, const char *path)
{
    char at[LORT_PLACE_PATH], target[LORT_PLACE_PATH], whole[2 * LORT_PLACE_PATH];
    if (!lort_place_plain(path, at))
        return;
    for (int i = 0; i <= MOST_LINKS; i++) {
        const size_t directory = cut_path(at);
        add_place(list, at, directory);
        if (!lort_place_link(at, target))
            return;
        snprintf(whole, sizeof whole, "%.*s%s", *target == '/' ? 0 : (int)directory, at, target);
        if (strlen(whole) >= sizeof at)
            return;
        strcpy(at, whole);
    }
}

/* Adds standard output if it is a file: the shell may have put it where LoRT writes. */
static void add_stdout(place_list *list)
{
    const lort_identity file = lort_place_stdout();
    if (!file.known)
        return;
    list->places = malloc(sizeof *list->places);
    list->no_memory = !list->places;
    if (!list->places)
        return;
    list->places[list->count++] = (place){.file = file};
}

/* Adds a path with the first `count` decorations. */
static void add_decorated(place_list *list, const char *path, size_t count)
{
    char base[LORT_PLACE_PATH], whole[LORT_PLACE_PATH + 32];
    if (!lort_place_plain(path, base))
        return;
    const size_t directory = cut_path(base);
    for (size_t i = 0; i < count; i++) {
        snprintf(whole, sizeof whole, "%.*s%s%s%s", (int)directory, base, decorations[i].before,
                 base + directory, decorations[i].after);
        add_path(list, whole);
    }
}

/* Adds the directories that the path lies in. Names that do not exist yet are taken as they stand,
 * behind the longest path that exists. */
static void add_ancestors(place_list *list, const char *path)
{
    char at[LORT_PLACE_PATH], real[LORT_PLACE_PATH];
    if (!lort_place_plain(path, at))
        return;
    for (size_t directory = cut_path(at); directory > 0; directory = cut_path(at)) {
        at[directory > 1 ? directory - 1 : directory] = '\0';
        if (lort_place_real(at, real)) {
            strcpy(at, real); /* from here on without links and without ".." */
            add_place(list, at, cut_path(at));
        } else {
            add_path(list, at);
        }
        if (strcmp(at, "/") == 0)
            return;
    }
    /* the rest of a relative path: the current directory */
    if (!lort_place_is_absolute(at) && lort_place_real(".", real)) {
        char *slash;
        add_place(list, real, cut_path(real));
        while ((slash = strrchr(real, '/')) && slash > real) {
            *slash = '\0';
            add_place(list, real, cut_path(real));
        }
    }
}

/* ---- the files of a model ---- */

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* True if a file of this name beside the file `input` may belong to the same model. An index names
 * weight files as it likes. */
static bool may_belong(const char *input, const char *name)
{
    return ends_with(name, ".gguf") || ends_with(name, ".safetensors") ||
           ends_with(name, "index.json") ||
           (ends_with(input, ".json") && !ends_with(name, ".json"));
}

typedef struct search {
    const place_list *report;
    const char *input; /* NULL: every file of the directory belongs to the model */
} search;

static bool is_report(void *ctx, const char *name, const lort_identity *file)
{
    const search *s = ctx;
    bool found = false;
    for (size_t i = 0; (!s->input || may_belong(s->input, name)) && i < s->report->count; i++)
        found |= same_identity(&s->report->places[i].file, file);
    return found;
}

/* True if the report exists as a file of the model `input`: any file of a directory, or a shard
 * beside a file. */
static bool is_in_model(const place_list *report, const char *input)
{
    char at[LORT_PLACE_PATH];
    if (!lort_place_plain(input, at) || !lort_place_identity(at).known)
        return false;
    const bool whole = lort_place_is_directory(at);
    if (!whole)
        at[cut_path(at)] = '\0';
    search s = {.report = report, .input = whole ? NULL : input};
    return lort_place_any(*at ? at : ".", is_report, &s);
}

/* ---- the check ---- */

static lort_code refuse(const lort_cli_values *values, const char *why, lort_error *err)
{
    char shown[256];
    return lort_fail(err, LORT_E_USAGE, "--json '%s': the report would %s; name another file",
                     lort_escape_text(shown, sizeof shown, values->json), why);
}

static lort_code check_lists(const lort_cli_values *values, place_list *report, place_list *inside,
                             place_list *run, place_list *output, lort_error *err)
{
    const bool to_stdout = strcmp(values->json, "-") == 0;
    if (to_stdout) {
        add_stdout(report);
    } else {
        add_decorated(report, values->json, OF_A_REPORT);
        add_ancestors(inside, values->json);
    }
    for (int i = 0; i < values->paths; i++)
        add_path(run, values->path[i]);
    if (values->job.imatrix)
        add_path(run, values->job.imatrix);
    if (values->job.covariance)
        add_path(run, values->job.covariance);
    if (values->output)
        add_decorated(output, values->output, DECORATIONS);
    if (report->no_memory || inside->no_memory || run->no_memory || output->no_memory)
        return lort_fail(err, LORT_E_MEMORY, "no memory for the command line");
    if (share_place(report, run) || share_place(report, output))
        return refuse(values, "replace what the command reads or writes", err);
    if (share_place(inside, output))
        return refuse(values, "lie inside the output", err);
    for (int i = 0; i < values->paths && !to_stdout; i++)
        if (is_in_model(report, values->path[i]))
            return refuse(values, "replace a file that may be part of the model", err);
    return LORT_OK;
}

lort_code lort_cli_check_report(const lort_cli_values *values, lort_error *err)
{
    place_list report = {0}, inside = {0}, run = {0}, output = {0};
    if (!values->json)
        return LORT_OK;
    lort_code code = check_lists(values, &report, &inside, &run, &output, err);
    free(report.places);
    free(inside.places);
    free(run.places);
    free(output.places);
    return code;
}
