/* proc: reads what Linux tells in text files: "key value" pairs and the control group of this
 * process. All paths lie below a root, "" for the real machine. Returns false for an unreadable
 * file, never an error: /proc may be missing. */
#ifndef LORT_LOADER_OS_PROC_H
#define LORT_LOADER_OS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the number after `key` at the start of a line. "MemTotal:   16 kB" gives 16384, "anon 4096"
 * gives 4096. Returns false if the key is missing, or if no unsigned number follows ("-1", "max",
 * more than 64 bits). */
bool lort_proc_value(const char *text, const char *key, uint64_t *value);

/* One directory of a control group hierarchy. It starts at this process's own group. */
typedef struct lort_group {
    int version;      /* 1 or 2 */
    char dir[1024];   /* with the root before it */
    size_t top_chars; /* length of root and mount point in dir; lort_group_up stops there */
} lort_group;

/* Finds the group through which `controller` ("memory", "cpu") governs this process. A hybrid
 * machine also has a version 2 hierarchy, but without controllers. So cgroup.controllers
 * decides. */
bool lort_group_find(const char *root, const char *controller, lort_group *out);
bool lort_group_up(lort_group *group); /* to the parent; false at the top */
/* Reads dir/file, NUL-terminated. Returns false if it cannot. */
bool lort_group_text(const lort_group *group, const char *file, char *out, size_t cap);
/* Reads dir/file, which holds one unsigned number. Returns false for "max", a sign, or nothing. */
bool lort_group_number(const lort_group *group, const char *file, uint64_t *value);

#endif
