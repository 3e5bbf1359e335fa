"""What a function takes and gives, read from its annotations."""

from __future__ import annotations

import collections.abc
import typing
from types import CodeType
from typing import Any

import msgspec

from sojourn.declare import Declaration
from sojourn.errors import TargetError
from sojourn.replica.codec import array_schema
from sojourn.replica.place import code_of, one_line, place_of

_LISTS = (list, collections.abc.Sequence)


class Signature(msgspec.Struct, frozen=True):
    """Types of one item and of one result; `Any` where the author wrote none."""

    item_type: Any
    result_type: Any

    def input_schema(self, name: str, place: str) -> dict[str, Any]:
        """JSON schema of one item.

        Raises:
            TargetError: The item type cannot be decoded from JSON.
        """
        try:
            return _schema(self.item_type)
        except (TypeError, ValueError, NotImplementedError, RecursionError) as error:
            raise TargetError(
                f"{place}: function {name!r}: items of type {_type_name(self.item_type)} cannot be decoded "
                f"({one_line(error)}); use builtins, dataclasses, TypedDict, msgspec.Struct or numpy.ndarray"
            ) from error

    def output_schema(self) -> dict[str, Any]:
        """JSON schema of one result; `{}` (anything) where the type has none."""
        try:
            return _schema(self.result_type)
        except (TypeError, ValueError, NotImplementedError, RecursionError):
            return {}


def read_signature(subject: Any, declaration: Declaration) -> Signature:
    """Item and result type of a declared class or function.

    Raises:
        TargetError: Annotations that cannot be resolved, or a batchable function that does not take a list.
    """
    name, place = declaration.settings.name, place_of(subject)
    called = subject.__call__ if isinstance(subject, type) else subject
    parameter = _first_parameter(subject)
    if parameter is None and code_of(subject) is not None:
        takes = "a list of items" if declaration.settings.batchable else "one item"
        raise TargetError(f"{place}: function {name!r} takes no argument; it must take {takes}")
    _check_requirements(subject, declaration, place)
    try:
        hints = typing.get_type_hints(called, include_extras=True)
    except Exception as error:  # resolving annotations runs whatever they say
        raise TargetError(f"{place}: function {name!r}: annotations cannot be resolved: {one_line(error)}") from error
    item_type, result_type = hints.get(parameter or "", Any), hints.get("return", Any)
    if not declaration.settings.batchable:
        return Signature(item_type, result_type)
    item_type, result_type = _bare(item_type), _bare(result_type)
    if item_type is not Any and not _is_list(item_type):
        raise TargetError(
            f"{place}: function {name!r} takes {parameter}: {_type_name(item_type)}, but a batchable function takes a "
            f"list: write `{parameter}: list[{_type_name(item_type)}]`, or declare it with batchable=False"
        )
    return Signature(_element(item_type), _element(result_type) if _is_list(result_type) else Any)


def _check_requirements(subject: Any, declaration: Declaration, place: str) -> None:
    """Refuse what cannot be called with one argument: every call would fail."""
    # Judged as it will be called: a decorator may supply what the function below it requires.
    called = subject.__call__ if isinstance(subject, type) else subject
    code = getattr(called, "__code__", None)
    if not isinstance(code, CodeType):
        return
    defaults, keyword_defaults = called.__defaults__ or (), called.__kwdefaults__ or {}
    required = list(code.co_varnames[1 if isinstance(subject, type) else 0 : code.co_argcount - len(defaults)])
    keywords = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    required += [name for name in keywords if name not in keyword_defaults]
    if len(required) > 1:
        takes = "the list of items" if declaration.settings.batchable else "the item"
        raise TargetError(
            f"{place}: function {declaration.settings.name!r} requires {len(required)} arguments "
            f"({', '.join(required)}), but is called with one, {takes}; give the others defaults"
        )


def _first_parameter(subject: Any) -> str | None:
    code = code_of(subject)
    if code is None:
        return None
    skipped = 1 if isinstance(subject, type) else 0  # self
    names = code.co_varnames[: code.co_argcount]
    if len(names) > skipped:
        return names[skipped]
    takes_varargs = code.co_flags & 0x04
    return code.co_varnames[code.co_argcount + code.co_kwonlyargcount] if takes_varargs else None


def _bare(annotation: Any) -> Any:
    is_annotated = typing.get_origin(annotation) is typing.Annotated
    return typing.get_args(annotation)[0] if is_annotated else annotation


def _is_list(annotation: Any) -> bool:
    return annotation in _LISTS or typing.get_origin(annotation) in _LISTS


def _element(annotation: Any) -> Any:
    arguments = typing.get_args(annotation)
    return arguments[0] if arguments and not isinstance(arguments[0], typing.TypeVar) else Any


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _schema(annotation: Any) -> dict[str, Any]:
    return msgspec.json.schema(annotation, schema_hook=array_schema)
