#!/usr/bin/env bats
# --blas-core: the kernels of OpenBLAS, and bytes that do not depend on the processor. Every command here sets or clears
# OPENBLAS_CORETYPE itself.
load helper
GGUF=$ONE_GGUF

setup() {
    T=$(mktemp -d)
    on_windows && skip "OpenBLAS has one core there"
    [ "$(uname -m)" = x86_64 ] && grep -qw avx2 /proc/cpuinfo && grep -qw fma /proc/cpuinfo || skip "no x86-64 with AVX2"
    unset OPENBLAS_CORETYPE
}

# libraries FILE: what its MODEL record names.
libraries() { "$LORT" inspect "$1" --json "$T/i.json" >/dev/null && value "$T/i.json" "next(m['value'] for m in d['meta'] if m['key'] == 'libraries')"; }
# features CORE: what /proc/cpuinfo calls the features that this core needs.
features() {
    case $1 in
    Prescott) echo pni ;;
    Core2) echo ssse3 ;;
    Nehalem) echo sse4_2 ;;
    Sandybridge) echo avx ;;
    Haswell | Zen) echo avx2 fma ;;
    SkylakeX) echo avx512f avx512bw avx512cd avx512dq avx512vl ;;
    Cooperlake | SapphireRapids) echo avx512f avx512bw avx512cd avx512dq avx512vl avx512_bf16 ;;
    Bulldozer) echo avx fma4 ;;
    Piledriver | Steamroller) echo avx fma fma4 ;;
    Excavator) echo avx2 fma fma4 ;;
    *) return 1 ;;
    esac
}
runs() { for f in $(features "$1"); do grep -qw "$f" /proc/cpuinfo || return 1; done; }
names() { "$LORT" help --json | python3 -c '
import json, sys
table = json.load(sys.stdin)["commands"]
(row,) = [o for c in table if c["name"] == "compress" for o in c["options"] if o["name"] == "blas-core"]
print(*row["choices"][2:])'; }

@test "one container by default, whatever OPENBLAS_CORETYPE says" {
    local options core
    for options in "" "--rank 8"; do
        # shellcheck disable=SC2086
        expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --force -q $options
        for core in Haswell Zen Sandybridge Nehalem SkylakeX Prescott nonsense ""; do
            # shellcheck disable=SC2086
            expect 0 env OPENBLAS_CORETYPE="$core" "$LORT" compress "$GGUF" -o "$T/b.lort" --force -q $options
            cmp "$T/a.lort" "$T/b.lort" || { echo "differs with OPENBLAS_CORETYPE=$core"; return 1; }
        done
    done
    [[ $(libraries "$T/a.lort") == "OpenBLAS "*" core Haswell; zstd "* ]]
}

@test "cores of one class give one container, others name theirs" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" -q --rank 8
    for core in portable Haswell zen ZEN; do
        expect 0 env OPENBLAS_CORETYPE=Nehalem "$LORT" compress "$GGUF" -o "$T/b.lort" --force -q --rank 8 --blas-core "$core"
        cmp "$T/a.lort" "$T/b.lort"
    done
    expect 0 env OPENBLAS_CORETYPE=Prescott "$LORT" compress "$GGUF" -o "$T/b.lort" --force -q --rank 8 --blas-core=Nehalem
    [[ $(libraries "$T/b.lort") == "OpenBLAS "*" core Nehalem; zstd "* ]]
    # native is what OpenBLAS chooses, not what the variable says
    expect 0 env OPENBLAS_CORETYPE=Prescott "$LORT" compress "$GGUF" -o "$T/b.lort" --force -q --rank 8 --bl native
    [[ $(libraries "$T/b.lort") != *" core Prescott;"* ]]
}

@test "without products the container is equal for every core" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" -q --lossless
    for core in native Nehalem Prescott Sandybridge; do
        expect 0 "$LORT" compress "$GGUF" -o "$T/b.lort" --force -q --lossless --blas-core "$core"
        cmp "$T/a.lort" "$T/b.lort"
    done
    [[ $(libraries "$T/a.lort") == "zstd "* ]]
}

