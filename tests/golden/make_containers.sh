#!/bin/sh
# Makes the golden containers again: builds the last LoRT of every algorithm version from git history, lets it compress the models
# of make_models.py, and lets the same LoRT restore them. Writes aN-CASE.lort, aN-rank4.safetensors and containers.tsv.
#
#   tests/golden/make_containers.sh [OUT [VERSION ...]]     default: a new directory, and every version
#
# A container depends on OpenBLAS's core and zstd's version, so another machine makes other bytes that are as good. The files in
# tests/golden were made once. Never replace them: add those of a new version, with its lines of containers.tsv.
# It takes about a minute of two cores for each version. WORK names a directory for the builds, which a second run then uses again.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-$(mktemp -d)}
[ $# -eq 0 ] || shift
work=${WORK:-$(mktemp -d)}
mkdir -p "$out" "$work"

# The last commit of each algorithm version; HEAD for today's.
list_versions() {
    cat <<END
1 84209ee
2 a2ce9b1
3 a83119b
4 bb37066
5 8bd7c1d
6 bbd5cb7
7 HEAD
END
}

# first version, name, model, options. At rank 1 every reader computes the same bits: no sum, so no order of a sum. From version 7
# on the order is fixed, and so are the bits at every rank.
list_cases() {
    cat <<END
1 lossless tiny.gguf --lossless
1 hf-lossless tiny-hf --lossless
1 rank1 tiny.gguf --rank 1
1 hf-rank1 tiny-hf --rank 1
1 rank4 one.safetensors --rank 4
2 int-fine tiny.gguf --max-error 0.004 --max-rank 0
2 int tiny.gguf --max-error 0.03 --max-rank 0
2 int-coarse tiny.gguf --max-error 0.5 --max-rank 0
2 hf-int-rank1 tiny-hf --max-error 0.02 --max-rank 1
2 int-rank1 both.safetensors --max-error 0.02 --max-rank 1
2 wide wide.safetensors --max-error 0.7 --max-rank 0
3 scaled tiny.gguf --max-error 0.1 --max-rank 0 --imatrix MODELS/imatrix.dat
3 trits tiny.gguf --residual ternary --rank 0
3 hf-trits-rank1 tiny-hf --residual ternary --rank 1
7 rank16 tiny.gguf --rank 16
7 hf-rank8 tiny-hf --rank 8
7 int-rank8 both.safetensors --max-error 0.02 --max-rank 8
7 hf-trits-rank4 tiny-hf --residual ternary --rank 4
6 rows rows.safetensors --max-error 0.05
6 rows-rank1 rows.safetensors --rank 1
6 tree tree --max-error 0.05
6 fork fork.gguf --max-error 0.05
6 delta tuned.gguf --lossless --base MODELS/tiny.gguf
6 delta-int tuned.gguf --max-error 0.4 --max-rank 0 --base MODELS/tiny.gguf
END
}

build() { # version, commit: $lort is its command
    if [ "$2" = HEAD ]; then
        make -s build/release/lort >&2
        lort=build/release/lort
        return
    fi
    [ -d "$work/lort$1" ] || git worktree add -q --detach "$work/lort$1" "$2" >&2
    make -s -C "$work/lort$1" build/release/lort >"$work/lort$1.log" 2>&1
    lort=$work/lort$1/build/release/lort
}

print_hashes() { # container, algorithm, what was restored: a file or a directory
    if [ -d "$3" ]; then
        (cd "$3" && find . -type f ! -name '.*' -exec sha256sum {} +) | sed 's, \./, ,' | LC_ALL=C sort -k 2
    else
        sha256sum <"$3"
    fi | while read -r hash file; do printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$file" "$hash"; done
}

make_case() { # version, name, model, options
    version=$1 name=a$1-$2 model=$work/models/$3
    shift 3
    options=$(echo "$*" | sed "s,MODELS,$work/models,")
    rm -rf "$work/restored" "$out/$name.lort"
    # shellcheck disable=SC2086 # options are words
    "$lort" compress "$model" -o "$out/$name.lort" -q --min-dim 16 $options
    base=
    case $name in *-delta*) base="--base $work/models/tiny.gguf" ;; esac
    # shellcheck disable=SC2086 # base is two words, or none
    "$lort" restore "$out/$name.lort" $base -o "$work/restored" 2>/dev/null
    case $name in
    a[1-6]-rank4) mv "$work/restored" "$out/$name.safetensors" && printf '%s\t%s\t-\tnear\n' "$name" "$version" ;;
    *) print_hashes "$name" "$version" "$work/restored" ;;
    esac
}

rm -rf "$work/models" "$out/containers.tsv"
mkdir "$work/models"
python3 tests/golden/make_models.py "$work/models"
printf '# container\talgorithm\trestored file (-: the only one)\tSHA-256, or near (made by make_containers.sh)\n' >"$out/containers.tsv"
list_versions | while read -r version commit; do
    case " $* " in "  " | *" $version "*) ;; *) continue ;; esac
    build "$version" "$commit"
    list_cases | while read -r first case model options; do
        # shellcheck disable=SC2086 # options are words
        [ "$version" -lt "$first" ] || make_case "$version" "$case" "$model" $options </dev/null >>"$out/containers.tsv"
    done
done
echo "$out: $(ls "$out" | wc -l) files"
