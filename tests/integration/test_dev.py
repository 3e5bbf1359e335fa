"""`sojourn dev`: what is saved is served; what is broken is told and leaves the last good version running."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent))
from click.testing import CliRunner
from deploying import APP, write_app
from server import PATIENCE_S, is_alive

from sojourn.cli.main import cli

GOOD = APP.replace(", min_replicas=1", "")


class Dev:
    """The command as a process; its lines come in order."""

    def __init__(self, directory):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sojourn.cli.main", "dev", "app.py", "--port", "0", "--admin-port", "0"],
            cwd=directory,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def until(self, text):
        """Lines up to the one that has this text."""
        read = []
        while not read or text not in read[-1]:
            read.append(self.lines.get(timeout=PATIENCE_S))
        return read[-1]

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(PATIENCE_S) == 0
        self._reader.join()
        self.process.stdout.close()
        assert not is_alive(self.process.pid)


def ask(url):
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=PATIENCE_S)
    connection.request("POST", "/functions/version", b"1", {"content-type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def test_a_save_is_served_and_a_broken_one_is_not(tmp_path):
    """One, two, a syntax error, a model that does not load, three: each told, the last good one answering meanwhile."""
    app = tmp_path / "app.py"
    app.write_text(GOOD.format(answer="one"))
    with Dev(tmp_path) as dev:
        url = re.search(r"inference (\S+)", dev.until("inference "))[1]
        dev.until("serves, after")
        assert ask(url) == "one"
        app.write_text(GOOD.format(answer="two!"))
        dev.until("serves, after")
        assert ask(url) == "two!"
        app.write_text(GOOD.format(answer="broken") + "\noops(\n")
        assert "app.py:8" in dev.until("SyntaxError")
        dev.until("still serving: version@")
        assert ask(url) == "two!"
        app.write_text(
            'import sojourn\n\n@sojourn.function\nclass Version:\n    def __init__(self):\n        raise OSError("no weights")\n\n'
            "    def __call__(self, items: list[int]) -> list[str]:\n        return []\n"
        )
        assert "no weights" in dev.until("does not load") + dev.until("serves on")
        assert ask(url) == "two!"
        app.write_text(GOOD.format(answer="three"))
        dev.until("serves, after")
        assert ask(url) == "three"


def saved(path, text, at_ns):
    """Put a file in place of another, with this time of its last change."""
    written = path.with_suffix(".written")
    written.write_text(text)
    os.utime(written, ns=(at_ns, at_ns))
    written.replace(path)


def test_a_function_that_is_taken_out_is_gone(tmp_path):
    """Another name in its place, of as many letters and saved within the same second: the old one answers 404."""
    app, second_ns = tmp_path / "app.py", 1_750_000_000 * 10**9
    saved(app, GOOD.format(answer="one"), second_ns)
    with Dev(tmp_path) as dev:
        url = re.search(r"inference (\S+)", dev.until("inference "))[1]
        dev.until("serves, after")
        saved(app, GOOD.format(answer="one").replace("def version", "def renamed"), second_ns + 10**8)
        dev.until("renamed@")
        dev.until("version: gone")
        assert ask(url)["code"] == "not_found"


def test_what_is_deployed_and_what_is_saved_do_not_take_each_other_s_names(tmp_path):
    """The file's own name cannot be deployed; what is deployed under another name outlives saves and keeps that name."""
    app = tmp_path / "app.py"
    app.write_text(GOOD.format(answer="one"))
    other = write_app(tmp_path.parent / f"{tmp_path.name}-other", GOOD.format(answer="deployed"))
    with Dev(tmp_path) as dev:
        found = re.search(r"inference (\S+)  admin (\S+)", dev.until("inference "))
        dev.until("serves, after")

        def sojourn(*words):
            done = CliRunner().invoke(cli, [*words, "--admin-url", found[2]])
            return str(done.exception or "done")

        assert "version: served from the file" in sojourn("deploy", str(other))
        assert "served from the file" in sojourn("history", "version")
        assert ask(found[1]) == "one"
        assert sojourn("deploy", str(other), "--name", "spare") == "done"
        app.write_text(GOOD.format(answer="two!"))
        dev.until("serves, after")
        assert ask(found[1]) == "two!"
        assert sojourn("history", "spare") == "done"
        app.write_text(GOOD.format(answer="three").replace("def version", "def spare"))
        assert "sojourn delete spare" in dev.until("spare@")
        dev.until("version: gone")
        assert sojourn("delete", "spare", "--yes") == "done"
        app.write_text(GOOD.format(answer="four").replace("def version", "def spare"))
        dev.until("serves, after")
        assert "served from the file" in sojourn("delete", "spare", "--yes")
