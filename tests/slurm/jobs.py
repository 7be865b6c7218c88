"""Submits the project's batch scripts to a cluster of our own, and watches what becomes of them.

A script of these tests is started as: SCRIPT.py TERCET MPIRUN [MPIRUN OPTIONS...]. Its tests are functions whose names
are sentences; several run at the same time, since a job spends most of its time waiting for Slurm.
"""

import concurrent.futures
import functools
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile

from cluster import Cluster, wait_until
from driving import PACKED, PROJECT, QUICK, Skipped, Workshop, check, outcome, sets, storages

PATIENCE_S = 150  # for anything a job does; seconds on an idle machine
STEPS, EVERY = 200, 10  # seconds, on a fast machine too: time to be stopped in
SETTINGS = {"training__tokens": STEPS * 1024, "checkpoint__every_steps": EVERY}


class Job:
    """A submitted batch job, or an element of an array: `number` is what Slurm's commands call it."""

    def __init__(self, shop, number, log, run):
        self.shop, self.number, self.log, self.run = shop, number, log, run
        self.slurm_id = None  # once its ranks were seen: an element of an array gets its own with its start

    def field(self, name):
        return self.shop.cluster.job(self.number)[name]

    def end(self):
        """What Slurm says after the end, with the job's exit status as a number."""
        job = self.shop.cluster.wait_for_end(self.number, PATIENCE_S)
        return job["JobState"], int(job["ExitCode"].split(":")[0])

    def must_end_as(self, state, code):
        ended = self.end()
        check(ended == (state, code), f"{ended} instead of {(state, code)}\n{self.words()[-3000:]}")
        return self

    def words(self):
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def must_say(self, *texts):
        words = self.words()
        for text in texts:
            check(text in words, f"does not say '{text}':\n{words[-3000:]}")

    def must_not_say(self, text):
        words = self.words()
        check(text not in words, f"says '{text}':\n{words[-3000:]}")

    def wait_until_it_says(self, text):
        wait_until(lambda: text in self.words(), PATIENCE_S, lambda: f"'{text}':\n{self.words()[-3000:]}")

    def wait_for_checkpoint(self):
        wait_until(self.checkpoints, PATIENCE_S, lambda: f"a checkpoint:\n{self.words()[-3000:]}")

    def checkpoints(self):
        return sorted(path.parent.name for path in self.run.glob("checkpoints/step-*/manifest.json"))

    def ranks(self):
        number = self.slurm_id or self.field("JobId")
        found = self.shop.cluster.processes(number, self.shop.program)
        if found:
            self.slurm_id = number
        return found

    def signal_ranks(self, number):
        ranks = self.ranks()
        check(ranks, f"no ranks:\n{self.words()[-3000:]}")
        self.send(ranks, number)

    @staticmethod
    def send(ranks, number):
        for pid in ranks:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def hold_in_training(self):
        """Stops the clock for the ranks after a checkpoint: what comes now comes in the middle of the training."""
        wait_until(self.ranks, PATIENCE_S, lambda: f"ranks:\n{self.words()[-3000:]}")
        self.wait_for_checkpoint()
        self.signal_ranks(signal.SIGSTOP)
        check(not (self.run / "artifacts").exists(), "the job was over before it could be held")

    def let_go(self):
        """Slurm wakes those that it asks to end: they may be gone already."""
        self.send(self.ranks(), signal.SIGCONT)

    def journal(self, name):
        if not (self.run / "journal.jsonl").exists():
            return []
        lines = map(json.loads, (self.run / "journal.jsonl").read_text(encoding="utf-8").splitlines())
        return [line for line in lines if line.get("name") == name]

    def attempts_of_steps(self):
        """{attempt: steps that it made}"""
        steps = {}
        for line in self.journal("training/loss"):
            steps.setdefault(line["attempt"], []).append(line["step"])
        return steps

    def must_equal_the_uninterrupted_run(self):
        check(storages(self.run / "artifacts" / PACKED) == self.shop.uninterrupted, "other codes or scales")


class SlurmShop(Workshop):
    """A workshop with a cluster."""

    def __init__(self, program, mpirun, folder, cluster):
        super().__init__(program, mpirun, folder)
        self.cluster = cluster
        preset = pathlib.Path(program).resolve().parent.name
        if not (PROJECT / "build" / preset / "tercet").exists():
            raise Skipped(f"the batch scripts start what is in build/, and not '{program}'")
        # Two pretended nodes have one folder for shared memory, in which their ranks would take each other's places.
        self.job_environment = {"TERCET_PRESET": preset, "OMPI_MCA_btl": "self,tcp", "OMPI_MCA_mpi_yield_when_idle": "1",
                                "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TMPDIR": "/tmp"}

    def submit(self, script, *arguments, options=(), **environment):
        """The number of the job."""
        command = ["sbatch", "--parsable", f"--chdir={PROJECT}", *options, PROJECT / "slurm" / script, *arguments]
        return self.cluster.run(*command, **{**self.job_environment, "TERCET_HOME": str(PROJECT), **environment}).strip()

    def submit_words(self, command, *options):
        return self.cluster.run("sbatch", "--parsable", "--output=/dev/null", *options, "--wrap", command).strip()

    def compress(self, name, *options, config=QUICK, environment={}, **settings):
        """A job of two ranks on one node that compresses the tiny model."""
        run, log = self.folder / name, self.folder / f"{name}.log"
        settings = {"model__path": self.model, "data__cache": self.tokens, **SETTINGS, **settings}
        options = ["--cpus-per-task=1", f"--output={log}", *options]
        number = self.submit("compress.sbatch", config, run, "--", *sets(**settings), options=options, **environment)
        return Job(self, number, log, run)

    @functools.cached_property
    def uninterrupted(self):
        """Codes and scales of the job that nothing happened to."""
        self.run(*self.quick("uninterrupted", **SETTINGS)).must_end_with(0)
        return storages(self.folder / "uninterrupted" / "artifacts" / PACKED)


def run_tests(tests, at_once):
    program, *mpirun = sys.argv[1:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tercet-slurm-"))
    try:
        with Cluster(folder / "cluster") as cluster:
            shop = SlurmShop(program, mpirun, folder, cluster)
            shop.uninterrupted  # made once, before tests that run at the same time ask for it
            with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
                return list(pool.map(lambda test: outcome(test, shop), tests))
    except Skipped as reason:
        print(f"skipped: {reason}")
        return []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(tests, at_once=3):
    chosen = [test for test in tests if os.environ.get("TERCET_ONLY", "") in test.__name__]
    # ctest's time-out ends the script by TERM; the cluster goes with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    words = run_tests(chosen, at_once)
    print(f"{words.count('PASS')} passed, {words.count('FAIL')} failed, {words.count('skipped')} skipped")
    sys.exit(1 if "FAIL" in words else 77 if "PASS" not in words else 0)
