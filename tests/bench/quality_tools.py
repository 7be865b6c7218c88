#!/usr/bin/env python3
"""Tercet beside AutoRound and llm-compressor's GPTQ: the same model, the same calibration tokens, the same bits, one evaluator.

Everything that is compared reads the same 1,024 sequences of 256 tokens, taken evenly from the training text, and stores
the matrices inside the blocks as integers with an fp16 scale for 64 inputs; the rest stays as it is. `tercet evaluate`
measures each result on 200 windows of the held-out text. What is finished is kept in the work folder and not run again.
Prints the tables of docs/benchmarks/quality.md.

Needs .venv-tools (make_quality_tools.sh). Usage:
  .venv-test/bin/python tests/bench/quality_tools.py MODEL TRAIN.txt HELDOUT.txt [--bits 4 3 2] [--only PATTERN] [--work FOLDER]
"""
import argparse
import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile

import tokenizers

PROJECT = pathlib.Path(__file__).resolve().parents[2]
GROUP, LENGTH, SEQUENCES, WINDOWS = 64, 256, 1024, 200
BEST = {"iters": 1000}  # the rest of `auto-round-best` is the number of sequences
COMPENSATED = {"quantization.solver": "compensated", "quantization.solver_sequential": "false"}
TUNED = {**COMPENSATED, "blockwise.enabled": "true", "blockwise.samples": SEQUENCES}
# Then end to end, twice through the same sequences.
TRAINED = {**TUNED, "blockwise.epochs": 2, "training.enabled": "true", "training.distillation": 1,
           "evaluation.windows": WINDOWS,  # training keeps what was best on others than those that are measured
           "training.tokens": 2 * LENGTH * SEQUENCES, "training.global_batch_tokens": 8 * LENGTH}
TRAINING_STEPS = {4: 3e-5, 2: 3e-4}


class Contender:
    """A program with settings. `symmetric` is as the program has it unless told otherwise; `bits`: the widths it runs at."""

    def __init__(self, label, program, settings, symmetric=True, bits=(2, 3, 4, 8)):
        self.label, self.program, self.settings = label, program, settings
        self.symmetric, self.bits = symmetric, bits

    def bits_per_weight(self, bits):
        zero_point = 0 if self.symmetric else 8 if self.program == "tercet" else bits
        return bits + (16 + zero_point) / GROUP


CONTENDERS = [
    Contender("llm-compressor, GPTQ", "gptq", {}),
    Contender("llm-compressor, GPTQ, `observer: mse`", "gptq", {"observer": "memoryless_mse"}),
    Contender("llm-compressor, GPTQ, asymmetric", "gptq", {}, symmetric=False),
    Contender("AutoRound", "autoround", {"iters": 200}),
    Contender("AutoRound, best recipe", "autoround", BEST, bits=(4,)),
    Contender("AutoRound, best recipe, `enable_alg_ext`", "autoround", {**BEST, "enable_alg_ext": True}, bits=(2,)),
    Contender("Tercet, compensated", "tercet", COMPENSATED),
    Contender("Tercet, compensated, blocks tuned", "tercet", TUNED, bits=(2, 3, 4)),
    Contender("Tercet, the same by 2 epochs, then trained end to end", "tercet", TRAINED, bits=tuple(TRAINING_STEPS)),
]


def documents_of(text):
    """As Tercet splits a plain text: a document ends at the first blank line after 4,096 bytes."""
    document = ""
    for paragraph in text.split("\n\n"):
        document += paragraph + "\n\n"
        if len(document.encode()) >= 4096:
            yield document
            document = ""


def write_calibration(arguments):
    """calibration.jsonl for Tercet, sequences.json for the others: the same ids in the same places, an end-of-text after
    each document as Tercet puts it. Documents from all over the text, the last one cut to what is still wanted."""
    tokenizer = tokenizers.Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    end = json.loads((arguments.model / "config.json").read_text(encoding="utf-8"))["eos_token_id"]
    documents = list(documents_of(arguments.train.read_text(encoding="utf-8")))
    encoded = [tokenizer.encode(document, add_special_tokens=False) for document in documents]
    wanted = LENGTH * SEQUENCES
    share = 1.02 * wanted / sum(len(encoding.ids) + 1 for encoding in encoded)
    seen, ids, lines = 0, [], []
    for document, encoding in zip(documents, encoded):
        if len(ids) <= share * seen and len(ids) < wanted:
            count = min(len(encoding.ids), wanted - len(ids))
            text = document[:encoding.offsets[count - 1][1]]
            ids += tokenizer.encode(text, add_special_tokens=False).ids + [end]
            lines.append(json.dumps({"text": text}) + "\n")
        seen += len(encoding.ids)
    if len(ids) // LENGTH != SEQUENCES:
        sys.exit(f"error: {len(ids)} tokens chosen instead of {wanted} ({arguments.train} is too short); give a longer text")
    (arguments.work / "calibration.jsonl").write_text("".join(lines), encoding="utf-8")
    sequences = [ids[i * LENGTH:(i + 1) * LENGTH] for i in range(SEQUENCES)]
    (arguments.work / "sequences.json").write_text(json.dumps(sequences), encoding="utf-8")


