/* fault.so: makes calls of an unchanged program fail on purpose, by LD_PRELOAD. It counts only
 * calls that the program itself makes. Allocations count also from libjansson, libzstd and
 * libxxhash, which allocate for the program. All other calls pass.
 *
 *   LORT_FAULT=KIND:N[:ERROR]   the N-th call of KIND fails once; "N+": all from the N-th on.
 *                               ERROR: a name of errno, or short (read, write)
 *   LORT_FAULT=short-write, short-read, eintr
 *                               every write (read) moves half of its bytes; every first try is
 *                               interrupted
 *   LORT_FAULT=lock-lies        every lock is granted, to everybody, as on some shared disks
 *   LORT_FAULT=lose:MS, lose-at:N, lose-end
 *                               the power goes after MS milliseconds, at the N-th call that changes
 *                               a file, or at the end of the program: see lose.c
 *   LORT_FAULT_SEED=S           lose: selects which unsynced changes survive; 0 (default): none
 *   LORT_FAULT_COUNT=FILE       at the end, and at the fault, it writes there: calls of each kind,
 *                               and whether it delivered the fault
 *
 * The table below lists the values of KIND. With the address sanitizer set
 * ASAN_OPTIONS=verify_asan_link_order=0 and use gcc's sanitizer, whose runtime is a library. */
#define _GNU_SOURCE
#include "tests/fault/fault.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static_assert(sizeof(off_t) == sizeof(off64_t),
              "the calls with 64 in their name are those without");

#define EXPORT __attribute__((visibility("default")))
#define ALSO(name) __attribute__((visibility("default"), alias(name)))
#define CALLER __builtin_extract_return_addr(__builtin_return_address(0))
/* initial-exec: no allocation at first use */
#define PER_THREAD static _Thread_local __attribute__((tls_model("initial-exec")))

typedef enum kind {
    ALLOC,
    PAGES,
    MAP,
    THREAD,
    OPEN,
    OPEN_READ,
    READ,
    WRITE,
    FSYNC,
    TRUNCATE,
    CLOSE,
    RENAME,
    UNLINK,
    MKDIR,
    LOCK,
    STAT,
    LIST,
    KINDS
} kind;

static const struct {
    const char *name;
    int error;
    bool interrupted; /* may end with EINTR before it did anything */
} kinds[KINDS] = {
    /* pages: anonymous mappings */
    [ALLOC] = {"alloc", ENOMEM, false}, [PAGES] = {"pages", ENOMEM, false},
    [MAP] = {"mmap", ENOMEM, false},    [THREAD] = {"thread", EAGAIN, false},
    [OPEN] = {"open", ENOSPC, true},    [OPEN_READ] = {"open-read", EIO, true},
    [READ] = {"read", EIO, true},       [WRITE] = {"write", ENOSPC, true},
    [FSYNC] = {"fsync", EIO, true},     [TRUNCATE] = {"truncate", EIO, true},
    [CLOSE] = {"close", EIO, false},    [RENAME] = {"rename", EIO, false},
    [UNLINK] = {"unlink", EIO, false},  [MKDIR] = {"mkdir", ENOSPC, false},
    [LOCK] = {"lock", ENOLCK, true},    [STAT] = {"stat", EIO, false},
    [LIST] = {"list", EIO, false},
};

