#!/usr/bin/env bats
# What people see while LoRT works: on a terminal, in a log, and when they stop it.
load helper

# record FILE COMMAND...: what the command draws on a terminal of 120 columns.
record() { python3 tests/bench/terminal.py record "$@" || { tail -n 3 "$1"; return 1; }; }

# Rows of noise over a few strong directions: several MB, so that a run takes some time.
several_mb() {
    f32_model "$1" <<'END2'
random.seed(5)
n = 640
tensors = {f"model.layers.{i}.mlp.up_proj.weight": [n, n] for i in range(4)}
base = [random.gauss(0, 1) for _ in range(n * n)]
values = [v for i in range(4) for v in base[i * 100:] + base[:i * 100]]
END2
}

@test "on a terminal the line changes at least once a second, in every phase, and the ETA ends right" {
    several_mb "$T/m.safetensors"
    record "$T/cast" nice -n 19 "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --bpw 4 -T 1
    python3 tests/bench/terminal.py check "$T/cast" >"$T/out"
    printed '^phases (opening, )?(loading, )?measuring, (checking, )?writing, reading back$'
    python3 - "$T/out" <<'END2'
import re, sys
text = open(sys.argv[1]).read()
silence = float(re.search(r"longest silence ([0-9.]+)", text)[1])
# the machine may hold all threads up for a moment, which no line can help
assert silence < 2, text
late = [abs(float(e)) for at, e in re.findall(r"ETA at ([0-9.]+) of the time: ([-+0-9.]+)%", text) if float(at) > 0.6]
assert late and max(late) < 60, text
END2
    grep -q '100 %' "$T/cast"
    grep -qE 'measuring [0-9]+/4' "$T/cast"
    grep -qE 'writing [0-9]+/4' "$T/cast"
}

@test "verify, restore, compare and plan --sample draw their line, which ends at 100 %" {
    several_mb "$T/m.safetensors"
    "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --bpw 4 -q
    record "$T/verify" "$LORT" verify "$T/m.lort"
    record "$T/restore" "$LORT" restore "$T/m.lort" -o "$T/back.safetensors"
    record "$T/compare" "$LORT" compare "$T/m.lort" "$T/m.safetensors"
    record "$T/plan" "$LORT" plan "$T/m.safetensors" --bpw 4 --sample 2
    grep -qE '. checking [0-4]/4' "$T/verify"
    grep -qE '. writing [0-4]/4' "$T/restore"
    grep -qE '. reading back' "$T/restore"
    grep -qE '. comparing [0-4]/4' "$T/compare"
    grep -qE '. measuring [0-4]/4' "$T/plan"
    for command in verify restore compare plan; do
        python3 - "$T/$command" <<'END2'
import json, re, sys
text = "".join(json.loads(line)[2] for line in open(sys.argv[1]).read().splitlines()[1:])
shares = [int(s) for s in re.findall(r"\r[|/\\-] [^\r\n]*? ([0-9]+) %", text)]
assert max(shares) <= 100 and shares == sorted(shares), shares
END2
    done
}

@test "no line is wider than the terminal, and no word is cut" {
    several_mb "$T/m.safetensors"
    for columns in 40 60 90; do
        record "$T/cast" --columns $columns "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --bpw 4 -T 1 --force
        python3 - "$T/cast" $columns <<'END2'
import json, re, sys
text = "".join(json.loads(line)[2] for line in open(sys.argv[1]).read().splitlines()[1:])
lines = re.findall(r"\r([^\r\n]*)\x1b\[K", text)
field = re.compile(r"[|/\\-] [a-z ]+( [0-9]+/[0-9]+)?$|model\..*weight$|[0-9]+ %$|ETA [0-9:.]+ (s|min|h)$|elapsed [0-9:.]+ (s|min|h)$"
                   r"|[0-9.]+ ([KMGT]i)?B/s$|[0-9.]+ ([KMGT]i)?B of [0-9.]+ ([KMGT]i)?B$|worst error [0-9.e-]+$|RSS [0-9.]+ ([KMGT]i)?B$|[0-9.]+ ([KMGT]i)?B out$")
assert len(lines) > 3
for line in filter(None, lines):
    assert len(line) < int(sys.argv[2]), line
    for part in re.split(r"  +", line):
        assert field.match(part), (part, line)
END2
    done
}

@test "a first run that is stopped while it measures is not called an earlier run" {
    several_mb "$T/m.safetensors"
    expect 75 "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --bpw 4 -T 1 --time-limit 0.02
    lacks "$T/err" 'another run|earlier run'
    if [ -e "$T/m.lort.part" ]; then said 'the same command resumes this run'; fi
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --bpw 4
}

