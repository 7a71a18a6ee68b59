#!/usr/bin/env python3
"""Checks the table of docs/TESTING.md, "The ninety faults": rows 1 to 90, with tests.

A test is `file: name`. The name is a C function that its file also lists, the name of a bats test,
or words of any other file."""
import glob
import os
import re
import sys

ROWS = range(1, 91)


def files():
    return {os.path.basename(path): path for path in glob.glob("tests/**/*.*", recursive=True) if path.endswith((".c", ".bats", ".py"))}


def is_there(path, name):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    if path.endswith(".bats"):
        return f'@test "{name}" {{' in text
    if path.endswith(".c"):
        return len(re.findall(rf"\b{re.escape(name)}\b", text)) > 1 and re.search(rf"^static void {re.escape(name)}\(void \*\*", text, re.M)
    return name in text


def fault_of(test, known):
    file, _, name = test.partition(": ")
    if file not in known:
        return f"no file {file}"
    return None if name and is_there(known[file], name) else f'{known[file]} has no test "{name}"'


def main():
    known, seen, faults, tests = files(), [], [], 0
    with open("docs/TESTING.md", encoding="utf-8") as f:
        section = f.read().partition("## The ninety faults\n")[2].partition("\n## ")[0]
    for number, what, outcome, named in re.findall(r"^\| (\d+) \| (.*?) \| (.*?) \| (.*) \|$", section, re.M):
        seen.append(int(number))
        for test in named.split("; "):
            tests += 1
            fault = fault_of(test, known)
            if fault:
                faults.append(f"{number} ({what}): {fault}")
    if seen != list(ROWS):
        faults.append(f"rows missing: {sorted(set(ROWS) - set(seen))}, twice or out of order: {[n for i, n in enumerate(seen) if n in seen[:i] or n not in ROWS]}")
    print("\n".join(faults))
    print(f"{len(seen)} faults, {tests} tests named, {len(faults)} wrong")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
