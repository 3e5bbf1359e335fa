"""Which addresses a server may listen on: beyond this machine only with keys, and better with a certificate."""

from __future__ import annotations

from pathlib import Path

from sojourn.config.load import is_loopback
from sojourn.config.settings import ServerSettings, flag_of
from sojourn.errors import StartError
from sojourn.telemetry.events import PlatformEvents


def refuse_open_bind(settings: ServerSettings, state_dir: Path, *, has_keys: bool, keeps_keys: bool) -> None:
    """Keep a server without keys from listening where other machines could call it.

    Args:
        settings: Where it is to listen.
        state_dir: Where its keys would be.
        has_keys: Whether it has any.
        keeps_keys: Whether the directory outlives it.

    Raises:
        StartError: It would; the message says how to make a key, and what else can be done.
    """
    if has_keys or settings.allow_anonymous or not (beyond := _beyond_loopback(settings)):
        return
    where = str(state_dir) if keeps_keys else "DIR"
    then = "" if keeps_keys else ", and serve with --state-dir DIR"
    stay = " ".join(f"{flag_of(name)} 127.0.0.1" for name in beyond)
    raise StartError(
        f"{_listed(settings, beyond)}: other machines could call without a key, for there is none.\n"
        f"  make one:             sojourn key create --state-dir {where} --label NAME --scope admin{then}\n"
        f"  or stay on this one:  {stay}\n"
        "  or, where the network itself keeps strangers out: --allow-anonymous"
    )


def warn_of_bind(settings: ServerSettings, events: PlatformEvents, *, has_keys: bool) -> None:
    """Say what is risky about where the server listens."""
    beyond = _beyond_loopback(settings)
    if not beyond:
        return
    addresses = _listed(settings, beyond)
    if not has_keys:
        events.warning(
            "server.anonymous",
            addresses=addresses,
            cause="whoever reaches these addresses may do everything, for there is no key",
            remedy="sojourn key create",
        )
    elif settings.tls_cert is None:
        events.warning(
            "server.plain_http",
            addresses=addresses,
            cause="keys and data cross the network in clear text",
            remedy="give --tls-cert and --tls-key, or put a proxy that ends TLS in front, on this machine",
        )


def _beyond_loopback(settings: ServerSettings) -> list[str]:
    return [name for name in ("host", "admin_host") if not is_loopback(getattr(settings, name))]


def _listed(settings: ServerSettings, names: list[str]) -> str:
    return ", ".join(f"{flag_of(name)} {getattr(settings, name)}" for name in names)
