"""The dashboard in a browser: many runs, one at work, two side by side, a family's nights, hostile names."""

import json
import socket
import urllib.parse

import family
from dashboard import serving
from driving import PATIENCE_S, check, check_equal, main
from looks import must_be_quiet, must_look_right
from report import HOSTILE, a_rejected_run_has_its_page_too, at, compressed, poisoned, report_of
from webdriver import browser_of

FIGURES = "return Object.fromEntries([...document.querySelectorAll('data[data-key]')].map(d => [d.dataset.key, Number(d.value)]))"
LIVE = "return document.getElementById('live').dataset.state === arguments[0]"
MARK = "window.opened = true"  # gone with the page when it is loaded again
NOT_LOADED_AGAIN = "return window.opened === true"
SERVER_CONNECTIONS = 16  # for events (src/dashboard/server.cpp)


def dashboard_of(shop):
    """The one server of this program, of all its runs."""
    if not hasattr(shop, "dashboard"):
        shop.dashboard = shop.at_end.enter_context(serving(shop, shop.folder))
    return shop.dashboard


def opened(shop, page="/", **values):
    browser = browser_of(shop)
    browser.open(address(shop, page, **values))
    return browser


def address(shop, page="/", **values):
    query = urllib.parse.urlencode(values, doseq=True)
    return f"http://{dashboard_of(shop).address.netloc}/{page.lstrip('/')}" + ("?" + query if query else "")


def must_be_fine(shop, browser, what):
    must_look_right(browser, what)
    must_be_quiet(browser, [address(shop)], what)


def runs_to_show(shop):
    """A passed run and a rejected one. Skips the test where there is no browser."""
    browser_of(shop)
    compressed(shop)
    if not (shop.folder / "rejected-run").exists():
        a_rejected_run_has_its_page_too(shop)


def found(shop, path):
    """Waits until the server knows a run that is new; it looks once a second."""
    family.wait_for(lambda: dashboard_of(shop).get("/run?" + urllib.parse.urlencode({"path": path})).status == 200, f"the run {path}")


def append(run, record):
    """A record as the job would write it."""
    with open(run / "journal.jsonl", "a", encoding="utf-8") as journal:
        journal.write(json.dumps(record) + "\n")


def metric(name, step, value):
    return {"attempt": 1, "kind": "metric", "name": name, "step": step, "t": 0.0, "unit": "1", "value": value}


def the_first_page_lists_every_run_with_its_figures(shop):
    runs_to_show(shop)
    browser = opened(shop)
    rows = browser.wait_until("""const rows = [...document.querySelectorAll('#runs tbody tr')];
        return !document.body.innerText.includes('not read yet') && rows.map(row => ({
          link: row.querySelector('a').getAttribute('href'), text: row.innerText,
          figures: [...row.querySelectorAll('data')].map(d => [d.dataset.key, Number(d.value)])}))""", what="all runs")
    listed = shop.run("runs", shop.folder, "--json", ranks=0).must_end_with(0).json["runs"]
    check_equal(len(rows), len(listed), "rows")
    states = " ".join(row["text"] for row in rows)
    check("passed" in states and "gate failed" in states, states)
    count = 0
    for row, run in zip(rows, listed):
        check(run["name"] in row["text"], f"{run['name']} in {row['text']}")
        for key, value in row["figures"]:
            check_equal(value, at({"runs": listed}, key), key)
            count += 1
    check(count >= 6, f"{count} figures")
    must_be_fine(shop, browser, "the first page")


def a_finished_run_is_its_report_and_the_report_is_served(shop):
    runs_to_show(shop)
    run = compressed(shop)
    browser = opened(shop, "run", path="run")
    figures = browser.script(FIGURES)
    report = report_of(shop, run)
    for key in ("/results/packed/perplexity", "/metrics/compression~1ratio", "/gates/0/value"):
        check_equal(figures.get(key), float(at(report, key)), key)
    must_be_fine(shop, browser, "a finished run")
    browser = opened(shop, "report", path="run")
    shown = browser.script(FIGURES)
    check_equal(shown["/results/packed/perplexity"], report["results"]["packed"]["perplexity"], "of the report")
    must_be_fine(shop, browser, "a served report")


def a_run_is_seen_at_work_and_to_its_verdict_without_a_reload(shop):
    runs_to_show(shop)
    run = shop.folder / "at-work"
    job = shop.start(shop.quick(run.name, training__tokens="4e5", gates__compression__threshold=1000), ranks=2)
    try:
        browser = seen_at_work_on_the_first_page(shop, job)
        browser.script("[...document.querySelectorAll('#running a')].find(a => a.innerText).click()")
        browser.wait_until("return location.pathname === '/run'", what="the run's page")
        browser.script(MARK)
        seen_growing(browser, job)
        must_be_fine(shop, browser, "a run at work")
        browser.wait_until("return !document.getElementById('now') && /passed/.test(document.body.innerText)",
                           what=lambda: "the verdict" if job.poll() is not None else "an end of the job", seconds=90)
        check(browser.script(NOT_LOADED_AGAIN), "the page was loaded again")
        check_equal(job.wait(timeout=60), 0, "the job's own code")
        report = report_of(shop, run)
        browser.wait_until("return document.querySelector('data[data-key=\"/status/seconds\"]')", what="the time")
        figures = browser.script(FIGURES)
        for key in ("/results/packed/perplexity", "/metrics/compression~1ratio", "/gates/0/value"):
            check_equal(figures.get(key), float(at(report, key)), key)
    finally:
        if job.poll() is None:
            job.terminate()
            job.wait()


