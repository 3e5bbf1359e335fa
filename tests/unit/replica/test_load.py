"""Cold starts that fail say why in one line, and a replica never outlives its server."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sojourn.wire.message import Fatal, Hello, Ready, Run

GOOD = """
    import sojourn

    @sojourn.function
    class Model:
        def __call__(self, items: list[int]) -> list[int]:
            return items
"""


def fatal(replica):
    """The FATAL of a replica that cannot serve, after it has ended with status 1."""
    assert type(replica.receive()) is Hello
    message = replica.receive()
    assert type(message) is Fatal, message
    assert replica.receive() is None
    assert replica.process is None or replica.process.poll() is None, "it ended before we had hung up"
    replica.link.close()
    assert replica.status() == 1
    return message


def changed(bench, source):
    """A replica of a file that was described as GOOD and then changed."""
    manifest = bench.manifest(GOOD)
    bench.write(source)
    return bench.accept(bench.launch(bench.spec(manifest)))


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        (
            "import sojourn\nimport missing_thing\n",
            "import raised ModuleNotFoundError: No module named 'missing_thing' at app.py:2 in <module>",
        ),
        ("import sojourn\n\ndef x(:\n", "import raised SyntaxError: invalid syntax (app.py, line 3) at app.py:3"),
        ("import sys\nsys.exit(4)\n", "import raised SystemExit: 4 at app.py:2 in <module>"),
        ("raise KeyboardInterrupt\n", "import raised KeyboardInterrupt at app.py:1 in <module>"),
        (
            "import sojourn\n@sojourn.function(slo='fast')\ndef f(items): pass\n",
            'write it like "99% < 100ms", "p99 < 100ms" or "99.9% < 250ms over 7d"',
        ),
        ("import sojourn\n", "no @sojourn.function called 'Model'; has the file changed?"),
    ],
    ids=["missing module", "syntax", "exit", "interrupt", "bad option", "no longer declared"],
)
def test_import_errors_name_the_line(bench, source, cause):
    """FATAL has one line with the author's file and line, and leaves naming the function to who shows it."""
    replica = changed(bench, source)
    message = fatal(replica)
    assert "function 'model'" not in message.cause
    assert message.cause.endswith(cause)
    assert "\n" not in message.cause
    assert replica.output("stderr") == ""


def test_a_missing_file_is_told(bench):
    """The file went away after it was described."""
    manifest = bench.manifest(GOOD)
    Path(manifest.target).unlink()
    assert "app.py: no such file" in fatal(bench.accept(bench.launch(bench.spec(manifest)))).cause


@pytest.mark.parametrize(
    ("method", "phase"),
    [("def __init__(self):", "__init__"), ("def warmup(self):", "warmup"), ("async def warmup(self):", "warmup")],
)
@pytest.mark.parametrize("call", ["def", "async def"])
def test_errors_in_loading_and_warm_up_name_the_line(bench, method, phase, call):
    """The exception with its text and the innermost of the author's lines; the traceback goes to the server alone."""
    source = f"""
        import sojourn

        def load():
            raise OSError("/private/model.bin")

        @sojourn.function
        class Model:
            {method}
                load()

            {call} __call__(self, items: list[int]) -> list[int]:
                return items
    """
    replica = bench.start(source)
    message = fatal(replica)
    assert message.cause == f"{phase} raised OSError: /private/model.bin at app.py:5 in load"
    assert "OSError: /private/model.bin" in message.traceback
    assert replica.output("stderr") == ""  # the server puts the traceback into the log: it must not be there twice


@pytest.mark.parametrize("call", ["def", "async def"])
def test_an_example_that_fails_is_fatal(bench, call):
    """Examples go the whole way: decode, call, encode."""
    source = f"""
        import sojourn

        @sojourn.function(examples=[1, 0])
        {call} inverse(items: list[int]) -> list[float]:
            return [1 / item for item in items]
    """
    replica = bench.start(source)
    message = fatal(replica)
    assert message.cause == "an example failed: raised ZeroDivisionError at app.py:6 in <listcomp>"
    assert message.traceback == ""  # it has been printed when the call raised
    assert "ZeroDivisionError: division by zero" in replica.output("stderr")


def test_warm_up_comes_before_ready(bench):
    """First warmup(), then the examples in batches no longer than accepted, then requests."""
    source = """
        import sojourn

        @sojourn.function(max_batch_size=2, examples=[1, 2, 3])
        class Model:
            def warmup(self):
                print("warmup")

            def __call__(self, items: list[int]) -> list[int]:
                print(items)
                return items
    """
    replica = bench.start(source)
    assert type(replica.receive()) is Hello
    assert type(replica.receive()) is Ready
    assert replica.output("stdout") == "warmup\n[1, 2]\n[3]\n"


