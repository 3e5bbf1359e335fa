"""Where a server may listen: beyond this machine only with keys, or with a word of consent."""

from pathlib import Path

import pytest

from sojourn.cli.bind_rule import refuse_open_bind, warn_of_bind
from sojourn.config.settings import ServerSettings
from sojourn.errors import StartError
from sojourn.telemetry.events import PlatformEvents
from sojourn.telemetry.log import EventLog

EVERYWHERE = "0.0.0.0"  # noqa: S104 (never bound)
KEPT = Path("/kept")


def settings(**given):
    """Settings with these."""
    return ServerSettings(state_dir=KEPT, **given)


def warned(given, *, has_keys):
    """Names of the events that tell of a risk."""
    events = PlatformEvents(EventLog())
    warn_of_bind(given, events, has_keys=has_keys)
    return [event.event for event in events.ring.latest(10).events]


@pytest.mark.parametrize(
    "given", [{"host": EVERYWHERE}, {"admin_host": "::"}, {"host": "db", "admin_host": EVERYWHERE}]
)
def test_without_a_key_only_this_machine_may_call(given):
    """Either port; the message has the three ways out, with what was given."""
    with pytest.raises(StartError) as told:
        refuse_open_bind(settings(**given), KEPT, has_keys=False, keeps_keys=True)
    text = str(told.value)
    assert "sojourn key create --state-dir /kept --label NAME --scope admin\n" in text
    assert "--allow-anonymous" in text
    for name, value in given.items():
        flag = "--" + name.replace("_", "-")
        assert f"{flag} {value}" in text
        assert f"{flag} 127.0.0.1" in text
    with pytest.raises(StartError, match="serve with --state-dir DIR"):
        refuse_open_bind(settings(**given), KEPT, has_keys=False, keeps_keys=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_loopback_needs_no_key_and_no_warning(host):
    """By any of its names."""
    given = settings(host=host, admin_host=host)
    refuse_open_bind(given, KEPT, has_keys=False, keeps_keys=True)
    assert warned(given, has_keys=False) == warned(given, has_keys=True) == []


def test_beyond_it_keys_or_consent_let_a_server_start_and_the_risk_is_told():
    """Without keys, in clear text; with a certificate there is nothing to tell."""
    consent, plain = settings(host=EVERYWHERE, allow_anonymous=True), settings(host=EVERYWHERE)
    secure = settings(host=EVERYWHERE, tls_cert="a", tls_key="b")
    refuse_open_bind(consent, KEPT, has_keys=False, keeps_keys=True)
    refuse_open_bind(plain, KEPT, has_keys=True, keeps_keys=True)
    assert warned(consent, has_keys=False) == ["server.anonymous"]
    assert warned(plain, has_keys=True) == ["server.plain_http"]
    assert warned(secure, has_keys=True) == []
