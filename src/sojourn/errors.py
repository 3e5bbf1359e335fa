"""Every exception this package raises on purpose, in one tree.

```
SojournError
├── ConfigurationError      settings, objectives, targets: wrong before anything ran
│   ├── ObjectiveError      an objective text that cannot be read (points at the place)
│   └── TargetError         the user's file or function is missing or cannot be imported
├── UnknownFunctionError    an operator named a function that is not deployed
├── DeploymentError         what was to be deployed or rolled back cannot be; what is served stays as it is
│   └── BundleError         an archive of source code that is not taken: hostile, broken or too large
├── StateError              the durable state cannot be read or written, or is of another version
├── ProtocolError           bytes on a socket that break the framing or the handshake
├── StartError              the server could not start (port in use, state dir locked, ...)
├── MeasurementError        a function could not be measured: a replica did not start, failed or was too slow
└── ClientError             a call to a running server did not succeed
    ├── RequestError            what was asked cannot be done as it is; the same request fails again
    │   ├── MalformedError          the body or a header cannot be understood (400, 408, 413, 415, ...)
    │   ├── ItemInvalidError        the item is not what the function takes (422), or cannot be sent
    │   ├── UnauthenticatedError    no valid API key (401)
    │   ├── ForbiddenError          not allowed (403)
    │   ├── NotDeployableError      what was to be deployed, rolled back or deleted cannot be (400, 409, 422)
    │   └── NotFoundError           no such function, revision or request, or none this key may see (404)
    ├── FunctionError           the function itself failed
    │   ├── FunctionRaisedError     it raised (500)
    │   ├── BadResultError          it gave a wrong number of results, none, or what cannot be encoded (500)
    │   └── ItemFailedError         it said that this item failed (`sojourn.ItemError`, with its status)
    ├── RefusedError            not taken, so it did not run: come back after `retry_after_s`
    │   ├── OverloadedError         it could not be served in time (429)
    │   └── UnavailableError        no replica, or the server is starting or ending (503)
    ├── ExpiredError            its time passed: told by the server (504), or no answer came within it
    ├── ReplicaLostError        its replica died; it may have run (502)
    ├── ServerError             the server failed, or said something no other class stands for
    ├── RolloutFailedError      a deployed revision did not go live
    ├── UnusableAnswerError     the answer is not one of this server's: a proxy's page, or of another type
    └── ConnectionFailedError   the server cannot be reached: it did not run
        └── ConnectionLostError     the connection broke once the request was sent: it may have run
```

The expected end of a request is data (`sojourn.domain.request.Outcome`), never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class SojournError(Exception):
    """Base of all errors raised by this package; its text says what, where and how to fix it."""


class ConfigurationError(SojournError):
    """Settings that cannot be used; all faults found are named in one message."""


class ObjectiveError(ConfigurationError):
    """An objective text that cannot be read; the message marks the place."""


class TargetError(ConfigurationError):
    """The file, module or function to serve is missing or fails to import."""


class UnknownFunctionError(SojournError):
    """No function of that name is deployed; the message names those that are."""


class DeploymentError(SojournError):
    """Something that cannot be deployed, rolled out or rolled back; what is served stays as it is."""


class BundleError(DeploymentError):
    """An archive of source code that is not taken; the message names the entry and the rule."""


class StateError(SojournError):
    """The durable state cannot be read or written, is damaged, or is of another version."""


class ProtocolError(SojournError):
    """Bytes that break the replica protocol: framing, lengths, version or token."""


class StartError(SojournError):
    """The server could not start; the message names the cause and the remedy."""


class MeasurementError(SojournError):
    """A function could not be measured; the message repeats what its replica said."""


class ClientError(SojournError):
    """A call to a running server failed; the message repeats what the server said.

    Args:
        message: What failed, where, and how to fix it.
        status: HTTP status of the answer; None if there was none.
        code: Stable name of the error as the server tells it, such as `"overloaded"`; empty if it told none.
        request_id: What the request is called in the server's traces and logs; empty if it had no name.
        retry_after_s: When to come back, in seconds; None if the server did not say.
    """

    attempts = 1  # how often the request was sent

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        request_id: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        told = [str(self.status)] if self.status is not None else []
        told += [self.code] if self.code else []
        told = [" ".join(told)] if told else []
        told += [f"request {self.request_id}"] if self.request_id else []
        return f"{self.message} ({', '.join(told)})" if told else self.message


class RequestError(ClientError):
    """What was asked cannot be done as it is; the same request would fail again."""


class MalformedError(RequestError):
    """The body or a header cannot be understood, is too large, or came too slowly."""


class ItemInvalidError(RequestError):
    """The item is not of the type that the function takes, or has no form in which it could be sent."""


class UnauthenticatedError(RequestError):
    """The server wants an API key: none was sent, or it is unknown, expired or revoked."""


class ForbiddenError(RequestError):
    """The server does not allow this."""


class NotDeployableError(RequestError):
    """What was to be deployed, rolled back or deleted cannot be: a refused archive, a failed import, a conflict."""


class NotFoundError(RequestError):
    """No function, revision or request of that name is there, or none that this key may see."""


class FunctionError(ClientError):
    """The function itself failed; its author can mend it."""


class FunctionRaisedError(FunctionError):
    """The function raised; the message names the author's line."""


class BadResultError(FunctionError):
    """The function gave a wrong number of results, none, or one that cannot be encoded."""


class ItemFailedError(FunctionError):
    """The function said that this item failed, by `sojourn.ItemError`; `status` is the one it chose."""


class RefusedError(ClientError):
    """The server did not take the request, so that it did not run; it may be sent again later."""


class OverloadedError(RefusedError):
    """The request could not be served in time, or found no room."""


class UnavailableError(RefusedError):
    """No replica can be started, or the server is starting or ending."""


class ExpiredError(ClientError):
    """The time of the request passed before there was an answer."""


class ReplicaLostError(ClientError):
    """The replica that ran the request died; it may have had its effects."""


class ServerError(ClientError):
    """The server failed, or answered with an error that no other class stands for."""


class RolloutFailedError(ClientError):
    """A revision that was deployed did not go live; the one before it is served. `rollouts` has all that is known."""

    rollouts: Mapping[str, object] = MappingProxyType({})  # by function


class UnusableAnswerError(ClientError):
    """The answer is not one that this server gives, or not of the type that was asked for."""


class ConnectionFailedError(ClientError):
    """The server cannot be reached, or the connection broke before the whole request was sent: it did not run."""


class ConnectionLostError(ConnectionFailedError):
    """The connection broke once the request was sent: it may have run."""
