#!/usr/bin/env python3
"""Tokens per second of fine-tuning: Tercet on two ranks of one thread, ternary and in full precision, beside a plain PyTorch loop on
two threads (16 sequences of 256 tokens a step, bf16, divergence from the same teacher). They take turns, so that a machine
that slows down slows all of them; prints the median of the turns and the ratios for docs/benchmarks/ternary-recipe.md.

Usage: .venv-test/bin/python -B tests/bench/training_speed.py MODEL TRAIN.txt LOOP.py [--turns 3] [--steps 60]
LOOP.py is started as LOOP.py MODEL TRAIN.txt HELDOUT.txt MINUTES 1e-3 64 1 1 and says its steps as "END step N".
"""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import h5py

PROJECT = pathlib.Path(__file__).resolve().parents[2]
TOKENS = 16 * 256  # of a step
WARM = 10          # steps that are not counted


def environment(threads):
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1",
            "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def settings_of(number_format, arguments, folder, tokens):
    """Of a job whose training takes arguments.steps steps of `tokens`, and little else."""
    values = {"output": folder / number_format, "model.path": arguments.model, "data.sources": f"[{arguments.train}]",
              "data.cache": folder / "tokens", "calibration.samples": 64, "quantization.format": number_format,
              "training.global_batch_tokens": tokens, "training.tokens": tokens * arguments.steps,
              "training.distillation": 1, "training.evaluate_every": arguments.steps, "evaluation.windows": 8}
    if number_format == "float16":
        values |= {f"quantization.{key}_bits": 16 for key in ("embedding", "head", "activation")}
    else:
        values["quantization.group_size"] = 64
    return values | {f"gates.{gate}.severity": "off" for gate in ("compression", "sparsity", "accuracy", "perplexity", "speedup")}


def of_tercet(number_format, arguments, folder):
    values = settings_of(number_format, arguments, folder, TOKENS)
    (folder / "job.yaml").write_text("name: speed\n", encoding="utf-8")
    settings = [f"--set={key}={value}" for key, value in values.items()]
    job = subprocess.run([PROJECT / "launch/run.sh", folder / "job.yaml", "2", "--", *map(str, settings)], env=environment(1),
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if job.returncode != 0:
        sys.exit(f"error: the job ended with {job.returncode}\n{job.stderr[-3000:]}")
    with h5py.File(folder / number_format / "run.h5") as file:
        rates = list(file["metrics/training/tokens_per_second"]["value"][WARM:])
    subprocess.run(["rm", "-r", folder / number_format], check=True)
    return statistics.median(rates)


def of_loop(arguments, folder):
    """Its own clock begins with the first step; the text it evaluates on is one window, so that this costs nothing."""
    heldout = folder / "heldout.txt"
    heldout.write_text(arguments.train.read_text(encoding="utf-8")[:4000], encoding="utf-8")
    minutes = arguments.loop_minutes
    command = [sys.executable, arguments.loop, arguments.model, arguments.train, heldout, minutes, "1e-3", "64", "1", "1"]
    result = subprocess.run(list(map(str, command)), check=True, env=environment(2), capture_output=True, text=True)
    return int(re.search(r"END step (\d+)", result.stdout)[1]) * TOKENS / (60 * minutes)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "train", "loop"):
        parser.add_argument(name, type=lambda path: pathlib.Path(path).resolve())
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60, help="of Tercet")
    parser.add_argument("--loop-minutes", type=float, default=0.7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        contenders = {"plain PyTorch loop": lambda: of_loop(arguments, folder),
                      "Tercet, ternary": lambda: of_tercet("ternary", arguments, folder),
                      "Tercet, full precision": lambda: of_tercet("float16", arguments, folder)}
        rates = {contender: [] for contender in contenders}
        for turn in range(arguments.turns):
            for contender, measure in contenders.items():
                begin = time.time()
                rates[contender].append(measure())
                print(f"turn {turn + 1}, {contender}: {rates[contender][-1]:.0f} tokens/s ({time.time() - begin:.0f} s)",
                      file=sys.stderr, flush=True)
    median = {contender: statistics.median(values) for contender, values in rates.items()}
    print("| | tokens/s, median | of each turn |\n|---|---|---|")
    for contender, values in rates.items():
        print(f"| {contender} | {median[contender]:.0f} | {', '.join(f'{value:.0f}' for value in values)} |")
    loop, ternary, full = median.values()
    print(f"\nTercet's ternary step: {ternary / loop:.2f} times the loop's tokens/s, {full / ternary:.2f} times the time of a "
          "step in full precision.")


if __name__ == "__main__":
    main()
