"""Jobs that are asked to stop save, end with 75 on all ranks, and go on: on the same number of ranks to the same bits,
on another one with the same statistics and codes, and figures within rounding. A changed input is refused."""

import shutil
import signal
import time

from driving import check, check_close, check_equal, main, status_of
from interrupting import (Reference, arguments_of, journal, must_come_to, outcome_of, signal_rank, wait_for_stage,
                          wait_until_gone)

_references = {}


def reference(shop, ranks, **settings):
    key = (ranks, *sorted(settings))
    if key not in _references:
        _references[key] = Reference(shop, ranks, **settings)
    return _references[key]


def stop_at(shop, run, ranks, stage, how, attempt=1, **settings):
    """Starts the job, and asks it to stop by `how(job)` when it has reached `stage`."""
    job = shop.start(arguments_of(shop, run, **settings), ranks)
    check(wait_for_stage(job, run, attempt, stage), f"never came to '{stage}'")
    how(job)
    check_equal(wait_until_gone(job), 75, f"exit code of the job stopped in '{stage}'")
    status = status_of(run)
    check_equal((status["state"], status["exit_code"]), ("stopped", 75), "status.json")
    return status


def finish(shop, run, ranks, **settings):
    return shop.run(*arguments_of(shop, run, **settings), ranks=ranks).must_end_with(0)


def a_signal_to_one_rank_stops_all_and_the_job_goes_on(shop):
    for stage, number in (("measure the original", signal.SIGTERM), ("calibrate", signal.SIGUSR1),
                          ("fine-tune", signal.SIGUSR1), ("pack", signal.SIGTERM)):
        run = shop.folder / f"signal-{stage.split()[0]}"
        status = stop_at(shop, run, 2, stage, lambda job, n=number: signal_rank(job, shop.program, 1, n))
        check_equal(status["stop_reason"], "signal", "stop_reason")
        finish(shop, run, 2)
        must_come_to(run, reference(shop, 2).outcome, f"a job stopped in '{stage}'")


def tercet_stop_stops_a_running_job_and_no_other(shop):
    run = shop.folder / "asked"
    status = stop_at(shop, run, 2, "fine-tune", lambda job: shop.run("stop", run, ranks=0).must_end_with(0))
    check_equal(status["stop_reason"], "request", "stop_reason")
    shop.run("stop", run, ranks=0).must_end_with(64)  # nothing runs there now
    finish(shop, run, 2)
    must_come_to(run, reference(shop, 2).outcome, "a job stopped by tercet stop")


def a_job_whose_time_is_nearly_over_stops_by_itself(shop):
    run = shop.folder / "short"
    shop.environment["SLURM_JOB_END_TIME"] = str(int(time.time()) + 1)
    try:
        stopped = shop.run(*arguments_of(shop, run), ranks=2).must_end_with(75)
    finally:
        del shop.environment["SLURM_JOB_END_TIME"]
    check("time is nearly over" in stopped.err, stopped.err[-2000:])
    check_equal(status_of(run)["stop_reason"], "time", "stop_reason")
    finish(shop, run, 2)
    must_come_to(run, reference(shop, 2).outcome, "a job whose time was short")


def a_stopped_job_does_nothing_twice(shop):
    run = shop.folder / "once"
    stop_at(shop, run, 2, "fine-tune", lambda job: signal_rank(job, shop.program, 0, signal.SIGUSR1))
    again = finish(shop, run, 2)
    # Shards; batches of 8 windows of the original and of the quantized model; thresholds of linear layers.
    units = 8 + 2 * 3 + 14
    check(f"{units} units of work were done by an earlier attempt" in again.err, again.err[-3000:])
    steps = [line["step"] for line in journal(run, "metric") if line["name"] == "training/loss"]
    check_equal(sorted(steps), list(range(1, 41)), "steps of both attempts")


def a_solved_start_goes_on_layer_by_layer_on_any_number_of_ranks(shop):
    settings = {"training__enabled": "false", "quantization__solver": "compensated"}
    run, expected = shop.folder / "solved", reference(shop, 1, **settings).outcome
    for attempt, ranks in enumerate((2, 4), 1):
        stop_at(shop, run, ranks, "quantize", lambda job: signal_rank(job, shop.program, 0, signal.SIGUSR1), attempt,
                **settings)
    finish(shop, run, 2, **settings)
    must_come_to(run, {"storages": expected["storages"], "figures": expected["figures"]}, "a solved job on 2, 4, 2 ranks")


