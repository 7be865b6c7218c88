"""A run.h5 written by us, read by h5py as a person would read it.

usage: run_file_parity.py path/to/test_store

Runs the test RunFile.WritesASampleWhereAskedTo of test_store with TERCET_RUN_FILE_SAMPLE, which records the same things
as record_everything() in tests/store/run_file_test.cpp, and compares what h5py finds with the journal beside it.
"""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy

WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def number(value):
    return WORDS.get(value, value) if isinstance(value, str) else value


def write_sample(program, folder):
    environment = dict(os.environ, TERCET_RUN_FILE_SAMPLE=str(folder))
    command = [program, "--gtest_filter=RunFile.WritesASampleWhereAskedTo"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def same(a, b):
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def check_series(file, journal):
    names = sorted({line["name"] for line in journal if line["kind"] == "metric"})
    assert len(names) == 3, names
    for name in names:
        lines = [line for line in journal if line["kind"] == "metric" and line["name"] == name]
        group = file["metrics"][name]
        assert group.attrs["unit"] == lines[0]["unit"], group.attrs["unit"]
        assert group["step"][:].tolist() == [line["step"] for line in lines]
        assert group["attempt"][:].tolist() == [line["attempt"] for line in lines]
        assert group["wall_time"].dtype == numpy.float64
        assert group["wall_time"][:].tolist() == [line["t"] for line in lines]
        assert all(same(v, float(number(line["value"]))) for v, line in zip(group["value"][:].tolist(), lines))


def check_table(file, name, rows):
    table = file[name][:]
    assert len(table) == len(rows) > 0, (name, len(table), len(rows))
    for got, expected in zip(table, rows):
        for column in table.dtype.names:
            value, wanted = got[column], expected[column]
            if isinstance(value, bytes):
                assert value.decode() == wanted, (name, column, value, wanted)
            else:
                assert same(value.item(), number(wanted)) or value.item() == number(wanted), (name, column, value, wanted)


def check_provenance(file, journal):
    for line in journal:
        if line["kind"] == "provenance":
            stored = file["provenance"][line["key"].replace("%", "%25").replace("/", "%2F")][()]
            assert json.loads(stored) == line["value"], line["key"]


def rows_of(journal, kind):
    return [line for line in journal if line["kind"] == kind]


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        journal = write_sample(sys.argv[1], folder)
        with h5py.File(folder / "run.h5", "r") as file:
            assert file.attrs["format"] == "tercet-run" and file.attrs["version"] == 1
            check_series(file, journal)
            check_table(file, "layers", rows_of(journal, "layers")[-1]["table"])
            check_table(file, "gates", rows_of(journal, "gates")[-1]["table"])
            check_table(file, "stages", rows_of(journal, "stage"))
            check_table(file, "ranks", rows_of(journal, "rank"))
            check_provenance(file, journal)
    print("h5py", h5py.__version__, "reads run.h5 as the journal says")


if __name__ == "__main__":
    main()
