"""What a person sees of a run: its page, its tables, and a run that is watched while it works and afterwards."""

import csv
import io
import json
import os
import shutil
import signal
import time
import xml.etree.ElementTree as xml

from driving import Skipped, check, check_equal, digests, main, status_of

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp; \u202e"


def compressed(shop):
    """A small run with everything in it; made by the first test."""
    run = shop.folder / "run"
    if not (run / "artifacts").exists():
        shop.first_result = shop.run(*shop.quick("run", data__evaluation=f"[{shop.text}]", blockwise__enabled="true",
                                                 quantization__solver="compensated")).must_end_with(0)
    return run


def parsed(page):
    """The page as XML: well-formed, or this throws."""
    text = page.read_text(encoding="utf-8")
    check(text.startswith("<!DOCTYPE html>"), "no doctype")
    return xml.fromstring(text.partition("\n")[2])


def loads_and_runs_nothing(tree):
    for element in tree.iter():
        check(element.tag not in ("script", "img", "iframe", "object", "embed", "link", "base", "form"), f"<{element.tag}>")
        for name, value in element.attrib.items():
            check(not name.lower().startswith("on") and name != "src", f"{element.tag} {name}={value}")
            check(name != "href" or value.startswith("#"), f"a link out of the page: {value}")
        if element.tag == "style":
            check("url(" not in element.text and "@import" not in element.text, "the style loads something")


def at(document, pointer):
    """What a JSON pointer (RFC 6901) points to."""
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def report_of(shop, run):
    return shop.run("report", run, "--json", ranks=0).must_end_with(0).json


def a_job_leaves_a_page_and_says_where(shop):
    run = compressed(shop)
    check(str(run / "report.html") in shop.first_result.out, f"not said:\n{shop.first_result.out}")
    tree = parsed(run / "report.html")
    loads_and_runs_nothing(tree)
    parts = {section.get("id") for section in tree.iter("section")}
    wanted = {"gates", "figures", "models", "training", "layers", "trits", "machine", "data", "origin"}
    check_equal(parts, wanted, "parts of the page")
    check(len(list(tree.iter("svg"))) >= 12, "charts are missing")


def a_rejected_run_has_its_page_too(shop):
    run = shop.folder / "rejected-run"
    shop.run(*shop.quick(run.name, training__enabled="false", gates__compression__severity="fail",
                         gates__compression__threshold=1000), ranks=1).must_end_with(3)
    words = [element.text for element in parsed(run / "report.html").iter("span")]
    check("gate failed" in words and "FAIL" in words, f"no verdict in {words}")


def every_figure_of_the_page_is_that_of_the_json(shop):
    run = compressed(shop)
    report = report_of(shop, run)
    tree = parsed(run / "report.html")
    keys = {}
    for element in tree.iter("data"):
        if element.get("data-key"):
            keys[element.get("data-key")] = float(element.get("value"))
    for key, value in keys.items():
        check_equal(value, float(at(report, key)), key)
    for key in ("/results/packed/perplexity", "/results/packed_bytes", "/metrics/compression~1ratio", "/gates/0/value",
                "/series/evaluation~1tuned by block~1perplexity/last_value", "/timing/ranks/1/peak_memory_bytes",
                "/series/evaluation~1dequantized~1top1_accuracy/last_value", "/provenance/data/0/tokens"):
        check(key in keys, f"the page has no {key}")
    check(len(keys) > 40, f"only {len(keys)} figures")


def the_layers_of_the_page_are_those_of_the_json(shop):
    run = compressed(shop)
    layers = report_of(shop, run)["layers"]
    section = next(s for s in parsed(run / "report.html").iter("section") if s.get("id") == "layers")
    rows = [row for row in section.iter("tr") if row.find("td") is not None]
    check_equal(len(rows), len(layers), "rows of the table")
    columns = ("bits_per_weight", "sparsity", "relative_error", "weighted_relative_error", "scale_mean")
    for row, layer in zip(rows, layers):
        check_equal(row.find("th").text, layer["name"], "name of a layer")
        figures = [float(element.get("value")) for element in row.iter("data")]
        check_equal(figures, [layer[column] for column in columns], layer["name"])


