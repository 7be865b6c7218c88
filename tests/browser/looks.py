"""How a page looks: at the width of a phone and of a large screen, light and dark, on paper."""

import pathlib

from driving import check

MEASURES = (pathlib.Path(__file__).parent / "looks.js").read_text(encoding="utf-8")
PHONE, SCREEN = (360, 800), (1600, 1000)
PAPER = (718, 1000)  # what 1 cm margins leave of A4, in CSS pixels


def measured(browser, function):
    return browser.script(f"{MEASURES}\nreturn {function}();")


def must_fit(browser, width, height, what):
    """Nothing wider than the page, nothing cut, no text on other text."""
    browser.size(width, height)
    faults = measured(browser, "layoutFaults")
    check(not faults, f"{what} at {width} pixels: " + "; ".join(faults[:8]))


def must_have_contrast(browser, scheme, what):
    browser.media(scheme)
    brightness = measured(browser, "(() => luminance(background(document.body)))")
    check(brightness > 0.5 if scheme == "light" else brightness < 0.05, f"{what} in {scheme} has a page of {brightness}")
    faults = measured(browser, "contrastFaults")
    check(not faults, f"{what} in {scheme}: " + "; ".join(faults[:8]))


def must_look_right(browser, what):
    """The open page at both widths and in both schemes; folded parts too."""
    browser.script("for (const part of document.querySelectorAll('details')) part.open = true;")
    for scheme in ("dark", "light"):
        must_have_contrast(browser, scheme, what)
    for width, height in (PHONE, SCREEN):
        must_fit(browser, width, height, what)


def must_be_quiet(browser, addresses, what):
    """No word on the console, no request beyond those that begin with one of the addresses, and no name that runs."""
    said = browser.complaints()
    check(not said, f"{what}: the console says {said[:5]}")
    asked = [url for url in browser.requests() if not url.startswith(tuple(addresses))]
    check(not asked, f"{what} asks for {asked[:5]}")
    check(not browser.script("return window.hostile"), f"{what}: a name has run as a script")
