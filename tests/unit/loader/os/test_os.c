/* os: files, mappings that survive a fault, threads and figures of this process. The wrappers of
 * pread, pwrite and syscall below make system calls fail. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/os/os.h"
#include "tests/unit/main.h"
#include "tests/unit/sanitized.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- faults ---- */
static bool choppy; /* every second call is interrupted, the others move at most 7 bytes */
static unsigned calls;
static int no_renameat2; /* errno value for renameat2; 0: the real call */

static bool interrupted(size_t *n)
{
    if (!choppy)
        return false;
    if (*n > 7)
        *n = 7;
    errno = EINTR;
    return calls++ % 2 == 0;
}

ssize_t pread(int fd, void *buffer, size_t n, off_t offset)
{
    return interrupted(&n) ? -1 : (ssize_t)syscall(SYS_pread64, fd, buffer, n, offset);
}

ssize_t pwrite(int fd, const void *buffer, size_t n, off_t offset)
{
    return interrupted(&n) ? -1 : (ssize_t)syscall(SYS_pwrite64, fd, buffer, n, offset);
}

long syscall(long number, ...)
{
    static long (*real)(long, ...);
    if (!real) {
        void *found = dlsym(RTLD_NEXT, "syscall");
        memcpy(&real, &found, sizeof real);
    }
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_renameat2 && no_renameat2) {
        errno = no_renameat2;
        return -1;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- a fresh directory for every test ---- */
typedef struct place {
    char path[64];
    lort_dir *dir;
} place;

static int setup(void **state)
{
    place *p = calloc(1, sizeof *p);
    strcpy(p->path, "/tmp/lort-os-XXXXXX");
    *state = p;
    return mkdtemp(p->path) && lort_os_dir_open(p->path, &p->dir, NULL) == LORT_OK ? 0 : -1;
}

static lort_code remove_name(void *ctx, const char *name, lort_error *err)
{
    lort_dir *dir = ctx;
    return lort_os_remove(dir, name, false, NULL) == LORT_OK ? LORT_OK
                                                             : lort_os_remove(dir, name, true, err);
}

static int teardown(void **state)
{
    place *p = *state;
    choppy = false;
    no_renameat2 = 0;
    bool clean = lort_os_dir_list(p->dir, remove_name, p->dir, NULL) == LORT_OK;
    lort_os_dir_close(p->dir);
    clean = rmdir(p->path) == 0 && clean;
    free(p);
    return clean ? 0 : -1;
}

static const char *in(const place *p, const char *name)
{
    static char path[100];
    snprintf(path, sizeof path, "%s/%s", p->path, name);
    return path;
}

static lort_file *make(place *p, const char *name, const void *content, uint64_t n)
{
    lort_file *file = NULL;
    lort_error err = {0};
    assert_int_equal(lort_os_create(p->dir, name, 0644, &file, &err), LORT_OK);
    assert_int_equal(lort_os_write(file, content, n, 0, &err), LORT_OK);
    return file;
}

static void make_closed(place *p, const char *name, const void *content, uint64_t n)
{
    assert_int_equal(lort_os_close(make(p, name, content, n), NULL), LORT_OK);
}

static bool is_there(place *p, const char *name)
{
    lort_file_info info;
    bool exists = false;
    assert_int_equal(lort_os_stat(in(p, name), &info, &exists, NULL), LORT_OK);
    return exists;
}

static void expect_content(place *p, const char *name, const char *text)
{
    char found[64];
    assert_true(lort_os_read_text(in(p, name), found, sizeof found));
    assert_string_equal(found, text);
}

static void refused(place *p, const char *name, lort_code code, const char *why)
{
    lort_file *file = (lort_file *)p;
    lort_error err = {0};
    assert_int_equal(lort_os_open(p->dir, name, &file, &err), code);
    assert_int_equal(err.code, code);
    assert_null(file);
    if (!strstr(err.message, why))
        fail_msg("\"%s\" does not say \"%s\"", err.message, why);
}

/* ---- files ---- */
static void only_regular_files_open(void **state)
{
    place *p = *state;
    lort_dir *dev = NULL;
    lort_file *file = NULL;
    lort_error err = {0};
    assert_int_equal(mkfifo(in(p, "pipe"), 0600), 0);
    assert_int_equal(mkdir(in(p, "folder"), 0700), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path, in(p, "socket"), sizeof address.sun_path - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(symlink("loop", in(p, "loop")), 0);

    refused(p, "pipe", LORT_E_INPUT, "a FIFO");
    refused(p, "folder", LORT_E_INPUT, "a directory");
    refused(p, "socket", LORT_E_INPUT, "a socket");
    refused(p, "loop", LORT_E_INPUT, "symbolic links");
    refused(p, "missing\n\033[31m", LORT_E_INPUT, "missing\\x0A\\x1B[31m': No such file");
    assert_int_equal(lort_os_dir_open("/dev", &dev, NULL), LORT_OK);
    assert_int_equal(lort_os_open(dev, "zero", &file, &err), LORT_E_INPUT);
    assert_string_equal(err.message,
                        "'/dev/zero' is a character device; only regular files are accepted");
    lort_os_dir_close(dev);

    make_closed(p, "real", "abc", 3);
    assert_int_equal(symlink("real", in(p, "link")), 0); /* model caches consist of links */
    assert_int_equal(lort_os_open(p->dir, "link", &file, &err), LORT_OK);
    lort_file_info info, direct;
    bool exists;
    assert_int_equal(lort_os_info(file, &info, &err), LORT_OK);
    assert_int_equal(lort_os_stat(in(p, "real"), &direct, &exists, &err), LORT_OK);
    assert_true(exists && direct.inode == info.inode && direct.device == info.device &&
                info.size == 3 && info.kind == LORT_FILE_REGULAR &&
                info.mtime_ns == direct.mtime_ns && info.mtime_ns > 0);
    assert_string_equal(lort_os_file_path(file), in(p, "link"));
    lort_os_close(file, NULL);
}

static void stat_tells_what_is_there(void **state)
{
    place *p = *state;
    lort_file_info info;
    lort_error err = {0};
    bool exists = true;
    assert_int_equal(lort_os_stat(in(p, "none"), &info, &exists, &err), LORT_OK);
    assert_false(exists);
    assert_int_equal(lort_os_stat(p->path, &info, &exists, &err), LORT_OK);
    assert_true(exists && info.kind == LORT_FILE_DIRECTORY && info.mode == 0700);
    make_closed(p, "file", "x", 1);
    assert_int_equal(lort_os_stat(in(p, "file/below"), &info, &exists, &err), LORT_E_INPUT);
    assert_false(exists);
    lort_dir *dir = (lort_dir *)p;
    assert_int_equal(lort_os_dir_open(in(p, "file"), &dir, &err), LORT_E_INPUT);
    assert_null(dir);
    assert_int_equal(lort_os_dir_open(in(p, "none"), &dir, &err), LORT_E_INPUT);
    assert_non_null(strstr(err.message, "none': No such file"));
}

/* LoRT changes what it finds only after it knows what it is. */
static void found_files_are_opened_without_links(void **state)
{
    place *p = *state;
    lort_file *file = NULL;
    lort_dir *inner = NULL;
    lort_error err = {0};
    make_closed(p, "victim", "precious", 8);
    assert_int_equal(symlink("victim", in(p, "link")), 0);
    assert_int_equal(mkfifo(in(p, "pipe"), 0600), 0);
    assert_int_equal(lort_os_make_dir(p->dir, "folder", 0700, &err), LORT_OK);
    assert_int_equal(symlink("folder", in(p, "way")), 0);
    assert_int_equal(lort_os_open_found(p->dir, "none", &file, &err), LORT_OK);
    assert_null(file);
    assert_int_equal(lort_os_open_found(p->dir, "link", &file, &err), LORT_E_EXISTS);
    assert_non_null(strstr(err.message, "a symbolic link"));
    assert_int_equal(lort_os_open_found(p->dir, "pipe", &file, &err), LORT_E_EXISTS);
    assert_non_null(strstr(err.message, "a FIFO"));
    assert_null(file);
    assert_int_equal(lort_os_dir_enter(p->dir, "way", &inner, &err), LORT_E_WRITE);
    assert_null(inner);
    assert_int_equal(lort_os_dir_enter(p->dir, "folder", &inner, &err), LORT_OK);
    assert_string_equal(lort_os_dir_path(inner), in(p, "folder"));
    lort_os_dir_close(inner);
}

static void a_look_does_not_follow(void **state)
{
    place *p = *state;
    static const struct {
        const char *name, *text;
        lort_file_kind kind;
    } kinds[] = {{"file", "a regular file", LORT_FILE_REGULAR},
                 {"link", "a symbolic link", LORT_FILE_LINK},
                 {"pipe", "a FIFO", LORT_FILE_OTHER},
                 {"folder", "a directory", LORT_FILE_DIRECTORY}};
    char second[100];
    lort_file_info info;
    lort_error err = {0};
    bool exists;
    make_closed(p, "file", "x", 1);
    snprintf(second, sizeof second, "%s", in(p, "second"));
    assert_int_equal(link(in(p, "file"), second), 0);
    assert_int_equal(symlink("nowhere", in(p, "link")), 0);
    assert_int_equal(mkfifo(in(p, "pipe"), 0600), 0);
    assert_int_equal(lort_os_make_dir(p->dir, "folder", 0700, &err), LORT_OK);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        assert_int_equal(lort_os_look(p->dir, kinds[i].name, &info, &exists, &err), LORT_OK);
        assert_true(exists);
        assert_int_equal(info.kind, kinds[i].kind);
        assert_string_equal(info.kind_text, kinds[i].text);
        assert_int_equal(info.owner, geteuid());
    }
    assert_int_equal(lort_os_look(p->dir, "second", &info, &exists, &err), LORT_OK);
    assert_int_equal(info.links, 2);
    assert_int_equal(lort_os_look(p->dir, "none", &info, &exists, &err), LORT_OK);
    assert_false(exists);
    assert_true(lort_os_is_own_user(p->dir, geteuid()));
    assert_false(lort_os_is_own_user(p->dir, (uint64_t)geteuid() + 4711));
}

static void created_files_are_new_and_private(void **state)
{
    place *p = *state;
    lort_file *file = NULL;
    lort_file_info info;
    lort_error err = {0};
    assert_int_equal(lort_os_create(p->dir, "secret", 0600, &file, &err), LORT_OK);
    assert_int_equal(lort_os_info(file, &info, &err), LORT_OK);
    assert_int_equal(info.mode, 0600);
    assert_int_equal(lort_os_write(file, "12345", 5, 0, &err), LORT_OK);
    assert_int_equal(lort_os_close(file, &err), LORT_OK);
    file = (lort_file *)p;
    assert_int_equal(lort_os_create(p->dir, "secret", 0600, &file, &err), LORT_E_EXISTS);
    assert_null(file);
    assert_int_equal(chmod(in(p, "secret"), 0664), 0);
    assert_int_equal(lort_os_open_found(p->dir, "secret", &file, &err), LORT_OK);
    assert_int_equal(lort_os_info(file, &info, &err), LORT_OK);
    assert_int_equal(info.mode, 0664); /* opening changes nothing */
    assert_int_equal(info.size, 5);
    assert_int_equal(lort_os_restrict(file, 0600, &err), LORT_OK);
    assert_int_equal(lort_os_info(file, &info, &err), LORT_OK);
    assert_int_equal(info.mode, 0600);
    lort_os_close(file, NULL);

    assert_int_equal(symlink("elsewhere", in(p, "trap")), 0);
    assert_int_equal(lort_os_create(p->dir, "trap", 0600, &file, &err), LORT_E_EXISTS);
    assert_false(is_there(p, "elsewhere"));
    assert_int_equal(lort_os_make_dir(p->dir, "folder", 0700, &err), LORT_OK);
    assert_int_equal(lort_os_make_dir(p->dir, "folder", 0700, &err), LORT_E_EXISTS);
    assert_int_equal(lort_os_make_dir(p->dir, "a/b", 0700, &err), LORT_E_WRITE);
}

static void reads_and_writes_are_whole(void **state)
{
    place *p = *state;
    uint8_t in_bytes[1000], out_bytes[1000];
    lort_error err = {0};
    for (size_t i = 0; i < sizeof in_bytes; i++)
        in_bytes[i] = (uint8_t)(i * 37);
    choppy = true;
    lort_file *file = make(p, "file", in_bytes, sizeof in_bytes);
    assert_int_equal(lort_os_read(file, out_bytes, 1000, 0, &err), LORT_OK);
    assert_memory_equal(in_bytes, out_bytes, 1000);
    assert_int_equal(lort_os_read(file, out_bytes, 50, 333, &err), LORT_OK);
    assert_memory_equal(in_bytes + 333, out_bytes, 50);
    choppy = false;
    assert_true(calls > 500);

    assert_int_equal(lort_os_read(file, out_bytes, 10, 995, &err), LORT_E_READ);
    assert_non_null(strstr(err.message, "file shrank"));
    assert_non_null(strstr(err.message, "offset 1000"));
    assert_int_equal(lort_os_read(file, out_bytes, 1, UINT64_MAX, &err), LORT_E_READ);
    assert_int_equal(lort_os_read(file, out_bytes, 0, 0, &err), LORT_OK);
    assert_int_equal(lort_os_write(file, out_bytes, 1, INT64_MAX, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_truncate(file, 10, &err), LORT_OK);
    assert_int_equal(lort_os_read(file, out_bytes, 11, 0, &err), LORT_E_READ);
    assert_int_equal(lort_os_truncate(file, UINT64_MAX, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_sync(file, &err), LORT_OK);
    lort_os_flush_behind(file, 0, 10);
    lort_os_flush_behind(file, 10, UINT64_MAX); /* advice: nonsense does nothing */
    assert_int_equal(lort_os_close(file, &err), LORT_OK);
    assert_int_equal(lort_os_close(NULL, &err), LORT_OK);
    assert_int_equal(lort_os_open(p->dir, "file", &file, &err), LORT_OK);
    assert_int_equal(lort_os_write(file, "x", 1, 0, &err), LORT_E_WRITE); /* opened for reading */
    lort_os_close(file, NULL);
}

static int in_child(void (*run)(place *), place *p, bool *killed)
{
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGBUS, SIG_DFL);
        run(p);
        _exit(99);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (killed)
        *killed = WIFSIGNALED(status);
    return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void write_past_limit(place *p)
{
    static char bytes[8192];
    lort_file *file = NULL;
    lort_error err = {0};
    struct rlimit limit = {5000, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    if (lort_os_create(p->dir, "big", 0600, &file, &err) || setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(1);
    if (lort_os_write(file, bytes, sizeof bytes, 0, &err) != LORT_E_WRITE ||
        !strstr(err.message, "offset 5000"))
        _exit(2);
    _exit(0);
}

static void a_full_disk_is_told(void **state)
{
    assert_int_equal(in_child(write_past_limit, *state, NULL), 0);
    lort_dir *dev = NULL;
    lort_file *full = NULL;
    lort_error err = {0};
    assert_int_equal(lort_os_dir_open("/dev", &dev, NULL), LORT_OK);
    /* a device is no output */
    assert_int_equal(lort_os_open_found(dev, "full", &full, &err), LORT_E_EXISTS);
    lort_os_dir_close(dev);
    uint64_t bytes = 0;
    place *p = *state;
    assert_int_equal(lort_os_free_space(p->dir, &bytes, &err), LORT_OK);
    assert_true(bytes > 0);
}

static void one_writer_holds_the_lock(void **state)
{
    place *p = *state;
    lort_file *first = make(p, "file", "x", 1), *second = NULL;
    lort_error err = {0};
    bool locked = false;
    assert_int_equal(lort_os_open_found(p->dir, "file", &second, &err), LORT_OK);
    assert_int_equal(lort_os_lock_holder(second), 0);
    assert_int_equal(lort_os_lock(first, &locked, &err), LORT_OK);
    assert_true(locked);
    assert_int_equal(lort_os_lock_holder(second), getpid());
    assert_int_equal(lort_os_lock(second, &locked, &err), LORT_E_EXISTS);
    assert_non_null(strstr(err.message, "locked"));
    assert_int_equal(lort_os_close(first, &err), LORT_OK);
    assert_int_equal(lort_os_lock(second, &locked, &err), LORT_OK);
    lort_os_close(second, NULL);
}

static void try_renames(place *p)
{
    lort_error err = {0};
    make_closed(p, "a", "new", 3);
    make_closed(p, "b", "old", 3);
    assert_int_equal(lort_os_rename(p->dir, "a", "b", false, &err), LORT_E_EXISTS);
    expect_content(p, "a", "new");
    expect_content(p, "b", "old");
    assert_int_equal(lort_os_rename(p->dir, "a", "c", false, &err), LORT_OK);
    assert_false(is_there(p, "a"));
    expect_content(p, "c", "new");
    assert_int_equal(lort_os_rename(p->dir, "c", "b", true, &err), LORT_OK);
    assert_false(is_there(p, "c"));
    expect_content(p, "b", "new");
    assert_int_equal(lort_os_rename(p->dir, "none", "c", false, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_make_dir(p->dir, "d", 0700, &err), LORT_OK);
    assert_int_equal(lort_os_make_dir(p->dir, "e", 0700, &err), LORT_OK);
    assert_int_equal(lort_os_rename(p->dir, "d", "e", false, &err), LORT_E_EXISTS);
    assert_int_equal(lort_os_rename(p->dir, "b", "e", true, &err),
                     LORT_E_WRITE); /* a directory is never replaced by a file */
    assert_non_null(strstr(err.message, "rename to"));
    assert_int_equal(lort_os_rename(p->dir, "d", "f", false, &err), LORT_OK);
    assert_true(!is_there(p, "d") && is_there(p, "e") && is_there(p, "f") && is_there(p, "b"));
    assert_int_equal(lort_os_dir_sync(p->dir, &err), LORT_OK);
    assert_int_equal(lort_os_remove(p->dir, "e", false, &err), LORT_E_WRITE);
    assert_int_equal(lort_os_remove(p->dir, "e", true, &err), LORT_OK);
    assert_int_equal(lort_os_remove(p->dir, "e", true, &err), LORT_E_WRITE);
}

static void renames_replace_only_when_asked(void **state) { try_renames(*state); }

static void renames_without_renameat2(void **state)
{
    no_renameat2 = EINVAL;
    try_renames(*state);
}

typedef struct listing {
    char text[256];
    int stop;
} listing;

static lort_code collect(void *ctx, const char *name, lort_error *err)
{
    listing *l = ctx;
    strcat(strcat(l->text, name), " ");
    return --l->stop == 0 ? lort_fail(err, LORT_E_STOPPED, "enough") : LORT_OK;
}

static void lists_are_sorted(void **state)
{
    place *p = *state;
    static const char *const names[] = {"b", "a", "B", "\303\251", "a.b", ".hidden"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        make_closed(p, names[i], "", 0);
    listing all = {.stop = 0}, two = {.stop = 2}, again = {.stop = 0};
    assert_int_equal(lort_os_dir_list(p->dir, collect, &all, NULL), LORT_OK);
    assert_string_equal(all.text, ".hidden B a a.b b \303\251 ");
    assert_int_equal(lort_os_dir_list(p->dir, collect, &two, NULL), LORT_E_STOPPED);
    assert_string_equal(two.text, ".hidden B ");
    assert_int_equal(lort_os_dir_list(p->dir, collect, &again, NULL), LORT_OK);
    assert_string_equal(again.text, all.text);
}

static void paths_are_split(void **state)
{
    static const struct {
        const char *path, *dir, *name;
    } good[] = {{"Makefile", ".", "Makefile"},
                {"loader/os/os.h", "loader/os", "os.h"},
                {"/etc", "/", "etc"},
                {"./loader/os//os.h", "./loader/os/", "os.h"}};
    static const char *const bad[] = {"", "/", "loader/", ".", "..", "loader/.."};
    lort_dir *dir = NULL;
    const char *name = NULL;
    lort_error err = {0};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(lort_os_dir_of(good[i].path, &dir, &name, &err), LORT_OK);
        assert_string_equal(lort_os_dir_path(dir), good[i].dir);
        assert_string_equal(name, good[i].name);
        lort_os_dir_close(dir);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(lort_os_dir_of(bad[i], &dir, &name, &err), LORT_E_USAGE);
        assert_true(!dir && !name);
    }
    assert_int_equal(lort_os_dir_of("no/such/place", &dir, &name, &err), LORT_E_INPUT);
    assert_null(dir);
    lort_os_dir_close(NULL);
}

/* ---- mappings ---- */
static char *filled(size_t n)
{
    char *bytes = malloc(n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 31 + 1);
    return bytes;
}

static void maps_show_the_file(void **state)
{
    place *p = *state;
    size_t n = 3 * lort_os_page_size() + 100;
    char *bytes = filled(n);
    lort_file *file = make(p, "file", bytes, n);
    lort_map *map = NULL;
    lort_error err = {0};
    assert_int_equal(lort_os_map(file, n, &map, &err), LORT_OK);
    assert_memory_equal(lort_os_map_data(map), bytes, n);
    lort_os_map_advise(map, 0, n, LORT_SEQUENTIAL, false);
    lort_os_map_advise(map, 0, UINT64_MAX, LORT_WILL_NEED, false);
    lort_os_map_advise(map, 0, UINT64_MAX, LORT_DONT_NEED, true);
    lort_os_map_advise(map, UINT64_MAX, 1, LORT_DONT_NEED, true);
    lort_os_map_advise(map, 5, 0, LORT_DONT_NEED, true);
    assert_memory_equal(lort_os_map_data(map), bytes, n);
    assert_false(lort_os_map_faulted(map));
    lort_os_unmap(map);
    map = (lort_map *)p;
    assert_int_equal(lort_os_map(file, 0, &map, &err), LORT_E_MEMORY);
    assert_null(map);
    lort_os_unmap(NULL);
    lort_os_close(file, NULL);
    free(bytes);
}

static uint64_t touch(const volatile uint8_t *data, size_t n, size_t page)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i += page)
        sum += data[i];
    return sum;
}

static void a_shrunken_file_does_not_kill(void **state)
{
    place *p = *state;
    size_t page = (size_t)lort_os_page_size(), n = 8 * page;
    char *bytes = filled(n);
    lort_file *file = make(p, "file", bytes, n), *other = make(p, "other", bytes, n);
    lort_map *map = NULL, *healthy = NULL;
    assert_int_equal(lort_os_map(file, n, &map, NULL), LORT_OK);
    assert_int_equal(lort_os_map(other, n, &healthy, NULL), LORT_OK);
    touch(lort_os_map_data(map), n, page);
    assert_false(lort_os_map_faulted(map));

    assert_int_equal(lort_os_truncate(file, 2 * page, NULL), LORT_OK);
    const volatile uint8_t *data = lort_os_map_data(map);
    errno = 0;
    assert_int_equal(data[page], (uint8_t)bytes[page]); /* still there */
    assert_false(lort_os_map_faulted(map));
    assert_int_equal(data[5 * page + 17], 0);
    assert_true(lort_os_map_faulted(map));
    assert_int_equal(touch(data + 2 * page, 6 * page, page), 0);
    assert_int_equal(errno, 0);
    assert_memory_equal(lort_os_map_data(healthy), bytes, n);
    assert_false(lort_os_map_faulted(healthy));
    lort_os_unmap(map);
    /* A slot that is used again starts clean. */
    assert_int_equal(lort_os_map(other, n, &map, NULL), LORT_OK);
    assert_false(lort_os_map_faulted(map));
    lort_os_unmap(map);
    lort_os_unmap(healthy);
    lort_os_close(file, NULL);
    lort_os_close(other, NULL);
    free(bytes);
}

static void seen_elsewhere(int number, siginfo_t *info, void *context)
{
    _exit(info->si_code > 0 ? 42 : 43);
}
static void seen_simple(int number) { _exit(44); }

/* A registered mapping exists; then a mapping that is not ours faults. */
static void fault_elsewhere(place *p)
{
    size_t page = (size_t)lort_os_page_size();
    char *bytes = filled(4 * page);
    lort_file *file = make(p, "mine", bytes, 4 * page), *other = make(p, "other", bytes, 4 * page);
    lort_map *map = NULL;
    if (lort_os_map(file, 4 * page, &map, NULL) || lort_os_truncate(file, page, NULL) ||
        lort_os_truncate(other, page, NULL))
        _exit(1);
    touch(lort_os_map_data(map), 4 * page, page);
    int fd = open(in(p, "other"), O_RDONLY);
    const uint8_t *data = mmap(NULL, 4 * page, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED || !lort_os_map_faulted(map))
        _exit(2);
    touch(data, 4 * page, page);
    _exit(3);
}

static void fault_with_siginfo(place *p)
{
    struct sigaction action = {.sa_sigaction = seen_elsewhere, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
    fault_elsewhere(p);
}

static void fault_with_handler(place *p)
{
    signal(SIGBUS, seen_simple);
    fault_elsewhere(p);
}

static void fault_ignored(place *p)
{
    signal(SIGBUS, SIG_IGN);
    fault_elsewhere(p);
}

static lort_map *any_map(place *p)
{
    lort_map *map = NULL;
    if (lort_os_map(make(p, "mine", "x", 1), 1, &map, NULL))
        _exit(1);
    return map;
}

static void sent_by_kill(place *p)
{
    struct sigaction action = {.sa_sigaction = seen_elsewhere, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
    any_map(p);
    raise(SIGBUS);
    _exit(3);
}

static void sent_by_kill_default(place *p)
{
    any_map(p);
    raise(SIGBUS);
    _exit(3);
}

static void sent_by_kill_ignored(place *p)
{
    signal(SIGBUS, SIG_IGN);
    any_map(p);
    raise(SIGBUS);
    _exit(45);
}

/* Runs first: the previous handler is the one at the process's first mapping, made in the
 * children. */
static void other_bus_errors_reach_the_previous_handler(void **state)
{
    static const struct {
        void (*run)(place *);
        int result;
        bool killed;
    } cases[] = {{fault_with_siginfo, 42, false},  {fault_with_handler, 44, false},
                 {fault_elsewhere, SIGBUS, true},  {fault_ignored, SIGBUS, true},
                 {sent_by_kill, 43, false},        {sent_by_kill_default, SIGBUS, true},
                 {sent_by_kill_ignored, 45, false}};
    place *p = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool killed = false;
        assert_int_equal(in_child(cases[i].run, p, &killed), cases[i].result);
        assert_int_equal(killed, cases[i].killed);
        assert_int_equal(lort_os_dir_list(p->dir, remove_name, p->dir, NULL), LORT_OK);
    }
}

typedef struct churn {
    lort_file *good, *bad;
    size_t page;
    atomic_int wrong;
} churn;

/* Maps come and go on every thread while others fault. Each must see its own flag and no
 * other's. */
static void churn_maps(void *ctx)
{
    churn *c = ctx;
    for (int i = 0; i < 150; i++) {
        lort_map *good = NULL, *bad = NULL;
        if (lort_os_map(c->good, 4 * c->page, &good, NULL) ||
            lort_os_map(c->bad, 4 * c->page, &bad, NULL))
            atomic_fetch_add(&c->wrong, 1);
        else if (touch(lort_os_map_data(bad) + c->page, 3 * c->page, c->page) != 0 ||
                 !lort_os_map_faulted(bad))
            atomic_fetch_add(&c->wrong, 1);
        else if (touch(lort_os_map_data(good), 4 * c->page, c->page) == 0 ||
                 lort_os_map_faulted(good))
            atomic_fetch_add(&c->wrong, 1);
        lort_os_unmap(bad);
        lort_os_unmap(good);
    }
}

static void faults_on_many_threads(void **state)
{
    place *p = *state;
    size_t page = (size_t)lort_os_page_size();
    char *bytes = filled(4 * page);
    churn c = {
        .good = make(p, "good", bytes, 4 * page), .bad = make(p, "bad", bytes, page), .page = page};
    lort_thread *threads[4] = {NULL};
    for (int i = 0; i < 4; i++)
        assert_int_equal(lort_os_thread_start(churn_maps, &c, 1 << 16, &threads[i], NULL), LORT_OK);
    for (int i = 0; i < 4; i++)
        lort_os_thread_join(threads[i]);
    assert_int_equal(atomic_load(&c.wrong), 0);
    lort_os_close(c.good, NULL);
    lort_os_close(c.bad, NULL);
    free(bytes);
}

static void a_full_registry_refuses(void **state)
{
    enum { MOST = 4096 };
    place *p = *state;
    lort_file *file = make(p, "file", "x", 1);
    lort_map **maps = calloc(MOST + 1, sizeof *maps);
    lort_error err = {0};
    for (int i = 0; i < MOST; i++)
        assert_int_equal(lort_os_map(file, 1, &maps[i], &err), LORT_OK);
    assert_int_equal(lort_os_map(file, 1, &maps[MOST], &err), LORT_E_MEMORY);
    assert_null(maps[MOST]);
    lort_os_unmap(maps[77]);
    assert_int_equal(lort_os_map(file, 1, &maps[77], &err), LORT_OK);
    for (int i = 0; i < MOST; i++)
        lort_os_unmap(maps[i]);
    free(maps);
    lort_os_close(file, NULL);
}

static void need_proc(void)
{
    if (access("/proc/self/pagemap", R_OK) != 0) {
        print_message("skipped: no /proc\n");
        skip();
    }
}

static void map_without_address_space(place *p)
{
    lort_process_memory now;
    lort_file *file = make(p, "large", "x", 1);
    lort_map *map = NULL;
    uint8_t byte = 0;
    lort_os_process_memory(&now);
    struct rlimit limit = {now.virtual_bytes + (64u << 20), RLIM_INFINITY};
    if (lort_os_truncate(file, 1u << 30, NULL) || setrlimit(RLIMIT_AS, &limit) != 0)
        _exit(1);
    if (lort_os_map(file, 1u << 30, &map, NULL) != LORT_E_MEMORY || map ||
        lort_os_address_space(1u << 30))
        _exit(2);
    if (!lort_os_address_space(1u << 20) || lort_os_read(file, &byte, 1, 0, NULL) || byte != 'x')
        _exit(3);
    _exit(0);
}

static void no_address_space_is_a_memory_error(void **state)
{
    if (SANITIZED) {
        print_message("skipped: a sanitizer's address space cannot be limited\n");
        skip();
    }
    need_proc();
    assert_int_equal(in_child(map_without_address_space, *state, NULL), 0);
}

/* An eighth of 256 MiB is room for two of three. */
static void map_with_little_address_space(place *p)
{
    lort_process_memory now;
    lort_map *maps[3] = {NULL};
    lort_file *files[3];
    for (int i = 0; i < 3; i++) {
        files[i] = make(p, (const char *[]){"a", "b", "c"}[i], "x", 1);
        if (lort_os_truncate(files[i], 12u << 20, NULL))
            _exit(1);
    }
    lort_os_process_memory(&now);
    struct rlimit limit = {now.virtual_bytes + (256u << 20), RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        _exit(1);
    if (lort_os_map(files[0], 12u << 20, &maps[0], NULL) ||
        lort_os_map(files[1], 12u << 20, &maps[1], NULL))
        _exit(2);
    if (lort_os_map(files[2], 12u << 20, &maps[2], NULL) != LORT_E_MEMORY || maps[2])
        _exit(3);
    lort_os_unmap(maps[0]);
    if (lort_os_map(files[2], 12u << 20, &maps[2], NULL))
        _exit(4);
    _exit(0);
}

static void mappings_leave_address_space_to_memory(void **state)
{
    if (SANITIZED) {
        print_message("skipped: a sanitizer's address space cannot be limited\n");
        skip();
    }
    need_proc();
    assert_int_equal(in_child(map_with_little_address_space, *state, NULL), 0);
}

static void take_a_little(void *ctx) { *(void **)ctx = malloc(100); }

/* A heap of a thread's own would take 64 MiB of address space or more. */
static void start_threads_with_little_address_space(place *p)
{
    lort_process_memory before, after;
    lort_thread *thread;
    void *little = NULL;
    (void)p;
    lort_os_process_memory(&before);
    struct rlimit limit = {before.virtual_bytes + (512u << 20), RLIM_INFINITY};
    if (setrlimit(RLIMIT_AS, &limit) != 0 ||
        lort_os_thread_start(take_a_little, &little, 64 << 10, &thread, NULL))
        _exit(1);
    lort_os_thread_join(thread);
    lort_os_process_memory(&after);
    free(little);
    _exit(after.virtual_bytes - before.virtual_bytes > 32u << 20 ? 2 : 0);
}

static void threads_leave_address_space_to_memory(void **state)
{
    if (SANITIZED) {
        print_message("skipped: a sanitizer's address space cannot be limited\n");
        skip();
    }
    need_proc();
    assert_int_equal(in_child(start_threads_with_little_address_space, *state, NULL), 0);
}

static size_t resident(lort_file *file, size_t n)
{
    unsigned char *pages = calloc(n / 4096, 1);
    lort_map *map = NULL;
    size_t count = 0;
    assert_int_equal(lort_os_map(file, n, &map, NULL), LORT_OK);
    assert_int_equal(mincore((void *)(uintptr_t)lort_os_map_data(map), n, pages), 0);
    for (size_t i = 0; i < n / lort_os_page_size(); i++)
        count += pages[i] & 1;
    lort_os_unmap(map);
    free(pages);
    return count;
}

/* Bit 63 of a pagemap entry: the page is in our page table. */
static bool present(const uint8_t *data)
{
    uint64_t entry = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY);
    off_t at = (off_t)((uintptr_t)data / lort_os_page_size() * sizeof entry);
    bool known = fd >= 0 && pread(fd, &entry, sizeof entry, at) == (ssize_t)sizeof entry;
    close(fd);
    assert_true(known);
    return entry >> 63;
}

/* LoRT releases only whole pages inside the range: somebody may still want a page that a neighbour
 * shares. */
static void release_goes_inwards(void **state)
{
    need_proc();
    place *p = *state;
    const size_t page = (size_t)lort_os_page_size(), n = 6 * page + 10;
    char *bytes = filled(n);
    lort_file *file = make(p, "file", bytes, n);
    lort_map *map = NULL;
    assert_int_equal(lort_os_map(file, n, &map, NULL), LORT_OK);
    const uint8_t *data = lort_os_map_data(map);
    touch(data, n, page);
    lort_os_map_advise(map, page / 2, page, LORT_DONT_NEED, false);
    for (size_t i = 0; i < 7; i++)
        assert_true(present(data + i * page));
    lort_os_map_advise(map, page / 2, 3 * page, LORT_DONT_NEED, false);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(present(data + i * page), i != 1 && i != 2);
    /* To the end: the last page has no neighbour. */
    lort_os_map_advise(map, 5 * page - 1, n, LORT_DONT_NEED, false);
    assert_true(present(data + 4 * page) && !present(data + 5 * page) && !present(data + 6 * page));
    assert_memory_equal(data, bytes, n);
    lort_os_unmap(map);
    lort_os_close(file, NULL);
    free(bytes);
}

static void released_pages_leave(void **state)
{
    need_proc();
    place *p = *state;
    const size_t n = 16u << 20, page = (size_t)lort_os_page_size();
    char *bytes = filled(n);
    lort_file *file = make(p, "file", bytes, n);
    lort_map *map = NULL;
    lort_process_memory before, touched, after;
    struct statfs fs;
    assert_int_equal(lort_os_sync(file, NULL), LORT_OK);
    assert_int_equal(lort_os_map(file, n, &map, NULL), LORT_OK);
    lort_os_process_memory(&before);
    touch(lort_os_map_data(map), n, page);
    lort_os_process_memory(&touched);
    lort_os_map_advise(map, 0, n, LORT_DONT_NEED, false);
    lort_os_process_memory(&after);
    assert_int_equal(statfs(p->path, &fs), 0);
    /* tmpfs has no cache to drop; its pages count as shmem. */
    bool cached = fs.f_type != 0x01021994;
    if (cached) {
        assert_true(touched.file_bytes >= before.file_bytes + n * 9 / 10);
        assert_true(after.file_bytes + n * 9 / 10 <= touched.file_bytes);
        assert_int_equal(resident(file, n), n / page);
        touch(lort_os_map_data(map), n, page);
        lort_os_map_advise(map, 0, n, LORT_DONT_NEED, true);
        assert_true(resident(file, n) <= n / page / 4);
    } else
        assert_true(after.rss_bytes + n * 9 / 10 <= touched.rss_bytes);
    assert_memory_equal(lort_os_map_data(map), bytes, n);
    lort_os_unmap(map);
    lort_os_close(file, NULL);
    free(bytes);
}

static void pages_are_zero_and_countable(void **state)
{
    need_proc();
    const uint64_t n = 32u << 20;
    lort_process_memory before, after;
    lort_os_process_memory(&before);
    uint8_t *pages = lort_os_pages(n);
    assert_non_null(pages);
    assert_int_equal((uintptr_t)pages % lort_os_page_size(), 0);
    assert_int_equal(touch(pages, n, 4096), 0);
    memset(pages, 1, n);
    lort_os_process_memory(&after);
    assert_true(after.anon_bytes >= before.anon_bytes + n * 9 / 10);
    assert_true(after.rss_bytes >= after.anon_bytes && after.peak_rss_bytes >= n &&
                after.virtual_bytes > after.data_bytes);
    lort_os_pages_free(pages, n);
    lort_os_pages_free(NULL, 1);
    assert_null(lort_os_pages(0));
    assert_null(lort_os_pages(UINT64_C(1) << 62));
    assert_false(lort_os_address_space(UINT64_C(1) << 62));
    assert_true(lort_os_address_space(1 << 20) && lort_os_address_space(0));
}

/* ---- threads, clock ---- */
typedef struct meeting {
    lort_mutex *mutex;
    lort_cond *cond;
    int turn;
    sigset_t blocked;
} meeting;

static void answer(void *ctx)
{
    meeting *m = ctx;
    lort_os_lock_mutex(m->mutex);
    while (m->turn != 1)
        lort_os_wait(m->cond, m->mutex);
    pthread_sigmask(SIG_SETMASK, NULL, &m->blocked);
    m->turn = 2;
    lort_os_wake_all(m->cond);
    lort_os_unlock_mutex(m->mutex);
}

static void threads_meet(void **state)
{
    meeting m = {.turn = 0};
    lort_thread *thread = NULL;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(lort_os_mutex_open(&m.mutex, NULL), LORT_OK);
    assert_int_equal(lort_os_cond_open(&m.cond, NULL), LORT_OK);
    /* The smallest stack. */
    assert_int_equal(lort_os_thread_start(answer, &m, 1, &thread, NULL), LORT_OK);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
    lort_os_lock_mutex(m.mutex);
    m.turn = 1;
    lort_os_wake_all(m.cond);
    while (m.turn != 2)
        lort_os_wait(m.cond, m.mutex);
    lort_os_unlock_mutex(m.mutex);
    lort_os_thread_join(thread);
    assert_true(sigismember(&m.blocked, SIGTERM) && sigismember(&m.blocked, SIGINT) &&
                sigismember(&m.blocked, SIGUSR1));
    assert_false(sigismember(&m.blocked, SIGBUS) || sigismember(&m.blocked, SIGSEGV));
    lort_os_cond_close(m.cond);
    lort_os_mutex_close(m.mutex);
    lort_error err = {0};
    thread = (lort_thread *)&m;
    assert_int_equal(lort_os_thread_start(answer, &m, UINT64_C(1) << 55, &thread, &err),
                     LORT_E_MEMORY);
    assert_null(thread);
    lort_os_thread_join(NULL);
    lort_os_mutex_close(NULL);
    lort_os_cond_close(NULL);
}

static void the_clock_and_the_texts(void **state)
{
    place *p = *state;
    uint64_t first = lort_os_clock_ns();
    usleep(2000);
    assert_in_range(lort_os_clock_ns() - first, 2000000, UINT64_C(60000000000));
    char text[8];
    make_closed(p, "text", "0123456789", 10);
    assert_true(lort_os_read_text(in(p, "text"), text, sizeof text));
    assert_string_equal(text, "0123456");
    assert_false(lort_os_read_text(in(p, "none"), text, sizeof text));
    assert_string_equal(text, "");
    assert_false(lort_os_read_text(p->path, text, sizeof text));
    unsigned affinity = 0, quota = 0;
    lort_os_cpus("", &affinity, &quota);
    assert_in_range(affinity, 1, 8192);
    lort_limits limits;
    lort_os_limits(&limits);
    assert_true(limits.address_space > 0 && limits.data > 0);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* Names that are streams, and names that only publish may replace. */
static void names_are_told_apart(void **state)
{
    int ends[2];
    char name[64];
    lort_stream *stream;
    assert_int_equal(pipe(ends), 0);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[1]);
    assert_int_equal(lort_os_name_kind(name), LORT_NAME_STREAM);
    assert_int_equal(lort_os_stream_open(name, &stream, NULL), LORT_OK);
    assert_int_equal(lort_os_stream_write(stream, "text", 4, NULL, NULL, NULL), LORT_OK);
    assert_int_equal(lort_os_stream_close(stream, NULL), LORT_OK);
    assert_int_equal(read(ends[0], name, sizeof name), 4);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]); /* open for reading only */
    assert_int_equal(lort_os_stream_open(name, &stream, NULL), LORT_E_WRITE);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(lort_os_name_kind("/dev/null"), LORT_NAME_STREAM);
    assert_int_equal(lort_os_name_kind("/dev/stdout"), LORT_NAME_STREAM);
    assert_int_equal(lort_os_name_kind("/"), LORT_NAME_DIRECTORY);
    assert_int_equal(lort_os_name_kind("/nowhere/at/all"), LORT_NAME_FREE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(other_bus_errors_reach_the_previous_handler),
        IN_PLACE(only_regular_files_open),
        IN_PLACE(stat_tells_what_is_there),
        IN_PLACE(created_files_are_new_and_private),
        IN_PLACE(found_files_are_opened_without_links),
        IN_PLACE(a_look_does_not_follow),
        IN_PLACE(reads_and_writes_are_whole),
        IN_PLACE(a_full_disk_is_told),
        IN_PLACE(one_writer_holds_the_lock),
        IN_PLACE(renames_replace_only_when_asked),
        IN_PLACE(renames_without_renameat2),
        IN_PLACE(lists_are_sorted),
        cmocka_unit_test(paths_are_split),
        cmocka_unit_test(names_are_told_apart),
        IN_PLACE(maps_show_the_file),
        IN_PLACE(a_shrunken_file_does_not_kill),
        IN_PLACE(faults_on_many_threads),
        IN_PLACE(a_full_registry_refuses),
        IN_PLACE(no_address_space_is_a_memory_error),
        IN_PLACE(mappings_leave_address_space_to_memory),
        IN_PLACE(threads_leave_address_space_to_memory),
        IN_PLACE(release_goes_inwards),
        IN_PLACE(released_pages_leave),
        cmocka_unit_test(pages_are_zero_and_countable),
        cmocka_unit_test(threads_meet),
        IN_PLACE(the_clock_and_the_texts),
    };
    return run_chosen(tests, NULL, NULL);
}
