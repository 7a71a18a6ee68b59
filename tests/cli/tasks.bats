#!/usr/bin/env bats
# One model in several tasks: the bytes of one process, whatever the tasks; and merge refuses what does not belong together.
load helper

# A model with a stack of experts, and with a tensor whose bytes come again at the end: another run than that of its first copy.
stacked() {
    f32_model "$1" <<'END'
tensors = {"model.embed_tokens.weight": [96, 64], "a.experts": [3, 64, 96], "b.weight": [128, 64], "c.bias": [64], "d.weight": [64, 128], "lm_head.weight": [96, 64]}
random.seed(4)
values = [random.gauss(0, 0.02) for _ in range(96 * 64 + 3 * 64 * 96 + 2 * 128 * 64 + 64)]
values += values[:96 * 64]
END
}

# tasks MODEL N OPTIONS...: all tasks of $T/o.lort, the last one first, each with its own threads and mode.
tasks() {
    local model=$1 n=$2 i
    shift 2
    for ((i = n - 1; i >= 0; i--)); do
        expect 0 "$LORT" compress "$model" -o "$T/o.lort" "$@" --task $i/$n -T $((1 + i % 2)) --mode $([ $((i % 3)) = 1 ] && echo stream || echo full) -q
    done
}

# joined MODEL N OPTIONS...: the tasks make the container of one process. Nothing else is left.
joined() {
    local model=$1 n=$2
    shift 2
    rm -f "$T"/o.lort*
    [ -z "${MEASURE:-}" ] || tasks "$model" "$n" "$@" --measure
    tasks "$model" "$n" "$@"
    expect 0 "$LORT" merge "$T/o.lort" -q
    cmp "$T/one.lort" "$T/o.lort"
    [ "$(cd "$T" && echo o.lort*)" = o.lort ] || { ls "$T"; return 1; }
}

one() { local model=$1; shift; rm -f "$T/one.lort"; expect 0 "$LORT" compress "$model" -o "$T/one.lort" "$@" -q; }

@test "any number of tasks makes the bytes of one process" {
    one "$ONE_GGUF"
    for n in 1 2 3 7 64; do joined "$ONE_GGUF" $n; done
}

@test "shards, every target that needs no curves" {
    for options in "--max-error 0.1" "--rank 4" "--energy 0.9" "--lossless" "--max-error 0.2 --residual ternary" "--seed 7 --rank 3"; do
        one "$ONE_HF" $options
        joined "$ONE_HF" 3 $options
    done
}

@test "a size, by curves of all tasks" {
    for options in "--size 400K" "--bpw 4"; do
        one "$ONE_GGUF" $options
        MEASURE=1 joined "$ONE_GGUF" 3 $options
    done
    one "$ONE_HF" --bpw 3 --memory 128M
    MEASURE=1 joined "$ONE_HF" 7 --bpw 3
}

@test "stacks of experts, and equal tensors in two runs" {
    stacked "$T/m.safetensors"
    one "$T/m.safetensors" --max-error 0.05
    for n in 2 5 9; do joined "$T/m.safetensors" $n --max-error 0.05; done
    expect 0 "$LORT" inspect "$T/o.lort" --json "$T/i.json"
    [ "$(value "$T/i.json" "[t['same_as'] for t in d['tensors'] if t['same_as']]")" = "['model.embed_tokens.weight']" ]
    expect 0 "$LORT" verify "$T/o.lort" -q
    one "$T/m.safetensors" --bpw 4
    MEASURE=1 joined "$T/m.safetensors" 4 --bpw 4
}

@test "differences to a base" {
    stacked "$T/base.safetensors"
    python3 -c 'import sys; d=bytearray(open(sys.argv[1],"rb").read()); d[-20000:-4000:4]=bytes(x^1 for x in d[-20000:-4000:4]); open(sys.argv[2],"wb").write(d)' "$T/base.safetensors" "$T/m.safetensors"
    one "$T/m.safetensors" --base "$T/base.safetensors" --max-error 0.1
    joined "$T/m.safetensors" 3 --base "$T/base.safetensors" --max-error 0.1
}

@test "a task that lacks curves ends, and names them" {
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --bpw 4 --task 1/4 --measure -q
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --bpw 4 --task 1/4
    said 'curves of 3 of 4 tasks are missing: 0, 2, 3; .*--task 0/4 --measure'
    [ "$(cd "$T" && echo o.lort*)" = o.lort.curves-1-of-4 ]
    tasks "$ONE_GGUF" 4 --bpw 4 --measure
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --bpw 5 --task 1/4
    said 'curves-0-of-4 was made with another option: .*bpw=4 there, .*bpw=5 here'
    flip "$T/o.lort.curves-2-of-4" 100
    expect 8 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --bpw 4 --task 1/4
    said 'curves-2-of-4: damaged, run task 2/4 with --measure again'
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --bpw 4 --task 2/4 --measure
    said 'curves-2-of-4 is made again'
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --bpw 4 --task 1/4 -q
}

