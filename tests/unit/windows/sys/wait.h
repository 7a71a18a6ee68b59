/* tests/unit/windows_compat.h has what this header has elsewhere. */