def seen_at_work_on_the_first_page(shop, job):
    browser = opened(shop)
    browser.wait_until("return document.querySelector('#running progress')", seconds=60, what=lambda: (
        "a running run" if job.poll() is None else f"a running run; the job has ended with {job.returncode}"))
    check(browser.script("return document.getElementById('running').innerText").count("of") >= 1, "no progress in words")
    must_be_fine(shop, browser, "the first page with a running run")
    return browser


def seen_growing(browser, job):
    """Loss, its curve and the step change under the eyes of a person."""
    state = """const loss = document.querySelector('#now data[data-key="/values/training~1loss/value"]');
        const curve = document.querySelector('#training .stroke');
        const done = document.querySelector('#now data[data-key="/done"]');
        return loss && curve && done && [loss.value, curve.getAttribute('d').length, done.value]"""
    seen = []
    while len(seen) < 4:
        now = browser.wait_until(state, what="a loss")
        if now not in seen:
            seen.append(now)
        check(job.poll() is None or len(seen) >= 4, f"the job ended when {seen} had been seen")
    check(seen[-1][1] > seen[0][1], f"the curve does not grow: {seen}")
    check(browser.script(NOT_LOADED_AGAIN), "the page was loaded again")
    check(browser.script(LIVE, "live"), "it does not say that it is live")
    ranks = browser.script("return document.querySelectorAll('#ranks tbody tr').length")
    check_equal(ranks, 2, "ranks")
    gates = browser.script("return document.getElementById('gates').innerText")
    check("so far" in gates, f"gates: {gates}")


def two_runs_are_compared_from_the_first_page(shop):
    runs_to_show(shop)
    browser = opened(shop)
    browser.wait_until("return document.querySelectorAll('#runs input[value=\"run\"]').length", what="the run")
    browser.script("""for (const run of ['run', 'rejected-run']) document.querySelector(`#runs input[value="${run}"]`).click();
        document.querySelector('#runs button').click()""")
    browser.wait_until("return location.pathname === '/compare' && document.getElementById('figures')", what="the comparison")
    rows = browser.script("""return Object.fromEntries([...document.querySelectorAll('#figures tbody tr')].map(row =>
        [row.querySelector('th').innerText, [...row.querySelectorAll('data')].map(d => Number(d.value))]))""")
    heads = browser.script("return [...document.querySelectorAll('#figures thead th')].map(head => head.innerText)")
    reports = [report_of(shop, shop.folder / ("rejected-run" if "rejected-run" in head else "run")) for head in heads[1:3]]
    check_equal(rows["perplexity, packed"], [report["results"]["packed"]["perplexity"] for report in reports], "perplexities")
    check_equal(rows["packed bytes"], [report["results"]["packed_bytes"] for report in reports], "bytes")
    differs = browser.script("return document.getElementById('settings').innerText")
    check("training.enabled" in differs and "model.path" not in differs, f"what differs: {differs}")
    must_be_fine(shop, browser, "a comparison")
    chosen = browser.script("return [...document.querySelectorAll('select')].map(select => select.value)")
    check_equal(sorted(chosen), ["rejected-run", "run"], "chosen runs")


def a_family_has_its_nights(shop):
    runs_to_show(shop)
    nights = family.family(shop, "nightly")
    for night in ("n1", "n2"):
        family.run(shop, nights, "--night", night).must_end_with(0)
    browser = opened(shop)
    browser.wait_until("return document.querySelector('#families a')", what="the family")
    browser.script("document.querySelector('#families a').click()")
    browser.wait_until("return location.pathname === '/family'", what="the page of the family")
    text = browser.script("return document.body.innerText")
    check("n1" in text and "n2" in text and "good-g32" in text, text)
    marks = browser.script("return document.querySelectorAll('#history .dot').length")
    check(marks >= 4, f"{marks} points in the history")
    must_be_fine(shop, browser, "a family")
    for page, values in (("night", {"night": "n2"}), ("element", {"name": "good-g32"})):
        browser = opened(shop, page, family="nightly", **values)
        figures = browser.script("return [...document.querySelectorAll('data')].map(d => Number(d.value))")
        last = family.summary(shop, nights, "n2")["good-g32"]["history"][-1]["figures"]
        for name in ("perplexity_before", "perplexity", "ratio", "packed_bytes"):
            check(last[name] in figures, f"{name} of {last} is not among {figures}")
        must_be_fine(shop, browser, f"the page {page}")


