"""What every error of either port says, in one shape."""

from __future__ import annotations

import msgspec


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every error answer.

    Args:
        error: What is wrong, where, and how to fix it.
        code: Its stable name, for programs.
        request_id: The request's name, as in the header `x-request-id`; the server's log has it too.
    """

    error: str
    code: str
    request_id: str
