"""Chromium without a window, driven through the DevTools protocol over two pipes. Standard library only.

    with Browser() as browser:
        page = browser.open(path, width=1280, dark=True)
        page.evaluate("document.title")
        page.messages, page.requests       # what it logged, and what it asked the network for
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def find_chromium():
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    def __init__(self, timeout_s=60):
        self.timeout_s = timeout_s

    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory(prefix="secondsource-browser-")
        to_read, self.to_browser = os.pipe()
        self.from_browser, to_write = os.pipe()

        def give_pipes():  # the browser reads the protocol's messages from descriptor 3 and writes to 4
            for source, target in ((os.dup(to_read), 3), (os.dup(to_write), 4)):
                os.dup2(source, target)

        self.process = subprocess.Popen(
            [find_chromium(), "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
             "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={self.profile.name}", "about:blank"],
            preexec_fn=give_pipes, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.pending = b""
        self.events = []
        self.n_calls = 0
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close")
        except (OSError, RuntimeError):
            pass
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to_browser)
        os.close(self.from_browser)
        self.profile.cleanup()

    def receive(self):
        while b"\0" not in self.pending:
            part = os.read(self.from_browser, 1 << 20)
            if not part:
                raise RuntimeError("chromium closed its pipe")
            self.pending += part
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, params=None, session=None):
        self.n_calls += 1
        number = self.n_calls
        request = {"id": number, "method": method, "params": params or {}}
        if session:
            request["sessionId"] = session
        os.write(self.to_browser, json.dumps(request).encode() + b"\0")
        deadline = time.monotonic() + self.timeout_s
        while time.monotonic() < deadline:
            message = self.receive()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self.events.append(message)
        raise RuntimeError(f"{method}: no answer in {self.timeout_s} s")

    def open(self, path, width=1280, height=900, dark=False):
        return Page(self, os.path.abspath(path), width, height, dark)


class Page:
    def __init__(self, browser, path, width, height, dark):
        self.browser = browser
        target = browser.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self.session = browser.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "Accessibility"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        self.call("Emulation.setEmulatedMedia",
                  {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        self.url = "file://" + path
        browser.events.clear()
        self.call("Page.navigate", {"url": self.url})
        deadline = time.monotonic() + browser.timeout_s
        while not any(event["method"] == "Page.loadEventFired" for event in browser.events):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{path}: did not load in {browser.timeout_s} s")
            browser.events.append(browser.receive())

    def call(self, method, params=None):
        return self.browser.call(method, params, self.session)

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride",
                  {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def press(self, key):
        code, text = {"Tab": (9, ""), "Enter": (13, "\r")}[key]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent",
                      {"type": kind, "key": key, "code": key, "text": text, "windowsVirtualKeyCode": code})

    def accessibility_tree(self):
        return self.call("Accessibility.getFullAXTree")["nodes"]

    def screenshot(self, path, whole=True):
        with open(path, "wb") as file:
            file.write(base64.b64decode(
                self.call("Page.captureScreenshot", {"captureBeyondViewport": whole})["data"]))

    def pdf(self):
        return base64.b64decode(self.call("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})["data"])

    @property
    def messages(self):
        self.evaluate("0")  # a round trip: all earlier events have arrived when it returns
        texts = []
        for event in self.browser.events:
            if event["method"] == "Runtime.consoleAPICalled":
                texts.append("console: " + json.dumps(event["params"]["args"]))
            elif event["method"] == "Runtime.exceptionThrown":
                texts.append("exception: " + event["params"]["exceptionDetails"]["text"])
            elif event["method"] == "Log.entryAdded":
                texts.append("log: " + event["params"]["entry"]["text"])
            elif event["method"] == "Page.javascriptDialogOpening":
                texts.append("dialog: " + event["params"]["message"])
        return texts

    @property
    def requests(self):
        self.evaluate("0")
        return [event["params"]["request"]["url"] for event in self.browser.events
                if event["method"] == "Network.requestWillBeSent" and event["params"]["request"]["url"] != self.url]
