"""What a refusal means: one table, tested from the top, where the first hit wins.

The rows and their order are those of the protocol's reference page; where it says T, N, A, R or F, this says PASSING,
NO_CHANNEL, ACCOUNT, one of the remedies, or FILE. A row's patterns are searched in code and type, and in the message.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watcher.client.refusal import Refusal, Shape
from watcher.client.wording import files_taken, named_field


class Ruling(StrEnum):
    """What has to happen."""

    #: Every file would fail: hold the queue.
    ACCOUNT = "account"
    #: The station has nobody behind the model now.
    NO_CHANNEL = "no_channel"
    #: This file fails for good.
    FILE = "file"
    #: Later, the same request may pass.
    PASSING = "passing"
    #: The server refuses everybody now.
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
class Row:
    """One line of the table; every condition that is set has to hold."""

    ruling: Ruling
    #: Stable short word for the ledger and the log.
    reason: str
    #: Statuses; empty: any. An unknown status (0) only passes with a pattern that hits.
    status: Collection[int] = ()
    #: Searched in the code and in the type.
    code: str = ""
    #: Searched in the message, case-blind.
    message: str = ""
    #: What cannot be said by patterns.
    when: Callable[[Refusal], bool] | None = None
    #: True: only at an endpoint known as a relay station, and only for a body without the station's marks.
    unmarked: bool = False
    #: True: only for what a station passes on from its own upstream.
    relayed: bool = False
    #: Seconds to wait where the server does not say; 0: left to the caller.
    wait: float = 0.0
    hint: str = ""

    def hits(self, refusal: Refusal, *, station: bool) -> bool:
        """Return whether the row speaks of this refusal."""
        if self.status and refusal.status not in self.status and (refusal.status or not (self.code or self.message)):
            return False
        if self.relayed and not refusal.relayed:
            return False
        if self.unmarked and (refusal.marked or not station):
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
_STATION_HINT: Final = "the relay station has to mend this; ask its operator, or choose another model or station"

_QUOTA: Final = (
    r"insufficient_quota|insufficient_user_quota|credit_balance_exhausted|"
    r"(organization|project)_spend_limit_exceeded|organization_usage_limit_exceeded"
)
#: Words about what the key may use, with whatever status: new-api's own, in both its languages, and those of others.
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
    # "failed to decode", and no word of what: "failed to decode the response" is not about the sound.
    r"(fail\w*|unable|error|cannot|could not|couldn't|can't) (to )?(be )?decod\w*\W*$|"
    r"\b(audio|sound|media|recording) (file )?processing (has )?failed|"
    r"(unsupported|unknown|unrecogni[sz]ed|invalid) codec\b|\bcodec (\S+ )?(is )?(not|un)[ -]?(supported|recogni[sz]ed)|"
    # The words of libsndfile, and of ffmpeg.
    r"format not recogni[sz]ed|data in an unknown format|invalid data found when processing input|moov atom not found"
)

#: Words of a failure that has nothing to do with the file: the server's load, its limits, and what may pass later.
_LATER: Final = (
    r"\b(over)?load(ed|ing)?\b|\bbusy\b|capacity|limit|quota|exhausted|too many|throttl|queue|\bwait|later\b|"
    r"\b(try|again|retry|retries)\b|time-?d? ?-?out|unavailable|not (yet )?(ready|available)|temporar|maintenance|"
    r"\b(warming|starting|restarting|shutting)\b|internal|server error|upstream|gateway|backend|worker|connection|"
    r"network|memory|\b(cuda|gpu)\b|went wrong|unexpected error|unknown error|负载|繁忙|稍后|超时|重试|上游"
)

#: The order is the meaning: what is said first hides what is said below.
TABLE: Final = (
    # One-api and new-api: their own upstream is empty, dead, or not there.
    Row(Ruling.NO_CHANNEL, "station_account", code=rf"{_DEAD}|model_not_found", relayed=True, hint=_STATION_HINT),
    Row(
        Ruling.NO_CHANNEL,
        "station_account",
        message=r"incorrect api key|exceeded your current quota|billing",
        relayed=True,
        hint=_STATION_HINT,
    ),
    Row(Ruling.NO_CHANNEL, "station_account", status=(401, 402, 403, 404), relayed=True, hint=_STATION_HINT),
    Row(Ruling.NO_CHANNEL, "station_quota", (429,), code=_QUOTA, message="上游负载已饱和", hint=_STATION_HINT),
    Row(Ruling.CROWDED, "station_busy", (429,), message="上游负载已饱和"),
    Row(Ruling.NO_CHANNEL, "no_channel", message="无可用渠道", hint=_STATION_HINT),
    Row(
        Ruling.NO_CHANNEL,
        "no_channel",
        code="model_not_found",
        when=lambda refusal: refusal.status == 503,  # noqa: PLR2004 - elsewhere it means that there is no such model
        hint=_STATION_HINT,
    ),
    Row(Ruling.NO_CHANNEL, "no_channel", code="get_channel_failed", hint=_STATION_HINT),
    Row(
        Ruling.CROWDED,
        "challenge",
        (403,),
        when=lambda refusal: refusal.shape is Shape.HTML,
        wait=300.0,
        hint="a firewall in front of the server wants a browser: ask its operator to let this address pass",
    ),
    Row(Ruling.NO_CHANNEL, "station_account", (401, 403), unmarked=True, hint=_STATION_HINT),
    Row(Ruling.NO_CHANNEL, "station_account", (429,), code=_QUOTA, unmarked=True, hint=_STATION_HINT),
    # The account, whatever the status.
    Row(
        Ruling.ACCOUNT,
        "account",
        code="account_deactivated|billing_not_active|model_price_error|no_db_connection|access_terminated",
        hint="see to the account at the server, then watcher resume",
    ),
    Row(Ruling.ACCOUNT, "quota", message="额度已用尽|额度不足|欠费|quota is not enough", hint=_MONEY_HINT),
    Row(Ruling.ACCOUNT, "account", message="封禁", hint="the account is banned: ask the station's operator"),
    Row(Ruling.ACCOUNT, "key", (401,), hint=_KEY_HINT),
    Row(Ruling.ACCOUNT, "key", code="invalid_api_key", hint=_KEY_HINT),
    Row(Ruling.ACCOUNT, "quota", (402,), hint=_MONEY_HINT),
    Row(Ruling.ACCOUNT, "quota", (403,), code="quota", hint=_MONEY_HINT),
    Row(Ruling.ACCOUNT, "permission", (403,), hint=_RIGHTS_HINT),
    Row(Ruling.ACCOUNT, "permission", (400, 422), message=_RIGHTS, hint=_RIGHTS_HINT),
    Row(Ruling.ACCOUNT, "quota", code=_QUOTA, hint=_MONEY_HINT),
    Row(Ruling.ACCOUNT, "quota", message="exceeded your current quota", hint=_MONEY_HINT),
    Row(Ruling.ACCOUNT, "model", message="invalid model name passed in model=", hint="check api.model"),
    Row(
        Ruling.ACCOUNT,
        "routing",
        _4XX,
        when=lambda refusal: refusal.shape is Shape.FAILURE,
        hint="the gateway does not know where to send this: check its configuration",
    ),
    Row(Ruling.ACCOUNT, "model", code="model_not_found", hint="check api.model: the server does not have it"),
    Row(Ruling.ACCOUNT, "url", (404, 405), hint=_URL_HINT + ", and api.model"),
    Row(Ruling.ACCOUNT, "url", code="api_not_implemented", hint=_URL_HINT),
    Row(Ruling.ACCOUNT, "url", (501,), hint=_URL_HINT),
    Row(Ruling.ACCOUNT, "redirect", range(300, 400), hint=_URL_HINT),
    Row(Ruling.ACCOUNT, "proxy", (407,), hint="put user and password into https_proxy"),
    # The form of the request, or of the file.
    Row(Ruling.SHRINK, "too_large", (413,)),
    Row(
        Ruling.SHRINK,
        "too_large",
        message="maximum content size|maximum file size exceeded|request_too_large|request entity too large",
    ),
    Row(Ruling.SHRINK, "too_large", code="request_too_large|read_request_body_failed"),
    Row(Ruling.FILE, "too_short", (400, 422), message=r"\b(must|should|has to|have to|needs? to) be longer than"),
    Row(Ruling.SPLIT, "too_long", message=r"longer than \d+(\.\d+)? ?s"),
    Row(
        Ruling.FILE,
        "no_translation",
        (400, 422),
        message=r"not support\W+(the )?(task )?\W*translat|translat\w*\W+(is )?not\W+(available|supported)",
        hint='set task = "transcribe" for this folder, or another model, then watcher retry',
    ),
    Row(Ruling.FILE, "too_short", code="audio_too_short"),
    Row(Ruling.FILE, "too_short", (400,), message="audio (file )?is too short"),
    Row(Ruling.FILE, "empty", (400,), message=r"(file|audio)\b.*\bempty\b|\bempty (file|audio)"),
    Row(Ruling.RECODE, "undecodable", (400, 415), message="(invalid|unsupported) file format|could not be decoded"),
    # These words are about the sound that was sent, whatever the status: whisper.cpp says them in a 200, audio.cpp in a 500.
    Row(Ruling.RECODE, "undecodable", (0, 400, 422, *_5XX), message=_UNREADABLE),
    Row(Ruling.RECODE, "undecodable", (0, 400, 422, *_5XX), when=lambda refusal: bool(files_taken(refusal))),
    Row(Ruling.RECODE, "undecodable", code="count_token_failed|count_audio_tokens_failed"),
    Row(Ruling.RECODE, "undecodable", message="error getting audio duration"),
    Row(Ruling.RECODE, "undecodable", (400,), message="^invalid request$"),  # whisper.cpp
    Row(Ruling.RECODE, "undecodable", (415,)),
    Row(Ruling.FIELD, "field", (400, 422, *_5XX), message="timestamp_granularit|chunking_strategy"),
    Row(Ruling.PROMPT, "prompt", (400, 422), when=lambda refusal: named_field(refusal) == "prompt"),
    Row(
        Ruling.FORMAT,
        "format",
        code="unsupported_value|invalid_value",
        when=lambda refusal: refusal.param == "response_format",
    ),
    Row(Ruling.FORMAT, "format", message="not compatible with model|only support response_format"),
    Row(Ruling.FORMAT, "format", message="(invalid|unexpected)[ _]response_format"),
    Row(Ruling.FORMAT, "format", code="unexpected_response_format"),
    Row(
        Ruling.FORMAT,
        "format",
        (400, 422),
        when=lambda refusal: named_field(refusal) == "response_format" and not refusal.missing,
    ),
    Row(Ruling.FIELD, "field", (400, 422), when=_names_field),
    # Faster-whisper's words, which reach us as a failure.
    Row(Ruling.FIELD, "field", (0, *_5XX), message=r"not a valid language|(unsupported|invalid|unknown) language\b"),
    Row(
        Ruling.ACCOUNT,
        "field_required",
        (400, 422),
        when=lambda refusal: refusal.missing and named_field(refusal) == "language",
        hint="this server wants transcript.language to be set",
    ),
    Row(
        Ruling.FILE,
        "form",
        (422,),
        when=lambda refusal: refusal.missing,
        hint="the server does not read our form: is api.url a transcription server?",
    ),
    # Later.
    Row(Ruling.CROWDED, "rate", (429,)),
    Row(Ruling.CROWDED, "rate", code="rate_limit_exceeded|slow_down|rate_limit_error"),
    Row(Ruling.CROWDED, "busy", (498, 503, 529)),
    Row(
        Ruling.CROWDED, "busy", code="capacity_exceeded|server_is_overloaded|service_unavailable_error|overloaded_error"
    ),
    Row(Ruling.PASSING, "timeout", (408, 504, 524)),
    Row(Ruling.PASSING, "server", (409, 425, 499)),
    Row(Ruling.PASSING, "server", _5XX),
    # Other refusals of what was sent, also those a relay brought without their status.
    Row(Ruling.RECODE, "refused", _4XX),
    Row(Ruling.RECODE, "refused", code="^invalid_request_error$", relayed=True),
    # An error in a 200 says no status: what does not speak of the server's own state is about what was sent.
    Row(Ruling.PASSING, "server", (0,), message=_LATER),
    Row(Ruling.RECODE, "refused", (0,), when=lambda refusal: not refusal.relayed),
    Row(Ruling.PASSING, "server"),
)
