"""Stages of fewer and fewer bits, and remedies when a gate fails."""

import json
import pathlib
import re
import signal
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "fault"))

from driving import Workshop, check, check_equal, main, status_of  # noqa: E402
from interrupting import outcome_of, signal_rank, wait_for_status, wait_until_gone  # noqa: E402

STEP = 1024
# Follows the original alone, so that no text makes a model of fewer bits better than the original.
JOB = {"training__distillation": 1, "training__learning_rate": 3e-4, "training__tokens": 20 * STEP,
       "quantization__activation_bits": 16, "checkpoint__every_steps": 4, "blockwise__enabled": "true",
       "blockwise__samples": 16, "blockwise__epochs": 1}
# Each stage is worse than the one before it.
STAGES = {**JOB, "blockwise__enabled": "false", "progressive__formats":
          "[int8, {format: int4, group_size: 16}, {format: ternary, granularity: tensor, rule: absmean}]"}
# Everything that a stage can have.
SOLVED = {**JOB, "quantization__solver": "compensated", "training__polish_tokens": 5 * STEP,
          "progressive__formats": "[int8, {format: int4, group_size: 16}, ternary]"}
# Trits that are far off, and one step that does not mend that.
COARSE = {**JOB, "blockwise__enabled": "false", "training__tokens": STEP, "quantization__rule": "absmean",
          "quantization__granularity": "tensor"}
PERPLEXITY = {"gates__perplexity__severity": "fail"}
LENIENT = {**PERPLEXITY, "gates__perplexity__threshold": 1000}
# Another text than the usual one, whose held-out documents are too few and too even to tell formats apart.
TEXT = {"data__sources": "['/usr/lib/python3*/asyncio/*.py']"}

_alone = {}


class TrainedShop(Workshop):
    """Its model is trained for so long that what its blocks lose shows: the usual one is hardly worse without them."""

    of_model = {"training__tokens": 200 * STEP, "training__learning_rate": 3e-3, **TEXT}

    def quick(self, output, **settings):
        return super().quick(output, **{**TEXT, "evaluation__windows": 60, **settings})


def compress(shop, name, code, ranks=2, **settings):
    return shop.run(*shop.quick(name, **settings), "--json", ranks=ranks).must_end_with(code)


def rounds_of(report):
    """What must not change from attempt to attempt."""
    return [{key: value for key, value in each.items() if key != "training_seconds"} for each in report["rounds"]["list"]]


def lenient_stages(shop, name="all-pass", settings=STAGES):
    """The three stages where every one passes; made once."""
    if name not in _alone:
        _alone[name] = compress(shop, name, 0, **settings, **LENIENT).json
    return _alone[name]


def strict(shop, share=0.5):
    """A threshold between the first two stages and the third, at this share of the way."""
    growths = [each["perplexity_growth"] for each in lenient_stages(shop)["rounds"]["list"]]
    passes = max(0, *growths[:2])
    check(passes < growths[2], f"trits are no worse than integers: {growths}")
    return {**STAGES, **PERPLEXITY, "gates__perplexity__threshold": passes + share * (growths[2] - passes)}


