"""A batch job that is interrupted: when it is queued again, when not, and that nothing shows in the result."""

import os
import signal

from cluster import wait_until
from driving import check, check_equal, status_of
from jobs import PATIENCE_S, STEPS, main

LONG = {"training__tokens": 100000 * 1024}  # no job that is meant to be stopped ends before that


def steps_are_made_once(job):
    """Steps that were made after a checkpoint and lost are made again; none is left out."""
    attempts = job.attempts_of_steps()
    check(len(attempts) > 1, f"one attempt only:\n{job.words()[-3000:]}")
    check_equal(sorted({step for steps in attempts.values() for step in steps}), list(range(1, STEPS + 1)), "steps")
    last = max(attempts)
    check(attempts[last][0] > 1, "the last attempt began anew")


def a_job_out_of_time_saves_and_goes_on_by_itself(shop):
    # Slurm looks at the limit every 30 s, so the signal comes between 5 and 35 s after the start.
    job = shop.compress("time-limit", "--time=1", "--signal=B:USR1@25")
    job.hold_in_training()
    job.wait_until_it_says("Slurm will end this attempt soon")
    job.let_go()
    job.must_end_as("COMPLETED", 0)
    job.must_say("attempt 1,", "saved before the time limit: queued again (restart 1 of at most 20)", "attempt 2,",
                 "goes on from step", "finished, every gate passed")
    steps_are_made_once(job)
    job.must_equal_the_uninterrupted_run()


def a_job_sees_the_end_of_its_time_without_a_signal(shop):
    job = shop.compress("own-clock", "--time=1", "--signal=B:CONT@1", **LONG)  # CONT tells nobody anything
    job.wait_until_it_says("saved before the time limit: queued again (restart 1")
    job.must_not_say("telling the ranks to save")
    check_equal(status_of(job.run)["stop_reason"], "time", "reason in status.json")
    shop.cluster.run("scancel", job.number)


def a_preempted_job_saves_makes_room_and_goes_on(shop):
    job = shop.compress("preempted", "--nodelist=n2", "--exclusive")
    job.hold_in_training()
    urgent = shop.submit_words("sleep 2", "--partition=day", "--nodelist=n2", "--exclusive")
    wait_until(lambda: job.field("PreemptTime") != "None", PATIENCE_S, "preemption")
    job.let_go()
    shop.cluster.wait_for_end(urgent, PATIENCE_S)
    job.must_end_as("COMPLETED", 0)
    job.must_say("saved, because another job needs the nodes: queued again (restart 1", "attempt 2,", "goes on from step")
    steps_are_made_once(job)
    job.must_equal_the_uninterrupted_run()


def a_job_preempted_without_grace_is_queued_again_by_slurm(shop):
    job = shop.compress("no-grace", "--partition=spare", "--nodelist=n2", "--exclusive")
    job.hold_in_training()
    urgent = shop.submit_words("sleep 2", "--partition=day", "--nodelist=n2", "--exclusive")
    shop.cluster.wait_for_end(urgent, PATIENCE_S)
    job.must_end_as("COMPLETED", 0)
    check_equal(job.field("Restarts"), "1", "restarts")
    steps_are_made_once(job)
    job.must_equal_the_uninterrupted_run()


def restarts_by_slurm_are_limited_too(shop):
    job = shop.compress("requeued", environment={"TERCET_MAX_RESTARTS": "0"}, **LONG)
    job.wait_for_checkpoint()
    shop.cluster.run("scontrol", "requeue", job.number)
    job.must_end_as("FAILED", 75).must_say("attempt 1,", "restart 1, and at most 0 are allowed")


def a_request_to_the_ranks_stops_the_job_and_it_stays_stopped(shop):
    job = shop.compress("stopped")
    job.hold_in_training()
    shop.cluster.run("scancel", "--signal=USR1", job.number)  # to the steps, not to the batch script
    job.let_go()
    job.must_end_as("FAILED", 75).must_say("stopped on request; submit the same job again to go on")
    job.must_not_say("queued again (")
    check_equal(status_of(job.run)["state"], "stopped", "status.json")
    again = shop.compress("stopped").must_end_as("COMPLETED", 0)
    again.must_say("goes on from step")
    steps_are_made_once(again)
    again.must_equal_the_uninterrupted_run()


