#!/usr/bin/env python3
"""Checks the tables of docs/TESTING.md that name tests: each has all its rows, in order, and every test is there.

A test is `file: name`. The name is a C function that its file also lists, a C function of a fuzz target that it also calls,
the name of a bats test, or words of any other file."""
import glob
import os
import re
import sys

# section: what a row is called, the rows
SECTIONS = {
    "The ninety faults": ("faults", [str(n) for n in range(1, 91)]),
    "The kinds of attack": ("attacks", list("ABCDEFGHIJK") + [str(n) for n in range(1, 25)]),
}


def files():
    return {os.path.basename(path): path for path in glob.glob("tests/**/*.*", recursive=True) if path.endswith((".c", ".bats", ".py"))}


def is_there(path, name):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if path.endswith(".bats"):
        return f'@test "{name}" {{' in text
    if path.endswith(".c"):
        takes = "" if path.startswith("tests/fuzz/") else r"void \*\*"
        return len(re.findall(rf"\b{re.escape(name)}\b", text)) > 1 and re.search(rf"^static \w+ {re.escape(name)}\({takes}", text, re.M)
    return name in text


def fault_of(test, known):
    file, _, name = test.partition(": ")
    if file not in known:
        return f"no file {file}"
    return None if name and is_there(known[file], name) else f'{known[file]} has no test "{name}"'


def check(section, rows, known):
    """The rows of one table: how many, how many tests they name, and what is wrong."""
    seen, faults, tests = [], [], 0
    for number, what, named in re.findall(r"^\| (\w+) \| (.*?) \| .*? \| (.*) \|$", section, re.M):
        seen.append(number)
        for test in named.split("; "):
            tests += 1
            fault = fault_of(test, known)
            if fault:
                faults.append(f"{number} ({what}): {fault}")
    if seen != rows:
        missing = [n for n in rows if n not in seen]
        faults.append(f"rows missing: {missing}, twice or out of order: {[n for i, n in enumerate(seen) if n in seen[:i] or n not in rows]}")
    return len(seen), tests, faults


def main():
    known, wrong = files(), 0
    with open("docs/TESTING.md", encoding="utf-8") as f:
        text = f.read()
    for title, (called, rows) in SECTIONS.items():
        seen, tests, faults = check(text.partition(f"## {title}\n")[2].partition("\n## ")[0], rows, known)
        print("\n".join(faults + [f"{seen} {called}, {tests} tests named, {len(faults)} wrong"]))
        wrong += len(faults)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
