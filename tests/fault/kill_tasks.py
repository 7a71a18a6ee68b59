#!/usr/bin/env python3
"""Kills tasks of lort compress, and lort merge, at random instants until all are done; the bytes must be those of one process.

  tests/fault/kill_tasks.py [--kills 300] [--seed 1]     (KILLS in the environment is another default)

Reads LORT (the program). A round is a model, a target and a number of tasks. Two slots work on the
tasks in a random order, as a small cluster would. This script kills a random task with SIGKILL at a
random instant within the time of a whole one, and runs it again. A task that needs curves and finds
none must end with exit 2: then its turn comes later. Merge is killed too. After every kill the file
of a task is whole or is not there. At the end the output is that of one process, with nothing beside
it. The last line counts rounds: `N passed, N failed`."""
import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

LORT = os.path.realpath(os.environ.get("LORT", "build/release/lort"))
KJV = os.path.realpath("tests/data/kjv-3m")
TARGETS = [["--max-error", "0.1"], ["--bpw", "4"], ["--lossless"], ["--rank", "8"], ["--size", "30%"]]
MACHINES = [["--mode", "full"], ["--mode", "stream"], ["-T", "1"], ["--mode", "stream", "-T", "1"], ["--memory", "200M"]]
SLOTS = 2
work = tempfile.mkdtemp(prefix="lort-kill-tasks-", dir=os.environ.get("TMPDIR", "/tmp"))


def start(words):
    return subprocess.Popen([LORT] + words + ["-q"], env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE)


def content(path):
    with open(path, "rb") as file:
        return file.read()


class Round:
    def __init__(self, number, dice, model, kills):
        self.number, self.dice, self.kills_left, self.kills = number, dice, kills, 0
        self.model, self.target, self.tasks = model, dice.choice(TARGETS), dice.choice([2, 3, 5])
        self.sized = self.target[0] in ("--bpw", "--size")
        self.place = f"{work}/{number}"
        self.out = f"{self.place}/o.lort"
        os.mkdir(self.place)

    def words(self, out, task=None, measure=False):
        words = ["compress", self.model, "-o", out] + self.target
        if task is not None:
            words += ["--task", f"{task}/{self.tasks}"] + self.dice.choice(MACHINES)
        return words + (["--measure"] if measure else [])

    def whole(self, out, *more):
        begin = time.monotonic()
        process = start(self.words(out, *more))
        _, errors = process.communicate()
        assert process.returncode == 0, f"exit {process.returncode}: {errors.decode()}"
        return time.monotonic() - begin

    def prepare(self):
        """The container of one process, and the files of tasks that nobody kills."""
        self.whole(f"{work}/{self.number}.one")
        self.seconds, self.wanted = 0.01, {}
        for measure in [True, False] if self.sized else [False]:
            for task in range(self.tasks):
                self.seconds = max(self.seconds, self.whole(f"{work}/{self.number}.ref", task, measure))
        for task in range(self.tasks):
            self.wanted[task] = content(f"{work}/{self.number}.ref.task-{task}-of-{self.tasks}")

    def check_file(self, task):
        path = f"{self.out}.task-{task}-of-{self.tasks}"
        assert not os.path.exists(self.out), "there is an output before merge"
        if os.path.exists(path):
            assert content(path) == self.wanted[task], f"{path} is not whole"

    def kill_or_wait(self, process):
        """Returns the exit code; None: it was killed."""
        if self.kills_left > 0 and self.dice.random() < 0.8:
            try:
                process.wait(self.dice.random() * self.seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                self.kills_left -= 1
                self.kills += 1
        _, errors = process.communicate()
        if process.returncode == -signal.SIGKILL:
            return None
        assert process.returncode in (0, 2), f"exit {process.returncode}: {errors.decode()}"
        return process.returncode

    def run_tasks(self):
        phases = [True, False] if self.sized else [False]
        todo = [(measure, task) for measure in phases for task in range(self.tasks)]
        for turn in range(1000):
            if not todo:
                return
            # mostly in order of the phases; now and then a task comes before its curves
            self.dice.shuffle(todo)
            slots = sorted(todo, key=lambda item: (not item[0]) and self.dice.random() < 0.9)[:SLOTS]
            lacking = any(measure for measure, _ in todo)
            running = [(item, start(self.words(self.out, item[1], item[0]))) for item in slots]
            for (measure, task), process in running:
                code = self.kill_or_wait(process)
                assert code != 2 or (not measure and lacking), "exit 2, but all curves were there"
                if code == 0:
                    todo.remove((measure, task))
                self.check_file(task)
        raise AssertionError("it does not end")

    def merge(self):
        for turn in range(100):
            code = self.kill_or_wait(start(["merge", self.out]))
            if code == 0:
                break
            assert code is None, "merge refuses"
            if os.path.exists(self.out):  # killed behind its rename: the container is whole
                assert content(self.out) == content(f"{work}/{self.number}.one"), "another container"
                os.remove(self.out)
                missing = [t for t in range(self.tasks) if not os.path.exists(f"{self.out}.task-{t}-of-{self.tasks}")]
                for task in missing:
                    self.restore(task)
        assert content(self.out) == content(f"{work}/{self.number}.one"), "another container"
        assert os.listdir(self.place) == ["o.lort"], f"left: {os.listdir(self.place)}"

    def restore(self, task):
        """Merge was killed while it removed files: the next merge of this script wants them."""
        with open(f"{self.out}.task-{task}-of-{self.tasks}", "wb") as file:
            file.write(self.wanted[task])

    def run(self):
        self.prepare()
        self.run_tasks()
        self.merge()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=int(os.environ.get("KILLS", 300)))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    dice, kills, number, failed = random.Random(args.seed), 0, 0, 0
    one = f"{work}/one"
    os.mkdir(one)
    subprocess.run([sys.executable, "tests/cli/one_layer.py", KJV, one], check=True)
    while kills < args.kills:
        model = dice.choice([f"{one}/kjv-3m-f16.gguf", f"{one}/hf"])
        current = Round(number, dice, model, min(12, args.kills - kills))
        try:
            current.run()
        except AssertionError as failure:
            failed += 1
            print(f"round {number}: {model} {current.target} {current.tasks} tasks: {failure}; see {current.place}")
        kills += max(current.kills, 1)
        number += 1
    print(f"{kills} kills")
    print(f"{number - failed} passed, {failed} failed")
    if not failed:
        shutil.rmtree(work)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
