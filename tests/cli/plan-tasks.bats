#!/usr/bin/env bats
# lort plan --tasks: the table of the runs, and lines that submit them. launchers.bats runs the lines of Slurm, parallel and mpirun.
load helper

@test "the runs of a plan tile the model, and are those of the tasks" {
    expect 0 "$LORT" plan "$ONE_GGUF" --tasks 3 --json "$T/plan.json"
    printed '^  slowest over mean 1\.[0-9]+, by planned cost'
    printed -- "lort compress .* -o kjv-3m-f16.lort --task I/3"
    printed '^  lort merge kjv-3m-f16.lort'
    for i in 0 1 2; do
        expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --task $i/3 -q --json "$T/$i.json"
        [ "$(value "$T/plan.json" "d['tasks']['runs'][$i]['bytes']")" = "$(value "$T/$i.json" "d['task']['input_bytes']")" ]
        # the estimate holds where the task streams
        expect 0 "$LORT" plan "$ONE_GGUF" --tasks 3 --mode stream -q --json "$T/plan.json"
        [ "$(value "$T/plan.json" "d['tasks']['runs'][$i]['memory_bytes'] > 0")" = True ]
    done
    [ "$(value "$T/plan.json" "sum(r['bytes'] for r in d['tasks']['runs']) == d['input']['bytes']")" = True ]
    [ "$(value "$T/plan.json" "abs(sum(r['share'] for r in d['tasks']['runs']) - 1) < 1e-6")" = True ]
    [ "$(value "$T/plan.json" "[r['first_extent'] for r in d['tasks']['runs']][1:] == [r['first_extent'] + r['extents'] for r in d['tasks']['runs']][:-1]")" = True ]
    expect 0 "$LORT" plan "$ONE_GGUF" -q --json "$T/plan.json"
    [ "$(value "$T/plan.json" "d['tasks']")" = None ]
}

@test "more tasks than tensors, and many" {
    expect 0 "$LORT" plan "$ONE_GGUF" --tasks 1000 --json "$T/plan.json"
    printed '936 more tasks: -v shows them'
    [ "$(value "$T/plan.json" "(len(d['tasks']['runs']), sum(r['tensors'] for r in d['tasks']['runs']))")" = "(1000, 12)" ]
    expect 2 "$LORT" plan "$ONE_GGUF" --tasks 0
    expect 2 "$LORT" plan "$ONE_GGUF" --for slurm
    said 'for goes with --tasks N'
    expect 2 "$LORT" plan "$ONE_GGUF" --tasks 2 --for cron
}

@test "the lines are shell that parses, with quoted names and the options of the job" {
    mkdir "$T/a 'b"
    cp "$ONE_GGUF" "$T/a 'b/m@x \$y.gguf"
    for launcher in slurm kubernetes parallel mpirun; do
        expect 0 "$LORT" plan "$T/a 'b/m@x \$y.gguf" --tasks 4 --bpw 4 --exclude "blk.0.attn_q*" --include 'token' -T 1 --sample 0 --json "$T/plan.json" --for $launcher
        sh -n "$T/out"
        printed "--measure"
        printed "--bpw'?,? '?4"
        lacks "$T/out" "--sample|--json| --for [a-z]"
    done
    # what a shell makes of the quoted words
    expect 0 "$LORT" plan "$T/a 'b/m@x \$y.gguf" --tasks 2 --exclude "it's *" --for mpirun
    mkdir "$T/bin"
    printf '#!/bin/sh\nfor w; do printf "%%s\\n" "$w"; done >>"%s"\n' "$T/words" >"$T/bin/mpirun"
    printf '#!/bin/sh\nexit 0\n' >"$T/bin/lort"
    chmod +x "$T/bin"/*
    PATH="$T/bin:$PATH" sh "$T/out"
    diff "$T/words" - <<END
-n
2
lort
compress
$T/a 'b/m@x \$y.gguf
-o
m.lort
--exclude
it's *
--task
auto
END
}

@test "the Jobs of Kubernetes are YAML with the right policy" {
    python3 -c 'import yaml' 2>/dev/null || skip "no module yaml for Python"
    expect 0 "$LORT" plan "$ONE_GGUF" --tasks 4 --size 50% --for kubernetes
    python3 - "$T/out" <<'END'
import re, sys, yaml
jobs = [yaml.safe_load(text) for text in re.findall(r"<<'LORT'\n(.*?)^LORT$", open(sys.argv[1]).read(), re.S | re.M)]
assert [j["metadata"]["name"].rsplit("-", 1)[1] for j in jobs] == ["measure", "code", "merge"]
for job in jobs[:2]:
    spec = job["spec"]
    assert spec["completions"] == 4 and spec["completionMode"] == "Indexed" and spec["template"]["spec"]["restartPolicy"] == "Never"
    rules = {tuple(r["onExitCodes"]["values"]): r["action"] for r in spec["podFailurePolicy"]["rules"] if "onExitCodes" in r}
    assert rules == {(75,): "Ignore", (2, 3, 7, 8): "FailIndex"}, rules
    command = spec["template"]["spec"]["containers"][0]["command"]
    assert command[:2] == ["lort", "compress"] and command[-4:] == ["--task", "auto", "--tasks", "4"]
assert "--measure" in jobs[0]["spec"]["template"]["spec"]["containers"][0]["command"]
END
}

@test "balance at N = 32 for models of many gigabytes, by their headers" {
    for model in llama-70b deepseek-gguf; do
        python3 tests/cli/sparse.py $model "$T/$model" 2>"$T/err" || { grep -qi "too large\|no space" "$T/err" && skip "this disk holds no file of a terabyte"; cat "$T/err"; false; }
        expect 0 "$LORT" plan "$T/$model" --tasks 32 -q --lossless --json "$T/lossless.json"
        expect 0 "$LORT" plan "$T/$model" --tasks 32 -q --json "$T/plan.json"
        for report in plan lossless; do
            [ "$(value "$T/$report.json" "d['tasks']['slowest_over_mean'] <= 1.10")" = True ] || { value "$T/$report.json" "d['tasks']['slowest_over_mean']"; false; }
        done
        rm "$T/$model"
    done
}

@test "balance at N = 32 for DeepSeek-V3 in 45,395 tensors, at a scale of 1/32" {
    python3 tests/cli/sparse.py deepseek "$T/deepseek"
    expect 0 "$LORT" plan "$T/deepseek" --tasks 32 -q --json "$T/plan.json"
    [ "$(value "$T/plan.json" "d['tasks']['slowest_over_mean'] <= 1.10")" = True ]
    expect 0 "$LORT" plan "$T/deepseek" --tasks 128 -q --json "$T/plan.json"
    [ "$(value "$T/plan.json" "d['tasks']['slowest_over_mean'] <= 1.10")" = True ]
}
