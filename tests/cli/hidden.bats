#!/usr/bin/env bats
# Format characters of Unicode in names and texts: no stream shows them raw, JSON and files keep them.
load helper

@test "format characters reach no stream of any command, and JSON keeps them" {
    python3 tests/cli/hidden.py "$LORT" "$T"
}

@test "commands print through the one function that escapes" {
    run grep -nE '(^|[^a-z_])(f?printf|f?puts|putchar|fputc|putc|perror|write)\(' compress/cli/cmd/*.c compress/cli/ui/{finish,kinds,summary}.c
    [ "$status" -eq 1 ] || { echo "$output"; return 1; }
}