def tercet_stop_stops_the_job_and_it_stays_stopped(shop):
    job = shop.compress("asked", **LONG)
    job.wait_for_checkpoint()
    shop.run("stop", job.run, ranks=0).must_end_with(0)
    job.must_end_as("FAILED", 75).must_say("stopped on request; submit the same job again to go on")
    job.must_not_say("queued again (")
    check_equal(status_of(job.run)["stop_reason"], "request", "reason in status.json")


def a_cancelled_job_saves_and_stays_cancelled(shop):
    job = shop.compress("cancelled", **LONG)
    job.wait_for_checkpoint()
    shop.cluster.run("scancel", job.number)
    state, _ = job.end()
    check_equal(state, "CANCELLED", job.words()[-3000:])
    check_equal(status_of(job.run)["state"], "stopped", "status.json")
    job.must_not_say("queued again (")
    check_equal(job.field("Restarts"), "0", "restarts")


def a_crash_after_a_checkpoint_queues_the_job_again(shop):
    job = shop.compress("crashed")
    job.hold_in_training()
    job.signal_ranks(signal.SIGKILL)
    job.must_end_as("COMPLETED", 0)
    job.must_say("ended abnormally (status 137) after some progress: queued again (restart 1", "goes on from step")
    steps_are_made_once(job)
    job.must_equal_the_uninterrupted_run()


def a_job_that_hangs_after_a_checkpoint_is_queued_again(shop):
    job = shop.compress("hangs", watchdog__timeout_s=5)
    job.wait_for_checkpoint()
    os.kill(job.ranks()[1], signal.SIGSTOP)
    job.must_end_as("COMPLETED", 0)
    job.must_say("the job hangs: rank", "ended abnormally (status 70) after some progress: queued again (restart 1",
                 "goes on from step")
    job.must_equal_the_uninterrupted_run()


def a_job_that_crashes_without_coming_further_is_not_tried_for_ever(shop):
    job = shop.compress("no-progress", checkpoint__every_steps=100000, **LONG)
    for attempt in (1, 2):  # the first has measured and calibrated something; the second finds all of that
        wait_until(lambda: attempt in job.attempts_of_steps(), PATIENCE_S, lambda: f"a step:\n{job.words()[-3000:]}")
        job.signal_ranks(signal.SIGKILL)
    job.must_end_as("FAILED", 137)
    job.must_say("after some progress: queued again (restart 1", "ended abnormally (status 137) no further than it began")


def the_number_of_restarts_is_limited(shop):
    job = shop.compress("restarts", environment={"TERCET_MAX_RESTARTS": "1"}, **LONG)
    job.hold_in_training()
    job.signal_ranks(signal.SIGKILL)
    job.wait_until_it_says("queued again (restart 1 of at most 1)")
    job.wait_until_it_says("goes on from step")
    newest = job.checkpoints()[-1]
    wait_until(lambda: job.checkpoints()[-1] > newest, PATIENCE_S, "a newer checkpoint")
    job.signal_ranks(signal.SIGKILL)
    job.must_end_as("FAILED", 137).must_say("but this was restart 1 of at most 1: not queued again")


def a_time_limit_that_nothing_fits_into_is_not_tried_for_ever(shop):
    job = shop.compress("no-time")
    wait_until(job.ranks, PATIENCE_S, "ranks")
    shop.cluster.run("scancel", "--signal=USR1", "--batch", job.number)  # what --signal=B:USR1 does, only at once
    job.must_end_as("FAILED", 75).must_say("--time is too short for this job")
    job.must_not_say("queued again (")


if __name__ == "__main__":
    main([a_job_out_of_time_saves_and_goes_on_by_itself, a_job_sees_the_end_of_its_time_without_a_signal,
          a_preempted_job_saves_makes_room_and_goes_on, a_job_preempted_without_grace_is_queued_again_by_slurm,
          restarts_by_slurm_are_limited_too, a_request_to_the_ranks_stops_the_job_and_it_stays_stopped,
          tercet_stop_stops_the_job_and_it_stays_stopped, a_cancelled_job_saves_and_stays_cancelled,
          a_crash_after_a_checkpoint_queues_the_job_again, a_job_that_hangs_after_a_checkpoint_is_queued_again,
          a_job_that_crashes_without_coming_further_is_not_tried_for_ever,
          the_number_of_restarts_is_limited, a_time_limit_that_nothing_fits_into_is_not_tried_for_ever])
