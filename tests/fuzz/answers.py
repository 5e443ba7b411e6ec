"""Hostile answers: bodies of every shape with values that nobody expects, error texts, and broken HTTP around them."""

import gzip
import json
import random
import zlib
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from typing import Any, Final

#: What a daemon keeps secret; servers send it back wherever text can stand.
KEY: Final = "sk-fuzz-0123456789abcdef0123456789"
#: The same as a header of its own; it looks like no key.
PASSPHRASE: Final = "correct-horse-battery-staple"
SECRETS: Final = (KEY, PASSPHRASE)

# fmt: off
_ATOMS: Final = (
    "word ", "a", "你好", "ไทยภาษา", "\u0301", "\u0323", "\u200b", "\u200d", "\u202e", "\ufeff", "\uff9e", "\u2028", "\0", "\n", "\r\n\r\n",
    "\x1b[2J", "\ud800", "(", "[", "<v a", "<b ", "</", "&#" + "9" * 40 + ";", "{\\an8}", "-->", "<|0.00|>", "[00:00.00]", "NOTE ", "WEBVTT\n",
    "00:00:01,000 --> 00:00:00,000\n", "{}", "%s", "♪ ", "Thank you. ", f" {KEY} ", f" {PASSPHRASE} ", "👨‍👩‍👧", "i" * 999,
)
_ODD: Final[tuple[Any, ...]] = (
    0, -1, 1, 0.2, 1e300, -1e300, 5e-324, float("nan"), float("inf"), -float("inf"), 10**19, -(2**63), 10**4000, 1 << 31, None, True, False,
    "", "0.1", "1e999", "00:00:01.000", "NaN", "-5s", [], {}, [[]], {"": {}}, [0, 1], {"text": "a"}, "@DEEP@",
)
_AMOUNTS: Final = (-1, 0, 1, 17, 4096, 26214400, 2**31, 2**63, 10**30, 1e-9, 0.5, "1e9", "NaN", "9" * 5000, "", "٣")
_STATUSES: Final = (
    201, 202, 204, 206, 300, 301, 302, 304, 307, 308, 400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 411, 413, 414, 415, 418, 421, 422, 424,
    425, 426, 428, 429, 431, 451, 498, 499, 500, 501, 502, 503, 504, 507, 511, 520, 524, 529, 599, 999,
)
_WAITS: Final = (*_AMOUNTS, "Wed, 21 Oct 9999 07:28:00 GMT", "1ms", "5m0s", "0x10")
_HINTS: Final = ("Retry-After", "retry-after-ms", "x-ratelimit-reset-requests", "X-RateLimit-Remaining", "Date", "WWW-Authenticate")
_LOCATIONS: Final = ("http://[", "//", "/v1", "http://\u202e.test:99999/", "file:///etc/passwd", "http://127.0.0.1:1/v1", "\x01", f"/{PASSPHRASE}", f"//{KEY}/{PASSPHRASE}?{PASSPHRASE}")
_TYPES: Final = ("application/json", "text/plain", "text/html", "text/vtt", "text/event-stream", "", "a" * 4000)
_CHARSETS: Final = ("", "", "; charset=utf-8", "; charset=utf-16", "; charset=zip", "; charset=" + ';="' * 900)
_CLOCKS: Final = ("00:00:00,000", "00:01.500", "99:99:99,999", "-1:00:00.0", "9" * 300 + ":00", "1e9")
_SIZES: Final = (b"-5", b"+5", b"0x5", b" 5 ", b"5;" + b"a" * 9000, b"f" * 16, b"f" * 9000, b"", b"\xff", b"5_0", b"1" + b"0" * 40)
_LENGTHS: Final = (b"-5", b"0", b"5", b"999", b"9" * 5000, b"1e3", b"24, 24", b"24\r\nContent-Length: 3", b"\xff", b"2_4", b" 24")
_STATUS_LINES: Final = (
    b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/9.9 200 OK", b"HTTP/1.1 " + b"2" * 5000, b"HTTP/1.1 -200 OK", b"HTTP/1.1 2e2 OK", b"\0" * 99, b"ICY 200 OK",
    b"SSH-2.0-x", b"\x16\x03\x01\x02", b"HTTP/1.1 200 " + b"O" * 99_999, b"HTTP/1.0 200 OK", b"HTTP/1.1 000 x", b"HTTP/1.1 \xb2\xb2\xb2 x",
    PASSPHRASE.encode(), b"HTTP/1.1 " + KEY.encode(), b"HTTP/1.1 200 " + PASSPHRASE.encode(),
)
_HEADERS: Final = (
    b"X: y\r\n" * 3000, b"X: " + b" \r\n y" * 300_000 + b"\r\n", b"\r \n", b": \r\n", b"X\r\n", b"\0: \0\r\n", b"Set-Cookie: a=b\r\n" * 99,
    b"Content-Type: " + b";a=" * 4000 + b"\r\n", b"X: " + KEY.encode() + b"\r\n", PASSPHRASE.encode() + b"\r\n", b" X: y\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Content-Encoding: " + b"gzip," * 3000 + b"\r\n", b"Link: " + b"<" * 9000 + b"\r\n", b"Connection: " + b"close," * 2000 + b"\r\n",
)
# fmt: on
_COMPLAINTS: Final = (
    "Maximum content size limit ({}) exceeded ({} bytes read)",
    "audio duration {} seconds is longer than {} seconds which is the maximum for this model",
    "Audio file is too short. Minimum audio length is {} seconds.",
    "Unknown parameter: 'timestamp_granularities'. {}",
    "Unrecognized request argument supplied: language, prompt, temperature, response_format, file, model {}",
    "response_format 'verbose_json' is not compatible with model 'x', use 'json' or '{}' instead",
    "Unsupported file format {}. Supported formats: ['flac', '{}', 'wav']",
    "Rate limit reached for whisper-1 in organization: Limit {}, Used {}. Please try again in {}s.",
    "You exceeded your current quota {}",
    "Incorrect API key provided: " + KEY,
    f"Access denied due to invalid subscription key {PASSPHRASE}, or {KEY}{PASSPHRASE}: {{}}",
    "Invalid value for 'prompt': at most {} tokens; 'language': {} is not one of ['en']",
    "The model `{}` does not exist",
    "[{{'loc': ['body', 'file'], 'msg': 'field required', 'limit': {}}}]",
)
#: Bytes to send, or seconds to wait before the next ones.
Chunk = bytes | float


