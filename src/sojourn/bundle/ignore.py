r"""Which files of a tree are left out of a bundle: built-in defaults, then the lines of `.sojournignore`.

The patterns are those of `.gitignore`, in one file at the root of the tree:

- Empty lines and lines that begin with `#` say nothing; spaces at the end do not count, unless after a backslash.
- `*` stands for any characters but `/`, `?` for one, `[a-z]` and `[!a-z]` for one of a set; a backslash takes the
  next character as it is (`\#`, `\!`, `\*`).
- A pattern that ends in `/` means directories only.
- A pattern with a `/` at its beginning or in its middle is meant from the root of the tree; others at any depth.
- `**/` at the beginning stands for any directories, `/**` at the end for everything inside, `/**/` for any number
  of directories in between.
- `!` takes a file in again. The last pattern that fits decides. What lies in a directory that is left out cannot
  be taken in again; take in the directory, then leave out the rest.

Not supported: ignore files in subdirectories, character classes by name (`[[:alpha:]]`), `core.excludesFile`.

`.gitignore` itself is not looked at: weights and data are in it because they are too large for a repository, and
a function deployed without them would fail far from the reason.

The defaults leave out what a function does not need to run, and what must not travel: see `DEFAULTS`. A line such
as `!ca.pem` takes one in again. Directories with a `pyvenv.cfg` (virtual environments of any name) stay out
always: their packages belong to this machine, and dependencies are those of the server's environment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sojourn.errors import ConfigurationError

IGNORE_FILE: Final = ".sojournignore"
VENV_MARK: Final = "pyvenv.cfg"
LINES_MAX: Final = 2_000
LINE_CHARACTERS_MAX: Final = 1_000

# Group by group: the reason, then the patterns.
DEFAULTS: Final[dict[str, tuple[str, ...]]] = {
    "history of the source, no part of what runs": (".git", ".hg/", ".svn/", ".jj/"),
    "caches that are made anew, and differ from machine to machine": (
        "__pycache__/",
        "*.py[cod]",
        ".mypy_cache/",
        ".pytest_cache/",
        ".ruff_cache/",
        ".hypothesis/",
        ".ipynb_checkpoints/",
        ".tox/",
        ".nox/",
        "*.egg-info/",
        ".coverage",
        ".DS_Store",
    ),
    "packages of this machine; dependencies are those of the server's environment": (
        ".venv/",
        "venv/",
        "node_modules/",
    ),
    "secrets: they would be readable by everybody who may read the server's bundles, for as long as it keeps them": (
        ".env",
        ".env.*",
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "id_rsa",
        "id_ecdsa",
        "id_ed25519",
        ".netrc",
        ".pypirc",
        ".ssh/",
        ".aws/",
    ),
    "says what is packed, and is not needed after that": (f"/{IGNORE_FILE}",),
}


class IgnoreRules:
    """The defaults and the lines of an ignore file; the last one that fits a path decides.

    Args:
        lines: Lines of `.sojournignore`, in their order.

    Raises:
        ConfigurationError: Patterns that cannot be read, all of them with their lines; or there are too many.
    """

    def __init__(self, lines: Sequence[str] = ()) -> None:
        if len(lines) > LINES_MAX:
            raise ConfigurationError(f"{IGNORE_FILE}: has {len(lines)} lines, and at most {LINES_MAX} are read")
        self._rules: list[_Rule] = []
        for patterns in DEFAULTS.values():
            self._rules += [rule for rule in map(_rule, patterns) if rule is not None]
        faults = []
        for number, line in enumerate(lines, start=1):
            try:
                rule = _rule(line)
            except ValueError as error:
                faults.append(f"{IGNORE_FILE}:{number}: {error}")
                continue
            if rule is not None:
                self._rules.append(rule)
        if faults:
            raise ConfigurationError("\n".join(faults))

    def ignores(self, path: str, *, is_directory: bool) -> bool:
        """Whether this path is left out, given that the directories above it are not.

        Args:
            path: From the root of the tree, `/` between its parts.
            is_directory: Whether it is one.
        """
        for rule in reversed(self._rules):
            if rule.matches(path, is_directory):
                return not rule.takes_in
        return False

    def ignores_deeply(self, path: str) -> bool:
        """Whether this file, or a directory on the way to it, is left out."""
        ends = [at for at, character in enumerate(path) if character == "/"]
        return any(self.ignores(path[:end], is_directory=True) for end in ends) or self.ignores(
            path, is_directory=False
        )


class _Rule:
    def __init__(self, fits: re.Pattern[str], *, takes_in: bool, directories_only: bool) -> None:
        self._fits = fits
        self._directories_only = directories_only
        self.takes_in = takes_in

    def matches(self, path: str, is_directory: bool) -> bool:  # noqa: FBT001 - the only caller names it
        return (is_directory or not self._directories_only) and self._fits.fullmatch(path) is not None


def _rule(line: str) -> _Rule | None:
    """The rule of one line; None if it says nothing.

    Raises:
        ValueError: What is wrong with it.
    """
    text = _without_end_spaces(line.rstrip("\r\n"))
    if not text or text.startswith("#"):
        return None
    if len(text) > LINE_CHARACTERS_MAX:
        raise ValueError(f"a pattern takes at most {LINE_CHARACTERS_MAX} characters")
    takes_in = text.startswith("!")
    body = text[1:] if takes_in else text
    directories_only = body.endswith("/")
    body = body.rstrip("/")
    if not body:
        raise ValueError(f"{text!r} names nothing")
    is_from_root = "/" in body
    parts = body.removeprefix("/").split("/")
    if not is_from_root:
        parts = ["**", *parts]
    return _Rule(re.compile(_expression(parts), re.DOTALL), takes_in=takes_in, directories_only=directories_only)


def _without_end_spaces(text: str) -> str:
    stripped = text.rstrip(" ")
    backslashes = len(stripped) - len(stripped.rstrip("\\"))
    # An odd number of backslashes takes the first of the spaces as it is.
    return stripped + " " if backslashes % 2 and len(stripped) < len(text) else stripped


def _expression(parts: list[str]) -> str:
    """The regular expression of a pattern's parts, for a whole path."""
    written = []
    last = len(parts) - 1
    for at, part in enumerate(parts):
        if part == "**":
            if at and parts[at - 1] == "**" and at != last:
                continue  # twice says no more than once, and costs time
            written.append(".+" if at == last else "(?:.+/)?")
        else:
            written.append(_part(part) + ("" if at == last else "/"))
    return "".join(written)