def three_stages_pass_and_the_last_is_published(shop):
    report, run = lenient_stages(shop), shop.folder / "all-pass"
    rounds = report["rounds"]["list"]
    check_equal([each["name"] for each in rounds], ["1-int8", "2-int4", "3-ternary"], "rounds")
    check_equal([each["starts_from"] for each in rounds], ["", "1-int8", "2-int4"], "starts")
    check_equal([each["tokens"] for each in rounds], [4 * STEP, 4 * STEP, 12 * STEP], "tokens")
    check(all(each["passed"] for each in rounds), rounds)
    sizes = [each["packed_bytes"] for each in rounds]
    check(sizes[0] > sizes[1] > sizes[2], f"sizes {sizes}")
    check_equal(report["rounds"]["kept"], "3-ternary", "kept")
    check_equal(report["results"]["packed_bytes"], sizes[2], "the published size")
    check_equal(status_of(run)["rounds"], report["rounds"], "rounds in status.json")
    check_equal(status_of(run)["sentence"], "every gate passed in 3-ternary", "sentence")
    shop.run("verify", run / "artifacts", ranks=0).must_end_with(0)
    check(not (run / "rounds").exists() and not (run / "work").exists(), "rounds were left behind")
    metadata = json.loads((run / "artifacts" / "compression_metadata.json").read_text(encoding="utf-8"))
    check_equal((metadata["compression_method"], metadata["rounds"]), ("BitNet-1.58", report["rounds"]), "metadata")
    text = shop.run("report", run, ranks=0).must_end_with(0).out
    check("3-ternary" in text and "starts from" in text and "passed, kept" in text, text)
    check("<section id=\"rounds\">" in (run / "report.html").read_text(encoding="utf-8"), "no rounds on the page")
    again = shop.run(*shop.quick(run.name, **STAGES, **LENIENT), "--json").must_end_with(0)
    check_equal(again.json["rounds"], report["rounds"], "rounds when shown again")


def the_figures_of_a_run_are_those_of_the_round_that_was_kept(shop):
    report = lenient_stages(shop)
    kept = report["rounds"]["list"][2]
    check_equal(report["series"]["evaluation/packed/perplexity"]["last_value"], kept["perplexity"], "packed perplexity")
    check_equal(report["series"]["training/loss"]["values"], 12, "steps")
    check_equal(report["series"]["rounds/1-int8/training/loss"]["values"], 4, "steps of the first stage")


def where_the_last_stage_fails_the_one_before_it_is_published(shop):
    run = shop.folder / "last-fails"
    report = compress(shop, run.name, 0, **strict(shop)).json
    check_equal([each["passed"] for each in report["rounds"]["list"]], [True, True, False], "verdicts")
    check_equal(report["rounds"]["kept"], "2-int4", "kept")
    sentence = status_of(run)["sentence"]
    check("2-int4 is kept" in sentence and "3-ternary failed: perplexity" in sentence, sentence)
    check(all(gate["verdict"] != "fail" or gate["severity"] != "fail" for gate in report["gates"]), report["gates"])
    shop.run("verify", run / "artifacts", ranks=0).must_end_with(0)
    tensors = shop.run("inspect", run / "artifacts", "--json", ranks=0).must_end_with(0).json["tensors"]
    check_equal({each["format"] for each in tensors if "_proj" in each["name"]}, {"int4"}, "formats")
    metadata = json.loads((run / "artifacts" / "compression_metadata.json").read_text(encoding="utf-8"))
    check_equal((metadata["success"], metadata["compression_method"]), (True, "int4"), "metadata")
    layers = {layer["format"] for layer in report["layers"] if "_proj" in layer["name"]}
    check_equal(layers, {"int4"}, "layers of the report")


def a_size_that_is_too_large_at_first_is_reached_by_the_last_stage(shop):
    sizes = [each["packed_bytes"] for each in lenient_stages(shop)["rounds"]["list"]]
    fp32 = lenient_stages(shop)["results"]["fp32_bytes"]
    settings = {**STAGES, **LENIENT, "gates__compression__severity": "fail",
                "gates__compression__threshold": 2 * fp32 / (sizes[1] + sizes[2])}
    report = compress(shop, "too-large-at-first", 0, **settings).json
    check_equal([each["passed"] for each in report["rounds"]["list"]], [False, False, True], "verdicts")
    check_equal(report["rounds"]["kept"], "3-ternary", "kept")


def where_no_stage_passes_the_least_bad_is_rejected(shop):
    run = shop.folder / "none-passes"
    report = compress(shop, run.name, 3, **STAGES, gates__accuracy__severity="fail", gates__accuracy__threshold=5).json
    check_equal(len(report["rounds"]["list"]), 1, "rounds")  # what int8 does not reach, int4 does not
    check_equal(report["rounds"]["kept"], "1-int8", "kept")
    check((run / "rejected" / "compression_metadata.json").exists() and not (run / "artifacts").exists(), "rejected")
    check("no round passed" in status_of(run)["sentence"], status_of(run)["sentence"])


