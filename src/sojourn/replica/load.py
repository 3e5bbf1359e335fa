"""From a spec to a model that has been warmed up, each phase timed; or the one line that says why not."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from sojourn.domain.function import FunctionManifest
from sojourn.errors import TargetError
from sojourn.replica.codec import ItemCodec
from sojourn.replica.confine import limit_hint
from sojourn.replica.model import LOGS_HINT, Model
from sojourn.replica.place import one_line, place_of, place_of_error
from sojourn.replica.process import Terminated
from sojourn.replica.signature import read_signature
from sojourn.replica.target import load_target
from sojourn.wire.message import Done, Run


class LoadFailedError(Exception):
    """The model cannot serve. The text is one line that says why: phase, exception with its text, author's line.

    It does not name the function: whoever shows it does.
    """


class Loading:
    """One cold start inside the replica. Call `import_code`, `construct`, then warm up; each sets its seconds."""

    model_kind: type[Model] = Model

    def __init__(self, manifest: FunctionManifest) -> None:
        self.import_s = self.load_s = self.warmup_s = 0.0
        self._manifest = manifest
        self._name = manifest.name
        self._root = ""

    def import_code(self) -> tuple[Any, bool]:
        """Import the target; the declared class or function, and whether its calls are coroutines.

        Raises:
            LoadFailedError: It is missing or its import failed.
        """
        begun_at_s = monotonic()
        try:
            with _uncollected():
                target = load_target(self._manifest.target, self._manifest.root)
            subject, declaration = target.find(self._manifest.attribute)
            self._signature = read_signature(subject, declaration)
        except TargetError as error:
            if error.__cause__ is None:
                raise LoadFailedError(" ".join(str(error).split())) from None
            folder = os.path.dirname(os.path.abspath(self._manifest.target))  # noqa: PTH100, PTH120
            self._root = self._manifest.root or folder
            raise self.failure("import", error.__cause__) from error.__cause__
        self._root = target.root
        self.import_s = monotonic() - begun_at_s
        return subject, declaration.is_async

    def construct(self, subject: Any) -> Model:
        """Load the model: create the instance of a class; a function is taken as it is.

        Raises:
            LoadFailedError: The constructor raised.
        """
        begun_at_s = monotonic()
        called = self.guard("__init__", subject) if isinstance(subject, type) else subject
        label = f"function {self._name!r} ({place_of(subject)})"
        codec = ItemCodec(self._signature.item_type, label, self._name)
        self.load_s = monotonic() - begun_at_s
        return self.model_kind(self._manifest.settings, called, codec, label, self._root)

    def guard(self, phase: str, step: Callable[[], Any]) -> Any:
        """Run the author's `step`; an error in it becomes the one line that names the author's line."""
        try:
            return step()
        except Terminated:
            raise
        except BaseException as error:  # SystemExit too means that there is no model
            raise self.failure(phase, error) from error

    def failure(self, phase: str, error: BaseException) -> LoadFailedError:
        """The one line for an error in `phase`."""
        place = place_of_error(error, self._root)
        return LoadFailedError(f"{phase} raised {one_line(error)} at {place}{limit_hint(error)}")

    def warm_up(self, model: Model) -> None:
        """Call `warmup()` if there is one, then the function with its examples.

        Raises:
            LoadFailedError: The warm-up raised, or an example was not served.
        """
        begun_at_s = monotonic()
        warmup = getattr(model.called, "warmup", None)
        if warmup is not None:
            settle(self.guard("warmup", lambda: settle(warmup())))
        for run in self.example_runs():
            self.judge(model.run(run, monotonic()))
        self.finish_warm_up(begun_at_s)

    def finish_warm_up(self, begun_at_s: float) -> None:
        """The model stands: note how long the warm-up took, and spare the garbage collector what will stay."""
        gc.freeze()
        self.warmup_s = monotonic() - begun_at_s

    def example_runs(self) -> list[Run]:
        """The declared examples as batches, none longer than the function accepts."""
        bodies = [example.encode() for example in self._manifest.examples]
        size = self._manifest.settings.largest_batch
        return [Run(0, bodies[at : at + size]) for at in range(0, len(bodies), size)]

    def judge(self, done: Done) -> None:
        """Refuse to serve if an example was not."""
        if done.faults:
            message = done.faults[0].message.removeprefix(f"function {self._name!r} ")
            raise LoadFailedError(f"an example failed: {message.removesuffix(LOGS_HINT.format(name=self._name))}")


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage collection while code is imported; what stands then is spared later ones, too.

    An import makes many objects and little garbage: scipy and scikit-learn take 15 % less time for it.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(0)
    try:
        yield
    finally:
        if gc.get_threshold()[0] == 0:  # else the author's code wants it otherwise
            gc.set_threshold(*thresholds)
        gc.freeze()


def settle(value: Any) -> Any:
    """Wait for `value` if a plain function's `warmup` or `close` happens to be `async`."""
    if not hasattr(value, "__await__"):
        return value
    import asyncio  # noqa: PLC0415 - most replicas never need it

    async def wait() -> Any:
        return await value

    return asyncio.run(wait())
