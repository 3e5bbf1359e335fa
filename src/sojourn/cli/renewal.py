"""Keeps the certificate of a running server as fresh as its files."""

from __future__ import annotations

import asyncio

from sojourn.access.certificate import RENEWAL_LOOK_S, Certificate
from sojourn.errors import StartError
from sojourn.telemetry.events import PlatformEvents

_LOOKS_PER_REMINDER = int(24 * 3600 / RENEWAL_LOOK_S)


async def keep_renewed(certificate: Certificate, events: PlatformEvents) -> None:
    """Take up files that were replaced, and say once a day when the certificate is about to expire; runs until cancelled."""
    look = 0
    while True:
        if look % _LOOKS_PER_REMINDER == 0 and certificate.days_left is not None:
            events.warning(
                "tls.expires_soon",
                certificate=str(certificate.cert_path),
                days_left=certificate.days_left,
                remedy="replace the files of --tls-cert and --tls-key; they are taken up without a restart",
            )
        look += 1
        await asyncio.sleep(RENEWAL_LOOK_S)
        try:
            if await asyncio.to_thread(certificate.renew):
                events.info("tls.renewed", certificate=str(certificate.cert_path))
        except StartError as err:
            remedy = "correct the files; the certificate before them is still shown"
            events.error("tls.not_renewed", cause=str(err), remedy=remedy)
