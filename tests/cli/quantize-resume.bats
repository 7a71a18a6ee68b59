#!/usr/bin/env bats
# lort quantize: the same bytes whatever the machine and whatever interrupts it; files of others; memory. tests/fault kills at more instants.
load quantize

setup_file() { python_of_tests "$BATS_FILE_TMPDIR" <<<'write(f"{T}/m.gguf", large())'; }

# what TARGETS each test takes, the whole outputs, and what must not lie about
resumed() {
    { cat <<'END_PY'
TARGETS = {"type": ("--type", "Q4_K_M"), "bpw": ("--bpw", "7", "--types", "Q4_0,Q5_0,Q8_0"), "imatrix": ("--type", "Q2_K", "--imatrix", f"{T}/i.dat")}
legacy_imatrix(f"{T}/i.dat", [("blk.0.attn_q.weight", [1.0] * 500 + [50.0] * 12), ("blk.0.ffn_up_exps.weight", [1.0] * 1400 + [9.0] * 136)])
whole, reports = {}, {}
def make_whole(*names, source=None):
    for name in names:
        reports[name] = quantize(source or words[0], f"{T}/whole-{name}", *TARGETS[name]).report
        whole[name] = open(f"{T}/whole-{name}", "rb").read()
def finished(out, name):
    assert open(out, "rb").read() == whole[name], f"{out}: other bytes"
    left = [n for n in os.listdir(T) if n.startswith(os.path.basename(out) + ".") or "partial" in n or "lort-lock" in n]
    assert not left, left
    os.remove(out)
def same_figures(report, name):
    for a, b in zip(report["tensors"], reports[name]["tensors"]):
        assert all(a[k] == b[k] for k in a if k != "seconds"), (a, b)
    for key in ("worst_error", "mean_error", "worst_weighted_error", "mean_weighted_error"):
        assert report[key] == reports[name][key], key
END_PY
      cat; } | py "$@"
}

@test "the same bytes and figures for any threads, mode and memory" {
    resumed <<'END_PY'
make_whole(*TARGETS)
least = run("quantize", words[0], "-o", f"{T}/o", *TARGETS["bpw"], "--memory", "1M", code=6)
assert not os.path.exists(f"{T}/o") and "--memory" in least.err, least.err
least = f'{int(least.err.split("the smallest --memory that would do is ")[1].split("M")[0]) + 1}M'  # the process takes some pages more or less
bound = os.environ.get("MODE", "release") == "release"  # a sanitizer takes memory of its own
for name, how in TARGETS.items():
    for machine in (["-T", "1"], ["-T", "2", "--mode", "full"], ["-T", "5", "--mode", "stream"], ["-T", "1", "--mode", "stream"] + ["--memory", least] * bound, ["--memory", "80M"] if bound else []):
        ran = quantize(words[0], f"{T}/o", *how, *machine)
        same_figures(ran.report, name)
        finished(f"{T}/o", name)
END_PY
}

