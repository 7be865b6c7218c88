"""What a person types and sees: help, version, mistakes, and JSON that other programs can read."""

import json

from driving import QUICK, check, check_equal, main, sets

COMMANDS = ("compress", "plan", "evaluate", "inspect", "verify", "pretrain", "stop", "family", "study", "report", "watch", "runs",
            "dashboard", "completion", "man")


def the_help_of_every_command_shows_an_example(shop):
    listed = shop.run("--help", ranks=0).must_end_with(0).out
    for command in COMMANDS:
        check(command in listed, f"--help does not list {command}")
        text = shop.run(command, "--help", ranks=0).must_end_with(0).out
        example = text.partition("Example:")[2]
        check(command in example or "launch/run.sh" in example, f"no example for {command}: {text}")


def the_version_says_how_the_program_was_built(shop):
    text = shop.run("--version", ranks=0).must_end_with(0).out
    for word in ("tercet", "commit", "compiler", "libtorch", "mpi", "hdf5", "cuda"):
        check(word in text, f"--version does not mention {word}: {text}")


def help_and_version_are_said_once_for_all_ranks(shop):
    check_equal(shop.run("--version", ranks=2).must_end_with(0).out.count("commit"), 1, "versions printed by 2 ranks")


def an_unknown_key_names_the_nearest_one(shop):
    result = shop.run("plan", QUICK, *sets(training__tokns=3), ranks=0).must_end_with(64)
    check("training.tokens" in result.err and "training.tokns" in result.err, result.err)
    check_equal((len(result.errors()), result.out), (1, ""), "error messages and stdout")


def a_wrong_command_line_is_a_usage_error(shop):
    for arguments in ((), ("compres", QUICK), ("compress",), ("evaluate", "model"), ("plan", QUICK, "--nonsense")):
        result = shop.run(*arguments, ranks=0).must_end_with(64)
        check_equal((len(result.errors()), result.out), (1, ""), f"error messages and stdout of {arguments}")


def json_is_exactly_one_object_on_stdout(shop):
    model = shop.model
    run = shop.folder / "run"
    compress = shop.quick("run", training__enabled="false")
    evaluate = ("evaluate", model, "--data", shop.text, "--sequence-length", "64", "--windows", "3")
    plan = ("plan", QUICK, *sets(model__path=model, output=shop.folder / "none", data__cache=shop.tokens))
    for arguments in (plan, compress, evaluate, ("report", run), ("verify", run / "artifacts"), ("inspect", run),
                      ("inspect", run / "artifacts"), ("inspect", model)):
        out = shop.run(*arguments, "--json").must_end_with(0).out
        check(isinstance(json.loads(out), dict), f"{arguments[0]} --json: {out[:300]}")
    check(not (shop.folder / "none").exists(), "plan made an output folder")


def a_plan_pretends_any_number_of_ranks(shop):
    plan = ("plan", QUICK, *sets(model__path=shop.model, output=shop.folder / "none", data__cache=shop.tokens), "--json")
    here, pretended = shop.run(*plan, ranks=0), shop.run(*plan, "--world-size", "4", ranks=0)
    check(here.must_end_with(0).json != pretended.must_end_with(0).json, "the same plan for 1 and 4 ranks")
    check(not (shop.folder / "none").exists(), "plan made an output folder")


def variables_that_change_numbers_are_said_and_lower_precision_is_not_obeyed(shop):
    plan = ("plan", QUICK, *sets(model__path=shop.model, output=shop.folder / "none", data__cache=shop.tokens))
    check("change results" not in shop.run(*plan).must_end_with(0).err, "a warning about an ordinary environment")
    shop.environment.update(ONEDNN_DEFAULT_FPMATH_MODE="BF16", ATEN_CPU_CAPABILITY="default")
    try:
        said = shop.run(*plan).must_end_with(0).err
    finally:
        del shop.environment["ONEDNN_DEFAULT_FPMATH_MODE"], shop.environment["ATEN_CPU_CAPABILITY"]
    for words in ("not obeyed", "ONEDNN_DEFAULT_FPMATH_MODE=BF16", "change results", "ATEN_CPU_CAPABILITY=default"):
        check(said.count(words) == 1, f"{words!r} comes {said.count(words)} times: {said}")


if __name__ == "__main__":
    main([the_help_of_every_command_shows_an_example, the_version_says_how_the_program_was_built,
          help_and_version_are_said_once_for_all_ranks, an_unknown_key_names_the_nearest_one,
          a_wrong_command_line_is_a_usage_error, json_is_exactly_one_object_on_stdout,
          a_plan_pretends_any_number_of_ranks,
          variables_that_change_numbers_are_said_and_lower_precision_is_not_obeyed])
