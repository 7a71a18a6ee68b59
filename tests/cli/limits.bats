#!/usr/bin/env bats
# A process that may not have what it likes: address space, descriptors, threads, stack, memory of its group, /proc and /sys, an environment. What works gives the
# bytes of an unlimited run; what cannot is refused with what is missing, and never hangs.
load helper
GGUF=$ONE_GGUF HF=$ONE_HF

need_limits() { case $MODE in asan | tsan) skip "a sanitizer's address space cannot be limited" ;; esac; }
is_root() { [ "$(id -u)" -eq 0 ]; }

# limited 'ULIMIT OPTIONS' COMMAND...
# A process that hangs may not hear a SIGTERM.
limited() { timeout -k 2 60 bash -c 'ulimit $0 || exit 98; exec "$@"' "$@"; }

# model FILE: twelve small matrices and, between them, 300 MiB of nothing: a hole, more than is mapped under the limits here.
model() {
    python3 - "$1" <<'END'
import json, random, struct, sys
random.seed(1)
small = b"".join(struct.pack("<f", random.gauss(0, 1)) for _ in range(96 * 80))
tensors = [(f"blk.{i}.attn_q.weight", "F32", [96, 80], len(small)) for i in range(12)]
tensors.insert(6, ("hole", "U8", [300 << 20], 300 << 20))
head, at = {}, 0
for name, dtype, shape, size in tensors:
    head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
    at += size
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text)
    for name, dtype, shape, size in tensors:
        out.seek(size, 1) if name == "hole" else out.write(small)
END
}

# ladder OPTION 'VALUES' RESULT COMMAND...: under each limit the command gives RESULT (a file or directory, $T/free being the one of an unlimited run), or is exit
# 6 and says of what there is too little, or the system cannot even load it. Once a limit is enough, so is every greater one. Sets worked and refused.
ladder() {
    local option=$1 values=$2 result=$3 value code
    shift 3
    worked=0 refused=0
    for value in $values; do
        code=0
        rm -rf "$result"
        limited "$option $value" "$@" >"$T/out" 2>"$T/err" </dev/null || code=$?
        echo "$option $value: exit $code $(tail -n 1 "$T/err")"
        case $code in
        0) same "$T/free" "$result" || return 1; worked=$((worked + 1)) ;;
        6) grep -qE '[Mm]emory|address space' "$T/err" && [ ! -e "$result" ] && [ $worked -eq 0 ] || return 1; refused=$((refused + 1)) ;;
        127) grep -q 'error while loading shared libraries' "$T/err" && [ $worked -eq 0 ] || return 1 ;;
        *) cat "$T/err"; return 1 ;;
        esac
    done
}

@test "any limit of address space: the same bytes, or exit 6" {
    need_limits
    model "$T/m.safetensors"
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/free" --rank 8 -q
    ladder -v '20000 60000 100000 150000 200000 250000 280000 310000 340000 400000 500000 700000 1000000 3000000' \
        "$T/o.lort" "$LORT" compress "$T/m.safetensors" -o "$T/o.lort" --rank 8
    [ $worked -ge 5 ] && [ $refused -ge 2 ]
}

@test "any limit of the data segment: the same bytes, or exit 6" {
    need_limits
    expect 0 "$LORT" compress "$GGUF" -o "$T/free" --rank 8 -q
    ladder -d '1000 20000 100000 140000 180000 250000 400000 1000000' "$T/o.lort" "$LORT" compress "$GGUF" -o "$T/o.lort" --rank 8
    [ $worked -ge 2 ] && [ $refused -ge 2 ]
}

@test "any limit of address space: restore, verify, compare, inspect and plan" {
    need_limits
    model "$T/m.safetensors"
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/a.lort" --rank 8 -q
    expect 0 "$LORT" restore "$T/a.lort" -o "$T/free"
    ladder -v '60000 100000 200000 300000 400000 600000 1000000' "$T/o" "$LORT" restore "$T/a.lort" -o "$T/o"
    [ $worked -ge 2 ] && [ $refused -ge 1 ]
    for command in "verify $T/a.lort" "compare $T/m.safetensors $T/a.lort" "inspect $T/m.safetensors" "plan $T/m.safetensors"; do
        echo "lort $command"
        # shellcheck disable=SC2086
        "$LORT" $command --json "$T/free.json" >"$T/out" 2>"$T/err"
        value "$T/free.json" '[(t["name"], t["rel_error"], t["action"]) for t in d["tensors"]]' >"$T/free"
        for kib in 100000 200000 300000 400000 600000 1000000; do
            code=0
            # shellcheck disable=SC2086
            limited "-v $kib" "$LORT" $command --json "$T/o.json" >"$T/out" 2>"$T/err" || code=$?
            [ $code -eq 0 ] || [ $code -eq 6 ] || { echo "-v $kib: exit $code"; cat "$T/err"; return 1; }
            [ $code -eq 0 ] || continue
            value "$T/o.json" '[(t["name"], t["rel_error"], t["action"]) for t in d["tensors"]]' >"$T/o"
            same "$T/free" "$T/o"
        done
        [ $code -eq 0 ]
    done
}

