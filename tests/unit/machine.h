/* A made-up machine for tests: /proc and /sys files below a fresh directory, which a test uses as
 * its root. */
#ifndef LORT_TESTS_MACHINE_H
#define LORT_TESTS_MACHINE_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MACHINE_FILES 12

typedef struct machine_text {
    const char *path, *text; /* path: from the root; NULL ends the list */
} machine_text;

static inline void machine_write(const char *root, const machine_text *file)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, file->path);
    for (char *slash = strchr(path + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    fputs(file->text, out);
    assert_int_equal(fclose(out), 0);
}

/* root: at least 32 bytes. */
static inline void machine_build(char *root, const machine_text files[MACHINE_FILES])
{
    strcpy(root, "/tmp/lort-machine-XXXXXX");
    assert_non_null(mkdtemp(root));
    for (int i = 0; i < MACHINE_FILES && files[i].path; i++)
        machine_write(root, &files[i]);
}

static inline int machine_remove_one(const char *path, const struct stat *st, int kind,
                                     struct FTW *at)
{
    return remove(path);
}

static inline void machine_remove(const char *root)
{
    assert_int_equal(nftw(root, machine_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

#define MOUNT_V2 "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_V1(controllers)                                                                      \
    "31 20 0:27 / /sys/fs/cgroup/" controllers                                                     \
    " rw,nosuid shared:9 - cgroup cgroup rw," controllers "\n"
#define MOUNTS_HOST                                                                                \
    "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n24 22 0:5 / /proc rw - proc proc "    \
    "rw\n"

#endif
