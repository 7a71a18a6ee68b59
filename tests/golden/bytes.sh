#!/bin/sh
# Prints the SHA-256 of what LoRT makes of each model of a directory (default: ../shared/models), with each set of options.
#
#   tests/golden/bytes.sh [MODELS] > after; diff before after
#
# A change that must not change bytes prints the same lines before and after. A model that LoRT refuses has its exit code in
# place of the hash. LORT names the program. Hashes are those of one machine: BLAS kernels differ between processors.
set -u
cd "$(dirname "$0")/../.." || exit 1
models=${1:-../shared/models}
lort=${LORT:-build/release/lort}
[ -d "$models" ] || { echo "bytes.sh: $models is not here: nothing to do" >&2; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

list_models() { # every weight file, and every directory with safetensors
    find "$models" -name '*.gguf' -o -name '*.safetensors' -o -name '*.dat'
    find "$models" -name '*.safetensors' -exec dirname {} +
}

print_one() { # model, options
    model=$1
    shift
    rm -f "$work/out.lort"
    "$lort" compress "$model" -o "$work/out.lort" -q "$@" >/dev/null 2>&1
    status=$?
    hash="exit $status"
    [ "$status" -ne 0 ] || hash=$(sha256sum <"$work/out.lort" | cut -c1-64)
    printf '%s  %s %s\n' "$hash" "${model#"$models"/}" "$*"
}

list_models | LC_ALL=C sort -u | while read -r model; do
    print_one "$model"
    print_one "$model" --bpw 4
    print_one "$model" --rank 16
    print_one "$model" --lossless
    print_one "$model" --residual ternary --max-error 0.3
done
