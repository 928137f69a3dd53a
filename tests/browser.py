"""A headless Chromium or Chrome, driven through its DevTools protocol over a pipe.

No library for it: commands and events are JSON with a zero byte after each.
"""

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path

from tests.forks import HANGS

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = ("Google Chrome", "Chromium", "Microsoft Edge")
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage",
    "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
KEYS = {
    " ": ("Space", 32), "ArrowLeft": ("ArrowLeft", 37), "ArrowUp": ("ArrowUp", 38),
    "ArrowRight": ("ArrowRight", 39), "ArrowDown": ("ArrowDown", 40), "Delete": ("Delete", 46),
}  # fmt: skip
SHIFT = 8
# Becomes the browser, with the pipes under the numbers where it looks for them.
LAUNCH = """
import os, sys
for number, end in enumerate(sys.argv[1:3], start=3):
    os.dup2(int(end), number)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str:
    """The path of a browser: what CHROME names, or else one that is installed.

    Raises:
        FileNotFoundError: saying what to install.
    """
    if named := os.environ.get("CHROME"):
        return named
    for name in NAMES:
        if found := shutil.which(name):
            return found
    for name in MAC:
        path = Path(f"/Applications/{name}.app/Contents/MacOS/{name}")
        if path.exists():
            return str(path)
    raise FileNotFoundError(
        "the page's tests need Chromium or Chrome: install Debian's package chromium, or name an "
        "executable in the environment variable CHROME"
    )


class Page:
    """A page of a browser, with what it has said on its console or failed at in `complaints`."""

    def __init__(self, browser: "Browser", session: str):
        self._browser, self._session = browser, session
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters) -> dict:
        return self._browser.send(method, parameters, self._session)

    def open(self, url: str) -> None:
        """Loads a page and waits for its `page.ready`."""
        self.send("Page.navigate", url=url)
        self.run("new Promise(done => document.readyState === 'complete' ? done() : "
                 "addEventListener('load', done))")  # fmt: skip
        self.run("page.ready")

    def run(self, script: str):
        """The value of an expression, awaited."""
        options = {"awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = self.send("Runtime.evaluate", expression=f"(async () => {script})()", **options)
        if "exceptionDetails" in answer:
            raise AssertionError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def resize(self, width: int, height: int, scale: float = 1, mobile: bool = False) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=mobile,
        )  # fmt: skip
        self.send("Emulation.setTouchEmulationEnabled", enabled=mobile)

    def drag(self, start: tuple[float, float], *steps: tuple[float, float]) -> None:
        """Presses the mouse at a place of the window and moves it."""
        self.mouse("mousePressed", start)
        for step in steps:
            self.mouse("mouseMoved", step)
        self.mouse("mouseReleased", steps[-1])

    def mouse(self, kind: str, place: tuple[float, float]) -> None:
        """An event of the left button: mousePressed, mouseMoved or mouseReleased."""
        x, y = place
        about = {"button": "left", "buttons": 1, "clickCount": 1}
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **about)

    def touch(self, start: tuple[float, float], *steps: tuple[float, float]) -> None:
        """Puts a finger down at a place of the window and moves it."""
        for number, place in enumerate((start, *steps)):
            self.fingers("touchMove" if number else "touchStart", place)
        self.fingers("touchEnd")

    def fingers(self, kind: str, *places: tuple[float, float]) -> None:
        """An event (touchStart, touchMove, touchEnd) after which fingers are at these places."""
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        self.send("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    def press(self, key: str, shift: bool = False) -> None:
        code, number = KEYS.get(key, (f"Key{key.upper()}", ord(key[0].upper())))
        about = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        about["modifiers"] = SHIFT if shift else 0
        self.send("Input.dispatchKeyEvent", type="keyDown", **about)
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def screenshot(self) -> bytes:
        """A PNG of the window."""
        return base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])

    def take(self, message: dict) -> None:
        """Notes an event, if it is a complaint."""
        method, said = message["method"], message.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(said["exceptionDetails"]))
        if method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(said["args"]))
        if method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(json.dumps(said["entry"]))


class Browser:
    """A running browser; use `open_browser`."""

    def __init__(self, process: subprocess.Popen, reading: int, writing: int):
        self._process, self._reading, self._writing = process, reading, writing
        self._numbers = itertools.count(1)
        self._received = b""
        self._pages: dict[str, Page] = {}

    def new_page(self) -> Page:
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})
        session = attached["sessionId"]
        self._pages[session] = page = Page(self, session)
        return page

    def send(self, method: str, parameters: dict, session: str | None = None) -> dict:
        """Sends a command and waits for its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._writing, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            if "method" in answer and (page := self._pages.get(answer.get("sessionId", ""))):
                page.take(answer)

    def _receive(self) -> dict:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._reading], [], [], HANGS)
            if not ready:
                raise AssertionError("the browser does not answer")
            data = os.read(self._reading, 1 << 20)
            if not data:
                raise AssertionError(f"the browser ended with {self._process.wait()}")
            self._received += data
        line, self._received = self._received.split(b"\0", 1)
        return json.loads(line)


@contextlib.contextmanager
def open_browser(profile: Path):
    """Starts a browser with an empty profile in a folder."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = [find_browser(), *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    quiet = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    # Out of the way of 3 and 4, which the protocol has.
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]
    launch = [sys.executable, "-c", LAUNCH, *map(str, moved), *command]
    process = subprocess.Popen(launch, pass_fds=moved, **quiet)
    for end in (theirs_in, theirs_out, *moved):
        os.close(end)
    try:
        yield Browser(process, ours_in, ours_out)
    finally:
        os.close(ours_out)  # a browser whose pipe ends, ends
        os.close(ours_in)
        process.kill()
        process.wait()
