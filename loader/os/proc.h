/* proc: what Linux tells about itself in text files: "key value" pairs, and the control group this
 * process is in. Everything is read below a root, "" for the real machine. Unreadable means false,
 * never an error: /proc may be missing. */
#ifndef LORT_LOADER_OS_PROC_H
#define LORT_LOADER_OS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number after `key` at the start of a line: "MemTotal:   16 kB" is 16384, "anon 4096" is 4096.
 * False if the key is missing or no unsigned number follows ("-1", "max", more than 64 bits). */
bool lort_proc_value(const char *text, const char *key, uint64_t *value);

/* One directory of a control group hierarchy, starting at this process's own. */
typedef struct lort_group {
    int version;      /* 1 or 2 */
    char dir[1024];   /* with the root before it */
    size_t top_chars; /* length of root and mount point in dir: the walk up ends there */
} lort_group;

/* Finds the group that `controller` ("memory", "cpu") governs this process by. A hybrid machine has
 * a version 2 hierarchy too, but without controllers, so cgroup.controllers decides. */
bool lort_group_find(const char *root, const char *controller, lort_group *out);
bool lort_group_up(lort_group *group); /* to the parent; false at the top */
/* Reads dir/file, NUL-terminated. */
bool lort_group_text(const lort_group *group, const char *file, char *out, size_t cap);
/* Reads dir/file that holds one unsigned number; false for "max", a sign, or nothing. */
bool lort_group_number(const lort_group *group, const char *file, uint64_t *value);

#endif