@test "a finished task does nothing, and one of other options is made again" {
    tasks "$ONE_GGUF" 2 --rank 2
    before=$(stat -c '%i %Y' "$T/o.lort.task-1-of-2")
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --rank 2 --task 1/2
    said 'task-1-of-2 is finished: nothing to do'
    [ "$(stat -c '%i %Y' "$T/o.lort.task-1-of-2")" = "$before" ]
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --rank 3 --task 1/2
    said 'warning: .*task-1-of-2 is made again'
    flip "$T/o.lort.task-0-of-2" 5000
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --rank 3 --task 0/2
    said 'task-0-of-2 is made again'
    one "$ONE_GGUF" --rank 3
    expect 0 "$LORT" merge "$T/o.lort" -q
    cmp "$T/one.lort" "$T/o.lort"
    echo mine >"$T/p.lort.task-0-of-1"
    expect 9 "$LORT" compress "$ONE_GGUF" -o "$T/p.lort" --rank 3 --task 0/1
    [ "$(cat "$T/p.lort.task-0-of-1")" = mine ]
}

@test "an output that is there is exit 9 for tasks and for merge" {
    tasks "$ONE_GGUF" 2 --rank 2
    echo mine >"$T/o.lort"
    expect 9 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --rank 2 --task 0/2
    expect 9 "$LORT" merge "$T/o.lort"
    [ "$(cat "$T/o.lort")" = mine ] && [ -e "$T/o.lort.task-1-of-2" ]
    expect 0 "$LORT" merge "$T/o.lort" --force --keep --json "$T/r.json"
    one "$ONE_GGUF" --rank 2
    cmp "$T/one.lort" "$T/o.lort"
    [ -e "$T/o.lort.task-0-of-2" ] && [ -e "$T/o.lort.task-1-of-2" ]
    [ "$(value "$T/r.json" "(d['command'], d['task'], d['output']['bytes'], len(d['tensors']))")" = "('merge', {'number': None, 'of': 2, 'input_bytes': None}, $(stat -c %s "$T/o.lort"), 12)" ]
}

# refused CODE PATTERN: merge ends so, and leaves the files of tasks alone.
refused() {
    touch "$T/out" "$T/err"
    ls "$T" >"$T/.before"
    expect "$1" "$LORT" merge "$T/o.lort" --wait 0 ${TASKS:+--tasks $TASKS}
    said "$2"
    absent "$T/o.lort"
    ls "$T" | diff "$T/.before" -
}

@test "merge names tasks that are missing or unfinished" {
    refused 3 'there is no file of a task beside it'
    tasks "$ONE_GGUF" 3 --rank 2
    mkdir "$T/away"
    mv "$T/o.lort.task-1-of-3" "$T/away"
    refused 3 '1 of 3 tasks have not finished: task 1/3;'
    cp "$T/away/o.lort.task-1-of-3" "$T/o.lort.task-1-of-3.part"
    refused 3 'task 1/3 \(only its .part\)'
    mv "$T"/o.lort.task-[02]* "$T/away"
    refused 3 '3 of 3 tasks have not finished: task 0/3, task 1/3 \(only its .part\), task 2/3'
    TASKS=2 refused 3 '2 of 2 tasks have not finished'
}

@test "merge waits for a file that comes late" {
    tasks "$ONE_GGUF" 2 --rank 2
    mv "$T/o.lort.task-1-of-2" "$T/late"
    (sleep 1; mv "$T/late" "$T/o.lort.task-1-of-2") &
    expect 0 "$LORT" merge "$T/o.lort"
    wait
    said 'waiting up to 60 s for task 1/2'
}

