#!/usr/bin/env bats
# Debian packages: what is in them, what lintian says, and that a tree anywhere gives the same bytes.
load helper

setup_file() { :; }
need_release() { [ "$MODE" = release ] || skip "packages hold the release build"; }
need() { command -v "$1" >/dev/null || skip "$1 is not here"; }

@test "four packages hold what make install installs, have the same bytes again, and lintian misses the licence alone" {
    need_release
    need dpkg-shlibdeps
    expect 0 scripts/package-deb "$(dirname "$LORT")" "$T/deb"
    cp "$T/out" "$T/hashes"
    (umask 077 && TZ=Asia/Tokyo expect 0 scripts/package-deb "$(dirname "$LORT")" "$T/again")
    diff "$T/hashes" "$T/out"
    [ "$(cd "$T/deb" && ls | sed 's/_.*//' | xargs)" = "liblort-dev liblort0 lort python3-lort" ]
    for deb in "$T"/deb/*.deb; do dpkg-deb -x "$deb" "$T/root"; done
    for file in usr/bin/lort usr/share/man/man1/lort.1.gz usr/share/man/man1/lort-compress.1.gz usr/share/bash-completion/completions/lort \
        usr/include/lort/lort.h usr/lib/python3/dist-packages/lort/__init__.py; do
        [ -e "$T/root/$file" ] || { echo "no $file"; return 1; }
    done
    [ "$("$T/root/usr/bin/lort" --version)" = "$("$LORT" --version)" ]
    library=$T/root/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
    [ -e "$library/liblort.so" ] && [ -e "$library/liblort.so.0" ] && [ -e "$library/liblort.a" ]
    for deb in "$T"/deb/lort_*.deb "$T"/deb/liblort0_*.deb; do dpkg-deb -f "$deb" Depends | grep -q 'libopenblas.*libzstd1'; done
    if command -v lintian >/dev/null; then
        (cd "$T/deb" && lintian ./*.deb 2>/dev/null) >"$T/lintian" || true
        [ "$(grep -c ': no-copyright-file$' "$T/lintian")" -eq 4 ]
        [ "$(grep -c '^[EW]:' "$T/lintian")" -eq 4 ] || { cat "$T/lintian"; return 1; }
    fi
}

@test "two trees in two directories give the same files and packages" {
    need_release
    [ -n "${LORT_SLOW:-}" ] || skip "LORT_SLOW=1 runs it: two whole builds, minutes"
    need dpkg-shlibdeps
    for tree in "$T/a" "$T/another/longer-name"; do
        mkdir -p "$tree"
        git ls-files -z | xargs -0 cp --parents -t "$tree"
        (cd "$tree" && make -s -j2 all >/dev/null && scripts/package-deb >/dev/null &&
            sha256sum build/release/lort build/release/liblort.a build/release/liblort.so.0.* build/deb/*.deb) >"$T/$(basename "$tree").sums"
    done
    [ "$(wc -l <"$T/a.sums")" -eq 7 ]
    diff "$T/a.sums" "$T/longer-name.sums"
}

@test "the packages work in a fresh Debian" {
    need_release
    [ -n "${LORT_SLOW:-}" ] || skip "LORT_SLOW=1 runs it: needs root, mmdebstrap and the network, minutes"
    need mmdebstrap
    expect 0 scripts/package-deb "$(dirname "$LORT")" "$T/deb"
    expect 0 scripts/test-deb "$T/deb" || { cat "$T/out"; return 1; }
    printed 'the installed command makes the bytes of'
}
