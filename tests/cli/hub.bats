#!/usr/bin/env bats
# Models of the network, against an imitation of the Hub on loopback (../shared/hub; docs/TROUBLESHOOTING.md, "From the Hub on a
# small disk"). hub.py has the scenarios. `make check-hub` runs 200 random sequences of faults.
load helper

# play SCENARIO MODEL: skips where something is missing.
play() {
    local got=0
    LORT=$LORT python3 tests/cli/hub.py "$1" "$2" "$T/hub" >"$T/out" 2>&1 || got=$?
    [ $got -ne 77 ] || skip "$(cat "$T/out")"
    [ $got -eq 0 ] || { cat "$T/out"; return 1; }
}

@test "both modes give the bytes of the disk, and fetch the model once for each reading" { play both "$ONE_HF"; }
@test "inspect and plan read headers only, and plan says both figures" { play heads "$ONE_HF"; }
@test "58 MB go through a tmpfs of 16 MiB" { need_models gpt2-attn-bf16-sharded && play small_disk "$MODELS/gpt2-attn-bf16-sharded"; }
@test "SIGKILL at random points: the same bytes, and only what was missing is fetched" { play kills "$ONE_HF"; }
@test "a wrong bit, another ETag, size or commit, a redirect to a file: refused" { play wrong "$ONE_HF"; }
@test "paths that leave the repository, and half a set of shards: refused" { play evil "$ONE_HF"; }
@test "no token and no signed query anywhere" { play secrets "$ONE_HF"; }
@test "Ctrl-C in a stalled read ends within 2 s" { play interrupt "$ONE_HF"; }
@test "compare, --base, verify and restore take names of the network" { play commands "$ONE_HF"; }
@test "tasks fetch their runs" { play tasks "$ONE_HF"; }
@test "folders in every order: the order of a disk, and its words" { play folders "$ONE_HF"; }
@test "quantize takes a file of a repository" { play gguf "$ONE_GGUF"; }
