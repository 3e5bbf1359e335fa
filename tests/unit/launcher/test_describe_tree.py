"""Describing a function of an unpacked bundle: where its import stands, what it loads, what it lacks."""

import asyncio
import textwrap
from importlib.metadata import version

import pytest

from sojourn.errors import TargetError
from sojourn.launcher.describe import describe, examine

FUNCTION = """
@sojourn.function
def f(items: list[int]) -> list[int]:
    return items
"""


@pytest.fixture
def tree(tmp_path):
    """Writes a tree and describes a target in it."""
    root = tmp_path / "tree"
    root.mkdir()

    class Tree:
        path = root

        def write(self, files):
            for name, source in files.items():
                file = root / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(textwrap.dedent(source))

        def examine(self, target="app.py"):
            return asyncio.run(examine(target, root=root))

        def error(self, target="app.py"):
            with pytest.raises(TargetError) as caught:
                self.examine(target)
            return str(caught.value)

        def names(self):
            return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))

    return Tree()


def install(site, name, tops, files, *, top_level=False, number="1.0"):
    """A distribution in `site`, as an installer leaves it."""
    info = site / f"{name}-{number}.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    info.joinpath("RECORD").write_text("".join(f"{file},,\n" for file in files))
    if top_level:
        info.joinpath("top_level.txt").write_text("\n".join(tops) + "\n")
    for file, source in files.items():
        path = site / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


def test_a_tree_is_where_its_code_stands(tree):
    """Relative files, modules beside the target; the manifest says where the tree lies."""
    tree.write(
        {
            "app.py": "import sojourn, os, sys, helper\nfrom pathlib import Path\n"
            "assert sys.path[0] == os.getcwd() == helper.HERE, sys.path\n"
            "LABELS = Path('data/labels.txt').read_text().split()\n" + FUNCTION,
            "helper.py": "import os\nHERE = os.path.dirname(__file__)\n",
            "data/labels.txt": "a b",
        }
    )
    (manifest,) = tree.examine().functions
    assert (manifest.target, manifest.root, manifest.name) == ("app.py", str(tree.path), "f")
    assert asyncio.run(describe("app.py", root=tree.path)) == [manifest]


def test_nothing_is_compiled_into_a_tree(tree, monkeypatch):
    """Neither by the import nor by a Python that it starts."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    tree.write(
        {
            "app.py": "import sojourn, helper, subprocess, sys\n"
            "subprocess.run([sys.executable, '-c', 'import helper'], check=True)\n" + FUNCTION,
            "helper.py": "",
        }
    )
    tree.examine()
    assert tree.names() == ["app.py", "helper.py"]


def test_modules_and_files_deeper_down(tree):
    """`pkg.module` from the tree's root; a file in a directory finds what lies beside it and at the root."""
    tree.write(
        {
            "pkg/__init__.py": "",
            "pkg/app.py": "import sojourn\nfrom pkg import inner\n" + FUNCTION,
            "pkg/inner.py": "",
            "sub/main.py": "import sojourn, pkg.inner, beside\n" + FUNCTION,
            "sub/beside.py": "",
        }
    )
    for target in ("pkg.app", "sub/main.py"):
        (manifest,) = tree.examine(target).functions
        assert (manifest.target, manifest.root) == (target, str(tree.path))


@pytest.mark.parametrize("target", ["../outside.py", "{outside}", "link.py", "sub/../../outside.py"])
def test_a_target_stays_in_its_tree(tree, target):
    """However it is written: what was not deployed is not imported."""
    outside = tree.path.parent / "outside.py"
    outside.write_text("import sojourn\n" + FUNCTION)
    (tree.path / "link.py").symlink_to(outside)
    assert "lies outside of the tree" in tree.error(target.format(outside=outside))


