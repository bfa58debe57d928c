"""A real browser for tests of pages, headless, and axe-core's rules.

Needs Debian's chromium and chromium-driver; axe-core comes from npm. What is not installed is skipped, with its reason.
Screenshots are left in ``build/screenshots`` of the checkout.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

SCREENSHOTS = Path(__file__).parent.parent / "build" / "screenshots"
AXE = "axe-core@4.14.1"
TAB, ENTER = "\ue004", "\ue007"
needs_browser = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver")), reason="no chromium and chromium-driver installed"
)


class Browser:
    """A session of chromedriver, by the WebDriver protocol."""

    def __init__(self, port):
        self.base = f"http://127.0.0.1:{port}/session"
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options = {"binary": shutil.which("chromium"), "args": arguments}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        self.base += "/" + self.send("", wanted)["sessionId"]

    def send(self, path, body=None, method="POST"):
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)["value"]

    def cdp(self, command, **parameters):
        return self.send("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script, kind="sync"):
        return self.send(f"/execute/{kind}", {"script": script, "args": []})

    def until(self, script, seconds=10):
        """Ask a page again until a script's answer is true: a browser under load answers late."""
        end = time.monotonic() + seconds
        while not self.run(f"return {script}"):
            assert time.monotonic() < end, script
            time.sleep(0.02)

    def show(self, path, width, scheme="light"):
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.cdp("Emulation.setDeviceMetricsOverride", **metrics)
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.cdp("Emulation.setFocusEmulationEnabled", enabled=True)
        self.send("/url", {"url": path.as_uri()})
        self.until("document.readyState == 'complete'")

    def press(self, key):
        strokes = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.send("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def screenshot(self, name):
        picture = self.cdp("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(picture))


@pytest.fixture(scope="module")
def browser():
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        port = next(
            found[1] for line in driver.stdout if (found := re.search(r"started successfully on port (\d+)", line))
        )
        session = Browser(port)
        yield session
        session.send("", method="DELETE")
    finally:
        os.killpg(driver.pid, signal.SIGKILL)  # with the browser, if a session was left
        driver.wait(30)


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("axe")
    if not shutil.which("npm"):
        pytest.skip("no npm installed, which fetches axe-core")
    fetch = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), AXE]
    quiet = subprocess.DEVNULL  # pipes would keep us waiting for npm's children after it was stopped
    npm = subprocess.Popen(fetch, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        if npm.wait(60):
            pytest.skip(f"npm could not fetch {AXE}; is there a network?")
    except subprocess.TimeoutExpired:
        os.killpg(npm.pid, signal.SIGKILL)
        npm.wait()
        pytest.skip(f"npm fetched no {AXE} within a minute")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()


def violations(browser, axe):
    """Return what axe-core finds wrong in the page that is shown, with the number of rules that it passes."""
    browser.run(axe)
    found = browser.run("axe.run().then(arguments[0])", "async")
    return [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found["violations"]], len(
        found["passes"]
    )
