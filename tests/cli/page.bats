#!/usr/bin/env bats
# Pages of reports: HTML in a real browser, Markdown, CSV, and the text of Prometheus; names that attack each.
load helper

page() { python3 tests/cli/page.py "$@"; }
# A report of each command that makes or compares a model. One run serves all tests.
setup_file() {
    mkdir "$BATS_FILE_TMPDIR/one" && python3 tests/cli/one_layer.py $KJV "$BATS_FILE_TMPDIR/one"
    local r=$BATS_FILE_TMPDIR
    "$LORT" compress "$ONE_GGUF" -o "$r/c.lort" --bpw 4 -q --json "$r/compress.json"
    "$LORT" quantize "$ONE_GGUF" -o "$r/q.gguf" --type Q4_K -q --json "$r/quantize.json"
    "$LORT" compare "$ONE_GGUF" "$r/c.lort" -q --json "$r/compare.json"
}
R=$BATS_FILE_TMPDIR

BROWSER=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
need_browser() { [ -n "$BROWSER" ] || skip "chromium is not here"; }
# browse FILE [SCRIPT]: the DOM of a page, with a script at its end, goes to $T/dom.
browse() {
    cp "$1" "$T/shown.html"
    [ -z "${2:-}" ] || printf '<script>%s</script>' "$2" >>"$T/shown.html"
    HOME=$T timeout 120 "$BROWSER" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --disable-background-networking \
        --disable-component-update --user-data-dir="$T/browser" --log-net-log="$T/netlog.json" --dump-dom "file://$T/shown.html" >"$T/dom" 2>"$T/err"
}
# cells: how many cells the heat map has in $T/dom.
cells() { python3 -c 'import re,sys; print(sum(g.count("<rect") for g in re.findall(r"<g aria-label=\"cell\".*?</g>", open(sys.argv[1]).read(), re.S)))' "$T/dom"; }
matrices() { value "$1" 'sum(len(t["shape"]) >= 2 and t["bits"] is not None for t in d["tensors"])'; }

@test "each command's report becomes a page of each form" {
    for run in compress quantize compare; do
        for form in html md csv prom; do
            expect 0 "$LORT" report "$R/$run.json" -o "$T/$run.$form"
            said "output +.*$run.$form \("
        done
        page prom "$T/$run.prom" >"$T/out"
        page csv "$T/$run.csv" >"$T/rows"
        [ "$(value "$T/rows" 'len(d) - 1')" -eq "$(value "$R/$run.json" 'len(d["tensors"])')" ]
        [ "$(value "$T/rows" 'len({len(r) for r in d})')" -eq 1 ]
        grep -qF "| command | \`$run\` |" "$T/$run.md"
        [ "$(grep -c '^| `' "$T/$run.md")" -gt 8 ] # kinds, and the largest errors
    done
    # figures are those of the report
    grep -qF "lort_output_bytes{run=\"1\",command=\"compress\",input=\"$ONE_GGUF\"} $(stat -c %s "$R/c.lort")" "$T/compress.prom"
    [ "$(value "$T/rows" 'd[1][1]')" = "$(value "$R/compare.json" 'd["tensors"][0]["name"]')" ]
    # the same report gives the same bytes
    expect 0 "$LORT" report "$R/compress.json" -o "$T/again.html"
    cmp "$T/compress.html" "$T/again.html"
}

@test "two runs stand side by side" {
    expect 0 "$LORT" report "$R/compress.json" "$R/quantize.json" -o "$T/r.md"
    grep -qE '^\| command \| `compress` \| `quantize` \|$' "$T/r.md"
    [ "$(grep -c '^### Run' "$T/r.md")" -eq 2 ]
    expect 0 "$LORT" report "$R/compress.json" "$R/quantize.json" -o "$T/r.prom"
    page prom "$T/r.prom" >"$T/out"
    grep -q '^lort_output_bytes{run="2",command="quantize"' "$T/r.prom"
    expect 2 "$LORT" report "$R/compress.json" "$R/compress.json" "$R/compress.json" -o "$T/x.md"
    absent "$T/x.md"
}

