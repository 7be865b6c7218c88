"""A study on one machine: rows, seeds and the control, a failing row, a killed driver; and the control by itself."""

import json
import signal
import time
import xml.dom.minidom

from driving import PROJECT, check, check_close, check_equal, digests, main, sets

SMOKE = PROJECT / "configs" / "studies" / "smoke.yaml"
SEEDS = (1, 2)
END_S = 60  # a driver that was told to stop, and the ranks of one that was killed, are gone by then


def study(shop, file, output, *options, **settings):
    settings = {"model__path": shop.model, "data__cache": shop.tokens, "output": shop.folder / output, **settings}
    return ["study", file, *sets(**settings), *options]


def smoke(shop):
    """The project's own, made by the first test that asks."""
    if not (shop.folder / "smoke").exists():
        shop.smoke = shop.run(*study(shop, SMOKE, "smoke", "--json"), ranks=0).must_end_with(0).json
    return shop.smoke


def report_of(shop, run):
    return shop.run("report", run, "--json", ranks=0).must_end_with(0).json


def wait_for(condition, what, seconds=END_S):
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, f"{seconds} s without {what}")
        time.sleep(0.02)


def the_figures_are_those_of_the_runs(shop):
    table = smoke(shop)
    check_equal([row["name"] for row in table["rows"]], ["default", "distillation-1", "control"], "rows")
    perplexities = {}
    for index, row in enumerate(table["rows"]):
        ratios = []
        for seed in SEEDS:
            report = report_of(shop, shop.folder / "smoke" / "runs" / f"{row['name']}-s{seed}")
            results = report["results"]
            perplexities[index, seed] = results["packed"]["perplexity"]
            ratios.append(results["packed"]["perplexity"] / results["before"]["perplexity"])
        check_equal(row["ratios"], ratios, f"ratios of {row['name']}")
        check_close(row["ratio"]["mean"], sum(ratios) / 2, 1e-12, f"mean ratio of {row['name']}")
        check_close(row["ratio"]["deviation"], abs(ratios[0] - ratios[1]) / 2 ** 0.5, 1e-9, f"spread of {row['name']}")
        check_equal(row["kl"]["values"][-1], results["packed"]["kl"], "KL")
        check_equal(row["packed_bytes"]["values"][-1], results["packed_bytes"], "bytes")
        check_equal(row["seconds"]["values"][-1], results["fine_tuning"]["seconds"], "seconds")
    for index, row in enumerate(table["rows"]):
        check_equal(row["to_control"]["values"], [perplexities[index, seed] / perplexities[2, seed] for seed in SEEDS],
                    f"{row['name']} to control")
    check_equal(table["rows"][0]["time"], 1.0, "time of the first row")
    check_equal(table["rows"][2]["pace"], 1.0, "pace of the control")
    check(perplexities[0, 1] != perplexities[0, 2], "two seeds, one run")


def the_files_say_the_same(shop):
    table = smoke(shop)
    folder = shop.folder / "smoke"
    written = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    check_equal({**written, "written": ""}, {**table, "written": ""}, "study.json")
    markdown = (folder / "study.md").read_text(encoding="utf-8")
    page = (folder / "study.html").read_text(encoding="utf-8")
    for row in table["rows"]:
        shown = f"{row['ratio']['mean']:.4f} \u00b1 {row['ratio']['deviation']:.4f}"
        check(f"| {row['name']} | {shown} |" in markdown, f"{shown} is not in study.md:\n{markdown}")
        check(shown in page, f"{shown} is not in study.html")
    for plot in ("ratios.svg", "curves-1.svg"):
        check(f"({plot})" in markdown, f"{plot} is not in study.md")
        xml.dom.minidom.parse(str(folder / plot))
    xml.dom.minidom.parseString(page)
    for word in ("http:", "https:", "<script", "url("):
        check(word not in page.replace("http://www.w3.org", ""), f"the page reaches out: {word}")


def finished_runs_are_not_run_again(shop):
    table = smoke(shop)
    before = digests(shop.folder / "smoke" / "runs")
    again = shop.run(*study(shop, SMOKE, "smoke", "--json"), ranks=0).must_end_with(0).json
    check_equal({**again, "written": ""}, {**table, "written": ""}, "the table")
    check_equal(digests(shop.folder / "smoke" / "runs"), before, "the runs")


def a_row_that_was_changed_is_not_passed_off_as_the_run_that_is_there(shop):
    table = smoke(shop)
    file = shop.folder / "changed.yaml"
    text = SMOKE.read_text(encoding="utf-8").replace("distillation: 1}", "distillation: 0.9}")
    file.write_text(text.replace("../quick.yaml", str(PROJECT / "configs" / "quick.yaml")), encoding="utf-8")
    changed = shop.run(*study(shop, file, "smoke", "--json"), ranks=0).must_end_with(70).json
    check_equal(changed["rows"][0]["ratio"], table["rows"][0]["ratio"], "the row that was not changed")
    check_equal(changed["rows"][1]["ratio"], None, "the changed row")
    check("training.distillation was 1 and is 0.9" in changed["runs"][1]["reason"], changed["runs"][1]["reason"])
    back = shop.run(*study(shop, SMOKE, "smoke", "--json"), ranks=0).must_end_with(0).json
    check_equal(back["rows"], table["rows"], "the table after the row was changed back")


FAILING = """
output: unused
base: {base}
control: false
seeds: [1]
rows:
  - {{name: good}}
  - {{name: bad, set: {{data.evaluation: [/no/such/file.txt]}}}}
  - {{name: gated, set: {{gates.accuracy.severity: fail, gates.accuracy.threshold: 1000}}}}
packing: {{ranks: 1, cpus: 1}}
"""


