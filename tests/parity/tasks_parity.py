#!/usr/bin/env python3
"""Tasks against lm-evaluation-harness: its own prompts, tokenization, model wrapper and metrics.

Writes a file for each task, in its published layout, with sentences of our own; makes tiny random models with a tokenizer
that puts BOS before a text and one that does not; and asks both programs. Where the shared data are, also a real model on
published files. Compared are every context and continuation, every log-likelihood (to 1e-4) and greedy flag, and the
accuracies with their standard errors.

Run by the Python of .venv-lmeval (tests/parity/make_lm_eval.sh). Usage: tasks_parity.py TERCET
"""
import csv
import json
import logging
import os
import pathlib
import subprocess
import sys
import tempfile

# Models this small gain nothing from threads, which wait for each other without end where other work has the cores.
os.environ["OMP_NUM_THREADS"] = "1"

import datasets
import lm_eval.tasks
import tokenizers
import torch
import transformers
from lm_eval.api.task import ConfigurableTask
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml

logging.disable(logging.WARNING)
datasets.disable_progress_bars()
DEFINITIONS = pathlib.Path(lm_eval.tasks.__file__).parent
TOLERANCE = 1e-4

WORDS = ("the a kettle harbour ladder lantern pebble orchard walks opens carries paints quietly slowly bright heavy old "
         "green under over beside Café naïve Zürich élan").split()


def sentence(seed, length):
    """Invented, the same each time, now and then with a space or a sign more."""
    words = [WORDS[(seed * 7 + i * i * 3 + i * seed) % len(WORDS)] for i in range(length)]
    text = " ".join(words).capitalize()
    return text + ("." if seed % 3 else "  ") if seed % 4 else text.replace(" ", "  ", 1) + "!"


def write_lines(file, rows):
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def lambada(folder):
    rows = [{"text": sentence(i, 4 + 9 * i % 40).rstrip(" .!") + " " + WORDS[i % len(WORDS)]} for i in range(12)]
    rows.append({"text": "lonely"})
    return write_lines(folder / "lambada.jsonl", rows)


def hellaswag(folder):
    rows = []
    for i in range(12):
        rows.append({"ind": i, "activity_label": WORDS[i].capitalize() + " repair", "label": i % 4 if i % 2 else str(i % 4),
                     "ctx_a": sentence(i, 6) + " [header] How to  [title] " + sentence(i + 1, 5) if i % 2 else sentence(i, 40),
                     "ctx_b": "Élan THEN " + sentence(i + 2, 3) if i % 3 else "",
                     "endings": [f" {sentence(i + j, 4 + j)} [substeps] {sentence(j, 2)} " for j in range(4)]})
    return write_lines(folder / "hellaswag.jsonl", rows)


def piqa(folder):
    rows = [{"goal": sentence(i, 5 + i), "sol1": sentence(i + 1, 4), "sol2": sentence(i + 3, 6)} for i in range(10)]
    (folder / "piqa-labels.lst").write_text("".join(f"{i % 2}\n" for i in range(10)), encoding="utf-8")
    return write_lines(folder / "piqa.jsonl", rows)


def winogrande(folder):
    rows = [{"sentence": f"{sentence(i, 5)} _ {sentence(i + 5, 4 + i)}", "option1": "the kettle", "option2": "a ladder",
             "answer": str(1 + i % 2)} for i in range(10)]
    return write_lines(folder / "winogrande.jsonl", rows)


def arc(name):
    def write(folder):
        rows = []
        for i in range(10):
            labels = "ABCDE"[:3 + i % 3] if i % 2 else "1234"
            rows.append({"id": f"q{i}", "answerKey": labels[i % len(labels)], "question": {
                "stem": sentence(i, 6 + 3 * i),
                "choices": [{"text": sentence(i + j, 1 + j), "label": label} for j, label in enumerate(labels)]}})
        return write_lines(folder / f"{name}.jsonl", rows)
    return write


def mmlu(folder):
    (folder / "mmlu" / "test").mkdir(parents=True)
    for subject in ("high_school_physics", "anatomy"):
        with open(folder / "mmlu" / "test" / f"{subject}_test.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(
                [f' {sentence(i, 6)}, "{WORDS[i]}"\nand {sentence(i, 3)} ', *(sentence(i + j, 2) for j in range(4)), "ABCD"[i % 4]]
                for i in range(6))
    return folder / "mmlu"