@test "a report of a failed run has its error" {
    expect 3 "$LORT" compress "$T/none.gguf" -o "$T/x.lort" --json "$T/f.json" -q
    expect 0 "$LORT" report "$T/f.json" -o "$T/f.md"
    grep -q '^| failed | `.*none.gguf' "$T/f.md"
    expect 0 "$LORT" report "$T/f.json" -o "$T/f.prom"
    grep -qE '^lort_exit_code\{.*\} 3$' "$T/f.prom"
    expect 0 "$LORT" report "$T/f.json" -o "$T/f.html"
}

@test "what is no report, and what is in the way, is refused" {
    echo '{"lort": "1", "command": "compress", "n": 1e999}' >"$T/real.json"
    echo '{"lort": "1", "command": "compress", "n": 9223372036854775808}' >"$T/whole.json"
    echo '{"lort": "1", "command": "comp\u0000ress"}' >"$T/nul.json"
    : >"$T/empty.json"
    echo '[1, 2' >"$T/cut.json"
    echo '{"a": 1}' >"$T/other.json"
    echo '{"lort": "1", "command": "verify", "results": []}' >"$T/list.json"
    python3 -c 'print("[" * 100000)' >"$T/deep.json"
    printf '\xff\xfe{' >"$T/bytes.json"
    for bad in real whole nul empty cut deep bytes; do
        expect 3 "$LORT" report "$T/$bad.json" -o "$T/x.html"
        said "$bad.json: .*; give a file that --json wrote"
        lacks "$T/err" memory
    done
    expect 3 "$LORT" report "$T/other.json" -o "$T/x.html"
    said 'no report of LoRT'
    expect 3 "$LORT" report "$T/list.json" -o "$T/x.html"
    said 'give the report of one run'
    expect 3 "$LORT" report "$T/none.json" -o "$T/x.html"
    expect 2 "$LORT" report "$R/compress.json" -o "$T/x.pdf"
    said 'use .html, .md, .csv or .prom'
    expect 2 "$LORT" report "$R/compress.json"
    absent "$T/x.html"
    echo mine >"$T/x.md"
    expect 9 "$LORT" report "$R/compress.json" -o "$T/x.md"
    [ "$(cat "$T/x.md")" = mine ]
    expect 0 "$LORT" report "$R/compress.json" -o "$T/x.md" --force
    lacks "$T/x.md" mine
    # members of another type count as unknown
    echo '{"lort": "1", "command": "compress", "memory": 3, "input": [], "tensors": [1, null, {"name": 7, "shape": "x"}], "kinds": {"a": 1}, "samples": [[]], "options": {"a": [{}, []]}}' >"$T/odd.json"
    for form in html md csv prom; do expect 0 "$LORT" report "$T/odd.json" -o "$T/odd.$form"; done
    no_partial
}

@test "hostile names stay text in Markdown, CSV and the text of Prometheus" {
    page hostile "$R/compress.json" "$T/h.json"
    for form in md csv prom html; do expect 0 "$LORT" report "$T/h.json" -o "$T/h.$form"; done
    for form in md csv prom html; do
        python3 - "$T/h.$form" <<'END'
import sys
text = open(sys.argv[1], encoding="utf-8", newline="").read()
if sys.argv[1].endswith("html"):  # what LoRT adds, without the libraries
    text = "".join(part.split("</script>", 1)[0] if "application/json" in part[:40] else "" for part in text.split("<script")) + text[:2000]
bad = [c for c in text if ord(c) < 32 and c not in "\r\n" or c in "\u202e\u2028\x9b"]
assert not bad, bad
END
    done
    page prom "$T/h.prom" >"$T/out"
    page csv "$T/h.csv" >"$T/rows"
    [ "$(value "$T/rows" 'len({len(r) for r in d}) == 1 and len(d) == 11 and not any(c[:1] in "=+@" for r in d for c in r if c)')" = True ]
    # every cell of a table is a number, a size, a title or one code span
    python3 - "$T/h.md" <<'END'
import re, sys
for line in open(sys.argv[1], encoding="utf-8"):
    assert re.sub(r"`[^`]*`", "", line).find("<") < 0, line
    assert "`" not in re.sub(r"`[^`]*`", "", line), line
END
}

