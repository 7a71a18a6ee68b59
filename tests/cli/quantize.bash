# What the bats files of quantize share, beside helper.bash.
load helper

setup_file() { python_of_tests "$BATS_FILE_TMPDIR" <<<'write(f"{T}/m.gguf", small(layers=1))'; }

# Python on stdin with the names of gguf.py, T and words.
python_of_tests() {
    { printf 'from gguf import *\nimport sys, glob, shutil, signal, time\nT, words = sys.argv[1], sys.argv[2:]\n' && cat; } |
        LORT="$LORT" PYTHONPATH=tests/cli PYTHONDONTWRITEBYTECODE=1 python3 - "$@"
}

# py WORDS...: the same, where T is the directory of the test and words[0] a small model.
py() { python_of_tests "$T" "$BATS_FILE_TMPDIR/m.gguf" "$@"; }
