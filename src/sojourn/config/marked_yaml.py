"""YAML with the line of each value, and all that is wrong with it said in our words."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import yaml

NODES_MAX: Final = 10_000


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


def read_documents(text: str) -> list[Marked]:
    """All documents of a YAML text; empty ones are left out.

    Raises:
        YAMLFaultError: It is not valid, a key comes twice, or it is larger than any configuration is.
    """
    loader = None
    try:
        loader = yaml.SafeLoader(text)
        documents = []
        while loader.check_node():
            budget = [NODES_MAX]
            node = loader.get_node()
            assert node is not None, "check_node() said there is one"
            marked = _marked(loader, node, budget)
            if marked.value is not None:
                documents.append(marked)
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        raise YAMLFaultError(mark.line + 1 if mark else 1, f"not valid YAML: {err.problem or err}") from err
    except yaml.YAMLError as err:
        raise YAMLFaultError(1, f"not valid YAML: {err}") from err
    else:
        return documents
    finally:
        if loader is not None:
            loader.dispose()


def _marked(loader: yaml.SafeLoader, node: yaml.Node, budget: list[int]) -> Marked:
    line = node.start_mark.line + 1
    budget[0] -= 1
    if budget[0] < 0:  # a few lines of aliases can stand for billions of values
        raise YAMLFaultError(line, f"more than {NODES_MAX} values; aliases count each time they are used")
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Marked] = {}
        for key_node, value_node in node.value:
            key = str(loader.construct_object(key_node, deep=True)) if isinstance(key_node, yaml.ScalarNode) else ""
            if not key or key in found:
                what = f"key {key!r} comes twice" if key else "a key must be a plain text"
                raise YAMLFaultError(key_node.start_mark.line + 1, what)
            found[key] = _marked(loader, value_node, budget)
        return Marked(found, line)
    if isinstance(node, yaml.SequenceNode):
        return Marked([_marked(loader, child, budget) for child in node.value], line)
    try:
        return Marked(loader.construct_object(node, deep=True), line)
    except ValueError as err:  # such as a date that is none
        raise YAMLFaultError(line, f"{node.value!r} cannot be read: {err}") from err
