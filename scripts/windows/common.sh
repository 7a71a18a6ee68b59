# What the recipes of this folder share; each recipe reads it first (". common.sh"). A recipe is
# called with the folder of the libraries. It unpacks Debian's source, builds, and installs below
# that folder: include/, lib/ and copyright/.
set -euo pipefail

deps=$(realpath "$1")
recipes=$(cd "$(dirname "$0")" && pwd)
name=$(basename "$0")
cross=x86_64-w64-mingw32
export PATH="$deps/bin:$PATH" # the wrappers of setup-windows
export LC_ALL=C
unset CFLAGS CPPFLAGS CXXFLAGS FFLAGS LDFLAGS CC AR
jobs=$(nproc)
# libraries.mk runs recipes below a make that shares the cores between them
case ${MAKEFLAGS:-} in *jobserver*) parallel= ;; *) parallel=-j$jobs ;; esac

# unpack PACKAGE: unpacks its source anew into work/PACKAGE, goes there, keeps its copyright file
unpack() {
    rm -rf "$deps/work/$1"
    mkdir -p "$deps/work" "$deps/include" "$deps/lib" "$deps/copyright"
    dpkg-source --no-check --no-copy -x "$deps"/sources/"$1"_*.dsc "$deps/work/$1" >/dev/null
    cd "$deps/work/$1"
    cp debian/copyright "$deps/copyright/$1"
}

# build_with_cmake SOURCE OPTION...: builds and installs with cmake for Windows
build_with_cmake() {
    source=$1
    shift
    cmake -S "$source" -B lort-build -DCMAKE_SYSTEM_NAME=Windows -DCMAKE_SYSTEM_PROCESSOR=x86_64 \
        -DCMAKE_C_COMPILER=$cross-gcc -DCMAKE_RC_COMPILER=$cross-windres -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_INSTALL_PREFIX="$deps" -DCMAKE_INSTALL_LIBDIR=lib -DBUILD_SHARED_LIBS=OFF "$@"
    make $parallel -C lort-build install
}

# finish: deletes the work of this recipe
finish() {
    cd "$deps"
    rm -rf "$deps/work/$1"
}
