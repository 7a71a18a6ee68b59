/* names: see names.h.
 *
 * Sorted by their names, one name after the other, all paths below one folder are neighbours:
 *
 *     a/x    A/y    a/z    b
 *
 * Two spellings of a folder are therefore the spellings of two neighbours somewhere. */
#include "compress/files/names.h"
#include "formats/base/text.h"
#include <stdlib.h>
#include <string.h>

/* qsort gives its function nothing but two entries. */
typedef struct entry {
    const char *path;
    lort_names_compare *compare;
} entry;

/* The bytes of the first name of a path. */
static uint64_t first_name(const char *path) { return (uint64_t)strcspn(path, "/"); }

/* Behind the first name, which has n bytes, and behind its '/'. */
static const char *behind(const char *path, uint64_t n) { return path + n + (path[n] == '/'); }

/* Compares paths name by name; the end of a path comes first. *differ, unless NULL: names that are
 * equal to `compare` have two spellings. */
static int compare_paths(const char *a, const char *b, lort_names_compare *compare, bool *differ)
{
    int order = 0;
    while (order == 0 && *a && *b) {
        const uint64_t n = first_name(a), m = first_name(b);
        order = compare(a, n, b, m);
        if (differ && order == 0 && (n != m || memcmp(a, b, n) != 0))
            *differ = true;
        a = behind(a, n);
        b = behind(b, m);
    }
    return order ? order : (*a != 0) - (*b != 0);
}

static int by_path(const void *a, const void *b)
{
    const entry *first = a, *second = b;
    return compare_paths(first->path, second->path, first->compare, NULL);
}

static lort_code refuse(const char *a, const char *b, lort_error *err)
{
    char first[300], second[300];
    lort_fail(err, LORT_E_WRITE,
              "the container holds '%s' and '%s', and this system takes them for one name; restore "
              "them on Linux, or one by one with --file NAME",
              lort_escape_text(first, sizeof first, a), lort_escape_text(second, sizeof second, b));
    lort_error_file(err, a);
    return LORT_E_WRITE;
}

lort_code lort_names_check(const lort_input_file *files, uint32_t count,
                           lort_names_compare *compare, const lort_alloc *alloc, lort_error *err)
{
    void *taken;
    lort_code code = lort_take(alloc, count * sizeof(entry), "names of files", &taken, err);
    if (code)
        return code;
    entry *entries = taken;
    for (uint32_t i = 0; i < count; i++)
        entries[i] = (entry){files[i].name, compare};
    qsort(entries, count, sizeof *entries, by_path);
    for (uint32_t i = 1; i < count && code == LORT_OK; i++) {
        bool differ = false;
        compare_paths(entries[i - 1].path, entries[i].path, compare, &differ);
        if (differ)
            code = refuse(entries[i - 1].path, entries[i].path, err);
    }
    lort_give(alloc, taken, count * sizeof(entry));
    return code;
}
