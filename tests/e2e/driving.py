"""Drives the program as a person would: starts it under mpirun, and reads what it leaves behind.

A script of these tests is started as: SCRIPT.py TERCET MPIRUN [MPIRUN OPTIONS...]
Its tests are functions whose names are sentences. It prints a PASS, FAIL or skipped line for each, and ends with 0,
1, or 77 when everything was skipped. Only Python's standard library is needed.
"""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile

PROJECT = pathlib.Path(__file__).resolve().parents[2]
QUICK = PROJECT / "configs" / "quick.yaml"
PATIENCE_S = 120  # after which a started program counts as hanging
PACKED = "bitnet_quantized_model.pt"
DEQUANTIZED = "bitnet_dequantized_fp16.pt"


class Skipped(Exception):
    """The test cannot be made here; the text says why."""


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    @property
    def json(self):
        return json.loads(self.out)  # refuses anything before or after the one object

    def errors(self):
        """The messages the program ended with; mpirun's own words are not among them."""
        return [line for line in self.err.splitlines() if "error: " in line]

    def must_end_with(self, code):
        check(self.code == code, f"exit code {self.code} instead of {code}\n{self.err[-3000:]}")
        return self


def check(condition, words):
    if not condition:
        raise AssertionError(words)


def check_equal(actual, expected, what):
    check(actual == expected, f"{what}: {actual!r} instead of {expected!r}")


def check_close(actual, expected, tolerance, what):
    """`tolerance` is relative."""
    check(abs(actual - expected) <= tolerance * abs(expected), f"{what}: {actual} instead of {expected} +- {tolerance:g}")


def keeping_bytecode():
    """The environment for programs of .venv-test: what Python has compiled is kept, outside of the sources, since
    transformers takes 11 s of processor time to start without and 3 s with."""
    environment = dict(os.environ, PYTHONPYCACHEPREFIX=str(PROJECT / "build" / "pycache"))
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


class Workshop:
    """A temporary folder, the program, and a tiny model that is made when first asked for, with `of_model` for settings."""

    of_model = {}

    def __init__(self, program, mpirun, folder):
        self.program, self.mpirun, self.folder = program, mpirun, pathlib.Path(folder)
        self.environment = dict(keeping_bytecode(), OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
                                OMPI_MCA_mpi_yield_when_idle="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1",
                                OMPI_MCA_pml="ob1",  # what one machine takes anyway: looking for networks takes 0.2 s
                                CUDA_VISIBLE_DEVICES="")  # on_gpu.py alone takes it away
        # Open MPI's session folder: its sockets' paths must be short.
        self.environment.setdefault("TMPDIR", "/tmp")
        self.at_end = contextlib.ExitStack()  # what tests share and must be ended, such as a browser

    def command(self, arguments, ranks):
        start = [*self.mpirun, "-n", str(ranks)] if ranks else []
        return [str(word) for word in (*start, self.program, *arguments)]

    def start(self, arguments, ranks, errors=subprocess.DEVNULL):
        """The running program; its output is dropped, and its messages too unless a file is given for them. The caller
        waits for it."""
        return subprocess.Popen(self.command(arguments, ranks), env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=errors)

    def run(self, *arguments, ranks=2):
        """Runs the program to its end. ranks=0: without mpirun."""
        begin = time.monotonic()
        process = subprocess.Popen(self.command(arguments, ranks), env=self.environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.terminate()  # mpirun passes it on to its ranks
            out, err = process.communicate()
            raise AssertionError(f"hangs: {' '.join(map(str, arguments))}\n{err[-3000:]}") from None
        return Result(process.returncode, out, err, time.monotonic() - begin)

    @functools.cached_property
    def model(self):
        """A folder with a model trained in a second."""
        folder = self.folder / "model"
        self.run("pretrain", QUICK, *sets(model__path="", output=folder, data__cache=self.tokens, **self.of_model)).must_end_with(0)
        return folder

    @functools.cached_property
    def text(self):
        """A file of text that no training saw."""
        file = self.folder / "held-out.txt"
        file.write_text((PROJECT / "docs" / "config.md").read_text(encoding="utf-8"), encoding="utf-8")
        return file

    @property
    def tokens(self):
        return self.folder / "tokens"

    def quick(self, output, **settings):
        """The arguments of `compress` for a run of seconds; settings are named like training__tokens."""
        settings = {"model__path": self.model, "data__cache": self.tokens, **settings}
        return ["compress", QUICK, *sets(output=self.folder / output, **settings)]


def sets(**settings):
    """--set options; `a__b=value` sets a.b."""
    words = []
    for key, value in settings.items():
        words += ["--set", f"{key.replace('__', '.')}={value}"]
    return words


def status_of(run):
    return json.loads((run / "status.json").read_text(encoding="utf-8"))


def storages(artifact):
    """The raw bytes of every tensor in a .pt file, by their place in the archive: codes and scales, no provenance."""
    with zipfile.ZipFile(artifact) as archive:
        names = [name for name in archive.namelist() if "/data/" in name]
        found = {name.split("/data/")[1]: hashlib.sha256(archive.read(name)).hexdigest() for name in names}
    check(found, f"no tensors in {artifact}")
    return found


def digests(folder):
    """The SHA-256 of every file below a folder."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(pathlib.Path(folder).rglob("*")) if path.is_file()}


def shared_data():
    """Real models and texts, which are no part of the project."""
    folder = pathlib.Path(os.environ.get("TERCET_SHARED", PROJECT.parent / "shared")) / "data"
    if not folder.is_dir():
        raise Skipped("no shared data (set TERCET_SHARED, or put the folder 'shared' beside the checkout)")
    return folder


def test_python():
    python = PROJECT / ".venv-test" / "bin" / "python"
    if not python.exists():
        raise Skipped("no .venv-test (launch/setup.sh --test-python makes it)")
    return python


def processor_seconds():
    """Of this program and of those that it has started and seen the end of."""
    return sum(os.times()[:4])


def outcome(test, shop):
    begin, begin_processor = time.monotonic(), processor_seconds()
    try:
        test(shop)
        word, detail = "PASS", ""
    except Skipped as reason:
        word, detail = "skipped", f": {reason}"
    except AssertionError as failure:
        word, detail = "FAIL", f": {failure}"
    except Exception:  # a fault of the test or of a file it read: a failure, never the end of the other tests
        word, detail = "FAIL", ":\n" + traceback.format_exc()
    seconds = f"{time.monotonic() - begin:.1f} s, processor {processor_seconds() - begin_processor:.1f} s"
    print(f"{word:8}{test.__name__.replace('_', ' ')} ({seconds}){detail}", flush=True)
    return word


def main(tests, workshop=Workshop):
    program, *mpirun = sys.argv[1:]
    chosen = [test for test in tests if os.environ.get("TERCET_ONLY", "") in test.__name__]
    folder = tempfile.mkdtemp(prefix="tercet-test-")
    try:
        shop = workshop(program, mpirun, folder)
        with shop.at_end:
            words = [outcome(test, shop) for test in chosen]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{words.count('PASS')} passed, {words.count('FAIL')} failed, {words.count('skipped')} skipped")
    sys.exit(1 if "FAIL" in words or not words else 77 if "PASS" not in words else 0)
