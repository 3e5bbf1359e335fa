"""Hostile bytes against the real gateway: one refusal, the end of the connection, and the next client is served."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from http_port import Port, post, run

START = b"POST /functions/echo HTTP/1.1\r\n"
HOST = b"Host: t\r\n"
CHUNKED = START + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = b"POST /functions/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 8\r\n\r\nsmuggled"


def with_fields(*fields, body=b""):
    """A call with these header lines behind Host."""
    return START + HOST + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def length(value, body=b"12345"):
    """A call with this text as its Content-Length."""
    return with_fields(b"Content-Length: " + value, body=body)


def coding(value, body=b"0\r\n\r\n"):
    """A call with this text as its Transfer-Encoding."""
    return with_fields(b"Transfer-Encoding: " + value, body=body)


REFUSED = {
    # Content-Length and Transfer-Encoding, together and each twice
    "length then chunked": (with_fields(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "chunked then length": (with_fields(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"), 400),
    "length then identity": (with_fields(b"Content-Length: 5", b"Transfer-Encoding: identity", body=b"12345"), 400),
    "same length twice": (with_fields(b"Content-Length: 5", b"Content-Length: 5", body=b"12345"), 400),
    "two lengths": (with_fields(b"Content-Length: 5", b"Content-Length: 6", body=b"12345"), 400),
    "length twice, other spelling": (with_fields(b"content-length: 5", b"CONTENT-LENGTH: 0", body=b"12345"), 400),
    "list of lengths": (length(b"5, 5"), 400),
    "length with a plus": (length(b"+5"), 400),
    "length with a minus": (length(b"-5"), 400),
    "minus zero": (length(b"-0"), 400),
    "hexadecimal length": (length(b"0x5"), 400),
    "length in hexadecimal digits": (length(b"a"), 400),
    "length with an underscore": (length(b"1_0"), 400),
    "length with a fraction": (length(b"5.0"), 400),
    "length with an exponent": (length(b"5e0"), 400),
    "length with a space inside": (length(b"5 5"), 400),
    "length of nothing": (length(b""), 400),
    "length in other digits": (length(b"\xd9\xa5"), 400),
    "length in quotes": (length(b'"5"'), 400),
    "length with a vertical tab": (length(b"\x0b5"), 400),
    "length with a form feed": (length(b"5\x0c"), 400),
    "length of 2**64": (length(b"18446744073709551616"), 400),
    "length of 2**64 + 5": (length(b"18446744073709551621"), 400),
    "length of 100 digits": (length(b"9" * 100), 400),
    "length beyond the limit": (length(b"68719476736"), 413),
    "chunked, identity": (coding(b"chunked, identity"), 400),
    "identity": (coding(b"identity"), 501),
    "identity, chunked": (coding(b"identity, chunked"), 501),
    "gzip": (coding(b"gzip"), 501),
    "gzip, chunked": (coding(b"gzip, chunked"), 501),
    "xchunked": (coding(b"xchunked"), 501),
    "chunkedx": (coding(b"chunkedx"), 501),
    "chunked twice in one line": (coding(b"chunked, chunked"), 400),
    "chunked twice in two lines": (
        with_fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
    ),
    "gzip and chunked in two lines": (
        with_fields(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        400,
    ),
    "chunked with a parameter": (coding(b"chunked;q=1"), 501),
    "chunked in quotes": (coding(b'"chunked"'), 501),
    "chunked behind a vertical tab": (coding(b"\x0bchunked"), 400),
    "coding of nothing": (coding(b""), 400),
    "space before the colon of a coding": (with_fields(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400),
    "chunked in HTTP/1.0": (
        b"POST /functions/echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    # Host
    "no host": (START + b"Content-Length: 0\r\n\r\n", 400),
    "two hosts": (with_fields(b"Host: u"), 400),
    "the same host twice": (with_fields(b"host: t"), 400),
    # lines
    "bare LF after the request line": (b"POST /functions/echo HTTP/1.1\nHost: t\r\n\r\n", 400),
    "bare LF after a field": (START + b"Host: t\nContent-Length: 0\r\n\r\n", 400),
    "bare LF at the end of the head": (START + b"Host: t\r\n\n", 400),
    "bare CR in a value": (with_fields(b"X: a\rb"), 400),
    "bare CR in the request line": (b"POST /functions/echo\rx HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "folded line": (with_fields(b"X: a\r\n b"), 400),
    "folded line with a tab": (with_fields(b"X: a\r\n\tb"), 400),
    "folded length": (with_fields(b"Content-Length:\r\n 5", body=b"12345"), 400),
    "first field begins with a space": (START + b" Host: t\r\n\r\n", 400),
    "no colon": (with_fields(b"nothing"), 400),
    "no name": (with_fields(b": x"), 400),
    "space before the colon": (with_fields(b"X : y"), 400),
    "tab before the colon": (with_fields(b"X\t: y"), 400),
    "space in a name": (with_fields(b"X Y: z"), 400),
    "NUL in a name": (with_fields(b"X\x00Y: z"), 400),
    "NUL in a value": (with_fields(b"X: a\x00b"), 400),
    "control character in a name": (with_fields(b"X\x01: z"), 400),
    "control character in a value": (with_fields(b"X: a\x1fb"), 400),
    "DEL in a value": (with_fields(b"X: a\x7fb"), 400),
    "high byte in a name": (with_fields(b"X\xe9: z"), 400),
    "parenthesis in a name": (with_fields(b"X(: z"), 400),
    # request line
    "NUL in the target": (b"POST /functions/\x00echo HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "control character in the target": (b"POST /functions/\x01echo HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "DEL in the target": (b"POST /functions/echo\x7f HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "high byte in the target": (b"POST /functions/echo\xff HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "space in the target": (b"POST /functions/echo x HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "tabs instead of spaces": (b"POST\t/functions/echo\tHTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "space before the method": (b" POST /functions/echo HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "method of nothing": (b"/functions/echo HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "lower-case method": (b"post /functions/echo HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "unknown method": (b"BREW /functions/echo HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "method of 10,000 letters": (b"P" * 10_000 + b" /functions/echo HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "method with a NUL": (b"PO\x00ST /functions/echo HTTP/1.1\r\nHost: t\r\n\r\n", 400),
    "version 1.2": (b"POST /functions/echo HTTP/1.2\r\nHost: t\r\n\r\n", 505),
    "version 0.9": (b"POST /functions/echo HTTP/0.9\r\nHost: t\r\n\r\n", 505),
    "version 2.0": (b"POST /functions/echo HTTP/2.0\r\nHost: t\r\n\r\n", 505),
    "version 1.10": (b"POST /functions/echo HTTP/1.10\r\nHost: t\r\n\r\n", 400),
    "version 1": (b"POST /functions/echo HTTP/1\r\nHost: t\r\n\r\n", 400),
    "version 01.1": (b"POST /functions/echo HTTP/01.1\r\nHost: t\r\n\r\n", 400),
    "version in lower case": (b"POST /functions/echo http/1.1\r\nHost: t\r\n\r\n", 400),
    "another protocol": (b"POST /functions/echo ICAP/1.0\r\nHost: t\r\n\r\n", 400),
    "the HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32 + b"\r\n\r\n", 400),
    "an answer": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400),
    "CONNECT": (b"CONNECT t:80 HTTP/1.1\r\nHost: t\r\n\r\n", 501),
    "upgrade to h2c": (with_fields(b"Connection: Upgrade", b"Upgrade: h2c"), 501),
    "upgrade to websocket": (with_fields(b"Connection: keep-alive, Upgrade", b"Upgrade: websocket"), 501),
    # chunks
    "chunk size with a minus": (CHUNKED + b"-5\r\n12345\r\n0\r\n\r\n", 400),
    "chunk size with a plus": (CHUNKED + b"+5\r\n12345\r\n0\r\n\r\n", 400),
    "chunk size with 0x": (CHUNKED + b"0x5\r\n12345\r\n0\r\n\r\n", 400),
    "chunk size of nothing": (CHUNKED + b"\r\n12345\r\n0\r\n\r\n", 400),
    "chunk size behind a space": (CHUNKED + b" 5\r\n12345\r\n0\r\n\r\n", 400),
    "chunk size before a space": (CHUNKED + b"5 \r\n12345\r\n0\r\n\r\n", 400),
    "chunk size with an underscore": (CHUNKED + b"1_0\r\n12345\r\n0\r\n\r\n", 400),
    "chunk size of no digit": (CHUNKED + b"g\r\n12345\r\n0\r\n\r\n", 400),
    "chunk size of 2**64": (CHUNKED + b"10000000000000000\r\n12345\r\n0\r\n\r\n", 400),
    "chunk size of 2**64 + 5": (CHUNKED + b"10000000000000005\r\n12345\r\n0\r\n\r\n", 400),
    "chunk shorter than it says": (CHUNKED + b"5\r\n1234\r\n0\r\n\r\n", 400),
    "chunk longer than it says": (CHUNKED + b"5\r\n123456\r\n0\r\n\r\n", 400),
    "chunk size ended by LF": (CHUNKED + b"5\n12345\r\n0\r\n\r\n", 400),
    "chunk ended by LF": (CHUNKED + b"5\r\n12345\n0\r\n\r\n", 400),
    "chunk ended by CR": (CHUNKED + b"5\r\n12345\r0\r\n\r\n", 400),
    "last chunk ended by LF": (CHUNKED + b"5\r\n12345\r\n0\n\n", 400),
    "LF in an extension": (CHUNKED + b"5;a\nb\r\n12345\r\n0\r\n\r\n", 400),
    "CR in an extension": (CHUNKED + b"5;a\rb\r\n12345\r\n0\r\n\r\n", 400),
    "NUL in an extension": (CHUNKED + b"5;a\x00b\r\n12345\r\n0\r\n\r\n", 400),
    "trailer ended by LF": (CHUNKED + b"5\r\n12345\r\n0\r\nT: a\n\r\n", 400),
    "folded trailer": (CHUNKED + b"5\r\n12345\r\n0\r\nT: a\r\n b\r\n\r\n", 400),
    "NUL in a trailer": (CHUNKED + b"5\r\n12345\r\n0\r\nT: a\x00\r\n\r\n", 400),
    "space before the colon of a trailer": (CHUNKED + b"5\r\n12345\r\n0\r\nT : a\r\n\r\n", 400),
    # floods
    "six-byte chunks": (CHUNKED + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n", 400),
    "trailers by number": (CHUNKED + b"1\r\nx\r\n0\r\n" + b"T: v\r\n" * 101 + b"\r\n", 431),
    "headers by number": (with_fields(*[b"X: y"] * 101), 431),
    "headers by bytes": (with_fields(*[b"X: " + b"y" * 1000] * 20), 431),
    "one header too long": (with_fields(b"X: " + b"y" * 20_000), 431),
    "one name too long": (with_fields(b"X" * 20_000 + b": y"), 431),
    "target too long": (b"POST /functions/echo?" + b"q" * 9000 + b" HTTP/1.1\r\nHost: t\r\n\r\n", 414),
    "many query keys": (b"POST /functions/echo?" + b"&".join([b"k=v"] * 5000) + b" HTTP/1.1\r\nHost: t\r\n\r\n", 414),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_bytes_get_one_refusal_and_nothing_behind_them_is_parsed(name):
    """Whole and in single bytes: the one answer, `close`, the end, no request run; the next client is served."""
    data, status = REFUSED[name]

    async def scene():
        async with Port() as port:
            for size in (len(data) + len(SMUGGLED), 1, 7):
                if size == 1 and len(data) > 4000:
                    continue  # said at once is said bytewise: floods differ by their sums only
                client = await port.client()
                whole = data + SMUGGLED
                for at in range(0, len(whole), size):
                    await client.send(whole[at : at + size])
                    if size < len(whole):
                        await asyncio.sleep(0)
                answer = await client.answer()
                assert (answer.status, answer.headers[b"connection"]) == (status, b"close")
                assert set(answer.error) == {"error", "code", "request_id"}
                assert await client.rest() == b""
            assert port.service.submitted == []
            assert (await port.one(post(b"next"))).body == b"next"
            assert sum(port.gateway.refused.values()) in {2, 3}

    run(scene)


@pytest.mark.parametrize(
    ("piece", "status"),
    [
        (b"1;" + b"e" * 200 + b"\r\nx\r\n", 400),  # more extension than body
        (b"1\r\nx\r\n", 400),  # chunks of one byte
        (b"0\r\n" + b"T: v\r\n" * 101, 431),  # trailers
        (b"5;" + b"e" * 400, 400),  # one extension
    ],
)
def test_a_flood_without_end_is_cut_off_early(piece, status):
    """A sender that never comes to an end of its framing is refused after little of it, whatever its segments."""

    async def scene():
        async with Port(small_chunks=500) as port:
            client = await port.client()
            await client.send(CHUNKED)
            asking = asyncio.create_task(client.answer())
            sent = 0
            while not asking.done():
                await client.send(piece)
                sent += len(piece)
                assert sent < 10_000_000
                await asyncio.sleep(0)
            answer = await asking
            assert (answer.status, answer.headers[b"connection"]) == (status, b"close")
            assert await client.rest() == b""
            assert port.gateway.held_bytes == 0
            assert (await port.one(post(b"next"))).body == b"next"

    run(scene)


@pytest.mark.parametrize("is_head_known", [False, True])
def test_a_pipelining_flood_is_parsed_up_to_its_limit_only(is_head_known):
    """Ten thousand requests in one write: as many as allowed are run and answered, then 429, `close` and the end."""

    async def scene():
        async with Port(pipelined=16) as port:
            if is_head_known:
                assert (await port.one(post(b"0000"))).status == 200
                port.service.submitted.clear()
            port.service.is_holding = True
            client = await port.client()
            sending = asyncio.create_task(client.send(b"".join(post(b"%04d" % number) for number in range(10_000))))
            await port.service.until(lambda: len(port.service.submitted) == 16)
            assert (await port.one(post(path=b"/functions/turn"))).status == 404
            for number in range(1, 17):
                port.service.answer(number)
            answers = [await client.answer() for _ in range(17)]
            assert [answer.body for answer in answers[:16]] == [b"%04d" % number for number in range(16)]
            assert (answers[16].status, answers[16].headers[b"connection"]) == (429, b"close")
            assert await client.rest() == b""
            assert len(port.service.submitted) == 16
            await client.close()
            await sending
            port.service.is_holding = False
            assert (await port.one(post(b"next"))).body == b"next"

    run(scene)


def test_what_the_standard_allows_is_served():
    """The strange but well-formed: optional white space, empty lines before, spellings, absolute targets, trailers."""
    served = [
        (b"\r\n\r\n" + length(b"5"), b"12345"),
        (with_fields(b"Content-Length:5", body=b"12345"), b"12345"),
        (with_fields(b"cOnTeNt-LeNgTh: \t 5 \t ", body=b"12345"), b"12345"),
        (length(b"0005"), b"12345"),
        (coding(b"Chunked", b"5\r\n12345\r\n0\r\n\r\n"), b"12345"),
        (coding(b"chunked", b"00005;a=b\r\n12345\r\n000\r\nT: v\r\nT: w\r\n\r\n"), b"12345"),
        (coding(b"chunked", b'5;a="b c"\r\n12345\r\n0\r\n\r\n'), b"12345"),
        (with_fields(b"X: \x80\xff \t caf\xc3\xa9", b"X:", b"!#$%&'*+-.^_`|~9: z"), b""),
        (b"POST http://t:8080/functions/echo?a=b HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n1", b"1"),
        (b"POST /functions/%65cho HTTP/1.1\r\nHost:\r\nContent-Length: 1\r\n\r\n1", b"1"),
    ]

    async def scene():
        async with Port() as port:
            client = await port.client()
            for data, body in served:
                for _ in range(2):
                    answer = await client.ask(data)
                    assert (answer.status, answer.body) == (200, body), data

    run(scene)