@test "a disk that is full at any byte: resumed to the same bytes and figures" {
    resumed <<'END_PY'
make_whole(*TARGETS)
for name, how in TARGETS.items():
    size, taken = len(whole[name]), 0
    for i, at in enumerate([2000, size // 9, size // 4, size // 3, size // 2, 2 * size // 3, 5 * size // 6, size - 5]):
        first = cut(words[0], f"{T}/o", at, *how, *(["-T", "1"] if i % 2 else ["--mode", "stream"]))
        assert first.code == 5 and not os.path.exists(f"{T}/o"), first.err
        ran = quantize(words[0], f"{T}/o", *how, *(["--mode", "stream"] if i % 2 else ["-T", "3"]), *(["--resume"] if at > 4000 else []))
        taken += ran.report["output"]["resumed_tensors"]
        same_figures(ran.report, name)
        finished(f"{T}/o", name)
    assert taken > 8, (name, taken)
# Step by step, each run some bytes further.
for at in range(100000, len(whole["bpw"]) + 200000, 150000):
    if cut(words[0], f"{T}/o", at, *TARGETS["bpw"]).code == 0:
        break
finished(f"{T}/o", "bpw")
END_PY
}

@test "killed, stopped and out of time, again and again: the same bytes" {
    resumed <<'END_PY'
draw = random.Random(5)
make_whole("type", "bpw")
for name in whole:
    begun = time.monotonic()
    quantize(words[0], f"{T}/o", *TARGETS[name])
    seconds, kills = time.monotonic() - begun, {}
    finished(f"{T}/o", name)
    for turn in range(80):  # three times each, and on until enough of them came in time
        if turn >= 12 and kills.get(75, 0) >= 2 and kills.get(-9, 0) >= 1:
            break
        number = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, None)[turn % 4]
        begun = time.monotonic()
        limit = ("--time-limit", f"{draw.uniform(0.01, 0.6) * seconds:.3f}") if number is None else ()
        process = subprocess.Popen([LORT, "quantize", words[0], "-o", f"{T}/o", *TARGETS[name], *limit], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, restore_signals=True)
        try:
            err = process.communicate(timeout=draw.uniform(0, 0.9) * seconds if number else None)[1].decode()
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            err = process.communicate()[1].decode()
        # A signal may come before LoRT heeds it.
        ends = {signal.SIGKILL: (-9, 0), signal.SIGTERM: (75, -15, 0), signal.SIGHUP: (75, -1, 0), None: (75, 0)}[number]
        assert process.returncode in ends, (number, process.returncode, err)
        if process.returncode == -9 and os.path.exists(f"{T}/o"):  # killed behind the rename; the journal may be there yet
            assert open(f"{T}/o", "rb").read() == whole[name]
            os.remove(f"{T}/o")
        assert process.returncode == 0 or not os.path.exists(f"{T}/o")
        assert process.returncode != 75 or "stopped by signal" in err or "time limit" in err, err
        kills[process.returncode] = kills.get(process.returncode, 0) + 1
        if process.returncode == 0:
            finished(f"{T}/o", name)
            seconds = min(seconds, time.monotonic() - begun)  # the first run may have waited for its files
    quantize(words[0], f"{T}/o", *TARGETS[name])
    finished(f"{T}/o", name)
    assert kills.get(75, 0) >= 2 and kills.get(-9, 0) >= 1, kills
END_PY
}

@test "other options drop old work with a warning; --resume refuses, and touches nothing" {
    resumed <<'END_PY'
def unfinished():
    ran = cut(words[0], f"{T}/o", 900000, "--bpw", "7", "--types", "Q4_K,Q6_K,Q8_0", "--tensor-type", "*attn_v*=Q8_0")
    assert ran.code == 5 and "the same command resumes this run" in ran.err, ran.err
TARGETS["type"] = ("--type", "Q4_0")
make_whole("type")
unfinished()
state = [(n, open(f"{T}/{n}", "rb").read()) for n in ("o.part", "o.part.journal")]
base = {"--bpw": "7", "--types": "Q4_K,Q6_K,Q8_0", "--tensor-type": "*attn_v*=Q8_0"}
for change in ({"--bpw": "7.5"}, {"--types": "Q4_K,Q6_K"}, {"--tensor-type": "*attn_v*=Q6_K"}, {"--tensor-type": "*attn_q*=Q8_0"}, {"--tensor-type": None}, {"--imatrix": f"{T}/i.dat"},
               {"--bpw": None, "--types": None, "--type": "Q4_K_M"}, {"--bpw": None, "--size": "40%"}):
    options = {k: v for k, v in {**base, **change}.items() if v is not None}
    ran = run("quantize", words[0], "-o", f"{T}/o", "--resume", *(w for pair in options.items() for w in pair), code=2)
    assert "o.part was begun with another" in ran.err and "there" in ran.err and "here" in ran.err, ran.err
    assert state == [(n, open(f"{T}/{n}", "rb").read()) for n in ("o.part", "o.part.journal")], change
ran = quantize(words[0], f"{T}/o", *TARGETS["type"])
assert len(ran.warnings("begun again")) == 1 and ran.report["output"]["resumed_tensors"] == 0, ran.err
finished(f"{T}/o", "type")
ran = quantize(words[0], f"{T}/o", *TARGETS["type"], "--resume")
assert "nothing to resume" in ran.err
finished(f"{T}/o", "type")
END_PY
}

@test "touched inputs are compared; changed weights, imatrix entries and headers are noticed" {
    resumed <<'END_PY'
source = f"{T}/m.gguf"
def fresh():
    shutil.copy(words[0], source)
    os.utime(source, (1e9, 1e9))
def unfinished(name):
    fresh()
    ran = cut(source, f"{T}/o", 1100000, *TARGETS[name])
    assert ran.code == 5, ran.err
fresh()
make_whole("type", "bpw", "imatrix", source=source)
def replace():
    shutil.copy2(source, source + ".new")
    os.rename(source + ".new", source)
for name in ("type", "bpw"):
    for touch in (lambda: os.chmod(source, 0o600), replace, lambda: os.utime(source)):
        unfinished(name)
        touch()
        ran = quantize(source, f"{T}/o", *TARGETS[name], "--resume")
        assert ran.report["output"]["resumed_tensors"] > 1, ran.err
        os.chmod(source, 0o644)
        os.chmod(f"{T}/o", 0o644)
        finished(f"{T}/o", name)
# A weight of a finished tensor, of one that is not, and of one that is copied.
model = File(source)
for tensor, at in (("token_embd.weight", 2), ("blk.0.attn_q.weight", 5 << 17), ("blk.0.ffn_down.weight", 2), ("output_norm.weight", 1), ("blk.0.odd.weight", 77)):
    for name in ("type", "bpw"):
        unfinished(name)
        with open(source, "r+b") as file:
            file.seek(model.start + model.by_name[tensor].at + at)
            file.write(b"\x2a\x2a")
        quantize(source, f"{T}/want", *TARGETS[name])
        ran = quantize(source, f"{T}/o", *TARGETS[name])
        assert open(f"{T}/o", "rb").read() == open(f"{T}/want", "rb").read(), (tensor, name)
        assert not [n for n in os.listdir(T) if n.startswith("o.")]
        os.remove(f"{T}/o"), os.remove(f"{T}/want")
        unfinished(name)
        with open(source, "r+b") as file:
            file.seek(model.start + model.by_name[tensor].at + at)
            file.write(b"\x2a\x2a")
        ran = quantize(source, f"{T}/o", *TARGETS[name], "--resume", code=None)
        assert ran.code in (0, 4), ran.err
        quantize(source, f"{T}/want", *TARGETS[name])
        assert ran.code == 4 and "changed" in ran.err or open(f"{T}/o", "rb").read() == open(f"{T}/want", "rb").read()
        for n in glob.glob(f"{T}/o*") + [f"{T}/want"]:
            os.remove(n)
unfinished("imatrix")
legacy_imatrix(f"{T}/i.dat", [("blk.0.attn_q.weight", [1.0] * 500 + [51.0] * 12), ("blk.0.ffn_up_exps.weight", [1.0] * 1400 + [9.0] * 136)])
ran = run("quantize", source, "-o", f"{T}/o", *TARGETS["imatrix"], "--resume", code=2)
assert "imatrix" in ran.err, ran.err
unfinished("type")
with open(source, "r+b") as file:
    data = file.read()
    file.seek(data.index(b"a test"))
    file.write(b"A TEST")
ran = run("quantize", source, "-o", f"{T}/o", *TARGETS["type"], "--resume", code=4)
assert "header of m.gguf" in ran.err, ran.err
END_PY
}

@test "an input that changes during the run is exit 4, or its change is in the output" {
    cp "$BATS_FILE_TMPDIR/m.gguf" "$T/whole.gguf"
    for run in "full|--type Q4_0" "stream|--bpw 7 --types Q4_0,Q8_0" "full|--bpw 7 --types Q4_0,Q8_0"; do
        for change in 'truncate -s 900000 ' 'rm ' 'dd if=/dev/zero conv=notrunc status=none bs=1000 seek=1300 count=1200 of=' 'chmod 600 ' 'touch '; do
            rm -f "$T"/o* "$T/p"
            cp "$T/whole.gguf" "$T/m.gguf"
            touch -d 2001-09-09 "$T/m.gguf"
            code=0
            # shellcheck disable=SC2086
            timeout -k 2 100 tests/cli/paused.py "$change$T/m.gguf" "$LORT" quantize "$T/m.gguf" -o "$T/o" ${run#*|} --mode "${run%|*}" -v >"$T/out" 2>"$T/err" </dev/null || code=$?
            echo "$run $change: $code"
            case $code in
            4) absent "$T/o" && said 'm\.gguf' ;;
            0) [ "$change" != "rm " ] && expect 0 "$LORT" quantize "$T/m.gguf" -o "$T/p" ${run#*|} && cmp "$T/o" "$T/p" ;;
            *) cat "$T/err"; return 1 ;;
            esac
        done
    done
}

