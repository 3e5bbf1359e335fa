"""`python -m sojourn.replica`: one replica, told by a line of JSON on its standard input what to be."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from sojourn.errors import ProtocolError
from sojourn.replica.confine import confine
from sojourn.replica.life import live, read_told
from sojourn.replica.load import Loading
from sojourn.replica.log import tell
from sojourn.replica.process import Terminated, die_with_parent, end_on_signals, leave
from sojourn.replica.threads import set_thread_counts
from sojourn.wire.spec import ReplicaSpec


def main() -> NoReturn:
    """Be the replica that the spec describes; ends the process."""
    end_on_signals()
    try:
        spec = read_told(ReplicaSpec)
        if not die_with_parent(spec.launcher_pid):
            leave(1)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # whole lines, while they are news
        os.environ.update(spec.environment)
        set_thread_counts(spec.manifest.settings)
    except Terminated:
        leave(0)
    except ProtocolError as error:
        tell(f"replica: {error}")
        leave(1)
    live(spec, Loading(spec.manifest), confine)


if __name__ == "__main__":
    main()
