"""The describe process: manifests of what a file declares, or an error that names the author's line."""

import pytest

TWO = """
    from dataclasses import dataclass
    from typing import Annotated
    import msgspec, sojourn

    print("noise of the author's")

    @dataclass
    class Out:
        label: str

    class Item(msgspec.Struct):
        pixels: Annotated[list[float], msgspec.Meta(min_length=2)]

    @sojourn.function(slo="99% < 50ms", max_batch_size=8, examples=[Item([1.0, 2.0])])
    class DigitsModel:
        def __call__(self, items: list[Item]) -> list[Out]:
            return [Out("x") for _ in items]

    same = DigitsModel

    @sojourn.function(batchable=False)
    async def look_up(key: str) -> "int | None":
        return None
"""


def error_of(bench, source, name="app.py"):
    """The error the describe process answers for this source."""
    status, answer, _ = bench.describe(bench.write(source, name))
    assert status == 1, answer
    return answer["error"]


def test_manifests_hold_what_the_server_needs(bench):
    """Names, settings, schemas, examples; the author's prints stay apart; an alias is no second function."""
    status, answer, printed = bench.describe(bench.write(TWO))
    assert status == 0
    assert printed == "noise of the author's\n"
    digits, lookup = answer
    assert (digits["attribute"], digits["settings"]["name"]) == ("DigitsModel", "digits-model")
    assert (lookup["attribute"], lookup["settings"]["name"], lookup["is_async"]) == ("look_up", "look-up", True)
    assert digits["settings"]["max_batch_size"] == 8
    assert digits["examples"] == ['{"pixels":[1.0,2.0]}']
    assert digits["input_schema"]["$defs"]["Item"]["properties"]["pixels"]["minItems"] == 2
    assert digits["output_schema"]["$defs"]["Out"]["required"] == ["label"]
    assert lookup["input_schema"] == {"type": "string"}
    assert lookup["output_schema"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}


def test_types_are_optional(bench):
    """Without annotations, or with Any, a schema accepts everything."""
    source = """
        import sojourn
        from typing import Any

        @sojourn.function
        def bare(items):
            return items

        @sojourn.function
        def loose(items: list[Any]) -> Any:
            return items
    """
    _, answer, _ = bench.describe(bench.write(source))
    assert [(one["input_schema"], one["output_schema"]) for one in answer] == [({}, {}), ({}, {})]


def test_the_revision_follows_settings_that_stand_elsewhere(bench, monkeypatch):
    """The same source with another option from the environment is another revision."""
    source = """
        import os, sojourn

        @sojourn.function(max_batch_size=int(os.environ["SIZE"]))
        def f(items):
            return items
    """
    target = bench.write(source)
    revisions = []
    for size in ("8", "9", "8"):
        monkeypatch.setenv("SIZE", size)
        revisions.append(bench.describe(target)[1][0]["revision"])
    assert revisions[0] == revisions[2] != revisions[1]


