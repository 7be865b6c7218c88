"""A rank of a real job that is stopped for good: the job ends in time with one report, and the same command finishes it."""

import fcntl
import os
import pathlib
import signal
import tempfile
import time

from driving import check, check_equal, main, sets, status_of

TIMEOUT_S = 6
END_S = TIMEOUT_S + 40  # on a busy machine
HEARD_S = 1.2  # ranks tell the one that keeps watch once a second where they are
TRAINING = {"training__tokens": 240 * 1024, "checkpoint__every_steps": 20, "training__evaluate_every": 80}
CALIBRATION = {"calibration__samples": 24000, "training__enabled": "false"}


def pid_of(job, rank):
    """The process of a rank; None before mpirun has started it."""
    try:
        children = pathlib.Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
        wanted = f"OMPI_COMM_WORLD_RANK={rank}".encode()
        return next((int(pid) for pid in children
                     if wanted in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")), None)
    except OSError:
        return None


def stage(run):
    return status_of(run)["stage"] if (run / "status.json").exists() else ""


def wait_for(condition, job, what):
    deadline = time.monotonic() + 90
    while not condition():
        check(job.poll() is None, f"the job ended ({job.returncode}) before {what}")
        check(time.monotonic() < deadline, f"90 s without {what}")
        time.sleep(0.01)


def lock_is_free(run):
    with open(run / ".lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # throws when another process has it
    return True


def stop_a_rank(shop, name, rank, ranks, settings, moment):
    """Starts the job and stops the rank at that moment. Returns how it ended: exit code, messages, seconds since."""
    errors_file = shop.folder / f"{name}.err"
    with open(errors_file, "wb") as errors:
        arguments = [*shop.quick(name, **settings), *sets(watchdog__timeout_s=TIMEOUT_S)]
        job = shop.start(arguments, ranks, errors)
        try:
            wait_for(lambda: moment(shop.folder / name), job, "the moment")
            time.sleep(HEARD_S)
            pid = pid_of(job, rank)
            check(pid is not None, f"rank {rank} was not there")
            os.kill(pid, signal.SIGSTOP)
            begin = time.monotonic()
            code = job.wait(timeout=END_S)
            seconds = time.monotonic() - begin
        finally:
            if job.poll() is None:
                job.kill()
                job.wait()
    deadline = time.monotonic() + 20  # mpirun may be gone before the memory of its ranks is given back
    while pathlib.Path(f"/proc/{pid}").exists():
        check(time.monotonic() < deadline, f"the stopped process of rank {rank} is still there")
        time.sleep(0.05)
    return code, errors_file.read_text(encoding="utf-8", errors="replace"), seconds


def a_stopped_rank(shop, name, rank, ranks, settings, moment, where):
    run = shop.folder / name
    code, errors, seconds = stop_a_rank(shop, name, rank, ranks, settings, moment)
    check_equal(code, 70, f"exit code\n{errors[-3000:]}")
    check(seconds >= TIMEOUT_S - 1, f"ended after {seconds:.1f} s already")
    # The stopped rank is woken up to be ended, and may find time to say that it was asked to.
    reports = [line for line in errors.splitlines() if "error: " in line and "stopped on a signal" not in line]
    check_equal(len(reports), 1, f"error messages\n{errors[-3000:]}")
    check(f"rank {rank} on " in reports[0] and where in reports[0], reports[0])
    status = status_of(run)
    check_equal((status["state"], status["exit_code"]), ("failed", 70), "status.json")
    check(status["sentence"] in reports[0], f"status.json says: {status['sentence']}")
    check(lock_is_free(run), "the lock is held")
    again = shop.run(*shop.quick(name, **settings), ranks=ranks).must_end_with(0)
    check("the last attempt was killed or hung" in again.err, f"no word about the last attempt:\n{again.err[:3000]}")
    check_equal(status_of(run)["state"], "passed", "status.json afterwards")
    check(not (run / "heartbeat.json").exists(), "heartbeat.json is left")
    return again


def in_training(run):
    return any((run / "checkpoints").glob("step-*"))


def in_calibration(run):
    if stage(run) != "calibrate":
        return False
    time.sleep(1)  # so that the other ranks have heard of it
    return stage(run) == "calibrate"


def a_rank_stopped_in_training_ends_the_job(shop):
    again = a_stopped_rank(shop, "training-1-of-2", 1, 2, TRAINING, in_training, "fine-tune")
    check("goes on from step" in again.err, f"not from a checkpoint:\n{again.err[-3000:]}")


def the_first_rank_stopped_in_training_ends_the_job(shop):
    again = a_stopped_rank(shop, "training-0-of-4", 0, 4, TRAINING, in_training, "fine-tune")
    check("goes on from step" in again.err, f"not from a checkpoint:\n{again.err[-3000:]}")


def a_rank_stopped_in_calibration_ends_the_job(shop):
    a_stopped_rank(shop, "calibration-3-of-4", 3, 4, CALIBRATION, in_calibration, "calibrate")


def the_first_rank_stopped_in_calibration_ends_the_job(shop):
    a_stopped_rank(shop, "calibration-0-of-2", 0, 2, CALIBRATION, in_calibration, "calibrate")


def a_killed_job_says_at_the_next_start_where_its_ranks_were(shop):
    run = shop.folder / "killed"
    job = shop.start(shop.quick("killed", **TRAINING), ranks=2)
    wait_for(lambda: in_training(run) and (run / "heartbeat.json").exists(), job, "training")
    os.kill(pid_of(job, 1), signal.SIGKILL)
    job.wait(timeout=END_S)
    check_equal(status_of(run)["state"], "running", "status.json of a killed job")
    again = shop.run(*shop.quick("killed", **TRAINING)).must_end_with(0)
    check("the last attempt was killed or hung" in again.err, f"no word about the last attempt:\n{again.err[:3000]}")


if __name__ == "__main__":
    if os.access("/dev/shm", os.W_OK):  # a disk that others use may take longer for an fsync than the timeout here
        tempfile.tempdir = "/dev/shm"
    main([a_rank_stopped_in_training_ends_the_job, the_first_rank_stopped_in_training_ends_the_job,
          a_rank_stopped_in_calibration_ends_the_job, the_first_rank_stopped_in_calibration_ends_the_job,
          a_killed_job_says_at_the_next_start_where_its_ranks_were])