@test "under --lossless nothing is forecast from tensors that are not like the rest" {
    f32_model "$T/m.safetensors" <<'END2'
random.seed(5)
tensors = {f"zero.{i}.weight": [64, 64] for i in range(14)} | {"noise.weight": [512, 512]}
values = [0.0] * (14 * 64 * 64) + [random.gauss(0, 1) for _ in range(512 * 512)]
END2
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --lossless
    lacks "$T/err" 'at this rate'
}

@test "a plan refuses a size that compress refuses, with its words and its exit code" {
    for target in "--bpw 0.1" "--size 1%"; do
        expect 7 "$LORT" compress "$ONE_HF" -o "$T/m.lort" $target
        grep '^lort: .*cannot be reached' "$T/err" >"$T/refused"
        expect 7 "$LORT" plan "$ONE_HF" $target
        grep '^lort: .*cannot be reached' "$T/err" | diff - "$T/refused"
        expect 7 "$LORT" plan "$ONE_HF" $target --sample 2
        lacks "$T/out" expected
    done
}

@test "a plan never expects more than the lossless form, and compress keeps within it" {
    for target in "--size 1G" "--bpw 30" "--bpw 4" "--max-error 0.03" "--lossless"; do
        expect 0 "$LORT" plan "$ONE_HF" $target --json "$T/plan.json"
        expect 0 "$LORT" plan "$ONE_HF" $target --sample 3 --json "$T/sample.json"
        expect 0 "$LORT" compress "$ONE_HF" -o "$T/m.lort" $target --force --json "$T/run.json"
        python3 - "$T" "$target" <<'END2'
import json, sys
first, sample, run = (json.load(open(f"{sys.argv[1]}/{n}.json")) for n in ("plan", "sample", "run"))
print(sys.argv[2], first["output"], sample["output"], run["output"]["bytes"])
low, high = (first["output"][k] for k in ("estimate_low_bytes", "estimate_high_bytes"))
assert high <= first["input"]["bytes"] and low <= run["output"]["bytes"] <= high
assert low <= sample["output"]["estimate_low_bytes"] <= sample["output"]["estimate_high_bytes"] <= high
END2
    done
}

@test "where nothing is tried, a plan says why and what would help" {
    expect 0 "$LORT" plan "$ONE_HF" --min-dim 100000
    printed '0 of [0-9]+ tensors'
    printed 'a side under --min-dim'
    printed 'help +--min-dim [0-9]+ tries [0-9]+ of them'
    expect 0 "$LORT" plan "$ONE_HF" --exclude '*'
    printed 'help +--exclude keeps them'
    expect 0 "$LORT" plan "$ONE_HF"
    lacks "$T/out" '^ +help'
}

@test "a plan knows the lossless size where F32 tensors hold BF16 values" {
    f32_model "$T/m.safetensors" <<'END2'
random.seed(5)
tensors = {f"model.layers.{i}.mlp.up_proj.weight": [256, 512] for i in range(3)}
short = lambda v: struct.unpack(">f", struct.pack(">f", v)[:2] + bytes(2))[0]
values = [short(random.gauss(0, 0.02)) for _ in range(3 * 256 * 512)]
END2
    "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --lossless -q
    lossless=$(stat -c %s "$T/m.lort")
    for target in "--size 50M" "--bpw 30" "--lossless"; do
        expect 0 "$LORT" plan "$T/m.safetensors" $target --json "$T/plan.json"
        high=$(value "$T/plan.json" "d['output']['estimate_high_bytes']")
        [ "$high" -ge "$lossless" ] && [ "$high" -le $((lossless * 11 / 10)) ] || { echo "$target: $high, lossless $lossless"; return 1; }
    done
}

@test "a plan counts with the smaller errors of embeddings and heads" {
    f32_model "$T/m.safetensors" <<'END2'
random.seed(6)
tensors = {"model.embed_tokens.weight": [1024, 128], "lm_head.weight": [1024, 128],
           "model.layers.0.mlp.up_proj.weight": [128, 128]}
values = [random.gauss(0, 0.02) for _ in range(2 * 1024 * 128 + 128 * 128)]
END2
    for target in "" "--max-error 0.2" "--max-error 0.01"; do
        expect 0 "$LORT" plan "$T/m.safetensors" $target --json "$T/plan.json"
        expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" $target --force --json "$T/run.json"
        bytes=$(value "$T/run.json" "d['output']['bytes']")
        echo "$target: $bytes"
        value "$T/plan.json" "d['output']['estimate_low_bytes'] <= $bytes <= d['output']['estimate_high_bytes']" | grep True
    done
}

@test "compress accepts the smallest target that it names, and forecasts nothing below it" {
    for model in "$ONE_HF" "$ONE_GGUF"; do
        for target in "--size 1000" "--size 0.1%" "--bpw 0.01"; do
            expect 7 "$LORT" compress "$model" -o "$T/m.lort" $target --force
            lacks "$T/err" '^  expected'
            least=$(grep -oE 'the smallest( size)? is [0-9.]+' "$T/err" | grep -oE '[0-9.]+$')
            expect 0 "$LORT" compress "$model" -o "$T/m.lort" ${target%% *} "$least" --force
        done
    done
}

