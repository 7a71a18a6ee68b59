#!/usr/bin/env bats
# Completions and the manual pages of commands: both are made from the table of options, so they are compared with it.
load helper

setup_file() { :; }
script() { "$LORT" help --completion "$1" >"$T/$1"; }
need() { command -v "$1" >/dev/null || skip "$1 is not here"; }

# in_bash WORDS...: what bash offers for the last word. bash parts words at =.
in_bash() {
    # shellcheck disable=SC2016
    bash --norc -c 'source "$0" && COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) && _lort && printf "%s\n" "${COMPREPLY[@]}"' "$T/bash" "$@" | sort
}
in_zsh() { timeout 60 zsh -f tests/cli/complete.zsh "$T/zsh" "$1" </dev/null; }
in_fish() { HOME=$T fish --no-config -c "source $T/fish; complete -C '$1'" | cut -f 1 | sort -u; }

# offers WANTED HAVE
offers() { [ "$(echo "$2" | xargs)" = "$1" ] || { echo "offered '$2', wanted '$1'"; return 1; }; }
# options COMMAND: the long names of the table.
options() { "$LORT" help --json | python3 -c 'import json,sys; print("\n".join(sorted("--" + o["name"] for c in json.load(sys.stdin)["commands"] if c["name"] == sys.argv[1] for o in c["options"])))' "$1"; }
commands() { "$LORT" help --json | python3 -c 'import json,sys; print("\n".join(sorted(c["name"] for c in json.load(sys.stdin)["commands"])))'; }

@test "bash completes commands, options and choices" {
    script bash
    bash -n "$T/bash"
    offers 'compare compress' "$(in_bash lort comp)"
    offers '--mode' "$(in_bash lort compress m --mo)"
    offers 'auto full stream' "$(in_bash lort compress --mode '')"
    offers 'stream' "$(in_bash lort compress --mode = st)"
    offers 'bash fish zsh' "$(in_bash lort help --completion '')"
    offers '' "$(in_bash lort compress --memory '')"
    offers '' "$(in_bash lort run a.lort -- cmd --mo)"
    mkdir "$T/some-folder" && touch "$T/some-file"
    offers "$T/some-folder" "$(in_bash lort compress --spool "$T/some")"
    for command in $(commands); do offers "$(options "$command" | xargs)" "$(in_bash lort "$command" --)"; done
    for command in $(commands); do in_bash lort '' | grep -qx -- "$command"; done
}

@test "zsh completes commands, options and choices" {
    need zsh
    script zsh
    zsh -n "$T/zsh"
    offers 'compare compress' "$(in_zsh 'lort comp')"
    offers '--mode' "$(in_zsh 'lort compress --mo')"
    offers 'auto full stream' "$(in_zsh 'lort compress --mode ')"
    offers 'stream' "$(in_zsh 'lort compress --mode=st')"
    offers 'bash fish zsh' "$(in_zsh 'lort help --completion ')"
    offers "$(options quantize | xargs)" "$(in_zsh 'lort quantize --' | sort)"
}

@test "fish completes commands, options and choices" {
    need fish
    script fish
    fish --no-config -n "$T/fish"
    offers 'compare compress' "$(in_fish 'lort comp')"
    offers '--mode' "$(in_fish 'lort compress --mo')"
    offers 'auto full stream' "$(in_fish 'lort compress --mode ')"
    offers '--mode=stream' "$(in_fish 'lort compress --mode=st')"
    offers 'bash fish zsh' "$(in_fish 'lort help --completion ')"
    offers "$(options quantize | xargs)" "$(in_fish 'lort quantize --')"
}

@test "another shell is refused with what is allowed" {
    expect 2 "$LORT" help --completion tcsh
    said "--completion 'tcsh': must be one of bash zsh fish; see 'lort --help'"
    [ ! -s "$T/out" ]
    expect 2 "$LORT" help --completion
    expect 2 "$LORT" help --completion $'\e'
    lacks "$T/err" $'\e'
}

@test "a manual page per command has its options and no other, and lort(1) is named in each" {
    scripts/make-man "$LORT" "$T/man"
    [ "$(cd "$T/man" && ls | xargs)" = "$(commands | sed 's/.*/lort-&.1/' | xargs)" ]
    for command in $(commands); do
        sed -n '/^.SH OPTIONS/,/^.SH SEE/p' "$T/man/lort-$command.1" | sed -n '/^.TP/{n;p}' | sed 's/\\f[BIR]//g; s/\\-/-/g' |
            grep -oE -- '--[a-z0-9-]+' | sort >"$T/have"
        options "$command" | diff - "$T/have"
        grep -q '^.BR lort (1)' "$T/man/lort-$command.1"
    done
    # an option shows its value and its help
    sed 's/\\f[BIR]//g; s/\\-/-/g' "$T/man/lort-compress.1" | grep -A1 -x -- '-T, --threads N' | grep -q '^Worker threads'
    # the same sources give the same pages
    scripts/make-man "$LORT" "$T/again"
    same "$T/man" "$T/again"
}

@test "mandoc has nothing to say about the manual pages" {
    need mandoc
    scripts/make-man "$LORT" "$T/man"
    for page in "$T"/man/*.1; do mandoc -T lint "$page"; done
    mandoc -T lint -W warning docs/lort.1 # a sentence a line, so its lines are long, which is only a matter of style
}