@test "weights that change between two runs: no note of the old ones decides" {
    resumed <<'END_PY'
source = f"{T}/m.gguf"
model = File(words[0])
def write_weights(tensor, data):
    with open(source, "r+b") as file:
        file.seek(model.start + model.by_name[tensor].at)
        file.write(data)
for how in (("--type", "Q4_0"), ("--bpw", "9", "--types", "Q4_0,Q5_0,Q8_0")):
    shutil.copy(words[0], source)
    write_weights("blk.0.ffn_up_exps.weight", b"\x00\x7e" * 9)  # NaN
    assert cut(source, f"{T}/o", 700000, *how).code == 5
    write_weights("blk.0.ffn_up_exps.weight", b"\x00\x30" * 200000)
    assert cut(source, f"{T}/o", 700000, *how).code == 5
    ran = quantize(source, f"{T}/o", *how)
    quantize(source, f"{T}/want", *how)
    assert open(f"{T}/o", "rb").read() == open(f"{T}/want", "rb").read(), how
    assert not ran.warnings("NaN"), ran.err
    os.remove(f"{T}/o"), os.remove(f"{T}/want")
END_PY
}

@test "torn, flipped and missing notes and bytes: the valid part is used, the rest made again" {
    resumed <<'END_PY'
draw = random.Random(3)
make_whole("bpw")
assert cut(words[0], f"{T}/o", 1200000, *TARGETS["bpw"]).code == 5
part, journal = (open(f"{T}/{n}", "rb").read() for n in ("o.part", "o.part.journal"))
def flip(data, at):
    return data[:at] + bytes([data[at] ^ 255]) + data[at + 1:]
cases = [(part[:n], journal) for n in (10, 600, len(part) // 2, len(part) - 1)] + [(part + bytes(100), journal), (part + part, journal), (part, journal + journal)]
cases += [(flip(part, draw.randrange(len(part))), journal) for _ in range(5)] + [(flip(part, 300), journal), (whole["bpw"], journal)]
cases += [(part, journal[:n]) for n in (30, len(journal) // 2, len(journal) - 3)] + [(part, flip(journal, draw.randrange(40, len(journal)))) for _ in range(5)]
taken = 0
for p, j in cases:
    for name, data in (("o.part", p), ("o.part.journal", j)):
        with open(f"{T}/{name}", "wb") as file:
            file.write(data)
    ran = quantize(words[0], f"{T}/o", *TARGETS["bpw"], "--resume")
    taken += ran.report["output"]["resumed_tensors"] > 0
    finished(f"{T}/o", "bpw")
assert taken > len(cases) // 2, taken
END_PY
}

@test "files of others beside the output are refused and stay" {
    resumed <<'END_PY'
make_whole("type")
header = whole["type"][:4000]
for name in ("o.part", "o.part.journal"):
    for data in (b"precious", header, whole["type"], b"x" * 100000):
        for how in ((), ("--force",), ("--resume",)):
            with open(f"{T}/{name}", "wb") as file:
                file.write(data)
            ran = run("quantize", words[0], "-o", f"{T}/o", *TARGETS["type"], *how, code=9)
            assert name in ran.err, ran.err
            assert open(f"{T}/{name}", "rb").read() == data and not os.path.exists(f"{T}/o")
            os.remove(f"{T}/{name}")
            others = [n for n in os.listdir(T) if n.startswith("o.")]
            assert not others, others
    os.mkdir(f"{T}/{name}")
    run("quantize", words[0], "-o", f"{T}/o", *TARGETS["type"], code=9)
    os.rmdir(f"{T}/{name}")
    os.symlink(f"{T}/whole-type", f"{T}/{name}")
    run("quantize", words[0], "-o", f"{T}/o", *TARGETS["type"], code=9)
    os.remove(f"{T}/{name}")
assert open(f"{T}/whole-type", "rb").read() == whole["type"]
END_PY
}

@test "an output that exists, is the input, or cannot be" {
    resumed <<'END_PY'
make_whole("type")
with open(f"{T}/o", "w") as file:
    file.write("precious")
ran = run("quantize", words[0], "-o", f"{T}/o", *TARGETS["type"], code=9)
assert open(f"{T}/o").read() == "precious"
quantize(words[0], f"{T}/o", *TARGETS["type"], "--force")
finished(f"{T}/o", "type")
shutil.copy(words[0], f"{T}/m.gguf")
os.symlink("m.gguf", f"{T}/link.gguf")
os.link(f"{T}/m.gguf", f"{T}/hard.gguf")
for out in ("m.gguf", "link.gguf", "hard.gguf", "./m.gguf"):
    for how in ((), ("--force",)):
        ran = run("quantize", f"{T}/m.gguf", "-o", f"{T}/{out}", *TARGETS["type"], *how, code=None)
        assert ran.code in (2, 9) and ran.err.startswith("lort"), (out, ran.code, ran.err)
        if ran.code == 0:
            break
    assert open(f"{T}/m.gguf", "rb").read() == open(words[0], "rb").read(), out
shutil.copy(words[0], f"{T}/o.part")
run("quantize", f"{T}/o.part", "-o", f"{T}/o", *TARGETS["type"], code=2)
assert open(f"{T}/o.part", "rb").read() == open(words[0], "rb").read()
os.remove(f"{T}/o.part")
os.mkdir(f"{T}/d")
assert run("quantize", words[0], "-o", f"{T}/d", *TARGETS["type"], code=None).code in (5, 9)
assert run("quantize", words[0], "-o", f"{T}/d", *TARGETS["type"], "--force", code=None).code in (5, 9)
assert run("quantize", words[0], "-o", f"{T}/no/o", *TARGETS["type"], code=5).err
assert run("quantize", f"{T}/no.gguf", "-o", f"{T}/o", *TARGETS["type"], code=3).err
assert not glob.glob(f"{T}/o*"), glob.glob(f"{T}/o*")
os.chmod(f"{T}/m.gguf", 0o640)
quantize(f"{T}/m.gguf", f"{T}/o", *TARGETS["type"])
assert os.stat(f"{T}/o").st_mode & 0o777 == 0o640
END_PY
}

@test "a tensor far larger than the memory" {
    case $MODE in asan | tsan | ubsan) skip "a sanitizer takes memory of its own" ;; esac
    py <<'END_PY'
# 256 MiB of F16 in one tensor, most of it a hole in the file
rows, cols = 32768, 4096
write(f"{T}/m.gguf", [("blk.0.attn_norm.weight", [4096], "F32", gauss(4096)), ("blk.0.ffn_up.weight", [0, cols], "F16", b"")])
data = bytearray(open(f"{T}/m.gguf", "rb").read())
at = data.index(b"blk.0.ffn_up.weight") + len("blk.0.ffn_up.weight") + 4
data[at:at + 16] = struct.pack("<QQ", cols, rows)
start = len(data)
with open(f"{T}/m.gguf", "wb") as out:
    out.write(data)
    for i in range(8):
        out.seek(start + i * rows * cols // 4)
        out.write(tiled([64, cols], i))
    out.truncate(start + 2 * rows * cols)
for source in ("m.gguf",):
    for target in (("--type", "Q4_0"), ("--bpw", "6", "--types", "Q4_0,Q8_0")):
        ran = quantize(f"{T}/{source}", f"{T}/o.gguf", *target, "--memory", "64M", "--force")
        memory = ran.report["memory"]
        assert ran.report["mode"] == "stream" and memory["budget_bytes"] == 64 << 20
        assert memory["peak_anon_bytes"] <= memory["planned_peak_bytes"] <= 64 << 20, memory
        File(f"{T}/o.gguf").check_layout()
END_PY
}
