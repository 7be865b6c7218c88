"""A headless Chromium, driven through its driver by the WebDriver protocol (https://www.w3.org/TR/webdriver2) and, where
that has no word for it, by the browser's own (https://chromedevtools.github.io/devtools-protocol).

`with Browser(folder) as browser:` starts both and ends both. Only Python's standard library is needed.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

from driving import Skipped, check

PATIENCE_S = 30  # for anything the browser does; a busy machine
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars",
           "--disable-background-networking", "--disable-component-update", "--no-first-run", "--lang=en",
           # What a page must not do, the browser could not do either: no name leads anywhere.
           "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")


def programs():
    """The paths of browser and driver. Ubuntu's chromium is a snap that sees no /tmp, and is left alone."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        raise Skipped("no chromium with chromedriver (launch/test.sh installs them on Debian)")
    if any("/snap/" in os.path.realpath(path) for path in (browser, driver)):
        raise Skipped("chromium is a snap here, which cannot read the tests' folders")
    return browser, driver


def browser_of(shop):
    """The one browser of a test program, started when first asked for."""
    if not hasattr(shop, "browser"):
        shop.browser = shop.at_end.enter_context(Browser(shop.folder / "browser"))
    return shop.browser


class Browser:
    def __init__(self, folder):
        """Throws Skipped where there is no browser. `folder` is for its profile and logs."""
        self.binary, self.driver_path = programs()
        self.folder = folder
        self.driver = self.base = None

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "driver.out"
        with open(log, "wb") as output:  # a group of its own: the browser's many processes end with it
            self.driver = subprocess.Popen([self.driver_path, "--port=0"], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                           env=dict(os.environ, HOME=str(self.folder)), start_new_session=True)
        try:
            self.base = f"http://127.0.0.1:{self._port(log)}"
            self.base += "/session/" + self._call("POST", "/session", {"capabilities": {"alwaysMatch": {
                "goog:chromeOptions": {"binary": self.binary, "args": [*OPTIONS, f"--user-data-dir={self.folder}/profile"]},
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                "timeouts": {"script": PATIENCE_S * 1000, "pageLoad": PATIENCE_S * 1000}}}})["sessionId"]
            self.media()
            # Names with markup want to open a dialog; should anything of them ever run, window.hostile says so.
            self.devtools("Page.addScriptToEvaluateOnNewDocument", source="window.alert = () => { window.hostile = true; };")
            self.open("about:blank")
            self.requests()  # those of the browser's own first page
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.driver.pid, signal.SIGKILL)  # the profile is thrown away: nothing to save
        except ProcessLookupError:
            pass
        self.driver.wait()

    def _port(self, log):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            text = log.read_text(errors="replace")
            if "successfully on port " in text:
                return int(text.split("successfully on port ")[1].split(".")[0])
            check(self.driver.poll() is None and time.monotonic() < deadline, f"chromedriver does not start:\n{text}")
            time.sleep(0.02)

    def _call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method, headers={"Content-Type": "application/json"},
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=2 * PATIENCE_S) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:  # a dialog that a page has opened is such an error, too
            said = json.load(error)["value"]
            raise AssertionError(f"{method} {path}: {said['error']}: {said['message'].splitlines()[0]}") from None

    def open(self, address):
        self._call("POST", "/url", {"url": str(address)})

    def script(self, body, *arguments):
        """What the body of a function returns; it is of the test, so a page cannot forbid it."""
        return self._call("POST", "/execute/sync", {"script": body, "args": list(arguments)})

    def devtools(self, command, **parameters):
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def size(self, width, height, scale=1):
        """Of the page in CSS pixels; a window would not get narrower than 500. `scale`: pixels of a picture for each."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def media(self, scheme="light", medium=""):
        """scheme: light or dark; medium: "print" for paper. Nothing moves by itself, so that what is measured stays."""
        self.devtools("Emulation.setEmulatedMedia", media=medium, features=[
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}])

    def pdf(self):
        return base64.b64decode(self._call("POST", "/print", {"page": {"width": 21.0, "height": 29.7}}))

    def picture(self, **parameters):
        """PNG of what is seen; clip={x, y, width, height, scale} for a part of the page."""
        return base64.b64decode(self.devtools("Page.captureScreenshot", format="png", **parameters)["data"])

    def complaints(self):
        """What the console got since the last call: errors of scripts, refused resources, failed requests, warnings."""
        return [f"{entry['level']}: {entry['message']}" for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def requests(self):
        """The addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self._call("POST", "/se/log", {"type": "performance"})]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def wait_until(self, body, *arguments, what, seconds=PATIENCE_S):
        """The first value of a script that is true."""
        deadline = time.monotonic() + seconds
        while True:
            value = self.script(body, *arguments)
            if value:
                return value
            check(time.monotonic() < deadline, f"{seconds} s without {what() if callable(what) else what}")
            time.sleep(0.1)