def the_trits_of_the_page_are_those_of_the_packed_file(shop):
    run = compressed(shop)
    tensors = shop.run("inspect", run / "artifacts", "--json", ranks=0).must_end_with(0).json["tensors"]
    zeros = {t["name"]: t["sparsity"] for t in tensors if t["format"] == "ternary"}
    counts = report_of(shop, run)["provenance"]["trits"]
    check_equal({layer["name"] for layer in counts}, set(zeros), "ternary layers")
    for layer in counts:
        share = layer["zero"] / (layer["minus"] + layer["zero"] + layer["plus"])
        check_equal(share, zeros[layer["name"]], layer["name"])
        check(layer["minus"] > 0 and layer["plus"] > 0, f"one-sided: {layer}")


def the_page_is_the_same_again_and_goes_where_it_is_asked_to(shop):
    run = compressed(shop)
    first = (run / "report.html").read_bytes()
    (run / "report.html").unlink()
    check("report.html" in shop.run("report", run, ranks=0).must_end_with(0).out, "not said where")
    check_equal((run / "report.html").read_bytes(), first, "the page made again")
    there = shop.folder / "page.html"
    before = digests(run)
    shop.run("report", run, "--html", there, "--json", ranks=0).must_end_with(0)
    check_equal(there.read_bytes(), first, "the page made elsewhere")
    for more in ("--json", "--markdown", "--csv=layers", "--csv=metrics"):
        shop.run("report", run, more, ranks=0).must_end_with(0)
    check_equal(digests(run), before, "the run's files")
    shop.run("report", run, "--html", "/nowhere/at/all.html", ranks=0).must_end_with(74)


def tables_for_other_programs_hold_the_same_figures(shop):
    run = compressed(shop)
    report = report_of(shop, run)
    rows = list(csv.DictReader(io.StringIO(shop.run("report", run, "--csv", "layers", ranks=0).must_end_with(0).out)))
    check_equal(len(rows), len(report["layers"]), "rows of layers.csv")
    for row, layer in zip(rows, report["layers"]):
        check_equal({key: type(layer[key])(value) for key, value in row.items()}, layer, "a layer")
    rows = list(csv.DictReader(io.StringIO(shop.run("report", run, "--csv", "metrics", ranks=0).must_end_with(0).out)))
    last = {row["name"]: float(row["value"]) for row in rows}
    check_equal(last, {name: series["last_value"] for name, series in report["series"].items()}, "last values")
    markdown = shop.run("report", run, "--markdown", ranks=0).must_end_with(0).out
    for words in ("## Figures", "| perplexity |", "## Gates", "## Stages", "## Layers"):
        check(words in markdown, f"no {words!r} in:\n{markdown[:2000]}")


