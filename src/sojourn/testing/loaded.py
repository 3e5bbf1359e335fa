"""A function in this process: decoded, validated, run and encoded by the code that a replica runs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from sojourn.client.answers import error_class
from sojourn.client.conversation import Answer
from sojourn.client.items import BYTES, JSON, MSGPACK, decode_result, encode_item
from sojourn.declare import MARKER, Declaration
from sojourn.domain.function import FunctionManifest
from sojourn.domain.request import Fault
from sojourn.errors import ClientError, ConfigurationError, TargetError
from sojourn.gateway.response import STATUS_OF_FAULT
from sojourn.replica.concurrent import run_concurrent, settle_here, warm_up
from sojourn.replica.describe import example_texts
from sojourn.replica.load import LoadFailedError, Loading, settle
from sojourn.replica.model import LOGS_HINT, Model
from sojourn.replica.place import place_of
from sojourn.replica.signature import Signature, read_signature
from sojourn.wire.message import ContentKind, Done, ItemFault, Run

T = TypeVar("T")

_KIND_OF_TYPE: Final = {JSON: ContentKind.JSON, MSGPACK: ContentKind.MSGPACK, BYTES: ContentKind.BYTES}
_TYPE_OF_KIND: Final = {int(kind): content_type for content_type, kind in _KIND_OF_TYPE.items()}


class Loaded:
    """A function, ready to be called; loads on entering `with`, calls `close()` on leaving.

    What differs from a replica: it runs in this process, so that threads of BLAS are not limited and `gpus` sets nothing.

    Args:
        subject: A class or function with `@sojourn.function` above it.

    Raises:
        ConfigurationError: It has none.
        TargetError: It cannot be served; the message names the author's line.
    """

    def __init__(self, subject: Callable[..., Any]) -> None:
        declaration = declaration_of(subject)
        label = f"{place_of(subject)}: function {declaration.settings.name!r}"
        signature = read_signature(subject, declaration)
        signature.input_schema(declaration.settings.name, place_of(subject))
        manifest = FunctionManifest(
            target="",
            attribute="",
            settings=declaration.settings,
            revision="",
            is_async=declaration.is_async,
            examples=example_texts(declaration, signature, label),
        )
        self._subject = subject
        self._settings = declaration.settings
        self._loading = _InProcess(manifest, signature, _root_of(subject))
        self._loop = _Loop() if declaration.is_async else None
        self._model: _Model | None = None

    @property
    def instance(self) -> Any:
        """The function, or the instance of the class, itself.

        Raises:
            ConfigurationError: It is not loaded.
        """
        return self._ready().called

    def __enter__(self) -> Self:
        try:
            self._model = self._loop.run(self._load_in_loop()) if self._loop else self._load()
        except LoadFailedError as error:
            self._end_loop()
            cause = error.__cause__
            raise TargetError(f"function {self._settings.name!r} cannot be loaded: {error}") from cause
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        model, self._model = self._model, None
        close = getattr(model.called, "close", None) if model is not None else None
        try:
            if close is not None and self._loop is not None:
                self._loop.run(_called(close))
            elif close is not None:
                settle(close())
        finally:
            self._end_loop()

    def call(self, item: Any, *, content_type: str | None = None, result_type: Any = Any) -> Any:
        """Serve one item; what a client of it would get.

        Args:
            item: Encoded as a client does it.
            content_type: As for `sojourn.Client.invoke`.
            result_type: As for `sojourn.Client.invoke`.

        Raises:
            ClientError: As a client would; an exception of the function's is its cause.
        """
        return self.call_batch([item], content_type=content_type, result_type=result_type)[0]

    def call_batch(
        self,
        items: Iterable[Any],
        *,
        return_errors: bool = False,
        content_type: str | None = None,
        result_type: Any = Any,
    ) -> list[Any]:
        """Serve some items together, in batches no longer than the function's `max_batch_size`.

        If the call of a batch raises, all of its items fail, as in a replica; a server would try the halves of it.

        Args:
            items: Each encoded as a client does it.
            return_errors: Whether the error of a failed item takes the place of its result.
            content_type: As for `sojourn.Client.invoke`.
            result_type: As for `sojourn.Client.invoke`.

        Raises:
            ClientError: That of the first failed item.
        """
        encoded = [encode_item(item, content_type) for item in items]
        size = self._settings.largest_batch
        results: list[Any] = []
        for at in range(0, len(encoded), size):
            results += self._results(encoded[at : at + size], result_type)
        if not return_errors:
            for result in results:
                if isinstance(result, ClientError):
                    raise result
        return results

    def _ready(self) -> _Model:
        if self._model is None:
            raise ConfigurationError(
                f"function {self._settings.name!r} is not loaded; use `with sojourn.testing.loaded(...) as function:`"
            )
        return self._model

    def _results(self, encoded: Sequence[tuple[bytes, str]], result_type: Any) -> list[Any]:
        model = self._ready()
        model.error = None
        kinds = bytes(_KIND_OF_TYPE[content_type] for _, content_type in encoded)
        run = Run(0, [body for body, _ in encoded], kinds if any(kinds) else b"")
        now_s = monotonic()
        done = self._loop.run(run_concurrent(model, run, now_s)) if self._loop else model.run(run, now_s)
        if isinstance(model.error, KeyboardInterrupt):
            raise model.error
        faults = {fault.position: fault for fault in done.faults}
        return [
            self._error(faults[position], model) if position in faults else _result(done, position, result_type)
            for position in range(len(encoded))
        ]

    def _error(self, fault: ItemFault, model: _Model) -> ClientError:
        status = fault.status or STATUS_OF_FAULT[Fault(fault.code)]
        message = fault.message.removesuffix(LOGS_HINT.format(name=self._settings.name))
        error = error_class(status, fault.code)(message, status=status, code=fault.code)
        if fault.code == Fault.FUNCTION_RAISED:
            error.__cause__ = model.error
        return error

    def _load(self) -> _Model:
        model = self._loading.construct(self._subject)
        self._loading.warm_up(model)
        assert isinstance(model, _Model)
        return model

    async def _load_in_loop(self) -> _Model:
        model = self._loading.construct(self._subject)
        await warm_up(self._loading, model)
        assert isinstance(model, _Model)
        return model

    def _end_loop(self) -> None:
        if self._loop is not None:
            self._loop.end()


def loaded(subject: Callable[..., Any]) -> Loaded:
    """A class or function, loaded once for many calls: `with sojourn.testing.loaded(Digits) as digits:`."""
    return Loaded(subject)


def call(
    function: Callable[..., Any] | Loaded, item: Any, *, content_type: str | None = None, result_type: Any = Any
) -> Any:
    """Serve one item without a server; what a client would get.

    Args:
        function: A declared class or function, which is loaded for this call only, or one that is `loaded`.
        item: Encoded as a client does it.
        content_type: As for `sojourn.Client.invoke`.
        result_type: As for `sojourn.Client.invoke`.

    Raises:
        ClientError: As a client would; an exception of the function's is its cause.
        TargetError: It cannot be loaded.
    """
    return call_batch(function, [item], content_type=content_type, result_type=result_type)[0]


def call_batch(
    function: Callable[..., Any] | Loaded,
    items: Iterable[Any],
    *,
    return_errors: bool = False,
    content_type: str | None = None,
    result_type: Any = Any,
) -> list[Any]:
    """Serve some items together without a server; what their clients would get.

    Args:
        function: A declared class or function, which is loaded for this call only, or one that is `loaded`.
        items: Each encoded as a client does it.
        return_errors: Whether the error of a failed item takes the place of its result.
        content_type: As for `sojourn.Client.invoke`.
        result_type: As for `sojourn.Client.invoke`.

    Raises:
        ClientError: That of the first failed item.
        TargetError: The function cannot be loaded.
    """
    if not isinstance(function, Loaded):
        with Loaded(function) as held:
            return call_batch(
                held, items, return_errors=return_errors, content_type=content_type, result_type=result_type
            )
    return function.call_batch(items, return_errors=return_errors, content_type=content_type, result_type=result_type)


def declaration_of(subject: Any) -> Declaration:
    """What `@sojourn.function` noted of a class or function.

    Raises:
        ConfigurationError: It was not declared.
    """
    declaration = getattr(subject, "__dict__", {}).get(MARKER)
    if not isinstance(declaration, Declaration):
        raise ConfigurationError(
            f"{getattr(subject, '__qualname__', repr(subject))} is not declared; put @sojourn.function above it"
        )
    return declaration


class _Model(Model):
    """Remembers what the function raised, so that tests see it."""

    error: BaseException | None = None

    def failed(self, error: BaseException, count: int) -> Sequence[Any]:
        self.error = error
        return super().failed(error, count)


class _InProcess(Loading):
    """A cold start whose import was the test's own."""

    model_kind = _Model

    def __init__(self, manifest: FunctionManifest, signature: Signature, root: str) -> None:
        super().__init__(manifest)
        self._signature = signature
        self._root = root

    def finish_warm_up(self, begun_at_s: float) -> None:
        """A replica freezes the garbage collector here; the test's process is not ours to freeze."""
        self.warmup_s = monotonic() - begun_at_s


class _Loop:
    """An event loop in a thread of its own, so that tests which run in one can use async functions, too."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sojourn-testing")
        self._runner = asyncio.Runner()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._thread.submit(self._runner.run, coroutine).result()

    def end(self) -> None:
        self._thread.submit(self._runner.close).result()
        self._thread.shutdown()


async def _called(close: Callable[[], Any]) -> None:
    await settle_here(close())


def _result(done: Done, position: int, result_type: Any) -> Any:
    kind = done.kinds[position] if done.kinds else ContentKind.JSON
    answer = Answer(200, {"content-type": _TYPE_OF_KIND[int(kind)]}, done.bodies[position])
    return decode_result(answer, result_type, "")


def _root_of(subject: Any) -> str:
    """Directory of the author's code, as a replica knows it: of the file, or of its topmost package."""
    name = getattr(subject, "__module__", "") or ""
    top = sys.modules.get(name.partition(".")[0])
    module = sys.modules.get(name)
    file = getattr(top, "__file__", None) or getattr(module, "__file__", None)
    return os.path.dirname(os.path.abspath(file)) if file else os.getcwd()  # noqa: PTH100, PTH109, PTH120 - as there
