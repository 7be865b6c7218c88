"""The page that a run leaves (report.html), as a browser shows it."""

import re
import shutil

from driving import check, check_equal, main
from looks import PAPER, measured, must_be_quiet, must_fit, must_look_right
from report import HOSTILE, at, changed_journal, compressed, poisoned, report_of
from webdriver import browser_of

UNITS = {"": 1, "%": 0.01, "x": 1, "k": 1e3, "M": 1e6, "G": 1e9, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "tokens/s": 1,
         "s": 1, "min": 60, "h": 3600}
FIGURES = """for (const part of document.querySelectorAll('details')) part.open = true;
return [...document.querySelectorAll('data')].map(figure => ({
  key: figure.dataset.key ?? '', value: Number(figure.value), shown: figure.innerText, seen: figure.checkVisibility()}));"""


def opened(shop, run=None):
    browser = browser_of(shop)
    browser.open(((run or compressed(shop)) / "report.html").as_uri())
    return browser


def every_part_is_seen_and_its_link_leads_there(shop):
    browser = opened(shop)
    parts = browser.script("return [...document.querySelectorAll('section')].map(s => [s.id, s.innerText.length])")
    check_equal({name for name, _ in parts},
                {"gates", "figures", "models", "training", "layers", "trits", "machine", "data", "origin"}, "parts")
    check(all(length > 40 for _, length in parts), f"an empty part: {parts}")
    links = browser.script("return [...document.querySelectorAll('nav a')].map(link => link.getAttribute('href'))")
    check_equal(links, ["#" + name for name, _ in parts], "links")
    for name, _ in parts:
        browser.script(f"document.querySelector('nav a[href=\"#{name}\"]').click()")
        browser.wait_until("""const box = document.querySelector(location.hash).getBoundingClientRect();
            return location.hash === arguments[0] && box.top < innerHeight && box.bottom > 0""", "#" + name, what=name)
    drawings = browser.script("""return [...document.querySelectorAll('svg')].map(drawing => [...drawing.querySelectorAll(
        '.stroke, .dot, .fill, .span')].filter(mark => mark.getBBox().width + mark.getBBox().height > 0).length)""")
    check(len(drawings) >= 12 and all(drawings), f"marks in the charts: {drawings}")


def shown_number(text):
    """The number that a person reads, and how far its last digit leaves it open."""
    text = text.replace("\u00a0", " ").replace("−", "-")
    if parts := re.fullmatch(r"(\d+) (min|h) (\d+) (s|min)", text):  # "4 min 05 s"
        large, unit, small, smaller = parts.groups()
        return int(large) * UNITS[unit] + int(small) * UNITS[smaller], UNITS[smaller]
    digits, unit = re.fullmatch(r"([-+]?[\d ]*\d(?:\.\d+)?(?:e[-+]?\d+)?) ?([a-zA-Z%/]*)", text).groups()
    mantissa, _, power = digits.replace(" ", "").partition("e")
    last = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
    return float(digits.replace(" ", "")) * UNITS[unit], 0.5001 * last * UNITS[unit]


def what_is_read_is_what_the_json_says(shop):
    figures = opened(shop).script(FIGURES)
    report = report_of(shop, compressed(shop))
    keys = {figure["key"] for figure in figures} - {""}
    for figure in figures:
        check(not figure["key"] or figure["value"] == float(at(report, figure["key"])), f"{figure}")
        check(figure["seen"], f"not seen: {figure}")
        number, open_to = shown_number(figure["shown"])
        check(abs(number - figure["value"]) <= open_to, f"not what is shown: {figure}")
    check(len(keys) > 40 and len(figures) > 100, f"{len(figures)} figures, {len(keys)} with a key")
    for key in ("/results/packed/perplexity", "/metrics/compression~1ratio", "/gates/0/value", "/results/packed_bytes"):
        check(key in keys, f"no {key}")


def it_fits_a_phone_and_a_large_screen_light_and_dark(shop):
    browser = opened(shop)
    must_look_right(browser, "the report")
    scrolling = browser.script("""return [...document.querySelectorAll('.scroll')].filter(
        box => box.scrollWidth > box.clientWidth).length""")
    check_equal(scrolling, 0, "tables that do not fit a large screen")


def it_fits_paper(shop):
    browser = opened(shop)
    browser.size(*PAPER)
    browser.media("light", "print")
    try:
        must_fit(browser, *PAPER, "on paper")
        check_equal(measured(browser, "contrastFaults"), [], "contrast on paper")
        check(browser.script("return !document.querySelector('nav').checkVisibility()"), "links on paper")
        pdf = browser.pdf()
        check(pdf.startswith(b"%PDF") and 2 <= pdf.count(b"/Type /Page\n") <= 12, f"{pdf.count(b'/Type /Page')} pages")
    finally:
        browser.media()


def stretched(run, copy):
    """What a large model's long training would leave: many steps, small values on both sides of zero, many layers."""
    shutil.copytree(run, copy)

    def stretch(line):
        if line["kind"] == "metric" and line["name"].startswith("training/"):
            line["value"] *= 1e-4 if line["step"] % 2 else -1e-4
            line["step"] *= 25
        elif line["kind"] == "layers":
            line["table"] = [dict(layer, name=layer["name"].replace(".layers.", f".layers.{block}"))
                             for block in range(1, 11) for layer in line["table"]]
    changed_journal(copy, stretch)
    return copy


def a_large_model_and_a_long_training_fit_too(shop):
    browser_of(shop)
    run = stretched(compressed(shop), shop.folder / "stretched")
    shop.run("report", run, ranks=0).must_end_with(0)
    must_look_right(opened(shop, run), "a long report")


def it_loads_nothing_and_complains_of_nothing(shop):
    browser = opened(shop)
    browser.complaints(), browser.requests()
    opened(shop)
    must_be_quiet(browser, [(compressed(shop) / "report.html").as_uri()], "the report")
    check_equal(browser.script("return [document.scripts.length, document.images.length]"), [0, 0], "scripts, images")


def markup_that_is_not_escaped_is_noticed(shop):
    """The other tests would not pass it."""
    browser = browser_of(shop)
    page = shop.folder / "not-escaped.html"
    page.write_text(f"<!DOCTYPE html><meta charset=utf-8><title>x</title>{HOSTILE}", encoding="utf-8")
    browser.open(page.as_uri())
    check(browser.script("return window.hostile"), "nothing ran")
    check(browser.complaints() and any(url.endswith("/x") for url in browser.requests()), "no complaint of the image")


def markup_in_names_is_only_text(shop):
    browser_of(shop)
    run = poisoned(compressed(shop), shop.folder / "hostile")
    shop.run("report", run, ranks=0).must_end_with(0)
    browser = opened(shop, run)
    must_be_quiet(browser, [(run / "report.html").as_uri()], "a hostile report")
    check(browser.script("return document.querySelector('h1').innerText").startswith(HOSTILE[:20]), "the title")
    must_look_right(browser, "a hostile report")


if __name__ == "__main__":
    main([every_part_is_seen_and_its_link_leads_there, what_is_read_is_what_the_json_says,
          it_fits_a_phone_and_a_large_screen_light_and_dark, it_fits_paper,
          a_large_model_and_a_long_training_fit_too, it_loads_nothing_and_complains_of_nothing,
          markup_that_is_not_escaped_is_noticed, markup_in_names_is_only_text])
