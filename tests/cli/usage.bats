#!/usr/bin/env bats
# The command line itself: what is refused, and in which words. No model is needed for any of it.
load helper

# refuse PATTERN ARGUMENTS...: exit 2, nothing on stdout, the pattern and the way to the help on stderr.
refuse() {
    local pattern=$1
    shift
    expect 2 "$LORT" "$@" && said "$pattern" && said "see 'lort" && [ ! -s "$T/out" ]
}

@test "no command prints the usage on stderr and exits 2" {
    expect 2 "$LORT"
    said 'Usage: lort COMMAND'
    [ ! -s "$T/out" ]
}

@test "unknown commands are refused" {
    refuse "unknown command 'frobnicate'" frobnicate
    refuse "unknown command 'x.x1[Bb]b'" $'x\x1bb'
    refuse "unknown command ''" ''
    refuse "unknown command 'nothing'" help nothing
}

@test "every command has a help with every option it takes" {
    for command in compress merge plan inspect verify restore run compare quantize extract-lora report; do
        expect 0 "$LORT" $command --help
        printed "Usage: lort $command "
        printed '^ +(-h, )?--help'
        cp "$T/out" "$T/help"
        expect 0 "$LORT" help $command
        cmp "$T/out" "$T/help"
        expect 0 "$LORT" $command -h
        [ ! -s "$T/err" ]
    done
    expect 0 "$LORT" --help
    for command in compress merge plan inspect verify restore run compare quantize extract-lora report; do printed "^ +$command "; done
    expect 0 "$LORT" help
}

@test "each command has exactly the options of the contract" {
    local job='base covariance rank energy max-error bpw size lossless residual max-rank imatrix min-dim include exclude fail-above mode memory threads blas-core seed zstd-level weights side-files'
    check() { # command options...
        local command=$1
        shift
        "$LORT" "$command" --help | grep -oE '^ +(-., )?--[a-z0-9-]+' | sed 's/.*--//' | sort >"$T/have"
        printf '%s\n' "$@" help progress | sort >"$T/want"
        diff "$T/want" "$T/have"
    }
    check compress output $job spectra task tasks measure reserve offline spool spool-keep json force resume time-limit quiet verbose
    check merge tasks keep fail-above wait force memory json quiet verbose
    check plan $job sample tasks for offline spool spool-keep json quiet verbose
    check inspect weights side-files memory offline spool json quiet verbose
    check verify base quick memory threads offline spool json quiet verbose
    check restore base output dtype tensor file sha256 force memory threads offline spool json quiet verbose
    check run base dtype memory threads offline spool json quiet verbose
    check compare base fail-above weights side-files memory threads offline spool json quiet verbose
    check quantize output type size bpw imatrix types tensor-type pure allow-requantize keep-split dry-run recipe mode memory threads force resume time-limit offline spool spool-keep json quiet verbose
    check report output force json quiet verbose
    check extract-lora base output rank energy max-error size max-rank outtype include exclude drop-unsupported mode weights memory threads blas-core force spectra offline spool spool-keep json quiet verbose
}

@test "version names the libraries in use" {
    expect 0 "$LORT" --version
    printed '^lort [0-9]+\.[0-9]+\.[0-9]+ '
    printed 'OpenBLAS [0-9.]+'
    printed 'core [A-Za-z0-9]+'
    printed 'zstd [0-9.]+'
    printed 'hwloc [0-9.]+'
    printed 'xxHash [0-9.]+'
    printed 'algorithm [0-9]+'
    [ "$(wc -l <"$T/out")" -eq 1 ]
}

@test "missing arguments are named" {
    refuse 'wants MODEL' compress
    refuse 'wants MODEL' compress -o "$T/x.lort"
    refuse 'wants an output: -o PATH' compress model
    refuse 'wants an output: -o PATH' restore in.lort
    refuse 'wants an output: -o PATH' quantize model.gguf --type Q4_K
    refuse 'wants A B' compare a
    refuse 'wants PATH' inspect
    refuse 'wants IN.lort' verify
    refuse "one argument too many: 'c'" compare a b c
    refuse 'empty' inspect ''
    refuse '--output needs a value' compress model -o
    refuse '--output' compress model -o ''
    refuse '--rank needs a value \(N\)' compress model -o x --rank
    refuse '--force takes no value' compress model -o x --force=1
}

@test "options that are not a command's do not exist for it" {
    for option in --resume --time-limit=1h; do
        refuse "unknown option '${option}'" plan model $option
    done
    refuse "unknown option '-z'" compress model -o x -z
    refuse "unknown option '-z'" compress model -o x -qz
    refuse 'unknown' plan model -o x
    refuse 'unknown' inspect model --force
    refuse 'unknown' verify model --rank 3
}