@test "merge names tasks that are foreign" {
    tasks "$ONE_GGUF" 3 --rank 2
    mkdir "$T/away" && cp "$T"/o.lort.task-* "$T/away"
    local again="$LORT compress $ONE_GGUF -o $T/o.lort --task 1/3 -q"
    fresh() { rm -f "$T"/o.lort.task-*; cp "$T"/away/o.lort.task-* "$T"; }
    expect 0 $again --rank 3
    refused 3 "task-1-of-3: task 1/3: it is foreign: it has other options \('.*rank=3.*, task 0/3 has '.*rank=2"
    fresh; expect 0 $again --rank 2 --seed 1
    refused 3 'task 1/3: it is foreign: it has other options \(.*seed=1.*seed=0'
    fresh; expect 0 "$LORT" compress "$ONE_HF" -o "$T/o.lort" --rank 2 --task 1/3 -q
    refused 3 'task 1/3: it is foreign: it is of another model'
    cp "$ONE_GGUF" "$T/away/kjv-3m-f16.gguf" # the same header and size, other weights
    python3 -c 'import sys; f=open(sys.argv[1],"r+b"); f.seek(-900000,2); d=f.read(); f.seek(-900000,2); f.write(d[::-1])' "$T/away/kjv-3m-f16.gguf"
    fresh; expect 0 "$LORT" compress "$T/away/kjv-3m-f16.gguf" -o "$T/o.lort" --rank 2 --task 1/3 -q
    refused 3 'task 1/3: it is foreign: its input, or its base, is another one'
    fresh; cp "$T/o.lort.task-0-of-3" "$T/o.lort.task-1-of-3"
    refused 3 'task 1/3: it is foreign: it says that it is task 0/3'
    fresh; expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --rank 2 --task 1/5 -q
    refused 3 'files of 3 and of 5 tasks lie there, such as o.lort.task-1-of-5'
    TASKS=5 refused 3 '4 of 5 tasks have not finished: task 0/5, task 2/5'
    cp "$T/o.lort.task-1-of-5" "$T/o.lort.task-1-of-3"
    TASKS=3 refused 3 'task 1/3: it is foreign: it says that it is task 1/5'
    fresh; rm -f "$T/o.lort.task-1-of-5"
    expect 0 "$LORT" merge "$T/o.lort" -q
}

@test "merge finds every damaged byte, and every cut" {
    tasks "$ONE_GGUF" 3 --rank 2
    cp "$T/o.lort.task-1-of-3" "$T/good"
    size=$(stat -c %s "$T/good")
    for i in $(seq 0 29); do
        flip "$T/o.lort.task-1-of-3" $((i * (size - 1) / 29))
        refused 8 'task 1/3 is damaged'
        cp "$T/good" "$T/o.lort.task-1-of-3"
    done
    for i in $(seq 0 9); do
        head -c $((i * size / 10)) "$T/good" >"$T/o.lort.task-1-of-3"
        refused 8 'task 1/3 is damaged'
    done
    cp "$T/good" "$T/o.lort.task-1-of-3" && echo >>"$T/o.lort.task-1-of-3"
    refused 8 'task 1/3 is damaged'
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --rank 2 --task 1/3 -q
    one "$ONE_GGUF" --rank 2
    expect 0 "$LORT" merge "$T/o.lort" -q
    cmp "$T/one.lort" "$T/o.lort"
}

@test "a file of a task is no container, and no side file of a model" {
    cp -r "$ONE_HF" "$T/m"
    one "$T/m" --bpw 4
    for i in 0 1; do expect 0 "$LORT" compress "$T/m" -o "$T/m/o.lort" --bpw 4 --task $i/2 --measure -q; done
    for i in 0 1; do expect 0 "$LORT" compress "$T/m" -o "$T/m/o.lort" --bpw 4 --task $i/2 -q; done
    expect 3 "$LORT" verify "$T/m/o.lort.task-0-of-2"
    said "the file of task 0/2, not a container: 'lort merge' joins all"
    expect 0 "$LORT" merge "$T/m/o.lort" -q
    cmp "$T/one.lort" "$T/m/o.lort"
}

@test "merge decides about errors, and about the size" {
    tasks "$ONE_GGUF" 2 --rank 2 --fail-above 0.5
    refused 7 'relative error .* is above --fail-above 0.5'
    expect 7 "$LORT" merge "$T/o.lort" --fail-above 0.6
    expect 0 "$LORT" merge "$T/o.lort" --fail-above 2 -q
    # a reserve gives the bytes that one process with the reserve gives, and mixed ones are foreign
    rm -f "$T"/o.lort*
    one "$ONE_GGUF" --bpw 4 --reserve 500
    MEASURE=1 joined "$ONE_GGUF" 2 --bpw 4 --reserve 500
    rm "$T/o.lort"
    tasks "$ONE_GGUF" 2 --bpw 4 --measure
    tasks "$ONE_GGUF" 2 --bpw 4
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --bpw 4 --reserve 500 --task 1/2 -q
    refused 3 'task 1/2: it is foreign: it has other shares'
}

