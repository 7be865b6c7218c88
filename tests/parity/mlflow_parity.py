"""`tercet report RUN --mlflow URL` against a real MLflow server on loopback, read back by MLflow's own client.

usage: mlflow_parity.py path/to/tercet
"""

import contextlib
import json
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

import read_trackers

BEGAN = 1795713141.25
STEPS = 1200  # more than a server takes at once


def journal():
    lines = [{"kind": "attempt", "attempt": 1, "t": BEGAN}]
    for step in range(1, STEPS + 1):
        lines.append({"kind": "metric", "attempt": 1, "t": BEGAN + step, "name": "training/loss", "step": step,
                      "value": "nan" if step == 7 else 3.1 / step, "unit": "nats"})
    lines.append({"kind": "metric", "attempt": 1, "t": BEGAN + 2000, "name": "evaluation/tâche/acc", "step": 0,
                  "value": "inf", "unit": "1"})
    lines.append({"kind": "stage", "attempt": 1, "t": BEGAN + 2001, "name": "fine-tune", "begin_s": 1.5, "end_s": 1990.5})
    return lines


def make_run(folder, lines):
    folder.mkdir()
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "config.resolved.yaml").write_text("name: mine\nseed: 43\nquantization: {skip: [" +
                                                 ", ".join(f"layer.{i}" for i in range(300)) + "]}\n")
    (folder / "status.json").write_text('{"state": "gate_failed", "exit_code": 3, "sentence": "a gate failed"}')
    return folder


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_certificate(folder):
    """For 127.0.0.1, signed by itself."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
               "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return certificate, key


@contextlib.contextmanager
def server(folder, certificate=None, key=None):
    port = free_port()
    url = f"{'https' if certificate else 'http'}://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
               "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "artifacts")]
    if certificate:
        command += ["--uvicorn-opts", f"--ssl-certfile={certificate} --ssl-keyfile={key}"]
    environment = dict(os.environ, MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for(url + "/health", process, folder / "server.log", certificate)
            yield url
        finally:
            os.killpg(process.pid, 15)  # the server and its workers, which are this test's own
            process.wait(timeout=30)


def wait_for(url, process, log, certificate):
    trusted = ssl.create_default_context(cafile=certificate)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if urllib.request.urlopen(url, timeout=2, context=trusted).status == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("MLflow's server did not start: " + log.read_text(errors="replace")[-2000:])


def report(program, run, url, *options, **environment):
    return subprocess.run([program, "report", run, "--csv", "metrics", "--mlflow", url, *options], text=True,
                          env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def check_run(client, run, lines):
    assert run.info.run_name == "mine" and run.info.status == "FAILED", run.info
    assert run.info.start_time == round(BEGAN * 1000), run.info.start_time
    assert run.info.end_time == round((BEGAN + 2000) * 1000), run.info.end_time
    assert run.data.params["seed"] == "43" and run.data.params["training.tokens"] == "2000000", run.data.params
    assert run.data.params["quantization.skip"].startswith("[layer.0, layer.1"), run.data.params
    assert run.data.tags["tercet.state"] == "gate_failed", run.data.tags
    count = 0
    expected = {name.replace("â", "__"): points for name, points in read_trackers.metrics_of(lines).items()}
    expected["stage/fine-tune/seconds"] = [[1, 1989.0, BEGAN + 1990.5]]
    assert sorted(run.data.metrics) == sorted(expected), sorted(run.data.metrics)
    for name, points in expected.items():
        found = sorted(client.get_metric_history(run.info.run_id, name), key=lambda metric: metric.step)
        assert len(found) == len(points), (name, len(found))
        for metric, (step, value, wall_time) in zip(found, points):
            assert metric.step == step and metric.timestamp == round(wall_time * 1000), (name, metric, step, wall_time)
            # MLflow's database keeps infinity as the largest number there is.
            assert read_trackers.same(metric.value, value) or abs(metric.value) > 1e308, (name, step, metric.value)
            count += 1
    print(f"MLflow: {count} values of {len(expected)} series agree")


def main():
    program = sys.argv[1]
    import mlflow

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        lines = journal()
        run = make_run(folder / "run", lines)
        with server(folder) as url:
            for _ in range(2):  # the experiment is made once, a run each time
                done = report(program, run, url, "--mlflow-experiment", "a \"name\"")
                assert done.returncode == 0, done.stderr
            client = mlflow.MlflowClient(url)
            experiment = client.get_experiment_by_name("a \"name\"")
            runs = client.search_runs([experiment.experiment_id])
            assert len(runs) == 2, runs
            for each in runs:
                check_run(client, each, lines)
        gone = report(program, run, url)
        assert gone.returncode == 74 and "is the server running?" in gone.stderr, (gone.returncode, gone.stderr)
        certificate, key = make_certificate(folder)
        with server(folder, certificate, key) as url:
            strange = report(program, run, url)
            assert strange.returncode == 74 and "SSL" in strange.stderr, (strange.returncode, strange.stderr)
            trusted = report(program, run, url, SSL_CERT_FILE=str(certificate))
            assert trusted.returncode == 0, trusted.stderr
        wrong = report(program, run, "localhost:5000")
        assert wrong.returncode == 64 and "no address of an MLflow server" in wrong.stderr, (wrong.returncode, wrong.stderr)


if __name__ == "__main__":
    main()