# --- remedies -----------------------------------------------------------------------------------------------------

def growth(report):
    return report["results"]["packed"]["perplexity"] / report["results"]["before"]["perplexity"] - 1


def remedied(shop, remedy, settings, **more):
    """A job that fails by a hair, and one in which the remedy makes it pass."""
    before = growth(compress(shop, f"{remedy}-before", 0, **settings, **LENIENT).json)
    check(before > 0, f"nothing was lost: {before}")
    run = shop.folder / remedy
    report = compress(shop, run.name, 0, **settings, **PERPLEXITY, **more, gates__perplexity__threshold=0.98 * before,
                      remedies__rounds=2, remedies__tokens=40 * STEP, remedies__order=f"[{remedy}]").json
    rounds = report["rounds"]["list"]
    check_equal([(each["remedy"], each["passed"]) for each in rounds], [("", False), (remedy, True)], "rounds")
    check(rounds[1]["because"].startswith("perplexity ") and rounds[1]["did"], rounds)
    check_equal(report["rounds"]["kept"], f"2-{remedy}", "kept")
    check_equal(report["rounds"]["budget"], {"rounds": 2, "tokens": 40 * STEP}, "budget")
    check("every gate passed in 2-" in status_of(run)["sentence"], status_of(run)["sentence"])
    shop.run("verify", run / "artifacts", ranks=0).must_end_with(0)
    check(not (run / "rounds").exists(), "rounds were left behind")
    return report


def more_training_makes_a_failing_job_pass(shop):
    report = remedied(shop, "more_training", COARSE)
    check_equal(report["rounds"]["list"][1]["tokens"], 20 * STEP, "tokens")  # half of the budget
    check_equal(report["series"]["training/loss"]["values"], 20, "steps of the kept round")
    check_equal(report["rounds"]["list"][0]["packed_bytes"], report["rounds"]["list"][1]["packed_bytes"], "bytes")


def lifted_layers_make_a_failing_job_pass(shop):
    report = remedied(shop, "lift_layers", COARSE, remedies__lift_share=0.5)
    formats = [layer["format"] for layer in report["layers"] if "_proj" in layer["name"]]
    check_equal((formats.count("int3"), formats.count("ternary")), (7, 7), "formats")
    check("7 matrices lifted" in report["rounds"]["list"][1]["did"], report["rounds"]["list"][1])


def smaller_groups_make_a_failing_job_pass(shop):
    report = remedied(shop, "group_size", {**JOB, "training__enabled": "false", "blockwise__enabled": "false"})
    check_equal(report["rounds"]["list"][1]["did"], "groups halved: 32 to 16", "what was done")
    check_equal({layer["group_size"] for layer in report["layers"] if "_proj" in layer["name"]}, {16}, "groups")


def a_budget_that_is_used_up_ends_with_what_was_tried(shop):
    run = shop.folder / "used-up"
    report = compress(shop, run.name, 3, **JOB, gates__accuracy__severity="fail", gates__accuracy__threshold=5,
                      remedies__rounds=3, remedies__tokens=6 * STEP).json
    rounds = report["rounds"]["list"]
    check_equal([each["remedy"] for each in rounds], ["", "more_training", "lift_layers", "group_size"], "remedies")
    check_equal([each["tokens"] for each in rounds[1:]], 3 * [2 * STEP], "tokens")
    sentence = status_of(run)["sentence"]
    check("no round passed" in sentence and "the budget of 3 rounds is used" in sentence, sentence)
    best = min(rounds, key=lambda each: each["perplexity"])
    check_equal(report["rounds"]["kept"], best["name"], "kept")
    check_equal(report["results"]["packed_bytes"], best["packed_bytes"], "bytes of what is in rejected/")
    shop.run("verify", run / "rejected", ranks=0).must_end_with(0)


