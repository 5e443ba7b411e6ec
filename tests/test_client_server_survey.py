import socket
import ssl
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from support import certificates
from support.scripted import Reply, sequence, serving

from watcher.client import Endpoint
from watcher.client.server_survey import ServerSurvey, survey

NOW = 1_790_000_000.0


def look(url: str, **options: Any) -> ServerSurvey:
    return survey(Endpoint(url, key="sk-topsecret", **options), clock=lambda: NOW)


@pytest.fixture
def tls(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return certificates.serving_with(certificate)


def test_a_server_that_lists_its_models_is_reached() -> None:
    no_names = [{"id": 5}, "junk", {"id": "a\nforged: line"}, {"id": "\x1b[2J"}, {"id": "x" * 1000}]
    listed = {"object": "list", "data": [{"id": "whisper-1"}, {"id": "large-v3"}, *no_names]}
    headers = [("Date", formatdate(NOW - 90, usegmt=True))]
    with serving(sequence(Reply(listed, headers=headers))) as server:
        seen = look(server.url)

    assert seen == ServerSurvey(
        "127.0.0.1", ("127.0.0.1",), status=200, models=("whisper-1", "large-v3"), clock_ahead=90.0
    )
    asked = server.asked[0]
    assert (asked.method, asked.path, asked.headers["Authorization"]) == ("GET", "/v1/models", "Bearer sk-topsecret")


def test_the_certificates_end_is_reported(
    tls: ssl.SSLContext,
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    with serving(sequence(Reply({"data": []})), tls=tls) as server:
        seen = survey(Endpoint(server.url))

    assert seen.certificate_days is not None
    assert 1.0 < seen.certificate_days <= 2.0


def test_an_untrusted_certificate_is_reported(tls: ssl.SSLContext) -> None:
    with serving(sequence(Reply({"data": []})), tls=tls) as server:
        seen = look(server.url)

    assert "certificate" in seen.unreachable
    assert "REQUESTS_CA_BUNDLE" in seen.hint


def test_a_refusal_is_reported_without_the_key() -> None:
    refused = {"error": {"message": "Incorrect API key provided: sk-topsecret " + "x" * 500}}
    with serving(sequence(Reply(refused, status=401))) as server:
        seen = look(server.url)

    assert seen.status == 401
    assert seen.message.startswith("Incorrect API key provided: ***")
    assert len(seen.message) <= 200
    assert "topsecret" not in repr(seen)


def test_a_list_of_more_parts_than_any_server_has_models_is_not_read() -> None:
    """Two bytes of it take some hundred of memory, and there may be 24 MB."""
    with serving(sequence(Reply({"data": [{"id": "whisper-1"}, *[{}] * 200_000]}))) as server:
        seen = look(server.url)

    assert (seen.status, seen.models) == (200, None)


@pytest.mark.parametrize("body", ["", "<html>", "[", '"x"', "[1]", '{"data": 5}', '{"data": null}', "[" * 99999])
def test_a_list_that_is_none_lists_nothing(body: str) -> None:
    with serving(sequence(Reply(body, headers=[("Date", "soon")]))) as server:
        seen = look(server.url)

    assert (seen.status, seen.models, seen.clock_ahead) == (200, None, None)
    assert seen.is_page == ("html" in body)


def test_redirects_are_not_followed() -> None:
    with serving(sequence(Reply(status=302, headers=[("Location", "/login")]))) as server:
        assert look(server.url).status == 302

    assert len(server.asked) == 1


def test_a_server_that_is_not_there_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    seen = look(f"http://127.0.0.1:{port}")

    assert seen.unreachable
    assert seen.hint
    assert seen.status is None


def test_a_name_nobody_knows_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)

    seen = look("http://relay.example")

    assert (seen.addresses, bool(seen.unreachable)) == ((), True)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/audio/transcriptions", "/v1/models"),
        ("/inference", "/models"),
        ("/audio/transcriptions", "/models"),
        ("/openai/v1", "/openai/v1/models"),
    ],
)
def test_the_list_is_looked_for_beside_the_route(path: str, asked: str) -> None:
    with serving(sequence(Reply(status=404))) as server:
        seen = look(f"http://127.0.0.1:{server.port}{path}")

    assert (seen.status, [request.path for request in server.asked]) == (404, [asked])


def test_a_server_that_never_ends_does_not_hold_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.client.server_survey._SECONDS", 0.3)
    with serving(sequence(Reply(silent=True))) as server:
        assert "in time" in look(server.url).unreachable
