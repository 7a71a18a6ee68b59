# What every .bats file loads. Tests run from the project's root; LORT and MODE come from make.
LORT=$(realpath "${LORT:-build/release/lort}")
MODE=${MODE:-release}
KJV=tests/data/kjv-3m
HF=$KJV/hf
GGUF=$KJV/kjv-3m-f16.gguf
MODELS=../shared/models
# Its first layer alone: every kind of tensor in a third of the bytes. Tests that need no more use these.
ONE_GGUF=${BATS_FILE_TMPDIR:-}/one/kjv-3m-f16.gguf
ONE_HF=${BATS_FILE_TMPDIR:-}/one/hf
# The interpreter of the tests, with numpy if one has it. run-tests gives it; else the first test of a file looks for it. It is
# never a wrapper (pyenv), which takes three times as long to start.
if [ -z "${PYTHON:-}" ]; then
    PYTHON=$(for p in "$(python3 -c 'import sys; print(sys.executable)')" /usr/bin/python3; do "$p" -c 'import numpy' 2>/dev/null && { echo "$p"; break; }; done)
    export PYTHON=${PYTHON:-python3}
fi
python3() { command "$PYTHON" "$@"; }
# numpy ARGUMENT...: python, where numpy starts no threads: they take longer to start than most of the tests' sums.
numpy() { OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 command "$PYTHON" "$@"; }
has_numpy() { python3 -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("numpy"))'; }
need_numpy() { has_numpy || skip "no python3 with numpy"; }

setup_file() { mkdir "$BATS_FILE_TMPDIR/one" && python3 tests/cli/one_layer.py $KJV "$BATS_FILE_TMPDIR/one"; }
setup() { T=$(mktemp -d); }
teardown() { chmod -R u+w "$T" && rm -rf "$T"; }

# expect CODE COMMAND...: the command's exit code is CODE; stdout goes to $T/out, stderr to $T/err.
expect() {
    local want=$1 got=0
    shift
    "$@" >"$T/out" 2>"$T/err" </dev/null || got=$?
    [ "$got" -eq "$want" ] && return 0
    echo "exit $got, wanted $want: $*"
    tail -n 20 "$T/err"
    return 1
}

# stopped PART COMMAND...: the command ends with 75 and leaves its work in PART. Its time limit grows until one does that; machines
# differ too much for one limit. The test is skipped where the command is done before.
stopped() {
    local part=$1 limit got
    shift
    for limit in 0.01 0.02 0.03 0.05 0.08 0.12 0.2 0.3 0.5 1; do
        got=0
        "$@" --time-limit $limit >"$T/out" 2>"$T/err" </dev/null || got=$?
        [ "$got" -eq 75 ] || break
        [ ! -e "$part" ] || return 0
    done
    [ "$got" -eq 0 ] || { echo "exit $got, wanted 75: $*"; return 1; }
    skip "all was done before a limit stopped it"
}

# said PATTERN: stderr has it. printed PATTERN: stdout has it.
said() { grep -qE -- "$1" "$T/err" || { echo "stderr lacks '$1':"; cat "$T/err"; return 1; }; }
printed() { grep -qE -- "$1" "$T/out" || { echo "stdout lacks '$1':"; head -n 40 "$T/out"; return 1; }; }
absent() { [ ! -e "$1" ] || { echo "$1 should not exist"; return 1; }; }

# value FILE EXPRESSION: a Python expression over the JSON document d.
value() { python3 -S -c 'import json,sys; d=json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"; }

# count_action FILE ACTION: how many tensors of a report were dealt with so.
count_action() { value "$1" "[t['action'] for t in d['tensors']].count('$2')"; }

# Sorted hashes of every file under a directory, or of one file.
hashes() {
    if [ -d "$1" ]; then (cd "$1" && find . -type f ! -name '.*' -print0 | sort -z | xargs -0 sha256sum); else sha256sum <"$1"; fi
}

# same A B: two files or two directories have equal content.
same() {
    if [ -f "$1" ] && [ -f "$2" ]; then cmp "$1" "$2"; else [ "$(hashes "$1")" = "$(hashes "$2")" ] || { echo "$1 and $2 differ"; return 1; }; fi
}

# flip FILE OFFSET: inverts one byte.
flip() { python3 -c 'import sys; f=open(sys.argv[1],"r+b"); f.seek(int(sys.argv[2])); b=f.read(1)[0]; f.seek(-1,1); f.write(bytes([b^255]))' "$1" "$2"; }

# True where LORT is lort.exe under Wine (make check-windows).
on_windows() { [ -n "${RUN_WITH:-}" ]; }
need_models() { [ -e "$MODELS/$1" ] || skip "$MODELS/$1 is not here"; }

# lacks FILE PATTERN (a bare `!` would not fail a test).
lacks() { if grep -qE -- "$2" "$1"; then echo "$1 has '$2':"; grep -E -- "$2" "$1"; return 1; fi; }
no_partial() { [ -z "$(find "$T" -name '*partial*' -o -name '*.part' -o -name '*.journal' -o -name '*.lort-lock')" ] || { ls -la "$T"; return 1; }; }

# f32_model FILE: a safetensors file. The Python on stdin makes `tensors`, the names and shapes in order, and `values`, the floats of all of them.
f32_model() {
    python3 -c '
import array, json, math, random, struct, sys
exec(sys.stdin.read())
at, head = 0, {}
for name, shape in tensors.items():
    head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * math.prod(shape)]}
    at += 4 * math.prod(shape)
text = json.dumps(head).encode()
text += b" " * (-len(text) % 8)
with open(sys.argv[1], "wb") as out:
    out.write(struct.pack("<Q", len(text)) + text)
    array.array("f", values).tofile(out)
' "$1"
}

# imatrix MODEL FILE: an importance matrix in the legacy form for every matrix of a model, of made-up values over some eight octaves.
imatrix() {
    "$LORT" inspect "$1" --json "$T/inspected.json" >"$T/out"
    python3 - "$T/inspected.json" "$2" <<'END'
import json, random, struct, sys
random.seed(3)
matrices = [t for t in json.load(open(sys.argv[1]))["tensors"] if len(t["shape"]) > 1]
with open(sys.argv[2], "wb") as out:
    out.write(struct.pack("<i", len(matrices)))
    for t in matrices:
        name, count = t["name"].encode(), t["shape"][-1]
        out.write(struct.pack("<i", len(name)) + name + struct.pack("<ii", 1, count))
        out.write(struct.pack(f"<{count}f", *(2 ** random.gauss(0, 1.3) for _ in range(count))))
END
}
