#!/usr/bin/env python3
"""Records what a command draws on a terminal, and checks the record: is there a line that changes at least once a second from the start to the end,
and how far is the ETA from the truth?

  terminal.py record FILE [--columns N] COMMAND...   runs COMMAND on a terminal of N (120) columns, and writes an asciicast v2
  terminal.py check FILE [TIMING]                    an asciicast, or what `script -O FILE -T TIMING` wrote

check prints one line a figure: the seconds, the longest silence and when, the phases in the order they came, and the error of the ETA
(its end over the true end, both from the start) at each tenth of the time. Exits as COMMAND did."""
import json
import os
import re
import select
import struct
import sys
import time

UNITS = {"s": 1, "min": 60, "h": 3600}
LINE = re.compile(r"\r[|/\\-] ((?:[a-z]+ ?)+)")
ETA = re.compile(r"ETA ([0-9:.]+) (s|min|h)")
ELAPSED = re.compile(r"elapsed ([0-9:.]+) (s|min|h)")


def record(path, columns, command):
    import fcntl
    import pty
    import termios
    start = time.monotonic()
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        os.environ["TERM"] = "xterm"
        os.execvp(command[0], command)
    with open(path, "w") as out:
        out.write(json.dumps({"version": 2, "width": columns, "height": 24}) + "\n")
        while True:
            select.select([terminal], [], [])
            try:
                text = os.read(terminal, 65536)
            except OSError:
                break
            if not text:
                break
            out.write(json.dumps([time.monotonic() - start, "o", text.decode("utf-8", "replace")]) + "\n")
        status = os.waitpid(child, 0)[1]
        out.write(json.dumps([time.monotonic() - start, "o", ""]) + "\n")
    return os.waitstatus_to_exitcode(status)


def read(path, timing):
    if not timing:
        lines = open(path).read().splitlines()[1:]
        return [(e[0], e[2]) for e in map(json.loads, lines) if e[1] == "o"]
    data, events, at, now = open(path, "rb").read(), [], 0, 0.0
    data = data[data.index(b"\n") + 1:] if data.startswith(b"Script started") else data
    for line in open(timing):
        words = line.split()
        if words[0] in "OIHS":  # the advanced form names the stream
            words = words[1:] if words[0] == "O" else [words[1], "0"]
        now += float(words[0])
        events.append((now, data[at:at + int(words[1])].decode("utf-8", "replace")))
        at += int(words[1])
    return events


def seconds(match):
    total = 0.0
    for word in match[1].split(":"):
        total = total * 60 + float(word)
    return total if ":" in match[1] else total * UNITS[match[2]]


def check(events):
    end = events[-1][0]
    shown, changes, phases, etas = None, [events[0][0]], [], []
    text = ""
    for at, piece in events:
        text = (text + piece)[-4000:]
        line = text[text.rfind("\r"):] if piece.rstrip("\r\n") else None
        if line is None or line == shown:
            continue
        shown = line
        changes.append(at)
        for phase in LINE.findall(piece):
            if not phases or phases[-1] != phase.strip():
                phases.append(phase.strip())
        eta = ETA.search(line)
        if eta:
            etas.append((at, at + seconds(eta)))
    gaps = [(b - a, a) for a, b in zip(changes, changes[1:] + [end])]
    silence, when = max(gaps)
    print(f"seconds {end:.2f}")
    print(f"changes {len(changes)}")
    print(f"longest silence {silence:.2f} s, at {when:.2f} s")
    print("phases " + ", ".join(phases))
    for tenth in range(1, 10):
        told = [e for e in etas if e[0] >= tenth * end / 10]
        if told:
            print(f"ETA at {told[0][0] / end:.2f} of the time: {told[0][1] / end - 1:+.1%} of the whole")
    late = [(abs(guess / end - 1), at / end) for at, guess in etas if at >= end / 10]
    if late:
        print("worst ETA after a tenth %.1f%%, at %.2f of the time" % (100 * max(late)[0], max(late)[1]))
        print("ETAs after a tenth that are within 25 %%: %.1f%%" % (100 * sum(e[0] <= 0.25 for e in late) / len(late)))


mode, rest = sys.argv[1], sys.argv[2:]
if mode == "record":
    columns = 120
    if rest[1] == "--columns":
        columns = int(rest[2])
        del rest[1:3]
    sys.exit(record(rest[0], columns, rest[1:]))
check(read(rest[0], rest[1] if len(rest) > 1 else None))
