"""Every shape of error body, what relays wrap around it, and when they want to be asked again."""

import json
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.client.refusal import LONGEST_WAIT, BodyShape, Refusal, is_station, refusal_of, wait_asked
from watcher.client.upload import HttpResponse

NOW = 1_790_000_000.0


def read(status: int, body: Any, **headers: str) -> Refusal:
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return refusal_of(
        HttpResponse(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw), now=NOW
    )


# Body shapes, one for each kind of server.


def error(message: str, kind: Any = "", code: Any = "", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code, **more}}


LITELLM = "litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached for whisper-1"
PAGE = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n</body></html>"
#: What each server sends, with its status, and how it is read.
BODIES: dict[str, tuple[int, Any, Refusal]] = {
    "openai": (
        429,
        error("Rate limit reached", "requests", "rate_limit_exceeded", param=None),
        Refusal(429, BodyShape.ERROR, "Rate limit reached", "requests", "rate_limit_exceeded"),
    ),
    "one-api's own": (
        401,
        error("无效的令牌 (request id: 2025)", "one_api_error"),
        Refusal(401, BodyShape.ERROR, "无效的令牌", "one_api_error", marked=True),
    ),
    "new-api's own": (
        500,
        error("x (request id: 2025)", "new_api_error", "get_channel_failed"),
        Refusal(500, BodyShape.ERROR, "x", "new_api_error", "get_channel_failed", marked=True),
    ),
    "one-api, passing on what its upstream said": (
        500,
        error(
            "type invalid_request_error, code invalid_api_key, message Incorrect API key provided: sk-x. (request id: 2025)",
            "one_api_error",
            "request_error",
        ),
        Refusal(
            0,
            BodyShape.ERROR,
            "Incorrect API key provided: sk-x.",
            "invalid_request_error",
            "invalid_api_key",
            marked=True,
            relayed=True,
        ),
    ),
    "one-api, passing on no code": (
        500,
        error("type server_error, code <nil>, message Maximum content size", code="request_error"),
        Refusal(0, BodyShape.ERROR, "Maximum content size", "server_error", relayed=True),
    ),
    "litellm, without its prefix, its tail and its code": (
        429,
        error(
            f"{LITELLM}. Received Model Group=whisper-1\nAvailable Model Group Fallbacks=None",
            "throttling_error",
            "429",
        ),
        Refusal(429, BodyShape.ERROR, "Rate limit reached for whisper-1", "throttling_error", "429"),
    ),
    "portkey, without its prefix": (
        400,
        {**error("openai error: Invalid file format.", "invalid_request_error"), "provider": "openai"},
        Refusal(400, BodyShape.ERROR, "Invalid file format.", "invalid_request_error"),
    ),
    "portkey's own": (
        400,
        {"status": "failure", "message": "x-portkey-provider header is required"},
        Refusal(400, BodyShape.FAILURE, "x-portkey-provider header is required"),
    ),
    "portkey with a page": (
        502,
        {"html-message": "<html><head><title>502 Bad Gateway</title></head></html>"},
        Refusal(502, BodyShape.HTML, "502 Bad Gateway"),
    ),
    "fastapi with a sentence": (403, {"detail": "Invalid API key"}, Refusal(403, BodyShape.DETAIL, "Invalid API key")),
    "fastapi with a list": (
        422,
        {"detail": [{"type": "missing", "loc": ["body", "file"], "msg": "Field required"}]},
        Refusal(422, BodyShape.DETAIL, "body file: Field required", fields=("file",), missing=True),
    ),
    "problem json": (
        401,
        {"type": "https://stoplight.io/errors", "title": "Invalid security", "status": 401, "detail": "No bearer"},
        Refusal(401, BodyShape.DETAIL, "No bearer"),
    ),
    "an object under detail": (
        400,
        {"detail": {"message": "x", "code": "c"}},
        Refusal(400, BodyShape.DETAIL, "x", code="c"),
    ),
    "vllm and localai, with an integer for a code": (
        400,
        error("Maximum file size exceeded", "BadRequestError", 400),
        Refusal(400, BodyShape.ERROR, "Maximum file size exceeded", "BadRequestError", "400"),
    ),
    "a bare string under error": (
        500,
        {"error": "model init failed"},
        Refusal(500, BodyShape.ERROR, "model init failed"),
    ),
    "siliconflow, with everything at the top": (
        400,
        {"code": 20012, "message": "Model does not exist", "data": None},
        Refusal(400, BodyShape.JSON, "Model does not exist", code="20012"),
    ),
    "whisper.cpp with plain text": (400, "Invalid request", Refusal(400, BodyShape.TEXT, "Invalid request")),
    "a json string": (400, '"Invalid request"', Refusal(400, BodyShape.TEXT, "Invalid request")),
    **{
        f"localai with nothing: {body!r}": (500, body, Refusal(500, BodyShape.EMPTY))
        for body in (b"", b" \n", b"\xef\xbb\xbf")
    },
    "nginx with a page": (413, PAGE, Refusal(413, BodyShape.HTML, "413 Request Entity Too Large")),
    "other json": (400, {"foo": 1}, Refusal(400, BodyShape.JSON, '{"foo": 1}')),
}


