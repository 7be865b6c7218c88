"""A folder in which the commands of the documentation work as written: small models, runs and texts under the names that
the pages use, and a `tercet` that makes trainings short."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sysconfig

from driving import check, sets
from pages import PROJECT, blocks_of

# Laid over every compress and pretrain, whatever the page says: seconds instead of hours, and a verdict that a model
# trained for seconds can reach.
SMALL = {"training.tokens": 4096, "calibration.samples": 64, "evaluation.windows": 6, "gates.speedup.seconds": 0.1,
         "gates.compression.severity": "warn", "gates.sparsity.severity": "warn", "gates.accuracy.severity": "warn",
         "gates.perplexity.severity": "warn"}
MODEL = {"pretrain__hidden_size": 128, "pretrain__intermediate_size": 256, "pretrain__max_positions": 512,
         "model__path": ""}
FAMILY = """
name: nightly
output: runs/nightly
defaults: {data: {sources: [text/*.txt]}}
models: [{name: small, path: models/small}]
targets: [{name: g32, settings: {quantization: {group_size: 32}}}, {name: g64, settings: {quantization: {group_size: 64}}}]
packing: {ranks: 1, cpus: 1}
"""


def write_lines(file, rows):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_texts(folder):
    """Sixty documents from Python's own library, and two held-out files."""
    sources = sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    sources = [source for source in sources if 4000 < source.stat().st_size < 40000]
    (folder / "text").mkdir()
    for source in sources[:60]:
        shutil.copy(source, folder / "text" / (source.stem + ".txt"))
    (folder / "data").mkdir()
    (folder / "data" / "train").symlink_to("../text")
    shutil.copy(sources[60], folder / "train.txt")
    for name in ("held-out.txt", "heldout.txt"):
        shutil.copy(sources[61], folder / name)


def write_tasks(folder):
    endings = [{"activity_label": "Sailing", "ctx_a": f"Boat {i} leaves.", "ctx_b": "then it", "label": i % 4,
                "endings": ["sinks.", "sails on.", "flies away.", "turns around."]} for i in range(8)]
    arc = [{"question": {"stem": f"What floats, of {i}?", "choices": [{"text": word, "label": label} for word, label in
            zip(("stone", "wood", "iron", "lead"), "ABCD")]}, "answerKey": "B"} for i in range(8)]
    for name in ("hellaswag_val.jsonl", "tasks/hellaswag_val.jsonl"):
        write_lines(folder / name, endings)
    write_lines(folder / "ARC-Easy-Test.jsonl", arc)
    for name in ("data/test", "mmlu/test", "mmlu/data/test", "tasks/mmlu/test"):
        (folder / name).mkdir(parents=True)
        (folder / name / "knots_test.csv").write_text("".join(f"Which knot is {i}?,a,b,c,d,{'ABCD'[i % 4]}\n" for i in range(8)))


# `tercet` as the pages find it: SMALL behind the arguments of what trains, one seed in a study, three seconds for what
# serves until it is stopped, and a run that is at work while it is asked to stop.
PROGRAM = """#!/bin/sh
case $1 in
  compress | pretrain) set -- "$@" SETTINGS ;;
  study) set -- "$@" --set seeds=[1] --set control=false ;;
  dashboard)
    code=0
    timeout -s INT 3 PROGRAM "$@" || code=$?
    [ $code = 124 ] && exit 0
    exit $code ;;
  stop)
    code=0
    mkdir "$2/.pretrain.tmp"
    PROGRAM "$@" || code=$?
    rm -r "$2/.pretrain.tmp"
    exit $code ;;
esac
exec PROGRAM "$@"
"""


def write_program(folder, program):
    shim = folder / "build" / "release" / "tercet"
    shim.parent.mkdir(parents=True)
    settings = " ".join(f"--set {key}={value}" for key, value in SMALL.items())
    shim.write_text(PROGRAM.replace("PROGRAM", f"'{program}'").replace("SETTINGS", settings), encoding="utf-8")
    shim.chmod(0o755)
    for name in ("launch", "slurm"):
        shutil.copytree(PROJECT / name, folder / name)
    shutil.copytree(PROJECT / "configs", folder / "configs")
    for config in (folder / "configs").glob("*.yaml"):  # a few files instead of all of Python's library
        config.write_text(config.read_text().replace("/usr/lib/python3*/**/*.py", "../text/*.txt"))


class Workplace:
    def __init__(self, shop):
        self.folder, self.kept = shop.folder / "work", shop.folder / "kept"
        self.environment = dict(shop.environment, TERCET_HOME=str(self.folder), HOME=str(self.folder / "someone"),
                                OMPI_MCA_rmaps_base_oversubscribe="1", TERCET_PRESET="release")
        self.environment["PATH"] = f"{self.folder / 'build' / 'release'}:{os.environ['PATH']}"
        self.folder.mkdir()
        (self.folder / "someone").mkdir()
        write_program(self.folder, shop.program)
        write_texts(self.folder)
        write_tasks(self.folder)
        (self.folder / "my-family.yaml").write_text(FAMILY)
        self.write_named_files(PROJECT / "README.md")
        pretrain = ["tercet", "pretrain", "configs/quick.yaml", *sets(**MODEL)]
        self.must_run([*pretrain, "--set", "output=runs/demo/model"])
        for name in ("my-model", "mine", "small", "large"):
            shutil.copytree(self.folder / "runs/demo/model", self.folder / "models" / name)
        self.must_run(["launch/run.sh", "configs/demo-compress.yaml", "2"])
        shutil.copytree(self.folder, self.kept, symlinks=True)
        self.must_run(["launch/run.sh", "my.yaml", "2"])
        shutil.copytree(self.folder, str(self.kept) + "-with-run", symlinks=True)

    def begin(self, page, with_run):
        """The folder as it was, at the same place: paths in a run are absolute."""
        shutil.rmtree(self.folder)
        shutil.copytree(str(self.kept) + ("-with-run" if with_run else ""), self.folder, symlinks=True)
        self.write_named_files(page)

    def write_named_files(self, page):
        for block in blocks_of(page.read_text(encoding="utf-8")):
            first = block.lines[0] if block.lines else ""
            if block.language == "yaml" and first.startswith("# ") and first.endswith(".yaml"):
                (self.folder / first[2:]).write_text("\n".join(block.lines) + "\n", encoding="utf-8")

    def run(self, command, seconds=400):
        """(exit code, stdout, both as they came)"""
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, errors="replace", start_new_session=True)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the programs that it started
            out, err = process.communicate()
            raise AssertionError(f"{command} takes more than {seconds} s\n{(out + err)[-3000:]}") from None
        return process.returncode, out, out + err

    def must_run(self, command):
        code, _, said = self.run([str(word) for word in command])
        check(code == 0, f"{command} ended with {code}\n{said[-3000:]}")
