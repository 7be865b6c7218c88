"""TensorBoard's and Weights & Biases' own readers on what `tercet report` writes for them from a journal.

usage: trackers_parity.py path/to/tercet

The journal has what is hard: two attempts of which the second repeats steps, numbers that are not finite, names and units
beyond ASCII, and enough values to go through many blocks of the W&B log.
"""

import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

import read_trackers
import wandb_server

STEPS = 3000
BEGAN = 1795713141.25


def metric(attempt, t, name, step, value, unit="1"):
    return {"kind": "metric", "attempt": attempt, "t": t, "name": name, "step": step, "value": value, "unit": unit}


def journal():
    lines = [{"kind": "attempt", "attempt": 1, "t": BEGAN}]
    lines.append(metric(1, BEGAN + 1, "evaluation/before/perplexity", 0, 5.078101721118357))
    for step in range(1, STEPS + 1):
        lines += [metric(1, BEGAN + step, "training/loss", step, 3.1 / step, "nats"),
                  metric(1, BEGAN + step, "training/gradient_norm", step, 1.0 / 3 + step)]
    again = BEGAN + 2 * STEPS
    lines.append({"kind": "attempt", "attempt": 2, "t": again})
    lines.append(metric(2, again + 1, "evaluation/before/perplexity", 0, 5.078101721118357))
    for step in range(STEPS - 99, STEPS + 11):  # repeats a hundred, and goes ten beyond
        lines += [metric(2, again + step, "training/loss", step, 0.25 + step, "nats"),
                  metric(2, again + step, "training/gradient_norm", step, ["nan", "inf", "-inf"][step % 3])]
    lines += [metric(2, again + 9000, "evaluation/tâche/acc", 0, 0.1, "ΔU"), metric(2, again + 9000, "x", 2**40, -1e300),
              {"kind": "stage", "attempt": 2, "t": again + 9001, "name": "fine-tune", "begin_s": 1.5, "end_s": 9000.75}]
    return lines


def expected_series(lines):
    stage = lines[-1]
    ended = BEGAN + 2 * STEPS + stage["end_s"]
    return {**read_trackers.metrics_of(lines),
            "stage/fine-tune/seconds": [[2, stage["end_s"] - stage["begin_s"], ended]]}


def as_float32(value):
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def compare(found, expected, convert, what):
    assert sorted(found) == sorted(expected), (what, sorted(found), sorted(expected))
    count = 0
    for name, points in expected.items():
        assert len(found[name]) == len(points), (what, name, len(found[name]), len(points))
        for (step, value, time), (wanted_step, wanted, wanted_time) in zip(found[name], points):
            assert step == wanted_step and time == wanted_time, (what, name, step, wanted_step, time, wanted_time)
            assert read_trackers.same(value, convert(wanted)), (what, name, step, value, wanted)
            count += 1
    print(f"{what}: {count} values of {len(expected)} series agree")


def check_tensorboard(folder, lines):
    found = read_trackers.tensorboard(folder)
    compare(found["scalars"], expected_series(lines), as_float32, "TensorBoard")
    assert "seed: 42" in found["texts"]["config"], found["texts"]
    assert found["texts"]["report"].startswith("# a \"name\""), found["texts"]["report"]


def check_reader_that_looks_again(write, folder, lines):
    """A TensorBoard that has read a file which is then written anew knows each value once."""
    from tensorboard.backend.event_processing import event_accumulator

    reader = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    steps = [step for step, _, _ in expected_series(lines)["training/loss"]]
    for _ in range(2):
        reader.Reload()
        assert [event.step for event in reader.Scalars("training/loss")] == steps
        write()


def check_wandb(folder, lines):
    (run,) = (folder / "wandb").glob("offline-run-20261126_171221-*")
    found = read_trackers.wandb(run)
    assert read_trackers.wandb_file(run).stat().st_size > 10 * 32768  # through many blocks
    series = read_trackers.series_of_rows(found["rows"])
    compare(series, expected_series(lines), float, "Weights & Biases")
    entity, project, run_id, name = found["run"]
    assert (entity, project, name) == ("team", "ternary", 'a "name"'), found["run"]
    assert run.name.endswith(run_id) and found["began"] == BEGAN, found["began"]
    assert found["config"]["seed"] == 42 and found["config"]["training"]["tokens"] == 2000000, found["config"]
    assert found["axes"]["training/*"] == "training/step", found["axes"]
    assert found["exit"] == 3 and found["summary"]["training/loss"] == series["training/loss"][-1][1]


def check_sync(folder, lines):
    """`wandb sync` itself sends the run, to a stand-in for the server."""
    (run,) = (folder / "wandb").glob("offline-run-*")
    server = wandb_server.Server()
    try:
        environment = dict(os.environ, WANDB_BASE_URL=server.url, WANDB_API_KEY="0" * 40, WANDB_ERROR_REPORTING="false",
                           HOME=str(folder), WANDB_CACHE_DIR=str(folder / "cache"), WANDB_CONFIG_DIR=str(folder / "config"))
        command = [pathlib.Path(sys.executable).parent / "wandb", "sync", run]
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE, timeout=120)
    finally:
        server.close()
    rows = [json.loads(line) for line in server.lines["wandb-history.jsonl"]]
    compare(read_trackers.series_of_rows(rows), expected_series(lines), float, "what `wandb sync` sends")
    first = server.upserts[0]
    assert (first["entity"], first["project"], first["displayName"]) == ("team", "ternary", 'a "name"'), first
    assert json.loads(first["config"])["training"]["value"]["tokens"] == 2000000, first["config"]
    assert server.complete == 3, server.complete


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        run, out = pathlib.Path(name) / "run", pathlib.Path(name) / "out"
        run.mkdir()
        lines = journal()
        (run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (run / "config.resolved.yaml").write_text(
            'name: "a \\"name\\""\nseed: 42\ntrackers: {wandb: {project: ternary, entity: team}}\n')
        (run / "status.json").write_text('{"state": "gate_failed", "exit_code": 3}')
        command = [program, "report", run, "--csv", "metrics", "--tensorboard", out / "events", "--wandb", out]

        def write():
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        write()
        check_tensorboard(out / "events", lines)
        check_reader_that_looks_again(write, out / "events", lines)
        check_wandb(out, lines)
        check_sync(out, lines)


if __name__ == "__main__":
    main()
