/* lose: the power goes. Undoes every change that was not synced; then the process dies by SIGKILL.
 *
 * A disk promises two things. The content and size of a file are those of its last fsync or
 * fdatasync. Names (files made, removed, renamed, and directories) are those of the last fsync of
 * their directory.
 *
 * This file remembers every other change, with the bytes or names before it. At the end it undoes
 * all of them. Then, if LORT_FAULT_SEED is not 0, the seed selects some changes that it makes
 * again, as a disk would. Of names it keeps the first few of each directory, in order. Of writes it
 * keeps any: whole, cut at a sector of 512 bytes, or as zeros.
 *
 * It holds one lock around each change, so it remembers changes in the order in which they
 * happen. */
#define _GNU_SOURCE
#include "tests/fault/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SECTOR 512

typedef struct change { /* of a file's content: [at, at + n) written, or the file cut to `at` */
    bool cut;
    uint64_t at, n, size, old_bytes; /* size: of the file before */
    unsigned char *bytes, *old;
} change;

typedef struct content {
    struct content *next;
    dev_t device;
    ino_t inode;
    int fd; /* our own handle: holds no lock of the program, and stays open */
    change *changes;
    size_t count, room;
} content;

typedef enum deed { MADE, MADE_DIR, REMOVED, RENAMED } deed;

typedef struct naming {
    struct naming *older;
    deed deed;
    int dir; /* our own handle */
    char name[256], to[256];
    int gone;  /* the file that was removed or replaced, or -1: its content is copied back */
    int grave; /* the name of a removed file in the graveyard, or -1: it keeps its inode there */
    bool undo;
} naming;

bool lose_on;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static content *contents;
static naming *newest;
static uint64_t call_count, last_call, random_state, delay_ms;
static int graveyard = -1, graves; /* a directory for removed files, which may have to come back */
static char graveyard_path[] = "/tmp/lort-graves-XXXXXX";

static uint64_t draw(uint64_t below) /* splitmix64 */
{
    uint64_t z = random_state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (z ^ z >> 31) % below;
}

/* ---- the end ---- */

static void put_all(int fd, const unsigned char *bytes, uint64_t n, uint64_t at)
{
    for (uint64_t done = 0; done < n;) {
        ssize_t put = real.pwrite64(fd, bytes + done, n - done, (off64_t)(at + done));
        if (put <= 0)
            return;
        done += (uint64_t)put;
    }
}

static void undo(const content *file, const change *c)
{
    real.ftruncate64(file->fd, (off64_t)c->size);
    put_all(file->fd, c->old, c->old_bytes, c->at);
}

static void redo(const content *file, const change *c)
{
    const uint64_t choice = draw(4);
    if (c->cut) {
        if (choice == 0)
            real.ftruncate64(file->fd, (off64_t)c->at);
    } else if (choice == 0) {
        put_all(file->fd, c->bytes, c->n, c->at);
    } else if (choice == 1) {
        const uint64_t end = (c->at + draw(c->n + 1)) / SECTOR * SECTOR;
        put_all(file->fd, c->bytes, end > c->at ? end - c->at : 0, c->at);
    } else if (choice == 2) {
        memset(c->bytes, 0, c->n);
        put_all(file->fd, c->bytes, c->n, c->at);
    }
}

static void lose_content(void)
{
    for (const content *file = contents; file; file = file->next) {
        for (size_t i = file->count; i-- > 0;)
            undo(file, &file->changes[i]);
        for (size_t i = 0; random_state && i < file->count; i++)
            redo(file, &file->changes[i]);
    }
}