@dataclass(frozen=True)
class Hostile:
    """One answer: what it is called in the table, and what goes over the wire."""

    kind: str
    chunks: Iterable[Chunk]
    #: The connection is left open for a next request.
    keep: bool = False


def drawn(chance: random.Random) -> Hostile:
    """Draw a hostile answer."""
    draw = chance.random()
    if draw < 0.45:
        return _plain(chance, *_body(chance), 200)
    if draw < 0.65:
        return _plain(chance, *_error(chance), chance.choice(_STATUSES))
    kind = chance.choice(sorted(_FRAMINGS))
    return Hostile(f"framing: {kind}", _FRAMINGS[kind](chance), keep=chance.random() < 0.3)


def _plain(chance: random.Random, kind: str, body: bytes, status: int) -> Hostile:
    """Return a body in proper HTTP, but perhaps packed, with odd headers, or of another character set."""
    packing = chance.choice(("", "", "", "", "", "gzip", "deflate", "gzip, gzip", "br", "identity"))
    if packing == "gzip":
        body = gzip.compress(body)
    elif packing == "deflate":
        body = zlib.compress(body)
    sort = chance.choice(_TYPES) + chance.choice(_CHARSETS)
    headers = {"Content-Type": sort, "Content-Encoding": packing, **(_hints(chance) if status != 200 else {})}
    return Hostile(kind, [_head(status, {k: v for k, v in headers.items() if v}, body), body], keep=True)


