/* A tree of canaries in the directory of a fuzz target: files, a directory, links and a second name
 * of a file. A picture of the tree before and after tells whether a command touched any of it.
 *
 *     secret                    a file
 *     second                    another name of it
 *     link -> secret            nowhere -> nothing
 *     sub/inner                 a directory with a file
 *     out/                      the directory that a command writes into
 *     out/secret, out/link -> ../secret
 */
#ifndef LORT_TESTS_FUZZ_CANARY_H
#define LORT_TESTS_FUZZ_CANARY_H

#include "formats/base/hash.h"
#include "fuzz_dir.h"

#define CANARY_NAMES 16

typedef struct canary_seen {
    char path[120];
    ino_t inode;
    mode_t mode;
    nlink_t links;
    off_t size;
    struct timespec changed; /* of a file: a directory changes as names come and go */
    uint64_t hash;           /* of a file's bytes, or of a link's text */
} canary_seen;

typedef struct canary_picture {
    canary_seen seen[CANARY_NAMES];
    unsigned count;
} canary_picture;

static inline void canary_make(void)
{
    fuzz_write("secret", "do not touch", 12);
    fuzz_write("sub/inner", "inner", 5);
    fuzz_write("out/secret", "beside", 6);
    char to[600];
    strcpy(to, fuzz_path("second"));
    CHECK(link(fuzz_path("secret"), to) == 0);
#if !defined(_WIN32) /* Wine 8 makes no links */
    CHECK(symlink("secret", fuzz_path("link")) == 0);
    CHECK(symlink("nothing", fuzz_path("nowhere")) == 0);
    CHECK(symlink("../secret", fuzz_path("out/link")) == 0);
#endif
}

static canary_picture *canary_target;

static inline uint64_t canary_bytes(const char *path, bool is_link)
{
    char bytes[200] = {0};
    ssize_t n;
    if (is_link) {
        n = readlink(path, bytes, sizeof bytes);
    } else {
        const int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
        close(fd);
    }
    CHECK(n >= 0);
    return lort_xxh64(bytes, (uint64_t)n);
}

static inline int canary_see(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)kind;
    (void)at;
    CHECK(canary_target->count < CANARY_NAMES);
    canary_seen *seen = &canary_target->seen[canary_target->count++];
    const bool directory = S_ISDIR(st->st_mode);
    *seen = (canary_seen){.inode = st->st_ino, .mode = st->st_mode};
    CHECK((size_t)snprintf(seen->path, sizeof seen->path, "%s", path) < sizeof seen->path);
    if (directory)
        return 0;
    seen->links = st->st_nlink;
    seen->size = st->st_size;
    seen->changed = st->st_ctim;
    seen->hash = canary_bytes(path, S_ISLNK(st->st_mode));
    return 0;
}

static inline int canary_order(const void *a, const void *b)
{
    return strcmp(((const canary_seen *)a)->path, ((const canary_seen *)b)->path);
}

static inline void canary_look(canary_picture *out)
{
    memset(out, 0, sizeof *out);
    canary_target = out;
    CHECK(nftw(fuzz_dir_path(), canary_see, 8, FTW_PHYS) == 0);
    qsort(out->seen, out->count, sizeof *out->seen, canary_order);
}

/* Ends the program and names what differs. The caller first removes what it expects to be new. */
static inline void canary_check(const canary_picture *before)
{
    canary_picture after;
    canary_look(&after);
    for (unsigned i = 0; i < before->count || i < after.count; i++)
        if (memcmp(&before->seen[i], &after.seen[i], sizeof after.seen[i]) != 0) {
            fprintf(stderr, "outside the output: '%s' was, '%s' is\n", before->seen[i].path,
                    after.seen[i].path);
            CHECK(!"something outside the output changed");
        }
}

#endif
