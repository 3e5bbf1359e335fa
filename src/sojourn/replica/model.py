"""A loaded function: one `Run` in, one `Done` out, whatever the author's code does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from time import monotonic
from typing import Any

from sojourn.declare import ItemError
from sojourn.domain.function import FunctionSettings
from sojourn.domain.request import Fault
from sojourn.errors import ProtocolError
from sojourn.replica.codec import CallFailedError, ItemCodec
from sojourn.replica.confine import limit_hint
from sojourn.replica.log import print_author_traceback, tell
from sojourn.replica.place import place_of_error, sendable
from sojourn.replica.process import Terminated
from sojourn.wire.message import Done, ItemFault, Run

LOGS_HINT = "; `sojourn logs {name}` has the traceback"
_NOT_RESULTS = (str, bytes, bytearray, memoryview, Mapping, AbstractSet)


class Model:
    """The author's function, ready to be called.

    Args:
        settings: Its options.
        called: The function, or the instance of the class.
        codec: Decodes its items and encodes its results.
        label: How faults name it, such as `function 'x' (app.py:12)`.
        root: Directory of the author's code, to find the author's line in a traceback.
    """

    def __init__(
        self, settings: FunctionSettings, called: Callable[[Any], Any], codec: ItemCodec, label: str, root: str
    ) -> None:
        self.settings = settings
        self.called = called
        self.codec = codec
        self._label = label
        self._root = root
        self._call = self._call_batch if settings.batchable else self._call_each

    def run(self, run: Run, received_at_s: float) -> Done:
        """Serve a batch by calling a plain function; whatever its code does, there is a `Done`.

        Args:
            run: The batch.
            received_at_s: When its bytes had been received, in monotonic seconds.

        Raises:
            Terminated: This process was asked to end meanwhile.
            ProtocolError: The batch makes no sense.
        """
        try:
            items, positions, faults = self.codec.decode(run.bodies, run.kinds)
            decoded_at_s = monotonic()
            results = self._call(items) if items else items
            called_at_s = monotonic()
            return self.done(run, (received_at_s, decoded_at_s, called_at_s), positions, faults, results)
        except (Terminated, ProtocolError):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever the author's types and results do when looked at
            return self.gave_up(run, error)

    def done(
        self,
        run: Run,
        stamps_s: tuple[float, float, float],
        positions: list[int] | None,
        faults: list[ItemFault],
        results: Sequence[Any],
    ) -> Done:
        """Encode the results of the valid items and put the answer of the batch together."""
        bodies, kinds, more = self.codec.encode(results, run.kinds, positions, len(run.bodies))
        if more:
            faults = sorted(faults + more, key=lambda fault: fault.position) if faults else more
        received_at_s, decoded_at_s, called_at_s = stamps_s
        return Done(run.batch_id, received_at_s, decoded_at_s, called_at_s, monotonic(), bodies, kinds, faults)

    def checked(self, results: Any, count: int) -> Sequence[Any]:
        """`results` if they are one per item; else a failure in the place of each."""
        if type(results) is list and len(results) == count:
            return results
        if isinstance(results, ItemError):
            return [results] * count
        kind = type(results).__name__
        if hasattr(results, "tolist"):  # arrays and tensors: one conversion instead of one per item
            results = results.tolist()
        if isinstance(results, _NOT_RESULTS) or not isinstance(results, Sequence):
            given = "None" if results is None else f"a {kind}"
            return self._bad(f"returned {given}; it must return a list of {count}, one result per item", count)
        given_count, aligned = len(results), []
        if given_count == count:
            # Read once, here, where what a lazy sequence raises is still the function's; bounded, if it never ends.
            aligned = list(islice(results, count + 1))
            given_count = len(aligned)
        if given_count != count:
            return self._bad(f"returned {given_count} results for {count} items; it must return one per item", count)
        return aligned

    def failed(self, error: BaseException, count: int) -> Sequence[Any]:
        """What stands in place of `count` results when the call raised; the traceback goes to stderr."""
        if isinstance(error, ItemError) and count == 1:
            return [error]
        print_author_traceback(error)
        place = place_of_error(error, self._root)
        name = self.settings.name
        message = f"function {name!r} raised {type(error).__name__} at {place}"
        message += f"{limit_hint(error)}{LOGS_HINT.format(name=name)}"
        return [CallFailedError(Fault.FUNCTION_RAISED, sendable(message))] * count

    def gave_up(self, run: Run, error: BaseException) -> Done:
        """The answer to a batch whose handling itself failed; every `Run` has its `Done`."""
        now_s = monotonic()
        count = len(run.bodies)
        try:
            return self.done(run, (now_s, now_s, now_s), None, [], self.failed(error, count))
        except Terminated:
            raise
        except BaseException:  # noqa: BLE001 - not even the failure can be told
            return unanswerable(run.batch_id, count)

    def _bad(self, what: str, count: int) -> Sequence[Any]:
        message = f"{self._label} {what}"
        tell(message)  # the author reads it in the replica's log
        return [CallFailedError(Fault.BAD_RESULT, message)] * count

    def _call_batch(self, items: list[Any]) -> Sequence[Any]:
        count = len(items)  # the function may change its list
        try:
            return self.checked(self.called(items), count)
        except Terminated:
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit too fails this batch, not the replica
            return self.failed(error, count)

    def _call_each(self, items: list[Any]) -> Sequence[Any]:
        results: list[Any] = []
        for item in items:
            try:
                results.append(self.called(item))
            except Terminated:
                raise
            except BaseException as error:  # noqa: BLE001 - as above
                results += self.failed(error, 1)
        return results


def nobody_waits(run: Run) -> Done:
    """The answer to a batch that was cancelled: no item was served, nobody is told."""
    now_s = monotonic()
    faults = [ItemFault(position, Fault.CLIENT_GONE, 0, "cancelled") for position in range(len(run.bodies))]
    return Done(run.batch_id, now_s, now_s, now_s, now_s, [b""] * len(run.bodies), b"", faults)


def unanswerable(batch_id: int, count: int) -> Done:
    """The last resort: an answer that nothing of the author's has a part in."""
    now_s = monotonic()
    text = "the answer of this batch could not be put together"
    faults = [ItemFault(position, Fault.BAD_RESULT, 0, text) for position in range(count)]
    return Done(batch_id, now_s, now_s, now_s, now_s, [b""] * count, b"", faults)
