"""What both clients are made of: their settings, and a transport to each port."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from sojourn.client.endpoint import Endpoint
from sojourn.client.retry import RetryPolicy
from sojourn.client.session import IDLE_S, Sending, Session
from sojourn.domain.rng import Rng

if TYPE_CHECKING:
    from sojourn.client.async_transport import AsyncTransport
    from sojourn.client.blocking_transport import BlockingTransport

TransportT = TypeVar("TransportT", bound="BlockingTransport | AsyncTransport")
SleptT = TypeVar("SleptT")


class Shell(Generic[TransportT, SleptT]):
    """A client before it can do anything; arguments and errors are those of `Client`.

    Each kind of client says what its transports and its sleep are, and carries out the steps of `sojourn.client.course`.
    """

    _transport_of: ClassVar[Any]
    _sleep_of: ClassVar[Any]

    def __init__(
        self,
        url: str | None = None,
        admin_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 60.0,
        connect_timeout_s: float = 5.0,
        connections: int = 128,
        verify: bool | str | ssl.SSLContext = True,
        retry: RetryPolicy | None = None,
        rng: Rng | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], SleptT] | None = None,
    ) -> None:
        self._session = Session(
            url,
            admin_url,
            api_key,
            timeout_s=timeout_s,
            connect_timeout_s=connect_timeout_s,
            connections=connections,
            verify=verify,
            retry=retry or RetryPolicy(),
            rng=rng,
            clock=clock,
        )
        self._sleep: Callable[[float], SleptT] = sleep or self._sleep_of
        self._inference: TransportT = self._transport(self._session.endpoint)
        self._admin: TransportT = self._transport(self._session.admin_endpoint)

    @property
    def url(self) -> str:
        """Where it sends items."""
        return str(self._session.endpoint)

    @property
    def admin_url(self) -> str:
        """Where it asks for all else."""
        return str(self._session.admin_endpoint)

    @property
    def retries_left(self) -> float:
        """What the retry budget holds."""
        return self._session.budget.left

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r}, {self.admin_url!r})"

    def _transport(self, endpoint: Endpoint) -> TransportT:
        session = self._session
        transport = self._transport_of(
            endpoint,
            session.tls_of(endpoint),
            connections=session.connections,
            connect_timeout_s=session.connect_timeout_s,
            idle_s=IDLE_S,
            clock=session.clock,
        )
        return cast("TransportT", transport)

    def _way_of(self, sending: Sending) -> TransportT:
        """The transport of what is to be sent."""
        return self._admin if sending.is_admin else self._inference

    def _close(self) -> None:
        self._inference.close()
        self._admin.close()
