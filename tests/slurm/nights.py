"""A night of a family: an array with an element that fails and one that is interrupted, and a summary after them."""

import subprocess

from driving import PROJECT, check, check_equal
from jobs import SETTINGS, Job, main

NIGHTLY = PROJECT / "slurm" / "nightly.sh"
SBATCH = ("--cpus-per-task=1", "--signal=B:USR1@20")

FAMILY = """
name: tiny
output: {output}
defaults:
  data: {{sources: ["/usr/lib/python3*/email/*.py"], held_out_fraction: 0.2, sequence_length: 64, cache: {cache}}}
  calibration: {{samples: 32, shards: 8, batch: 4}}
  quantization: {{group_size: 32}}
  training: {{tokens: {tokens}, global_batch_tokens: 1024, micro_batch: 8, evaluate_every: 20}}
  evaluation: {{sequence_length: 64, windows: 20}}
  gates:
    compression: {{severity: warn}}
    sparsity: {{severity: warn}}
    accuracy: {{severity: warn}}
    perplexity: {{severity: warn}}
    speedup: {{seconds: 0.2}}
  checkpoint: {{every_steps: {every}}}
models:
  - {{name: first, path: {model}}}
  - {{name: broken, path: {output}/no-such-model}}
  - {{name: last, path: {model}}}
targets:
  - {{name: g32}}
packing: {{ranks: 2, cpus: 1}}
"""
ELEMENTS = ("first-g32", "broken-g32", "last-g32")


class Night:
    """A family in a folder of its own, submitted by nightly.sh."""

    def __init__(self, shop, name):
        self.shop, self.output = shop, shop.folder / name
        self.file = shop.folder / f"{name}.yaml"
        self.file.write_text(FAMILY.format(output=self.output, cache=shop.tokens, model=shop.model,
                                           every=SETTINGS["checkpoint__every_steps"], tokens=SETTINGS["training__tokens"]),
                             encoding="utf-8")
        self.folder = self.output / "nights" / "n1"

    def nightly(self, *options):
        environment = {**self.shop.cluster.environment, **self.shop.job_environment}
        return subprocess.run([NIGHTLY, self.file, "--night", "n1", *options, "--", *SBATCH], env=environment, timeout=60,
                              cwd=self.shop.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)

    def submit(self):
        """The elements and the summary."""
        said = self.nightly()
        check_equal(said.returncode, 0, f"{said.stderr}{said.stdout}nightly.sh")
        array, last = (word.split("job ")[1].split()[0] for word in said.stdout.splitlines() if "job " in word)
        elements = [Job(self.shop, f"{array}_{index}", self.folder / f"slurm-{index}.log", self.output / "runs" / "n1" / name)
                    for index, name in enumerate(ELEMENTS)]
        return elements, Job(self.shop, last, self.folder / "slurm-summary.log", self.output)

    def verdicts(self):
        result = self.shop.run("family", self.file, "--night", "n1", "--summary", "--json", ranks=0)
        return {element["name"]: element["state"] for element in result.json["elements"]}


def jobs_in_the_queue(shop):
    return shop.cluster.run("squeue", "--noheader").split()


def a_dry_run_submits_nothing(shop):
    said = Night(shop, "dry").nightly("--dry-run")
    check_equal(said.returncode, 0, said.stderr)
    check("--array=0-2%4" in said.stdout and "afterany" in said.stdout, said.stdout)
    check(not (shop.folder / "dry").exists(), "a dry run made folders")


def a_family_file_with_a_mistake_submits_nothing(shop):
    night = Night(shop, "mistaken")
    night.file.write_text("models: 3\n")
    said = night.nightly()
    check_equal(said.returncode, 64, said.stderr)
    check_equal(jobs_in_the_queue(shop), [], "jobs")


def a_night_with_a_broken_model_and_an_interrupted_one_is_summed_up(shop):
    night = Night(shop, "night")
    (first, broken, last), summary = night.submit()
    again = night.nightly()
    check_equal(again.returncode, 69, "a second night while the first is under way")
    check("--anyway" in again.stderr, again.stderr)
    first.hold_in_training()
    shop.cluster.run("scancel", "--signal=USR1", "--batch", first.number)  # what --signal=B:USR1 does, only at once
    first.wait_until_it_says("Slurm will end this attempt soon")
    broken.must_end_as("FAILED", 65).must_say("Not queued again")
    check(summary.field("JobState") == "PENDING", "the summary did not wait for all elements")
    first.let_go()
    first.must_end_as("COMPLETED", 0).must_say("saved before the time limit: queued again (restart 1", "attempt 2,")
    last.must_end_as("COMPLETED", 0)
    check_equal([job.field("Restarts") for job in (first, broken, last)], ["1", "0", "0"], "restarts")
    summary.must_end_as("FAILED", 70).must_say("no-such-model")
    check_equal(night.verdicts(), dict(zip(ELEMENTS, ("passed", "failed", "passed"))), "verdicts")
    check("no-such-model" in (night.folder / "summary.md").read_text(encoding="utf-8"), "summary.md gives no reason")
    for element in (first, last):
        element.must_equal_the_uninterrupted_run()
        check((night.output / "models" / element.run.name / "latest").exists(), "nothing is published")
    check(not (night.output / "models" / broken.run.name / "latest").exists(), "the broken model is published")


if __name__ == "__main__":
    main([a_dry_run_submits_nothing, a_family_file_with_a_mistake_submits_nothing,
          a_night_with_a_broken_model_and_an_interrupted_one_is_summed_up], at_once=1)
