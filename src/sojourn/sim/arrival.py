"""One arrival of a simulated request, where more than its instant matters."""

from __future__ import annotations

import msgspec

from sojourn.domain.request import Priority


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A request to come; streams of arrivals may hold bare instants instead.

    Args:
        at_s: When its last byte is received, in seconds from the start of the run.
        weight: How many ordinary items it is worth in service time, > 0.
        body_bytes: Size of its body.
        priority: Its class.
        client_timeout_s: How long its client says it waits, in seconds; None if it does not say.
        patience_s: After this its client goes away without a word, in seconds; None: it waits.
    """

    at_s: float
    weight: float = 1.0
    body_bytes: int = 0
    priority: int = Priority.DEFAULT
    client_timeout_s: float | None = None
    patience_s: float | None = None


Arriving = float | Arrival
