#!/usr/bin/env bats
# README.md and docs/*.md: their rules, and every fenced command in them. scripts/check-docs has the conventions.
# shellcheck disable=SC2016 # backticks are Markdown's here
load helper
export LORT
CHECK=$PWD/scripts/check-docs
DOCS=${DOCS:-README.md docs/*.md} # the documents that are checked

# check CODE ARGUMENTS...: check-docs on the text of stdin as README.md of a small tree; its exit code is CODE.
check() {
    local code=$1
    shift
    mkdir -p "$T/t/docs" "$T/t/tests"
    cat >"$T/t/README.md"
    cd "$T/t" || return 1
    expect "$code" "$CHECK" "$@" README.md || { cat "$T/out"; return 1; }
    cd "$OLDPWD" || return 1
}
right() { check 0 "$@"; }
wrong() { check 1 "${@:2}" && printed "$1"; }

@test "the documents keep their rules" {
    # shellcheck disable=SC2086
    expect 0 scripts/check-docs $DOCS || { cat "$T/out"; return 1; }
    printed ' [1-9][0-9]* blocks of commands to run, [0-9]+ not run, 0 faults$'
}

@test "every command in the documents works, and prints what they say" {
    [ "$MODE" = release ] || skip "the documents describe the release build"
    # shellcheck disable=SC2086
    expect 0 scripts/check-docs --run $DOCS || { cat "$T/out"; return 1; }
    printed ' [1-9][0-9]* blocks of commands ran, '
}

@test "every message in TROUBLESHOOTING is one that LoRT or the system prints" {
    python3 >"$T/out" - <<'END' || { cat "$T/out"; return 1; }
import errno, glob, os, re
folders = "compress", "loader", "formats"
source = "".join(open(name, encoding="utf-8").read() for folder in folders for name in glob.glob(folder + "/**/*.c", recursive=True))
source = re.sub(r'"\s*"', "", source)  # a text that is cut into pieces
system = [os.strerror(number) for number in errno.errorcode]
rows = [line.split("|")[1] for line in open("docs/TROUBLESHOOTING.md", encoding="utf-8") if line.startswith("| `")]
pieces = [piece.strip() for row in rows for text in re.findall("`([^`]+)`", row) for piece in text.split("...")]
lost = [piece for piece in pieces if piece not in source and piece not in system]
print(len(pieces), "texts, not in the sources:", *lost, sep="\n")
raise SystemExit(bool(lost) or len(pieces) < 50)
END
}

@test "check-docs finds lines, sentences, links and paths that break the rules" {
    right <<<'A [link](README.md#part), a `tests/` path, a `tests/NAME.c` pattern.

# Part'
    wrong ':1: a prose line of 101 columns, more than 100' <<<"$(printf 'a%.0s' $(seq 101))"
    right <<<"| $(printf 'a%.0s' $(seq 101)) |"
    right <<<"https://$(printf 'a%.0s' $(seq 101))"
    wrong ':1: a sentence of 31 words, more than 30: a a a' <<<"$(printf 'a %.0s' $(seq 31))"
    wrong ':1: a sentence of 31 words' <<<"$(printf 'a %.0s' $(seq 20))
$(printf 'a %.0s' $(seq 11))."
    wrong ':2: a sentence of 31 words' <<<"One.
- $(printf 'a %.0s' $(seq 31))"
    right <<<"$(printf 'a %.0s' $(seq 29))b.
$(printf 'a %.0s' $(seq 30))"
    wrong ':1: the link docs/lost.md leads to no file' <<<'A [link](docs/lost.md).'
    wrong ':1: the link #lost leads to no heading' <<<'A [link](#lost).'
    : >"$T/t/tests/a.h"
    right <<<'The module `tests/a`.'
    wrong ':2: the path tests/lost.c does not exist' <<<'One.
A path: `tests/lost.c`.'
    wrong ':1: the path tests/b does not exist' <<<'A path: `tests{,/b}`, `tests/{,b}`.'
    wrong ':1: the path docs/\*\.c does not exist' <<<'A path: `docs/*.c --all`.'
    right <<<'<!-- planned: tests/later -->
A path: `tests/later/`.'
    wrong ':1: docs is called planned, and exists' <<<'<!-- planned: docs -->'
}

