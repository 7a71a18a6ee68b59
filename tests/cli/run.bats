# lort run: a command on a model that is restored into memory.
load helper

setup_file() {
    mkdir "$BATS_FILE_TMPDIR/one" && python3 tests/cli/one_layer.py $KJV "$BATS_FILE_TMPDIR/one"
    "$LORT" compress -q "$BATS_FILE_TMPDIR/one/kjv-3m-f16.gguf" -o "$BATS_FILE_TMPDIR/g.lort"
    "$LORT" compress -q "$BATS_FILE_TMPDIR/one/hf" -o "$BATS_FILE_TMPDIR/h.lort"
    "$LORT" restore -q "$BATS_FILE_TMPDIR/g.lort" -o "$BATS_FILE_TMPDIR/g.gguf"
    "$LORT" restore -q "$BATS_FILE_TMPDIR/h.lort" -o "$BATS_FILE_TMPDIR/h"
}
setup() {
    T=$(mktemp -d)
    mkdir "$T/tmp"
    export TMPDIR=$T/tmp
}
g() { echo "$BATS_FILE_TMPDIR/g.lort"; }
h() { echo "$BATS_FILE_TMPDIR/h.lort"; }
clean() { [ -z "$(ls -A "$T/tmp")" ] || { ls -lR "$T/tmp"; return 1; }; }

@test "a command reads the model, by its own path and from its children" {
    expect 0 "$LORT" run "$(g)" -- cmp {} "$BATS_FILE_TMPDIR/g.gguf"
    said 'output +in memory, .* in 1 file'
    said 'peak .* of lort, beside the files'
    expect 0 "$LORT" run -q "$(g)" -- sh -c "sh -c 'cmp {} $BATS_FILE_TMPDIR/g.gguf'; echo model={}: {}" - {} ''
    printed '^model=/proc/self/fd/[0-9]+: /proc/self/fd/[0-9]+$'
    [ ! -s "$T/err" ]
    "$LORT" restore -q "$(g)" --dtype F32 -o "$T/wide"
    expect 0 "$LORT" run -q "$(g)" --dtype F32 -T 3 -- cmp {} "$T/wide"
    clean
}

@test "the memory is sealed: nobody can change it" {
    expect 0 "$LORT" run -q "$(g)" -- python3 -c '
import fcntl, os, sys
fd = int(sys.argv[1].rsplit("/", 1)[1])
print(fcntl.fcntl(fd, 1034))  # F_GET_SEALS
for act in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 0), lambda: fcntl.fcntl(fd, 1033, 16)):
    try:
        act()
        sys.exit("not sealed")
    except PermissionError:
        pass
' {}
    [ $(($(cat "$T/out") & 15)) -eq 15 ]
}

@test "several files are a folder of links with the side files" {
    expect 0 "$LORT" run "$(h)" -- diff -r {} "$BATS_FILE_TMPDIR/h"
    said 'in memory, .* in [2-9] files'
    expect 0 "$LORT" run -q "$(h)" -- sh -c 'stat -c %a {}; echo {}; ls -l {}'
    printed '^700$'
    printed "^$T/tmp/lort-run-"
    printed 'config.json -> /proc/[0-9]+/fd/'
    clean
    expect 0 "$LORT" run "$(h)" -- sh -c 'touch {}/mine'
    said "'$T/tmp/lort-run-.*' stays: Directory not empty"
    rm -r "$T"/tmp/lort-run-*
}

@test "folders of a model, and the first shard of a GGUF set" {
    mkdir -p "$T/m/sub/deep"
    cp "$ONE_HF"/* "$T/m"
    echo side >"$T/m/sub/deep/notes.txt"
    "$LORT" compress -q "$T/m" -o "$T/m.lort"
    "$LORT" restore -q "$T/m.lort" -o "$T/back"
    expect 0 "$LORT" run -q "$T/m.lort" -- diff -r {} "$T/back"
    clean
    need_models tinystories-656k-gguf
    local shard
    shard=$(find $MODELS -name '*-00001-of-*.gguf' | head -n 1)
    [ -n "$shard" ] || skip "no split GGUF is here"
    "$LORT" compress -q "$shard" -o "$T/s.lort"
    expect 0 "$LORT" run -q "$T/s.lort" -- sh -c 'echo {}; cd $(dirname {}) && ls'
    printed "^$T/tmp/lort-run-[^/]*/$(basename "$shard")\$"
    printed "$(basename "$shard" | sed s/00001-of/00002-of/)"
    clean
}

@test "the exit code is that of the command" {
    expect 0 "$LORT" run -q "$(g)" -- true {}
    expect 7 "$LORT" run -q "$(g)" -- sh -c 'exit 7' {}
    expect 137 "$LORT" run -q "$(h)" -- sh -c 'kill -KILL $$' {}
    said '^lort: sh was killed by signal 9 \(SIGKILL\)$'
    expect 127 "$LORT" run "$(g)" -- no-such-command {}
    said 'no-such-command: no such command in PATH'
    expect 127 "$LORT" run "$(g)" --progress json --json "$T/none.json" -- no-such-command {}
    said '^{"v":1,"type":"error",.*"code":2,"name":"usage","message":"no-such-command: no such command in PATH"'
    said '^{"v":1,"type":"end",.*"code":127,'
    grep -q 'no such command in PATH' "$T/none.json"
    expect 137 "$LORT" run -q "$(g)" --progress json -- sh -c 'kill -9 $$' {}
    said '^lort: sh was killed by signal 9'
    expect 127 "$LORT" run "$(g)" -- "$T/none" {}
    touch "$T/plain"
    expect 126 "$LORT" run "$(g)" -- "$T/plain" {}
    said 'cannot run .*plain: Permission denied'
    expect 126 "$LORT" run "$(g)" -- "$T" {}
    clean
}

