"""The load of dashboard.sh. Usage: dashboard_load.py FINISHED_RUNS TERCET MPIRUN [MPIRUN OPTIONS...]"""

import json
import pathlib
import shutil
import statistics
import sys
import tempfile
import time

from dashboard import serving
from driving import Workshop, status_of

RUNNING = 3
LOOKS = 30  # at each page
STEPS = 400  # of training, in each finished run
LONG_JOURNAL = 10**9


def finished_runs(shop, folder, count):
    shop.run(*shop.quick(folder / "run-000", training__tokens=STEPS * 1024), ranks=2)
    for number in range(1, count):
        shutil.copytree(folder / "run-000", folder / f"run-{number:03d}", ignore=shutil.ignore_patterns("checkpoints"))


def a_long_journal(folder):
    """A run whose journal has 1 GB."""
    run = folder / "long-journal"
    shutil.copytree(folder / "run-000", run, ignore=shutil.ignore_patterns("checkpoints", "artifacts"))
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text(encoding="utf-8").splitlines()]
    metrics = "".join(json.dumps(line) + "\n" for line in lines if line["kind"] == "metric").encode()
    with open(run / "journal.jsonl", "ab") as journal:
        while journal.tell() < LONG_JOURNAL:
            journal.write(metrics)


def running_runs(shop, folder):
    jobs = [shop.start(shop.quick(folder / f"running-{number}", training__tokens=2e9), ranks=1) for number in range(RUNNING)]
    for number in range(RUNNING):
        run = folder / f"running-{number}"
        while not (run / "status.json").exists() or status_of(run)["stage"] != "fine-tune":
            time.sleep(0.2)
    return jobs


def memory_mb(process, what):
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) / 1024


def look(server, page):
    """Milliseconds and bytes of an answer."""
    begin = time.perf_counter()
    text = server.page(page)
    return 1000 * (time.perf_counter() - begin), len(text)


def table_row(server, name, page):
    first, size = look(server, page)
    later = []
    for _ in range(LOOKS):
        time.sleep(0.1)  # over several of the seconds for which a list of runs is kept
        later.append(look(server, page)[0])
    print(f"| {name} | {first:.0f} | {statistics.median(later):.1f} | {max(later):.0f} | {size / 1000:.0f} |", flush=True)


def measure(shop, runs, count):
    with serving(shop, runs) as server:
        first, _ = look(server, "/")
        started = memory_mb(server.process, "VmRSS")
        print(f"{count} finished runs of {STEPS} steps, {RUNNING} running ones, a journal of {LONG_JOURNAL / 1e9:.0f} GB\n")
        print(f"the very first page, asked for as soon as the server listens: {first:.0f} ms\n")
        print("| page | first ms | median ms | most ms | kB |\n|---|---|---|---|---|")
        table_row(server, "all runs, from the first moment", "/")
        while "not read yet" in server.page("/"):
            time.sleep(0.1)
        for name, page in (("all runs, once all were read", "/"), ("a finished run", "/run?path=run-007"), ("a running run", "/run?path=running-0"),
                           ("two runs", "/compare?run=run-001&run=run-002"), ("the long journal", "/run?path=long-journal"),
                           ("all runs, JSON", "/api/runs")):
            table_row(server, name, page)
        for number in range(count):
            look(server, f"/run?path=run-{number:03d}")
        print(f"\nmemory of the server: {started:.0f} MB after the first page, {memory_mb(server.process, 'VmRSS'):.0f} MB after every "
              f"run was opened, at most {memory_mb(server.process, 'VmHWM'):.0f} MB")


def main():
    count, program, *mpirun = sys.argv[1:]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tercet-bench-"))
    shop, jobs = Workshop(program, mpirun, folder), []
    try:
        runs = folder / "runs"
        finished_runs(shop, runs, int(count))
        a_long_journal(runs)
        jobs = running_runs(shop, runs)
        measure(shop, runs, int(count))
    finally:
        for job in jobs:
            job.terminate()
            job.wait()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
