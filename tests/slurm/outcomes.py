"""How a batch job ends: with the program's exit status, and in words at the end of its log."""

from driving import PACKED, check, check_equal, status_of, storages
from jobs import main

UNREACHABLE = {"gates__compression__severity": "fail", "gates__compression__threshold": 1000}


def a_job_that_passes_completes(shop):
    job = shop.compress("passes").must_end_as("COMPLETED", 0)
    job.must_say("==> tercet compress", "2 ranks by srun", f"finished, every gate passed: {job.run}")
    check_equal(storages(job.run / "artifacts" / PACKED), shop.uninterrupted, "codes and scales, by srun and by mpirun")


def a_failed_gate_is_a_result_and_not_queued_again(shop):
    job = shop.compress("rejected", **UNREACHABLE).must_end_as("FAILED", 3)
    job.must_say("finished, a gate failed")
    job.must_not_say("queued again (")
    check((job.run / "rejected" / PACKED).exists(), "no artifacts in rejected/")


def a_mistake_in_the_configuration_ends_with_64(shop):
    job = shop.compress("mistaken", training__tokens="many").must_end_as("FAILED", 64)
    job.must_say("training.tokens", "ended with status 64", "Not queued again")


def a_missing_model_ends_with_65(shop):
    job = shop.compress("no-model", model__path=shop.folder / "nowhere").must_end_as("FAILED", 65)
    job.must_say("nowhere", "ended with status 65")


def a_run_folder_that_cannot_be_written_ends_with_74(shop):
    (shop.folder / "blocked").write_text("a file where a folder should be")
    job = shop.compress("blocked").must_end_as("FAILED", 74)
    job.must_say("ended with status 74")


def diverging_training_ends_with_70(shop):
    job = shop.compress("diverges", training__learning_rate="1e30").must_end_as("FAILED", 70)
    job.must_say("ended with status 70")


def a_configuration_that_does_not_exist_ends_with_64(shop):
    job = shop.compress("no-config", config=shop.folder / "none.yaml").must_end_as("FAILED", 64)
    job.must_say("none.yaml' does not exist")


def the_same_job_again_shows_the_result_and_appends_to_the_log(shop):
    first = shop.compress("twice", training__tokens=10240).must_end_as("COMPLETED", 0)
    again = shop.compress("twice", training__tokens=10240).must_end_as("COMPLETED", 0)
    check_equal(again.words().count("finished, every gate passed"), 2, "ends in one log")
    check_equal(status_of(first.run)["attempt"], 1, "attempts at a finished run")


if __name__ == "__main__":
    main([a_job_that_passes_completes, a_failed_gate_is_a_result_and_not_queued_again,
          a_mistake_in_the_configuration_ends_with_64, a_missing_model_ends_with_65,
          a_run_folder_that_cannot_be_written_ends_with_74, diverging_training_ends_with_70,
          a_configuration_that_does_not_exist_ends_with_64,
          the_same_job_again_shows_the_result_and_appends_to_the_log])
