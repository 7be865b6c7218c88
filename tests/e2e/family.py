"""A family over several nights on one machine: a broken model, a regression, a killed driver, a request to stop."""

import json
import os
import pathlib
import signal
import time

from driving import PACKED, PROJECT, check, check_equal, digests, main, status_of

STEPS_OF_A_LONG_JOB = 60
END_S = 60  # a driver that was told to stop, and the ranks of one that was killed, are gone by then

FAMILY = """
name: tiny
output: {output}
defaults:
  data: {{sources: ["/usr/lib/python3*/email/*.py"], held_out_fraction: 0.2, sequence_length: 64, cache: {cache}}}
  calibration: {{samples: 32, shards: 8, batch: 4}}
  training: {{tokens: {tokens}, global_batch_tokens: 1024}}
  quantization: {{embedding_bits: {embedding_bits}}}
  evaluation: {{sequence_length: 64, windows: 20}}
  gates:
    compression: {{severity: warn}}
    sparsity: {{severity: warn}}
    accuracy: {{severity: warn}}
    perplexity: {{severity: warn}}
    speedup: {{seconds: 0.05}}
  checkpoint: {{every_steps: 5}}
models: {models}
targets: {targets}
packing: {{ranks: 1, cpus: 1}}
"""


def family(shop, name, tokens=10240, embedding_bits=8, models=("good",), targets=(32,)):
    """A family file; folders of the same name belong to one family."""
    paths = {"good": shop.model, "broken": shop.folder / "no-such-model"}
    items = ", ".join(f"{{name: {model}, path: {paths[model]}}}" for model in models)
    sizes = ", ".join(f"{{name: g{size}, settings: {{quantization: {{group_size: {size}}}}}}}" for size in targets)
    file = shop.folder / f"{name}.yaml"
    file.write_text(FAMILY.format(output=shop.folder / name, cache=shop.tokens, tokens=tokens,
                                  embedding_bits=embedding_bits, models=f"[{items}]", targets=f"[{sizes}]"), encoding="utf-8")
    return file


def run(shop, file, *options):
    return shop.run("family", file, *options, ranks=0)


def summary(shop, file, night):
    """The elements of a night by name."""
    result = run(shop, file, "--night", night, "--summary", "--json")
    return {element["name"]: element for element in result.json["elements"]}


def latest(file, element):
    return os.readlink(file.with_suffix("") / "models" / element / "latest")


def wait_for(condition, what, seconds=END_S):
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"{seconds} s without {what}")
        time.sleep(0.02)


def first_night(shop):
    """Two models times two targets, one model broken; made by the first test that asks."""
    file = family(shop, "nightly", models=("good", "broken"), targets=(32, 64))
    if not (shop.folder / "nightly" / "nights" / "n1").exists():
        listed = run(shop, file, "--night", "n1", "--list").must_end_with(0).out.splitlines()
        check_equal([line.split("\t")[::3] for line in listed],
                    [[str(index), "not started"] for index in range(4)], "--list before anything has run")
        check_equal(run(shop, file, "--count").must_end_with(0).out, "4\n", "--count")
        check(not (shop.folder / "nightly").exists(), "--list and --count left something behind")
        shop.first_night = run(shop, file, "--night", "n1").must_end_with(70)
    return file


def a_broken_model_gives_a_reason_and_the_others_are_published(shop):
    file = first_night(shop)
    elements = summary(shop, file, "n1")
    check_equal({name: element["state"] for name, element in elements.items()},
                {"good-g32": "passed", "good-g64": "passed", "broken-g32": "failed", "broken-g64": "failed"}, "states")
    for name in ("good-g32", "good-g64"):
        published = pathlib.Path(elements[name]["published"])
        check(published.name.startswith("n1-") and len(published.name) == 15, f"name of the folder: {published.name}")
        check_equal(latest(file, name), published.name, f"latest of {name}")
        check_equal(digests(published), digests(pathlib.Path(elements[name]["run"]) / "artifacts"), "published files")
        check("nothing to compare with" in elements[name]["regression"]["sentence"], "the first night does not say so")
    for name in ("broken-g32", "broken-g64"):
        check("no-such-model" in elements[name]["reason"], f"reason: {elements[name]['reason']}")
        check_equal(elements[name]["attempts"], 1, "attempts at what stays wrong")
        check(not (file.with_suffix("") / "models" / name).exists(), f"{name} has a folder of published models")
    if len(os.sched_getaffinity(0)) > 1:
        cpus = {line.split("CPUs ")[1].split(";")[0] for line in shop.first_night.err.splitlines() if "CPUs " in line}
        check(len(cpus) > 1, f"all on the same CPUs: {cpus}")


def the_summary_is_also_written_into_the_folder_of_the_night(shop):
    file = first_night(shop)
    night = shop.folder / "nightly" / "nights" / "n1"
    said = run(shop, file, "--night", "n1", "--summary", "--markdown").must_end_with(70)
    check_equal((night / "summary.md").read_text(encoding="utf-8"), said.out, "summary.md")
    check("| good | g32 | passed |" in said.out and "no-such-model" in said.out, said.out)
    written = json.loads((night / "summary.json").read_text(encoding="utf-8"))
    check_equal((written["night"], written["exit_code"], len(written["elements"])), ("n1", 70, 4), "summary.json")