@test "a share of the input above 100 % is refused with what is allowed" {
    expect 2 "$LORT" plan "$ONE_HF" --size 300%
    said "'300%'.*at most 100%"
}

# lines EXPRESSION...: stderr has lines of JSON alone, as the manual lists them, and the expressions are true.
lines() { python3 tests/cli/lines.py "$T/err" "$@"; }

@test "json: a line per tensor, as the report has it, and the end tells what the report tells" {
    expect 0 "$LORT" compress "$ONE_HF" -o "$T/m.lort" --progress json --json "$T/r.json"
    lines 'len(kinds["start"]) == 1 and {l["type"] for l in lines[:[l["type"] for l in lines].index("start")]} <= {"progress"} and kinds["start"][0]["command"] == "compress"' \
        'kinds["start"][0]["mode"] == "full" and kinds["start"][0]["threads"] > 0 and kinds["start"][0]["pid"] > 1' \
        'kinds["end"][0]["code"] == 0 and "error" not in kinds' \
        "sorted((t['tensor'] for t in kinds['tensor']), key=str) == sorted(json.load(open('$T/r.json'))['tensors'], key=str)" \
        "all(kinds['end'][0][key] == json.load(open('$T/r.json'))[key] for key in ('memory', 'threads', 'input', 'output', 'worst_error', 'mean_error', 'seconds'))"
    expect 0 "$LORT" compress "$ONE_HF" -o "$T/n.lort" -q
    same "$T/m.lort" "$T/n.lort"
}

@test "json: every command writes lines alone, and its table stays on standard output" {
    local n='len(kinds["tensor"]) == kinds["end"][0]["tensors_total"] == len({t["tensor"]["name"] for t in kinds["tensor"]})'
    expect 0 "$LORT" compress "$ONE_HF" -o "$T/m.lort" --bpw 4 --progress json -v
    lines "$n" 'kinds["tensor"][-1]["phase"] == "writing"'
    expect 0 "$LORT" verify "$T/m.lort" --progress json
    lines "$n" 'kinds["start"][0]["command"] == "verify"'
    printed 'every hash and shape checked'
    expect 0 "$LORT" restore "$T/m.lort" -o "$T/back" --progress json
    lines "$n" 'kinds["end"][0]["output"]["path"].endswith("back")'
    expect 0 "$LORT" compare "$ONE_HF" "$T/m.lort" --progress json
    lines "$n" '{l["type"] for l in lines[:[l["type"] for l in lines].index("start")]} <= {"progress"}' 'kinds["end"][0]["worst_error"] > 0'
    printed 'tensors compared'
    expect 0 "$LORT" plan "$ONE_HF" --bpw 4 --sample 2 --progress json
    lines 'len(kinds["tensor"]) == 2' 'kinds["end"][0]["output"]["estimate_low_bytes"] > 0'
    expect 0 "$LORT" quantize "$ONE_GGUF" -o "$T/q.gguf" --type Q4_K_M --progress json
    lines "$n" 'kinds["start"]'
    expect 0 "$LORT" inspect "$T/m.lort" --progress json
    lines 'kinds["end"][0]["tensors_total"] > 3'
    printed 'bits per weight'
    expect 0 "$LORT" verify "$T/m.lort" "$T/m.lort" --progress json
    lines 'len(kinds["start"]) == 2 and kinds["end"][0]["command"] == "verify"'
}

@test "json: warnings are objects, each once, and -q leaves them and the end" {
    expect 0 "$LORT" compress "$ONE_HF" -o "$T/m.lort" --exclude nothing-has-this --progress json
    lines 'len([w for w in kinds["warning"] if "nothing-has-this" in w["message"]]) == 1 == kinds["end"][0]["warnings"]'
    expect 0 "$LORT" compress "$ONE_HF" -o "$T/m.lort" --exclude nothing-has-this --progress json -q --force
    lines '[line["type"] for line in lines] == ["warning", "end"]'
}