@test "a browser shows one cell per matrix, sorts and searches, and asks for nothing" {
    need_browser
    expect 0 "$LORT" report "$R/compress.json" -o "$T/r.html"
    browse "$T/r.html"
    [ "$(cells)" -eq "$(matrices "$R/compress.json")" ]
    for part in facts bits kinds errors memory phases tensors; do grep -q "<section id=\"$part\">" "$T/dom" || { echo "no $part"; return 1; }; done
    lacks "$T/dom" '<noscript>[^<]*</noscript><main></main>'
    [ -z "$(page requests "$T/netlog.json")" ]
    [ "$(grep -oE '(src|href)="[^"]*"' "$T/dom" | grep -vcE '="(#|data:)')" -eq 0 ]
    # search for one kind, then sort by bits, twice: falling, then rising
    browse "$T/r.html" 'const s=document.querySelector("input"); s.value="attn_q"; s.oninput();
        const n=document.querySelectorAll(".tensors tr").length-1; s.value=""; s.oninput();
        const bits=()=>[...document.querySelectorAll(".tensors tr")].slice(1).map(r=>r.children[5].textContent).filter(Boolean).map(Number);
        const click=()=>[...document.querySelectorAll(".tensors th")][5].onclick(); click(); const a=bits(); click(); const b=bits();
        document.body.dataset.found=n+" "+a.every((v,i)=>!i||a[i-1]>=v)+" "+b.every((v,i)=>!i||b[i-1]<=v)+" "+a.length;'
    grep -q "data-found=\"1 true true $(value "$R/compress.json" 'len(d["tensors"])')\"" "$T/dom"
    # two runs: the cells of both
    expect 0 "$LORT" report "$R/compress.json" "$R/quantize.json" -o "$T/two.html"
    browse "$T/two.html"
    [ "$(cells)" -eq $(($(matrices "$R/compress.json") + $(matrices "$R/quantize.json"))) ]
}

@test "a page that would ask for something is found, so the test before can fail" {
    need_browser
    echo '<!doctype html><img src="http://127.0.0.1:9/x.png">' >"$T/bad.html"
    browse "$T/bad.html"
    [ "$(page requests "$T/netlog.json")" = 'http://127.0.0.1:9/x.png' ]
}

@test "hostile names are text in the browser" {
    need_browser
    page hostile "$R/compress.json" "$T/h.json"
    expect 0 "$LORT" report "$T/h.json" -o "$T/h.html"
    browse "$T/h.html" 'document.body.dataset.seen=[document.title.startsWith("LoRT:"),document.querySelectorAll("main img,main script,main b,main a").length,document.scripts.length].join(" ")'
    grep -q 'data-seen="true 0 5"' "$T/dom" # d3, Plot, the data, the page, and this test
    [ "$(cells)" -eq 10 ]
    [ -z "$(page requests "$T/netlog.json")" ]
    grep -qF '\xE2\x80\xAEgpj.weight' "$T/dom"
}

@test "20,000 tensors make a page in time" {
    page large "$R/compress.json" "$T/l.json" 20000
    expect 0 timeout 3 "$LORT" report "$T/l.json" -o "$T/l.html"
    [ -n "$BROWSER" ] || return 0
    browse "$T/l.html" 'document.body.dataset.ms=Math.round(performance.now())'
    [ "$(cells)" -eq 20000 ]
    ms=$(grep -oE 'data-ms="[0-9]+"' "$T/dom" | tr -dc 0-9)
    echo "shown after $ms ms"
    [ "$ms" -lt 9000 ] # under 3 s on an idle machine; other suites run beside this one
}

@test "the vendored scripts are those of their packages" {
    (cd compress/report/vendor && sha256sum -c --quiet SHA256SUMS)
    [ "$(cd compress/report/vendor && ls *.js *.LICENSE | sort | xargs)" = "$(cut -c 67- compress/report/vendor/SHA256SUMS | sort | xargs)" ]
}
