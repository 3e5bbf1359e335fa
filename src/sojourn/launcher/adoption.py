"""For as long as replicas are being forked, processes below us that lose their parent become our children."""

from __future__ import annotations

import ctypes

_PR_SET_CHILD_SUBREAPER = 36


class Adoption:
    """Counts the forks under way in this process and has the kernel send us their orphans meanwhile.

    Only meanwhile: what else loses its parent later is no business of ours, and nobody here would reap it.
    """

    def __init__(self) -> None:
        self._under_way = 0

    def begin(self) -> None:
        """A fork is asked for; `end` must follow once its process is known, or known not to be."""
        self._under_way += 1
        if self._under_way == 1:
            _set_subreaper(1)

    def end(self) -> None:
        """That fork is over."""
        self._under_way -= 1
        if self._under_way == 0:
            _set_subreaper(0)


# The kernel keeps one such flag per process, so there is one count.
ADOPTION = Adoption()


def _set_subreaper(flag: int) -> None:
    # Where the kernel has no such thing, the replica finds another parent than us, says so and ends.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, flag, 0, 0, 0)
