#!/usr/bin/env python3
"""What a ternary fine-tuning step costs beside one in full precision, in processor time of one rank of one thread (8 sequences of
256 tokens a step, bf16, divergence from the same teacher): a measure for machines that others use too. All programs run at
once, stopped but for one of them, in random turns of 0.6 s, so that they meet the same neighbours.

Usage: .venv-test/bin/python -B tests/bench/training_cost.py MODEL TRAIN.txt [TERCET...] [--steps 60]
TERCET: programs to compare, build/release/tercet by default. Prints milliseconds a step and the ratio of each.
"""
import argparse
import glob
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from training_speed import PROJECT, environment, settings_of

TOKENS = 8 * 256  # of a step
WARM = 5          # steps that are not counted


class Job:
    """One program on its way through a training; stopped outside of its turns."""

    def __init__(self, program, number_format, arguments, folder):
        values = settings_of(number_format, arguments, folder, TOKENS)
        self.journal = pathlib.Path(values["output"]) / "journal.jsonl"
        self.read = 0
        self.seconds = {}  # of the processor, after each step
        settings = [f"--set={key}={value}" for key, value in values.items()]
        self.process = subprocess.Popen([program, "compress", folder / "job.yaml", *settings], env=environment(1),
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def running(self):
        return self.process.poll() is None

    def turn(self, seconds, until_step=None):
        self.process.send_signal(signal.SIGCONT)
        end = time.time() + seconds
        while time.time() < end and self.running() and (until_step is None or until_step not in self.seconds):
            time.sleep(0.015)
            self.look()
        if self.running():
            self.process.send_signal(signal.SIGSTOP)

    def look(self):
        if not self.journal.exists():
            return
        with open(self.journal, encoding="utf-8") as file:
            file.seek(self.read)
            new = file.read()
        self.read += len(new.encode())
        for step in re.findall(r'training/loss","step":(\d+)', new)[-1:]:
            files = glob.glob(f"/proc/{self.process.pid}/task/*/schedstat")
            self.seconds[int(step)] = sum(int(pathlib.Path(file).read_text().split()[0]) for file in files) / 1e9

    def per_step(self, steps):
        """Median milliseconds; the last step is left out, since an evaluation follows it."""
        seen = sorted(step for step in self.seconds if WARM <= step < steps - 1)
        return 1e3 * statistics.median((self.seconds[b] - self.seconds[a]) / (b - a) for a, b in zip(seen, seen[1:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "train"):
        parser.add_argument(name, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("programs", nargs="*", type=pathlib.Path, default=[PROJECT / "build/release/tercet"])
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        jobs = {}
        for number, program in enumerate(arguments.programs):
            for number_format in ("ternary", "float16"):
                folder = pathlib.Path(name) / str(number)
                folder.mkdir(exist_ok=True)
                (folder / "job.yaml").write_text("name: cost\n", encoding="utf-8")
                jobs[program, number_format] = Job(program, number_format, arguments, folder)
                jobs[program, number_format].turn(600, WARM)
        try:
            while all(job.running() for job in jobs.values()):
                for job in random.sample(list(jobs.values()), len(jobs)):
                    job.turn(0.6)
        finally:
            for job in jobs.values():
                job.process.kill()
                job.process.wait()
        for program in arguments.programs:
            ternary, full = (jobs[program, number_format].per_step(arguments.steps) for number_format in ("ternary", "float16"))
            print(f"{program}: ternary {ternary:.1f} ms a step, full precision {full:.1f} ms: {ternary / full:.3f}")


if __name__ == "__main__":
    sys.exit(main())