#define SHORT (-1) /* in the place of an errno value */
static const struct {
    const char *name;
    int value;
} errors[] = {{"short", SHORT},   {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EINTR", EINTR},
              {"EXDEV", EXDEV},   {"ENOMEM", ENOMEM}, {"EAGAIN", EAGAIN}, {"EACCES", EACCES},
              {"EDQUOT", EDQUOT}, {"EFBIG", EFBIG},   {"EROFS", EROFS},   {"EMFILE", EMFILE},
              {"ENFILE", ENFILE}, {"EINVAL", EINVAL}, {"ENOSYS", ENOSYS}, {"ENOENT", ENOENT},
              {"EPERM", EPERM},   {"ESTALE", ESTALE}, {"EEXIST", EEXIST}, {"ENOLCK", ENOLCK}};

static struct {
    kind kind; /* KINDS: no fault */
    uint64_t at;
    bool on; /* also all calls after it */
    int error;
    bool short_write, short_read, eintr, lock_lies;
} plan = {.kind = KINDS};

static _Atomic uint64_t seen[KINDS];
static atomic_bool delivered;
static int count_fd = -1;
static bool ready; /* the program's own code runs */

/* ---- the functions that were there before ---- */

fault_real real;

#define REAL(f)                                                                                    \
    {                                                                                              \
#f, offsetof(fault_real, f)                                                                \
    }
static const struct {
    const char *name;
    size_t at;
} names[] = {REAL(malloc),         REAL(calloc),        REAL(realloc),        REAL(free),
             REAL(posix_memalign), REAL(aligned_alloc), REAL(strdup),         REAL(strndup),
             REAL(openat64),       REAL(fopen64),       REAL(fdopendir),      REAL(read),
             REAL(pread64),        REAL(write),         REAL(pwrite64),       REAL(fsync),
             REAL(fdatasync),      REAL(ftruncate64),   REAL(close),          REAL(renameat),
             REAL(linkat),         REAL(unlinkat),      REAL(mkdirat),        REAL(fcntl64),
             REAL(syscall),        REAL(mmap64),        REAL(pthread_create), REAL(stat64),
             REAL(fstat64),        REAL(fstatat64)};

static bool loaded, loading;

/* Returns false while it looks the functions up. Allocations of dlsym itself then come from
 * `room`. */
static bool load(void)
{
    if (loaded || loading)
        return loaded;
    loading = true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *found = dlsym(RTLD_NEXT, names[i].name);
        if (!found && !strstr(names[i].name, "stat"))
            abort();
        memcpy((char *)&real + names[i].at, &found, sizeof found);
    }
    loading = false;
    return loaded = true;
}

static _Alignas(64) unsigned char room[16384];
static size_t room_used;

static void *from_room(size_t n)
{
    size_t at = room_used;
    room_used = (at + n + 63) / 64 * 64;
    return room_used <= sizeof room ? room + at : NULL;
}

static bool in_room(const void *p)
{
    return (const unsigned char *)p >= room && (const unsigned char *)p < room + sizeof room;
}

/* ---- who calls ---- */

typedef struct range {
    uintptr_t start, end;
    bool main;
} range;
static range ranges[64];
static size_t range_count;

static int add_ranges(struct dl_phdr_info *info, size_t size, void *ctx)
{
    static const char *const ours[] = {"/libjansson.", "/libzstd.", "/libxxhash."};
    bool *first = ctx, is_main = *first, wanted = is_main;
    *first = false;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        wanted |= strstr(info->dlpi_name, ours[i]) != NULL;
    for (int i = 0; wanted && i < info->dlpi_phnum && range_count < sizeof ranges / sizeof *ranges;
         i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_X))
            ranges[range_count++] =
                (range){info->dlpi_addr + part->p_vaddr,
                        info->dlpi_addr + part->p_vaddr + part->p_memsz, is_main};
    }
    return 0;
}

static bool counts(kind k, const void *caller)
{
    const uintptr_t at = (uintptr_t)caller;
    for (size_t i = 0; ready && i < range_count; i++)
        if (at >= ranges[i].start && at < ranges[i].end)
            return ranges[i].main || k == ALLOC;
    return false;
}

/* ---- counting and delivery ---- */

void fault_say(void)
{
    char text[1024];
    int used = 0, saved = errno;
    if (count_fd < 0)
        return;
    for (int i = 0; i < KINDS; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%-10s %12llu\n", kinds[i].name,
                         (unsigned long long)seen[i]);
    used += snprintf(text + used, sizeof text - (size_t)used, "%-10s %12d\n", "delivered",
                     (int)delivered);
    if (real.pwrite64(count_fd, text, (size_t)used, 0) != used)
        abort();
    errno = saved;
}

void fault_delivered(void)
{
    delivered = true;
    fault_say();
}

/* Returns 0 if the call goes on, else its errno value, or SHORT. */
static int strike(kind k, const void *caller)
{
    PER_THREAD bool tried[KINDS];
    if (!counts(k, caller))
        return 0;
    const uint64_t n = atomic_fetch_add(&seen[k], 1) + 1;
    if (plan.eintr && kinds[k].interrupted && (tried[k] = !tried[k])) {
        delivered = true;
        return EINTR;
    }
    if ((plan.short_write && k == WRITE) || (plan.short_read && k == READ)) {
        delivered = true;
        return SHORT;
    }
    if (plan.kind != k || n < plan.at || (n > plan.at && !plan.on))
        return 0;
    fault_delivered();
    return plan.error;
}