def test_dependencies_are_those_that_were_loaded(tree, monkeypatch, tmp_path):
    """By whomever, each once, of a namespace only the part that was; not sojourn, nor what it brings by itself."""
    site = tmp_path / "site"
    install(site, "Fancy_Pkg.x", ["fancy"], {"fancy/__init__.py": "import below\n"}, number="2.1")
    install(site, "below", ["below"], {"below.py": ""}, top_level=True, number="0.1")
    install(site, "unused", ["unused"], {"unused.py": ""})
    install(site, "ns-a", ["ns"], {"ns/a/__init__.py": ""}, number="3.0")
    install(site, "ns-b", ["ns"], {"ns/b/__init__.py": ""}, number="4.0")
    monkeypatch.setenv("PYTHONPATH", str(site))
    tree.write({"app.py": "import sojourn, json, own, fancy, ns.a\n" + FUNCTION, "own.py": "import httptools\n"})
    assert tree.examine().dependencies == {
        "below": "0.1",
        "fancy-pkg-x": "2.1",
        "httptools": version("httptools"),
        "ns-a": "3.0",
    }


def test_what_sojourn_brings_counts_if_the_author_imports_it(tree):
    """Msgspec is always loaded: it belongs to a function that uses it."""
    tree.write({"app.py": "import sojourn\n" + FUNCTION})
    assert tree.examine().dependencies == {}
    tree.write({"own.py": "from msgspec import Struct\n", "app.py": "import sojourn, own\n" + FUNCTION})
    assert tree.examine().dependencies == {"msgspec": version("msgspec")}


def test_a_missing_package_is_named_with_the_authors_line(tree):
    """Which one, where it is wanted, and that it is for the server's environment to have it."""
    tree.write({"app.py": "import sojourn\nimport helper\n", "helper.py": "\n\nimport no_such_thing.part\n"})
    told = tree.error()
    assert told.startswith("app.py: import failed at helper.py:3 in <module>: ModuleNotFoundError")
    assert "the package that provides no_such_thing is not installed in the server's environment" in told
    assert "install it there" in told


def test_a_missing_module_of_a_library_names_the_library(tree, monkeypatch, tmp_path):
    """The package is there, the module is not: another version; the line is the author's, not the library's."""
    site = tmp_path / "site"
    install(site, "Fancy", ["fancy"], {"fancy/__init__.py": "", "fancy/uses.py": "import not_there\n"}, number="2.1")
    monkeypatch.setenv("PYTHONPATH", str(site))
    tree.write({"app.py": "import sojourn\nimport fancy.newer\n", "other.py": "\nimport fancy.uses\n"})
    assert "fancy 2.1 is installed in the server's environment and has no such module" in tree.error()
    told = tree.error("other.py")
    assert "failed at other.py:2" in told
    assert "the package that provides not_there is not installed" in told


def test_a_missing_module_of_the_tree_is_told_apart(tree):
    """It is not for the server to install: it was not packed."""
    tree.write({"app.py": "import sojourn\nfrom pkg.models import net\n", "pkg/__init__.py": ""})
    told = tree.error()
    assert "import failed at app.py:2 in <module>: ModuleNotFoundError: No module named 'pkg.models'" in told
    assert "pkg.models is a module of your own, and neither pkg/models.py nor pkg/models/ is there" in told
    assert ".sojournignore" in told
    assert "not installed" not in told


def test_a_tree_that_is_not_there_is_told(tree):
    """Rather than a process that ends without a word."""
    with pytest.raises(TargetError, match="the tree to describe cannot be entered: No such file or directory"):
        asyncio.run(examine("app.py", root=tree.path / "none"))


@pytest.mark.parametrize("target", ["json", "hypothesis.strategies", "app.py\0", "\ud800", "a b", ""])
def test_a_target_is_of_the_tree(tree, target):
    """What is installed is no target of a bundle, and what is no name at all is told too."""
    tree.write({"app.py": "import sojourn\n" + FUNCTION})
    assert "the tree has no module of this name" in tree.error(target) or "neither a file nor a module" in tree.error(
        target
    )