def run(command, log):
    """Ends the benchmark where the command fails; its processor seconds otherwise (the machine may be shared)."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(log, "w", encoding="utf-8") as file:
        code = subprocess.run(list(map(str, command)), stdout=file, stderr=subprocess.STDOUT, env=environment).returncode
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if code != 0:
        sys.exit(f"error: {command[0]} ended with {code}; see {log}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def perplexity_of(model, arguments):
    command = [arguments.tercet, "evaluate", model, "--data", arguments.heldout, "--sequence-length", LENGTH,
               "--windows", WINDOWS, "--json"]
    result = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True,
                            env={**os.environ, "OMP_NUM_THREADS": "1"})
    return json.loads(result.stdout)["perplexity"]


def tercet_job(contender, bits, folder, arguments):
    values = {"output": folder / "run", "model.path": arguments.model,
              "data.sources": f"[{arguments.work / 'calibration.jsonl'}]", "data.evaluation": f"[{arguments.heldout}]",
              "data.held_out_fraction": 0, "calibration.samples": SEQUENCES, "quantization.format": f"int{bits}",
              "quantization.group_size": GROUP, "quantization.embedding_bits": 16, "quantization.activation_bits": 16,
              "quantization.symmetric": str(contender.symmetric).lower(), "training.enabled": "false",
              "evaluation.windows": 8}  # its own figures are not used, unless it trains
    values.update({f"gates.{gate}.severity": "off" for gate in ("compression", "sparsity", "accuracy", "perplexity")})
    values.update(contender.settings)
    if values["training.enabled"] == "true":
        values["training.learning_rate"] = TRAINING_STEPS[bits]
    (folder / "job.yaml").write_text("name: quality\n", encoding="utf-8")
    return [arguments.tercet, "compress", folder / "job.yaml", *(f"--set={key}={value}" for key, value in values.items())]


def other_job(contender, bits, folder, arguments):
    environment = {"autoround": "autoround", "gptq": "llmcompressor"}[contender.program]
    settings = {"bits": bits, "group_size": GROUP, "symmetric": contender.symmetric, **contender.settings}
    return [PROJECT / ".venv-tools" / environment / "bin" / "python", PROJECT / "tests/bench/quality_contender.py",
            contender.program, arguments.model, arguments.work / "sequences.json", folder / "run", json.dumps(settings)]


def measure(contender, bits, arguments):
    with tempfile.TemporaryDirectory(dir=arguments.work) as name:
        folder = pathlib.Path(name)
        job = tercet_job if contender.program == "tercet" else other_job
        log = arguments.work / f"{contender.program}.log"
        seconds = run(job(contender, bits, folder, arguments), log)
        return {"perplexity": perplexity_of(folder / "run", arguments), "seconds": seconds}


def print_table(bits, results, original):
    rows = [(contender, results.get(f"{bits} {contender.label}")) for contender in CONTENDERS]
    rows = [(contender, result) for contender, result in rows if result]
    if not rows:
        return
    reference = next((result["seconds"] for contender, result in rows if contender.label == CONTENDERS[-1].label),
                     rows[-1][1]["seconds"])
    print(f"\n{bits} bits\n\n| | bits a weight | perplexity | ratio | processor time |\n|---|---|---|---|---|")
    for contender, result in rows:
        print(f"| {contender.label} | {contender.bits_per_weight(bits):.3f} | {result['perplexity']:.4f} "
              f"| {result['perplexity'] / original:.4f} | {result['seconds'] / reference:.2f} |")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "train", "heldout"):
        parser.add_argument(name, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 3, 2])
    parser.add_argument("--only", default="", help="run only what this regular expression finds in the name of")
    parser.add_argument("--work", type=lambda path: pathlib.Path(path).resolve(), default=PROJECT / "runs/quality-tools")
    parser.add_argument("--tercet", type=pathlib.Path, default=PROJECT / "build/release/tercet")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    arguments.work.mkdir(parents=True, exist_ok=True)
    kept = arguments.work / "results.json"
    results = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if not (arguments.work / "sequences.json").exists():
        write_calibration(arguments)
    if "original" not in results:
        results["original"] = perplexity_of(arguments.model, arguments)
    for bits in arguments.bits:
        for contender in CONTENDERS:
            name = f"{bits} {contender.label}"
            if bits not in contender.bits or not re.search(arguments.only, contender.label) or name in results:
                continue
            results[name] = measure(contender, bits, arguments)
            kept.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            print(f"{name}: {results[name]['perplexity'] / results['original']:.4f}", file=sys.stderr, flush=True)
    print(f"original: {results['original']:.4f}")
    for bits in arguments.bits:
        print_table(bits, results, results["original"])


if __name__ == "__main__":
    main()
