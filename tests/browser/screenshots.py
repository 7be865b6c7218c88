"""Makes the pictures of docs/images anew, from two real runs of the demo's model: one that has finished, and one at work.

Usage: launch/demo.sh, then
       PYTHONPATH=tests/e2e python3 -B tests/browser/screenshots.py FOLDER build/release/tercet mpirun --oversubscribe
Runs that have finished in FOLDER are shown again.
"""

import pathlib
import shutil
import sys
import time

from dashboard import serving
from driving import PROJECT, Workshop, check, sets, status_of
from webdriver import Browser

IMAGES = PROJECT / "docs" / "images"
DEMO = PROJECT / "runs" / "demo"
MOST_BYTES = 300_000
PATIENCE_S = 1800  # a machine with other work


def arguments(folder, name, **settings):
    """The demo's compression, in another folder."""
    return ["compress", PROJECT / "configs" / "demo-compress.yaml",
            *sets(name=name, output=folder / "runs" / name, model__path=folder / "model", data__cache=folder / "tokens", **settings)]


def save(browser, name, width, height, scale=1, scheme="light"):
    browser.media(scheme)
    browser.size(width, height, scale)
    picture = browser.picture()
    check(len(picture) < MOST_BYTES, f"{name} has {len(picture)} bytes")
    (IMAGES / f"{name}.png").write_bytes(picture)
    print(f"{IMAGES / name}.png  {len(picture)} bytes", flush=True)


def finished(shop, folder, name, **settings):
    run = folder / "runs" / name
    if (run / "status.json").exists() and status_of(run)["state"] == "passed":
        return
    job = shop.start(arguments(folder, name, **settings), ranks=2)
    check(job.wait(timeout=PATIENCE_S) == 0, f"{name} ended with {job.returncode}")


def pictures_of_a_report(browser, run):
    browser.open((run / "report.html").as_uri())
    save(browser, "report-wide", 1280, 1500)
    save(browser, "report-phone", 360, 760, scale=2, scheme="dark")


def pictures_at_work(browser, server, job):
    while "imitate" not in server.page("/"):  # the server looks for new runs once a second
        check(job.poll() is None, "the job ended before it was seen")
        time.sleep(0.2)
    browser.open(server.address.geturl() + "run?path=imitate")
    browser.wait_until("const done = document.querySelector('#now data[data-key=\"/done\"]'); return done && done.value >= 120",
                       what=lambda: "half of the training" if job.poll() is None else "a job at work", seconds=PATIENCE_S)
    save(browser, "dashboard-run", 1280, 1400)
    save(browser, "dashboard-run-phone", 360, 760, scale=2, scheme="dark")
    browser.open(server.address.geturl())
    save(browser, "dashboard-runs", 1280, 640)


def take_pictures(shop, folder):
    finished(shop, folder, "group-64")
    finished(shop, folder, "group-32", quantization__group_size=32)
    with Browser(folder / "browser") as browser, serving(shop, folder / "runs") as server:
        pictures_of_a_report(browser, folder / "runs" / "group-64")
        job = shop.start(arguments(folder, "imitate", training__distillation=1), ranks=2)
        try:
            pictures_at_work(browser, server, job)
        finally:
            job.terminate()
            job.wait()
        browser.open(server.address.geturl() + "compare?run=group-64&run=group-32")
        save(browser, "dashboard-compare", 1280, 1200)


def main():
    folder, program, *mpirun = sys.argv[1:]
    folder = pathlib.Path(folder).resolve()
    if not (folder / "model").exists():
        shutil.copytree(DEMO / "model", folder / "model", ignore=shutil.ignore_patterns("checkpoints", "log"))
    shutil.rmtree(folder / "runs" / "imitate", ignore_errors=True)
    take_pictures(Workshop(program, mpirun, folder), folder)


if __name__ == "__main__":
    main()