def without_scripts_it_is_read_and_renewed(shop):
    runs_to_show(shop)
    browser = browser_of(shop)
    browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        opened(shop, "run", path="run")
        check_equal(browser.script(FIGURES)["/results/packed/perplexity"],
                    report_of(shop, compressed(shop))["results"]["packed"]["perplexity"], "perplexity")
        must_be_fine(shop, browser, "a run without scripts")
        opened(shop)
        browser.script(MARK)
        must_be_fine(shop, browser, "the first page without scripts")
        browser.wait_until("return window.opened === undefined", what="a page that is loaded again")
        check(browser.script("return document.querySelectorAll('#runs tbody tr').length") >= 2, "rows of the new page")
    finally:
        browser.devtools("Emulation.setScriptExecutionDisabled", value=False)


def where_events_are_refused_the_page_asks(shop):
    """The server has so many connections for events; the others ask every few seconds."""
    runs_to_show(shop)
    run = poisoned(compressed(shop), shop.folder / "asked")
    browser_of(shop).open("about:blank")  # so that the page of the last test gives its own back
    taken = connections_for_events(shop)
    try:
        found(shop, "asked")
        browser = opened(shop, "run", path="asked")
        browser.script(MARK)
        browser.wait_until(LIVE, "polling", what="a page that asks")
        browser.complaints()  # of the refusal
        append(run, metric("training/loss", 41, 0.125))
        browser.wait_until("return document.getElementById('training').innerText.includes('0.125')", what="the new loss")
        check(browser.script(NOT_LOADED_AGAIN), "the page was loaded again")
        must_be_fine(shop, browser, "a page that asks")
    finally:
        for one in taken:
            one.close()


def connections_for_events(shop):
    """All that the server has."""
    taken = []

    def take_another():
        one = socket.create_connection(("127.0.0.1", dashboard_of(shop).address.port), timeout=PATIENCE_S)
        one.sendall(b"GET /events?page=/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if one.recv(100).startswith(b"HTTP/1.1 200"):
            taken.append(one)
        else:
            one.close()
        return len(taken) == SERVER_CONNECTIONS
    family.wait_for(take_another, f"all {SERVER_CONNECTIONS} connections for events")
    return taken


def a_server_that_comes_back_is_found_again(shop):
    browser = browser_of(shop)
    run = poisoned(compressed(shop), shop.folder / "lost")
    with serving(shop, run) as first:
        browser.open(first.address.geturl() + "run?path=.")
        browser.script(MARK)
        browser.wait_until(LIVE, "live", what="a live page")
    browser.wait_until(LIVE, "lost", what="a page that says it is lost")
    append(run, metric("training/loss", 41, 0.0625))
    with serving(shop, run, port=first.address.port):
        browser.wait_until(LIVE, "live", what="a live page")
        browser.wait_until("return document.getElementById('training').innerText.includes('0.0625')", what="the new loss")
        check(browser.script(NOT_LOADED_AGAIN), "the page was loaded again")
        browser.open("about:blank")
    browser.complaints(), browser.requests()


def markup_in_names_is_only_text(shop):
    runs_to_show(shop)
    folder = HOSTILE.replace("/", "|")
    run = poisoned(compressed(shop), shop.folder / folder)
    with open(run / "log" / "rank-0000.log", "a", encoding="utf-8") as log:
        log.write(HOSTILE + "\n")
    found(shop, folder)
    for page, values in (("/", {}), ("run", {"path": folder}), ("compare", {"run": [folder, "run"]}), ("report", {"path": folder}),
                         (HOSTILE, {}), ("run", {"path": HOSTILE}), ("/", {"from": HOSTILE})):
        browser = opened(shop, page if page != HOSTILE else urllib.parse.quote(HOSTILE), **values)
        text = browser.script("return document.documentElement.innerText")
        missing = page == HOSTILE or values == {"path": HOSTILE}
        check(missing or values == {"from": HOSTILE} or "<script>alert(1)" in text, f"the name on {page} {values}: {text[:500]}")
        if page == "run" and not missing:  # what comes by events is as harmless
            append(run, metric("training/loss", 41, 0.25) | {"unit": HOSTILE})
            append(run, {"attempt": 1, "begin_s": 1, "end_s": 2, "kind": "stage", "name": "late " + HOSTILE, "t": 0.0})
            browser.wait_until("return document.body.innerText.includes('late')", what="the late stage")
        if missing:  # the console tells of a page that is not there
            must_look_right(browser, "no such page")
            browser.complaints(), browser.requests()
        else:
            must_be_fine(shop, browser, f"{page} with hostile names")


if __name__ == "__main__":
    main([the_first_page_lists_every_run_with_its_figures, a_finished_run_is_its_report_and_the_report_is_served,
          a_run_is_seen_at_work_and_to_its_verdict_without_a_reload, two_runs_are_compared_from_the_first_page,
          a_family_has_its_nights, without_scripts_it_is_read_and_renewed, where_events_are_refused_the_page_asks,
          a_server_that_comes_back_is_found_again, markup_in_names_is_only_text])
