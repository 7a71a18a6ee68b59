#!/usr/bin/env bats
# Input that changes under a run: exit 4 that names the file, and nothing under the output's name. Time that is lost or jumps: the same bytes.
load helper

# What can happen to FILE, which has SIZE bytes. "overwrite" keeps the size.
declare -gA changes=(
    [cut]='truncate -s $((SIZE / 2)) "$FILE"'
    [cut to nothing]='truncate -s 0 "$FILE"'
    [overwrite]='printf changed | dd of="$FILE" bs=1 seek=$((SIZE / 4 * 3)) conv=notrunc status=none'
    [append]='echo more >>"$FILE"'
    [replace]='cp -p "$FILE" "$FILE.new" && mv "$FILE.new" "$FILE"'
    [touch]='touch "$FILE"'
    [remove]='rm "$FILE"'
)

# changed FILE COMMAND...: the command is exit 4 and names FILE, whatever happens to it after the first tensor. fresh() makes the input anew.
changed() {
    local file=$1 change code
    shift
    [ ${#changes[@]} -eq 7 ]
    for change in "${!changes[@]}"; do
        fresh
        touch -d 2001-09-09 "$file" # the next change of it shows, whatever the steps of the clock
        code=0
        FILE=$file SIZE=$(stat -c %s "$file") timeout -k 2 300 tests/cli/paused.py "${changes[$change]}" "$@" >"$T/out" 2>"$T/err" </dev/null || code=$?
        [ "$code" -eq 4 ] || { echo "$change: exit $code: $*"; cat "$T/err"; return 1; }
        grep -vE ' to resume it$| resumes this run$' "$T/err" | tail -n 1 >"$T/last"
        grep -qE 'shrank|grew|was replaced|was modified|changed' "$T/last" && grep -qF "${file##*/}" "$T/last" || { echo "$change:"; cat "$T/last"; return 1; }
        absent "$T/o"
    done
}

# What a run that ended leaves beside its output is no matter here.
again() { rm -rf "$T"/o* "$T"/.o*; }
fresh_shards() { again; rm -rf "$T/m"; cp -r "$HF" "$T/m"; }

@test "a shard changes while it is compressed, stream mode" {
    fresh() { fresh_shards; }
    changed "$T/m/model-00002-of-00002.safetensors" "$LORT" compress "$T/m" -o "$T/o" --mode stream --rank 4 -v
}

@test "a shard changes while it is compressed, full mode" {
    fresh() { fresh_shards; }
    changed "$T/m/model-00002-of-00002.safetensors" "$LORT" compress "$T/m" -o "$T/o" --mode full --rank 4 -v
}

@test "a side file changes while its model is compressed" {
    fresh() { fresh_shards; seq 3000 >"$T/m/tokenizer.json"; }
    changed "$T/m/tokenizer.json" "$LORT" compress "$T/m" -o "$T/o" --mode stream --lossless -v
}

@test "a model in one file changes while it is compressed to a size" {
    fresh() { again; cp "$ONE_GGUF" "$T/m.gguf"; }
    changed "$T/m.gguf" "$LORT" compress "$T/m.gguf" -o "$T/o" --mode stream --bpw 12 -v
}

@test "an old output survives an input that changes" {
    cp "$GGUF" "$T/m.gguf"
    echo precious >"$T/old.lort"
    expect 4 tests/cli/paused.py "truncate -s 9999 '$T/m.gguf'" "$LORT" compress "$T/m.gguf" -o "$T/old.lort" --force --mode stream --lossless -v
    [ "$(cat "$T/old.lort")" = precious ]
}

# A limit of address space under which no file of 20 MiB is mapped: it is read piece by piece.
unmapped() { bash -c 'ulimit -v 400000; exec "$@"' - "$LORT" "$@" -T 1; }
need_unmapped() { case $MODE in asan | tsan) skip "a sanitizer's address space cannot be limited" ;; esac; }
twenty_parts() { # FILE: of a mebibyte each, that no coder makes smaller
    python3 - "$1" <<'END'
import json, random, struct, sys
head = {f"blk.{i}.part": {"dtype": "U8", "shape": [1 << 20], "data_offsets": [i << 20, (i + 1) << 20]} for i in range(20)}
text = json.dumps(head).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(text)) + text + random.Random(1).randbytes(20 << 20))
END
}