static bool same_dir(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* If there is a seed, the first few changes of each directory stay. */
static void choose_names(void)
{
    for (naming *n = newest; n; n = n->older)
        n->undo = true;
    for (naming *n = newest; random_state && n; n = n->older) {
        uint64_t count = 0, keep;
        bool newer = false;
        for (naming *m = newest; m; m = m->older) {
            newer |= m == n ? count > 0 : false;
            count += same_dir(m->dir, n->dir);
        }
        if (newer)
            continue; /* this directory is done */
        keep = draw(count + 1);
        for (naming *m = newest; m; m = m->older)
            if (same_dir(m->dir, n->dir))
                m->undo = count-- > keep;
    }
}

static void copy_back(int dir, const char *name, int from)
{
    unsigned char piece[65536];
    struct stat st;
    if (from < 0 || fstat(from, &st) != 0)
        return;
    int to = real.openat64(dir, name, O_WRONLY | O_CREAT | O_EXCL, st.st_mode & 0777);
    off64_t at = 0;
    for (ssize_t got; to >= 0 && (got = real.pread64(from, piece, sizeof piece, at)) > 0; at += got)
        put_all(to, piece, (uint64_t)got, (uint64_t)at);
}

static void remove_tree(int dir, const char *name)
{
    int fd = real.openat64(dir, name, O_RDONLY | O_DIRECTORY);
    DIR *stream = fd < 0 ? NULL : real.fdopendir(fd);
    for (const struct dirent *entry; stream && (entry = readdir(stream)) != NULL;)
        real.unlinkat(fd, entry->d_name, 0);
    real.unlinkat(dir, name, AT_REMOVEDIR);
}

static void lose_names(void)
{
    choose_names();
    for (const naming *n = newest; n; n = n->older) {
        if (!n->undo)
            continue;
        if (n->deed == MADE)
            real.unlinkat(n->dir, n->name, 0);
        else if (n->deed == MADE_DIR)
            remove_tree(n->dir, n->name);
        else if (n->deed == RENAMED)
            real.renameat(n->dir, n->to, n->dir, n->name);
        if (n->deed == REMOVED && n->grave >= 0) {
            char grave[16];
            snprintf(grave, sizeof grave, "%d", n->grave);
            real.renameat(graveyard, grave, n->dir, n->name);
        } else if (n->deed == REMOVED || n->deed == RENAMED)
            copy_back(n->dir, n->deed == REMOVED ? n->name : n->to, n->gone);
    }
}

static void clear_graveyard(void)
{
    if (graveyard >= 0)
        remove_tree(AT_FDCWD, graveyard_path);
}

static _Noreturn void go_dark(void)
{
    lose_content();
    lose_names();
    clear_graveyard();
    fault_delivered();
    for (;;)
        kill(getpid(), SIGKILL);
}

static void *wait_for_dark(void *ctx)
{
    struct timespec left = {(time_t)(delay_ms / 1000), (long)(delay_ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&lock);
    go_dark();
    return ctx;
}

void lose_start(uint64_t milliseconds, uint64_t at_call, uint64_t seed)
{
    pthread_t thread;
    sigset_t all, before;
    lose_on = true;
    last_call = at_call;
    random_state = seed;
    delay_ms = milliseconds;
    if (!milliseconds)
        return;
    sigfillset(&all); /* signals are for the program's threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (real.pthread_create(&thread, NULL, wait_for_dark, NULL) != 0)
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Every change begins here. */
static void enter(void)
{
    pthread_mutex_lock(&lock);
    if (++call_count == last_call)
        go_dark();
}

static void leave(void)
{
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
}

void lose_end(void)
{
    pthread_mutex_lock(&lock);
    if (last_call == LOSE_AT_END)
        go_dark();
    clear_graveyard();
    leave();
}

static void *take(size_t n)
{
    void *memory = real.calloc(1, n ? n : 1);
    if (!memory)
        abort();
    return memory;
}

/* ---- content ---- */

/* Opens a second handle of a descriptor that belongs to the program. */
static int open_again(int fd, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return real.openat64(AT_FDCWD, path, flags | O_CLOEXEC);
}

static content *content_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return NULL;
    for (content *file = contents; file; file = file->next)
        if (file->device == st.st_dev && file->inode == st.st_ino)
            return file;
    content *file = take(sizeof *file);
    *file = (content){
        .next = contents, .device = st.st_dev, .inode = st.st_ino, .fd = open_again(fd, O_RDWR)};
    if (file->fd < 0)
        abort();
    return contents = file;
}

/* Remembers the bytes in [at, at + n) before they change. */
static change *remember(content *file, uint64_t at, uint64_t n)
{
    struct stat st;
    if (file->count == file->room) {
        size_t room = file->room ? 2 * file->room : 16;
        change *grown = take(room * sizeof *grown);
        if (file->count)
            memcpy(grown, file->changes, file->count * sizeof *grown);
        real.free(file->changes);
        file->changes = grown;
        file->room = room;
    }
    change *c = &file->changes[file->count++];
    *c = (change){.at = at, .n = n, .size = fstat(file->fd, &st) == 0 ? (uint64_t)st.st_size : 0};
    c->old = take(n);
    while (c->old_bytes < n) {
        ssize_t got = real.pread64(file->fd, c->old + c->old_bytes, n - c->old_bytes,
                                   (off64_t)(at + c->old_bytes));
        if (got <= 0)
            break;
        c->old_bytes += (uint64_t)got;
    }
    return c;
}

static void forget(content *file, size_t keep)
{
    while (file->count > keep) {
        real.free(file->changes[--file->count].old);
        real.free(file->changes[file->count].bytes);
    }
}

ssize_t lose_write(int fd, const void *bytes, size_t n, off64_t at, bool positioned)
{
    enter();
    content *file = content_of(fd);
    if (file && !positioned)
        at = lseek64(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    change *c = file ? remember(file, (uint64_t)at, n) : NULL;
    ssize_t put = positioned ? real.pwrite64(fd, bytes, n, at) : real.write(fd, bytes, n);
    if (c && put > 0) {
        c->n = (uint64_t)put;
        c->old_bytes = c->old_bytes < c->n ? c->old_bytes : c->n;
        c->bytes = take(c->n);
        memcpy(c->bytes, bytes, c->n);
    } else if (c)
        forget(file, file->count - 1);
    leave();
    return put;
}

int lose_truncate(int fd, off64_t size)
{
    struct stat st;
    enter();
    content *file = content_of(fd);
    const uint64_t now = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0, to = (uint64_t)size;
    change *c = file ? remember(file, to, now > to ? now - to : 0) : NULL;
    int result = real.ftruncate64(fd, size);
    if (c)
        c->cut = true;
    if (c && result != 0)
        forget(file, file->count - 1);
    leave();
    return result;
}

int lose_sync(int fd, bool data_only)
{
    struct stat st;
    enter();
    int result = data_only ? real.fdatasync(fd) : real.fsync(fd);
    if (result == 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        for (naming **link = &newest; *link;)
            if (same_dir((*link)->dir, fd))
                *link = (*link)->older; /* its handles stay open: they are few */
            else
                link = &(*link)->older;
    } else if (result == 0) {
        content *file = content_of(fd);
        if (file)
            forget(file, 0);
    }
    leave();
    return result;
}

/* ---- names ---- */

/* Opens the directory that a path leads to; *name is the last part of the path. */
static int dir_of(int dir, const char *path, const char **name)
{
    char parent[4096];
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    return real.openat64(dir, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Opens the file of this name and holds it open beyond its removal; -1: no file, or a directory. */
static int hold(int dir, const char *path)
{
    struct stat st;
    if (fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return -1;
    return real.openat64(dir, path, O_RDONLY | O_CLOEXEC);
}

static void note(deed what, int dir, const char *path, const char *to, int gone)
{
    const char *name;
    naming *n = take(sizeof *n);
    *n = (naming){
        .older = newest, .deed = what, .dir = dir_of(dir, path, &name), .gone = gone, .grave = -1};
    snprintf(n->name, sizeof n->name, "%s", name);
    if (to)
        snprintf(n->to, sizeof n->to, "%s", strrchr(to, '/') ? strrchr(to, '/') + 1 : to);
    newest = n;
}

int lose_open(int dir, const char *path, int flags, mode_t mode)
{
    struct stat st;
    enter();
    const bool existed = fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
    int fd = real.openat64(dir, path, flags & ~O_TRUNC, mode);
    if (fd >= 0 && !existed)
        note(MADE, dir, path, NULL, -1);
    content *file = fd >= 0 ? content_of(fd) : NULL;
    if (file && existed && (flags & O_TRUNC)) {
        remember(file, 0, (uint64_t)st.st_size)->cut = true;
        real.ftruncate64(fd, 0);
    }
    leave();
    return fd;
}

/* Only within one directory: this file knows no other renames. */
int lose_rename(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    enter();
    int replaced = hold(to_dir, to);
    int result = (int)real.syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (result == 0)
        note(RENAMED, from_dir, from, to, replaced);
    leave();
    return result;
}

int lose_link(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    enter();
    int result = real.linkat(from_dir, from, to_dir, to, flags);
    if (result == 0)
        note(MADE, to_dir, to, NULL, -1);
    leave();
    return result;
}

/* Moves a file to the graveyard. So it comes back as the file it was: LoRT knows its own files by
 * their inodes. Returns its number there, or -1 for another file system. */
static int bury(int dir, const char *path)
{
    char grave[16];
    if (graveyard < 0 && mkdtemp(graveyard_path))
        graveyard = real.openat64(AT_FDCWD, graveyard_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(grave, sizeof grave, "%d", graves);
    return graveyard >= 0 && real.renameat(dir, path, graveyard, grave) == 0 ? graves++ : -1;
}

int lose_unlink(int dir, const char *path, int flags)
{
    enter();
    int gone = flags & AT_REMOVEDIR ? -1 : hold(dir, path), grave = gone < 0 ? -1 : bury(dir, path);
    int result = grave < 0 ? real.unlinkat(dir, path, flags) : 0;
    if (result == 0) {
        note(REMOVED, dir, path, NULL, gone);
        newest->grave = grave;
    }
    leave();
    return result;
}

int lose_mkdir(int dir, const char *path, mode_t mode)
{
    enter();
    int result = real.mkdirat(dir, path, mode);
    if (result == 0)
        note(MADE_DIR, dir, path, NULL, -1);
    leave();
    return result;
}