@test "json: failures and refused command lines end in an error and the end" {
    local last='[line["type"] for line in lines][-2:] == ["error", "end"] and len(kinds["error"]) == 1'
    expect 3 "$LORT" compress "$T/none" -o "$T/m.lort" --progress json
    lines "$last" 'kinds["error"][0]["name"] == "input" and kinds["error"][0]["file"].endswith("none") and kinds["end"][0]["code"] == 3'
    expect 7 "$LORT" compress "$ONE_HF" -o "$T/m.lort" --size 1000 --progress json --json "$T/r.json"
    lines "$last" "{**json.load(open('$T/r.json'))['error'], 'x': 0} == {**{k: kinds['error'][0][k] for k in ('code', 'name', 'message', 'file', 'tensor')}, 'x': 0}"
    expect 2 "$LORT" compress "$ONE_HF" --rank x --progress json
    lines "$last" '"--rank" in kinds["error"][0]["message"]' 'kinds["end"][0]["code"] == 2'
    expect 2 "$LORT" frobnicate "$ONE_HF" -o "$T/m.lort" --progress json --json "$T/u.json"
    lines "$last" 'kinds["error"][0]["command"] is None'
    [ "$(value "$T/u.json" 'd["error"]["name"], d["command"]')" = "('usage', None)" ]
    expect 5 "$LORT" inspect "$ONE_HF" --progress json --json "$T/nowhere/r.json"
    lines "$last" 'kinds["error"][0]["name"] == "write"'
    "$LORT" compress "$ONE_HF" -o "$T/m.lort" -q
    flip "$T/m.lort" 100000
    expect 8 "$LORT" verify "$T/m.lort" "$T/none" --progress json
    lines '[e["code"] for e in kinds["error"]] == [8, 3] and kinds["end"][0]["code"] == 8'
    code=0
    "$LORT" inspect "$ONE_HF" --progress json >/dev/full 2>"$T/err" || code=$?
    [ "$code" -eq 5 ]
    lines "$last"
}

@test "json: a run that is stopped writes its error and its end" {
    several_mb "$T/m.safetensors"
    env --default-signal "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" -T 1 --progress json 2>"$T/err" &
    until grep -q '"type":"tensor"' "$T/err" 2>/dev/null; do sleep 0.02; done
    kill -INT $!
    code=0
    wait $! || code=$?
    [ "$code" -eq 75 ] || { tail -n 2 "$T/err"; return 1; }
    lines '[line["type"] for line in lines][-2:] == ["error", "end"]' 'kinds["error"][0]["name"] == "stopped"' \
        'kinds["end"][0]["code"] == 75 and kinds["end"][0]["output"]["partial_path"].endswith("m.lort.part")'
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --progress json
    lines 'kinds["end"][0]["output"]["resumed_tensors"] > 0'
}

@test "a reader of stderr that leaves does not end the work, and one that takes nothing holds no signal up" {
    "$LORT" compress "$ONE_HF" -o "$T/a.lort" -q
    for progress in json plain; do
        (code=0; "$LORT" compress "$ONE_HF" -o "$T/b.lort" --force --progress $progress || code=$?; echo $code >"$T/code") 2>&1 >/dev/null | true
        [ "$(cat "$T/code")" -eq 0 ]
        same "$T/a.lort" "$T/b.lort"
    done
    for progress in json "json -v"; do
        python3 - "$LORT" "$ONE_HF" "$T/c.lort" $progress <<'END2'
import os, signal, subprocess, sys, time
read, write = os.pipe()
os.set_blocking(write, False)
try: # the pipe is full before the work begins
    while True: os.write(write, bytes(4096))
except BlockingIOError: pass
os.set_blocking(write, True)
run = subprocess.Popen([sys.argv[1], "compress", sys.argv[2], "-o", sys.argv[3], "--force", "--progress"] + sys.argv[4:], stderr=write)
time.sleep(0.5)
run.send_signal(signal.SIGTERM)
assert run.wait(30) in (75, 143), run.returncode
END2
    done
}

@test "plain lines on a terminal, and none at all" {
    several_mb "$T/m.safetensors"
    record "$T/cast" "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --progress plain
    grep -q 'layer 0 ' "$T/cast"
    lacks "$T/cast" '\\r\|| writing|\\u001b\[K'
    record "$T/cast" "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --force --progress none
    lacks "$T/cast" 'layer [0-9]|writing|\\u001b\[K'
    expect 0 "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --force --progress none --exclude nothing-has-this
    said 'warning: .*nothing-has-this'
    said '^  output '
    lacks "$T/err" 'layer [0-9]'
    expect 2 "$LORT" compress "$T/m.safetensors" -o "$T/m.lort" --progress some
    said "must be one of auto plain json none"
}

@test "the options as JSON are those of the help" {
    expect 0 "$LORT" help --json
    cp "$T/out" "$T/table"
    for command in compress plan inspect verify restore compare quantize extract-lora report; do
        "$LORT" help $command | sed -nE 's/^ +(-., )?--([a-z0-9-]+).*/\2/p' >"$T/have"
        value "$T/table" "'\n'.join(o['name'] for c in d['commands'] if c['name'] == '$command' for o in c['options'])" | diff "$T/have" -
    done
    [ "$(value "$T/table" '[o["values"] for o in d["commands"][0]["options"] if o["name"] in ("force", "include", "rank", "lossless")]')" = "['one', 'none', 'many', 'none']" ]
}
