"""What users write: `@sojourn.function(...)` above a class or function, and `ItemError`.

Imported at every cold start, hence nothing but msgspec and the domain is imported here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any, TypeVar, overload

import msgspec

from sojourn.domain.function import FunctionSettings
from sojourn.domain.objective import SLO, parse_slo
from sojourn.domain.policy import (
    BATCHING_BY_NAME,
    KEEPALIVE_BY_NAME,
    SCALING_BY_NAME,
    BatchingSpec,
    KeepAliveSpec,
    ScalingSpec,
)
from sojourn.errors import ConfigurationError

Subject = TypeVar("Subject", bound=Callable[..., Any])

MARKER = "__sojourn__"
DEFAULT_ASYNC_CONCURRENCY = 64
_STAND_IN_NAME = "x"  # while the other options are judged

_SCALARS: dict[str, Any] = {
    "name": str,
    "max_batch_size": int,
    "batchable": bool,
    "min_replicas": int,
    "max_replicas": int | None,
    "cpus": float,
    "gpus": float,
    "threads": int | None,
    "concurrency": int | None,
    "share": str | None,
    "weight": float,
    "overload": str,
    "timeout_s": float | None,
    "start_timeout_s": float,
    "retry": bool,
}
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_MEMORY = re.compile(r"\s*(\d+(?:\.\d*)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_MEMORY_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_CO_GENERATOR, _CO_COROUTINE, _CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200  # as in the module inspect


class ItemError(Exception):
    """One item failed, the others did not: put it in the list in place of that item's result.

    A function with `batchable=False` may also return or raise it.

    Args:
        status: HTTP status of the item's answer, in [400, 599].
        message: What the caller is told; cut after 8192 characters.

    Raises:
        ValueError: `status` is out of range.
    """

    def __init__(self, status: int, message: str) -> None:
        if isinstance(status, bool) or not isinstance(status, int) or not 400 <= status <= 599:
            raise ValueError(f"ItemError: status must be an HTTP error status in [400, 599], not {status!r}")
        super().__init__(status, str(message))
        self.status = status
        self.message = str(message)


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """What the decorator noted of a class or function, kept on it as `__sojourn__`.

    Args:
        settings: Its options, checked; `settings.batchable` tells whether it takes lists.
        examples: A few valid items to warm up with.
        is_async: Whether a call is a coroutine.
        place: Where it was declared, as `file.py:line`.
    """

    settings: FunctionSettings
    examples: tuple[Any, ...] = ()
    is_async: bool = False
    place: str = ""


@overload
def function(subject: Subject, /) -> Subject: ...
@overload
def function(
    *,
    name: str | None = None,
    slo: str | SLO | None = None,
    max_batch_size: int = 32,
    batchable: bool = True,
    min_replicas: int = 0,
    max_replicas: int | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    memory: int | str | None = None,
    threads: int | None = None,
    concurrency: int | None = None,
    batching: str | BatchingSpec = "slo",
    scaling: str | ScalingSpec = "slo",
    keepalive: str | KeepAliveSpec = "adaptive",
    share: str | None = None,
    weight: float = 1.0,
    overload: str = "late",
    timeout_s: float | None = None,
    start_timeout_s: float = 60.0,
    retry: bool = True,
    examples: Iterable[Any] = (),
) -> Callable[[Subject], Subject]: ...
def function(
    subject: Subject | None = None,
    /,
    *,
    name: str | None = None,
    slo: str | SLO | None = None,
    max_batch_size: int = 32,
    batchable: bool = True,
    min_replicas: int = 0,
    max_replicas: int | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    memory: int | str | None = None,
    threads: int | None = None,
    concurrency: int | None = None,
    batching: str | BatchingSpec = "slo",
    scaling: str | ScalingSpec = "slo",
    keepalive: str | KeepAliveSpec = "adaptive",
    share: str | None = None,
    weight: float = 1.0,
    overload: str = "late",
    timeout_s: float | None = None,
    start_timeout_s: float = 60.0,
    retry: bool = True,
    examples: Iterable[Any] = (),
    **unknown: object,
) -> Subject | Callable[[Subject], Subject]:
    """Declare a class or function to be served; it stays what it is, so tests call it directly.

    The function takes a list of items and returns a list of the same length (`batchable=False`: one
    item, one result). A class loads its model in `__init__` and is called by `__call__`; it may have
    `warmup(self)` and `close(self)`.

    Replicas share the imported code: the first one of a revision imports it in a process of its own, from which
    this one and the others are forked. Where a fork could do harm (threads are running, files or connections are
    open after the import) each is a plain process instead, and the log says why. During the import, BLAS and
    OpenMP have one thread.

    Args:
        subject: The class or function, when used without parentheses.
        name: How clients address it; by default the name of the class or function in kebab case.
        slo: Latency objective such as `"99% < 100ms"`; without one nothing is promised.
        max_batch_size: Longest list a call may get, in [1, 4096].
        batchable: Whether it takes a list; else it gets one item per call.
        min_replicas: Replicas kept alive, >= 0.
        max_replicas: Ceiling of replicas, >= 1; None leaves it to the machine.
        cpus: Cores a replica claims, > 0.
        gpus: Accelerators a replica claims, >= 0.
        memory: Memory a replica claims, in bytes or as text such as `"2GB"`.
        threads: Threads of BLAS and OpenMP pools; by default `cpus` rounded up.
        concurrency: Calls an `async` function runs at once in one replica; by default 64.
        batching: Batching policy, by name or as an object such as `sojourn.Fixed(size=8, wait_s=0.005)`.
        scaling: Scaling policy, by name or as an object such as `sojourn.ConcurrencyScaling(target=8)`.
        keepalive: How long the last replica stays without work, by name or as an object such as
            `sojourn.FixedKeepAlive(idle_s=60)`.
        share: `"fork"` loads the model once, too, and replicas share its memory until one writes to it: for
            classes and functions that are not `async` and use no `gpus`. `"none"` shares nothing, for code that
            must not be forked.
        weight: Weight among functions that compete for replicas, > 0.
        overload: `"late"` serves late rather than never, `"shed"` refuses what would be late.
        timeout_s: After this nothing of a request may start; by default 10 times the objective, at least 1 s.
        start_timeout_s: How long requests wait while no replica is ready, in seconds.
        retry: Whether a request may run again after its replica was lost.
        examples: A few valid items to warm up with.
        unknown: Refused; the message names the option that may have been meant.

    Raises:
        ConfigurationError: Options that cannot be used; all faults in one message, with file and line.
    """
    options = {key: value for key, value in locals().items() if key not in {"subject", "examples", "unknown"}}
    place = _place(sys._getframe(1))  # noqa: SLF001 - the cheap way to the author's line; inspect costs a cold start

    def declare(subject: Subject) -> Subject:
        declaration = _declaration(subject, options, unknown, tuple(examples), place)
        try:
            setattr(subject, MARKER, declaration)
        except (AttributeError, TypeError) as error:
            raise ConfigurationError(f"{place}: {subject!r} cannot be declared; wrap it in a function") from error
        return subject

    return declare if subject is None else declare(subject)


def kebab_case(name: str) -> str:
    """The name clients use for a Python name: `DigitsModel` and `digits_model` become `digits-model`."""
    return _WORD_START.sub("-", name).replace("_", "-").lower().strip("-")


def is_coroutine_function(subject: Callable[..., Any]) -> bool:
    """Whether calling the function, or an instance of the class, gives a coroutine."""
    return bool(_flags(_called(subject)) & _CO_COROUTINE)


def _declaration(
    subject: Any, options: dict[str, Any], unknown: Iterable[str], examples: tuple[Any, ...], place: str
) -> Declaration:
    label = getattr(subject, "__name__", repr(subject))
    faults = _subject_faults(subject)
    settings: dict[str, Any] = dict(options)
    if options["name"] is None:
        settings["name"] = _STAND_IN_NAME if faults else kebab_case(label)
    faults += [_unknown(option, options) for option in unknown]
    is_async = not faults and is_coroutine_function(subject)
    faults += _scalar_faults(settings)
    settings["memory_bytes"] = settings.pop("memory")
    readers = {
        "slo": _slo,
        "batching": _batching,
        "scaling": _scaling,
        "keepalive": _keepalive,
        "memory_bytes": _memory_bytes,
    }
    for option, read in readers.items():
        try:
            settings[option] = read(settings[option])
        except ConfigurationError as error:
            faults.append(str(error))
            del settings[option]
    if settings.get("concurrency") is None:
        settings["concurrency"] = DEFAULT_ASYNC_CONCURRENCY if is_async else 1
    elif not is_async:
        faults.append("concurrency is for `async def` functions only: remove it, or make the function async")
    if is_async and options["share"] == "fork":
        faults.append('share="fork" is not for `async` functions: an event loop cannot be shared; leave share out')
    # What could not be read is left out above, so that the rules of the settings can judge all the rest.
    made: FunctionSettings | None = None
    try:
        made = FunctionSettings(**settings)
    except ConfigurationError as error:
        faults.append(str(error).removeprefix(f"function {settings['name']!r}: "))
    if faults or made is None:
        faults.sort(key=lambda fault: "\n" in fault)  # last, for its caret must stay below its place
        raise ConfigurationError(f"{place}: {label}: " + "; ".join(faults))
    return Declaration(settings=made, examples=examples, is_async=is_async, place=place)


def _subject_faults(subject: Any) -> list[str]:
    """What keeps the decorated thing from being served at all."""
    if not callable(subject) or not hasattr(subject, "__name__"):
        return ["@sojourn.function belongs above a class or a function; its options are given by keyword"]
    if isinstance(subject, type) and not any("__call__" in vars(base) for base in subject.__mro__):
        return ["the class has no __call__(self, items) method: add one that takes a list and returns a list"]
    if _flags(_called(subject)) & (_CO_GENERATOR | _CO_ASYNC_GENERATOR):
        return ["it yields: streaming answers are not supported, return a list instead"]
    return []


def _called(subject: Callable[..., Any]) -> Any:
    return subject.__call__ if isinstance(subject, type) else subject


def _flags(called: Any) -> int:
    return int(getattr(getattr(called, "__code__", None), "co_flags", 0))


def _unknown(option: str, options: Iterable[str]) -> str:
    import difflib  # noqa: PLC0415 - paid only when something is wrong

    near = difflib.get_close_matches(option, [*options, "examples"], n=1)
    return f"unknown option {option}" + (f": did you mean {near[0]}?" if near else "; see help(sojourn.function)")


def _scalar_faults(settings: dict[str, Any]) -> list[str]:
    """Faults of the plain options; those of the wrong type are taken out of `settings`."""
    faults = []
    for option, kind in _SCALARS.items():
        try:
            msgspec.convert(settings[option], kind)
        except msgspec.ValidationError as error:
            faults.append(f"{option}={settings[option]!r}: {error}")
            if option == "name":
                settings["name"] = _STAND_IN_NAME
            else:
                del settings[option]
    return faults


def _slo(value: Any) -> SLO | None:
    if value is None or isinstance(value, SLO):
        return value
    if isinstance(value, str):
        return parse_slo(value)
    raise ConfigurationError(f'slo={value!r}: expected text such as "99% < 100ms" or sojourn.SLO(latency_s=0.1)')


_Spec = TypeVar("_Spec")


def _policy_reader(option: str, known: Mapping[str, _Spec], example: str) -> Callable[[Any], _Spec]:
    """Reads a policy given by its name or as an object of one of the known kinds."""
    kinds = tuple(type(spec) for spec in known.values())

    def read(value: Any) -> _Spec:
        if isinstance(value, kinds):
            return value
        if isinstance(value, str) and value in known:
            return known[value]
        names = ", ".join(known)
        raise ConfigurationError(f"{option}={value!r} is unknown; known: {names}, or an object such as {example}")

    return read


_batching: Callable[[Any], BatchingSpec] = _policy_reader(
    "batching", BATCHING_BY_NAME, "sojourn.Fixed(size=8, wait_s=0.005)"
)
_scaling: Callable[[Any], ScalingSpec] = _policy_reader(
    "scaling", SCALING_BY_NAME, "sojourn.ConcurrencyScaling(target=8)"
)
_keepalive: Callable[[Any], KeepAliveSpec] = _policy_reader(
    "keepalive", KEEPALIVE_BY_NAME, "sojourn.FixedKeepAlive(idle_s=60)"
)


def _memory_bytes(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    found = _MEMORY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ConfigurationError(f'memory={value!r}: expected bytes or text such as "2GB" or "512MiB"')
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** _MEMORY_POWER[found[2].lower()])


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
