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


def test_openai() -> None:
    body = {
        "error": {"message": "Rate limit reached", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
    }

    assert read(429, body) == Refusal(429, BodyShape.ERROR, "Rate limit reached", "requests", "rate_limit_exceeded")


def test_one_api_with_its_own_error() -> None:
    body = {"error": {"message": "无效的令牌 (request id: 2025)", "type": "one_api_error"}}

    assert read(401, body) == Refusal(401, BodyShape.ERROR, "无效的令牌", "one_api_error", marked=True)


def test_new_api_with_its_own_error() -> None:
    body = {
        "error": {"message": "x (request id: 2025)", "type": "new_api_error", "param": "", "code": "get_channel_failed"}
    }

    assert read(500, body) == Refusal(500, BodyShape.ERROR, "x", "new_api_error", "get_channel_failed", marked=True)


@pytest.mark.parametrize("absent", ["null", "None", "<nil>", "nil", "", None, {}, []])
def test_null_has_many_names(absent: Any) -> None:
    refusal = read(400, {"error": {"message": "x", "type": absent, "param": absent, "code": absent}})

    assert (refusal.kind, refusal.param, refusal.code) == ("", "", "")


def test_litellm_loses_its_prefix_its_tail_and_its_code() -> None:
    body = {
        "error": {
            "message": "litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached for whisper-1"
            ". Received Model Group=whisper-1\nAvailable Model Group Fallbacks=None",
            "type": "throttling_error",
            "param": None,
            "code": "429",
        }
    }

    assert read(429, body) == Refusal(
        429, BodyShape.ERROR, "Rate limit reached for whisper-1", "throttling_error", "429"
    )


def test_portkey_loses_its_prefix() -> None:
    body = {
        "error": {"message": "openai error: Invalid file format.", "type": "invalid_request_error"},
        "provider": "openai",
    }

    assert read(400, body).message == "Invalid file format."


def test_portkey_with_its_own_refusal() -> None:
    body = {"status": "failure", "message": "Either x-portkey-config or x-portkey-provider header is required"}

    assert read(400, body).shape is BodyShape.FAILURE


def test_portkey_with_a_page() -> None:
    refusal = read(502, {"html-message": "<html><head><title>502 Bad Gateway</title></head></html>"})

    assert (refusal.shape, refusal.message) == (BodyShape.HTML, "502 Bad Gateway")


def test_fastapi_with_a_sentence() -> None:
    assert read(403, {"detail": "Invalid API key"}) == Refusal(403, BodyShape.DETAIL, "Invalid API key")


def test_fastapi_with_a_list() -> None:
    body = {"detail": [{"type": "missing", "loc": ["body", "file"], "msg": "Field required"}]}

    assert read(422, body) == Refusal(
        422, BodyShape.DETAIL, "body file: Field required", fields=("file",), missing=True
    )


def test_fastapi_names_the_bracketed_field_without_brackets() -> None:
    body = {"detail": [{"type": "enum", "loc": ["body", "timestamp_granularities[]"], "msg": "no"}, "junk", {"loc": 5}]}

    assert read(422, body).fields == ("timestamp_granularities",)


def test_problem_json() -> None:
    body = {"type": "https://stoplight.io/errors", "title": "Invalid security", "status": 401, "detail": "No bearer"}

    assert (read(401, body).shape, read(401, body).message) == (BodyShape.DETAIL, "No bearer")


def test_a_detail_object_is_read_like_an_error() -> None:
    assert read(400, {"detail": {"message": "x", "code": "c"}}) == Refusal(400, BodyShape.DETAIL, "x", code="c")


def test_vllm_and_localai_have_an_integer_code() -> None:
    refusal = read(400, {"error": {"message": "Maximum file size exceeded", "type": "BadRequestError", "code": 400}})

    assert refusal.code == "400"


def test_a_bare_string_under_error_is_the_message() -> None:
    assert read(500, {"error": "model init failed"}).message == "model init failed"


def test_siliconflow_has_everything_at_the_top() -> None:
    refusal = read(400, {"code": 20012, "message": "Model does not exist", "data": None})

    assert (refusal.shape, refusal.code, refusal.message) == (BodyShape.JSON, "20012", "Model does not exist")


def test_whisper_cpp_writes_plain_text() -> None:
    assert read(400, "Invalid request") == Refusal(400, BodyShape.TEXT, "Invalid request")


def test_a_json_string_is_plain_text() -> None:
    assert read(400, '"Invalid request"') == Refusal(400, BodyShape.TEXT, "Invalid request")


@pytest.mark.parametrize("body", [b"", b" \n", b"\xef\xbb\xbf"])
def test_localai_may_say_nothing(body: bytes) -> None:
    assert read(500, body) == Refusal(500, BodyShape.EMPTY)


def test_nginx_writes_a_page() -> None:
    page = "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n</body></html>"

    assert read(413, page) == Refusal(413, BodyShape.HTML, "413 Request Entity Too Large")


def test_other_json_is_shown_as_it_is() -> None:
    assert read(400, {"foo": 1}) == Refusal(400, BodyShape.JSON, '{"foo": 1}')


# Unwrapping.


def test_one_api_passes_on_what_its_upstream_said() -> None:
    body = {
        "error": {
            "message": "type invalid_request_error, code invalid_api_key, message Incorrect API key provided: sk-x. (request id: 2025)",
            "type": "one_api_error",
            "param": "",
            "code": "request_error",
        }
    }

    assert read(500, body) == Refusal(
        0,
        BodyShape.ERROR,
        "Incorrect API key provided: sk-x.",
        "invalid_request_error",
        "invalid_api_key",
        marked=True,
        relayed=True,
    )


def test_one_api_writes_nil_for_no_code() -> None:
    body = {
        "error": {"message": "type server_error, code <nil>, message Maximum content size", "code": "request_error"}
    }

    assert (read(500, body).kind, read(500, body).code, read(500, body).message) == (
        "server_error",
        "",
        "Maximum content size",
    )


@pytest.mark.parametrize(
    ("param", "message", "status"),
    [("404", "bad response status code 404", 404), ("null", "bad response status code 502", 502), ("", "failed", 429)],
)
def test_the_upstreams_status_counts_behind_a_station(param: str, message: str, status: int) -> None:
    body = {"error": {"message": message, "type": "one_api_error", "param": param, "code": "bad_response_status_code"}}

    refusal = read(429, body)

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