@pytest.mark.parametrize("kind", BODIES)
def test_the_refusal_of_every_kind_of_server_is_read(kind: str) -> None:
    status, body, refusal = BODIES[kind]

    assert read(status, body) == refusal


@pytest.mark.parametrize("absent", ["null", "None", "<nil>", "nil", "", None, {}, []])
def test_null_has_many_names(absent: Any) -> None:
    refusal = read(400, error("x", absent, absent, param=absent))

    assert (refusal.kind, refusal.param, refusal.code) == ("", "", "")


def test_fastapi_names_the_bracketed_field_without_brackets() -> None:
    body = {"detail": [{"type": "enum", "loc": ["body", "timestamp_granularities[]"], "msg": "no"}, "junk", {"loc": 5}]}

    assert read(422, body).fields == ("timestamp_granularities",)


# Unwrapping.


@pytest.mark.parametrize(
    ("param", "message", "status"),
    [("404", "bad response status code 404", 404), ("null", "bad response status code 502", 502), ("", "failed", 429)],
)
def test_the_upstreams_status_counts_behind_a_station(param: str, message: str, status: int) -> None:
    refusal = read(429, error(message, "one_api_error", "bad_response_status_code", param=param))

    assert (refusal.status, refusal.relayed) == (status, True)


def test_a_station_shows_in_its_headers() -> None:
    assert is_station(HttpResponse(200, {"x-oneapi-request-id": "2025"}, b""))
    assert is_station(HttpResponse(200, {"x-new-api-version": "v1"}, b""))
    assert not is_station(HttpResponse(200, {"x-request-id": "req_1"}, b""))


def test_openais_request_id_is_no_mark_of_a_station() -> None:
    message = "The server had an error. Please include the request ID req_5 in your message. (Request ID req_5)"

    assert not read(500, {"error": {"message": message, "type": "server_error"}}).marked


# When to ask again.


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "-5", "retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "999999"}, LONGEST_WAIT),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, None),
        ({"retry-after": formatdate(NOW + 999_999, usegmt=True)}, LONGEST_WAIT),
        ({"retry-after": formatdate(130, usegmt=True), "date": formatdate(100, usegmt=True)}, 30.0),
        ({"retry-after": "Wed, 99 Foo 2026 00:00:00 GMT"}, None),
    ],
)
def test_the_wait_asked_for_is_read(headers: dict[str, str], expected: float | None) -> None:
    assert wait_asked(headers, now=NOW) == expected


def test_a_redirects_target_is_kept() -> None:
    assert read(302, "", location="https://h/login").location == "https://h/login"
    assert read(200, "", location="https://h/login").location == ""


# What comes from a server is data.


def test_a_message_is_one_printable_line_of_bounded_length() -> None:
    refusal = read(500, {"error": {"message": "a\x1b[31m\r\nb" + "c" * 5000}})

    assert refusal.message.startswith("a [31m b")
    assert len(refusal.message) <= 1000
    assert refusal.message.isprintable()


def test_an_error_nested_as_deeply_as_can_be_read_is_shown() -> None:
    """Writing needs a little more of the stack than reading: at one depth the second failed, and the recording with it."""
    for depth in range(700, 1000):
        refusal = refusal_of(HttpResponse(400, {}, b'{"x": ' + b"[" * depth + b"]" * depth + b"}"), now=NOW)
        assert refusal.message.startswith(("{'x", '{"x'))


def test_a_page_of_megabytes_is_read_in_part() -> None:
    assert read(502, "<title>x</title>" + "y" * 10_000_000).message == "x"


@given(
    st.integers(100, 599), st.binary(max_size=100), st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text())
)
def test_any_refusal_is_read(status: int, body: bytes, headers: dict[str, str]) -> None:
    assert refusal_of(HttpResponse(status, headers, body), now=NOW).message.isprintable()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "type", "code", "param", "detail", "loc", "status", "html-message"]),
            children,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@pytest.mark.parametrize("kind", [[], {}, ["extra_forbidden"], {"extra_forbidden": 1}])
def test_a_kind_of_complaint_that_is_no_word_says_nothing(kind: Any) -> None:
    body = {"detail": [{"loc": ["body", "prompt"], "msg": "no", "type": kind}]}

    assert read(422, body) == Refusal(422, BodyShape.DETAIL, "body prompt: no", fields=("prompt",))


@given(json_values)
def test_any_json_is_read(value: Any) -> None:
    assert read(500, value).message.isprintable()
