"""The dashboard: what it shows of runs that work, that ended, that were killed, and that strangers made; and whom it
refuses. Needs no browser; tests of the pages in one are elsewhere."""

import concurrent.futures
import contextlib
import html.parser
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.parse

from driving import PATIENCE_S, Skipped, check, check_equal, digests, main, status_of
from report import HOSTILE, at, changed_journal, compressed, report_of

MOST_GROWTH = 150e6  # bytes of resident memory beyond those of a server that has shown one page of one run


class Server:
    """`tercet dashboard`, running."""

    def __init__(self, shop, folder, *options, port=0):
        self.folder = folder
        words = [str(shop.program), "dashboard", str(folder), "--port", str(port), *map(str, options)]
        self.process = subprocess.Popen(words, env=shop.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.address = None
        said = []
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"http://\S+", line):
                self.address = urllib.parse.urlsplit(found.group())
                break
        check(self.address, f"it did not say where it listens:\n{''.join(said)}")

    def get(self, path, method="GET", **headers):
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            answer.text = answer.read().decode("utf-8")
            return answer

    def page(self, path, **headers):
        answer = self.get(path, **headers)
        check_equal(answer.status, 200, f"status of {path}")
        return answer.text

    def json(self, path):
        return json.loads(self.page(path))

    def memory(self):
        """The most that it ever took, bytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) * 1024

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@contextlib.contextmanager
def serving(shop, folder, *options, port=0):
    server = Server(shop, folder, *options, port=port)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate()


def run_address(path, page="/run"):
    return page + "?path=" + urllib.parse.quote(path)


class Markup(html.parser.HTMLParser):
    """Figures (data-key, value) and elements of a page."""

    def __init__(self, text):
        super().__init__()
        self.figures, self.elements = {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag == "data" and attributes.get("data-key"):
            self.figures[attributes["data-key"]] = float(attributes["value"])


def runs_and_loads_only_ours(text):
    for tag, attributes in Markup(text).elements:
        check(tag not in ("img", "iframe", "object", "embed", "base", "style"), f"<{tag}>")
        check(tag != "script" or attributes.get("src") == "/dashboard.js", f"a script: {attributes}")
        check(tag != "link" or attributes.get("href") == "/dashboard.css", f"a link: {attributes}")
        for name, value in attributes.items():
            check(not name.startswith("on") and name != "style", f"{tag} {name}={value}")
            check(name not in ("href", "src", "action") or value[0] in "/#" and value[:2] != "//", f"leads away: {value}")


class Events:
    """Server-sent events of a page, as a browser reads them."""

    def __init__(self, server, page):
        address = "/events?page=" + urllib.parse.quote(page)
        self.connection = http.client.HTTPConnection(server.address.hostname, server.address.port, timeout=60)
        self.connection.request("GET", address)
        self.answer = self.connection.getresponse()
        self.parts = {}

    def next(self):
        """Waits for one event; what it changes is kept in `parts`."""
        end = time.monotonic() + PATIENCE_S
        while (line := self.answer.readline().decode("utf-8")) and time.monotonic() < end:
            if line.startswith("data: "):
                changed = {part["id"]: part["html"] for part in json.loads(line[6:])["parts"]}
                self.parts.update(changed)
                return changed
        raise AssertionError("no more events")

    def close(self):
        self.answer.close()
        self.connection.close()


@contextlib.contextmanager
def a_job(shop, name, **settings):
    job = shop.start(shop.quick(name, gates__compression__threshold=1000, **settings), ranks=2)
    try:
        yield job
    finally:
        if job.poll() is None:
            job.terminate()
        job.wait()


def metrics_of(run):
    """Every value that the journal has, by name and step."""
    values = {}
    for line in (run / "journal.jsonl").read_text(encoding="utf-8").rpartition("\n")[0].splitlines():
        record = json.loads(line)
        if record["kind"] == "metric":
            values[record["name"], record["step"]] = record["value"]
    return values


def a_finished_run_shows_the_figures_of_its_report(shop):
    run = compressed(shop)
    before = digests(run)
    with serving(shop, shop.folder) as server:
        report = report_of(shop, run)
        page = server.page(run_address("run"))
        runs_and_loads_only_ours(page)
        figures = Markup(page).figures
        for key, value in figures.items():
            check_equal(value, float(at(report, key)), key)
        check(len(figures) > 40, f"only {len(figures)} figures")
        check_equal(server.json(run_address("run", "/api/report")), report, "the report as JSON")
        seen = shop.run("watch", run, "--once", "--json", ranks=0).must_end_with(0).json
        check_equal(server.json(run_address("run", "/api/run")), seen, "what watch gives")
        listed = shop.run("runs", shop.folder, "--json", ranks=0).must_end_with(0).json
        check_equal(server.json("/api/runs"), listed, "what runs gives")
        index = Markup(server.page("/")).figures
        place = [item["run"] for item in listed["runs"]].index(str(run))
        check_equal(index[f"/runs/{place}/perplexity_after"], report["results"]["packed"]["perplexity"], "in the list")
        check("Content-Security-Policy" in server.page(run_address("run", "/report")), "the report as a file")
    check_equal(digests(run), before, "the run's files")


def a_run_is_seen_while_it_works_and_to_its_end(shop):
    run = shop.folder / "long"
    with serving(shop, shop.folder) as server, a_job(shop, run.name, training__tokens="1e5") as job:
        while server.get(run_address("long")).status != 200:
            check(job.poll() is None, "the job ended too early")
            time.sleep(0.1)
        events = Events(server, run_address("long"))
        check_equal(events.answer.getheader("Content-Type"), "text/event-stream", "kind of the events")
        losses = []
        saw_ranks = saw_gates = False
        while not losses or events.parts["now"]:  # what it does now: nothing, at its end
            changed = events.next()
            shown = Markup(events.parts["now"]).figures.get("/values/training~1loss/value")
            step = re.search(r"at step (\d+)", events.parts["now"])
            if "now" in changed and shown is not None and step:
                losses.append((int(step.group(1)), shown))
            saw_ranks = saw_ranks or events.parts["ranks"].count("<tr>") == 3
            saw_gates = saw_gates or "so far" in events.parts["gates"]
        if len(losses) < 2:
            raise Skipped("the job was over before it was seen")
        check_equal(job.wait(), 0, "the job's own code")
        check(saw_ranks and saw_gates, "neither ranks nor gates were seen")
        check(len({step for step, _ in losses}) > 1, f"the loss stood still: {losses}")
        recorded = metrics_of(run)
        for step, shown in losses:
            check_equal(shown, recorded["training/loss", step], f"loss at step {step}")
        events.close()
        time.sleep(1)
        report = report_of(shop, run)
        shown = Markup(server.page(run_address("long"))).figures
        check("/results/packed/perplexity" in shown, "the results are not shown")
        for key, value in shown.items():
            check_equal(value, float(at(report, key)), key)


def polling_gives_the_same_parts(shop):
    compressed(shop)
    with serving(shop, shop.folder) as server:
        page = urllib.parse.quote(run_address("run"))
        parts = server.json("/parts?page=" + page)["parts"]
        check(len(parts) > 10, "parts")
        events = Events(server, run_address("run"))
        check_equal(events.next(), {part["id"]: part["html"] for part in parts}, "by events")
        events.close()
        have = ",".join(f"{part['id']}:{part['mark']}" for part in parts[1:])
        again = server.json(f"/parts?page={page}&have={have}")["parts"]
        check_equal([part["id"] for part in again], [parts[0]["id"]], "only what is missing")
        whole = server.page(run_address("run"))
        for part in parts:
            check(part["html"] in whole, f"the page without scripts lacks {part['id']}")
        check('http-equiv="refresh"' in whole, "without scripts it is not renewed")


def a_killed_run_and_its_next_attempt_are_seen(shop):
    run = shop.folder / "killed"
    with serving(shop, shop.folder) as server:
        with a_job(shop, run.name, training__tokens="1e5") as job:
            while not ((run / "status.json").exists() and status_of(run)["stage"] == "fine-tune"
                       and any(name == "training/loss" for name, _ in metrics_of(run))):
                check(job.poll() is None, "the job ended too early")
                time.sleep(0.1)
            for pid in ranks_of(job.pid):
                os.kill(pid, signal.SIGKILL)
            job.wait()
        with open(run / "journal.jsonl", "a", encoding="utf-8") as journal:
            journal.write('{"kind":"metric","na')  # what a kill in the middle of a line leaves
        time.sleep(1)
        page = server.page(run_address("killed"))
        check("running" in page and "Training" in page, "the killed run is not shown")
        before = server.json(run_address("killed", "/api/run"))
        shop.run(*shop.quick(run.name, gates__compression__threshold=1000, training__tokens="1e5")).must_end_with(0)
        time.sleep(1)
        after = server.json(run_address("killed", "/api/run"))
        check(after["attempt"] > before["attempt"], f"attempts: {before['attempt']}, {after['attempt']}")
        check_equal((after["state"], after["warnings"]), ("passed", []), "how it ended")
        check_equal(server.json(run_address("killed", "/api/report")), report_of(shop, run), "what the attempts recorded")


def ranks_of(launcher):
    """The processes that mpirun started."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(launcher)], capture_output=True, text=True, check=True)
    return [int(pid) for pid in children.stdout.split()]