def blimp(folder):
    (folder / "blimp").mkdir()
    for paradigm in ("adjunct_island", "causative"):
        write_lines(folder / "blimp" / f"{paradigm}.jsonl", [
            {"sentence_good": sentence(i, 5), "sentence_bad": " ".join(reversed(sentence(i, 5).split()))} for i in range(8)])
    return folder / "blimp"


OURS = {"lambada": lambada, "hellaswag": hellaswag, "piqa": piqa, "winogrande": winogrande, "arc_easy": arc("arc_easy"),
        "arc_challenge": arc("arc_challenge"), "mmlu": mmlu, "blimp": blimp}


def lines(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def hub_rows(task, file):
    """The published records as the harness's data sets hold them."""
    if task == "mmlu":
        with open(file, newline="", encoding="utf-8") as rows:
            return [{"question": r[0], "choices": r[1:5], "answer": "ABCD".index(r[5])} for r in csv.reader(rows)]
    rows = lines(file)
    if task == "piqa":
        labels = (file.parent / "piqa-labels.lst").read_text().split()
        return [dict(row, label=int(label)) for row, label in zip(rows, labels, strict=True)]
    if task.startswith("arc"):
        return [{"question": row["question"]["stem"], "answerKey": row["answerKey"],
                 "choices": {"text": [c["text"] for c in row["question"]["choices"]],
                             "label": [c["label"] for c in row["question"]["choices"]]}} for row in rows]
    if task == "hellaswag":
        return [dict(row, label=str(row["label"])) for row in rows]
    return [{key: value for key, value in row.items() if isinstance(value, str)} for row in rows]


def definition(task, file):
    """The harness's own description of the task that this file belongs to."""
    subject = file.stem.removesuffix("_test").removesuffix("_dev")
    return {"lambada": "lambada/lambada_openai.yaml", "hellaswag": "hellaswag/hellaswag.yaml", "piqa": "piqa/piqa.yaml",
            "winogrande": "winogrande/default.yaml", "arc_easy": "arc/arc_easy.yaml",
            "arc_challenge": "arc/arc_challenge.yaml", "mmlu": f"mmlu/default/mmlu_{subject}.yaml",
            "blimp": f"blimp/{subject}.yaml"}[task]


def files_of(task, path):
    if path.is_file():
        return [path]
    folder = path / "test" if (path / "test").is_dir() else path
    return sorted(folder.glob("*.csv" if task == "mmlu" else "*.jsonl"))


def ask_harness(lm, task, path, limit):
    """All requests with their answers, and the metrics over all files."""
    asked, figures = [], {}
    for file in files_of(task, path):
        rows = datasets.Dataset.from_list(hub_rows(task, file)[:limit or None])
        splits = {name: rows for name in ("train", "validation", "test", "dev")}
        config = load_yaml(DEFINITIONS / definition(task, file))
        config["custom_dataset"] = lambda _splits=splits, **_: _splits
        subject = ConfigurableTask(config=config)
        subject.build_all_requests(limit=None, rank=0, world_size=1)
        answers = lm.loglikelihood(subject.instances, disable_tqdm=True)
        by_document = {}
        for request, answer in zip(subject.instances, answers, strict=True):
            by_document.setdefault(request.doc_id, []).append((request, answer))
        documents = list(subject.eval_docs)
        for number in range(len(documents)):
            pairs = sorted(by_document[number], key=lambda pair: pair[0].idx)
            asked.append([(*request.args, *answer) for request, answer in pairs])
            found = subject.process_results(documents[number], [answer for _, answer in pairs])
            for name, value in found.items():
                figures.setdefault(name, []).append(value)
    return asked, figures


def ask_tercet(tercet, model, tasks, limit, folder, ranks=()):
    samples = folder / "samples.jsonl"
    command = [*ranks, tercet, "evaluate", model, "--json", "--limit", str(limit), "--samples", samples]
    for task, path in tasks.items():
        command += ["--task", f"{task}={path}"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"tercet evaluate ended with {done.returncode}: {done.stderr[-2000:]}")
    return {task["task"]: task for task in json.loads(done.stdout)["tasks"]}, lines(samples)


def compare_requests(where, ours, theirs):
    if len(ours) != len(theirs):
        raise SystemExit(f"{where}: {len(ours)} documents against {len(theirs)}")
    worst = count = 0
    for document, (mine, reference) in enumerate(zip(ours, theirs)):
        if len(mine["choices"]) != len(reference):
            raise SystemExit(f"{where}, document {document}: {len(mine['choices'])} choices against {len(reference)}")
        for choice, (context, continuation, log_likelihood, greedy) in zip(mine["choices"], reference):
            if (choice["context"], choice["continuation"]) != (context, continuation):
                raise SystemExit(f"{where}, document {document}:\n{choice['context']!r} + {choice['continuation']!r}\n"
                                 f"harness:\n{context!r} + {continuation!r}")
            worst = max(worst, abs(choice["log_likelihood"] - log_likelihood))
            if not worst <= TOLERANCE or choice["greedy"] != greedy:
                raise SystemExit(f"{where}, document {document}: {choice} against {log_likelihood}, {greedy}")
            count += 1
    return count, worst


def compare_figures(where, mine, figures):
    from lm_eval.api.metrics import mean_stderr
    for name, values in figures.items():
        mean = sum(values) / len(values)
        expected = torch.tensor(-mean, dtype=torch.double).exp().item() if name == "perplexity" else mean
        near = 1e-4 * abs(expected) if name == "perplexity" else 1e-12
        if abs(mine[name] - expected) > near:
            raise SystemExit(f"{where}: {name} is {mine[name]}, the harness has {expected}")
        if name != "perplexity" and abs(mine[name + "_stderr"] - mean_stderr(values)) > 1e-12:
            raise SystemExit(f"{where}: stderr of {name} is {mine[name + '_stderr']}, the harness has {mean_stderr(values)}")
    return ", ".join(f"{name} {mine[name]:.4f}" for name in figures)


def compare(tercet, name, model, tasks, limit, folder):
    # As tokenizer.json says. transformers 5 gives a LlamaTokenizer other rules for spaces than those in its file.
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(model)
    lm = HFLM(pretrained=str(model), tokenizer=tokenizer, dtype="float32", device="cpu", batch_size=4)
    figures, samples = ask_tercet(tercet, model, tasks, limit, folder)
    for task, path in tasks.items():
        theirs, metrics = ask_harness(lm, task, path, limit)
        mine = [sample for sample in samples if sample["task"] == task]
        count, worst = compare_requests(f"{name}, {task}", mine, theirs)
        print(f"{name}, {task}: {len(mine)} documents, {count} log-likelihoods within {worst:.1e}; "
              f"{compare_figures(f'{name}, {task}', figures[task], metrics)}", flush=True)


def train_tokenizer(folder, bos):
    """Byte-level BPE of our sentences; with `bos`, it comes before every text."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=400, special_tokens=["<s>", "</s>"], show_progress=False,
                                             initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([sentence(i, 20) for i in range(40)] + ["Question: Answer:"] * 9, trainer)
    if bos:
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>",
                                                **({"bos_token": "<s>"} if bos else {}))
    fast.save_pretrained(folder)
    return len(fast)


def make_model(kind, folder, bos):
    """Random weights of some size, and positions so few that long prompts are cut."""
    vocabulary = train_tokenizer(folder, bos)
    torch.manual_seed(7)
    common = dict(vocab_size=vocabulary, bos_token_id=0, eos_token_id=1)
    if kind == "gpt2":
        config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=72, **common)
    else:
        config = transformers.LlamaConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                                          num_key_value_heads=2, max_position_embeddings=80, **common)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0.0, 0.4)
    model.save_pretrained(folder)
    return folder


def shared_tasks(shared):
    evaluation = shared / "eval"
    return {"lambada": evaluation / "lambada" / "lambada_test.jsonl", "blimp": evaluation / "blimp",
            "mmlu": evaluation / "mmlu" / "dev"}


def main():
    tercet = sys.argv[1]
    project = pathlib.Path(__file__).resolve().parents[2]
    shared = pathlib.Path(os.environ.get("TERCET_SHARED", project.parent / "shared")) / "data"
    with tempfile.TemporaryDirectory(prefix="tercet-tasks-") as name:
        folder = pathlib.Path(name)
        ours = {task: write(folder) for task, write in OURS.items()}
        for kind, bos in (("llama", True), ("gpt2", False)):
            model = folder / kind
            model.mkdir()
            compare(tercet, f"{kind} {'with' if bos else 'without'} BOS", make_model(kind, model, bos), ours, 0, folder)
        real = shared / "models" / "stories260K" / "hf"
        if real.is_dir():
            compare(tercet, "stories260K", real, ours, 0, folder)
            compare(tercet, "stories260K, published files", real, shared_tasks(shared), 10, folder)
        else:
            print("skipped: stories260K (no shared data)")


if __name__ == "__main__":
    main()
