#!/bin/sh
# A 2 GiB model that holds one 1 GiB tensor, --rank 64, in 256 MiB: by --memory and, as root on a cgroup v1 or v2 machine, in a real
# memory cgroup. Checks: stream mode and its reason in the log, planned peak at most 256 MiB, peak anonymous memory between 50 and
# 100 % of the plan, the same bytes both times. Needs python3, 3 GiB of disk, and `make build/release/tests/bench/make_model`.
# What it costs, at 16 GiB: `make bench-out-of-core`.
#   tests/models/big.sh [LORT] [DIRECTORY]
set -eu
lort=${1:-build/release/lort}
maker=${lort%/*}/tests/bench/make_model
work=$(mktemp -d "${2:-${TMPDIR:-/tmp}}/lort-big-XXXXXX")
group=
trap 'rm -rf "$work"; [ -z "$group" ] || rmdir "$group" 2>/dev/null || :' EXIT
passed=0 failed=0 skipped=0

"$maker" "$work/big.safetensors" big=1 rows=16384 cols=32768 hidden=4096 kv=4096 layers=8 >/dev/null

check() { # what, JSON
    if python3 - "$work/$2" <<'END'; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
import json, sys
d = json.load(open(sys.argv[1]))
m = d["memory"]
share = m["peak_anon_bytes"] / m["planned_peak_bytes"]
print(f'  {d["mode"]}: {d["mode_reason"]}')
print(f'  planned {m["planned_peak_bytes"] / 2**20:.1f} MiB, peak anonymous {m["peak_anon_bytes"] / 2**20:.1f} MiB ({100 * share:.0f} %), {d["seconds"]:.1f} s')
good = d["mode"] == "stream" and m["planned_peak_bytes"] <= 256 << 20 and 0.5 <= share <= 1 and d["tensors"][0]["action"] == "factored"
sys.exit(0 if good else 1)
END
}

echo "by --memory 256M:"
"$lort" compress "$work/big.safetensors" -o "$work/a.lort" --rank 64 --memory 256M -q --json "$work/a.json"
check memory a.json

limit=256M
if [ -d /sys/fs/cgroup/memory ] && mkdir "/sys/fs/cgroup/memory/lort-big-$$" 2>/dev/null; then
    group=/sys/fs/cgroup/memory/lort-big-$$
    echo $limit >"$group/memory.limit_in_bytes"
elif [ -f /sys/fs/cgroup/cgroup.controllers ] && mkdir "/sys/fs/cgroup/lort-big-$$" 2>/dev/null; then
    group=/sys/fs/cgroup/lort-big-$$
    echo $limit >"$group/memory.max"
fi
if [ -n "$group" ]; then
    echo "in a cgroup of $limit:"
    sh -c 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"' sh "$group" "$lort" compress "$work/big.safetensors" -o "$work/b.lort" --rank 64 -q --json "$work/b.json"
    check cgroup b.json
    if cmp "$work/a.lort" "$work/b.lort"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
else
    echo "no memory cgroup can be made here: skipped"
    skipped=$((skipped + 2))
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
