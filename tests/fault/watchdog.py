"""A rank that hangs, in whatever way: all ranks end within the timeout, with one report that names it.

The program here is hanging_job, which misbehaves as it is told.
"""

import os
import pathlib
import signal
import time

from driving import check, check_equal, main

TIMEOUT_S = 3
END_S = TIMEOUT_S + 26  # the timeout, the start and end of mpirun, and a busy machine


def processes_of(program):
    """Process ids; mpirun has the program among its arguments too, but not as the first."""
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and (folder / "cmdline").read_bytes().split(b"\0")[0] == os.fsencode(program):
                found.append(int(folder.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def table_rows(text):
    """The first cells below the heading of the table."""
    lines = text.splitlines()
    heading = next((i for i, line in enumerate(lines) if line.split()[:2] == ["rank", "host"]), len(lines))
    rows = [line.split() for line in lines[heading + 2:]]
    return [row[0] for row in rows if row and row[0].isdigit()]


def must_report(result, rank, ranks):
    """Exit code 70, one report, a row for each rank, nobody left."""
    result.must_end_with(70)
    check(result.seconds < END_S, f"took {result.seconds:.1f} s")
    reports = [line for line in result.errors() if "the job hangs" in line]
    check_equal(len(result.errors()), 1, f"error messages\n{result.err}")
    check(f"rank {rank} on " in reports[0], reports[0])
    check_equal(table_rows(result.err), [str(number) for number in range(ranks or 1)], f"rows of the table\n{result.err}")
    check_equal(result.out.count("the job hangs"), 1, "calls before the end")


def a_rank_that_hangs(shop, how, rank, ranks, words):
    result = shop.run(how, rank, TIMEOUT_S, ranks=ranks)
    must_report(result, rank, ranks)
    check(words in result.errors()[0], f"not '{words}': {result.errors()[0]}")
    others = [number for number in range(ranks) if number != rank]
    check(all(f"rank {number} on" not in result.errors()[0] for number in others), result.errors()[0])
    deadline = time.monotonic() + 20  # mpirun may be gone a moment before its ranks
    while processes_of(shop.program):
        check(time.monotonic() < deadline, "processes are left")
        time.sleep(0.05)


def a_rank_that_sleeps_for_ever_ends_the_job(shop):
    a_rank_that_hangs(shop, "sleep", 1, 2, "in the job > sleep (sleeps after barrier")


def a_rank_that_spins_for_ever_ends_the_job(shop):
    a_rank_that_hangs(shop, "spin", 0, 3, "in the job > spin (computes after barrier")


def a_rank_that_is_stopped_ends_the_job(shop):
    a_rank_that_hangs(shop, "stop", 2, 4, "was not heard of")


def when_the_first_rank_is_stopped_another_one_reports(shop):
    a_rank_that_hangs(shop, "stop", 0, 4, "was not heard of")


def a_rank_that_hangs_while_the_others_leave_ends_the_job(shop):
    a_rank_that_hangs(shop, "leave", 1, 3, "in the job > leave")


def a_process_without_mpirun_watches_itself(shop):
    a_rank_that_hangs(shop, "spin", 0, 0, "in the job > spin")


def ranks_that_wait_for_each_other_end_the_job(shop):
    result = shop.run("deadlock", 1, TIMEOUT_S, ranks=2)
    must_report(result, 0, 2)
    must_report(result, 1, 2)
    check("all ranks wait for each other" in result.err, result.err)


def a_rank_that_works_for_long_and_shows_it_is_waited_for(shop):
    result = shop.run("work", 0, TIMEOUT_S, ranks=3).must_end_with(0)
    check(result.seconds > 3 * TIMEOUT_S, "it did not work for long")
    check_equal(result.errors(), [], "error messages")


def a_rank_that_goes_on_before_the_timeout_is_forgiven(shop):
    job = shop.start(["stop", 0, 20], ranks=2)
    stopped = None
    deadline = time.monotonic() + 60
    while stopped is None:
        check(time.monotonic() < deadline, "no rank stopped")
        for pid in processes_of(shop.program):
            if pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                stopped = pid
        time.sleep(0.05)
    time.sleep(6)  # long enough for the other one to have taken over the watch
    os.kill(stopped, signal.SIGCONT)
    check_equal(job.wait(timeout=60), 0, "exit code")


def a_rank_that_fails_alone_ends_the_job_with_its_own_error(shop):
    result = shop.run("fail", 1, 600, ranks=2).must_end_with(65)
    check_equal(len(result.errors()), 1, f"error messages\n{result.err}")
    check("rank 1: this rank fails alone" in result.errors()[0], result.errors()[0])
    check("rank 1: this rank fails alone" in result.out, "not told before the end")


if __name__ == "__main__":
    main([a_rank_that_sleeps_for_ever_ends_the_job, a_rank_that_spins_for_ever_ends_the_job,
          a_rank_that_is_stopped_ends_the_job, when_the_first_rank_is_stopped_another_one_reports,
          a_rank_that_hangs_while_the_others_leave_ends_the_job, a_process_without_mpirun_watches_itself,
          ranks_that_wait_for_each_other_end_the_job, a_rank_that_works_for_long_and_shows_it_is_waited_for,
          a_rank_that_goes_on_before_the_timeout_is_forgiven,
          a_rank_that_fails_alone_ends_the_job_with_its_own_error])