def strangers_runs_break_nothing(shop):
    folder = shop.folder / "strangers"
    secret = shop.folder / "secret"
    secret.mkdir()
    (secret / "status.json").write_text('{"state": "passed", "sentence": "the secret"}', encoding="utf-8")
    (secret / "journal.jsonl").write_text("{}\n", encoding="utf-8")
    make_strangers_runs(shop, folder, secret)
    with serving(shop, folder) as server:
        pages = [server.page("/"), server.page("/compare")]
        paths = [os.path.relpath(item["run"], folder) for item in server.json("/api/runs")["runs"]]
        check_equal(len(paths), 5, f"runs: {paths}")
        for path in paths:
            pages.append(server.page(run_address(path)))
            pages.append(server.page("/compare?" + urllib.parse.urlencode([("run", path), ("run", paths[0])])))
        for page in pages:
            runs_and_loads_only_ours(page)
            check("the secret" not in page and "alert(1)" not in page.replace("&lt;script&gt;alert(1)", ""), "hostile words")
        check(any("alert(1)" in page for page in pages), "the names are not shown")
        for path in ("../secret", str(secret), "linked", ".", "", "%2e%2e/secret", "run/../../secret"):
            for page in ("/run", "/report", "/api/run", "/api/report"):
                check_equal(server.get(page + "?path=" + path).status, 404, f"{page} {path}")
        for path in ("/../secret/status.json", "/%2e%2e/secret/status.json", "/linked/status.json", "//etc/passwd"):
            check_equal(server.get(path).status, 404, path)