/* Sets errno; true if the call fails. */
static bool fails(kind k, const void *caller)
{
    const int why = strike(k, caller);
    if (why)
        errno = why;
    return why != 0;
}

static bool loses(const void *caller) { return lose_on && counts(OPEN, caller); }

/* ---- memory ---- */

EXPORT void *malloc(size_t n)
{
    if (!load())
        return from_room(n);
    return fails(ALLOC, CALLER) ? NULL : real.malloc(n);
}

EXPORT void *calloc(size_t count, size_t n)
{
    if (!load()) /* the room is zero, and each byte of it is given once */
        return n && count > sizeof room / n ? NULL : from_room(count * n);
    return fails(ALLOC, CALLER) ? NULL : real.calloc(count, n);
}

EXPORT void *realloc(void *old, size_t n)
{
    if (!load() || in_room(old)) {
        void *grown = loaded ? real.malloc(n) : from_room(n);
        const size_t rest = old ? (size_t)(room + sizeof room - (unsigned char *)old) : 0;
        if (grown && old)
            memcpy(grown, old, n < rest ? n : rest);
        return grown;
    }
    return fails(ALLOC, CALLER) ? NULL : real.realloc(old, n);
}

EXPORT void free(void *p)
{
    if (!in_room(p) && load())
        real.free(p);
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t n)
{
    load();
    return fails(ALLOC, CALLER) ? ENOMEM : real.posix_memalign(out, alignment, n);
}

EXPORT void *aligned_alloc(size_t alignment, size_t n)
{
    load();
    return fails(ALLOC, CALLER) ? NULL : real.aligned_alloc(alignment, n);
}

EXPORT char *strdup(const char *text)
{
    load();
    return fails(ALLOC, CALLER) ? NULL : real.strdup(text);
}

EXPORT char *strndup(const char *text, size_t n)
{
    load();
    return fails(ALLOC, CALLER) ? NULL : real.strndup(text, n);
}

EXPORT void *mmap64(void *where, size_t n, int protection, int flags, int fd, off64_t at)
{
    load();
    return fails(flags & MAP_ANONYMOUS ? PAGES : MAP, CALLER)
               ? MAP_FAILED
               : real.mmap64(where, n, protection, flags, fd, at);
}
void *mmap(void *, size_t, int, int, int, off_t) ALSO("mmap64");

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *),
                          void *ctx)
{
    load();
    const int why = strike(THREAD, CALLER);
    return why ? why : real.pthread_create(thread, how, run, ctx);
}

/* ---- opening and closing ---- */

static int open_at(int dir, const char *path, int flags, mode_t mode, const void *caller)
{
    const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    load();
    if (fails(writes ? OPEN : OPEN_READ, caller))
        return -1;
    return writes && loses(caller) ? lose_open(dir, path, flags, mode)
                                   : real.openat64(dir, path, flags, mode);
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? (mode_t)va_arg(args, int) : 0;
}

EXPORT int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = mode_of(flags, args);
    va_end(args);
    return open_at(AT_FDCWD, path, flags, mode, CALLER);
}
int open(const char *, int, ...) ALSO("open64");

EXPORT int openat64(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = mode_of(flags, args);
    va_end(args);
    return open_at(dir, path, flags, mode, CALLER);
}
int openat(int, const char *, int, ...) ALSO("openat64");

/* The names of these functions where _FORTIFY_SOURCE checks them. */
EXPORT int __open64_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags)
{
    return open_at(AT_FDCWD, path, flags, 0, CALLER);
}
EXPORT int __openat64_2(int dir, const char *path, int flags);
EXPORT int __openat64_2(int dir, const char *path, int flags)
{
    return open_at(dir, path, flags, 0, CALLER);
}

EXPORT FILE *fopen64(const char *path, const char *how)
{
    load();
    return fails(strpbrk(how, "wa+") ? OPEN : OPEN_READ, CALLER) ? NULL : real.fopen64(path, how);
}
FILE *fopen(const char *, const char *) ALSO("fopen64");

EXPORT DIR *fdopendir(int fd)
{
    load();
    return fails(LIST, CALLER) ? NULL : real.fdopendir(fd);
}

static bool is_written(int fd)
{
    struct stat st;
    const int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && fstat(fd, &st) == 0 &&
           S_ISREG(st.st_mode);
}

