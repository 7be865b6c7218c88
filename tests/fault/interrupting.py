"""Interrupts jobs, and compares what they come to with the same job left alone."""

import json
import os
import pathlib
import random
import signal
import time

from driving import PACKED, check, check_equal, status_of, storages

END_S = 60  # a job with a dead rank, or one that was asked to stop, must be gone by then
# A job of seconds that writes checkpoints often. The text is tokenized in each run anew.
SETTINGS = {"training__tokens": 40 * 1024, "checkpoint__every_steps": 4, "training__evaluate_every": 10}
# With these every stage has something to do.
SOLVED_AND_TUNED = {"quantization__solver": "compensated", "blockwise__enabled": "true", "blockwise__samples": 32,
                    "target__like": "int3", "allocation__formats": "[ternary, int2, int3, int4]",
                    "allocation__samples": 4, "training__tokens": 20 * 1024, "training__polish_tokens": 8 * 1024}
STAGES = ["load the model", "prepare the text", "measure the original", "calibrate", "allocate bits", "quantize",
          "tune blocks", "fine-tune", "polish the scales", "pack", "measure what was packed", "generate text",
          "check the handoff", "judge and publish"]


def arguments_of(shop, run, **settings):
    return shop.quick(run, **{"data__cache": run / "tokens", **SETTINGS, **settings})


def ranks_of(job, program):
    """Process ids of the ranks that this mpirun (or this process itself) started, oldest first."""
    try:
        if os.path.realpath(f"/proc/{job.pid}/exe") == os.path.realpath(program):
            return [job.pid]
        children = pathlib.Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        return [pid for pid in sorted(map(int, children))
                if os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(program)]
    except OSError:
        return []


def wait_until_gone(job):
    try:
        job.wait(timeout=END_S)
    finally:
        if job.poll() is None:
            job.kill()
            job.wait()
    return job.returncode


def signal_rank(job, program, index, number=signal.SIGKILL):
    pids = ranks_of(job, program)
    if len(pids) <= index:
        return False
    try:
        os.kill(pids[index], number)
    except ProcessLookupError:
        return False
    return True


def wait_for_status(job, run, wanted):
    """Until `wanted(status)` of what status.json says; False when the job ended before. Looked at so often that a short
    stage is met, and read when it looks like another file than before, at the latest at every tenth look."""
    deadline, seen, look = time.monotonic() + END_S, None, 0
    while job.poll() is None and time.monotonic() < deadline:
        look += 1
        try:
            file = os.stat(run / "status.json")
            if (file.st_ino, file.st_mtime_ns) != seen or look % 10 == 0:
                seen = file.st_ino, file.st_mtime_ns
                if wanted(status_of(run)):
                    return True
        except (OSError, ValueError):
            pass
        time.sleep(0.002)
    return False


def wait_for_stage(job, run, attempt, stage):
    """Until the job is at `stage` or beyond; False when it ended before."""
    later = STAGES[STAGES.index(stage):]
    return wait_for_status(job, run, lambda status: status["state"] == "running" and status["attempt"] >= attempt
                           and status["stage"] in later)


def journal(run, kind):
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == kind]


def outcome_of(run):
    """What must not change: codes, scales, and every figure that the run came to."""
    folder = run / "artifacts"
    metadata = json.loads((folder / "compression_metadata.json").read_text(encoding="utf-8"))
    results = next(line["value"] for line in reversed(journal(run, "provenance")) if line["key"] == "results")
    figures = {**results, "speed": None,  # of a clock
               "fine_tuning": {**(results.get("fine_tuning") or {}), "seconds": None}}
    return {"storages": storages(folder / PACKED), "figures": figures, "passed": metadata["success"]}


def speeds_of(run):
    """How many measurements of the packed model's speed it made."""
    return len({line["value"] for line in journal(run, "metric") if line["name"] == "speed/packed/decode"})


class Reference:
    """The job left alone on so many ranks: its outcome, and how long each stage took."""

    def __init__(self, shop, ranks, **settings):
        run = shop.folder / ("-".join(["alone", str(ranks), *sorted(settings)]))
        shop.run(*arguments_of(shop, run, **settings), ranks=ranks).must_end_with(0)
        self.outcome = outcome_of(run)
        self.speeds = speeds_of(run)
        self.seconds = {line["name"]: line["end_s"] - line["begin_s"] for line in journal(run, "stage")}


def must_come_to(run, expected, what):
    actual = outcome_of(run)
    for part in expected:
        check_equal(actual[part], expected[part], f"{part} of {what}")
    check(not (run / "work").exists(), f"{what} left its finished units behind")


class Campaign:
    """Runs of one job on so many ranks, each killed once in every one of `stages` on its way and then left to finish,
    until there were enough kills: a run that is faster than the dice has fewer."""

    def __init__(self, shop, ranks, stages, seed, **settings):
        self.shop, self.ranks, self.stages, self.settings = shop, ranks, stages, settings
        self.chance = random.Random(seed + ranks)
        self.reference = Reference(shop, ranks, **settings)
        self.kills = dict.fromkeys(stages, 0)
        self.runs = 0

    def make(self, kills):
        while sum(self.kills.values()) < kills:
            self.interrupted_run()

    def interrupted_run(self):
        self.runs += 1
        run = self.shop.folder / f"killed-{self.ranks}-{self.runs}"
        command = arguments_of(self.shop, run, **self.settings)
        for attempt, stage in enumerate(self.stages, 1):
            if not self.killed(run, command, attempt, stage):
                break  # it was faster than the dice, and is complete
        self.shop.run(*command, ranks=self.ranks).must_end_with(0)
        must_come_to(run, self.reference.outcome, f"run {self.runs} on {self.ranks} ranks")
        check_equal(speeds_of(run), self.reference.speeds, f"run {self.runs} on {self.ranks} ranks: measurements of the speed")

    def killed(self, run, command, attempt, stage):
        job = self.shop.start(command, self.ranks)
        if wait_for_stage(job, run, attempt, stage):
            time.sleep(self.chance.uniform(0, self.reference.seconds.get(stage, 0.02)))
            victim = self.chance.randrange(self.ranks)
            if signal_rank(job, self.shop.program, victim):
                self.kills[stage] += 1
        return wait_until_gone(job) != 0
