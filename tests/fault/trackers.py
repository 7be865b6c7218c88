"""Trackers of real jobs: left alone, killed and started again, and where they cannot be written."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import driving
import interrupting
from driving import PROJECT, check, check_equal

sys.path.insert(0, str(PROJECT / "tests" / "parity"))
import read_trackers  # noqa: E402  (its readers run in the tests' Python)


def settings(shop, run, **more):
    return interrupting.arguments_of(shop, run, trackers__tensorboard="true", trackers__wandb__project="tests",
                                     trackers__prometheus=f"{run}.prom", **more)


def read(kind, place):
    command = [driving.test_python(), PROJECT / "tests" / "parity" / "read_trackers.py", kind, place]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=driving.keeping_bytecode())
    return json.loads(done.stdout)


def must_agree(found, expected, tolerance, what, later_s=0.0):
    """Values may be off by the tolerance, relative to them, and times be so much later."""
    for name, points in expected.items():
        check_equal([step for step, _, _ in found[name]], [step for step, _, _ in points], f"steps of {name} in {what}")
        for (step, value, time), (_, wanted, wanted_time) in zip(found[name], points):
            check(read_trackers.same(value, wanted) or abs(value - wanted) <= tolerance * abs(wanted),
                  f"{what}: {name} at step {step} is {value} instead of {wanted}")
            check(0 <= time - wanted_time <= later_s, f"{what}: {name} at step {step} is of {time}, not {wanted_time}")


def check_trackers(run, exit_code):
    """Each holds every value of the journal once."""
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    expected = read_trackers.metrics_of(lines)
    check(len(expected["training/loss"]) > 10, f"too little to compare: {len(expected['training/loss'])} steps")

    board = read("tensorboard", run / "tensorboard")
    must_agree(board["scalars"], expected, 1e-7, "TensorBoard")  # which keeps 32 bits
    sizes = [file.stat().st_size for file in (run / "tensorboard").iterdir()]
    check_equal(sum(size > 0 for size in sizes), 1, "event files that are not empty")
    check("## Gates" in board["texts"]["report"] and "seed: " in board["texts"]["config"], "texts are missing")

    (folder,) = (run / "wandb").iterdir()
    wandb = read("wandb", folder)
    # A row has the time of its newest value.
    must_agree(read_trackers.series_of_rows(wandb["rows"]), expected, 0, "Weights & Biases", later_s=1.0)
    check_equal(wandb["exit"], exit_code, "exit code in the W&B run")

    samples = read("prometheus", f"{run}.prom")
    newest = {labels["name"]: value for name, labels, value in samples if name == "tercet_metric"}
    must_agree({name: [[points[-1][0], newest[name], points[-1][2]]] for name, points in expected.items()},
               {name: points[-1:] for name, points in expected.items()}, 0, "Prometheus")
    check_equal([value for name, _, value in samples if name == "tercet_run_exit_code"], [exit_code], "exit code there")

    metadata = next(run.glob("*/compression_metadata.json"))
    for name, value in json.loads(metadata.read_text())["metrics"].items():
        for series in board["scalars"], wandb["summary"], newest:
            check((name in series) == (value is not None), f"{name} is there, or missing")
        if value is not None:
            check_equal(wandb["summary"][name], value, name)


def trackers_hold_every_value_of_a_job(shop):
    run = shop.folder / "left-alone"
    shop.run(*settings(shop, run)).must_end_with(0)
    check_trackers(run, 0)
    before = read("wandb", next((run / "wandb").iterdir()))
    shop.run(*settings(shop, run)).must_end_with(0)  # complete: shown again, and nothing is written anew
    check_equal(read("wandb", next((run / "wandb").iterdir())), before, "the W&B run of a complete job")


def trackers_keep_nothing_of_steps_that_were_repeated(shop):
    run = shop.folder / "killed"
    for kill_at in 14, 26:  # checkpoints are written every fourth step
        job = shop.start(settings(shop, run), ranks=2)
        deadline = time.monotonic() + interrupting.END_S
        while newest_step(run) < kill_at and job.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        check(interrupting.signal_rank(job, shop.program, 0, signal.SIGKILL), "the job ended before it could be killed")
        interrupting.wait_until_gone(job)
    shop.run(*settings(shop, run)).must_end_with(0)
    lines = interrupting.journal(run, "metric")
    losses = [line["step"] for line in lines if line["name"] == "training/loss"]
    check(len(losses) > len(set(losses)), "no step was repeated: there is nothing to see here")
    check_trackers(run, 0)


def newest_step(run):
    try:
        return max((line["step"] for line in interrupting.journal(run, "metric") if line["name"] == "training/loss"),
                   default=0)
    except (OSError, ValueError):  # not yet there, or a line half written
        return 0


def trackers_that_cannot_be_written_are_said_once_and_end_no_job(shop):
    run = shop.folder / "unwritable"
    run.mkdir()
    (run / "tensorboard").write_text("a file where a folder should be")
    (run / "wandb").write_text("likewise")
    result = shop.run(*settings(shop, run)).must_end_with(0)
    for name in "TensorBoard", "Weights & Biases":
        check_equal(result.err.count(f"no figures go to {name}"), 1, f"warnings about {name}")
    check(pathlib.Path(f"{run}.prom").exists(), "the tracker that can be written was given up, too")


if __name__ == "__main__":
    driving.main([trackers_hold_every_value_of_a_job, trackers_keep_nothing_of_steps_that_were_repeated,
                  trackers_that_cannot_be_written_are_said_once_and_end_no_job])