EXPORT int close(int fd)
{
    load();
    if (!ready || !is_written(fd) || !fails(CLOSE, CALLER))
        return real.close(fd);
    const int why = errno;
    real.close(fd); /* the descriptor is closed all the same */
    errno = why;
    return -1;
}

/* ---- content ---- */

static ssize_t get(int fd, void *to, size_t n, off64_t at, bool positioned, const void *caller)
{
    load();
    const int why = strike(READ, caller);
    if (why == SHORT && n > 1)
        n /= 2;
    else if (why > 0) {
        errno = why;
        return -1;
    }
    return positioned ? real.pread64(fd, to, n, at) : real.read(fd, to, n);
}

EXPORT ssize_t read(int fd, void *to, size_t n) { return get(fd, to, n, 0, false, CALLER); }
EXPORT ssize_t pread64(int fd, void *to, size_t n, off64_t at)
{
    return get(fd, to, n, at, true, CALLER);
}
ssize_t pread(int, void *, size_t, off_t) ALSO("pread64");
EXPORT ssize_t __read_chk(int fd, void *to, size_t n, size_t cap);
EXPORT ssize_t __read_chk(int fd, void *to, size_t n, size_t cap)
{
    return n > cap ? -1 : get(fd, to, n, 0, false, CALLER);
}
EXPORT ssize_t __pread64_chk(int fd, void *to, size_t n, off64_t at, size_t cap);
EXPORT ssize_t __pread64_chk(int fd, void *to, size_t n, off64_t at, size_t cap)
{
    return n > cap ? -1 : get(fd, to, n, at, true, CALLER);
}

/* Pipes and terminals pass: they are not files of the program. */
static ssize_t put(int fd, const void *from, size_t n, off64_t at, bool positioned,
                   const void *caller)
{
    load();
    const bool mine = ready && is_written(fd);
    const int why = mine ? strike(WRITE, caller) : 0;
    if (why == SHORT && n > 1)
        n /= 2;
    else if (why > 0) {
        errno = why;
        return -1;
    }
    if (mine && loses(caller))
        return lose_write(fd, from, n, at, positioned);
    return positioned ? real.pwrite64(fd, from, n, at) : real.write(fd, from, n);
}

EXPORT ssize_t write(int fd, const void *from, size_t n)
{
    return put(fd, from, n, 0, false, CALLER);
}
EXPORT ssize_t pwrite64(int fd, const void *from, size_t n, off64_t at)
{
    return put(fd, from, n, at, true, CALLER);
}
ssize_t pwrite(int, const void *, size_t, off_t) ALSO("pwrite64");

EXPORT int ftruncate64(int fd, off64_t size)
{
    load();
    if (fails(TRUNCATE, CALLER))
        return -1;
    return loses(CALLER) ? lose_truncate(fd, size) : real.ftruncate64(fd, size);
}
int ftruncate(int, off_t) ALSO("ftruncate64");

static int sync_one(int fd, bool data_only, const void *caller)
{
    load();
    if (fails(FSYNC, caller))
        return -1;
    if (loses(caller))
        return lose_sync(fd, data_only);
    return data_only ? real.fdatasync(fd) : real.fsync(fd);
}

EXPORT int fsync(int fd) { return sync_one(fd, false, CALLER); }
EXPORT int fdatasync(int fd) { return sync_one(fd, true, CALLER); }

/* The third argument is a number or a pointer, and a word holds both. */
EXPORT int fcntl64(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    void *argument = va_arg(args, void *);
    va_end(args);
    load();
    if (command == F_OFD_SETLK && plan.lock_lies)
        return 0;
    return command == F_OFD_SETLK && fails(LOCK, CALLER) ? -1 : real.fcntl64(fd, command, argument);
}

/* ---- names ---- */

static int move(int from_dir, const char *from, int to_dir, const char *to, unsigned flags,
                const void *caller)
{
    load();
    if (fails(RENAME, caller))
        return -1;
    if (loses(caller))
        return lose_rename(from_dir, from, to_dir, to, flags);
    return flags ? (int)real.syscall(SYS_renameat2, from_dir, from, to_dir, to, flags)
                 : real.renameat(from_dir, from, to_dir, to);
}

EXPORT int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return move(from_dir, from, to_dir, to, 0, CALLER);
}
EXPORT int rename(const char *from, const char *to)
{
    return move(AT_FDCWD, from, AT_FDCWD, to, 0, CALLER);
}
EXPORT int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return move(from_dir, from, to_dir, to, flags, CALLER);
}

