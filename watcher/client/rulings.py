"""Classify a refusal: one table, read from the top, where the first match counts.

A row's patterns are searched in code and type, and in the message.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watcher.client.refusal import BodyShape, Refusal
from watcher.client.wording import files_taken, named_field


class ErrorClass(StrEnum):
    """Classes of refusals, by the reaction to them."""

    #: All files would fail: hold the queue.
    ACCOUNT = "account"
    #: The station has no upstream for the model now.
    NO_CHANNEL = "no_channel"
    #: This file fails for good.
    FILE = "file"
    #: The same request may pass later.
    PASSING = "passing"
    #: The server has too many requests now.
    CROWDED = "crowded"
    #: Send less: re-encode, then cut.
    SHRINK = "shrink"
    #: Cut: the audio is too long.
    SPLIT = "split"
    #: Send another encoding.
    RECODE = "recode"
    #: Ask for a simpler format.
    FORMAT = "format"
    #: Leave out the field it names.
    FIELD = "field"
    #: Shorten the prompt, then leave it out.
    PROMPT = "prompt"


@dataclass(frozen=True, slots=True)
class RefusalRule:
    """One row of the table; all conditions that are set must be true."""

    error_class: ErrorClass
    #: Stable short word for the ledger and the log.
    reason: str
    #: Statuses; empty: any. If 0 (unknown) is not among them, status 0 matches only by `code` or `message`.
    status: Collection[int] = ()
    #: Searched in the code and in the type.
    code: str = ""
    #: Searched in the message, case-blind.
    message: str = ""
    #: A condition that patterns cannot express.
    when: Callable[[Refusal], bool] | None = None
    #: True: only at an endpoint known as a relay station, and only for a body without the station's signs.
    from_upstream_of_station: bool = False
    #: True: only for a text that a station passes on from its upstream.
    relayed: bool = False
    #: Seconds to wait if the server does not say; 0: the caller decides.
    wait: float = 0.0
    hint: str = ""

    def hits(self, refusal: Refusal, *, station: bool) -> bool:
        """Return whether the row applies to this refusal."""
        if self.status and refusal.status not in self.status and (refusal.status or not (self.code or self.message)):
            return False
        if self.relayed and not refusal.relayed:
            return False
        if self.from_upstream_of_station and (refusal.marked or not station):
            return False
        if self.code and not any(re.search(self.code, word) for word in (refusal.code, refusal.kind)):
            return False
        if self.message and not re.search(self.message, refusal.message, re.IGNORECASE):
            return False
        return self.when is None or self.when(refusal)


def _names_field(refusal: Refusal) -> bool:
    return named_field(refusal) not in {"", "prompt", "response_format"} and not refusal.missing


_5XX: Final = range(500, 600)
_4XX: Final = range(400, 500)

_KEY_HINT: Final = "check api.key (WATCHER_API__KEY), then watcher resume"
_RIGHTS_HINT: Final = "check api.key and what it may use (model, country, address), then watcher resume"
_MONEY_HINT: Final = "top up the account or raise its limit, then watcher resume"
_URL_HINT: Final = "check api.url; it should end in /v1 or be the full route"
_STATION_HINT: Final = "the relay's operator has to fix this; ask there, or choose another model or relay"

_QUOTA: Final = (
    r"insufficient_quota|insufficient_user_quota|credit_balance_exhausted|"
    r"(organization|project)_spend_limit_exceeded|organization_usage_limit_exceeded"
)
#: Texts about the rights of a key, with any status: those of new-api, in both its languages, and of others.
_RIGHTS: Final = (
    r"无权(限)?(访问|使用|调用)|没有(权限|访问权限)|未被授权|"
    r"\b(key|token|account|project|organi[sz]ation|user|group)\b[^.]{0,40}\b(has no|does not have|do not have|doesn't have|lacks) "
    r"(access|permission)|\bno (access|permission) to\b[^.]{0,20}\b(model|group)\b|"
    r"\b(key|token|account|project|user|group)\b[^.]{0,40}\b(is )?(not|n't) (allowed|authori[sz]ed|permitted) to (use|access|call)"
)
_DEAD: Final = rf"invalid_api_key|{_QUOTA}|account_deactivated|billing_not_active|access_terminated"

_UNREADABLE: Final = (
    r"(fail\w*|unable|error|cannot|could not|couldn't|can't) (to )?(be )?(read|decod|load|open|pars|convert)\w*( \w+){0,2}? "
    r"(audio|sound|wav|recording)\b|(ffmpeg|audio) conversion failed|"
    r"(unsupported|unknown|unrecogni[sz]ed|invalid) (audio|media|file|sound)[ -]?(file )?(format|type|codec|encoding|container)|"
    r"(audio|media|file) (format|type|codec|encoding) (\S+ )?(is )?(not|un)[ -]?(supported|recogni[sz]ed)|"
    r"\bonly (supports? )?\.?wav\b|\bwav (audio |files? )?only\b|"
    # "failed to decode" at the end of the text: "failed to decode the response" is not about the sound.
    r"(fail\w*|unable|error|cannot|could not|couldn't|can't) (to )?(be )?decod\w*\W*$|"
    r"\b(audio|sound|media|recording) (file )?processing (has )?failed|"
    r"(unsupported|unknown|unrecogni[sz]ed|invalid) codec\b|\bcodec (\S+ )?(is )?(not|un)[ -]?(supported|recogni[sz]ed)|"
    # The words of libsndfile, and of ffmpeg.
    r"format not recogni[sz]ed|data in an unknown format|invalid data found when processing input|moov atom not found"
)

#: Words of temporary failures, which are not about the file: the server's load, its limits, things that may pass later.
_LATER: Final = (
    r"\b(over)?load(ed|ing)?\b|\bbusy\b|capacity|limit|quota|exhausted|too many|throttl|queue|\bwait|later\b|"
    r"\b(try|again|retry|retries)\b|time-?d? ?-?out|unavailable|not (yet )?(ready|available)|temporar|maintenance|"
    r"\b(warming|starting|restarting|shutting)\b|internal|server error|upstream|gateway|backend|worker|connection|"
    r"network|memory|\b(cuda|gpu)\b|went wrong|unexpected error|unknown error|负载|繁忙|稍后|超时|重试|上游"
)

#: The order matters: the first row that applies counts.
TABLE: Final = (
    # One-api and new-api: their upstream has no credit, is down, or does not exist.
    RefusalRule(
        ErrorClass.NO_CHANNEL, "station_account", code=rf"{_DEAD}|model_not_found", relayed=True, hint=_STATION_HINT
    ),
    RefusalRule(
        ErrorClass.NO_CHANNEL,
        "station_account",
        message=r"incorrect api key|exceeded your current quota|billing",
        relayed=True,
        hint=_STATION_HINT,
    ),
    RefusalRule(
        ErrorClass.NO_CHANNEL, "station_account", status=(401, 402, 403, 404), relayed=True, hint=_STATION_HINT
    ),
    RefusalRule(
        ErrorClass.NO_CHANNEL, "station_quota", (429,), code=_QUOTA, message="上游负载已饱和", hint=_STATION_HINT
    ),
    RefusalRule(ErrorClass.CROWDED, "station_busy", (429,), message="上游负载已饱和"),
    RefusalRule(ErrorClass.NO_CHANNEL, "no_channel", message="无可用渠道", hint=_STATION_HINT),
    RefusalRule(
        ErrorClass.NO_CHANNEL,
        "no_channel",
        code="model_not_found",
        when=lambda refusal: refusal.status == 503,  # noqa: PLR2004 - with other statuses it means that the model does not exist
        hint=_STATION_HINT,
    ),
    RefusalRule(ErrorClass.NO_CHANNEL, "no_channel", code="get_channel_failed", hint=_STATION_HINT),
    RefusalRule(
        ErrorClass.CROWDED,
        "challenge",
        (403,),
        when=lambda refusal: refusal.shape is BodyShape.HTML,
        wait=300.0,
        hint="a firewall in front of the server wants a browser: ask its operator to let this address pass",
    ),
    RefusalRule(
        ErrorClass.NO_CHANNEL, "station_account", (401, 403), from_upstream_of_station=True, hint=_STATION_HINT
    ),
    RefusalRule(
        ErrorClass.NO_CHANNEL, "station_account", (429,), code=_QUOTA, from_upstream_of_station=True, hint=_STATION_HINT
    ),
    # The account, whatever the status.
    RefusalRule(
        ErrorClass.ACCOUNT,
        "account",
        code="account_deactivated|billing_not_active|model_price_error|no_db_connection|access_terminated",
        hint="see to the account at the server, then watcher resume",
    ),
    RefusalRule(ErrorClass.ACCOUNT, "quota", message="额度已用尽|额度不足|欠费|quota is not enough", hint=_MONEY_HINT),
    RefusalRule(
        ErrorClass.ACCOUNT, "account", message="封禁", hint="the account is banned: ask the station's operator"
    ),
    RefusalRule(ErrorClass.ACCOUNT, "key", (401,), hint=_KEY_HINT),
    RefusalRule(ErrorClass.ACCOUNT, "key", code="invalid_api_key", hint=_KEY_HINT),
    RefusalRule(ErrorClass.ACCOUNT, "quota", (402,), hint=_MONEY_HINT),
    RefusalRule(ErrorClass.ACCOUNT, "quota", (403,), code="quota", hint=_MONEY_HINT),
    RefusalRule(ErrorClass.ACCOUNT, "permission", (403,), hint=_RIGHTS_HINT),
    RefusalRule(ErrorClass.ACCOUNT, "permission", (400, 422), message=_RIGHTS, hint=_RIGHTS_HINT),
    RefusalRule(ErrorClass.ACCOUNT, "quota", code=_QUOTA, hint=_MONEY_HINT),
    RefusalRule(ErrorClass.ACCOUNT, "quota", message="exceeded your current quota", hint=_MONEY_HINT),
    RefusalRule(ErrorClass.ACCOUNT, "model", message="invalid model name passed in model=", hint="check api.model"),
    RefusalRule(
        ErrorClass.ACCOUNT,
        "routing",
        _4XX,
        when=lambda refusal: refusal.shape is BodyShape.FAILURE,
        hint="the gateway does not know where to send this: check its configuration",
    ),
    RefusalRule(
        ErrorClass.ACCOUNT, "model", code="model_not_found", hint="check api.model: the server does not have it"
    ),
    RefusalRule(ErrorClass.ACCOUNT, "url", (404, 405), hint=_URL_HINT + ", and api.model"),
    RefusalRule(ErrorClass.ACCOUNT, "url", code="api_not_implemented", hint=_URL_HINT),
    RefusalRule(ErrorClass.ACCOUNT, "url", (501,), hint=_URL_HINT),
    RefusalRule(ErrorClass.ACCOUNT, "redirect", range(300, 400), hint=_URL_HINT),
    RefusalRule(ErrorClass.ACCOUNT, "proxy", (407,), hint="put user and password into https_proxy"),
    # The form of the request, or of the file.
    RefusalRule(ErrorClass.SHRINK, "too_large", (413,)),
    RefusalRule(
        ErrorClass.SHRINK,
        "too_large",
        message="maximum content size|maximum file size exceeded|request_too_large|request entity too large",
    ),
    RefusalRule(ErrorClass.SHRINK, "too_large", code="request_too_large|read_request_body_failed"),
    RefusalRule(
        ErrorClass.FILE, "too_short", (400, 422), message=r"\b(must|should|has to|have to|needs? to) be longer than"
    ),
    RefusalRule(ErrorClass.SPLIT, "too_long", message=r"longer than \d+(\.\d+)? ?s"),
    RefusalRule(
        ErrorClass.FILE,
        "no_translation",
        (400, 422),
        message=r"not support\W+(the )?(task )?\W*translat|translat\w*\W+(is )?not\W+(available|supported)",
        hint='set task = "transcribe" for this folder, or another model, then watcher retry',
    ),
    RefusalRule(ErrorClass.FILE, "too_short", code="audio_too_short"),
    RefusalRule(ErrorClass.FILE, "too_short", (400,), message="audio (file )?is too short"),
    RefusalRule(ErrorClass.FILE, "empty", (400,), message=r"(file|audio)\b.*\bempty\b|\bempty (file|audio)"),
    RefusalRule(
        ErrorClass.RECODE, "undecodable", (400, 415), message="(invalid|unsupported) file format|could not be decoded"
    ),
    # These texts are about the sound, whatever the status: whisper.cpp sends them with 200, audio.cpp with 500.
    RefusalRule(ErrorClass.RECODE, "undecodable", (0, 400, 422, *_5XX), message=_UNREADABLE),
    RefusalRule(
        ErrorClass.RECODE, "undecodable", (0, 400, 422, *_5XX), when=lambda refusal: bool(files_taken(refusal))
    ),
    RefusalRule(ErrorClass.RECODE, "undecodable", code="count_token_failed|count_audio_tokens_failed"),
    RefusalRule(ErrorClass.RECODE, "undecodable", message="error getting audio duration"),
    RefusalRule(ErrorClass.RECODE, "undecodable", (400,), message="^invalid request$"),  # whisper.cpp
    RefusalRule(ErrorClass.RECODE, "undecodable", (415,)),
    RefusalRule(ErrorClass.FIELD, "field", (400, 422, *_5XX), message="timestamp_granularit|chunking_strategy"),
    RefusalRule(ErrorClass.PROMPT, "prompt", (400, 422), when=lambda refusal: named_field(refusal) == "prompt"),
    RefusalRule(
        ErrorClass.FORMAT,
        "format",
        code="unsupported_value|invalid_value",
        when=lambda refusal: refusal.param == "response_format",
    ),
    RefusalRule(ErrorClass.FORMAT, "format", message="not compatible with model|only support response_format"),
    RefusalRule(ErrorClass.FORMAT, "format", message="(invalid|unexpected)[ _]response_format"),
    RefusalRule(ErrorClass.FORMAT, "format", code="unexpected_response_format"),
    RefusalRule(
        ErrorClass.FORMAT,
        "format",
        (400, 422),
        when=lambda refusal: named_field(refusal) == "response_format" and not refusal.missing,
    ),
    RefusalRule(ErrorClass.FIELD, "field", (400, 422), when=_names_field),
    # Faster-whisper's words, which reach us as a failure.
    RefusalRule(
        ErrorClass.FIELD, "field", (0, *_5XX), message=r"not a valid language|(unsupported|invalid|unknown) language\b"
    ),
    RefusalRule(
        ErrorClass.ACCOUNT,
        "field_required",
        (400, 422),
        when=lambda refusal: refusal.missing and named_field(refusal) == "language",
        hint="this server wants transcript.language to be set",
    ),
    RefusalRule(
        ErrorClass.FILE,
        "form",
        (422,),
        when=lambda refusal: refusal.missing,
        hint="the server does not understand the request: is api.url a transcription server?",
    ),
    # Later.
    RefusalRule(ErrorClass.CROWDED, "rate", (429,)),
    RefusalRule(ErrorClass.CROWDED, "rate", code="rate_limit_exceeded|slow_down|rate_limit_error"),
    RefusalRule(ErrorClass.CROWDED, "busy", (498, 503, 529)),
    RefusalRule(
        ErrorClass.CROWDED,
        "busy",
        code="capacity_exceeded|server_is_overloaded|service_unavailable_error|overloaded_error",
    ),
    RefusalRule(ErrorClass.PASSING, "timeout", (408, 504, 524)),
    RefusalRule(ErrorClass.PASSING, "server", (409, 425, 499)),
    RefusalRule(ErrorClass.PASSING, "server", _5XX),
    # Other refusals of the request, including those whose status a relay has lost.
    RefusalRule(ErrorClass.RECODE, "refused", _4XX),
    RefusalRule(ErrorClass.RECODE, "refused", code="^invalid_request_error$", relayed=True),
    # An error in a 200 has no status: with words of a temporary failure it passes later, else the file is at fault.
    RefusalRule(ErrorClass.PASSING, "server", (0,), message=_LATER),
    RefusalRule(ErrorClass.RECODE, "refused", (0,), when=lambda refusal: not refusal.relayed),
    RefusalRule(ErrorClass.PASSING, "server"),
)