def make_strangers_runs(shop, folder, secret):
    markup = folder / HOSTILE.replace("/", "\u2215")
    shutil.copytree(compressed(shop), markup)

    def poison(line):
        if line["kind"] == "layers":
            for layer in line["table"]:
                layer["name"] += HOSTILE
        elif line["kind"] == "stage":
            line["name"] = HOSTILE
        elif line["kind"] == "gates":
            for gate in line["table"]:
                gate["evidence"] = gate["name"] = HOSTILE

    changed_journal(markup, poison)
    (markup / "log").mkdir(exist_ok=True)
    (markup / "log" / "rank-0000.log").write_text(HOSTILE * 50, encoding="utf-8")
    cut = folder / "cut"
    shutil.copytree(compressed(shop), cut)
    (cut / "run.h5").unlink()
    os.truncate(cut / "journal.jsonl", (cut / "journal.jsonl").stat().st_size // 2)
    huge = folder / "huge"
    shutil.copytree(compressed(shop), huge)
    os.truncate(huge / "journal.jsonl", 1 << 30)
    (huge / "run.h5").unlink()
    for name in ("files", "shape"):
        (folder / name).mkdir()
    for name in ("status.json", "journal.jsonl"):
        (folder / "files" / name).symlink_to(secret / name)
    (folder / "shape" / "status.json").write_text('{"state": [], "seconds": "long", "started": 7}', encoding="utf-8")
    (folder / "shape" / "journal.jsonl").write_bytes(b"\xff\n{\"kind\":\"gates\",\"table\":7}\n[[[[\n")
    (folder / "linked").symlink_to(secret)


def it_answers_only_those_it_should(shop):
    compressed(shop)
    with serving(shop, shop.folder) as server:
        page = server.get("/")
        for name, value in (("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"),
                            ("Referrer-Policy", "no-referrer"), ("Cache-Control", "no-store")):
            check_equal(page.getheader(name), value, name)
        policy = page.getheader("Content-Security-Policy")
        for rule in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"):
            check(rule in policy and "unsafe" not in policy, policy)
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            check_equal(server.get("/", method=method).status, 405, method)
        check_equal(server.get("/", Host="evil.example:80").status, 421, "another name")
        check_equal(server.get("/", Range="bytes=0-9,0-9").status, 416, "ranges")
        head = server.get("/", method="HEAD")
        check_equal((head.status, head.text), (200, ""), "HEAD")
        check(int(head.getheader("Content-Length")) > 1000, "HEAD has no length")
        code, _, err = server.stop(signal.SIGINT)
        check_equal((code, "error" in err), (0, False), f"the end:\n{err}")
    with serving(shop, shop.folder, "--host", "0.0.0.0") as server:
        token = urllib.parse.parse_qs(server.address.query)["token"][0]
        check(len(token) == 32, f"token: {token}")
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "tercet-0=wrong"}):
            check_equal(server.get("/", **headers).status, 401, str(headers))
            check_equal(server.get("/events?page=/", **headers).status, 401, str(headers))
        check_equal(server.get("/?token=wrong").status, 401, "a wrong token")
        check_equal(server.get("/", Authorization="Bearer " + token).status, 200, "as a header")
        first = server.get(run_address("run") + "&token=" + token)
        check_equal((first.status, first.getheader("Location")), (303, "/run?path=run"), "the first visit")
        cookie = first.getheader("Set-Cookie").split(";")[0]
        check_equal(server.get("/", Cookie=cookie).status, 200, "as a cookie")
        check_equal(server.stop()[0], 0, "the end")