def changed_journal(run, change):
    """Rewrites each line; `change` gets the object and may change it."""
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    for line in lines:
        change(line)
    (run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def gate_of(report, name):
    return next(gate for gate in report["gates"] if gate["name"] == name)


def the_speed_gate_shows_one_measurement_everywhere(shop):
    """What a clock says is not judged here: only that it was measured, and that all say the same."""
    run = compressed(shop)
    report = report_of(shop, run)
    gate, speed = gate_of(report, "speedup"), report["results"]["speed"]
    for form in ("packed", "fp32", "bf16"):
        rate = speed[form]
        check(0 < rate["slowest"] <= rate["median"] <= rate["fastest"] and rate["bytes_per_token"] > 0, f"{form}: {rate}")
        series = report["series"][f"speed/{form}/decode"]
        check_equal((series["last_value"], series["unit"]), (rate["median"], "tokens/s"), f"the series of {form}")
    check(speed["packed"]["bytes_per_token"] < speed["bf16"]["bytes_per_token"] < speed["fp32"]["bytes_per_token"], speed)
    check_equal((speed["device"], speed["threads"]), ("cpu", 1), "where")
    check(speed["instruction_set"] in ("portable", "avx2", "avx512") and speed["rounds"] >= 3, speed)
    form = "bf16" if speed["bf16"]["median"] > speed["fp32"]["median"] else "fp32"
    check_equal(gate["value"], speed["packed"]["median"] / speed[form]["median"], "the gate's value")
    check_equal(gate["verdict"], "pass" if gate["value"] >= gate["threshold"] else "fail", "verdict")
    check_equal((gate["severity"], gate["threshold"]), ("warn", 2), "what it wants by default")
    for words in (f"{gate['value']:.2f}x of {form}", "tokens/s", "1 thread", "cache"):
        check(words in gate["evidence"], f"no {words!r} in: {gate['evidence']}")
    text = shop.run("report", run, ranks=0).must_end_with(0).out
    row = next(line for line in text.splitlines() if line.startswith(f"speed-up to {form}"))
    check(f"{gate['value']:.2f}x" in row and "(>= 2)" in row, row)
    metadata = json.loads((run / "artifacts" / "compression_metadata.json").read_text(encoding="utf-8"))
    check_equal(metadata["more_metrics"]["inference_speedup"], gate["value"], "metadata")
    check_equal(metadata["speed"], speed, "metadata")
    check_equal(status_of(run)["verdict"]["gates"]["speedup"]["value"], gate["value"], "status.json")
    keys = {element.get("data-key") for element in parsed(run / "report.html").iter("data")}
    check({"/results/speed/packed/median", f"/results/speed/speedup/{form}"} <= keys, "the page has no speed")


def a_speed_that_cannot_be_measured_is_not_made_up(shop):
    run = shop.folder / "float-inputs"
    shop.run(*shop.quick(run.name, training__enabled="false", quantization__activation_bits=16,
                         report__sample_prompt="def main(", report__sample_tokens=5), ranks=1).must_end_with(0)
    report = report_of(shop, run)
    gate = gate_of(report, "speedup")
    check_equal((gate["verdict"], gate["severity"], gate["value"]), ("fail", "warn", None), "gate")
    check("was not measured: packed kernels take int8 inputs" in gate["evidence"], gate["evidence"])
    check_equal(list(report["results"]["speed"]), ["refusal"], "speed")
    check(not any(name.startswith("speed/") for name in report["series"]), "a series of speed")
    samples = report["provenance"]["samples"]
    check_equal((samples["prompt"], len(samples["texts"])), ("def main(", 3), "samples")
    check(all(sample["tokens"] == 5 or sample["ended"] for sample in samples["texts"]), samples)
    page = (run / "report.html").read_text(encoding="utf-8")
    check("Not measured: packed kernels take int8 inputs" in page and "faster by" not in page, "the page")
    silent = shop.folder / "silent"
    shop.run(*shop.quick(silent.name, training__enabled="false", gates__speedup__severity="off", report__sample_tokens=0),
             ranks=1).must_end_with(0)
    report = report_of(shop, silent)
    check_equal((gate_of(report, "speedup")["verdict"], report["results"]["speed"]), ("skipped", None), "switched off")
    check("samples" not in report["provenance"], "samples that nobody wanted")


def samples_are_what_generate_writes(shop):
    run = compressed(shop)
    report = report_of(shop, run)
    samples = report["provenance"]["samples"]
    prompt = samples["prompt"]
    check(len(prompt) > 8 and shop.text.read_text(encoding="utf-8").startswith(prompt), f"the prompt: {prompt!r}")
    models = {"original": shop.model, "packed": run, "dequantized": run / "artifacts" / "hf"}
    check_equal([sample["model"] for sample in samples["texts"]], list(models), "models")
    for sample in samples["texts"]:
        made = shop.run("generate", models[sample["model"]], "--prompt", prompt, "--tokens", "48", "--json",
                        ranks=0).must_end_with(0).json
        check_equal((sample["text"], sample["tokens"], sample["ended"]), (made["text"], made["tokens"], made["ended"]),
                    sample["model"])
    shown = {pre.get("data-key"): pre.text for pre in parsed(run / "report.html").iter("pre") if pre.get("data-key")}
    check_equal(len(shown), 4, "texts of the page")
    markdown = shop.run("report", run, "--markdown", ranks=0).must_end_with(0).out
    check("\n    " + prompt.replace("\n", "\n    ") in markdown, f"the prompt is not in:\n{markdown[:3000]}")
    for key, text in shown.items():
        check_equal(plain(text), plain(at(report, key)), key)


def plain(text):
    """Without the letters that a page cannot show."""
    return "".join(letter for letter in text or "" if letter == "\n" or (letter.isprintable() and letter != "\ufffd"))


def a_prompt_that_does_not_fit_is_refused_at_once(shop):
    refused = shop.run(*shop.quick("long-prompt", report__sample_prompt=500 * "x"), ranks=1).must_end_with(64)
    check("report.sample_prompt has" in refused.err and "==> prepare" not in refused.err, refused.err)


def poisoned(run, copy):
    """A copy of a run with markup in all the names that a page shows."""
    shutil.copytree(run, copy)

    def poison(line):
        if line["kind"] == "layers":
            for layer in line["table"]:
                layer["name"] += HOSTILE
                layer["role"] = HOSTILE
        elif line["kind"] == "gates":
            for gate in line["table"]:
                gate["evidence"] = gate["comparison"] = HOSTILE
        elif line["kind"] == "stage":
            line["name"] = HOSTILE
        elif line["kind"] == "rank":
            line["host"] = HOSTILE
        elif line["kind"] == "provenance" and line["key"] == "data":
            line["value"][0]["path"] = HOSTILE
        elif line["kind"] == "provenance" and line["key"] == "samples":
            line["value"]["prompt"] = line["value"]["texts"][0]["text"] = line["value"]["texts"][1]["model"] = HOSTILE
        elif line["kind"] == "provenance" and line["key"] == "results":
            line["value"]["speed"]["processor"] = HOSTILE
        elif line["kind"] == "provenance" and line["key"] == "source":
            line["value"][HOSTILE] = HOSTILE

    changed_journal(copy, poison)
    config = copy / "config.resolved.yaml"
    lines = [line for line in config.read_text(encoding="utf-8").splitlines() if not line.startswith("name:")]
    config.write_text("\n".join([f"name: {json.dumps(HOSTILE)}", *lines]) + "\n", encoding="utf-8")
    return copy


def markup_in_names_stays_text(shop):
    run = poisoned(compressed(shop), shop.folder / "hostile")
    shop.run("report", run, ranks=0).must_end_with(0)
    tree = parsed(run / "report.html")
    loads_and_runs_nothing(tree)
    shown = HOSTILE.replace("\u202e", "\ufffd")
    check_equal(tree.find("body").find("header").find("h1").text, shown, "the title")
    check(sum(shown in (element.text or "") for element in tree.iter()) > 20, "the names are not shown")
    picture = shop.run("watch", run, "--once", ranks=0).must_end_with(0).out
    check("<script>" in picture, "the terminal shows names as they are")
    shop.run("runs", run, ranks=0).must_end_with(0)


def a_journal_that_was_cut_off_is_shown_as_far_as_it_goes(shop):
    run = shop.folder / "cut"
    shutil.copytree(compressed(shop), run)
    (run / "run.h5").unlink()
    journal = run / "journal.jsonl"
    whole = journal.read_bytes()
    for part in (0.5, 0.9, 0.1):
        journal.write_bytes(whole[:int(part * len(whole))])
        shop.run("report", run, ranks=0).must_end_with(0)
        loads_and_runs_nothing(parsed(run / "report.html"))
        shop.run("watch", run, "--once", "--json", ranks=0).must_end_with(0)


def watching_a_finished_run_ends_at_once_with_its_code(shop):
    run = compressed(shop)
    before = digests(run)
    seen = shop.run("watch", run, "--json", ranks=0).must_end_with(0).json
    check_equal((seen["state"], seen["exit_code"], seen["judged"]), ("passed", 0, True), "what was seen")
    text = shop.run("watch", run, ranks=0).must_end_with(0).out
    for words in ("passed (exit code 0)", "perplexity", "tuned by block", "compression"):
        check(words in text, f"no {words!r} in:\n{text}")
    check(len(text.splitlines()) < 40, "more than a screen")
    check_equal(digests(run), before, "the run's files")
    a_rejected_run_has_its_page_too(shop)
    shop.run("watch", shop.folder / "rejected-run", ranks=0).must_end_with(3)
    check("holds no run" in shop.run("watch", shop.folder / "nothing", ranks=0).must_end_with(74).err, "no reason")


def a_run_is_watched_while_it_works_and_to_its_end(shop):
    run = shop.folder / "long"
    job = shop.start(shop.quick(run.name, training__tokens="4e5", gates__compression__threshold=1000), ranks=2)
    try:
        seen = None
        for _ in range(300):
            time.sleep(0.2)
            if (run / "status.json").exists() and (run / "heartbeat.json").exists():
                seen = shop.run("watch", run, "--once", "--json", ranks=0).must_end_with(0).json
                if "training/loss" in seen["values"] and "fine-tune" in (seen["phase"] or ""):
                    break
        if seen is None or seen["state"] != "running":
            raise Skipped("the job was over before it was seen")
        check_equal(len(seen["ranks"]), 2, "ranks")
        check(seen["ranks"][0]["memory_bytes"] > 1e7, "memory of a rank")
        check(any(gate["state"].endswith("so far") for gate in seen["gates"]), f"gates: {seen['gates']}")
        begin = time.monotonic()
        end = shop.run("watch", run, "--interval", "0.5", ranks=0).must_end_with(0)
        check("passed" in end.out.rsplit("run  ", 1)[-1], f"the last picture:\n{end.out[-2000:]}")
        check(end.out.count("run  ") > 1 or time.monotonic() - begin < 2, "only one picture")
        check_equal(job.wait(timeout=60), 0, "the job's own code")
    finally:
        if job.poll() is None:
            job.terminate()
            job.wait()


def a_run_that_was_stopped_gives_its_code(shop):
    run = shop.folder / "stopped"
    job = shop.start(shop.quick(run.name, training__tokens="4e6"), ranks=1)
    try:
        while not ((run / "status.json").exists() and status_of(run)["stage"] == "fine-tune"):
            check(job.poll() is None, "the job ended too early")
            time.sleep(0.1)
        shop.run("stop", run, ranks=0).must_end_with(0)
        shop.run("watch", run, "--interval", "0.3", ranks=0).must_end_with(75)
    finally:
        if job.poll() is None:
            os.kill(job.pid, signal.SIGTERM)
        job.wait()


def runs_lists_every_run_with_its_figures(shop):
    run = compressed(shop)
    results = report_of(shop, run)["results"]
    listed = shop.run("runs", shop.folder, "--json", ranks=0).must_end_with(0).json["runs"]
    mine = next(item for item in listed if item["run"] == str(run))
    check_equal((mine["state"], mine["perplexity_before"], mine["perplexity_after"], mine["ratio"]),
                ("passed", results["before"]["perplexity"], results["packed"]["perplexity"],
                 results["fp32_bytes"] / results["packed_bytes"]), "the listed run")
    text = shop.run("runs", shop.folder, ranks=0).must_end_with(0).out
    check(f"{results['packed']['perplexity']:.3f}" in text, text)
    shop.run("runs", shop.folder / "nothing", ranks=0).must_end_with(74)


if __name__ == "__main__":
    main([a_job_leaves_a_page_and_says_where, a_rejected_run_has_its_page_too,
          every_figure_of_the_page_is_that_of_the_json, the_layers_of_the_page_are_those_of_the_json,
          the_trits_of_the_page_are_those_of_the_packed_file, the_page_is_the_same_again_and_goes_where_it_is_asked_to,
          tables_for_other_programs_hold_the_same_figures, the_speed_gate_shows_one_measurement_everywhere,
          a_speed_that_cannot_be_measured_is_not_made_up, samples_are_what_generate_writes,
          a_prompt_that_does_not_fit_is_refused_at_once, markup_in_names_stays_text,
          a_journal_that_was_cut_off_is_shown_as_far_as_it_goes, watching_a_finished_run_ends_at_once_with_its_code,
          a_run_is_watched_while_it_works_and_to_its_end, a_run_that_was_stopped_gives_its_code,
          runs_lists_every_run_with_its_figures])