def _part(part: str) -> str:
    """The regular expression of what stands between two slashes."""
    written = []
    at = 0
    while at < len(part):
        character = part[at]
        at += 1
        if character == "\\":
            if at == len(part):
                raise ValueError(f"{part!r} ends in a backslash that has nothing to take as it is")
            written.append(re.escape(part[at]))
            at += 1
        elif character == "*":
            if not (written and written[-1] == "[^/]*"):
                written.append("[^/]*")
        elif character == "?":
            written.append("[^/]")
        elif character == "[":
            text, at = _set(part, at)
            written.append(text)
        else:
            written.append(re.escape(character))
    return "".join(written)


def _set(part: str, start: int) -> tuple[str, int]:
    """The regular expression of a `[...]` whose inside begins at `start`, and where the pattern goes on."""
    end = start + (part[start : start + 1] in {"!", "^"})
    end = part.find("]", end + 1)  # a bracket in the first place is one of the set
    if end < 0:
        raise ValueError(f"{part!r} opens a set with `[` and does not close it; for the character itself write `\\[`")
    inside = part[start:end]
    negates = inside[0] in {"!", "^"}
    inside = inside[1:] if negates else inside
    inside = inside.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace("^", "\\^")
    for doubled in ("--", "&&", "||", "~~"):  # future set operations of the module re
        inside = inside.replace(doubled, "\\" + doubled[0] + "\\" + doubled[1])
    text = f"[^/{inside}]" if negates else f"(?!/)[{inside}]"
    try:
        re.compile(text)
    except re.error:
        raise ValueError(f"{part!r}: the set [{part[start:end]}] cannot be read") from None
    return text, end + 1
