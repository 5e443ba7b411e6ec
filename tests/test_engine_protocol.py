"""The engine speaks OpenAI's protocol: forms, formats, keys and refusals, over real HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pysubs2
import pytest
import requests
import webvtt
from support import sounds

from watcher.engine import OfflineEngine
from watcher.engine.protocol import MAX_REQUEST

SECOND = Path(__file__).parent.parent / "watcher" / "data" / "second.flac"
KEY = "sk-of-the-test"


@pytest.fixture(scope="module")
def engine() -> Iterator[OfflineEngine]:
    with OfflineEngine(workers=1, key=KEY) as running:
        yield running


@pytest.fixture(scope="module")
def silence(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return sounds.encode(sounds.silence(0.2), tmp_path_factory.mktemp("clips") / "silence.wav").read_bytes()


def post(
    engine: OfflineEngine, content: bytes, *, route: Any = "transcriptions", key: Any = KEY, **fields: Any
) -> requests.Response:
    return requests.post(
        f"{engine.url}/audio/{route}",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        data={"model": "whisper-1"} | fields,
        files={"file": ("audio.bin", content, "application/octet-stream")},
        timeout=60,
    )


def refused(answer: requests.Response) -> dict[str, Any]:
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


def test_a_second_file_is_refused_before_it_takes_memory(engine: OfflineEngine, silence: bytes) -> None:
    file = ("audio.bin", silence, "application/octet-stream")
    answer = requests.post(
        f"{engine.url}/audio/transcriptions",
        headers={"Authorization": f"Bearer {KEY}"},
        data={"model": "whisper-1"},
        files=[("file", file)] * 2,
        timeout=60,
    )

    assert answer.status_code == 400
    assert refused(answer)["message"] == "Could not parse multipart form: it has more than one file"


@pytest.mark.parametrize(
    ("response_format", "expected"),
    [
        (None, {"text": "Hello there.", "usage": {"type": "duration", "seconds": 1}}),
        ("json", {"text": "Hello there.", "usage": {"type": "duration", "seconds": 1}}),
        ("text", "Hello there.\n"),
    ],
)
def test_the_plain_formats_hold_the_text(engine: OfflineEngine, response_format: str | None, expected: Any) -> None:
    answer = post(engine, SECOND.read_bytes(), response_format=response_format)

    assert answer.status_code == 200
    assert (answer.text if response_format == "text" else answer.json()) == expected


@pytest.mark.slow
def test_srt_is_read_by_others(engine: OfflineEngine) -> None:
    answer = post(engine, SECOND.read_bytes(), response_format="srt")

    (cue,) = pysubs2.SSAFile.from_string(answer.text, format_="srt")
    assert (cue.plaintext, answer.headers["Content-Type"]) == ("Hello there.", "text/plain; charset=utf-8")
    assert 0 <= cue.start < cue.end <= 1000


@pytest.mark.slow
def test_vtt_is_read_by_others(engine: OfflineEngine) -> None:
    (cue,) = webvtt.from_string(post(engine, SECOND.read_bytes(), response_format="vtt").text).captions

    assert cue.text == "Hello there."


@pytest.mark.slow
def test_verbose_json_has_segments_unless_words_are_asked_for(engine: OfflineEngine) -> None:
    answer = post(engine, SECOND.read_bytes(), response_format="verbose_json").json()

    assert set(answer) == {"task", "language", "duration", "text", "segments", "usage"}
    assert set(answer["segments"][0]) == {
        "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob", "compression_ratio",
        "no_speech_prob",
    }  # fmt: skip


@pytest.mark.slow
def test_words_and_segments_come_together_when_both_are_asked_for(engine: OfflineEngine) -> None:
    answer = post(
        engine,
        SECOND.read_bytes(),
        **{"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]},
    ).json()

    assert [word["word"] for word in answer["words"]] == ["Hello", "there"]
    assert len(answer["segments"]) == 1


def test_a_translation_says_so(engine: OfflineEngine, silence: bytes) -> None:
    answer = post(engine, silence, route="translations", response_format="verbose_json").json()

    assert (answer["task"], answer["language"], answer["text"], answer["segments"]) == ("translate", "english", "", [])


@pytest.mark.slow_if("EN")
@pytest.mark.parametrize("language", ["en", "EN", "english", ""])
def test_english_may_be_named(engine: OfflineEngine, silence: bytes, language: str) -> None:
    assert post(engine, silence, language=language).status_code == 200


def test_other_languages_are_refused_honestly(engine: OfflineEngine, silence: bytes) -> None:
    answer = post(engine, silence, language="zh")

    assert answer.status_code == 400
    assert (refused(answer)["param"], refused(answer)["code"]) == ("language", "unsupported_language")


@pytest.mark.slow_if("fields7-timestamp_granularities[]-invalid_value")
@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": ""}, "model", "missing_required_parameter"),
        ({"response_format": "xml"}, "response_format", "unsupported_value"),
        ({"response_format": "diarized_json"}, "response_format", "unsupported_value"),
        ({"temperature": "warm"}, "temperature", "invalid_value"),
        ({"temperature": "1.1"}, "temperature", "invalid_value"),
        ({"temperature": "nan"}, "temperature", "invalid_value"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities[]", "unsupported_value"),
        (
            {"timestamp_granularities[]": "letter", "response_format": "verbose_json"},
            "timestamp_granularities[]",
            "invalid_value",
        ),
        ({"timestamp_granularities": "word"}, "timestamp_granularities", "unknown_parameter"),
        ({"beam_size": "5"}, "beam_size", "unknown_parameter"),
    ],
)
def test_a_wrong_field_is_named(
    engine: OfflineEngine, silence: bytes, fields: dict[str, str], param: str, code: str
) -> None:
    answer = post(engine, silence, **fields)

    assert answer.status_code == 400
    assert (refused(answer)["type"], refused(answer)["param"], refused(answer)["code"]) == (
        "invalid_request_error", param, code,
    )  # fmt: skip


def test_a_translation_knows_no_language_and_no_granularities(engine: OfflineEngine, silence: bytes) -> None:
    assert refused(post(engine, silence, route="translations", language="en"))["code"] == "unknown_parameter"


def test_any_model_and_a_prompt_and_a_temperature_are_taken(engine: OfflineEngine, silence: bytes) -> None:
    assert post(engine, silence, model="gpt-4o-transcribe", prompt="Names: Zoë", temperature="0.2").status_code == 200


def test_a_missing_file_is_named(engine: OfflineEngine) -> None:
    answer = requests.post(
        engine.url + "/audio/transcriptions",
        headers={"Authorization": f"Bearer {KEY}"},
        files={"model": (None, "whisper-1")},
        timeout=60,
    )

    assert answer.status_code == 400
    assert (refused(answer)["param"], refused(answer)["code"]) == ("file", "missing_required_parameter")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("application/x-www-form-urlencoded", b"model=whisper-1"),
        ("multipart/form-data", b"no boundary named"),
        ("multipart/form-data; boundary=b", b"no boundary inside"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nnever ends'),
    ],
)
def test_a_broken_form_is_refused(engine: OfflineEngine, content_type: str, body: bytes) -> None:
    answer = requests.post(
        engine.url + "/audio/transcriptions",
        headers={"Authorization": f"Bearer {KEY}", "Content-Type": content_type},
        data=body,
        timeout=60,
    )

    assert answer.status_code == 400
    assert refused(answer)["type"] == "invalid_request_error"


def test_what_is_no_audio_is_refused(engine: OfflineEngine) -> None:
    answer = post(engine, b"no audio at all" * 1000)

    assert answer.status_code == 400
    assert refused(answer)["param"] == "file"
    assert "could not be decoded" in refused(answer)["message"]


@pytest.mark.slow
def test_audio_below_a_tenth_of_a_second_is_too_short(engine: OfflineEngine, tmp_path: Path) -> None:
    answer = post(engine, sounds.tone(tmp_path / "a.wav", 0.05).read_bytes())

    assert (answer.status_code, refused(answer)["code"]) == (400, "audio_too_short")


def test_an_upload_beyond_the_cap_is_refused_and_the_caller_gets_to_read_why(engine: OfflineEngine) -> None:
    answer = post(engine, bytes(MAX_REQUEST))

    assert answer.status_code == 413
    assert refused(answer)["type"] == "server_error"
    assert refused(answer)["message"].startswith("Maximum content size limit (26214400) exceeded (")


@pytest.mark.slow
def test_a_large_upload_below_the_cap_is_taken(engine: OfflineEngine, tmp_path: Path) -> None:
    path = sounds.encode(sounds.silence(270, rate=48_000), tmp_path / "a.wav", rate=48_000)

    answer = post(engine, path.read_bytes(), response_format="verbose_json")

    assert path.stat().st_size > 25_000_000
    assert (answer.status_code, answer.json()["duration"]) == (200, 270.0)


@pytest.mark.parametrize(
    ("key", "code"), [("", None), ("sk-other", "invalid_api_key"), ("schlüssel", "invalid_api_key")]
)
def test_without_the_key_nothing_is_answered(engine: OfflineEngine, silence: bytes, key: str, code: str | None) -> None:
    answer = requests.post(
        engine.url + "/audio/transcriptions",
        headers={"Authorization": f"Bearer {key}".encode()} if key else {},
        files={"file": ("a.wav", silence)},
        timeout=60,
    )

    assert (answer.status_code, refused(answer)["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_another_scheme_is_no_key(engine: OfflineEngine) -> None:
    assert requests.get(engine.url + "/models", auth=("user", KEY), timeout=60).status_code == 401


def test_the_models_list_names_the_real_one_and_the_usual_one(engine: OfflineEngine) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}

    listed = requests.get(engine.url + "/models", headers=headers, timeout=60).json()

    assert [model["id"] for model in listed["data"]] == ["pocketsphinx-en-us", "whisper-1"]
    for model in listed["data"]:
        assert requests.get(f"{engine.url}/models/{model['id']}", headers=headers, timeout=60).json() == model


def test_an_unknown_model_is_not_found(engine: OfflineEngine) -> None:
    answer = requests.get(engine.url + "/models/gpt-9", headers={"Authorization": f"Bearer {KEY}"}, timeout=60)

    assert (answer.status_code, refused(answer)["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/audio", "/v1/audio/speech", "/v1/audio/transcriptions/", "/v1/modelsx"]
)
def test_other_routes_are_not_found(engine: OfflineEngine, path: str) -> None:
    answer = requests.post(engine.url.removesuffix("/v1") + path, timeout=60)

    assert answer.status_code == 404
    assert refused(answer)["message"] == f"Invalid URL (POST {path})"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/audio/transcriptions"), ("PUT", "/audio/translations"), ("POST", "/models")]
)
def test_other_methods_are_not_allowed(engine: OfflineEngine, method: str, path: str) -> None:
    answer = requests.request(method, engine.url + path, timeout=60)

    assert (answer.status_code, refused(answer)["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == ("GET" if path == "/models" else "POST")


@pytest.mark.slow
def test_an_engine_without_a_key_asks_for_none(silence: bytes) -> None:
    with OfflineEngine(workers=1) as engine:
        assert post(engine, silence, key="").json()["text"] == ""
