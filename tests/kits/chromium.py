"""Headless Chromium, driven by the DevTools protocol over a pipe.

https://chromedevtools.github.io/devtools-protocol/ (`--remote-debugging-pipe`: JSON that ends in a
zero byte, on the descriptors 3 and 4)
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from tests.kits.local_aws import eventually

__all__ = ["Page", "Refused", "browse"]

#: generous: a page may be laid out while the machine does other things
SECONDS = 120
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--remote-debugging-pipe",
)


class Refused(Exception):
    """The browser refused a command; the text says which and why."""


class Page:
    """A page of a browser. Requests that it made and its scripts' errors are kept."""

    def __init__(self, send: BinaryIO, receive: BinaryIO) -> None:
        self._send, self._receive = send, receive
        self._numbers = count(1)
        self._session: str | None = None
        self.requested: list[str] = []
        self.errors: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go to a URL, and wait until it is loaded."""
        self.value("window.left = true")
        self._call("Page.navigate", url=url)
        self.wait_for("!window.left && document.readyState === 'complete'")

    def value(self, script: str) -> Any:
        """The value of an expression of JavaScript; of a promise, what it gives."""
        found = self._call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait_for(self, script: str) -> Any:
        """The value of an expression as soon as it is true, also of a page that comes next."""

        def look() -> Any:
            try:
                return self.value(script)
            except Refused:  # one page has just taken the place of another
                return None

        return eventually(look, SECONDS)

    def look(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Set the window's size and the scheme that the user prefers."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str, text: str = "") -> None:
        """Press a key of the keyboard, such as Tab, or Enter with its text."""
        codes = {"Tab": 9, "Enter": 13}
        fields: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text, **fields)
        self._call("Input.dispatchKeyEvent", type="keyUp", **fields)

    def write(self, text: str) -> None:
        """Type a text where the focus is."""
        self._call("Input.insertText", text=text)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Write what the window shows as PNG; with `whole`, all of the page."""
        found = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._send.write(json.dumps(message).encode() + b"\0")
        self._send.flush()
        while (answer := self._next()).get("id") != number:
            self._heard(answer)
        if "error" in answer:
            raise Refused(f"{method}: {answer['error']}")
        found: dict[str, Any] = answer["result"]
        return found

    def _next(self) -> Mapping[str, Any]:
        text = bytearray()
        while (byte := self._receive.read(1)) != b"\0":
            assert byte, "Chromium ended"
            text += byte
        found: Mapping[str, Any] = json.loads(text)
        return found

    def _heard(self, event: Mapping[str, Any]) -> None:
        params = event.get("params", {})
        if event["method"] == "Network.requestWillBeSent":
            self.requested.append(params["request"]["url"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")


@contextmanager
def browse(folder: Path) -> Iterator[Page]:
    """A page of a new browser whose profile is in a folder."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium is not None, "install Chromium: apt-get install chromium"
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    # Chromium takes these two numbers; dash would take no others
    moved = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    profile = f"--user-data-dir={folder / 'profile'}"
    process = subprocess.Popen(
        ["bash", "-c", moved, "bash", chromium, *_FLAGS, profile],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        with os.fdopen(ours_out, "wb") as send, os.fdopen(ours_in, "rb") as receive:
            yield Page(send, receive)
    finally:
        process.kill()
        process.wait(timeout=SECONDS)