def another_number_of_ranks_gives_the_same_codes_without_training(shop):
    run = shop.folder / "changing"
    expected = reference(shop, 1, training__enabled="false").outcome
    for attempt, (ranks, stage) in enumerate(((2, "measure the original"), (4, "calibrate"), (1, "quantize"),
                                              (2, "measure what was packed")), 1):
        stop_at(shop, run, ranks, stage, lambda job: signal_rank(job, shop.program, 0, signal.SIGUSR1), attempt,
                training__enabled="false")
    finish(shop, run, 4, training__enabled="false")
    must_come_to(run, {"storages": expected["storages"], "figures": expected["figures"]}, "a job on 2, 4, 1, 2, 4 ranks")


def another_number_of_ranks_trains_on_within_rounding(shop):
    alone = reference(shop, 2)
    for ranks in (1, 4):
        run = shop.folder / f"from-2-to-{ranks}"
        stop_at(shop, run, 2, "fine-tune", lambda job: signal_rank(job, shop.program, 0, signal.SIGUSR1))
        finish(shop, run, ranks)
        name = "training/cross_entropy"  # the divergence itself, which is trained on, is near zero and mostly rounding
        losses = {line["step"]: line["value"] for line in journal(run, "metric") if line["name"] == name}
        known = {line["step"]: line["value"] for line in journal(shop.folder / "alone-2", "metric") if line["name"] == name}
        check_equal(sorted(losses), sorted(known), "steps")
        for step, loss in known.items():
            # A weight at a threshold may fall on the other side; another batch would differ by some percent.
            check(abs(losses[step] - loss) <= 1e-3 * loss, f"loss of step {step} on {ranks} ranks: "
                  f"{losses[step]} instead of {loss}")
        check_close(outcome_of(run)["figures"]["packed"]["perplexity"], alone.outcome["figures"]["packed"]["perplexity"],
                    1e-2, "perplexity")


def a_changed_input_is_refused_with_what_changed(shop):
    run, text = shop.folder / "inputs", shop.folder / "mine.txt"
    text.write_text(shop.text.read_text(encoding="utf-8") * 4, encoding="utf-8")
    settings = {"data__sources": f"[{text}]", "data__held_out_fraction": 0.4, "training__enabled": "false"}
    stop_at(shop, run, 1, "calibrate", lambda job: signal_rank(job, shop.program, 0, signal.SIGUSR1), **settings)
    text.write_text(text.read_text(encoding="utf-8") + "One more line.\n", encoding="utf-8")
    refused = shop.run(*arguments_of(shop, run, **settings)).must_end_with(64)
    check("text of data.sources[0]: was" in refused.err, refused.err[-2000:])
    refused = shop.run(*arguments_of(shop, run, **settings, seed=7)).must_end_with(64)
    check("seed: was 42, is 7" in refused.err, refused.err[-2000:])


def what_may_change_can_be_allowed(shop):
    run, moved = shop.folder / "moved", shop.folder / "model-elsewhere"
    stop_at(shop, run, 2, "fine-tune", lambda job: signal_rank(job, shop.program, 0, signal.SIGUSR1))
    shutil.copytree(shop.model, moved)
    changed = arguments_of(shop, run, model__path=moved, training__micro_batch=4)
    refused = shop.run(*changed).must_end_with(64)
    check("model.path: was" in refused.err and "training.micro_batch: was 8, is 4" in refused.err, refused.err[-2000:])
    shop.run(*changed, "--allow-changed", "seed").must_end_with(64)
    shop.run(*changed, "--allow-changed", "model.path", "--allow-changed", "training.micro_batch").must_end_with(0)


if __name__ == "__main__":
    main([a_signal_to_one_rank_stops_all_and_the_job_goes_on, tercet_stop_stops_a_running_job_and_no_other,
          a_job_whose_time_is_nearly_over_stops_by_itself, a_stopped_job_does_nothing_twice,
          a_solved_start_goes_on_layer_by_layer_on_any_number_of_ranks,
          another_number_of_ranks_gives_the_same_codes_without_training,
          another_number_of_ranks_trains_on_within_rounding, a_changed_input_is_refused_with_what_changed,
          what_may_change_can_be_allowed])
