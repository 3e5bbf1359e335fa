"""YAML with the line of each value, and all that is wrong with it said in our words.

Scalars are read as the core schema of YAML 1.2 has it: `1e-3` is a number, `1:30`, `yes` and `2026-01-01` are texts.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
import yaml
from yaml.reader import ReaderError

NODES_MAX: Final = 10_000  # of a whole file
DEPTH_MAX: Final = 50
_DIGITS_MAX: Final = 40  # of a number as it is written: no figure of a configuration needs more, and none overflows
_TAG: Final = "tag:yaml.org,2002:"
_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_CORE: Final = {
    "null": re.compile(r"~|null|Null|NULL|"),
    "bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "int": re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
    "float": re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
}  # fmt: skip


class Marked(msgspec.Struct):
    """A value and the line it begins on; mappings and lists hold marked values again."""

    value: Any
    line: int

    def get(self, key: str) -> Marked | None:
        """What a mapping has under `key`; None if it is no mapping, or has no such key, or nothing is there."""
        found: Marked | None = self.value.get(key) if isinstance(self.value, dict) else None
        return None if found is None or found.value is None else found


class YAMLFaultError(ValueError):
    """The text is no YAML we take; `line` is where."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


class _Loader(yaml.SafeLoader):
    """Composes nodes, no deeper and no more of them than any configuration has."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self.nodes_left = NODES_MAX

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The tag of a node without one; what a plain scalar is follows from its form."""
        if kind is yaml.ScalarNode and implicit[0]:
            return _TAG + next((name for name, form in _CORE.items() if form.fullmatch(value)), "str")
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node with all in it; refused before Python's stack or the memory would end."""
        line = self.line + 1
        self._depth += 1
        self.nodes_left -= 1
        if self._depth > DEPTH_MAX:
            raise YAMLFaultError(line, f"nested deeper than {DEPTH_MAX} levels")
        if self.nodes_left < 0:
            raise YAMLFaultError(line, f"more than {NODES_MAX} values and keys in one file")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def read_documents(text: str) -> list[Marked]:
    """All documents of a YAML text; empty ones are left out.

    Raises:
        YAMLFaultError: It is not valid, a key comes twice, or it is larger than any configuration is.
    """
    loader = None
    budget = [NODES_MAX]
    try:
        loader = _Loader(text)
        documents = []
        while loader.check_node():
            node = loader.get_node()
            assert node is not None, "check_node() said there is one"
            marked = _marked(node, budget, 1)
            if marked.value is not None:
                documents.append(marked)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        raise YAMLFaultError(mark.line + 1 if mark else 1, f"not valid YAML: {err.problem or err}") from err
    except ReaderError as err:
        line = 1 + len(_LINE_BREAK.findall(text, 0, err.position))
        raise YAMLFaultError(
            line, f"not valid YAML: the character U+{ord(text[err.position]):04X} is not allowed"
        ) from err
    except yaml.YAMLError as err:
        raise YAMLFaultError(1, f"not valid YAML: {err}") from err
    except (
        ValueError,
        OverflowError,
    ) as err:  # of the scanner: an escape such as "\U7FFFFFFF", a version of many digits
        if isinstance(err, YAMLFaultError):
            raise
        line = loader.line + 1 if loader is not None else 1
        raise YAMLFaultError(line, f"not valid YAML: {err}") from err
    else:
        return documents
    finally:
        if loader is not None:
            loader.dispose()


def _marked(node: yaml.Node, budget: list[int], depth: int) -> Marked:
    line = node.start_mark.line + 1
    budget[0] -= 1
    if budget[0] < 0:  # a few lines of aliases can stand for billions of values
        raise YAMLFaultError(line, f"more than {NODES_MAX} values in one file; aliases count each time they are used")
    if depth > DEPTH_MAX:
        raise YAMLFaultError(
            line, f"nested deeper than {DEPTH_MAX} levels; an alias may not stand within what it names"
        )
    if not isinstance(node, yaml.ScalarNode) and node.tag not in {f"{_TAG}map", f"{_TAG}seq"}:
        raise YAMLFaultError(line, f"the tag {node.tag!r} is not supported")
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Marked] = {}
        for key_node, value_node in node.value:
            key = _key(key_node)
            if key in found:
                raise YAMLFaultError(key_node.start_mark.line + 1, f"key {key[:60]!r} comes twice")
            found[key] = _marked(value_node, budget, depth + 1)
        return Marked(found, line)
    if isinstance(node, yaml.SequenceNode):
        return Marked([_marked(child, budget, depth + 1) for child in node.value], line)
    return Marked(_scalar(node), line)


def _key(node: yaml.Node) -> str:
    """The text of a key, as it is written."""
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        raise YAMLFaultError(line, "a key must be a plain text")
    if node.value == "<<" and node.style is None:
        raise YAMLFaultError(line, "merge keys (<<) are not supported; write the values out")
    _scalar(node)
    return str(node.value)


def _scalar(node: yaml.Node) -> Any:
    """A text, number, truth value or nothing."""
    text, line = str(node.value), node.start_mark.line + 1
    tag = node.tag.removeprefix(_TAG)
    if tag == "str":
        return text
    if tag not in _CORE:
        raise YAMLFaultError(line, f"the tag {node.tag!r} is not supported")
    if not _CORE[tag].fullmatch(text):
        raise YAMLFaultError(line, f"{text[:60]!r} cannot be read as {tag}")
    if len(text) > _DIGITS_MAX:
        raise YAMLFaultError(line, f"a number of {len(text)} characters; {_DIGITS_MAX} is the most")
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() == "true"
    if tag == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return int(text, 0) if text[:2] in {"0x", "0o"} else int(text)