@test "60 shards within 16 descriptors and little address space: all commands" {
    need_limits
    mkdir "$T/m"
    python3 - "$T/m" <<'END'
import json, os, random, struct, sys
where, hole = {}, 2 << 20
for i in range(1, 61):
    name, values = f"model-{i:05}-of-00060.safetensors", random.Random(i).randbytes(6400)
    head = json.dumps({f"layer{i}.weight": {"dtype": "I16", "shape": [80, 40], "data_offsets": [0, 6400]},
                       f"layer{i}.hole": {"dtype": "U8", "shape": [hole], "data_offsets": [6400, 6400 + hole]}}).encode()
    where.update({f"layer{i}.weight": name, f"layer{i}.hole": name})
    with open(f"{sys.argv[1]}/{name}", "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + values)
        f.truncate(8 + len(head) + 6400 + hole)
json.dump({"weight_map": where}, open(f"{sys.argv[1]}/model.safetensors.index.json", "w"))
END
    expect 0 "$LORT" compress "$T/m" -o "$T/free" -q
    for memory in '' '-v 500000'; do # the second: most shards are not mapped either
        for mode in stream full; do
            rm -f "$T/o.lort"
            expect 0 limited "-n 16 $memory" "$LORT" compress "$T/m" -o "$T/o.lort" --mode $mode
            cmp "$T/free" "$T/o.lort"
        done
        rm -rf "$T/r"
        expect 0 limited "-n 16 $memory" "$LORT" restore "$T/o.lort" -o "$T/r"
        same "$T/m" "$T/r"
        expect 0 limited "-n 16 $memory" "$LORT" verify "$T/o.lort"
        expect 0 limited "-n 16 $memory" "$LORT" compare "$T/m" "$T/o.lort" --fail-above 0
        expect 0 limited "-n 16 $memory" "$LORT" compare "$T/m" "$T/r" --fail-above 0
        expect 0 limited "-n 16 $memory" "$LORT" inspect "$T/m"
        expect 0 limited "-n 16 $memory" "$LORT" plan "$T/m"
    done
}

# As a user who has no other process: root is exempt, and who has others has no thread left.
few_processes() { # PROCESSES COMMAND...
    local count=$1
    shift
    if is_root; then
        setpriv --reuid=64321 --regid=64321 --clear-groups bash -c 'ulimit -u $0 || exit 98; exec "$@"' "$count" "$@"
    else
        bash -c 'ulimit -u 1 || exit 98; exec "$@"' - "$@"
    fi
}

@test "threads that may not be started: fewer of them, a warning, the same bytes" {
    ! is_root || command -v setpriv >/dev/null || skip "no setpriv here"
    [ "$MODE" != tsan ] || skip "the sanitizer starts a thread itself"
    export ASAN_OPTIONS=detect_leaks=0 # the search for leaks is a process of its own
    chmod 755 "$T"
    mkdir -m 777 "$T/open"
    cp "$LORT" "$T/lort"
    few_processes 1 "$T/lort" --version >/dev/null 2>&1 || skip "processes cannot be limited here"
    cp "$GGUF" "$T/m.gguf"
    expect 0 "$LORT" compress "$T/m.gguf" -o "$T/free" --rank 16 -q
    for mode in stream full; do
        rm -f "$T/open/o.lort"
        expect 0 few_processes 1 "$T/lort" compress "$T/m.gguf" -o "$T/open/o.lort" --rank 16 --mode $mode -T 4
        said 'warning: .*1 of 4 threads'
        cmp "$T/free" "$T/open/o.lort"
    done
    expect 0 few_processes 1 "$T/lort" verify "$T/open/o.lort"
    is_root || return 0
    expect 0 few_processes 5 "$T/lort" compress "$T/m.gguf" -o "$T/open/3.lort" --rank 16 -T 4 # one thread is the heartbeat's
    said 'warning: .*3 of 4 threads'
    cmp "$T/free" "$T/open/3.lort"
}

@test "a small stack" {
    case $MODE in asan | tsan) skip "a sanitizer's frames are larger" ;; esac
    expect 0 "$LORT" compress "$GGUF" -o "$T/free" -q
    for kib in 40 64 128 1024; do
        rm -rf "$T/o.lort" "$T/r"
        expect 0 limited "-s $kib" "$LORT" compress "$GGUF" -o "$T/o.lort" -T 2
        cmp "$T/free" "$T/o.lort"
        expect 0 limited "-s $kib" "$LORT" restore "$T/o.lort" -o "$T/r" -T 1
        expect 0 limited "-s $kib" "$LORT" compare "$GGUF" "$T/o.lort" -T 1
        expect 0 limited "-s $kib" "$LORT" inspect "$GGUF"
        rm "$T/o.lort"
        expect 0 limited "-s $kib" "$LORT" compress "$GGUF" -o "$T/o.lort" -T 1 --mode stream
        cmp "$T/free" "$T/o.lort"
    done
}

