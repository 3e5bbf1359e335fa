"""One plain HTTP call to a running server, for the commands that ask it something."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator
from typing import IO, Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from sojourn.cli.tls_probe import hint_at_https
from sojourn.errors import ClientError, ConnectionFailedError, ConnectionLostError

DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_ADMIN_URL = "http://127.0.0.1:8081"
API_KEY_VARIABLE = "SOJOURN_API_KEY"
UNAUTHENTICATED = 401
ADMIN_TIMEOUT_S = 10.0
_ANSWER_BYTES_MAX = 1024**3


class Answer(msgspec.Struct, frozen=True):
    """What the server sent back; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether the call succeeded."""
        return 200 <= self.status < 300

    @property
    def message(self) -> str:
        """What the server said of a failure, and of a request it does not know the sender of, which key was sent."""
        try:
            error = json.loads(self.body)
            said = f"{error['error']} ({self.status} {error['code']}, request {error['request_id']})"
        except (ValueError, KeyError, TypeError):
            said = f"status {self.status}: {self.body[:200].decode('utf-8', 'replace')}"
        return f"{said}\n{key_hint()}" if self.status == UNAUTHENTICATED else said


def call(
    method: str,
    url: str,
    path: str,
    *,
    timeout_s: float,
    body: bytes | IO[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Send one request and read its answer.

    Args:
        method: HTTP method.
        url: Where the server is, such as `http://127.0.0.1:8081`.
        path: Path under it, already quoted.
        timeout_s: Longest silence of the server, in seconds.
        body: Body to send.
        headers: Headers to send.

    Raises:
        ClientError: The URL is not one, or nobody answers there.
    """
    with opened(method, url, path, timeout_s=timeout_s, body=body, headers=headers) as response:
        return read_answer(response, url)


def api_key() -> str:
    """The key in SOJOURN_API_KEY; empty if there is none.

    Raises:
        ClientError: It has characters that no header can carry; it is not repeated.
    """
    key = os.environ.get(API_KEY_VARIABLE, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ClientError(
            f"{API_KEY_VARIABLE} has characters no key has; set it to the text `sojourn key create` showed"
        )
    return key


def key_header() -> dict[str, str]:
    """The header that carries the key, if there is one."""
    key = api_key()
    return {"authorization": f"Bearer {key}"} if key else {}


def key_hint() -> str:
    """What to do where a server asks for a key, or does not honour the one that was sent."""
    if api_key():
        return f"the key in {API_KEY_VARIABLE} was sent; set it to one that this server knows"
    return f"no key was sent: set {API_KEY_VARIABLE} to one of this server's (export {API_KEY_VARIABLE}=sj_...)"


def tls_trouble(err: ssl.SSLError) -> str:
    """Why no TLS connection was made, and what to do."""
    if isinstance(err, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not trusted ({err.verify_message}); if it is one of your own, name it with "
            "SSL_CERT_FILE=cert.pem"
        )
    if err.reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"}:
        return "the server does not speak TLS there; write http:// instead of https://"
    return f"no TLS connection ({err.reason or err})"


def read_answer(response: http.client.HTTPResponse, url: str) -> Answer:
    """All of an answer whose head is here.

    Raises:
        ClientError: It was cut off.
    """
    content = response.read(_ANSWER_BYTES_MAX)
    if response.length:
        raise ClientError(f"{url}: the answer was cut off, {response.length} bytes of it are missing")
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)


@contextlib.contextmanager
def opened(
    method: str,
    url: str,
    path: str,
    *,
    timeout_s: float,
    body: bytes | IO[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """An answer whose head is here and whose body is not read yet; arguments and errors as those of `call`."""
    place = _place(url)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(place.hostname or "", place.port, timeout=timeout_s)
    except (ValueError, http.client.InvalidURL) as err:
        raise ClientError(f"{url!r} is not a usable URL: {err}") from err
    sent = {**key_header(), **(headers or {})}
    is_connected = False
    try:
        connection.connect()
        is_connected = True
        connection.request(method, place.path.rstrip("/") + path, body, sent)
        yield connection.getresponse()
    except TimeoutError as err:
        raise ClientError(f"{url}: no answer within {timeout_s:g} s") from err
    except ssl.SSLError as err:
        raise ClientError(f"{url}: {tls_trouble(err)}") from err
    except (ConnectionError, socket.gaierror, OSError) as err:
        if not is_connected:
            raise ConnectionFailedError(
                f"cannot reach a server at {url} ({err.strerror or err}); start one with: sojourn serve, or sojourn serve app.py"
            ) from err
        if hint := hint_at_https(place):
            raise ClientError(f"{url}: {hint}") from err
        raise ConnectionLostError(
            f"{url}: the connection broke before the answer was here ({err.strerror or err}); did the server end?"
        ) from err
    except http.client.HTTPException as err:
        what = hint_at_https(place) or f"not an HTTP answer ({type(err).__name__}); is this the right port?"
        raise ClientError(f"{url}: {what}") from err
    finally:
        connection.close()


@contextlib.contextmanager
def another_named(how: str = "--admin-url or SOJOURN_ADMIN_URL") -> Iterator[None]:
    """Where no server answers, say how to name another one.

    Raises:
        ClientError: The same, and how.
    """
    try:
        yield
    except ConnectionLostError:  # it was the right one
        raise
    except ClientError as err:
        raise type(err)(f"{err}\nname another server with {how}") from err


def admin_json(admin_url: str, path: str, *, method: str = "GET", content: Any = None) -> Any:
    """The decoded answer of the admin port.

    Args:
        admin_url: Where it is.
        path: Path under it, already quoted.
        method: HTTP method.
        content: Plain data to send as JSON; None sends nothing.

    Raises:
        ClientError: Nobody answers, or the answer is an error or not JSON; the text says which URL and what to do.
    """
    body = None if content is None else json.dumps(content).encode()
    headers = {} if body is None else {"content-type": "application/json"}
    with another_named():
        answer = call(method, admin_url, path, timeout_s=ADMIN_TIMEOUT_S, body=body, headers=headers)
    check_admin(answer, admin_url)
    try:
        return json.loads(answer.body)
    except ValueError as err:
        raise ClientError(f"{admin_url}{path}: the answer is not JSON; is this the admin port?") from err


def check_admin(answer: Answer, admin_url: str) -> None:
    """Pass over a good answer of the admin port.

    Raises:
        ClientError: It is none; the text says what the server said, or that this is the other port.
    """
    if answer.status == 404 and _is_inference_port(admin_url):
        raise ClientError(
            f"{admin_url} is an inference port; the admin port is the other one of the server's ready line. "
            "Name it with --admin-url or SOJOURN_ADMIN_URL"
        )
    if not answer.is_good:
        raise ClientError(answer.message)


def _is_inference_port(url: str) -> bool:
    try:
        answer = call("GET", url, "/livez", timeout_s=ADMIN_TIMEOUT_S)
    except ClientError:
        return False
    return answer.is_good  # the admin port has no such path


def _place(url: str) -> SplitResult:
    try:
        place = urlsplit(url)
        is_usable = (
            place.scheme in {"http", "https"} and bool(place.hostname) and (place.port is None or place.port > 0)
        )
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ClientError(f"{url!r} is not a usable URL; write it like {DEFAULT_ADMIN_URL}")
    return place