def test_a_module_target_is_found_in_the_working_directory(bench, monkeypatch):
    """`pkg.module` is imported from where the server stands."""
    bench.write("", "shop/__init__.py")
    bench.write("FACTOR = 3\n", "shop/prices.py")
    bench.write(GOOD.replace("return items", "from shop import prices; return [prices.FACTOR]"), "shop/app.py")
    monkeypatch.chdir(bench.folder)
    status, answer, _ = bench.describe("shop.app")
    assert status == 0, answer
    manifest = msgspec.convert(answer[0], type(bench.manifest(GOOD)))
    replica = bench.accept(bench.launch(bench.spec(manifest))).ready()
    assert replica.run(b"1").bodies == [b"3"]


@pytest.mark.parametrize("line", [b"", b"{}\n", b"not json\n"])
def test_a_bad_spec_is_told(line):
    """Standard input without a spec: status 1 and one line, not a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "sojourn.replica"], input=line, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"replica: standard input must hold one line of JSON")
    assert b"Traceback" not in done.stderr


def test_a_server_that_is_gone_is_told(bench):
    """Nobody listens at the socket: status 1 and one line."""
    spec = msgspec.structs.replace(bench.spec(bench.manifest(GOOD)), socket_path=bench.socket_path + "x")
    process = bench.launch(spec)
    assert process.wait(60) == 1
    assert (bench.folder / "stderr").read_text() == (
        "replica 7: the server's socket cannot be reached: No such file or directory\n"
    )


def test_a_replica_whose_launcher_died_before_it_began_does_not_dial_in(bench):
    """Another parent than the launcher means that the launcher is gone."""
    process = bench.launch(bench.spec(bench.manifest(GOOD), launcher_pid=2**22 + 1))
    assert process.wait(60) == 1
    bench.listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        bench.listener.accept()


STUCK = """
    import sojourn, threading

    @sojourn.function
    def stuck(items: list[int]) -> list[int]:
        with open({fifo!r}, "w"):
            pass
        threading.Event().wait()
"""

LAUNCHER = """
import os, subprocess, sys
spec = sys.stdin.readline().replace('"launcher_pid":0', f'"launcher_pid":{os.getpid()}')
replica = subprocess.Popen([sys.executable, "-m", "sojourn.replica"], stdin=subprocess.PIPE, text=True)
replica.stdin.write(spec)
replica.stdin.close()
replica.wait()
"""


def test_a_replica_dies_with_its_parent_even_inside_a_call(bench, fifo, vanished):
    """SIGKILL of the process that started it ends a replica that is deep in the author's code."""
    spec = bench.spec(bench.manifest(STUCK.format(fifo=str(fifo))))
    with subprocess.Popen([sys.executable, "-c", LAUNCHER], stdin=subprocess.PIPE) as parent:
        parent.stdin.write(msgspec.json.encode(spec) + b"\n")
        parent.stdin.flush()
        replica = bench.accept()
        hello = replica.receive()
        pidfd = os.pidfd_open(hello.pid)
        try:
            assert type(replica.receive()) is Ready
            replica.send(Run(1, [b"1"]))
            with fifo.open() as begun:
                begun.read()
            parent.send_signal(signal.SIGKILL)
            assert replica.receive() is None
            assert vanished(pidfd)
        finally:
            os.close(pidfd)


def test_a_cold_start_pays_for_little(bench):
    """A replica imports neither asyncio nor numpy nor anything of the server unless its function does."""
    source = """
        import sys, sojourn

        @sojourn.function
        def loaded(names: list[str]) -> list[bool]:
            return [name in sys.modules for name in names]
    """
    names = ("asyncio", "numpy", "uvloop", "httptools", "starlette", "click", "rich", "logging",
             "sojourn.core", "sojourn.policy", "sojourn.runtime", "sojourn.launcher")  # fmt: skip
    done = bench.serve(source).run(*(msgspec.json.encode(name) for name in names))
    assert dict(zip(names, done.bodies, strict=True)) == dict.fromkeys(names, b"false")


@pytest.mark.parametrize("target", ["app.py", "pkg.app"])
def test_a_target_of_a_tree_is_loaded_from_there(bench, monkeypatch, target):
    """Wherever the replica stands; nothing is compiled into the tree, and errors name the line in it."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    source = GOOD.replace("return items", "import sibling; return [sibling.FACTOR // items[0]]")
    for name, content in {
        "app.py": source,
        "pkg/__init__.py": "",
        "pkg/app.py": source,
        "sibling.py": "FACTOR = 6\n",
    }.items():
        bench.write(content, f"tree/{name}")
    root = str(bench.folder / "tree")
    status, (answer,), _ = bench.describe(target, root=root)
    assert status == 0
    monkeypatch.chdir(bench.folder)
    manifest = msgspec.convert(answer, type(bench.manifest(GOOD)))
    assert manifest.root == root
    replica = bench.accept(bench.launch(bench.spec(manifest))).ready()
    assert replica.run(b"2").bodies == [b"3"]
    assert replica.drain() == 0
    assert list((bench.folder / "tree").rglob("__pycache__")) == []
    bench.write("raise OSError('gone')\n", "tree/pkg/__init__.py")
    bench.write("raise OSError('gone')\n", "tree/app.py")
    failing = bench.accept(bench.launch(bench.spec(manifest)))
    assert fatal(failing).cause.startswith("import raised OSError: gone at ")