def _head(status: int, headers: Mapping[str, object], body: bytes) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Odd\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode("utf-8", "surrogatepass")


def _hints(chance: random.Random) -> dict[str, object]:
    """Draw headers that come with errors: when to ask again, and where."""
    found: dict[str, object] = {name: chance.choice(_WAITS) for name in chance.sample(_HINTS, 3)}
    return found | {"Location": chance.choice(_LOCATIONS)}


def text(chance: random.Random) -> str:
    """Draw a text: often one that is just short enough to be believed, sometimes one of up to 200,000 characters."""
    few = chance.sample(_ATOMS, chance.randrange(1, 4)) if chance.random() < 0.6 else _ATOMS
    size = chance.choice((1, 3, 20, 2000, 2000, 20_000, 60_000))
    return "".join(chance.choices(few, k=size))[: chance.choice((900, 1950, 20_000, 200_000))]


def _body(chance: random.Random) -> tuple[str, bytes]:
    kind = chance.choice(("segments", "segments", "shapes", "captions", "events", "page", "bomb", "noise"))
    if kind == "segments":
        body = _written(chance, _transcript(chance))
    elif kind == "shapes":
        body = _written(chance, _mutated(chance, _shape(chance)))
    elif kind == "captions":
        body = _captions(chance)
    elif kind == "events":
        parts = [
            _written(chance, _mutated(chance, {"type": "transcript.text.delta", "delta": text(chance)}))
            for _ in range(9)
        ]
        end = chance.choice((b"\n\n", b"\n", b"\r\r"))
        body = b"".join(b"data: " + part + end for part in parts) + b"data: [DONE]\n\n"
    elif kind == "page":
        body = f"<!doctype html><title>{text(chance)}</title><p>{text(chance)}".encode("utf-8", "replace")
    elif kind == "bomb":
        unit = chance.choice(
            (b"{", b"[", b'{"text":', b" ", b"\n", b'"a",', b"{}\n", b"1\n00:00:00,000 --> 00:00:01,000\na\n\n")
        )
        body = unit * chance.choice((900, 100_000, 3_000_000 // len(unit)))
    else:
        body = chance.randbytes(chance.choice((0, 1, 50, 5000)))
    if chance.random() < 0.2:
        body = mutated_bytes(chance, body)
    return f"body: {kind}", body


def _transcript(chance: random.Random) -> dict[str, Any]:
    """Return a verbose_json answer whose times, texts and numbers may be anything."""
    many, seconds = chance.choice((0, 1, 5, 30, 390, 390, 1200, 6000)), chance.choice((0.4, 3.0, 60.0))

    def time(about: float) -> object:
        return about if chance.random() < 0.8 else chance.choice(_ODD)

    def items(name: str, count: int) -> list[Any]:
        short = chance.choice(("so", "\u200b", "a" + "\u0301" * 40, text(chance)[:200]))
        step = seconds / max(count, 1)
        found = [{name: short, "start": time(n * step), "end": time((n + 1) * step), "id": n} for n in range(count)]
        if chance.random() < 0.3:
            chance.shuffle(found)
        return found

    segments = items("text", many)
    for segment in segments[:20]:
        if chance.random() < 0.3:
            segment["words"] = items("word", chance.choice((4, 60)))
            segment["no_speech_prob"], segment["speaker"] = time(0.1), text(chance)[:50]
    said = chance.choice((text(chance), " ".join(str(item["text"]) for item in segments[:50]), "", "Thank you."))
    answer = {"text": said, "segments": segments, "words": items("word", many), "duration": time(seconds)}
    return answer if chance.random() < 0.5 else _mutated(chance, answer)


def _shape(chance: random.Random) -> dict[str, Any]:
    """Return an answer as other servers write it."""
    said = text(chance)[:2000]
    words = [{"word": "a", "start": 0, "end": 1}]
    cue = {"timestamps": {"from": "00:00:00,000", "to": "00:00:01,000"}, "offsets": {"from": 0}, "text": said}
    shapes: tuple[dict[str, Any], ...] = (
        {"text": said},
        {"text": said, "chunks": [{"timestamp": [0.0, 1.0], "text": said}, {"timestamp": [1.0, None], "text": "b"}]},
        {"transcription": [cue, cue]},
        {"results": {"channels": [{"alternatives": [{"transcript": said, "words": words}]}]}},
        {"error": {"message": said, "code": chance.choice(_ODD), "type": None}},
        {"status": "processing", "id": said, "result": None},
        {"segments": {str(n): {"text": said, "start": n} for n in range(9)}},
        {"output": {"text": [said] * 9}, "usage": {"seconds": chance.choice(_ODD)}},
    )
    return deepcopy(chance.choice(shapes))


def _mutated(chance: random.Random, tree: dict[str, Any]) -> dict[str, Any]:
    """Change some places of a JSON tree: another value, another name, a deep or repeated one."""
    for _ in range(chance.randrange(1, 4)):
        place: Any = tree
        while True:
            keys = list(place) if isinstance(place, dict) else range(len(place))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(place[key], dict | list) and place[key] and chance.random() < 0.8:
                place = place[key]
                continue
            place[key] = deepcopy(chance.choice((*_ODD, text(chance)[:500], place[key])))
            if isinstance(place, dict) and chance.random() < 0.3:
                place[chance.choice(("text", "start", "end", "words", "error", "from", text(chance)[:20]))] = place.pop(
                    key
                )
            break
    return tree


def _written(chance: random.Random, tree: object) -> bytes:
    deep = chance.choice((10, 900, 100_000))
    written = json.dumps(tree, ensure_ascii=chance.random() < 0.5).replace('"@DEEP@"', "[" * deep + "]" * deep)
    return written.encode(chance.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig", "latin-1")), "replace")


def _captions(chance: random.Random) -> bytes:
    def clock() -> str:
        return chance.choice(_CLOCKS)

    lines = [
        chance.choice(
            ("", "WEBVTT\n\n", "\ufeff", "1\n", "[Script Info]\n", "start\tend\ttext\n", "STYLE\n::cue{}\n\n")
        )
    ]
    for number in range(chance.choice((1, 3, 300, 9000))):
        times = (f"{clock()} --> {clock()}", f"[{clock()}]", f"{clock()}\t{clock()}\t", f"<|{number}.00|>", "NOTE x")
        mark = chance.choice(times)
        lines.append(f"{number}\n{mark}\n{text(chance)[: chance.choice((5, 40, 3000))]}\n\n")
        if sum(map(len, lines)) > 2_000_000:
            break
    return "".join(lines).encode("utf-8", "replace")


def _error(chance: random.Random) -> tuple[str, bytes]:
    message = chance.choice(_COMPLAINTS).format(*(chance.choice((*_AMOUNTS, text(chance)[:99])) for _ in range(3)))
    message += text(chance) if chance.random() < 0.3 else ""
    sort = chance.choice(("object", "plain", "page", "list", "other body"))
    if sort == "other body":
        return "error: other body", _body(chance)[1]
    param = chance.choice(("file", "model", None, message))
    tree: Any = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}}
    if sort == "object" and chance.random() < 0.3:
        tree = _mutated(chance, tree)
    detail = json.dumps({"detail": [{"msg": message}] * 99})
    body = {"object": json.dumps(tree), "plain": message, "page": "<title>" * 900 + message, "list": detail}[sort]
    return f"error: {sort}", body.replace('"@DEEP@"', "[" * 900).encode("utf-8", "replace")


def mutated_bytes(chance: random.Random, data: bytes, *, changes: int = 5) -> bytes:
    """Change some bytes: others instead, some more, some less, a part repeated, the end cut off."""
    found = bytearray(data)
    for _ in range(chance.randrange(1, changes + 1)):
        at = chance.randrange(len(found) + 1)
        size = chance.choice((1, 1, 2, 4, 8, 100))
        deed = chance.randrange(5)
        if deed == 0:
            found[at : at + size] = chance.randbytes(size)
        elif deed == 1:
            found[at:at] = chance.choice((b"\0", b"\xff", b"\n", b"\xed\xa0\x80", b"\xef\xbb\xbf")) * size
        elif deed == 2:
            del found[at : at + size]
        elif deed == 3:
            found[at:at] = found[at : at + 1000] * chance.choice((1, 9))
        else:
            # Lengths stand in headers in either order of bytes.
            number = chance.choice((0, 1, 7, 8, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0))
            found[at : at + 4] = number.to_bytes(4, chance.choice(("big", "little")))
    return bytes(found[: chance.randrange(len(found) + 1)] if chance.random() < 0.15 else found)


_OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_GOOD: Final = b'{"text": "Hello there."}'
_WHOLE: Final = b"Content-Length: %d\r\n\r\n%b" % (len(_GOOD), _GOOD)
_CHUNKED: Final = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


@cache
def _bomb(unit: bytes) -> Iterable[Chunk]:
    packer = zlib.compressobj(9, wbits=31)
    packed = b"".join(packer.compress(unit * 1_000_000) for _ in range(200)) + packer.flush()
    return [_OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed), packed]


