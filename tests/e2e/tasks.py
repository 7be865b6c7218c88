"""Tasks from local files: by themselves, in a job with the accuracy gate on one of them, and what is said of wrong files."""

import json

from driving import PACKED, QUICK, check, check_equal, main, sets

WORDS = "oars boats ropes nets gulls waves sails piers".split()


def write_lines(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def files(shop):
    """A file each for a task with acc_norm, one of a last word, and a folder of two subjects."""
    folder = shop.folder / "tasks"
    if not folder.exists():
        (folder / "mmlu").mkdir(parents=True)
        write_lines(folder / "piqa.jsonl", [
            {"goal": f"Carry {WORDS[i % 8]}", "sol1": f"use {WORDS[i % 5]}", "sol2": f"use two {WORDS[i % 3]} and wait",
             "label": i % 2} for i in range(13)])
        write_lines(folder / "lambada.jsonl", [{"text": f"import {WORDS[i % 8]} from {WORDS[i % 3]}"} for i in range(9)])
        for subject in ("harbours", "knots"):
            (folder / "mmlu" / f"{subject}_test.csv").write_text(
                "".join(f'"What, if {word}?",1,2,3,4,{"ABCD"[i % 4]}\n' for i, word in enumerate(WORDS)), encoding="utf-8")
    return folder


def asked(shop):
    folder = files(shop)
    return ("--task", f"piqa={folder / 'piqa.jsonl'}", "--task", f"lambada={folder / 'lambada.jsonl'}",
            "--task", f"mmlu={folder / 'mmlu'}")


def job(shop, name, **settings):
    folder = files(shop)
    tasks = f"[{{name: piqa, path: {folder / 'piqa.jsonl'}}}, {{name: lambada, path: {folder / 'lambada.jsonl'}, limit: 4}}]"
    return shop.quick(name, training__enabled="false", evaluation__tasks=tasks, gates__accuracy__task="piqa",
                      gates__accuracy__metric="acc_norm", **settings)


def must_fail(shop, code, words, *arguments, ranks=0):
    result = shop.run(*arguments, ranks=ranks).must_end_with(code)
    check_equal((len(result.errors()), result.out), (1, ""), f"error messages and stdout of {arguments}")
    for word in words:
        check(str(word) in result.err, f"the message does not name {word!r}: {result.err}")


def the_figures_are_the_same_on_any_number_of_ranks(shop):
    found = {ranks: shop.run("evaluate", shop.model, *asked(shop), "--batch", "3", "--json", ranks=ranks)
             .must_end_with(0).json for ranks in (0, 1, 2, 3, 4)}
    check_equal(set(found[0]), {"tasks"}, "keys without --data")
    for ranks, figures in found.items():
        check_equal(figures, found[0], f"{ranks} ranks")
    piqa, lambada, mmlu = found[0]["tasks"]
    check_equal((piqa["documents"], lambada["documents"], mmlu["documents"]), (13, 9, 16), "documents")
    check_equal(set(piqa), {"task", "path", "sha256", "documents", "acc", "acc_stderr", "acc_norm", "acc_norm_stderr"},
                "figures of piqa")
    check("perplexity" in lambada and "acc_norm" not in mmlu, f"{lambada}, {mmlu}")


def a_table_shows_both_models_and_samples_every_document(shop):
    samples = shop.folder / "samples.jsonl"
    text = shop.run("evaluate", shop.model, *asked(shop), "--limit", "5", "--against", shop.model, "--data", shop.text,
                    "--sequence-length", "64", "--windows", "3", "--samples", samples).must_end_with(0).out
    for words in ("top1_agreement", "acc_norm", "against", "stderr", "lambada", "perplexity"):
        check(words in text, f"{words!r} is missing in:\n{text}")
    lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    check_equal(len(lines), 5 + 5 + 2 * 5, "documents in the samples")
    check_equal(lines[0]["choices"][0]["continuation"], " use oars", "the first choice")
    check(lines[0]["choices"][0]["log_likelihood"] < 0, f"{lines[0]}")


def a_job_measures_them_and_judges_the_accuracy_of_one(shop):
    run = shop.folder / "run"
    result = shop.run(*job(shop, "run", gates__accuracy__severity="fail", gates__accuracy__threshold=0), "--json")
    tasks = result.must_end_with(0).json["results"]["tasks"]
    check_equal([(task["task"], task["documents"], task["limit"]) for task in tasks], [("piqa", 13, 0), ("lambada", 4, 4)],
                "tasks, documents, limits")
    gate = next(gate for gate in result.json["gates"] if gate["name"] == "accuracy")
    before, packed = tasks[0]["before"]["acc_norm"], tasks[0]["packed"]["acc_norm"]
    check_equal(gate["value"], packed / before, "value of the gate")
    check(gate["evidence"].startswith("acc_norm of piqa: "), gate["evidence"])
    metadata = json.loads((run / "artifacts" / "compression_metadata.json").read_text(encoding="utf-8"))
    check_equal(metadata["tasks"], tasks, "tasks of the metadata")
    series = result.json["series"]
    check_equal(series["evaluation/packed/lambada/perplexity"]["last_value"], tasks[1]["packed"]["perplexity"], "series")
    text = shop.run("report", run, ranks=0).must_end_with(0).out
    check("piqa acc_norm" in text and "lambada perplexity" in text, text)
    again = shop.run("evaluate", run / "artifacts" / PACKED, *asked(shop)[:2], "--against", shop.model, "--json").json
    check_equal({name: again["tasks"][0][name] for name in tasks[0]["packed"]}, tasks[0]["packed"], "the packed model again")
    check_equal(again["tasks"][0]["against"], tasks[0]["before"], "the original again")


def a_gate_on_a_task_can_fail_the_job(shop):
    result = shop.run(*job(shop, "failed", gates__accuracy__severity="fail", gates__accuracy__threshold=100), "--json")
    check_equal(result.code, 3, "exit code")
    check("FAIL" in next(line for line in result.err.splitlines() if line.startswith("piqa acc_norm")), result.err)


def a_started_run_refuses_another_file_of_a_task(shop):
    copy = shop.folder / "copy.jsonl"
    copy.write_text((files(shop) / "piqa.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
    arguments = shop.quick("changed", training__enabled="false", evaluation__tasks=f"[{{name: piqa, path: {copy}}}]")
    shop.run(*arguments).must_end_with(0)
    run = shop.folder / "changed"
    (run / "artifacts").rename(run / "away")  # as if it had been stopped before the end
    copy.write_text(copy.read_text(encoding="utf-8").replace("oars", "boats"), encoding="utf-8")
    must_fail(shop, 64, ("files of the task piqa",), *arguments)


def wrong_tasks_and_files_are_said_before_anything_is_done(shop):
    wrong = shop.folder / "wrong.jsonl"
    wrong.write_text('{"goal": "a", "sol1": "b", "sol2": "c", "label": 0}\n{"goal": "a", "sol1": "b", "sol2": "c"}\n',
                     encoding="utf-8")
    evaluate = ("evaluate", shop.model)
    must_fail(shop, 64, ("--data", "--task"), *evaluate)
    must_fail(shop, 64, ("helaswag", "hellaswag"), *evaluate, "--task", f"helaswag={wrong}")
    must_fail(shop, 64, ("NAME=FILE",), *evaluate, "--task", "piqa")
    must_fail(shop, 65, ("/nowhere.jsonl",), *evaluate, "--task", "piqa=/nowhere.jsonl")
    must_fail(shop, 65, (f"{wrong}:2", "'label'"), *evaluate, "--task", f"piqa={wrong}", ranks=3)
    must_fail(shop, 64, ("--samples",), *evaluate, "--data", shop.text, "--samples", shop.folder / "s.jsonl")
    for command in ("plan", "compress"):
        out = sets(model__path=shop.model, output=shop.folder / "none", data__cache=shop.tokens)
        task = sets(evaluation__tasks=f"[{{name: piqa, path: {wrong}}}]")
        must_fail(shop, 65, (f"{wrong}:2", "'label'"), command, QUICK, *out, *task)
        metric = sets(evaluation__tasks=f"[{{name: blimp, path: {wrong}}}]", gates__accuracy__task="blimp",
                      gates__accuracy__metric="acc_norm")
        must_fail(shop, 64, ("gates.accuracy.metric", "blimp"), command, QUICK,
                  *sets(model__path=shop.model, output=shop.folder / f"none-{command}", data__cache=shop.tokens), *metric)


if __name__ == "__main__":
    main([the_figures_are_the_same_on_any_number_of_ranks, a_table_shows_both_models_and_samples_every_document,
          a_job_measures_them_and_judges_the_accuracy_of_one, a_gate_on_a_task_can_fail_the_job,
          a_started_run_refuses_another_file_of_a_task, wrong_tasks_and_files_are_said_before_anything_is_done])