def test_the_revision_follows_code_and_settings(bench):
    """Same code, same revision, wherever it lies; another option, or another line beside it, another revision."""
    source = "import sojourn, beside\n\n@sojourn.function(max_batch_size={size})\ndef f(items):\n    return items\n"
    revisions = {}
    for case, folder, size, helper in (
        ("first", "a", 8, "X = 1\n"),
        ("same elsewhere", "b", 8, "X = 1\n"),
        ("other option", "c", 9, "X = 1\n"),
        ("other helper", "d", 8, "X = 2\n"),
    ):
        bench.write(helper, f"{folder}/beside.py")
        _, answer, _ = bench.describe(bench.write(source.format(size=size), f"{folder}/app.py"))
        revisions[case] = answer[0]["revision"]
    assert revisions["first"] == revisions["same elsewhere"]
    assert len(set(revisions.values())) == 3
    assert len(revisions["first"]) == 12


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import sojourn\n\nimport missing_thing\n", "import failed at app.py:3 in <module>: ModuleNotFoundError: "),
        ("def f(:\n    pass\n", "import failed at app.py:1: SyntaxError: "),
        ("raise SystemExit(3)\n", "import failed at app.py:1 in <module>: SystemExit: 3"),
        ("x = 1\n", "declares no functions; put @sojourn.function(...) above"),
        (
            "import sojourn\n\n@sojourn.function(slo='fast')\ndef f(items): return items\n",
            "app.py:3: f: slo: expected a share such as 99% or p99 at column 1\n    fast\n    ^\nwrite it like",
        ),
        (
            "import sojourn\n\nLIMIT = sojourn.SLO(latency_s=-1)\n",
            "app.py:3 in <module>: SLO: latency_s must be in (0, 1e6) seconds, not -1",
        ),
        (
            "import sojourn\n\n@sojourn.function\ndef f(items, limit, *, top): return items\n",
            (
                "app.py:3: function 'f' requires 3 arguments (items, limit, top), but is called with one, "
                "the list of items; give the others defaults"
            ),
        ),
        (
            "import sojourn\n\n@sojourn.function(batchable=False)\nclass F:\n    def __call__(self, a, b): return a\n",
            "app.py:5: function 'f' requires 2 arguments (a, b), but is called with one, the item",
        ),
        (
            "import sojourn\n\n@sojourn.function\ndef f(item: int) -> int: return item\n",
            (
                "app.py:3: function 'f' takes item: int, but a batchable function takes a list: "
                "write `item: list[int]`, or declare it with batchable=False"
            ),
        ),
        (
            "import sojourn\n\n@sojourn.function\nclass F:\n    def __call__(self): return []\n",
            "app.py:5: function 'f' takes no argument; it must take a list of items",
        ),
        (
            "import sojourn\n\nclass Odd: pass\n\n@sojourn.function\ndef f(items: list[Odd]): return items\n",
            "app.py:5: function 'f': items of type Odd cannot be decoded",
        ),
        (
            "import sojourn\n\n@sojourn.function\ndef f(items: 'list[Nowhere]'): return items\n",
            "app.py:3: function 'f': annotations cannot be resolved: NameError",
        ),
        (
            "import sojourn\n\n@sojourn.function(examples=[1, 'two'])\ndef f(items: list[int]): return items\n",
            "app.py:3: function 'f': examples[1] is not a valid item: Expected `int`, got `str`",
        ),
        (
            (
                "import sojourn\n\n@sojourn.function(name='x')\ndef f(items): return items\n"
                "@sojourn.function(name='x')\ndef g(items): return items\n"
            ),
            "two functions are called 'x', at app.py:3 and app.py:5; give one of them another name=...",
        ),
    ],
)
def test_errors_name_the_authors_line(bench, source, expected):
    """Each fault a target can have: what, in which line, and what would be right."""
    assert expected in error_of(bench, source)


def test_missing_targets_are_told(bench, monkeypatch):
    """No such file, no such module, no Python file, neither of both."""
    monkeypatch.chdir(bench.folder)
    bench.write("text", "data/notes.txt")
    for target, expected in (
        ("nowhere.py", "nowhere.py: no such file"),
        ("no.where", "no.where: no module named 'no'"),
        ("data/notes.txt", "not a Python file"),
        ("what-is-this", "neither a file nor a module name"),
    ):
        status, answer, _ = bench.describe(target)
        assert status == 1
        assert expected in answer["error"]


def test_a_file_that_hides_a_module_is_refused(bench):
    """`json.py` would be imported by others in place of the standard library's."""
    assert "its name hides the module 'json'" in error_of(bench, "x = 1\n", "json.py")


def test_an_error_inside_an_imported_helper_names_the_helper(bench):
    """The innermost of the author's lines is the one to look at."""
    bench.write("def f():\n    return 1 / 0\n", "beside.py")
    text = error_of(bench, "import beside\n\nbeside.f()\n")
    assert "import failed at beside.py:2 in f: ZeroDivisionError: division by zero" in text


def test_a_module_of_a_package_is_described(bench, monkeypatch):
    """All files of the package count for the revision, imported or not."""
    monkeypatch.chdir(bench.folder)
    bench.write("", "shop/__init__.py")
    bench.write("import sojourn\n\n@sojourn.function\ndef f(items):\n    return items\n", "shop/app.py")
    bench.write("X = 1\n", "shop/lazy.py")
    _, (before,), _ = bench.describe("shop.app")
    bench.write("X = 2\n", "shop/lazy.py")
    _, (after,), _ = bench.describe("shop.app")
    assert before["settings"]["name"] == "f"
    assert before["revision"] != after["revision"]


def test_threads_left_behind_do_not_hold_the_process(bench):
    """A target that starts a thread at import is described all the same."""
    source = TWO + "\n    import threading; threading.Thread(target=threading.Event().wait).start()\n"
    status, answer, _ = bench.describe(bench.write(source))
    assert (status, len(answer)) == (0, 2)


def test_more_arguments_are_welcome_if_the_call_needs_but_one(bench):
    """Defaults, and decorators that supply what the function below them requires."""
    source = """
        import functools, sojourn

        def with_session(called):
            @functools.wraps(called)
            def wrapper(items):
                return called(items, "session")
            return wrapper

        @sojourn.function
        @with_session
        def supplied(items: list[int], session):
            return items

        @sojourn.function
        def defaulted(items: list[int], limit=3, *, top=1):
            return items

        @sojourn.function
        def anything(*args, **more):
            return args[0]
    """
    status, answer, _ = bench.describe(bench.write(source))
    assert (status, [one["settings"]["name"] for one in answer]) == (0, ["supplied", "defaulted", "anything"])
