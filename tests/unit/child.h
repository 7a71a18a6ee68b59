/* A child process of a test, for what a program leaves behind when it dies. The child runs one
 * function and ends without any clean-up. Linux forks. Windows cannot: there the program starts
 * itself again, and CHILD_SERVE at the start of main calls the function. */
#ifndef LORT_TESTS_CHILD_H
#define LORT_TESTS_CHILD_H

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct child_role {
    const char *name;
    int (*run)(const char *text); /* returns the exit code; 0 to 255 */
} child_role;

#if defined(_WIN32)

/* Returns what the child returned; -1 if there was no child. */
static inline int child_run(const child_role *role, const char *text)
{
    if (setenv("TEST_CHILD", role->name, 1) || setenv("TEST_CHILD_TEXT", text, 1))
        return -1;
    const int code = (int)_spawnl(_P_WAIT, _pgmptr, "child", NULL);
    unsetenv("TEST_CHILD");
    return code;
}

static inline void child_serve(const child_role *roles, size_t count)
{
    const char *name = getenv("TEST_CHILD");
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(name, roles[i].name) == 0)
            _exit(roles[i].run(getenv("TEST_CHILD_TEXT")));
}

#else

static inline int child_run(const child_role *role, const char *text)
{
    int status = -1;
    const pid_t child = fork();
    if (child == 0)
        _exit(role->run(text));
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status)
               ? WEXITSTATUS(status)
               : -1;
}

static inline void child_serve(const child_role *roles, size_t count)
{
    (void)roles;
    (void)count;
}

#endif

#define CHILD_SERVE(roles) child_serve(roles, sizeof(roles) / sizeof *(roles))

#endif