@test "a missed size is repeated with the reserve that merge names" {
    f32_model "$T/m.safetensors" <<'END'
tensors = {"w": [96, 64]}
random.seed(7)
left, right = ([[random.gauss(0, 1) for _ in range(n)] for _ in range(4)] for n in (96, 64))
values = [sum(left[k][i] * right[k][j] for k in range(4)) + 0.02 * ((i * 64 + j) * 7919 % 127 - 63) / 63 for i in range(96) for j in range(64)]
END
    for tenths in $(seq 30 90); do
        rm -f "$T/one.lort"
        bpw=$((tenths / 10)).$((tenths % 10))
        "$LORT" compress "$T/m.safetensors" -o "$T/one.lort" --bpw $bpw 2>"$T/err" || continue
        grep -q 'missed its size' "$T/err" && break
    done
    said 'missed its size'
    tasks "$T/m.safetensors" 2 --bpw $bpw --measure
    for again in 1 2 3; do # a single process may need several attempts too
        tasks "$T/m.safetensors" 2 --bpw $bpw ${reserve:+--reserve $reserve}
        "$LORT" merge "$T/o.lort" >"$T/out" 2>"$T/err" && break
        said 'bits per weight \(allowed .*nothing was published; run all tasks again with --reserve [0-9]+'
        absent "$T/o.lort"
        reserve=$(grep -oE 'reserve [0-9]+' "$T/err" | grep -oE '[0-9]+')
    done
    [ -n "$reserve" ]
    cmp "$T/one.lort" "$T/o.lort"
}

@test "--task auto takes the variable of a scheduler, and says which" {
    auto() { expect "$1" env -u SLURM_ARRAY_TASK_ID -u SLURM_PROCID "${@:2}" "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --lossless --task auto ${TASKS:+--tasks $TASKS}; rm -f "$T"/o.lort*; }
    TASKS=4 auto 0 SLURM_ARRAY_TASK_ID=3 SLURM_PROCID=0 SLURM_NTASKS=1 && said 'task 3/4, from SLURM_ARRAY_TASK_ID'
    TASKS=4 auto 0 JOB_COMPLETION_INDEX=2 && said 'task 2/4, from JOB_COMPLETION_INDEX'
    TASKS=4 auto 0 AWS_BATCH_JOB_ARRAY_INDEX=0 && said 'task 0/4, from AWS_BATCH_JOB_ARRAY_INDEX'
    TASKS=4 auto 0 PBS_ARRAY_INDEX=1 && said 'task 1/4, from PBS_ARRAY_INDEX'
    auto 0 OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=6 && said 'task 1/6, from OMPI_COMM_WORLD_RANK'
    auto 0 PMI_RANK=1 PMI_SIZE=6 && said 'task 1/6, from PMI_RANK'
    auto 0 SLURM_PROCID=5 SLURM_NTASKS=6 && said 'task 5/6, from SLURM_PROCID'
    TASKS=4 auto 0 PARALLEL_SEQ=4 && said 'task 3/4, from PARALLEL_SEQ'
    auto 2 && said 'no variable of a scheduler is set'
    auto 2 SLURM_ARRAY_TASK_ID=1 && said 'took SLURM_ARRAY_TASK_ID, .*--tasks N'
    TASKS=4 auto 2 SLURM_ARRAY_TASK_ID=4 && said 'SLURM_ARRAY_TASK_ID: task 4 of 4'
    TASKS=4 auto 2 OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=6 && said 'says 6 tasks, and --tasks says 4'
    TASKS=4 auto 2 PARALLEL_SEQ=0 && said "PARALLEL_SEQ is '0'"
}

@test "options of tasks that do not fit are exit 2" {
    for bad in 4/4 1/0 1 /2 1/ -1/2 1/2/3 1/70000 x; do
        expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --task "$bad"
        said '--task'
    done
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --tasks 3
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --task 1/2 --tasks 3
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --task 1/2 --measure
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --bpw 4 --measure
    expect 2 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --reserve 10
    expect 2 "$LORT" merge
    expect 2 "$LORT" merge "$T/o.lort" --tasks 70000
    [ "$(cd "$T" && echo o.lort*)" = 'o.lort*' ]
    cp "$ONE_GGUF" "$T/m.gguf"
    expect 2 "$LORT" compress "$T/m.gguf" -o "$T/m.gguf" --task 0/2 --force
    said 'is one of the input files'
    cmp "$ONE_GGUF" "$T/m.gguf" && absent "$T/m.gguf.task-0-of-2"
}

@test "a task that stops goes on" {
    tasks "$ONE_GGUF" 2 --rank 4
    cp "$T/o.lort.task-0-of-2" "$T/good" && rm "$T/o.lort.task-0-of-2"
    stopped "$T/o.lort.task-0-of-2.part" "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --rank 4 --task 0/2 --mode stream -T 1
    expect 0 "$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --rank 4 --task 0/2
    said 'resuming .*task-0-of-2.part'
    cmp "$T/good" "$T/o.lort.task-0-of-2"
    value <("$LORT" compress "$ONE_GGUF" -o "$T/o.lort" --rank 4 --task 0/2 -q --json -) "d['task']['number'], d['task']['of'], [t['name'] for t in d['tensors']]" >"$T/out"
    printed '^\(0, 2, \[.token_embd.weight'
}