def a_failing_row_says_so_and_the_others_go_on(shop):
    file = shop.folder / "failing.yaml"
    file.write_text(FAILING.format(base=PROJECT / "configs" / "quick.yaml"), encoding="utf-8")
    table = shop.run(*study(shop, file, "failing", "--json", training__tokens=4096), ranks=0).must_end_with(70).json
    good, bad, gated = table["rows"]
    check(good["ratio"] is not None and gated["ratio"] is not None and bad["ratio"] is None, json.dumps(table["rows"]))
    check_equal(bad["verdict"], "failed (1 of 1 seeds)", "verdict of the failing row")
    check("/no/such/file.txt" in table["runs"][1]["reason"], table["runs"][1]["reason"])
    check_equal(table["runs"][2]["state"], "gate_failed", "a run whose gate failed is measured all the same")
    markdown = (shop.folder / "failing" / "study.md").read_text(encoding="utf-8")
    check("bad-s1: failed: " in markdown and "control" not in markdown, markdown)


def a_killed_study_goes_on_where_it_was(shop):
    command = study(shop, SMOKE, "killed", seeds="[1]", training__tokens=61440, checkpoint__every_steps=5)
    run = shop.folder / "killed" / "runs" / "default-s1"
    for end in (signal.SIGUSR1, signal.SIGKILL):
        newest = lambda: max((path.name for path in (run / "checkpoints").glob("step-*")), default="")
        before = newest()
        driver = shop.start(command, ranks=0)
        wait_for(lambda: newest() > before or driver.poll() is not None, "a checkpoint")
        check(driver.poll() is None, f"the driver ended ({driver.returncode})")
        driver.send_signal(end)
        check_equal(driver.wait(timeout=END_S), 75 if end == signal.SIGUSR1 else -signal.SIGKILL, "exit code")
        table = shop.run(*command, "--summary", "--json", ranks=0).must_end_with(70).json
        check_equal(table["runs"][0]["state"], "stopped" if end == signal.SIGUSR1 else "interrupted", "state")
    driver, written = shop.start(command, ranks=0), shop.folder / "killed" / "study.json"
    first_is_in = lambda: json.loads(written.read_text(encoding="utf-8"))["rows"][0]["ratio"] is not None
    wait_for(lambda: driver.poll() is not None or first_is_in(), "a table with the first job")
    check(driver.poll() is None, f"the driver ended ({driver.returncode})")
    driver.kill()
    driver.wait(timeout=END_S)
    check(first_is_in(), "the table of the first job is gone")
    table = shop.run(*command, "--json", ranks=0).must_end_with(0).json
    check_equal({one["state"] for one in table["runs"]}, {"passed"}, "states in the end")
    log = (shop.folder / "killed" / "jobs" / "default-s1.log").read_text(encoding="utf-8")
    check_equal(log.count("goes on from step"), 2, "attempts that went on from a checkpoint")


FULL_PRECISION = {"quantization__format": "float16", "quantization__embedding_bits": 16, "quantization__head_bits": 16,
                  "quantization__activation_bits": 16, "gates__compression__severity": "off",
                  "gates__speedup__severity": "off"}


def full_precision_untrained_is_the_original(shop):
    result = shop.run(*shop.quick("kept", **FULL_PRECISION, training__enabled="false"), "--json").must_end_with(0).json
    results = result["results"]
    check_close(results["packed"]["perplexity"], results["before"]["perplexity"], 1e-4, "perplexity")
    check(results["packed"]["kl"] < 1e-5, f"KL to the original: {results['packed']['kl']}")
    check_equal((results["layers_quantized"], results["layers_compressed"]), (0, 0), "layers in less than 16 bits")
    check(abs(results["packed_bytes"] / results["fp16_bytes"] - 1) < 0.2, f"{results['packed_bytes']} bytes")
    check_equal({gate["verdict"] for gate in result["gates"]}, {"pass", "skipped"}, "gates")
    shop.run("verify", shop.folder / "kept" / "artifacts", ranks=0).must_end_with(0)


def full_precision_begins_training_at_the_original(shop):
    settings = {**FULL_PRECISION, "training__distillation": 1, "training__tokens": 10240, "training__bfloat16": "false"}
    shop.run(*shop.quick("first-step", **settings)).must_end_with(0)
    lines = shop.run("report", shop.folder / "first-step", "--csv", "metrics", ranks=0).must_end_with(0).out.splitlines()
    kl = [float(line.split(",")[4]) for line in lines if line.startswith('"training/kl",1,')]
    check_equal(len(kl), 1, "first steps")
    check(abs(kl[0]) < 1e-5, f"KL of the first step: {kl[0]}")


def skipping_everything_is_still_refused_with_a_way_out(shop):
    said = shop.run(*shop.quick("skipped", quantization__skip="['*']")).must_end_with(64).err
    check("quantization.format: float16 keeps all of them" in said, said)


def a_rank_of_mpirun_is_refused(shop):
    shop.run(*study(shop, SMOKE, "ranks"), ranks=2).must_end_with(64)


if __name__ == "__main__":
    main([the_figures_are_those_of_the_runs, the_files_say_the_same, finished_runs_are_not_run_again,
          a_row_that_was_changed_is_not_passed_off_as_the_run_that_is_there, a_failing_row_says_so_and_the_others_go_on,
          a_killed_study_goes_on_where_it_was, full_precision_untrained_is_the_original,
          full_precision_begins_training_at_the_original, skipping_everything_is_still_refused_with_a_way_out,
          a_rank_of_mpirun_is_refused])