@test "a file size limit is exit 5, for compress and restore" {
    expect 5 limited '-f 200' "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless
    said 'a\.lort.*File too large'
    absent "$T/a.lort"
    expect 0 "$LORT" compress "$GGUF" -o "$T/a.lort" --lossless -q
    expect 5 limited '-f 200' "$LORT" restore "$T/a.lort" -o "$T/r.gguf"
    said 'r\.gguf.*File too large'
    absent "$T/r.gguf"
    no_partial
}

@test "no HOME, TZ, TERM or PATH: the same bytes" {
    expect 0 "$LORT" compress "$GGUF" -o "$T/free" --rank 8 -q
    expect 0 env -u HOME -u TZ -u TERM -u PATH "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 8
    cmp "$T/free" "$T/a.lort"
    expect 0 env -i ${OPENBLAS_CORETYPE:+OPENBLAS_CORETYPE=$OPENBLAS_CORETYPE} "$LORT" compress "$GGUF" -o "$T/b.lort" --rank 8
    cmp "$T/free" "$T/b.lort"
}

# Empty directories in place of /proc and /sys.
bare() { unshare -m bash -c 'mount -t tmpfs none /proc && mount -t tmpfs none /sys || exit 98; exec "$@"' - "$@"; }

@test "without /proc and /sys: memory is unknown, 1 GiB, and all commands work" {
    [ "$MODE" = release ] || [ "$MODE" = ubsan ] || skip "a sanitizer needs /proc"
    bare true 2>/dev/null || skip "/proc cannot be taken away here: that needs root, and unshare and mount that may"
    expect 0 "$LORT" compress "$GGUF" -o "$T/free" --rank 16 -q
    for way in '' '-T 1' '--mode stream -T 3'; do
        # shellcheck disable=SC2086
        expect 0 bare "$LORT" compress "$GGUF" -o "$T/a.lort" --rank 16 --force $way
        said 'unknown +.*1 GiB.*binding|unknown.*1(\.0)? GiB'
        cmp "$T/free" "$T/a.lort"
    done
    expect 0 bare "$LORT" verify "$T/a.lort"
    expect 0 bare "$LORT" restore "$T/a.lort" -o "$T/r"
    expect 0 bare "$LORT" compare "$T/r" "$T/a.lort"
    expect 0 bare "$LORT" inspect "$T/a.lort"
    expect 0 bare "$LORT" plan "$GGUF"
    said 'unknown' || printed 'unknown'
}

# ---- memory of a group ----

# group BYTES: a memory cgroup, $GROUP, of version 1 or 2; inside COMMAND... runs there. Skips where the machine does not let us make one, or
# enter it: no /sys, one that is read-only, no rights, no memory controller here.
group() {
    local base=/sys/fs/cgroup why
    LIMIT=memory.max KILLS=memory.events
    [ ! -d $base/memory ] || base=$base/memory LIMIT=memory.limit_in_bytes KILLS=memory.oom_control
    GROUP=$base/lort-limits-$$-$BATS_TEST_NUMBER
    why=$(make_group "$1" 2>&1) || skip "no memory cgroup can be made here: ${why##*: }"
}
make_group() { mkdir "$GROUP" && [ -e "$GROUP/$LIMIT" ] && echo "$1" >"$GROUP/$LIMIT" && inside true; }
teardown() {
    [ ! -d "${GROUP:-/nowhere}" ] || rmdir "$GROUP" || :
    rm -rf "$T"
}
inside() { bash -c 'echo $$ >"$0/cgroup.procs" || exit 98; exec "$@"' "$GROUP" "$@"; }
nobody_was_killed() { ! grep -E '^oom_kill [1-9]' "$GROUP/$KILLS" || return 1; }

