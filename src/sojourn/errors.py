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
```

The expected end of a request is data (`sojourn.domain.request.Outcome`), never an exception.
"""

from __future__ import annotations


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
    """A call to a running server failed; the message repeats what the server said."""
