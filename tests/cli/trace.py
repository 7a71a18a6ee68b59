#!/usr/bin/env python3
"""Reads a log of strace -f and checks how LoRT touches its own names.

  trace.py LOG DIRECTORY NAME...

NAMEs are the outputs in DIRECTORY; their partial outputs, journals and locks are LoRT's names too. Every open, rename, unlink,
mkdir and link of such a name must be an *at call, with a descriptor of DIRECTORY (or of the partial directory in it, or of a folder below that), with one
component, and without following links. Exits 1 on a fault, and where the log shows no output that got its name.
"""
import re
import sys

CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+|\?)")
PATH_ONLY = set("open creat rename unlink rmdir mkdir link symlink truncate chmod chown lchown mknod".split())
AT = set("openat openat2 renameat renameat2 unlinkat mkdirat linkat symlinkat mknodat fchmodat fchownat".split())
PAIR = re.compile(r'(AT_FDCWD|\d+)(?:<[^>]*>)?, "((?:[^"\\]|\\.)*)"')


def calls(lines):
    """The calls in order of their ends; strace cuts a call in two where another thread comes between."""
    waiting = {}
    for line in lines:
        pid = line.split(None, 1)[0]
        if line.rstrip().endswith("<unfinished ...>"):
            waiting[pid] = line.rstrip()[: -len("<unfinished ...>")]
            continue
        resumed = re.match(r"^(\d+ +)<\.\.\. \w+ resumed>(.*)", line)
        if resumed:
            line = waiting.pop(pid, "") + resumed.group(2)
        found = CALL.match(line)
        if found:
            yield found.group(1), found.group(2), int(found.group(3).replace("?", "-1")), line.strip()


class Watch:
    def __init__(self, directory, names):
        self.directory, self.names = directory, set(names)
        for name in names:
            self.names |= {f"{name}.part", f"{name}.part.journal", f".{name}.lort-partial", f".{name}.lort-lock"}
        self.held, self.inner, self.faults, self.published, self.seen = set(), set(), [], set(), 0

    def is_own(self, path):
        return bool(self.names & set(path.split("/")))

    def judge(self, call, text, line):
        for fd, path in PAIR.findall(text):
            below = fd.isdigit() and int(fd) in self.inner
            if not self.is_own(path) and not below:
                continue
            self.seen += 1
            if not fd.isdigit() or int(fd) not in self.held | self.inner:
                self.faults.append(f"not below the directory that is held: {line}")
            if "/" in path:
                self.faults.append(f"more than one component: {line}")
        if call == "openat" and any(self.is_own(p) or f.isdigit() and int(f) in self.inner for f, p in PAIR.findall(text)) and "O_NOFOLLOW" not in text:
            if not text.split(", ")[1] == '"."':
                self.faults.append(f"follows links: {line}")

    def step(self, call, text, result, line):
        if call in PATH_ONLY and any(self.is_own(p) for p in re.findall(r'"((?:[^"\\]|\\.)*)"', text)):
            self.faults.append(f"a path: {line}")
        elif call in AT:
            self.judge(call, text, line)
        if call == "close" and text.isdigit():
            self.held.discard(int(text))
            self.inner.discard(int(text))
        if result < 0:
            return
        pairs = PAIR.findall(text)
        if call == "openat" and pairs[0] == ("AT_FDCWD", self.directory):
            self.held.add(result)
        elif call == "openat" and pairs[0][0].isdigit() and int(pairs[0][0]) in self.held and pairs[0][1].endswith("lort-partial") and "O_DIRECTORY" in text:
            self.inner.add(result)
        elif call == "openat" and pairs[0][0].isdigit() and int(pairs[0][0]) in self.inner and "O_DIRECTORY" in text and pairs[0][1] != ".":
            self.inner.add(result)  # a folder of the partial directory
        elif call.startswith("renameat"):
            self.published.add(pairs[-1][1])


def main(log, directory, *names):
    watch = Watch(directory, names)
    with open(log, encoding="utf-8", errors="replace") as f:
        for step in calls(f):
            watch.step(*step)
    for name in names:
        if name not in watch.published:
            watch.faults.append(f"no rename gave {name} its name")
    print("\n".join(watch.faults))
    print(f"{watch.seen} uses of LoRT's own names, {len(watch.faults)} wrong")
    return 1 if watch.faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