@test "a group with less memory than the model: stream mode, and with too little exit 6 before any work" {
    group $((160 << 20))
    model "$T/m.safetensors"
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/free" --rank 8 -q
    expect 0 inside "$LORT" compress "$T/m.safetensors" -o "$T/o.lort" --rank 8 --json "$T/o.json"
    cmp "$T/free" "$T/o.lort"
    [ "$(value "$T/o.json" 'd["mode"]')" = stream ]
    value "$T/o.json" 'd["memory"]["binding_source"]' | grep -q cgroup
    [ "$(value "$T/o.json" 'd["memory"]["peak_anon_bytes"] <= d["memory"]["planned_peak_bytes"] <= 160 << 20')" = True ]
    rm "$T/o.lort"
    echo $((24 << 20)) >"$GROUP/$LIMIT"
    expect 6 inside "$LORT" compress "$T/m.safetensors" -o "$T/o.lort" --rank 8 -v
    said 'needs [0-9.]+ MiB.*the budget is [0-9.]+ MiB'
    lacks "$T/err" '^blk\.'
    absent "$T/o.lort"
    nobody_was_killed
}

# The model is read from the disk by the group itself, so that its pages are the group's.
@test "a group whose limit falls to the planned peak in the middle of the work: the same bytes" {
    group $((1 << 30))
    mkdir "$T/a" "$T/b"
    model "$T/a/m.safetensors"
    inside cp --sparse=always "$T/a/m.safetensors" "$T/b/m.safetensors"
    expect 0 "$LORT" compress "$T/a/m.safetensors" -o "$T/free" --rank 8 --memory 128M --mode stream -q --json "$T/free.json"
    limit=$(($(value "$T/free.json" 'd["memory"]["planned_peak_bytes"]') + (4 << 20)))
    expect 0 tests/cli/paused.py "echo $limit >$GROUP/$LIMIT" \
        bash -c 'echo $$ >"$0/cgroup.procs" || exit 98; exec "$@"' "$GROUP" "$LORT" compress "$T/b/m.safetensors" -o "$T/o.lort" --rank 8 --memory 128M --mode stream -v
    cmp "$T/free" "$T/o.lort"
    nobody_was_killed
    [ "$(cat "$GROUP/$LIMIT")" -le $limit ]
}

# hostile_header FORMAT FILE ENTRIES: a header of very many entries, each as short as the format allows.
hostile_header() {
    python3 - "$@" <<'END'
import struct, sys
kind, path, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
names = [b"%x" % i for i in range(n)]
if kind == "keys":
    data = b"GGUF" + struct.pack("<IQQ", 3, 0, n) + b"".join(struct.pack("<Q", len(k)) + k + struct.pack("<IB", 0, 1) for k in names)
elif kind == "tensors":
    data = b"GGUF" + struct.pack("<IQQ", 3, n, 0) + b"".join(struct.pack("<Q", len(k)) + k + struct.pack("<IQIQ", 1, 0, 0, 0) for k in names)
    data += bytes(-len(data) % 32)
else:
    text = b"{" + b",".join(b'"%s":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % k for k in names) + b"}"
    text += b" " * (-len(text) % 8)
    data = struct.pack("<Q", len(text)) + text
open(path, "wb").write(data)
END
}

@test "a header of very many entries: exit 6 within the memory that was given" {
    need_limits
    group $((56 << 20))
    local kind command
    for kind in keys tensors json; do
        hostile_header $kind "$T/m" $([ $kind = keys ] && echo 300000 || echo 150000)
        for command in inspect plan "compare $T/m" "compress --lossless -o $T/a.lort"; do
            # shellcheck disable=SC2086
            expect 6 inside "$LORT" $command "$T/m" --memory 32M
            said 'the memory limit is 32 MiB, and --memory sets it|the smallest --memory that would do'
        done
        no_partial
    done
    nobody_was_killed
}

@test "records that decode to 3 GiB: exit 6 within the memory that was given" {
    need_limits
    [ -e ../shared/attacks/attacks.py ] || skip "../shared/attacks is not here"
    group $((88 << 20))
    python3 ../shared/attacks/attacks.py --write "$T" >/dev/null
    for command in inspect verify "restore -o $T/r" "compare $T/records.lort"; do
        # shellcheck disable=SC2086
        expect 6 inside "$LORT" $command "$T/records.lort" --memory 64M
        said 'records.lort: record of part 0 .*memory limit is 64 MiB'
    done
    expect 6 inside "$LORT" inspect "$T/records.lort" # without --memory: what the group leaves
    nobody_was_killed
    absent "$T/r"
}