@test "every core of the table runs, or is refused by name" {
    local core refused=0
    for core in $(names); do
        if runs "$core"; then
            "$LORT" compress "$GGUF" -o "$T/$core.lort" -q --rank 4 --blas-core "$core" 2>"$T/err" && continue
            said "^lort: --blas-core $core: .*OpenBLAS" # this build lacks it
        else
            expect 2 "$LORT" compress "$GGUF" -o "$T/$core.lort" -q --rank 4 --blas-core "$core"
            said "^lort: --blas-core $core: this processor lacks (SSE|AVX|FMA)"
            refused=$((refused + 1))
        fi
        absent "$T/$core.lort"
    done
    [ "$refused" -gt 0 ] # no processor has both AVX-512 and FMA4
}

@test "a core that cannot run is refused with any OPENBLAS_CORETYPE" {
    local core
    for core in Bulldozer SkylakeX; do
        runs "$core" && continue
        expect 2 env OPENBLAS_CORETYPE=$core "$LORT" compress "$GGUF" -o "$T/a.lort" -q --rank 4 --blas-core $core
        expect 2 "$LORT" plan "$GGUF" --sample 1 --rank 4 --blas-core $core
        expect 2 "$LORT" extract-lora "$GGUF" --base "$GGUF" -o "$T/a.gguf" --blas-core $core
        said "^lort: --blas-core $core: this processor lacks"
        expect 0 env OPENBLAS_CORETYPE=$core "$LORT" plan "$GGUF" --sample 1 --rank 4
    done
}

@test "unknown cores are refused, and known ones listed" {
    for core in foo "" Haswel portable1; do
        expect 2 "$LORT" compress "$GGUF" -o "$T/a.lort" --blas-core "$core"
        said "portable native .*Haswell .*SkylakeX"
    done
    expect 2 "$LORT" compress "$GGUF" -o "$T/a.lort" --blas-core
    expect 2 "$LORT" restore "$GGUF" -o "$T/a.lort" --blas-core native
    # the value of another option is no core
    expect 2 "$LORT" compress "$GGUF" -o "$T/a.lort" --exclude --blas-core native
    absent "$T/a.lort"
}

@test "work of another core of the class is resumed, that of another class is not" {
    local whole=$KJV/kjv-3m-f16.gguf s
    for s in 0.2 0.4 0.8 1.6 3.2; do
        expect 75 "$LORT" compress "$whole" -o "$T/b.lort" -q -T 1 --time-limit $s --blas-core Zen
        [ ! -e "$T/b.lort.part.journal" ] || break
    done
    expect 2 "$LORT" compress "$whole" -o "$T/b.lort" -q --resume --blas-core Nehalem
    said "core Haswell.* there, .*core Nehalem.* here"
    expect 0 "$LORT" compress "$whole" -o "$T/b.lort" --resume
    said "resum" && lacks "$T/err" "nothing to resume"
    expect 0 "$LORT" compress "$whole" -o "$T/a.lort" -q
    cmp "$T/a.lort" "$T/b.lort"
}

@test "lort executes itself once, and not where the environment is right" {
    command -v strace >/dev/null || skip "strace is not here"
    execs() { strace -f -qq -e trace=execve -o "$T/trace" "$@" >/dev/null && grep -c '= 0$' "$T/trace"; }
    [ "$(execs env OPENBLAS_NUM_THREADS=1 OPENBLAS_CORETYPE=Haswell "$LORT" version)" -eq 2 ] # env and lort
    [ "$(execs env OPENBLAS_NUM_THREADS=1 "$LORT" version)" -eq 3 ]
    [ "$(execs env OPENBLAS_CORETYPE=Haswell "$LORT" version)" -eq 3 ]
    [ "$(execs env OPENBLAS_NUM_THREADS=1 OPENBLAS_CORETYPE=Zen "$LORT" version)" -eq 3 ]
}

@test "a command of lort run has the OPENBLAS_CORETYPE of the user" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" -q --lossless
    # shellcheck disable=SC2016
    seen() { "$@" "$LORT" run -q "$T/a.lort" -- sh -c 'env | grep -E "^(LORT_)?OPENBLAS_(CORE|NUM)" | sort' {}; }
    [ -z "$(seen env -u OPENBLAS_NUM_THREADS)" ]
    [ "$(seen env OPENBLAS_NUM_THREADS=1 OPENBLAS_CORETYPE=Nehalem)" = $'OPENBLAS_CORETYPE=Nehalem\nOPENBLAS_NUM_THREADS=1' ]
    [ "$(seen env -u OPENBLAS_NUM_THREADS OPENBLAS_CORETYPE=Haswell)" = OPENBLAS_CORETYPE=Haswell ]
}
