"""What callers are told where no answer came, in the same words by both transports."""

from __future__ import annotations

import ssl
from typing import Final

from sojourn.client.endpoint import Endpoint
from sojourn.errors import ConnectionFailedError, ConnectionLostError, ExpiredError

# The server ends a request by itself when its time is over; its answer, which says why, still has to travel.
ANSWER_GRACE_S: Final = 0.1


def unreachable(endpoint: Endpoint, error: BaseException, within_s: float) -> ConnectionFailedError:
    """No connection could be made."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = "; for a certificate of your own give its file as verify=PATH"
        return ConnectionFailedError(f"{endpoint}: its certificate is not trusted ({error.verify_message}){hint}")
    if isinstance(error, TimeoutError):
        return ConnectionFailedError(f"cannot reach a server at {endpoint}: no connection within {within_s:.3g} s")
    cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return ConnectionFailedError(
        f"cannot reach a server at {endpoint} ({cause}); start one with `sojourn serve app.py`, or give the url of "
        "another (SOJOURN_URL, SOJOURN_ADMIN_URL)"
    )


def lost(endpoint: Endpoint, error: BaseException, *, is_sent: bool) -> ConnectionFailedError:
    """The connection broke."""
    cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if is_sent:
        return ConnectionLostError(
            f"{endpoint}: the connection broke before the answer came ({cause}); it may have run"
        )
    return ConnectionFailedError(f"{endpoint}: the connection broke before the request was sent ({cause})")


def expired(endpoint: Endpoint, *, is_sent: bool) -> ExpiredError:
    """The deadline passed while a connection was in use."""
    what = "no answer came" if is_sent else "the request could not be sent"
    return ExpiredError(f"{endpoint}: {what} within the time of the call (timeout_s)")


def no_room(endpoint: Endpoint, connections: int) -> ExpiredError:
    """The deadline passed while all connections were in use."""
    return ExpiredError(
        f"{endpoint}: none of this client's {connections} connections became free within the time of the call; "
        "raise connections, or ask for less at once"
    )
