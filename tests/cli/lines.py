#!/usr/bin/env python3
"""Checks lines of JSON that `lort --progress json` wrote, against the list in docs/lort.1.

  lines.py FILE [EXPRESSION ...]

An expression sees `lines`, and `kinds`, a dict of the lines of each type. All of them must be true."""
import json
import re
import sys


def fields():
    """The fields of each type, from PROGRESS JSON of the manual."""
    with open("docs/lort.1", encoding="utf-8") as f:
        text = re.search(r"^\.SH PROGRESS JSON$.*?^\.nf$(.*?)^\.fi$", f.read(), re.S | re.M)[1]
    rows = re.sub(r",\n +", ", ", text.strip()).splitlines()
    lists = {row.split(None, 1)[0]: row.split(None, 1)[1].split(", ") for row in rows}
    every = lists.pop("every")
    return {kind: every + names for kind, names in lists.items()}


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def check_share(progress):
    """Within an attempt the share and the seconds never fall."""
    for a, b in zip(progress, progress[1:]):
        assert a["seconds"] <= b["seconds"], (a, b)
        assert a["attempt"] <= b["attempt"], (a, b)
        if a["attempt"] == b["attempt"]:
            assert 0 <= a["share"] <= b["share"] <= 1, (a, b)
        if (a["attempt"], a["phase"]) == (b["attempt"], b["phase"]):
            assert a["done_bytes"] <= b["done_bytes"] <= b["total_bytes"], (a, b)
            assert a["tensors_done"] <= b["tensors_done"] <= b["tensors_total"], (a, b)


def check_run(run):
    check_share([line for line in run if "share" in line])
    times = [line["seconds"] for line in run if line["type"] == "progress"]
    assert all(b - a > 0.99 for a, b in zip(times, times[1:])), times


def begin_of_run(lines, start):
    """A run that takes long to open tells so before its start."""
    while start > 0 and lines[start - 1]["type"] == "progress" and lines[start - 1]["phase"] == "opening":
        start -= 1
    return start


def read(path):
    with open(path, "rb") as f:
        data = f.read()
    assert data.endswith(b"\n"), data[-200:]
    return [json.loads(line, parse_constant=no_constant) for line in data.decode().splitlines()]


def main():
    lines, known, kinds = read(sys.argv[1]), fields(), {}
    for line in lines:
        kinds.setdefault(line["type"], []).append(line)
        wanted = known[line["type"]]
        assert list(dict.fromkeys(wanted)) == wanted
        assert sorted(line) == sorted(wanted), set(line) ^ set(wanted)
        assert line["v"] == 1
    assert len(kinds["end"]) == 1 and lines[-1]["type"] == "end", kinds["end"]
    starts = [begin_of_run(lines, i) for i, line in enumerate(lines) if line["type"] == "start"]
    for begin, end in zip([0] + starts[1:], starts[1:] + [None]):
        check_run(lines[begin:end])
    for expression in sys.argv[2:]:
        assert eval(expression, {"lines": lines, "kinds": kinds, "json": json}), (expression, lines[0], lines[-2:])


main()
