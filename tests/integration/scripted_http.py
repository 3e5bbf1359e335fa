"""A server of a few lines that says exactly what a test wants, and both clients behind one face."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Self

import sojourn

Handler = Callable[[socket.socket, bytes], bool]  # gets a request's bytes; whether the connection stays


class ScriptedServer:
    """Answers every request by `handler(link, request)`, each connection in a thread of its own.

    Args:
        handler: Writes whatever it wants; may raise OSError when the client is gone.
        tls: Speaks TLS.
        port: 0 for any.
    """

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._handler = handler
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self.hung_up = threading.Semaphore(0)  # released when a client ended its connection
        self.ending = threading.Event()
        self._links: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.ending.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        self.hang_up()
        for thread in self._threads[1:]:
            thread.join()

    def hang_up(self) -> None:
        """End all connections."""
        for link in self._links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                self.connections += 1
                self._links.append(link)
                thread = threading.Thread(target=self._serve, args=(link,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError), link:
            talk = self._tls.wrap_socket(link, server_side=True) if self._tls else link
            with talk:
                while request := read_request(talk):
                    self.requests.append(request)
                    if not self._handler(talk, request):
                        break
        self.hung_up.release()


def read_request(link: socket.socket) -> bytes:
    """One request with its body; empty if the client ended before its head was whole."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = link.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(header_of(data, "content-length") or 0)
    if header_of(data, "x-request-id") == "unread":
        return data
    while len(body) < length:
        part = link.recv(65536)
        if not part:
            return b""
        body += part
    return head + b"\r\n\r\n" + body


def header_of(request: bytes, name: str) -> str | None:
    """The value of a header of a request."""
    for line in request.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]:
        key, _, value = line.decode().partition(":")
        if key.lower() == name:
            return value.strip()
    return None


def answering(status: int, body: bytes = b"1", **headers: str) -> Handler:
    """A handler that always says this."""

    def handle(link: socket.socket, request: bytes) -> bool:
        link.sendall(answer(status, body, **headers))
        return True

    return handle


def answer(status: int, body: bytes = b"1", **headers: str) -> bytes:
    """The bytes of an answer."""
    fields = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} x\r\n{lines}\r\n".encode() + body


def one_after_the_other(*handlers: Handler) -> Handler:
    """Each request gets the next handler; the last one stays."""
    waiting = list(handlers)

    def handle(link: socket.socket, request: bytes) -> bool:
        return (waiting.pop(0) if len(waiting) > 1 else waiting[0])(link, request)

    return handle


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept_s: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)


class EitherClient:
    """`Client` or `AsyncClient`, called in the same way: `either("invoke", "f", 1)`."""

    def __init__(self, kind: str, url: str, *, clock: Clock | None = None, **given: object) -> None:
        self._runner = asyncio.Runner() if kind == "async" else None
        if clock is not None:
            given |= {"clock": clock, "sleep": clock.sleep_async if self._runner else clock.sleep}
        self.client = (sojourn.AsyncClient if self._runner else sojourn.Client)(url, url, **given)

    def __call__(self, method: str, *arguments: object, **given: object) -> object:
        result = getattr(self.client, method)(*arguments, **given)
        return self._runner.run(result) if self._runner else result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._runner:
            self._runner.run(self.client.aclose())
            self._runner.close()
        else:
            self.client.close()
