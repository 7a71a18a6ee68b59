#!/usr/bin/env python3
"""Runs a command up to its first line about tensors (one, with -v, or a layer), does something, and lets it go on: what is done is done in the middle of the work, however fast the machine.

  paused.py ACTION COMMAND...

Its stderr is a pipe that holds a single write. Nobody reads on after that line until ACTION, a shell command, has ended, so the command gets
no further than its next two lines meanwhile. ACTION finds the command's number in PID. With ROWS=N in the environment the stop is at the N-th row of a
tensor (-v). Exits as the command does, 128 + N for signal N; 99 where there was no
tensor, or ACTION failed."""
import fcntl
import os
import re
import subprocess
import sys

F_SETPIPE_SZ = 1031
ROW = re.compile(rb"^\S+ +(?:F32|F16|BF16|U8) +[0-9]+", re.M)
LAYER = re.compile(rb"^  (layer [0-9]+|other tensors) ", re.M)

action, command = sys.argv[1], sys.argv[2:]
wanted, rows = int(os.environ.get("ROWS", "0")), 0
reader, writer = os.pipe2(os.O_DIRECT)  # what is written at once is read at once, and takes a page
fcntl.fcntl(writer, F_SETPIPE_SZ, 1)
child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=writer)
os.close(writer)
result = None
while text := os.read(reader, 1 << 16):
    os.write(2, text)
    rows += len(ROW.findall(text))
    if result is None and (rows >= wanted if wanted else rows or LAYER.search(text)):
        result = subprocess.run(["sh", "-c", action], env=dict(os.environ, PID=str(child.pid))).returncode
code = child.wait()
if result != 0:
    os.write(2, b"no tensor was seen\n" if result is None else b"the action failed\n")
    sys.exit(99)
sys.exit(code if code >= 0 else 128 - code)