def what_no_remedy_helps_is_not_remedied(shop):
    run = shop.folder / "too-large"
    result = compress(shop, run.name, 3, **JOB, gates__compression__severity="fail", gates__compression__threshold=50,
                      remedies__rounds=2, remedies__tokens=6 * STEP)
    check_equal(status_of(run)["sentence"],
                "a gate failed; the artifacts are in rejected/ (no remedy helps the gate compression)", "sentence")
    check_equal(result.json["rounds"], None, "rounds")


def a_remedy_that_would_break_the_size_is_not_tried(shop):
    settings = {**JOB, **PERPLEXITY, "training__enabled": "false", "gates__perplexity__threshold": 0}
    ratio = compress(shop, "tight-before", 3, **settings).json["results"]
    tight = ratio["fp32_bytes"] / ratio["packed_bytes"] - 0.001
    result = compress(shop, "tight", 3, **settings, gates__compression__severity="fail",
                      gates__compression__threshold=tight, remedies__rounds=2)
    check("no remedy is left: more_training: training.enabled is false; lift_layers: the packed file would be only"
          in result.err, result.err[-2000:])


def a_stage_that_fails_is_remedied_before_the_one_before_it_is_published(shop):
    report = compress(shop, "staged-remedy", 0, **strict(shop, 0.95), remedies__rounds=1, remedies__tokens=20 * STEP,
                      remedies__order="[more_training]").json
    check_equal([(each["name"], each["passed"]) for each in report["rounds"]["list"]],
                [("1-int8", True), ("2-int4", True), ("3-ternary", False), ("4-more_training", True)], "rounds")
    check_equal(report["rounds"]["kept"], "4-more_training", "kept")


# --- interruptions ------------------------------------------------------------------------------------------------

def wait_for(job, run, pattern):
    check(wait_for_status(job, run, lambda status: re.match(pattern, status["stage"])), f"never came to '{pattern}'")


def interrupted(shop, run, pattern, settings, number=signal.SIGKILL, delay=0.0):
    job = shop.start(shop.quick(run.name, **settings), 2)
    wait_for(job, run, pattern)
    time.sleep(delay)
    signal_rank(job, shop.program, 1, number)
    return wait_until_gone(job)


def a_job_killed_in_any_round_comes_to_the_same(shop):
    settings = {**SOLVED, **LENIENT}
    expected = rounds_of(lenient_stages(shop, "all-solved", SOLVED))
    check_equal([each["tokens"] for each in expected], [(4 + 1) * STEP, (4 + 1) * STEP, (12 + 3) * STEP], "tokens")
    outcome = outcome_of(shop.folder / "all-solved")
    run = shop.folder / "killed"
    for pattern, delay in (("1-int8: fine-tune", 0.05), ("2-int4: quantize", 0), ("2-int4: fine-tune", 0.1),
                           ("2-int4: judge", 0), ("3-ternary: quantize", 0.0), ("3-ternary: tune blocks", 0.05),
                           ("3-ternary: polish", 0.05), ("3-ternary: judge", 0.01)):
        check(interrupted(shop, run, pattern, settings, delay=delay) != 0, f"'{pattern}' was over before it was killed")
    result = shop.run(*shop.quick(run.name, **settings), "--json").must_end_with(0)
    check_equal(rounds_of(result.json), expected, "rounds")
    check_equal(outcome_of(run), outcome, "outcome")
    check(not (run / "rounds").exists() and not (run / "work").exists(), "unfinished work was left behind")
    stages = [stage["name"] for stage in result.json["timing"]["stages"]]
    check_equal(stages.count("1-int8: quantize"), 2, "how often the first stage was begun")  # not after it was finished