@test "the command has the streams, the signals and the variables of the user" {
    [ "$(echo words | OPENBLAS_NUM_THREADS=5 "$LORT" run -q "$(g)" -- sh -c 'cat; echo $OPENBLAS_NUM_THREADS; echo out >&2' {} 2>&1)" = $'words\n5\nout' ]
    [ -z "$(env -u OPENBLAS_NUM_THREADS "$LORT" run -q "$(g)" -- sh -c 'env | grep -E "OPENBLAS_NUM|HWLOC_HIDE"' {})" ]
    expect 0 python3 -c '
import signal, subprocess, sys
out = subprocess.run([sys.argv[1], "run", "-q", sys.argv[2], "--", sys.executable, "-c",
                      "print([l for l in open(\"/proc/thread-self/status\") if l[:6] in (\"SigBlk\",)])", "{}"],
                     stdout=subprocess.PIPE, text=True, check=True).stdout
assert "0000000000000000" in out, out' "$LORT" "$(g)"
    expect 0 "$LORT" run -q "$(g)" -- sh -c 'yes | head -n 1' {} # SIGPIPE ends yes
    printed '^y$'
    [ ! -s "$T/err" ]
}

@test "signals go on to the command, and the folder is removed" {
    for signal in TERM INT HUP QUIT; do
        rm -f "$T/ready" "$T/got"
        python3 - "$LORT" "$(h)" "$T" $signal <<'END'
import os, signal, subprocess, sys, time
lort, container, T, name = sys.argv[1:]
number = getattr(signal, "SIG" + name)
child = f"""
import signal, sys, time
def handle(n, f):
    open({T!r} + "/got", "a").write(f"{{n}}\\n")
    time.sleep(0.1)
    sys.exit(5)
signal.signal({int(number)}, handle)
open({T!r} + "/ready", "w").close()
time.sleep(60)
"""
run = subprocess.Popen([lort, "run", "-q", container, "--", sys.executable, "-c", child, "{}"])
while not os.path.exists(T + "/ready"):
    assert run.poll() is None
    time.sleep(0.02)
run.send_signal(number)
assert run.wait() == 5, run.returncode
assert open(T + "/got").read() == f"{int(number)}\n"
END
        clean
    done
    python3 - "$LORT" "$(h)" "$T" <<'END'
import os, signal, subprocess, sys, time
lort, container, T = sys.argv[1:]
run = subprocess.Popen([lort, "run", "-q", container, "--", "sh", "-c", f"touch {T}/ready2; exec sleep 60", "{}"], stderr=subprocess.PIPE, text=True)
while not os.path.exists(T + "/ready2"):
    time.sleep(0.02)
run.send_signal(signal.SIGTERM)
assert run.wait() == 128 + 15
assert "was killed by signal 15 (SIGTERM)" in run.stderr.read()
END
    clean
}

@test "Ctrl-C of a terminal reaches the command once" {
    python3 - "$LORT" "$(g)" "$T" <<'END'
import os, pty, sys, time
lort, container, T = sys.argv[1:]
child = f"""
import signal, sys, time
count = 0
def handle(n, f):
    global count
    count += 1
signal.signal(signal.SIGINT, handle)
open({T!r} + "/ready", "w").close()
while not count:
    time.sleep(0.02)
time.sleep(0.3)
sys.exit(40 + count)
"""
pid, terminal = pty.fork()
if pid == 0:
    os.execv(lort, [lort, "run", "-q", container, "--", sys.executable, "-c", child, "{}"])
while not os.path.exists(T + "/ready"):
    time.sleep(0.02)
os.write(terminal, b"\x03")
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 41
END
}

@test "what does not fit the memory is refused before the work" {
    expect 6 "$LORT" run "$(g)" --memory 8M -- touch "$T/ran" {}
    said 'not enough memory: the restored files take .* and decoding takes .* beside them; --memory leaves 8 MiB; .*lort restore'
    absent "$T/ran"
    expect 6 "$LORT" run "$(g)" --dtype F32 --memory 2M -- touch "$T/ran" {}
    said 'give --dtype F16 \('
    expect 0 "$LORT" run "$(g)" --memory 200M -- touch "$T/ran" {}
    [ -e "$T/ran" ]
    clean
}

@test "wrong command lines are refused before the work" {
    expect 2 "$LORT" run "$(g)"
    said 'wants a command behind --'
    expect 2 "$LORT" run "$(g)" --
    expect 2 "$LORT" run "$(g)" -- cat
    said 'the arguments of CMD have no \{\}'
    expect 2 "$LORT" run "$(g)" -- '{}' x
    expect 2 "$LORT" run -- cat {}
    expect 2 "$LORT" run "$(g)" --json - -- cat {}
    said 'standard output belongs to CMD'
    expect 3 "$LORT" run "$ONE_GGUF" -- touch "$T/ran" {}
    said 'is no container: run the command on it directly'
    expect 3 "$LORT" run "$ONE_HF" -- touch "$T/ran" {}
    absent "$T/ran"
    expect 0 "$LORT" run -q "$(g)" --json "$T/r.json" -- true {}
    [ "$(value "$T/r.json" "d['command']")" = run ]
}