EXPORT long syscall(long number, ...)
{
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    load();
    if (number == SYS_renameat2)
        return move((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3], (unsigned)a[4],
                    CALLER);
    return real.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

EXPORT int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    load();
    if (fails(RENAME, CALLER))
        return -1;
    return loses(CALLER) ? lose_link(from_dir, from, to_dir, to, flags)
                         : real.linkat(from_dir, from, to_dir, to, flags);
}

static int remove_at(int dir, const char *path, int flags, const void *caller)
{
    load();
    if (fails(UNLINK, caller))
        return -1;
    return loses(caller) ? lose_unlink(dir, path, flags) : real.unlinkat(dir, path, flags);
}

EXPORT int unlinkat(int dir, const char *path, int flags)
{
    return remove_at(dir, path, flags, CALLER);
}
EXPORT int unlink(const char *path) { return remove_at(AT_FDCWD, path, 0, CALLER); }

EXPORT int mkdirat(int dir, const char *path, mode_t mode)
{
    load();
    if (fails(MKDIR, CALLER))
        return -1;
    return loses(CALLER) ? lose_mkdir(dir, path, mode) : real.mkdirat(dir, path, mode);
}

EXPORT int stat64(const char *path, struct stat64 *st)
{
    load();
    return fails(STAT, CALLER) ? -1 : real.stat64(path, st);
}

EXPORT int fstat64(int fd, struct stat64 *st)
{
    load();
    return fails(STAT, CALLER) ? -1 : real.fstat64(fd, st);
}

EXPORT int fstatat64(int dir, const char *path, struct stat64 *st, int flags)
{
    load();
    return fails(STAT, CALLER) ? -1 : real.fstatat64(dir, path, st, flags);
}

/* ---- what the environment asks for ---- */

static void refuse(const char *text)
{
    fprintf(stderr, "fault.so: LORT_FAULT=%s is not understood\n", text);
    _exit(127);
}

/* Reads "KIND:N", "KIND:N+" or "KIND:N:ERROR". */
static void read_call(const char *text)
{
    const size_t length = strcspn(text, ":");
    char *end;
    for (int i = 0; i < KINDS; i++)
        if (strlen(kinds[i].name) == length && strncmp(text, kinds[i].name, length) == 0)
            plan.kind = (kind)i;
    if (plan.kind == KINDS || text[length] != ':')
        refuse(text);
    plan.error = kinds[plan.kind].error;
    plan.at = strtoull(text + length + 1, &end, 10);
    plan.on = *end == '+';
    end += plan.on;
    bool known = *end == '\0';
    for (size_t i = 0; *end == ':' && i < sizeof errors / sizeof *errors; i++)
        if (strcmp(end + 1, errors[i].name) == 0) {
            plan.error = errors[i].value;
            known = true;
        }
    if (!known || plan.at == 0 || (plan.error == SHORT && plan.kind != READ && plan.kind != WRITE))
        refuse(text);
}

static void read_plan(const char *text)
{
    const char *seed = getenv("LORT_FAULT_SEED");
    const uint64_t number = strchr(text, ':') ? strtoull(strchr(text, ':') + 1, NULL, 10) : 0,
                   seeded = seed ? strtoull(seed, NULL, 10) : 0;
    if (strcmp(text, "short-write") == 0)
        plan.short_write = true;
    else if (strcmp(text, "short-read") == 0)
        plan.short_read = true;
    else if (strcmp(text, "eintr") == 0)
        plan.eintr = true;
    else if (strcmp(text, "lock-lies") == 0)
        plan.lock_lies = true;
    else if (strncmp(text, "lose:", 5) == 0)
        lose_start(number ? number : 1, 0, seeded);
    else if (strncmp(text, "lose-at:", 8) == 0)
        lose_start(0, number ? number : 1, seeded);
    else if (strcmp(text, "lose-end") == 0)
        lose_start(0, LOSE_AT_END, seeded);
    else
        read_call(text);
}

__attribute__((constructor)) static void start(void)
{
    const char *text = getenv("LORT_FAULT"), *path = getenv("LORT_FAULT_COUNT");
    bool first = true;
    load();
    dl_iterate_phdr(add_ranges, &first);
    if (path)
        count_fd = real.openat64(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (text && *text)
        read_plan(text);
    ready = true;
}

__attribute__((destructor)) static void end(void)
{
    if (lose_on)
        lose_end();
    fault_say();
}
