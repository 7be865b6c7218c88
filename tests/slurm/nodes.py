"""A batch job on two nodes, and one that goes on with fewer ranks than it began with."""

from cluster import wait_until
from driving import check_equal
from jobs import PATIENCE_S, main

TWO_NODES = ("--nodes=2", "--ntasks-per-node=1")
MPIRUN = {"TERCET_LAUNCHER": "mpirun"}


def srun_starts_ranks_on_two_nodes(shop):
    job = shop.compress("srun", *TWO_NODES).must_end_as("COMPLETED", 0)
    job.must_say("on n[1-2]", "2 ranks by srun")
    job.must_equal_the_uninterrupted_run()


def mpirun_starts_ranks_on_two_nodes(shop):
    job = shop.compress("mpirun", *TWO_NODES, environment=MPIRUN).must_end_as("COMPLETED", 0)
    job.must_say("on n[1-2]", "2 ranks by mpirun")
    job.must_equal_the_uninterrupted_run()


def the_time_limit_reaches_the_ranks_of_mpirun_on_both_nodes(shop):
    job = shop.compress("mpirun-time", *TWO_NODES, environment=MPIRUN)
    job.hold_in_training()
    shop.cluster.run("scancel", "--signal=USR1", "--batch", job.number)  # what --signal=B:USR1 does, only at once
    job.wait_until_it_says("stop requested (USR1)")
    job.let_go()
    job.must_end_as("COMPLETED", 0).must_say("saved before the time limit: queued again (restart 1", "goes on from step")
    job.must_equal_the_uninterrupted_run()


def a_job_preempted_on_two_nodes_goes_on_with_fewer_ranks(shop):
    job = shop.compress("fewer", *TWO_NODES)
    job.hold_in_training()
    urgent = shop.submit_words("sleep 600", "--partition=day", "--nodelist=n2", "--exclusive")
    wait_until(lambda: job.field("PreemptTime") != "None", PATIENCE_S, "preemption")
    job.let_go()
    job.wait_until_it_says("queued again (restart 1")
    wait_until(lambda: job.field("JobState") == "PENDING", PATIENCE_S, "a waiting job")
    shop.cluster.run("scontrol", "update", f"JobId={job.number}", "NumNodes=1", "NumTasks=1")
    job.must_end_as("COMPLETED", 0).must_say("2 ranks by srun", "1 ranks by srun", "goes on from step")
    check_equal(shop.cluster.job(urgent)["JobState"], "RUNNING", "the job that needed the other node")
    shop.cluster.run("scancel", urgent)
    # Each of two ranks computes the half of a batch that one rank computes after the other: the sum is the same.
    job.must_equal_the_uninterrupted_run()


if __name__ == "__main__":
    main([srun_starts_ranks_on_two_nodes, mpirun_starts_ranks_on_two_nodes,
          the_time_limit_reaches_the_ranks_of_mpirun_on_both_nodes, a_job_preempted_on_two_nodes_goes_on_with_fewer_ranks],
         at_once=1)
