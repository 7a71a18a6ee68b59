#!/usr/bin/env python3
"""What page.bats needs of reports and pages.

  page.py hostile RUN.json OUT.json       the report with names that attack each form of a page
  page.py large RUN.json OUT.json N       the report with N tensors
  page.py prom FILE                       fails unless every line is right for a textfile collector
  page.py csv FILE                        prints the rows as JSON
  page.py requests NETLOG                 prints the addresses that the page, not the browser, asked for
"""
import csv
import json
import re
import sys

NAMES = ["</script><script>document.title='owned'</script>", "<img src=x onerror=document.title='owned'>", "a\u202egpj.weight", "a\x1b[31mred\x1b[0m",
         '=HYPERLINK("http://127.0.0.1:9/","x")', "`code` | cell <b>bold</b> [a](javascript:alert(1))", 'quote"brace}\\ 1\n# HELP', "<!--", "\u2028line", "&lt;b&gt;"]


def hostile(source, out):
    run = json.load(open(source))
    first = next(t for t in run["tensors"] if t["rank"] is not None and len(t["shape"]) == 2)
    run["tensors"] = [dict(first, name=name, kind=name, reason=name, dtype=name) for name in NAMES]
    run["kinds"] = [dict(run["kinds"][0], kind=name) for name in NAMES]
    run["warnings"], run["options"] = NAMES, {"include": NAMES, "x" * 3: NAMES[0]}
    run["input"]["path"] = run["output"]["path"] = run["command"] = "".join(NAMES)
    run["phases"] = [{"phase": name, "seconds": 1.5} for name in NAMES]
    run["versions"] = {"blas": NAMES[0]}
    json.dump(run, open(out, "w"))


def large(source, out, count):
    run = json.load(open(source))
    first = next(t for t in run["tensors"] if len(t["shape"]) == 2)
    run["tensors"] = [dict(first, name=f"model.layers.{i // 200}.experts.{i % 200}.w1.weight", layer=i // 200, bits=2 + i % 97 / 20) for i in range(int(count))]
    json.dump(run, open(out, "w"))


def prom(path):
    label = r'[a-zA-Z_]\w*="(?:[^"\\\n]|\\\\|\\"|\\n)*"'
    sample = re.compile(rf"([a-z_]+)\{{{label}(?:,{label})*\}} -?[0-9.e+-]+")
    text = open(path, encoding="utf-8", newline="").read()
    assert text.endswith("\n")
    typed, seen = set(), []
    for line in text[:-1].split("\n"):
        if line.startswith("# TYPE "):
            assert re.fullmatch(r"# TYPE [a-z_]+ gauge", line), line
            assert line.split()[2] not in typed, line
            typed.add(line.split()[2])
        elif not line.startswith("# HELP "):
            match = sample.fullmatch(line)
            assert match, line
            assert match[1] in typed, line
            seen.append(line[:line.rindex("}")])
    assert len(seen) == len(set(seen)), "a sample stands twice"
    print(len(seen))


def requests(path):
    log = json.load(open(path))
    kind = {v: k for k, v in log["constants"]["logEventTypes"].items()}
    for event in log["events"]:
        params = event.get("params", {})
        if kind[event["type"]] == "URL_REQUEST_START_JOB" and params.get("initiator") not in (None, "not an origin"):
            if re.match(r"(https?|wss?|ftp):", params["url"]):
                print(params["url"])


COMMANDS = {"hostile": hostile, "large": large, "prom": prom, "requests": requests,
            "csv": lambda path: print(json.dumps(list(csv.reader(open(path, encoding="utf-8", newline="")))))}
COMMANDS[sys.argv[1]](*sys.argv[2:])
