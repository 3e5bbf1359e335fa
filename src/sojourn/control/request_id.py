"""The id that joins a request, its answer and the log lines about it."""

from __future__ import annotations

import re
import secrets

_ACCEPTABLE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


def request_id(offered: bytes | None) -> str:
    """The client's own id if it is harmless to repeat in headers and logs, else a new one."""
    if offered is not None and _ACCEPTABLE.fullmatch(offered):
        return offered.decode("ascii")
    return secrets.token_hex(8)
