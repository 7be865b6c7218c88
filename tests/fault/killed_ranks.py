"""A rank that is killed without warning: the job ends by itself, and the same command finishes it."""

import json
import os
import pathlib
import random
import signal
import time

from driving import PACKED, check, check_equal, main, status_of, storages

STEPS, EVERY = 60, 10
SETTINGS = {"training__tokens": STEPS * 1024, "checkpoint__every_steps": EVERY}
END_S = 30  # a job with a dead rank must be gone by then
RANDOM_KILLS = 3

_seconds = {}


def ranks_of(job, program):
    """Process ids of the ranks that this mpirun started, oldest first."""
    children = pathlib.Path(f"/proc/{job.pid}/task/{job.pid}/children")
    try:
        pids = sorted(int(word) for word in children.read_text().split())
        return [pid for pid in pids if os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(program)]
    except OSError:
        return []


def wait_for(condition, job, what):
    deadline = time.monotonic() + 60
    while not condition():
        check(job.poll() is None, f"the job ended ({job.returncode}) before {what}")
        check(time.monotonic() < deadline, f"60 s without {what}")
        time.sleep(0.01)


def kill_rank(job, program, index):
    pids = ranks_of(job, program)
    if len(pids) > index:
        os.kill(pids[index], signal.SIGKILL)
    return len(pids) > index


def wait_until_gone(job):
    begin = time.monotonic()
    try:
        job.wait(timeout=END_S)
    finally:
        if job.poll() is None:
            job.kill()
            job.wait()
    check(job.returncode != 0, "a job with a killed rank ended with 0")
    return time.monotonic() - begin


def checkpoints(run):
    return sorted(path.name for path in (run / "checkpoints").glob("step-*"))


def journal(run, kind):
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == kind]


def uninterrupted(shop):
    """What the job comes to when nothing happens to it, and the seconds that it takes; run when first asked for."""
    run = shop.folder / "uninterrupted"
    if not run.exists():
        _seconds[run] = shop.run(*shop.quick(run.name, **SETTINGS)).must_end_with(0).seconds
    return storages(run / "artifacts" / PACKED), _seconds[run]


def a_job_killed_in_training_goes_on_from_its_checkpoint(shop, rank):
    (expected, _), name = uninterrupted(shop), f"killed-{rank}"
    run = shop.folder / name
    job = shop.start(shop.quick(name, **SETTINGS), ranks=2)
    wait_for(lambda: checkpoints(run), job, "a checkpoint")
    check(kill_rank(job, shop.program, rank), f"rank {rank} was not there")
    wait_until_gone(job)
    check(not (run / "artifacts").exists(), "a killed job has artifacts")
    check_equal(status_of(run)["state"], "running", "status.json of a killed job")
    saved = int(checkpoints(run)[-1].split("-")[1])
    again = shop.run(*shop.quick(name, **SETTINGS)).must_end_with(0)
    check(f"goes on from step {saved}" in again.err, f"not from step {saved}:\n{again.err[-3000:]}")
    steps = [line["step"] for line in journal(run, "metric") if line["name"] == "training/loss" and line["attempt"] == 2]
    check_equal(steps, list(range(saved + 1, STEPS + 1)), "steps of the second attempt")
    check_equal(storages(run / "artifacts" / PACKED), expected, "codes and scales after the interruption")
    check_equal((status_of(run)["state"], status_of(run)["attempt"]), ("passed", 2), "status.json")


def a_job_whose_first_rank_was_killed_gives_the_same_codes(shop):
    a_job_killed_in_training_goes_on_from_its_checkpoint(shop, 0)


def a_job_whose_last_rank_was_killed_gives_the_same_codes(shop):
    a_job_killed_in_training_goes_on_from_its_checkpoint(shop, 1)


def a_damaged_checkpoint_is_passed_over(shop):
    (expected, _), run = uninterrupted(shop), shop.folder / "damaged"
    job = shop.start(shop.quick(run.name, **SETTINGS), ranks=2)
    wait_for(lambda: len(checkpoints(run)) > 1, job, "two checkpoints")
    check(kill_rank(job, shop.program, 0), "rank 0 was not there")
    wait_until_gone(job)
    older, newest = (run / "checkpoints" / name for name in checkpoints(run)[-2:])
    state = newest / "state.h5"
    content = bytearray(state.read_bytes())
    middle = len(content) // 2
    content[middle:middle + 64] = bytes(byte ^ 0xFF for byte in content[middle:middle + 64])
    state.write_bytes(content)
    again = shop.run(*shop.quick(run.name, **SETTINGS)).must_end_with(0)
    check(f"goes on from step {int(older.name.split('-')[1])}" in again.err, again.err[-3000:])
    check(newest.name in again.err, f"does not name {newest.name}:\n{again.err[-3000:]}")
    check_equal(storages(run / "artifacts" / PACKED), expected, "codes and scales")


def a_job_killed_at_any_moment_can_be_started_again(shop):
    (expected, seconds), run = uninterrupted(shop), shop.folder / "killed-anywhere"
    chance, kills = random.Random(20261124), 0
    for _ in range(RANDOM_KILLS):
        job = shop.start(shop.quick(run.name, **SETTINGS), ranks=2)
        wait_for(lambda: len(ranks_of(job, shop.program)) == 2, job, "two ranks")
        time.sleep(chance.uniform(0.05, 0.7) * seconds)
        if job.poll() is not None or not kill_rank(job, shop.program, chance.randrange(2)):
            job.wait()
            break  # it was faster than the dice
        kills += 1
        wait_until_gone(job)
    check(kills > 0, "nothing was killed")
    shop.run(*shop.quick(run.name, **SETTINGS)).must_end_with(0)
    check_equal(storages(run / "artifacts" / PACKED), expected, "codes and scales after the interruptions")
    check_equal(shop.run("verify", run / "artifacts", ranks=0).code, 0, "verify")


if __name__ == "__main__":
    main([a_job_whose_first_rank_was_killed_gives_the_same_codes, a_job_whose_last_rank_was_killed_gives_the_same_codes,
          a_damaged_checkpoint_is_passed_over, a_job_killed_at_any_moment_can_be_started_again])
