"""The certificate a server shows: loaded, checked as a client would check it, and renewed when its files change."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sojourn.errors import StartError

RENEWAL_LOOK_S: Final = 10.0
_SOON_S: Final = 14 * 24 * 3600.0
_DAY_S: Final = 24 * 3600.0
_HANDSHAKE_TURNS_MAX: Final = 10
# Verification results of OpenSSL (X509_V_ERR_...).
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10

_Stamp = tuple[tuple[int, int, int, int], ...]


class Certificate:
    """A certificate and its key, shown by every port that got `context`; TLS 1.2 is the least that is spoken.

    Construct, `load`, and call `renew` every few seconds: files that were replaced are taken up for new
    connections if they are good, so that no renewal needs a restart or a signal.

    Args:
        cert_path: PEM file of the certificate, then those of its issuers if need be.
        key_path: PEM file of its private key, without a pass phrase.
        wall_clock: Seconds since the epoch.
    """

    def __init__(self, cert_path: Path, key_path: Path, wall_clock: Callable[[], float] = time.time) -> None:
        self.cert_path = cert_path
        self.key_path = key_path
        self.context = _server_context()
        self.ends_at_s = 0.0  # seconds since the epoch
        self._wall_clock = wall_clock
        self._stamp: _Stamp | None = None  # of the files that were read last
        self._seen: _Stamp | None = None  # of those there were at the last look

    def load(self) -> None:
        """Read both files.

        Raises:
            StartError: They cannot be used; the text says which, why and what to do.
        """
        self._stamp = self._seen = self._stamp_now()
        fresh = self._read(_server_context())
        self.ends_at_s = self._checked(fresh)
        self._read(self.context)

    def renew(self) -> bool:
        """Take up the files if they changed and have been the same for two looks; whether that was done.

        Raises:
            StartError: They changed and cannot be used; the certificate shown stays what it was. Told once per change.
        """
        before, self._seen = self._seen, self._stamp_now()
        if self._seen == self._stamp or self._seen != before:  # one file may be replaced, and the other not yet
            return False
        self.load()
        return True

    @property
    def days_left(self) -> float | None:
        """Days until it expires if that is within two weeks; else None."""
        left_s = self.ends_at_s - self._wall_clock()
        return round(left_s / _DAY_S, 1) if left_s < _SOON_S else None

    def _stamp_now(self) -> _Stamp | None:
        """What changes with the files' content; None while one of them is missing."""
        try:
            found = [path.stat() for path in (self.cert_path, self.key_path)]
        except OSError:
            return None
        return tuple((one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for one in found)

    def _read(self, context: ssl.SSLContext) -> ssl.SSLContext:
        for path, flag in ((self.cert_path, "--tls-cert"), (self.key_path, "--tls-key")):
            try:
                path.open("rb").close()
            except OSError as err:
                raise StartError(f"{flag} {path}: cannot be read ({err.strerror}); name a PEM file") from err
        try:
            context.load_cert_chain(self.cert_path, self.key_path, password=_no_pass_phrase)
        except _PassPhraseAskedError as err:
            raise StartError(
                f"--tls-key {self.key_path}: the key is encrypted, and nobody is there to type its pass phrase; "
                "give a key without one, readable by the server only"
            ) from err
        except ssl.SSLError as err:
            if err.reason == "KEY_VALUES_MISMATCH":
                raise StartError(
                    f"--tls-key {self.key_path} is not the key of --tls-cert {self.cert_path}; "
                    "name the two files that were made together"
                ) from err
            raise StartError(
                f"--tls-cert {self.cert_path} and --tls-key {self.key_path}: not a certificate and a private key "
                f"in PEM form ({err.reason or err}); PEM files hold blocks that begin with -----BEGIN"
            ) from err
        return context

    def _checked(self, server: ssl.SSLContext) -> float:
        """When the certificate ends, in seconds since the epoch.

        A handshake in memory shows it to a client of our own, which trusts it alone: what is wrong with it for
        every client is wrong here.
        """
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            client.load_verify_locations(self.cert_path)
            shown = _shown(server, client)
        except ssl.SSLCertVerificationError as err:
            cause = {_EXPIRED: "has expired", _NOT_YET_VALID: "is not valid yet (is the clock of this machine right?)"}
            told = cause.get(err.verify_code, f"would be refused by clients ({err.verify_message})")
            raise StartError(f"--tls-cert {self.cert_path}: the certificate {told}; give a valid one") from err
        except ssl.SSLError as err:
            raise StartError(f"--tls-cert {self.cert_path}: no TLS connection can be made with it ({err})") from err
        return float(ssl.cert_time_to_seconds(shown["notAfter"]))


class _PassPhraseAskedError(Exception):
    """The key's file is encrypted."""


def _no_pass_phrase() -> str:
    # Without an answer of ours OpenSSL would ask at the terminal, and wait.
    raise _PassPhraseAskedError


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _shown(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    """The certificate a server with this context shows to a client, after both have agreed."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_side=False)
    for _ in range(_HANDSHAKE_TURNS_MAX):
        waiting = False
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                waiting = True
        if not waiting:
            break
    shown = theirs.getpeercert()
    if not shown:
        raise ssl.SSLError("the handshake did not end")
    return shown