def a_remedied_job_killed_in_the_remedy_comes_to_the_same(shop):
    settings = {**JOB, "gates__accuracy__severity": "fail", "gates__accuracy__threshold": 5, "remedies__rounds": 3,
                "remedies__tokens": 6 * STEP}
    alone, run = shop.folder / "used-up", shop.folder / "killed-remedy"
    if not alone.exists():
        compress(shop, alone.name, 3, **settings)
    for pattern in ("fine-tune", "2-more_training: fine-tune", "3-lift_layers: fine-tune", "4-group_size: quantize"):
        check(interrupted(shop, run, pattern, settings) != 0, f"'{pattern}' was over before it was killed")
    result = shop.run(*shop.quick(run.name, **settings), "--json").must_end_with(3)
    known = shop.run("report", alone, "--json", ranks=0).must_end_with(0).json
    check_equal(rounds_of(result.json), rounds_of(known), "rounds")
    check_equal(result.json["results"]["packed"], known["results"]["packed"], "figures")


def a_stopped_job_has_a_verified_artifact_of_its_last_good_stage(shop):
    run = shop.folder / "stopped"
    check_equal(interrupted(shop, run, "3-ternary: fine-tune", {**STAGES, **LENIENT}, signal.SIGUSR1), 75, "exit code")
    known = status_of(run)["rounds"]["list"]
    check_equal([each["artifact"] for each in known], ["rounds/1-int8/artifacts", "rounds/2-int4/artifacts"], "artifacts")
    shop.run("verify", run / known[-1]["artifact"], ranks=0).must_end_with(0)
    shop.run("generate", run / known[-1]["artifact"], "--prompt", "def", "--tokens", 4, ranks=0).must_end_with(0)
    check(not (run / "artifacts").exists(), "a stopped job has published")
    result = shop.run(*shop.quick(run.name, **STAGES, **LENIENT), "--json").must_end_with(0)
    check_equal(rounds_of(result.json), rounds_of(lenient_stages(shop)), "rounds")


# --- mistakes -----------------------------------------------------------------------------------------------------

def mistakes_are_told_before_the_work_starts(shop):
    for settings, words in (
            ({**STAGES, "target__like": "int3"}, "and a target cannot be combined"),
            ({**STAGES, "progressive__formats": "[int4, int8]"}, "must have fewer bits than int4 before it"),
            ({**STAGES, "progressive__formats": "[int8, {match: '*', format: int4}]"}, "a stage is for all of them"),
            ({**STAGES, "training__enabled": "false", "blockwise__enabled": "false"}, "needs training.enabled"),
            ({**STAGES, "training__tokens": 2 * STEP}, "must give each stage of progressive.formats one step"),
            ({**STAGES, "progressive__formats": "[int8, {format: int4, group_size: 48}]"}, "48 does not divide"),
            ({**STAGES, "export__formats": "[hf-bitnet]"}, "hf-bitnet"),
            ({**JOB, "remedies__rounds": 2, "target__like": "int3"}, "must be [more_training] with a target"),
            ({**JOB, "remedies__rounds": 9, "remedies__tokens": STEP}, "must give each of remedies.rounds (9) one step")):
        refused = shop.run(*shop.quick("mistaken", **settings)).must_end_with(64)
        check(words in refused.err and "==> calibrate" not in refused.err, f"{words} not in {refused.err}")


if __name__ == "__main__":
    main([three_stages_pass_and_the_last_is_published, the_figures_of_a_run_are_those_of_the_round_that_was_kept,
          where_the_last_stage_fails_the_one_before_it_is_published,
          a_size_that_is_too_large_at_first_is_reached_by_the_last_stage,
          where_no_stage_passes_the_least_bad_is_rejected, more_training_makes_a_failing_job_pass,
          lifted_layers_make_a_failing_job_pass, smaller_groups_make_a_failing_job_pass,
          a_budget_that_is_used_up_ends_with_what_was_tried, what_no_remedy_helps_is_not_remedied,
          a_remedy_that_would_break_the_size_is_not_tried,
          a_stage_that_fails_is_remedied_before_the_one_before_it_is_published,
          a_job_killed_in_any_round_comes_to_the_same, a_remedied_job_killed_in_the_remedy_comes_to_the_same,
          a_stopped_job_has_a_verified_artifact_of_its_last_good_stage, mistakes_are_told_before_the_work_starts],
         TrainedShop)