@test "bad values are refused with what is allowed" {
    while read -r option value allowed; do
        refuse "--$option '.*': must be $allowed" compress model -o "$T/x" "--$option=$value"
    done <<'END'
rank -1 a whole number from 0 to
rank 1e9 a whole number from 0 to
rank 1000000001 a whole number from 0 to
rank 99999999999999999999999 a whole number from 0 to
rank 3.5 a whole number
rank 0x10 a whole number
rank 1,5 a whole number
max-rank -1 a whole number from 0 to
min-dim 0 a whole number from 1 to
energy 0 a number above 0, at most 1
energy 1.01 a number above 0
energy nan a number above 0
energy 0,5 a number above 0
max-error 1 a number from 0, below 1
max-error -0.1 a number from 0, below 1
max-error inf a number from 0, below 1
fail-above -1 a number, 0 or more
fail-above nan a number, 0 or more
mode fast one of auto full stream
residual all one of auto none int ternary
residual trits one of auto none int ternary
memory 0 a size from
memory 10X a size from
memory -1 a size from
memory 1180591620717411303424 a size from
memory nan a size from
memory 18446744073709551616G a size from
threads 0 a whole number from 1 to 1024
threads 1025 a whole number from 1 to 1024
seed -1 a whole number from 0 to
zstd-level 0 a whole number from 1 to 19
zstd-level 20 a whole number from 1 to 19
END
    refuse '--rank .*: must be' compress model -o x '--rank='
    refuse '--rank .*: must be' compress model -o x '--rank= 5'
    refuse '--dtype .*must be one of F32 F16 BF16' restore in.lort -o x --dtype Q4_0
    refuse '--sample .*must be' plan model --sample x
    refuse '--include' compress model -o x --include ''
    absent "$T/x"
}

@test "one target only, and the message says which two" {
    refuse '--rank and --energy are both targets' compress model -o x --rank 4 --energy 0.5
    refuse '--energy and --max-error are both targets' plan model --energy 0.5 --max-error 0.1
    refuse '--lossless and --rank are both targets' compress model -o x --lossless --rank 4
    refuse '--bpw and --max-error are both targets' compress model -o x --bpw 4 --max-error 0.1
    refuse '--size and --bpw are both targets' compress model -o x --size 50% --bpw 4
    refuse '--type and --size are both targets' quantize model.gguf -o x --type Q4_K --size 50%
    for target in --bpw=4 --size=50%; do
        expect 2 "$LORT" compress "$GGUF" -o "$T/x" --residual none $target
        said 'residual none cannot meet a size'
    done
    for target in --rank=4 --energy=0.5 --lossless; do
        for command in "compress -o $T/x" plan; do
            # shellcheck disable=SC2086
            expect 2 "$LORT" $command "$GGUF" --residual int $target
            said 'residual int goes with a largest error'
        done
    done
    for target in --bpw=4 --size=50% --lossless; do
        for command in "compress -o $T/x" plan; do
            # shellcheck disable=SC2086
            expect 2 "$LORT" $command "$GGUF" --residual ternary $target
            said 'residual ternary goes with a rank, an energy or a largest error'
        done
    done
    for residual in auto none; do
        expect 2 "$LORT" compress "$GGUF" -o "$T/x" --residual $residual --rank 0
        said 'rank 0: at least 1 is allowed, or 0 with residual ternary'
    done
    absent "$T/x"
}

@test "errors never echo control characters" {
    expect 2 "$LORT" compress model -o x --mode $'\e[31mred'
    lacks "$T/err" $'\e'
    expect 2 "$LORT" compress a $'b\nc' -o x
    [ "$(wc -l <"$T/err")" -eq 1 ]
}

@test "options may stand anywhere, also under POSIXLY_CORRECT" {
    POSIXLY_CORRECT=1 refuse '--rank .*must be' compress model -o x --rank x
    refuse '--rank .*must be' compress --rank x model -o x
}

# manual: the text of lort.1, without font changes.
manual() { sed -e 's/\\f[BIRP]//g' -e 's/\\-/-/g' docs/lort.1; }

@test "the manual has every option of every command, and no other" {
    for command in compress merge plan inspect verify restore run compare quantize extract-lora report; do
        "$LORT" help "$command"
    done | sed -nE 's/^ +(-., )?(--[a-z0-9-]+).*/ \2/p' | sort -u >"$T/known" # a help text may name llama.cpp's options
    [ "$(wc -l <"$T/known")" -gt 20 ]
    while read -r option; do
        manual | grep -qE -- "^\\.B[RI]* .*$option\b" || { echo "lort.1 lacks $option"; return 1; }
    done <"$T/known"
    manual | grep -E '^\.B[RI]* ' | grep -oE -- '--[a-z0-9-]+' | sort -u | while read -r option; do
        [ "$option" = --version ] || grep -qx -- " $option" "$T/known" || { echo "no command has $option"; exit 1; }
    done
}

@test "manual, help and headers agree on the exit codes" {
    manual | sed -n '/^.SH EXIT STATUS/,/^.SH ENV/p' | grep -oE '^[0-9]+' | sort -n >"$T/manual"
    sed -n '/^typedef enum lort_code/,/^}/p' formats/base/error.h | grep -oE '= [0-9]+' | tr -d '= ' | sort -n >"$T/header"
    (cat "$T/header" && printf '126\n127\n128\n') >"$T/all" # those of run, and of signals
    diff "$T/manual" "$T/all"
    "$LORT" --help >"$T/help"
    while read -r code; do
        tr '\n' ' ' <"$T/help" | grep -qE "Exit codes:.*\b$code\b" || { echo "help lacks $code"; return 1; }
    done <"$T/all"
}
