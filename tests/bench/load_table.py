"""usage: load_table.py TERCET ARTIFACTS REPETITIONS

How long it takes from the start of `tercet generate` to its end with one token, and the memory that it takes at most, with
kernels.safetensors and without; a table in Markdown. The files are in the page cache. The program's own start, without a
model, is measured beside it.
"""
import pathlib
import re
import statistics
import subprocess
import sys
import time

FIELDS = ("VmHWM", "RssAnon")


def run(command):
    """Seconds, and the largest value in MB of each field of /proc/PID/status, looked at every few milliseconds."""
    begin, largest = time.monotonic(), dict.fromkeys(FIELDS, 0.0)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    status = pathlib.Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", status.read_text(), re.MULTILINE))
        for field in FIELDS:
            largest[field] = max(largest[field], int(found.get(field, 0)) / 1000)
        time.sleep(0.003)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}\n{process.stderr.read()}")
    return time.monotonic() - begin, largest


def row(name, command, repetitions):
    run(command)
    found = [run(command) for _ in range(repetitions)]
    seconds = sorted(each[0] for each in found)
    memory = [statistics.median(each[1][field] for each in found) for field in FIELDS]
    print(f"| {name} | {statistics.median(seconds):.2f} ({seconds[0]:.2f} to {seconds[-1]:.2f}) | {memory[0]:.0f} | {memory[1]:.0f} |")


def main():
    program, folder, repetitions = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
    generate = [program, "generate", str(folder), "--prompt", "a", "--tokens", "1", "--weights", "packed"]
    kernels, aside = folder / "kernels.safetensors", folder / "aside"
    print("\n| | seconds | resident at most, MB | of it not of files, MB |\n|---|---|---|---|")
    row("the program alone (`--version`)", [program, "--version"], repetitions)
    row("with kernels.safetensors", generate, repetitions)
    kernels.rename(aside)
    row("without", generate, repetitions)
    aside.rename(kernels)


main()
