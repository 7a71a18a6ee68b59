#!/usr/bin/env bats
# The attacks of ../shared/attacks, a test each (docs/TESTING.md, "The kinds of attack"). One run makes them all, so that the
# plain runs, which they are measured by, are made once.
load helper

ATTACKS=../shared/attacks
export PYTHONDONTWRITEBYTECODE=1

setup_file() {
    [ -e $ATTACKS/attacks.py ] && [ -e $MODELS/kjv-3m ] || return 0
    python3 $ATTACKS/attacks.py "$LORT" >"$BATS_FILE_TMPDIR/results" 2>&1 || true
}

# held NAME: the attack was made, and nothing went wrong.
held() {
    [ -e $ATTACKS/attacks.py ] || skip "$ATTACKS is not here"
    need_models kjv-3m
    grep -qx "$1: held" "$BATS_FILE_TMPDIR/results" && return 0
    python3 $ATTACKS/attacks.py "$LORT" "$1" | grep -qx "$1: held" && return 0 # a busy machine passes bounds of time
    sed -n "/^$1: FAILED/,/^[a-z0-9]/p" "$BATS_FILE_TMPDIR/results"
    grep -q "^$1:" "$BATS_FILE_TMPDIR/results" || cat "$BATS_FILE_TMPDIR/results"
    return 1
}

@test "attack: a link at the partial directory of a restore" { held link_at_restore_dir; }
@test "attack: a foreign directory at the partial directory of a restore" { held foreign_restore_dir; }
@test "attack: foreign files at OUT.part and its journal" { held foreign_part; }
@test "attack: a hard link at OUT.part" { held hard_link_at_part; }
@test "attack: 2^24 slices that are stored nowhere" { held slices_stored_nowhere; }
@test "attack: a header part of zeros" { held header_of_zeros; }
@test "attack: an input replaced before a resume" { held input_replaced; }
@test "attack: a report onto OUT.part" { held json_onto_part; }

@test "attack: records that decode to 3 GiB" {
    [ -e $ATTACKS/attacks.py ] || skip "$ATTACKS is not here"
    python3 $ATTACKS/harness.py >"$T/out" || skip "no memory cgroup can be made here"
    [ "$MODE" != asan ] || skip "AddressSanitizer takes memory of its own"
    held record_memory
}

@test "attack: every attack has a test here" {
    [ -e $ATTACKS/attacks.py ] || skip "$ATTACKS is not here"
    for name in $(python3 $ATTACKS/attacks.py --list | awk '{ print $1 }'); do
        grep -q "held $name\b" tests/cli/attacks.bats || { echo "$name has no test"; return 1; }
    done
}
