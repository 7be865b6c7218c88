"""The table of tests/bench/kernels.sh, from Google Benchmark's JSON."""
import collections
import json
import statistics
import sys

OURS = ("ternary channel", "one pass")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        figures = json.load(file)
    times, rates = collections.defaultdict(list), {}
    for run in figures["benchmarks"]:
        if run.get("run_type") != "iteration":
            continue
        contender, shape, tokens = run["run_name"].split("/")[:3]
        times[shape, tokens, contender].append(run["real_time"])
        rates[shape, tokens, contender] = run["bytes_per_second"] * run["real_time"]  # bytes, times a constant
    threads = figures["context"].get("threads", "?")
    for shape, tokens in dict.fromkeys((key[0], key[1]) for key in times):
        rows = {key[2]: values for key, values in times.items() if key[:2] == (shape, tokens)}
        ours = min(statistics.median(values) for name, values in rows.items() if name.startswith(OURS))
        case = f"{tokens} token(s)" if tokens.isdigit() else tokens
        print(f"\n{shape}, {case}, {threads} thread(s)\n")
        print("| contender | best, us | median, us | GB/s (best) | times Tercet's median |\n|---|---|---|---|---|")
        for name, values in rows.items():
            best, median = min(values), statistics.median(values)
            bandwidth = rates[shape, tokens, name] / best / 1e9
            print(f"| {name} | {best:.0f} | {median:.0f} | {bandwidth:.1f} | {median / ours:.2f} |")


main()
