"""The table of errors, row by row: what each server says, and whose matter it is."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from watcher.client.classify import classify, scrubbed
from watcher.client.refusal import BodyShape, Refusal, refusal_of
from watcher.client.rulings import TABLE, ErrorClass
from watcher.client.upload import HttpResponse
from watcher.errors import AccountError, FileError, NoChannelError, PassingError, Remedy, RemedyError

A, N, T, F = ErrorClass.ACCOUNT, ErrorClass.NO_CHANNEL, ErrorClass.PASSING, ErrorClass.FILE
CROWDED, SHRINK, SPLIT, RECODE = ErrorClass.CROWDED, ErrorClass.SHRINK, ErrorClass.SPLIT, ErrorClass.RECODE
FORMAT, FIELD, PROMPT = ErrorClass.FORMAT, ErrorClass.FIELD, ErrorClass.PROMPT


def error(message: str = "x", code: Any = None, kind: Any = None, param: Any = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def one_api(message: str, code: str = "", param: str = "") -> dict[str, Any]:
    return error(f"{message} (request id: 2025)", code, "one_api_error", param)


def new_api(message: str, code: str = "", kind: str = "new_api_error") -> dict[str, Any]:
    return error(f"{message} (request id: 2025)", code, kind, "")


def inner(kind: str, code: str, message: str) -> dict[str, Any]:
    return one_api(f"type {kind}, code {code}, message {message}", "request_error")


def missing(field: str) -> dict[str, Any]:
    return {"detail": [{"type": "missing", "loc": ["body", field], "msg": "Field required"}]}


def unwelcome(field: str) -> dict[str, Any]:
    return {"detail": [{"type": "enum", "loc": ["body", field], "msg": "Input should be something else"}]}


PAGE = "<html><head><title>Oops</title></head></html>"

# A table is read by its rows.
# fmt: off
# (what it is, status, body, at a known station, ruling)
CASES: list[tuple[str, int, Any, bool, ErrorClass]] = [
    # The facts' list of bodies for tests.
    ("facts 1", 500, inner("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-x."), False, N),
    ("facts 2", 500, inner("server_error", "<nil>", "Maximum content size limit (26214400) exceeded (26306794 bytes read)"), False, SHRINK),
    ("facts 3", 503, new_api("当前分组 default 下对于模型 whisper-1 无可用渠道", "model_not_found"), False, N),
    ("facts 4", 429, new_api("当前分组上游负载已饱和，请稍后再试", "insufficient_quota", "insufficient_quota"), False, N),
    ("facts 5", 429, error("litellm.RateLimitError: RateLimitError: OpenAIException - You exceeded your current quota, please check your plan and billing details.", "429", "throttling_error"), False, A),
    ("facts 6", 429, error("litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached for whisper-1", "429", "throttling_error"), False, CROWDED),
    ("facts 7", 500, new_api("error getting audio duration: …", "count_token_failed"), False, RECODE),
    ("facts 8", 502, {"html-message": "<html><head><title>502 Bad Gateway</title></head></html>"}, False, T),
    ("facts 9", 422, missing("file"), False, F),
    ("facts 10", 400, "Invalid request", False, RECODE),
    ("facts 11", 429, "", False, CROWDED),
    # Row 1: what a one-api station's upstream said to it.
    ("inner quota", 500, inner("insufficient_quota", "insufficient_quota", "You exceeded your current quota"), False, N),
    ("inner quota without code", 500, inner("", "<nil>", "You exceeded your current quota, check your billing"), False, N),
    ("inner deactivated", 500, inner("invalid_request_error", "account_deactivated", "deactivated"), False, N),
    ("inner unknown model", 500, inner("invalid_request_error", "model_not_found", "does not exist"), False, N),
    ("inner rate limit", 500, inner("requests", "rate_limit_exceeded", "Rate limit reached"), False, CROWDED),
    ("inner format", 500, inner("invalid_request_error", "unsupported_value", "response_format 'srt' is not compatible with model 'gpt-4o-transcribe'. Use 'json' or 'text' instead."), False, FORMAT),
    ("inner bad file", 500, inner("invalid_request_error", "<nil>", "Invalid file format. Supported formats: ['flac']"), False, RECODE),
    ("inner too long", 500, inner("invalid_request_error", "invalid_value", "audio duration 1500.1 seconds is longer than 1400 seconds which is the maximum"), False, SPLIT),
    ("inner too short", 500, inner("invalid_request_error", "audio_too_short", "Audio file is too short. Minimum audio length is 0.1 seconds."), False, F),
    ("inner unknown refusal", 500, inner("invalid_request_error", "<nil>", "no idea"), False, RECODE),
    ("inner failure", 500, inner("server_error", "<nil>", "The server had an error"), False, T),
    # Row 2: busy upstream; beside a quota code it is the station's quota.
    ("station busy", 429, new_api("当前分组上游负载已饱和，请稍后再试", "rate_limit_exceeded", "requests"), False, CROWDED),
    # Rows 3 and 4.
    ("no channel, message only", 503, one_api("当前分组 vip 下对于模型 whisper-1 无可用渠道"), False, N),
    ("no channel, code only", 503, error("No available channel", "model_not_found"), False, N),
    ("no channel on retry", 500, new_api("get channel failed", "get_channel_failed"), False, N),
    # Row 5: a firewall's page.
    ("challenge", 403, PAGE, False, CROWDED),
    # Row 6: a known station's body without its marks is the station's own key.
    ("station's key 401", 401, error("Incorrect API key provided", "invalid_api_key"), True, N),
    ("station's key 403", 403, error("Country not supported", "unsupported_country_region_territory"), True, N),
    ("station's quota 429", 429, error("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), True, N),
    ("ours at a station, marked", 401, one_api("无效的令牌"), True, A),
    ("ours at a station, 403 marked", 403, new_api("user quota is not enough", "insufficient_user_quota"), True, A),
    ("rate limit at a station", 429, error("Rate limit reached", "rate_limit_exceeded"), True, CROWDED),
    # Row 7: 401.
    ("openai key", 401, error("Incorrect API key provided: sk-x", "invalid_api_key", "invalid_request_error"), False, A),
    ("openai organisation", 401, error("You must be a member of an organization to use the API"), False, A),
    ("openai address", 401, error("Your IP address is not allowed", "ip_not_authorized"), False, A),
    ("any other 401", 401, PAGE, False, A),
    ("empty 401", 401, "", False, A),
    *[(f"one-api {message}", 401, one_api(message), False, A) for message in ("未提供令牌", "无效的令牌", "该令牌已过期", "该令牌额度已用尽", "该令牌状态不可用", "令牌验证失败")],
    ("new-api generic 401", 401, new_api("Invalid token"), False, A),
    ("localai 401", 401, error("An authentication key is required", 401), False, A),
    # 402 and 403.
    ("payment", 402, error("Payment required"), False, A),
    ("payment, no body", 402, "", False, A),
    ("country", 403, error("Country, region, or territory not supported", "unsupported_country_region_territory"), False, A),
    ("no permission", 403, error("Project does not have access to model `whisper-1`", "model_not_found"), False, A),
    ("any other 403", 403, "no", False, A),
    ("user quota", 403, new_api("user quota is not enough", "insufficient_user_quota"), False, A),
    ("pre-consumed", 403, new_api("x", "pre_consume_token_quota_failed"), False, A),
    *[(f"one-api {message}", 403, one_api(message), False, A) for message in ("用户已被封禁", "该令牌无权使用模型：whisper-1", "只能在指定网段使用该令牌")],
    ("access denied", 403, new_api("x", "access_denied"), False, A),
    ("speaches key", 403, {"detail": "Not authenticated"}, False, A),
    # 429 and quota.
    *[(f"openai {code}", 429, error("x", code), False, A) for code in ("insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded", "project_spend_limit_exceeded", "organization_usage_limit_exceeded")],
    ("quota in the type", 429, error("x", None, "insufficient_quota"), False, A),
    # Any status.
    ("deactivated", 400, error("x", "account_deactivated"), False, A),
    ("billing", 500, error("x", "billing_not_active"), False, A),
    ("no price", 500, new_api("x", "model_price_error"), False, A),
    ("litellm without database", 400, error("No connected db.", "400", "no_db_connection"), False, A),
    *[(f"money {message}", 500, one_api(message), False, A) for message in ("额度已用尽", "用户额度不足", "您已欠费", "user quota is not enough", "用户已被封禁")],
    # 400: model, routing.
    ("litellm model", 400, error("litellm.BadRequestError: /audio/transcriptions: Invalid model name passed in model=foo"), False, A),
    ("portkey routing", 400, {"status": "failure", "message": "x-portkey-provider header is required"}, False, A),
    # 404, 405, 501, 3xx.
    ("openai model", 404, error("The model `x` does not exist", "model_not_found"), False, A),
    ("one-api url", 404, one_api("Invalid URL (POST /v1/audio/transcription)", "api_not_found"), False, A),
    ("fastapi url", 404, {"detail": "Not Found"}, False, A),
    ("whisper.cpp url", 404, "File Not Found (/v1/audio/transcriptions)", False, A),
    ("speaches model", 404, {"detail": "Model 'x' is not installed locally."}, False, A),
    ("any other 404", 404, PAGE, False, A),
    ("method", 405, {"detail": "Method Not Allowed"}, False, A),
    ("not offered", 501, one_api("API not implemented", "api_not_implemented"), False, A),
    ("not offered, bare", 501, "", False, A),
    *[(f"redirect {status}", status, "", False, A) for status in (301, 302, 303, 307, 308)],
    ("proxy login", 407, PAGE, False, A),
    # Too large.
    ("any 413", 413, "", False, SHRINK),
    ("nginx 413", 413, "<html><head><title>413 Request Entity Too Large</title></head></html>", False, SHRINK),
    ("openai 413", 413, error("Maximum content size limit (26214400) exceeded (26306794 bytes read)", None, "server_error"), False, SHRINK),
    ("groq 413", 413, error("Request Entity Too Large", "request_too_large", "invalid_request_error"), False, SHRINK),
    ("vllm 400", 400, error("Maximum file size exceeded", 400, "BadRequestError"), False, SHRINK),
    ("new-api 413 as 400", 400, new_api("request body too large", "read_request_body_failed"), False, SHRINK),
    # Too long.
    ("too long", 400, error("audio duration 1500.0 seconds is longer than 1400 seconds which is the maximum for this model", "invalid_value"), False, SPLIT),
    ("must not be longer", 400, error("Audio must not be longer than 30 s"), False, SPLIT),
    ("must be longer", 400, error("Audio must be longer than 0.1 s"), False, F),
    # Formats.
    ("openai format", 400, error("response_format 'verbose_json' is not compatible with model 'gpt-4o-transcribe'. Use 'json' or 'text' instead.", "unsupported_value", "invalid_request_error", "response_format"), False, FORMAT),
    ("openai format, no message", 400, error("x", "unsupported_value", None, "response_format"), False, FORMAT),
    ("vllm format", 400, error("Currently only support response_format `text`, `json` or `verbose_json`", 400), False, FORMAT),
    ("one-api format", 500, one_api("unexpected response format: diarized_json", "unexpected_response_format"), False, FORMAT),
    ("localai format", 500, error("invalid response_format", 500), False, FORMAT),
    ("speaches format", 422, unwelcome("response_format"), False, FORMAT),
    ("groq format", 400, error("response_format must be one of [json text verbose_json]"), False, FORMAT),
    # Prompt.
    ("groq prompt", 400, error("prompt length must be 896 characters or fewer"), False, PROMPT),
    ("diarize prompt", 400, error("prompt is not supported with this model", "unsupported_value", None, "prompt"), False, PROMPT),
    # Optional fields.
    ("openrouter granularities", 400, error("timestamp_granularities is not supported"), False, FIELD),
    ("siliconflow temperature", 400, {"code": 20015, "message": "unknown field: temperature", "data": None}, False, FIELD),
    ("fastapi language", 422, unwelcome("language"), False, FIELD),
    ("fastapi granularities", 422, unwelcome("timestamp_granularities[]"), False, FIELD),
    ("fastapi extra field", 422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "chunking_strategy"], "msg": "x"}]}, False, FIELD),
    ("granularities that fail", 500, {"detail": "timestamp_granularities must be segment"}, False, FIELD),
    ("vllm language", 400, {"detail": error("Unsupported language: 'jw'.  Must be one of ['af', 'ar'].", 400, "BadRequestError")}, False, FIELD),
    ("faster-whisper language", 500, {"detail": "'jv' is not a valid language code (accepted language codes: af, am)"}, False, FIELD),
    ("new-api model not of this key", 400, error("该令牌无权访问模型 whisper-1 (request id: 1)"), False, A),
    ("new-api group not of this key", 400, error("无权访问 vip 分组"), False, A),
    ("new-api in English", 400, error("This token has no access to model whisper-1"), False, A),
    ("a key that may not", 422, {"detail": "Your API key is not allowed to use this model"}, False, A),
    ("old vllm wants a language", 422, missing("language"), False, A),
    # The file.
    ("groq turbo", 400, error("The model `whisper-large-v3-turbo` does not support `translate`"), False, F),
    ("no translation", 400, error("Translation is not supported for this model"), False, F),
    ("too short", 400, error("Audio file is too short. Minimum audio length is 0.1 seconds.", "audio_too_short", None, "file"), False, F),
    ("too short, code lost", 400, error("litellm.BadRequestError: Audio file is too short.", "400"), False, F),
    ("new-api, code lost", 500, error("error getting audio duration: exit status 1"), False, RECODE),
    ("openai bad file", 400, error("Invalid file format. Supported formats: ['flac', 'm4a']"), False, RECODE),
    ("opus name", 400, error("Unsupported file format opus"), False, RECODE),
    ("undecodable", 400, error("The audio file could not be decoded or its format is not supported.", None, None, "file"), False, RECODE),
    ("speaches undecodable", 415, {"detail": "Failed to decode audio"}, False, RECODE),
    ("new-api after the call", 500, new_api("x", "count_audio_tokens_failed"), False, RECODE),
    *[(f"unreadable sound: {words}", status, body, False, RECODE) for status, words, body in (
        (400, "whisper.cpp", {"error": "failed to read audio data"}),
        (400, "ffmpeg", {"error": "FFmpeg conversion failed."}),
        (400, "wav only", {"error": "Only WAV audio is supported"}),
        (422, "format", {"detail": "Audio format m4a is not supported"}),
        (500, "audio.cpp", error("invalid WAV RIFF header: /tmp/audiocpp_upload_3.mp3", None, "server_error")),
        (500, "decoder", {"error": "could not decode the audio: Invalid data found when processing input"}),
    )],
    ("a model that cannot be loaded", 500, {"error": "failed to load model from file audio.bin"}, False, T),
    ("a failing transcription", 500, {"error": "failed to process audio"}, False, T),
    ("speaches empty file", 400, {"detail": "Uploaded audio file is empty"}, False, F),
    # Later.
    *[(f"later {status}", status, "", False, T) for status in (408, 409, 425, 499)],
    ("groq capacity", 498, error("x", "capacity_exceeded"), False, CROWDED),
    ("openai rate", 429, error("Rate limit reached", "rate_limit_exceeded", "requests"), False, CROWDED),
    ("openai slow down", 429, error("Slow down", "slow_down"), False, CROWDED),
    ("new-api rate", 429, new_api("您已达到请求数限制：1分钟内最多请求60次"), False, CROWDED),
    *[(f"server {status}", status, PAGE, False, T) for status in (500, 502, 504, *range(520, 528))],
    ("openai overloaded", 503, error("x", "server_is_overloaded", "service_unavailable_error"), False, CROWDED),
    ("overloaded 529", 529, "", False, CROWDED),
    ("localai loading", 503, "", False, CROWDED),
    *[(f"station {code}", 500, new_api("x", code), False, T) for code in ("do_request_failed", "invalid_request", "new_api_panic", "one_api_panic", "get_text_from_body_err")],
    ("litellm upstream 200 error", 500, error("litellm.APIConnectionError: '>=' not supported between instances of 'str' and 'int'", "500"), False, T),
    ("litellm without a key", 500, "Internal Server Error", False, T),
    # What a station passes on with its status.
    ("relayed 401", 500, one_api("bad response status code 401", "bad_response_status_code", "401"), True, N),
    ("relayed 403", 500, one_api("bad response status code 403", "bad_response_status_code", "403"), True, N),
    ("relayed 404 as 429", 429, one_api("bad response status code 404", "bad_response_status_code", "404"), True, N),
    ("relayed 413", 500, one_api("bad response status code 413", "bad_response_status_code", "413"), True, SHRINK),
    ("relayed 429", 500, one_api("bad response status code 429", "bad_response_status_code", "429"), True, CROWDED),
    ("relayed 502", 500, one_api("bad response status code 502", "bad_response_status_code", "502"), True, T),
    ("relayed, unknown", 500, one_api("bad response", "bad_response_status_code"), True, T),
    # Anything else that is a refusal may be about the form of the file.
    *[(f"unknown {status}", status, "no", False, RECODE) for status in (400, 406, 411, 418, 422, 451)],
]
# fmt: on


@pytest.mark.parametrize(
    ("status", "body", "station", "error_class"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_refusal_has_its_ruling(status: int, body: Any, station: bool, error_class: ErrorClass) -> None:  # noqa: FBT001 - a column of the table
    meaning = classify(refused(status, body), station=station)

    assert meaning.error_class is error_class, meaning


def test_every_row_of_the_table_is_met_by_a_case() -> None:
    refusals = [(refused(status, body), station) for _, status, body, station, _ in CASES]
    refusals += [(in_a_200(body), False) for body, _ in ERRORS_IN_200]
    met = {next(row for row in TABLE if row.hits(refusal, station=station)) for refusal, station in refusals}

    assert [row for row in TABLE if row not in met] == []


def refused(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Refusal:
    raw = (body if isinstance(body, str) else json.dumps(body)).encode()
    return refusal_of(HttpResponse(status, headers or {}, raw), now=0.0)


def in_a_200(error: Mapping[str, Any]) -> Refusal:
    return refusal_of(HttpResponse(200, {}, b""), now=0.0, error=error)


ERRORS_IN_200: list[tuple[Mapping[str, Any], ErrorClass]] = [
    (error("upstream failed", "bad_response", "upstream_error"), T),
    (error("Incorrect API key provided", "invalid_api_key"), A),
    (error("x", "insufficient_quota"), A),
    (error("x", "model_not_found"), A),
    (error("x", "rate_limit_exceeded"), CROWDED),
    (error("x", "server_is_overloaded"), CROWDED),
    ({"error": "upstream failed"}, T),
    ({"detail": "oops"}, RECODE),
    ({"status": "failure", "message": "x"}, RECODE),
    ({"error": "failed to read audio data"}, RECODE),
    ({"error": {"message": "x", "type": "invalid_request_error", "code": None}}, RECODE),
    ({"error": {"message": "x", "code": 400}}, RECODE),
    ({"error": {"message": "x", "code": "429"}}, CROWDED),
    ({"error": "x", "status": 413}, SHRINK),
    ({"status_code": 422, "message": "x"}, RECODE),
    ({"error": {"message": "x", "type": "overloaded_error"}}, CROWDED),
    ({"error": {"message": "x", "type": "authentication_error"}}, A),
    ({"errors": [{"message": "Could not decode the audio file", "code": 415}]}, RECODE),
    ({"err_no": 3301, "err_msg": "failed to read audio data"}, RECODE),
    ({"error": "audio processing failed"}, RECODE),
    ({"error": {"message": "failed to decode", "code": "bad"}}, RECODE),
    ({"status": "error", "message": "Unsupported codec"}, RECODE),
    ({"error": "this recording displeases me"}, RECODE),
    *[
        ({"error": message}, T)
        for message in (
            "The model is still loading, please try again later",
            "CUDA out of memory",
            {"message": "Concurrency limit reached", "code": "E17"},
            "Request timed out",
            "Internal server error",
            "服务器繁忙",
        )
    ],
]


@pytest.mark.parametrize(("body", "error_class"), ERRORS_IN_200)
def test_an_error_with_a_200_is_ruled_by_its_words(body: Mapping[str, Any], error_class: ErrorClass) -> None:
    assert classify(in_a_200(body), station=False).error_class is error_class


@pytest.mark.parametrize(
    ("message", "error_class"),
    [
        ("Error opening 'x.m4a': Format not recognised.", RECODE),
        ("Error opening 'x.m4a': File contains data in an unknown format.", RECODE),
        ("codec aac is not supported", RECODE),
        ("Invalid data found when processing input", RECODE),
        ("[mov,mp4,m4a,3gp] moov atom not found", RECODE),
        ("Failed to decode.", RECODE),
        ("failed to decode the response of the backend", T),
        ("processing failed", T),
        ("failed", T),
    ],
)
def test_a_failure_asks_for_another_encoding_where_it_speaks_of_the_sound(
    message: str, error_class: ErrorClass
) -> None:
    assert judged(500, {"detail": message}).error_class is error_class


def judged(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Any:
    return classify(refused(status, body, headers), station=False)


@pytest.mark.parametrize(
    ("status", "message", "limit"),
    [
        (400, "audio duration 1500.0 seconds is longer than 1400 seconds", 1390.0),
        (400, "longer than 12 seconds", 6.0),
        (413, "Maximum content size limit (26214400) exceeded", 26214400),
        (413, "no", 0.0),
        (400, "prompt length must be 896 characters or fewer", 896),
    ],
)
def test_the_limit_that_a_refusal_names_is_read_that_of_a_length_with_a_margin(
    status: int, message: str, limit: float
) -> None:
    assert judged(status, error(message)).limit == limit


def test_the_formats_offered_instead_are_read() -> None:
    meaning = judged(
        400, error("response_format 'srt' is not compatible with model 'm'. Use 'json' or 'text' instead.")
    )

    assert meaning.offered == {"srt", "json", "text"}


UNKNOWN: list[tuple[int, Any, str]] = [
    (400, {"code": 20015, "message": "unknown field: temperature", "data": None}, "temperature"),
    (400, error("Unknown parameter: 'chunking_strategy'.", "unknown_parameter", None, "chunking_strategy"), "chunking_strategy"),
    (400, error("Unsupported parameter: 'temperature' is not supported with this model.", "unsupported_parameter"), "temperature"),
    (400, error("Unrecognized request argument supplied: language"), "language"),
    (400, {"detail": "transcribe() got an unexpected keyword argument 'language'"}, "language"),
    (400, error("This model does not support the language parameter."), "language"),
    (400, error("parameter `language` is not allowed"), "language"),
    (400, error("'language' is not supported by this model"), "language"),
    (400, error("prompt is not supported with this model", "unsupported_value", None, "prompt"), "prompt"),
    (400, error("timestamp_granularities[] is not supported"), "timestamp_granularities"),
    (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "language"], "msg": "Extra inputs"}]}, "language"),
    (422, {"detail": [{"type": "value_error.extra", "loc": ["body", "prompt"], "msg": "extra fields"}]}, "prompt"),
    (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "temperature"], "msg": "Extra inputs"}, {"type": "enum", "loc": ["body", "language"], "msg": "x"}]}, "temperature"),
]  # fmt: skip
REFUSED_VALUES: list[tuple[int, Any, str]] = [
    (422, unwelcome("language"), "language"),
    (400, error("Invalid language 'jv'. Language parameter must be specified in ISO-639-1 format."), "language"),
    (400, error("Unsupported value for language"), "language"),
    (400, error("Unsupported value for parameter language: 'haw'"), "language"),
    (400, error("The language is not supported", "unsupported_value", None, "language"), "language"),
    (400, error("Unsupported language: 'jw'. Must be one of ['af', 'ar']"), "language"),
    (500, {"detail": "'jv' is not a valid language code (accepted language codes: af, am)"}, "language"),
    (400, error("language could not be detected"), "language"),
    (400, error("Unsupported value: 'temperature' does not support 0.3 with this model. Only the default (1) is supported.", "unsupported_value", None, "temperature"), "temperature"),
    (400, error("temperature must be between 0 and 1"), "temperature"),
    (400, error("prompt contains characters that are not allowed"), "prompt"),
    (400, error("prompt length must be 896 characters or fewer"), "prompt"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "name", "unknown"),
    [*[(*row, True) for row in UNKNOWN], *[(*row, False) for row in REFUSED_VALUES]],
)
def test_the_field_that_a_refusal_names_is_read_and_whether_the_server_knows_it(
    status: int,
    body: Any,
    name: str,
    unknown: bool,  # noqa: FBT001 - a column of the table
) -> None:
    meaning = judged(status, body)

    assert (meaning.name, meaning.unknown) == (name, unknown)


@pytest.mark.parametrize(
    ("message", "formats"),
    [
        ("Only WAV audio is supported", {"wav"}),
        ("only .wav files are supported", {"wav"}),
        ("WAV only", {"wav"}),
        ("We accept wav files only.", {"wav"}),
        ("mp3 is not supported, only wav", {"wav"}),
        ("Unsupported format: m4a. Supported formats: wav, flac", {"wav", "flac"}),
        ("Invalid file format. Supported formats: ['flac', 'm4a', 'mp3', 'mp4', 'mpeg', 'mpga', 'oga', 'ogg', 'wav', 'webm']", {"flac", "m4a", "mp3", "mp4", "ogg", "wav", "webm"}),
        ("Supported audio formats are audio/wav and audio/x-wav", {"wav"}),
        ("file must be a WAV", {"wav"}),
        ("Expected WAV or FLAC input", {"wav", "flac"}),
        ("Please convert it to wav.", {"wav"}),
        ("invalid WAV RIFF header: /tmp/audiocpp_upload_3.mp3", {"wav"}),
        ("Invalid file format.", set()),
        ("mp3 is not supported", set()),
        ("unsupported format: mp3", set()),
        ("could not open talk.mp3", set()),
        ("failed to convert mp3 to wav", set()),
        ("wav and mp3 aren't supported", set()),
        ("file must not be mp3", set()),
        ("only mono is supported", set()),
    ],
)  # fmt: skip
def test_the_formats_of_files_that_a_refusal_names_are_read(message: str, formats: set[str]) -> None:
    assert judged(415, error(message)).offered == formats


# What is raised.


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, error("no"), AccountError),
        (503, error("x", "model_not_found"), NoChannelError),
        (422, missing("file"), FileError),
        (500, error("no"), PassingError),
        (429, error("no"), PassingError),
        (413, error("no"), RemedyError),
    ],
)
def test_a_verdict_is_raised_as_its_error(status: int, body: Any, kind: type[Exception]) -> None:
    raised = judged(status, body).error()

    assert type(raised) is kind
    assert f"HTTP {status}" in str(raised)


@pytest.mark.parametrize(("status", "crowded"), [(429, True), (503, True), (529, True), (500, False), (502, False)])
def test_only_a_crowd_is_crowded(status: int, crowded: bool) -> None:  # noqa: FBT001 - a column of the table
    assert judged(status, {}).error().crowded is crowded


def test_the_wait_asked_for_travels_along() -> None:
    assert judged(429, {}, {"retry-after": "7"}).error().retry_after == 7.0
    assert judged(429, {}).error().retry_after is None


def test_a_firewalls_page_is_waited_out_for_long() -> None:
    refusal = Refusal(403, BodyShape.HTML)

    assert classify(refusal, station=False).wait == 300.0


@pytest.mark.parametrize(
    ("status", "body", "remedy", "seconds"),
    [
        (413, error("no"), Remedy.SHRINK, 0.0),
        (400, error("longer than 1400 seconds"), Remedy.SPLIT, 1390.0),
        (415, error("no"), Remedy.RECODE, 0.0),
    ],
)
def test_a_remedy_is_named(status: int, body: Any, remedy: Remedy, seconds: float) -> None:
    raised = judged(status, body).error()

    assert (raised.remedy, raised.seconds) == (remedy, seconds)


def test_every_account_row_says_what_to_do() -> None:
    assert [row for row in TABLE if row.error_class in {A, N} and not row.hint] == []


# Secrets.


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Incorrect API key provided: topsecret.", "topsecret"),
        ("Incorrect API key provided: sk-abcdefgh.", ""),
        ("Incorrect API key provided: sk-proj-********wxyz.", ""),
    ],
)
def test_keys_are_taken_out_of_what_servers_write(text: str, secret: str) -> None:
    assert scrubbed(text, [secret]) in {"Incorrect API key provided: ***.", "Incorrect API key provided: sk-***."}
    assert "topsecret" not in str(judged(401, error(text)).error(secrets=["topsecret"]))


def test_a_refusal_says_whether_a_key_was_sent() -> None:
    refused = judged(401, error("Unauthorized"))

    assert str(refused.error()) == "this server wants a key, and none is set: Unauthorized (HTTP 401)"
    assert str(refused.error(secrets=["sk-wrong"])) == "the server refuses every file: Unauthorized (HTTP 401)"


@pytest.mark.parametrize("key", ["none", "k", "x", "EMPTY", "of", "formats"])
def test_a_key_that_is_a_short_word_garbles_no_message(key: str) -> None:
    said = str(judged(401, error("none of your formats is known: EMPTY")).error(secrets=[key]))

    assert said == "the server refuses every file: none of your formats is known: EMPTY (HTTP 401)"


def test_words_that_only_look_like_keys_stay() -> None:
    assert scrubbed("ask-me-anything or disk-full", []) == "ask-me-anything or disk-full"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 415, 422, 429, 500, 502, 503])
@pytest.mark.parametrize("key", ["code", "status", "status_code"])
@pytest.mark.parametrize("inside", [True, False])
def test_an_error_with_a_200_that_says_its_status_is_ruled_like_that_status(
    status: int,
    key: str,
    inside: bool,  # noqa: FBT001 - pytest passes by name
) -> None:
    words = {"message": "it did not work"}
    told = {"error": {**words, key: status}} if inside else {"error": words, key: status}

    meaning = classify(refusal_of(HttpResponse(200, {}, b""), now=0.0, error=told), station=False)

    assert (meaning.error_class, meaning.reason) == (judged(status, told).error_class, judged(status, told).reason)
