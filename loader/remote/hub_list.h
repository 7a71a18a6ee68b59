/* hub_list: what the Hub's API says of a repository, from JSON that nobody has checked. This code
 * opens no connection. */
#ifndef LORT_LOADER_REMOTE_HUB_LIST_H
#define LORT_LOADER_REMOTE_HUB_LIST_H

#include "formats/base/alloc.h"
#include "loader/remote/remote.h"

#define LORT_HUB_FILES_MOST 100000u /* files of a repository; the Hub advises 100,000 at most */
#define LORT_COMMIT_DIGITS 40u

/* Zero-initialise all but arena.alloc. */
typedef struct lort_hub_list {
    lort_arena arena; /* owns the files and their texts */
    lort_remote_file *files;
    uint32_t count, room;
    uint32_t odd; /* files that were left out, since no plain path names them */
} lort_hub_list;

/* Finds "sha", 40 hexadecimal digits, in the JSON of a revision.
 * On failure: LORT_E_READ. */
lort_code lort_hub_list_commit(const void *json, uint64_t size, char out[LORT_COMMIT_DIGITS + 1],
                               lort_error *err);
/* Adds the files of one page: [{"type", "path", "size", "oid", "lfs": {"oid", "size"}}]. A file
 * whose path is harmless, but not plain (formats/base/plain_path.h), is counted in `odd`.
 * On failure: LORT_E_READ for JSON that is no such list, for a path that leaves the repository, and
 * for too many files; LORT_E_MEMORY. Only lort_hub_list_free may follow. */
lort_code lort_hub_list_add(lort_hub_list *listing, const void *json, uint64_t size,
                            lort_error *err);
/* Sorts the files by name. On failure: LORT_E_READ if two have one name. */
lort_code lort_hub_list_sort(lort_hub_list *listing, lort_error *err);
void lort_hub_list_free(lort_hub_list *listing);

#endif
