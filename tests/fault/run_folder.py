"""A run folder belongs to one job: another configuration, or a second job at the same time, is refused."""

import fcntl

from driving import check, check_equal, digests, main, status_of


def kept(run):
    """What a refused job must leave as it was; log files may grow."""
    return {name: digest for name, digest in digests(run).items() if not name.startswith("log/")}


def a_run_of_another_configuration_is_refused(shop):
    run = shop.folder / "run"
    shop.run(*shop.quick("run", training__enabled="false")).must_end_with(0)
    before = kept(run)
    for change in ({"seed": 7}, {"quantization__group_size": 64}):
        refused = shop.run(*shop.quick("run", training__enabled="false", **change)).must_end_with(64)
        check_equal(len(refused.errors()), 1, "error messages")
        check(str(run) in refused.errors()[0] and "another configuration" in refused.errors()[0], refused.errors()[0])
        check_equal(kept(run), before, f"files after {change}")


def settings_that_do_not_change_results_are_not_another_configuration(shop):
    shop.run(*shop.quick("free", training__enabled="false")).must_end_with(0)
    shop.run(*shop.quick("free", training__enabled="false", log__interval_s=1, name="renamed"), ranks=1).must_end_with(0)


def a_second_job_on_a_run_folder_is_refused(shop):
    run = shop.folder / "locked"
    shop.run(*shop.quick("locked", training__enabled="false")).must_end_with(0)
    before = kept(run)
    with open(run / ".lock", "r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = shop.run(*shop.quick("locked", training__enabled="false")).must_end_with(74)
    check_equal(len(refused.errors()), 1, "error messages")
    check(str(run) in refused.errors()[0] and "in use" in refused.errors()[0], refused.errors()[0])
    check_equal(kept(run), before, "files")
    shop.run(*shop.quick("locked", training__enabled="false")).must_end_with(0)


def a_running_job_is_not_disturbed_by_a_second_one(shop):
    run = shop.folder / "busy"
    arguments = shop.quick("busy", training__tokens=80 * 1024)
    first = shop.start(arguments, ranks=1)
    try:
        while not (run / "checkpoints").exists():
            check(first.poll() is None, "the first job ended early")
        refused = shop.run(*arguments).must_end_with(74)
        check_equal(len(refused.errors()), 1, "error messages")
        check_equal(first.wait(timeout=120), 0, "exit code of the first job")
    finally:
        if first.poll() is None:
            first.terminate()
            first.wait()
    check_equal(status_of(run)["state"], "passed", "status.json")


if __name__ == "__main__":
    main([a_run_of_another_configuration_is_refused, settings_that_do_not_change_results_are_not_another_configuration,
          a_second_job_on_a_run_folder_is_refused, a_running_job_is_not_disturbed_by_a_second_one])
