/* start_windows: see start.h. OpenBLAS is serial here, so lort need not execute itself again. */
#include "compress/cli/console/console.h"
#include "compress/cli/start.h"
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

#include <shellapi.h>

/* ---- the processor ---- */

static void say(const char *text) { _write(2, text, (unsigned)strlen(text)); }

/* The files with LORT_VECTORS and the kernels of OpenBLAS are compiled for AVX2 alone. So this runs
 * before any initialiser of a library. Wants the code of this file to be for every x86-64. */
static __attribute__((constructor(101))) void check_processor(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v3"))
        return;
    say("lort: this processor lacks AVX2 or what belongs to it; LoRT for Windows needs x86-64-v3 "
        "(Intel since 2013, AMD since 2015)\n");
    _exit(1);
}

/* ---- arguments ---- */

/* The caller frees it. NULL: without memory, or half a character. */
static char *narrow(const wchar_t *wide)
{
    const int n = WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, wide, -1, NULL, 0, NULL, NULL);
    char *text = n > 0 ? malloc((size_t)n) : NULL;
    if (text)
        WideCharToMultiByte(CP_UTF8, WC_ERR_INVALID_CHARS, wide, -1, text, n, NULL, NULL);
    return text;
}

/* The C library's argv is in the code page of the system, where many names are lost. The new
 * arguments live as long as the process. */
static bool read_arguments(int *argc, char ***argv)
{
    int n = 0;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &n);
    char **texts = wide ? calloc((size_t)n + 1, sizeof *texts) : NULL;
    bool good = texts != NULL;
    for (int i = 0; good && i < n; i++) {
        texts[i] = narrow(wide[i]);
        good = texts[i] != NULL;
    }
    LocalFree(wide);
    if (!good) {
        say("lort: cannot read the arguments: one is no valid UTF-16, or memory ran out\n");
        return false;
    }
    *argc = n;
    *argv = texts;
    return true;
}

bool lort_cli_start(int *argc, char ***argv)
{
    if (!read_arguments(argc, argv))
        return false;
    /* else a line feed becomes two bytes */
    _setmode(1, _O_BINARY);
    _setmode(2, _O_BINARY);
    setvbuf(stderr, NULL, _IONBF, 0); /* else lines reach a pipe late */
    lort_console_prepare();
    if (!getenv("HWLOC_HIDE_ERRORS"))
        _putenv("HWLOC_HIDE_ERRORS=2");
    return true;
}

/* The size of the stack stands in lort.exe. */
int lort_cli_run_with_stack(int (*run)(int argc, char **argv), int argc, char **argv)
{
    return run(argc, argv);
}