@test "a model that is not mapped changes while it is compressed" {
    need_unmapped
    twenty_parts "$T/a.safetensors"
    fresh() { again; cp "$T/a.safetensors" "$T/m.safetensors"; }
    export -f unmapped; export LORT
    changed "$T/m.safetensors" bash -c 'unmapped "$@"' - compress "$T/m.safetensors" -o "$T/o" --mode stream --lossless -v
}

@test "a container that is not mapped changes while it is restored" {
    need_unmapped
    twenty_parts "$T/m.safetensors"
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/a.lort" --lossless -q
    fresh() { cp "$T/a.lort" "$T/b.lort"; }
    export -f unmapped; export LORT
    changed "$T/b.lort" bash -c 'unmapped "$@"' - restore "$T/b.lort" -o "$T/o"
    no_partial
}

@test "either side changes while it is compared" {
    fresh() { fresh_shards; }
    changed "$T/m/model-00002-of-00002.safetensors" "$LORT" compare "$T/m" "$HF"
    changed "$T/m/model-00002-of-00002.safetensors" "$LORT" compare "$HF" "$T/m"
    expect 0 "$LORT" compress "$HF" -o "$T/a.lort" --rank 4 -q
    fresh() { cp "$T/a.lort" "$T/b.lort"; }
    changed "$T/b.lort" "$LORT" compare "$T/b.lort" "$HF"
}

@test "a container changes while it is restored or verified" {
    expect 0 "$LORT" compress "$HF" -o "$T/a.lort" --lossless -q
    fresh() { cp "$T/a.lort" "$T/b.lort"; }
    changed "$T/b.lort" "$LORT" restore "$T/b.lort" -o "$T/o"
    no_partial
    changed "$T/b.lort" "$LORT" verify "$T/b.lort"
}

# ---- time ----

@test "stopped for two seconds and continued: the same bytes" {
    local stop='kill -STOP $PID; sleep 2; kill -CONT $PID'
    expect 0 "$LORT" compress "$HF" -o "$T/a.lort" --rank 16 -q
    for mode in stream full; do
        expect 0 tests/cli/paused.py "$stop" "$LORT" compress "$HF" -o "$T/b.lort" --rank 16 --mode $mode -v --force
        cmp "$T/a.lort" "$T/b.lort"
    done
    expect 0 tests/cli/paused.py "$stop" "$LORT" restore "$T/a.lort" -o "$T/r"
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/s"
    same "$T/r" "$T/s"
}

# Every look at the wall clock is two years from the one before.
@test "a wall clock that jumps changes nothing" {
    [ "$MODE" = release ] || skip "a sanitizer must be loaded first"
    cat >"$T/jump.c" <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
#include <sys/time.h>
int clock_gettime(clockid_t clock, struct timespec *now)
{
    static unsigned looks;
    int (*real)(clockid_t, struct timespec *) = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        now->tv_sec += looks++ % 2 ? 31536000 : -31536000;
    return result;
}
time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return out ? *out = now.tv_sec : now.tv_sec;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) { now->tv_usec = 0; time(&now->tv_sec); return 0; }
END
    ${CC:-cc} -shared -fPIC -o "$T/jump.so" "$T/jump.c" -ldl 2>"$T/err" || skip "no compiler here"
    [ "$(LD_PRELOAD=$T/jump.so date +%Y)" != "$(date +%Y)" ]
    expect 0 "$LORT" compress "$HF" -o "$T/a.lort" --rank 16 -q
    expect 0 env LD_PRELOAD="$T/jump.so" "$LORT" compress "$HF" -o "$T/b.lort" --rank 16 --json "$T/b.json" -v
    cmp "$T/a.lort" "$T/b.lort"
    [ "$(value "$T/b.json" '0 < d["seconds"] < 600 and all(0 <= t["seconds"] < 600 for t in d["tensors"])')" = True ]
    expect 0 env LD_PRELOAD="$T/jump.so" "$LORT" verify "$T/b.lort"
}
