"""A real headless chromium, spoken to over a pipe in its DevTools protocol; no package is needed for that.

Source:
    Chrome DevTools Protocol; `--remote-debugging-pipe` reads JSON messages that end with a zero byte from descriptor 3
    and writes them to descriptor 4.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

PATIENCE_S = 60.0  # after this a test fails instead of hanging
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1060,900",
    "--remote-debugging-pipe",
)
# Where the protocol expects its descriptors, whatever their numbers were.
_ON_3_AND_4 = (
    "import os, sys; r, w = map(int, sys.argv[1:3]); os.dup2(r, 3); os.dup2(w, 4); os.execvp(sys.argv[3], sys.argv[3:])"
)


def reason_to_skip() -> str:
    """Why there is no browser here; empty if there is one."""
    if shutil.which("chromium"):
        return ""
    tried = Path(__file__).parents[2] / ".tools" / "chromium" / ".tried"
    why = tried.read_text().strip() if tried.exists() else "never tried: bash scripts/install_chromium.sh"
    return f"chromium could not be installed: {why}"


class Opened(NamedTuple):
    """What became of a page that was opened."""

    complaints: list[str]
    requests: list[str]
    facts: Any


class Browser:
    """`with Browser() as browser: browser.open(path)`; its profile is a directory of its own, gone afterwards."""

    def __enter__(self) -> Self:
        self._profile = tempfile.mkdtemp(prefix="sojourn-browser-")
        to_browser, self._write_fd = os.pipe()
        self._read_fd, from_browser = os.pipe()
        started = [sys.executable, "-c", _ON_3_AND_4, str(to_browser), str(from_browser), "chromium", *OPTIONS]
        self._log = (Path(self._profile) / "stderr").open("w+b")
        self._process = subprocess.Popen(
            [*started, f"--user-data-dir={self._profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            pass_fds=(to_browser, from_browser),
        )
        os.close(to_browser)
        os.close(from_browser)
        self._waiting = b""
        self._last_id = 0
        self._events: list[dict[str, Any]] = []
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._process.poll() is None:
                self._ask("Browser.close")
            self._process.wait(PATIENCE_S)
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._write_fd)
        os.close(self._read_fd)
        self._log.close()
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, path: Path | str, *, facts: str = "null", is_dark: bool = False, width: int = 1060) -> Opened:
        """Open a page and let it settle.

        Args:
            path: The file, or a URL.
            facts: A JavaScript expression whose value is told, as JSON.
            is_dark: Whether its reader prefers dark pages.
            width: Of the window, in pixels.
        """
        target = self._ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}]
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        for domain in ("Runtime", "Log", "Network", "Page"):
            self._ask(f"{domain}.enable", session=session)
        self._ask("Emulation.setEmulatedMedia", {"features": scheme}, session)
        self._ask("Emulation.setDeviceMetricsOverride", size, session)
        self._events.clear()
        url = path if isinstance(path, str) else path.resolve().as_uri()
        self._ask("Page.navigate", {"url": url}, session)
        self._wait_event("Page.loadEventFired", session)
        told = self._ask(
            "Runtime.evaluate", {"expression": facts, "returnByValue": True, "awaitPromise": True}, session
        )
        assert "exceptionDetails" not in told, told
        events = [event for event in self._events if event.get("sessionId") == session]
        self._ask("Target.closeTarget", {"targetId": target})
        requests = [
            event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"
        ]
        return Opened(list(_complaints(events)), requests, told["result"].get("value"))

    # ---- the protocol

    def _ask(self, method: str, params: dict[str, Any] | None = None, session: str | None = None) -> dict[str, Any]:
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = session
        os.write(self._write_fd, json.dumps(message).encode() + b"\0")
        until_s = time.monotonic() + PATIENCE_S
        while True:
            answer = self._message(until_s)
            if answer.get("id") == self._last_id:
                assert "error" not in answer, f"{method}: {answer}"
                return dict(answer["result"])
            self._events.append(answer)

    def _wait_event(self, method: str, session: str) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not any(event.get("method") == method and event.get("sessionId") == session for event in self._events):
            self._events.append(self._message(until_s))

    def _message(self, until_s: float) -> dict[str, Any]:
        while b"\0" not in self._waiting:
            ready, _, _ = select.select([self._read_fd], [], [], max(until_s - time.monotonic(), 0.0))
            data = os.read(self._read_fd, 1 << 20) if ready else b""
            assert data, f"the browser said nothing more:\n{self._last_words()}"
            self._waiting += data
        text, _, self._waiting = self._waiting.partition(b"\0")
        return dict(json.loads(text))

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:]


def _complaints(events: list[dict[str, Any]]) -> Iterator[str]:
    """What the page's console shows as an error or a warning, and what could not be loaded."""
    for event in events:
        params = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            yield str(details.get("exception", {}).get("description", details["text"]))
        elif event["method"] == "Runtime.consoleAPICalled" and params["type"] in {"error", "warning", "assert"}:
            yield " ".join(str(one.get("value", one.get("description"))) for one in params["args"])
        elif event["method"] == "Log.entryAdded" and params["entry"]["level"] in {"error", "warning"}:
            # An icon is the browser's own wish, and that there is none comes early or late.
            if not params["entry"].get("url", "").endswith("/favicon.ico"):
                yield str(params["entry"]["text"])
        elif event["method"] == "Network.loadingFailed":
            yield f"not loaded: {params['errorText']}"