def the_same_command_again_runs_only_what_has_no_verdict_until_it_is_given_up(shop):
    file = first_night(shop)
    before = {name: element["attempts"] for name, element in summary(shop, file, "n1").items()}
    for state in ("failed", "given_up"):
        run(shop, file, "--night", "n1").must_end_with(70)
        after = summary(shop, file, "n1")
        for name in ("good-g32", "good-g64"):
            check_equal((after[name]["state"], after[name]["attempts"]), ("passed", before[name]), name)
        for name in ("broken-g32", "broken-g64"):
            check_equal((after[name]["state"], after[name]["attempts"]), (state, 2), name)
            check("no-such-model" in after[name]["reason"], f"reason: {after[name]['reason']}")


def one_element_ends_with_its_own_code(shop):
    file = first_night(shop)
    again = run(shop, file, "--night", "n1", "--element", "0").must_end_with(0)
    check("passed" in again.out, again.out)
    run(shop, file, "--night", "n3", "--element", "2").must_end_with(65)
    run(shop, file, "--element", "4").must_end_with(64)
    check_equal({element["state"] for element in summary(shop, file, "n3").values()}, {"not started", "failed"}, "states")


def a_regression_is_not_published(shop):
    file = first_night(shop)
    kept = latest(file, "good-g32")
    worse = family(shop, "nightly", embedding_bits=16, targets=(32, 64))  # the packed file grows by a quarter
    run(shop, worse, "--night", "n2", "--element", "0").must_end_with(3)
    element = summary(shop, worse, "n2")["good-g32"]
    check_equal((element["state"], element["published"]), ("regressed", None), "the worse run")
    check("packed_bytes" in element["reason"] and "n1" in element["reason"], element["reason"])
    verdicts = {gate["name"]: gate["verdict"] for gate in element["regression"]["gates"]}
    check_equal(verdicts["packed_bytes"], "fail", "regression gate")
    check_equal(latest(file, "good-g32"), kept, "latest")
    check_equal([(night["night"], night["state"]) for night in element["history"]],
                [("n1", "passed"), ("n2", "regressed")], "history")
    check((pathlib.Path(element["run"]) / "artifacts" / PACKED).exists(), "the run has lost its artifacts")
    family(shop, "nightly", models=("good", "broken"), targets=(32, 64))


def long_job(shop):
    file = family(shop, "long", tokens=STEPS_OF_A_LONG_JOB * 1024)
    return file, shop.folder / "long" / "runs" / "n1" / "good-g32"


def start_until_checkpoint(shop, file, folder, after=""):
    driver = shop.start(["family", file, "--night", "n1"], ranks=0)
    newest = lambda: max((path.name for path in (folder / "checkpoints").glob("step-*")), default="")
    wait_for(lambda: newest() > after or driver.poll() is not None, "a checkpoint")
    check(driver.poll() is None, f"the driver ended ({driver.returncode})")
    return driver, newest


def a_driver_that_is_asked_to_stop_or_killed_goes_on_where_it_was(shop):
    file, folder = long_job(shop)
    driver, newest = start_until_checkpoint(shop, file, folder)
    driver.send_signal(signal.SIGUSR1)
    check_equal(driver.wait(timeout=END_S), 75, "exit code after USR1")
    check_equal(status_of(folder)["state"], "stopped", "status.json")
    check_equal(summary(shop, file, "n1")["good-g32"]["state"], "stopped", "state after USR1")

    driver, newest = start_until_checkpoint(shop, file, folder, newest())
    driver.kill()
    driver.wait()
    check_equal(summary(shop, file, "n1")["good-g32"]["state"], "interrupted", "state after SIGKILL")

    run(shop, file, "--night", "n1").must_end_with(0)
    element = summary(shop, file, "n1")["good-g32"]
    check_equal((element["state"], element["attempts"]), ("passed", 3), "the element in the end")
    log = (shop.folder / "long" / "nights" / "n1" / "elements" / "good-g32.log").read_text(encoding="utf-8")
    check_equal(log.count("goes on from step"), 2, "attempts that went on from a checkpoint")
    check_equal(latest(file, "good-g32"), pathlib.Path(element["published"]).name, "latest")


def mistakes_are_all_said_before_anything_starts(shop):
    file = family(shop, "mistaken")
    file.write_text(file.read_text(encoding="utf-8").replace("tokens: 10240", "tokens: 10").replace("ranks: 1", "rank: 1"),
                    encoding="utf-8")
    message = run(shop, file).must_end_with(64).err
    check("did you mean 'packing.ranks'?" in message, message)
    check(not (shop.folder / "mistaken").exists(), "something was started")


def a_rank_of_mpirun_is_refused(shop):
    shop.run("family", PROJECT / "configs" / "family.yaml", "--list", ranks=2).must_end_with(64)


if __name__ == "__main__":
    main([a_broken_model_gives_a_reason_and_the_others_are_published,
          the_summary_is_also_written_into_the_folder_of_the_night,
          the_same_command_again_runs_only_what_has_no_verdict_until_it_is_given_up, one_element_ends_with_its_own_code,
          a_regression_is_not_published, a_driver_that_is_asked_to_stop_or_killed_goes_on_where_it_was,
          mistakes_are_all_said_before_anything_starts, a_rank_of_mpirun_is_refused])
