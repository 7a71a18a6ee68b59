#!/usr/bin/env bats
# Old containers stay readable: tests/golden has containers of every algorithm version, made by the last LoRT of that version, with
# the hashes of what the same LoRT restored (tests/golden/containers.tsv). docs/FORMAT.md, "Versions", has the promise.
# No hash depends on the processor. Factors of algorithm 1 to 6 have rank 1, so nothing is summed; those of rank 4 are compared
# instead. From algorithm 7 on the format fixes the order of a sum.
load helper
GOLDEN=tests/golden
setup_file() { :; } # these tests need no model

rows() { grep -v '^#' $GOLDEN/containers.tsv; }
names() { rows | cut -f 1 | uniq; }
# The hashes of one container in containers.tsv, as `hashes` prints them.
wanted() { awk -F '\t' -v name="$1" '$1 == name { print $4 "  " ($3 == "-" ? "-" : "./" $3) }' $GOLDEN/containers.tsv; }

# matches NAME RESTORED: the restored file or directory has the recorded hashes.
matches() {
    [ "$(hashes "$2" | LC_ALL=C sort)" = "$(wanted "$1" | LC_ALL=C sort)" ] && return 0
    echo "$1 does not restore as it did:"
    diff <(hashes "$2" | LC_ALL=C sort) <(wanted "$1" | LC_ALL=C sort)
}

@test "every algorithm version has golden containers, and inspect shows the version" {
    local today name algorithm
    today=$("$LORT" --version | sed -n 's/.*algorithm \([0-9]*\).*/\1/p')
    [ "$(rows | cut -f 2 | sort -nu | tr '\n' ' ')" = "$(seq -s ' ' 1 "$today") " ]
    diff <(names | sort) <(cd $GOLDEN && ls -- *.lort | sed 's/\.lort$//' | sort)
    grep -q "{ reads_as_it_did $today; }" tests/cli/golden.bats
    while IFS=$'\t' read -r name algorithm _; do
        expect 0 "$LORT" inspect "$GOLDEN/$name.lort"
        printed "^algorithm \(u32\) = $algorithm\$"
    done < <(rows | sort -u -k 1,1)
}

# Every container of a version is verified and restored.
reads_as_it_did() { # algorithm
    local name base count=0
    for name in $(names | grep "^a$1-"); do
        expect 0 "$LORT" verify "$GOLDEN/$name.lort"
        base= # of a difference: the model of a1-lossless and later ones
        case $name in *-delta*) base="--base $GOLDEN/a$1-lossless.lort" ;; esac
        expect 0 "$LORT" restore "$GOLDEN/$name.lort" -o "$T/$name" $base
        if [ "$(wanted "$name")" = "near  -" ]; then
            expect 0 "$LORT" compare "$T/$name" "$GOLDEN/$name.safetensors" --fail-above 0.000001
        else
            matches "$name" "$T/$name"
        fi
        count=$((count + 1))
    done
    [ "$count" -ge 5 ]
}

@test "containers of algorithm 1 restore as their own LoRT restored them" { reads_as_it_did 1; }
@test "containers of algorithm 2 restore as their own LoRT restored them" { reads_as_it_did 2; }
@test "containers of algorithm 3 restore as their own LoRT restored them" { reads_as_it_did 3; }
@test "containers of algorithm 4 restore as their own LoRT restored them" { reads_as_it_did 4; }
@test "containers of algorithm 5 restore as their own LoRT restored them" { reads_as_it_did 5; }
@test "containers of algorithm 6 restore as their own LoRT restored them" { reads_as_it_did 6; }
@test "containers of algorithm 7 restore as their own LoRT restored them" { reads_as_it_did 7; }

# docs/FORMAT.md fixes the order of sums for algorithm 7. So a reader that was written from it alone finds every bit.
@test "the independent reader restores containers of algorithm 7 to the same bits" {
    local name
    need_numpy
    command -v zstd >/dev/null || python3 -c 'import zstandard' 2>/dev/null || skip "no zstd"
    for name in a7-rank4 a7-int-rank8 a7-rows-rank1 a7-hf-rank8 a7-hf-int-rank1 a7-hf-trits-rank4; do
        expect 0 "$LORT" restore "$GOLDEN/$name.lort" -o "$T/one"
        expect 0 numpy scripts/lort_decode.py "$GOLDEN/$name.lort" "$T/two"
        if [ -d "$T/one" ]; then diff -r "$T/one" "$T/two"; else cmp "$T/one" "$T/two"/*; fi
        rm -r "$T/one" "$T/two"
    done
}
