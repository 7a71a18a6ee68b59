#!/usr/bin/env bats
# The lines that lort plan --for prints, run unchanged: in a real Slurm of one node with two slots, under GNU parallel, and under mpirun
# on three imitated hosts. `make check-launchers` runs it: it takes a minute, and needs root and packages of Debian.
load helper

HUB=${HUB:-../shared/hub}
TASKS=4 # more than slots

# wants PROGRAM...: skips where one is not there.
wants() {
    [ "$(id -u)" = 0 ] || skip "needs root"
    for program; do command -v "$program" >/dev/null || skip "no $program here (Debian: slurm-wlm munge openmpi-bin parallel)"; done
}

# here: a directory that all tasks share, with the model, and lort in PATH.
here() {
    mkdir "$T/bin" "$T/work"
    ln -s "$LORT" "$T/bin/lort"
    cp "$ONE_GGUF" "$T/work/it's a model.gguf"
    export PATH="$T/bin:$PATH"
    HUB=$(realpath "$HUB")
    cd "$T/work"
}

# lines OPTIONS...: the output of one process, and the lines in $T/lines.
lines() {
    lort compress "it's a model.gguf" -o "$T/right.lort" --force -q "${@:3}"
    lort plan "it's a model.gguf" --tasks $TASKS "$@" >"$T/lines"
    cat "$T/lines"
}

joined() {
    ls -la
    cmp "$T/right.lort" it-s-a-model.lort
    [ -z "$(find . -name '*.task-*' -o -name '*.curves-*' -o -name '*.part*')" ]
}

# in_slurm COMMAND: runs the lines, waits for the merge, and shows what jobs wrote.
in_slurm() {
    cat >"$T/submit" <<END
$1
sh "$T/lines" || exit
for i in \$(seq 150); do [ -n "\$(squeue -h)" ] || break; sleep 1; done
squeue; cat slurm-*.out
END
    timeout 200 "$HUB/slurm-up.sh" sh "$T/submit"
}

@test "Slurm: an array and merge by afterok, with fewer slots than tasks" {
    wants sbatch slurmctld slurmd munged unshare
    [ -x "$HUB/slurm-up.sh" ] || skip "no slurm-up.sh in $HUB"
    here
    lines --for slurm --max-error 0.1
    in_slurm :
    joined
}

@test "Slurm: a size: the measuring array first" {
    wants sbatch slurmctld slurmd munged unshare
    [ -x "$HUB/slurm-up.sh" ] || skip "no slurm-up.sh in $HUB"
    here
    lines --for slurm --bpw 4
    in_slurm :
    joined
}

@test "Slurm: exit 75 asks for another run of the task" {
    wants sbatch slurmctld slurmd munged unshare
    [ -x "$HUB/slurm-up.sh" ] || skip "no slurm-up.sh in $HUB"
    here
    lines --for slurm
    # a lort that stops once in task 2, as a signal or a time limit would make it
    rm "$T/bin/lort"
    cat >"$T/bin/lort" <<END
#!/bin/sh
[ "\$1\$SLURM_ARRAY_TASK_ID" = compress2 ] && mkdir "$T/stopped" 2>/dev/null && exit 75
exec "$LORT" "\$@"
END
    chmod +x "$T/bin/lort"
    # Slurm holds a requeued job back for two minutes; release lets it begin at once
    in_slurm '(for i in $(seq 60); do sleep 1; [ -d "'"$T"'/stopped" ] && scontrol update jobid=$(squeue -h -r -o %A | head -n 1) starttime=now 2>/dev/null; done) &'
    [ -d "$T/stopped" ]
    joined
}

@test "GNU parallel" {
    wants parallel
    here
    for target in "--max-error 0.1" "--size 50%"; do
        lines --for parallel $target
        sh "$T/lines"
        joined
        rm it-s-a-model.lort
    done
}

@test "mpirun, on this host" {
    wants mpirun
    here
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl=self,tcp
    for target in "--max-error 0.1" "--size 50%"; do
        lines --for mpirun $target
        sh "$T/lines"
        joined
        rm it-s-a-model.lort
    done
}

@test "mpirun, on three hosts" {
    wants mpirun ip unshare
    [ -x "$HUB/hosts.sh" ] || skip "no hosts.sh in $HUB"
    here
    lines --for mpirun
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl=self,tcp OMPI_MCA_orte_default_hostfile="$T/hostfile"
    printf 'h1 slots=2\nh2 slots=2\nh3 slots=2\n' >"$T/hostfile"
    timeout 100 "$HUB/hosts.sh" 3 sh -c 'export OMPI_MCA_plm_rsh_agent="$AGENT"; sh '"$T/lines"
    joined
}