_FRAMINGS: Final[Mapping[str, Callable[[random.Random], Iterable[Chunk]]]] = {
    "chunk sizes": lambda chance: [_CHUNKED, chance.choice(_SIZES) + b"\r\n" + _GOOD + b"\r\n0\r\n\r\n"],
    "lengths": lambda chance: [_OK + b"Content-Length: " + chance.choice(_LENGTHS) + b"\r\n\r\n" + _GOOD],
    "status lines": lambda chance: [chance.choice(_STATUS_LINES) + b"\r\n" + _WHOLE],
    "headers": lambda chance: [_OK + chance.choice(_HEADERS) + _WHOLE],
    "drip": lambda chance: [
        _OK + b"Content-Length: 900\r\n\r\n",
        *(part for _ in range(chance.randrange(9, 200)) for part in (b" ", 0.1)),
    ],
    "dripped head": lambda chance: [
        _OK,
        *(part for _ in range(chance.randrange(9, 99)) for part in (b"X: y\r\n", 0.1)),
        _WHOLE,
    ],
    "silence": lambda chance: [chance.choice((0.5, 20.0)), _OK + _WHOLE],
    "interim answers": lambda chance: [
        *repeat(b"HTTP/1.1 %d Wait\r\n\r\n" % chance.choice((100, 101, 102, 103, 199)), chance.choice((1, 50, 50_000))),
        _OK + _WHOLE,
    ],
    "early close": lambda chance: [(_OK + _WHOLE)[: chance.randrange(90)]],
    "two answers": lambda _: [(_OK + _WHOLE) * 2],
    "answer without end": lambda chance: [
        _CHUNKED,
        *repeat(chance.choice((b"1\r\na\r\n", b"10000\r\n%b\r\n" % (b" " * 65536))), 30_000),
    ],
    "tiny chunks": lambda _: [_CHUNKED + b"1\r\n \r\n" * 99_999, b"18\r\n" + _GOOD + b"\r\n0\r\n\r\n"],
    "trailers": lambda _: [_CHUNKED + b"18\r\n" + _GOOD + b"\r\n0\r\n" + b"X: y\r\n" * 9000 + b"\r\n"],
    "packed bomb": lambda chance: _bomb(chance.choice((b" ", b"[", b'{"text":'))),
    "noise": lambda chance: [chance.randbytes(chance.choice((1, 100, 100_000)))],
}