@test "check-docs finds blocks without a language, a reason or an end" {
    wrong ":1: a block of language ''" <<<$'```\nlort help\n```'
    wrong ":1: a block of language 'bash'" <<<$'```bash\nlort help\n```'
    wrong ':1: a text block with commands' <<<$'```text\nmake check\n```'
    wrong ':1: a console block begins with' <<<$'```console\nlort help\n```'
    wrong ':1: the fence is not closed' <<<$'```sh\nlort help'
    wrong ":1: 'not run' needs a reason" <<<$'<!-- not run: -->\n```sh\nfalse\n```'
    right --run <<<$'<!-- not run: needs root -->\n```sh\nfalse\n```'
    printed '^README.md:2: not run: needs root$'
    printed '0 blocks of commands ran, 1 not run'
    wrong 'exit 1' --run <<<$'<!-- not run: needs root -->\n\nOther text.\n```sh\nfalse\n```'
    echo 'int a; int b;' >"$T/t/tests/a.c"
    right <<<$'<!-- excerpt: tests/a.c -->\n```c\nint a; int b;\n```'
    wrong ':3: tests/a.c has no such line here: int c;' <<<$'<!-- excerpt: tests/a.c -->\n```c\nint c;\n```'
    wrong ':1: a c block needs' <<<$'```c\nint a;\n```'
}

@test "check-docs runs commands, and compares what they print" {
    right --run <<<$'```sh\necho a >new\nlort --version\n```\n```sh\ngrep a new\n```'
    absent "$T/t/new"
    wrong ':1: the commands exit 1' --run <<<$'```sh\nfalse\ntrue\n```'
    wrong ':1: the commands exit 2' --run <<<$'```sh\n: $HOME\nlort compress --frobnicate\n```'
    right --run <<<$'```console\n$ echo took 1.5 s, 3 KiB\ntook 27 s, 4.1 MiB\n$ printf "a\\nb\\nc\\n"\na\n...\n$ false\n$ echo $?\n1\n```'
    wrong ':1: the output differs: echo a' --run <<<$'```console\n$ echo a\nb\n```'
    wrong ':1: the output differs: printf' --run <<<$'```console\n$ printf "a\\nb\\n"\na\n```'
    wrong ':1: the output differs: true' --run <<<$'```console\n$ true\na\n```'
    wrong ':1: exit 1: false' --run <<<$'```console\n$ false\n```'
    wrong ':1: exit code 7, the text says 8: sh -c .exit 7' --run <<<$'```console\n$ sh -c "exit 7"\n$ echo $?\n8\n```'
    right --run <<<$'```console\n$ echo "  mode      full: all"\n  mode      stream: some\n```'
}

@test "check-docs runs a block against the imitation of the Hub, and says so where it is missing" {
    local hub
    hub=$(realpath ../shared/hub/hub.py 2>/dev/null) && [ -e "$hub" ] || skip "../shared/hub is not here"
    mkdir -p "$T/t/m"
    echo '{}' >"$T/t/m/config.json"
    HUB=$hub right --run <<<$'<!-- hub: acme/kjv m -->\n```sh\ntest -n "$HF_ENDPOINT" && test -n "$HF_HOME"\n```\n```sh\ntest "${HF_ENDPOINT:-none}" = none\n```'
    printed '2 blocks of commands ran, 0 not run'
    HUB=$hub wrong ':2: the commands exit 1' --run <<<$'<!-- hub: acme/kjv m -->\n```sh\nfalse\n```'
    HUB=$T/none.py right --run <<<$'<!-- hub: acme/kjv m -->\n```sh\nfalse\n```'
    printed '^README.md:2: not run: .*none.py is not here$'
}

@test "the examples of the manual work, in their order" {
    cp -r "$HF" "$T/model"
    cp "$GGUF" "$T/model.gguf"
    cp "$GGUF" "$T/base.gguf"
    "$LORT" compress "$GGUF" -o "$T/lossy.lort" --max-error 0.1 -q # differs from the base: as good as a fine-tune
    "$LORT" restore "$T/lossy.lort" -o "$T/tuned.gguf" -q
    mkdir "$T/bin"
    ln -s "$LORT" "$T/bin/lort"
    printf '#!/bin/sh\n[ "$1" = -m ] && head -c 4 "$2" | grep -q GGUF\n' >"$T/bin/llama-cli" # llama.cpp may be absent
    chmod +x "$T/bin/llama-cli"
    sed -n '/^\.SH EXAMPLES/,$p' docs/lort.1 | grep '^lort ' | sed 's/\\-/-/g' >"$T/examples"
    [ "$(wc -l <"$T/examples")" -ge 8 ]
    cd "$T"
    PATH=$T/bin:$PATH expect 0 sh -eu examples
}

@test "check-docs says that a file cannot be read" {
    expect 2 scripts/check-docs "$T/lost.md"
    said 'No such file'
}