def it_says_what_keeps_it_from_starting(shop):
    nowhere = shop.run("dashboard", shop.folder / "nowhere", ranks=0).must_end_with(74)
    check("is no folder" in nowhere.err, nowhere.err)
    with serving(shop, shop.folder) as server:
        taken = shop.run("dashboard", shop.folder, "--port", server.address.port, ranks=0).must_end_with(64)
        check("cannot listen" in taken.err, taken.err)


def many_look_at_once(shop):
    compressed(shop)
    with serving(shop, shop.folder) as server:
        followers = []
        refused = 0
        for _ in range(24):
            events = Events(server, run_address("run"))
            refused += events.answer.status == 503
            followers.append(events)
        check(refused == 8, f"{refused} of 24 were refused events")
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            statuses = list(threads.map(lambda _: server.get("/").status, range(64)))
        check_equal(set(statuses), {200}, "pages meanwhile")
        for events in followers:
            events.close()
        time.sleep(3)
        check_equal(Events(server, "/").answer.status, 200, "events once they are gone")
        begin = time.monotonic()
        check_equal(server.stop()[0], 0, "the end, with somebody following")
        check(time.monotonic() - begin < 10, "it took long to end")


def a_hundred_runs_are_there_at_once(shop):
    folder = shop.folder / "hundred"
    run = compressed(shop)
    for number in range(100):
        copy = folder / f"night-{number // 10}" / f"run-{number:03}"
        copy.mkdir(parents=True)
        for name in ("status.json", "journal.jsonl", "config.resolved.yaml", "run.h5"):
            shutil.copy2(run / name, copy / name)
    for number in range(3):
        copy_as_running(run, folder / f"running-{number}")
    (shop.folder / "empty").mkdir()
    with serving(shop, shop.folder / "empty") as server:
        server.page("/")
        floor = server.memory()
    with serving(shop, folder) as server:
        begin = time.monotonic()
        first = server.page("/")
        at_once = time.monotonic() - begin
        while "not read yet" in server.page("/"):
            time.sleep(0.05)
        times = []
        for _ in range(20):
            begin = time.monotonic()
            page = server.page("/")
            times.append(time.monotonic() - begin)
            time.sleep(0.1)
        check_equal(len(server.json("/api/runs")["runs"]), 103, "runs")
        check("run-099" in first and "run-099" in page and page.count("<progress") == 3, "the page")
        for number in range(0, 100, 5):
            server.page(run_address(f"night-{number // 10}/run-{number:03}"))
        growth = server.memory() - floor
        print(f"    first page {1000 * at_once:.0f} ms, later {1000 * sorted(times)[10]:.0f} ms, at most "
              f"{1000 * max(times):.0f} ms; memory {floor / 1e6:.0f} MB + {growth / 1e6:.0f} MB")
        check(growth < MOST_GROWTH, f"memory grew by {growth / 1e6:.0f} MB")


def copy_as_running(run, copy):
    """The run as it was in the middle."""
    copy.mkdir(parents=True)
    lines = (run / "journal.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (copy / "journal.jsonl").write_text("".join(lines[:len(lines) // 2]), encoding="utf-8")
    shutil.copy2(run / "config.resolved.yaml", copy)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    (copy / "status.json").write_text(json.dumps({"state": "running", "stage": "fine-tune", "attempt": 1, "started": now,
                                                  "updated": now}), encoding="utf-8")
    rank = {"rank": 0, "known": True, "host": "node7", "pid": 1, "phase": "compress > fine-tune", "done": 3, "total": 9,
            "beats": 5, "waiting": False, "call": "", "call_bytes": 0, "calls": 0, "idle_s": 0, "silent_s": 0,
            "thread_state": "R", "memory_bytes": 400000000}
    (copy / "heartbeat.json").write_text(json.dumps({"time": time.time(), "ranks": [rank]}), encoding="utf-8")


if __name__ == "__main__":
    main([a_finished_run_shows_the_figures_of_its_report, a_run_is_seen_while_it_works_and_to_its_end,
          polling_gives_the_same_parts, a_killed_run_and_its_next_attempt_are_seen, strangers_runs_break_nothing,
          it_answers_only_those_it_should, it_says_what_keeps_it_from_starting, many_look_at_once,
          a_hundred_runs_are_there_at_once])
