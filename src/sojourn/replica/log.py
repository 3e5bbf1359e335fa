"""What a replica writes to its own log, which is its standard error; writing never fails and never ends a replica."""

from __future__ import annotations

import sys

from sojourn.replica.place import is_own_file, one_line
from sojourn.replica.process import Terminated


def tell(text: str) -> None:
    """Write `text` as lines of their own; dropped where the author has closed or replaced standard error."""
    try:
        print(text, file=sys.stderr)  # noqa: T201 - the replica's log is its stderr
    except Terminated:
        raise
    except BaseException:  # noqa: BLE001, S110 - whatever stands in `sys.stderr` now, its failure is not the batch's
        pass


def print_author_traceback(error: BaseException) -> None:
    """The traceback on stderr, as `author_traceback` gives it."""
    tell(author_traceback(error))


def author_traceback(error: BaseException) -> str:
    """The traceback of a caught exception, without the frames of this package and of imports above the author's."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and is_own_file(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    try:
        import traceback  # noqa: PLC0415 - paid only when something went wrong

        return "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n")
    except Terminated:
        raise
    except BaseException:  # noqa: BLE001 - an exception of the author's may not even print
        return one_line(error)
