/* compat: see tests/unit/windows_compat.h. */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <immintrin.h>
#include <tlhelp32.h>
#include <wincrypt.h>

#define COMPAT_1970 UINT64_C(116444736000000000) /* in 100 ns since 1601 */

/* Files have the bytes that a test writes, as on Linux. */
__attribute__((constructor)) static void start(void) { _fmode = _O_BINARY; }

int compat_missing(void)
{
    errno = ENOSYS;
    return -1;
}

static HANDLE open_as(const char *path, DWORD access, DWORD how, DWORD flags)
{
    return CreateFileA(path, access, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                       how, flags, NULL);
}

/* Opens directories too. */
static HANDLE open_path(const char *path, DWORD access)
{
    return open_as(path, access, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS);
}

static struct timespec time_of(FILETIME time)
{
    const uint64_t t = ((uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime) - COMPAT_1970;
    return (struct timespec){.tv_sec = (time_t)(t / 10000000),
                             .tv_nsec = (long)(t % 10000000) * 100};
}

static FILETIME filetime_of(struct timespec time)
{
    const uint64_t t =
        (uint64_t)time.tv_sec * 10000000 + (uint64_t)time.tv_nsec / 100 + COMPAT_1970;
    return (FILETIME){.dwLowDateTime = (DWORD)t, .dwHighDateTime = (DWORD)(t >> 32)};
}

static int describe(HANDLE file, struct compat_stat *out)
{
    BY_HANDLE_FILE_INFORMATION info;

    if (file == INVALID_HANDLE_VALUE || !GetFileInformationByHandle(file, &info)) {
        errno = ENOENT;
        return -1;
    }
    *out = (struct compat_stat){.st_dev = info.dwVolumeSerialNumber,
                                .st_ino = (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow,
                                .st_mode = info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY
                                               ? _S_IFDIR | 0700
                                               : _S_IFREG | 0600,
                                .st_nlink = info.nNumberOfLinks,
                                .st_size = (int64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow,
                                .st_atim = time_of(info.ftLastAccessTime),
                                .st_mtim = time_of(info.ftLastWriteTime),
                                .st_ctim = time_of(info.ftLastWriteTime)};
    return 0;
}

int compat_stat(const char *path, struct compat_stat *out)
{
    const HANDLE file = open_path(path, FILE_READ_ATTRIBUTES);
    const int code = describe(file, out);

    if (file != INVALID_HANDLE_VALUE)
        CloseHandle(file);
    return code;
}

int compat_fstat(int fd, struct compat_stat *out)
{
    return describe((HANDLE)_get_osfhandle(fd), out);
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags)
{
    const bool only_written = times[0].tv_nsec == UTIME_OMIT;
    const FILETIME seen = filetime_of(times[0]), written = filetime_of(times[1]);
    const HANDLE file = open_path(path, FILE_WRITE_ATTRIBUTES);
    const bool done = file != INVALID_HANDLE_VALUE &&
                      SetFileTime(file, NULL, only_written ? NULL : &seen, &written);

    if (file != INVALID_HANDLE_VALUE)
        CloseHandle(file);
    return done ? 0 : -1;
}

int compat_mkdir(const char *path, unsigned mode) { return _mkdir(path); }

char *mkdtemp(char *path)
{
    static unsigned count;
    char *at = path + strlen(path) - 6;

    for (int tries = 0; tries < 1000; tries++) {
        snprintf(at, 7, "%06x", ((unsigned)_getpid() * 2654435761u + count++ * 40503u) & 0xffffff);
        if (_mkdir(path) == 0)
            return path;
    }
    return NULL;
}

/* Windows cuts no file that is mapped. Wine starts programs of Linux, and they can. So LoRT meets a
 * file that shrinks under it. Returns once the file has the size. */
static int cut_from_outside(HANDLE file, const char *path, int64_t bytes)
{
    char command[1100];
    LARGE_INTEGER size = {0};
    STARTUPINFOA start = {.cb = sizeof start};
    PROCESS_INFORMATION process;

    snprintf(command, sizeof command, "Z:\\usr\\bin\\truncate -s %lld %s", (long long)bytes, path);
    if (!GetProcAddress(GetModuleHandleA("ntdll.dll"), "wine_get_version") ||
        !CreateProcessA(NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &start, &process))
        return compat_missing();
    for (int waits = 0; waits < 1000; waits++) {
        if (GetFileSizeEx(file, &size) && size.QuadPart == bytes)
            return 0;
        Sleep(10);
    }
    return -1;
}

/* _chsize writes zeros. This one does not, so a large file is made at once. */
int compat_truncate(const char *path, int64_t bytes)
{
    const HANDLE file = open_path(path, GENERIC_WRITE);
    const LARGE_INTEGER end = {.QuadPart = bytes};
    int code = -1;

    if (file == INVALID_HANDLE_VALUE)
        return -1;
    if (SetFilePointerEx(file, end, NULL, FILE_BEGIN) && SetEndOfFile(file))
        code = 0;
    else if (GetLastError() == ERROR_USER_MAPPED_FILE)
        code = cut_from_outside(file, path, bytes);
    CloseHandle(file);
    return code;
}

int compat_remove(const char *path)
{
    _chmod(path, _S_IREAD | _S_IWRITE);
    return _unlink(path) == 0 || _rmdir(path) == 0 ? 0 : -1;
}

#undef fopen
FILE *compat_fopen(const char *path, const char *mode)
{
    const bool both = strchr(mode, '+') != NULL;
    const DWORD access = (*mode == 'r' || both ? GENERIC_READ : 0) |
                         (*mode != 'r' || both ? GENERIC_WRITE : 0),
                how = *mode == 'r'   ? OPEN_EXISTING
                      : *mode == 'w' ? CREATE_ALWAYS
                                     : OPEN_ALWAYS;
    HANDLE file = open_as(path, access, how, 0);
    if (file == INVALID_HANDLE_VALUE && GetLastError() == ERROR_USER_MAPPED_FILE &&
        compat_truncate(path, 0) == 0)
        file = open_as(path, access, OPEN_EXISTING, 0);
    if (file == INVALID_HANDLE_VALUE) {
        errno = ENOENT;
        return NULL;
    }
    return _fdopen(_open_osfhandle((intptr_t)file, _O_BINARY | (*mode == 'a' ? _O_APPEND : 0)),
                   mode);
}

/* Windows replaces no file that is open. So such a file moves aside first. */
int compat_rename(const char *path, const char *to)
{
    char aside[1100];

    if (MoveFileExA(path, to, MOVEFILE_REPLACE_EXISTING))
        return 0;
    snprintf(aside, sizeof aside, "%s-aside", to);
    if (!MoveFileExA(to, aside, 0) || !MoveFileExA(path, to, 0))
        return -1;
    DeleteFileA(aside);
    return 0;
}

static OVERLAPPED place(int64_t offset)
{
    return (OVERLAPPED){.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
}

int64_t pread(int fd, void *out, size_t bytes, int64_t offset)
{
    OVERLAPPED at = place(offset);
    DWORD done = 0;

    return ReadFile((HANDLE)_get_osfhandle(fd), out, (DWORD)bytes, &done, &at) ||
                   GetLastError() == ERROR_HANDLE_EOF
               ? (int64_t)done
               : -1;
}

int64_t pwrite(int fd, const void *data, size_t bytes, int64_t offset)
{
    OVERLAPPED at = place(offset);
    DWORD done = 0;

    return WriteFile((HANDLE)_get_osfhandle(fd), data, (DWORD)bytes, &done, &at) ? (int64_t)done
                                                                                 : -1;
}

int link(const char *path, const char *to)
{
    return CreateHardLinkA(to, path, NULL) ? 0 : compat_missing();
}

int nftw(const char *path, compat_each *each, int count, int flags)
{
    char name[1024];
    struct _finddata_t found;
    struct compat_stat st = {0};
    struct FTW ftw = {0};
    int code = 0;
    intptr_t search;

    snprintf(name, sizeof name, "%s/*", path);
    search = _findfirst(name, &found);
    for (bool more = search != -1; more && !code; more = _findnext(search, &found) == 0) {
        snprintf(name, sizeof name, "%s/%s", path, found.name);
        if (!strcmp(found.name, ".") || !strcmp(found.name, ".."))
            continue;
        code = found.attrib & _A_SUBDIR ? nftw(name, each, count, flags)
               : compat_stat(name, &st) ? -1
                                        : each(name, &st, 0, &ftw);
    }
    if (search != -1)
        _findclose(search);
    return code || compat_stat(path, &st) ? -1 : each(path, &st, 0, &ftw);
}

static FILE *memory; /* of open_memstream */
static char **memory_text;
static size_t *memory_bytes;

FILE *open_memstream(char **text, size_t *bytes)
{
    char folder[MAX_PATH], path[MAX_PATH];

    memory_text = text;
    memory_bytes = bytes;
    if (memory || !GetTempPathA(sizeof folder, folder) || !GetTempFileNameA(folder, "mem", 0, path))
        return NULL;
    return memory = fopen(path, "w+bD"); /* D: the file goes when it is closed */
}

#undef fclose
int compat_fclose(FILE *file)
{
    if (file == memory) {
        *memory_bytes = (size_t)ftell(file);
        *memory_text = calloc(*memory_bytes + 1, 1);
        rewind(file);
        if (!*memory_text || fread(*memory_text, 1, *memory_bytes, file) != *memory_bytes)
            abort();
        memory = NULL;
    }
    return fclose(file);
}

__attribute__((target("fma"))) float compat_fmaf(float a, float b, float c)
{
    return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
}

static VOID CALLBACK end_program(PVOID nothing, BOOLEAN fired)
{
    static const char text[] = "this takes too long\n";
    _write(2, text, sizeof text - 1);
    TerminateProcess(GetCurrentProcess(), 142); /* a shell's code for SIGALRM */
}

unsigned alarm(unsigned seconds)
{
    static HANDLE timer;

    if (timer)
        DeleteTimerQueueTimer(NULL, timer, NULL);
    timer = NULL;
    if (seconds)
        CreateTimerQueueTimer(&timer, NULL, end_program, NULL, seconds * 1000, 0,
                              WT_EXECUTEONLYONCE);
    return 0;
}

unsigned compat_thread_count(void)
{
    const HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPTHREAD, 0);
    THREADENTRY32 one = {.dwSize = sizeof one};
    unsigned count = 0;

    for (BOOL more = Thread32First(all, &one); more; more = Thread32Next(all, &one))
        count += one.th32OwnerProcessID == GetCurrentProcessId();
    CloseHandle(all);
    return count;
}

int compat_nanosleep(const struct timespec *wait, struct timespec *left)
{
    Sleep((DWORD)(wait->tv_sec * 1000 + (wait->tv_nsec + 999999) / 1000000));
    return 0;
}

char *strchrnul(const char *text, int c)
{
    char *at = strchr(text, c);
    return at ? at : strchr(text, 0);
}

char *strndup(const char *text, size_t most)
{
    const size_t n = strnlen(text, most);
    char *copy = calloc(n + 1, 1);

    if (copy)
        memcpy(copy, text, n);
    return copy;
}

int setenv(const char *name, const char *value, int replace)
{
    return replace || !getenv(name) ? _putenv_s(name, value) : 0;
}

int unsetenv(const char *name) { return _putenv_s(name, ""); }

int compat_system(const char *command)
{
    char path[2][512];
    FILE *in[2];
    int a = 0, b = 0;

    if (sscanf(command, "cp -p '%511[^']' '%511[^']'", path[0], path[1]) == 2)
        return CopyFileA(path[0], path[1], FALSE) ? 0 : 1;
    if (sscanf(command, "cmp '%511[^']' '%511[^']'", path[0], path[1]) != 2)
        return compat_missing();
    in[0] = fopen(path[0], "rb");
    in[1] = fopen(path[1], "rb");
    while (in[0] && in[1] && a == b && a != EOF) {
        a = getc(in[0]);
        b = getc(in[1]);
    }
    for (int i = 0; i < 2; i++)
        if (in[i])
            fclose(in[i]);
    return in[0] && in[1] && a == b ? 0 : 1;
}

static bool digest(const char *path, BYTE out[32])
{
    HCRYPTPROV provider = 0;
    HCRYPTHASH hash = 0;
    DWORD bytes = 32;
    BYTE piece[4096];
    FILE *in = fopen(path, "rb");
    bool good = in &&
                CryptAcquireContextA(&provider, NULL, NULL, PROV_RSA_AES, CRYPT_VERIFYCONTEXT) &&
                CryptCreateHash(provider, CALG_SHA_256, 0, 0, &hash);

    for (size_t n; good && (n = fread(piece, 1, sizeof piece, in)) > 0;)
        good = CryptHashData(hash, piece, (DWORD)n, 0);
    good = good && CryptGetHashParam(hash, HP_HASHVAL, out, &bytes, 0);
    if (hash)
        CryptDestroyHash(hash);
    if (provider)
        CryptReleaseContext(provider, 0);
    if (in)
        fclose(in);
    return good;
}

FILE *compat_popen(const char *command, const char *mode)
{
    char path[512], folder[MAX_PATH], name[MAX_PATH];
    BYTE found[32];

    if (sscanf(command, "sha256sum %511s", path) != 1 || !digest(path, found) ||
        !GetTempPathA(sizeof folder, folder) || !GetTempFileNameA(folder, "sum", 0, name))
        return NULL;
    FILE *out = fopen(name, "w+bD"); /* D: the file goes when it is closed */
    for (int i = 0; out && i < 32; i++)
        fprintf(out, "%02x", found[i]);
    if (out)
        rewind(out);
    return out;
}
