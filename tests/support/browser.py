"""A headless Chromium by way of its driver and the W3C WebDriver protocol, with nothing but the standard library."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import urllib.request

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def missing():
    """Why no browser can be had here; None where one can."""
    if not any(map(shutil.which, BROWSERS)):
        return "no Chromium or Chrome found on the PATH"
    return None if shutil.which("chromedriver") else "no chromedriver found on the PATH"


class Browser:
    """One window. ``run`` evaluates JavaScript, ``log`` gives what the page logged or asked the network for."""

    def __init__(self, profile, width=1280, height=900, dark=False):
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        line = ""
        while "successfully on port " not in line:
            line = self.driver.stdout.readline()
            assert line, "chromedriver did not start"
        self.address = f"http://127.0.0.1:{line.split('on port ')[1].split('.')[0].strip()}/session"
        binary = next(filter(None, map(shutil.which, BROWSERS)))
        flags = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            f"--user-data-dir={profile}", f"--window-size={width},{height}", *(["--force-dark-mode"] if dark else []),
        ]  # fmt: skip
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": binary, "args": flags},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        try:
            opened = self.call("", capabilities={"alwaysMatch": wanted})
        except Exception:
            self.driver.kill()
            self.driver.wait()
            raise
        self.address += "/" + opened["sessionId"]
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("/url", url="about:blank")  # Chromium's own first page asks for much
        self.log("performance")
        self.call("/goog/cdp/execute", cmd="Emulation.setDeviceMetricsOverride", params=size)

    def call(self, path, method="POST", **values):
        data = json.dumps(values).encode() if method == "POST" else None
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())["value"]

    def open(self, path):
        self.call("/url", url=path.resolve().as_uri())

    def run(self, script):
        return self.call("/execute/sync", script=script, args=[])

    def log(self, kind):
        return self.call("/se/log", type=kind)

    def requests(self):
        """The addresses that the page asked for, itself included."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.call("/screenshot", "GET")))

    def close(self):
        with contextlib.suppress(OSError):
            self.call("", "DELETE")
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()
