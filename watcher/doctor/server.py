"""What `watcher check` finds about the server and the clock."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Final

from watcher.client import Answer, Client, Endpoint, Request, Upload
from watcher.client.server_survey import ServerSurvey, survey
from watcher.doctor.findings import Finding, Grade, KeyFinding
from watcher.errors import JobError, Remedy, RemedyError
from watcher.text import counted, joined

#: The bundled clip that `--paid` sends.
_CLIP: Final = "second.flac"
_CERTIFICATE_DAYS: Final = 14.0
#: Retry times and the day's budget go by the clock; TLS fails long before an hour.
_CLOCK_SECONDS: Final = 60.0
#: Statuses from this one on are failures.
_REFUSED: Final = 300


def server_findings(endpoint: Endpoint, *, paid: bool, unused_key: str) -> Iterator[Finding]:
    """Yield what is found about the server; `unused_key`: the message for a key that is set and not used."""
    for finding in _findings(endpoint, paid=paid, unused_key=unused_key):
        yield replace(finding, hint=endpoint.with_own_keys(finding.hint))


def _findings(endpoint: Endpoint, *, paid: bool, unused_key: str) -> Iterator[Finding]:
    for warning in endpoint.warnings():
        yield Finding("endpoint", Grade.WARN, warning)
    seen = survey(endpoint)
    if seen.unreachable:
        hint = seen.hint or "check api.url, the network, and the proxy variables of the environment"
        named = endpoint.host in seen.unreachable
        message = seen.unreachable if named else f"{endpoint.server}: {seen.unreachable}"
        yield Finding("endpoint", Grade.FAIL, message, hint)
        return
    yield Finding("endpoint", Grade.OK, f"{endpoint.server} is reached at {', '.join(seen.addresses)}")
    if seen.certificate_days is not None:
        soon = seen.certificate_days < _CERTIFICATE_DAYS
        message = f"its certificate is good for {counted(round(seen.certificate_days), 'day')}"
        yield Finding(
            "endpoint", Grade.WARN if soon else Grade.OK, message, "tell the person who runs the server" if soon else ""
        )
    yield _listed(endpoint, seen, unused_key)
    if seen.clock_ahead is not None:
        wrong = abs(seen.clock_ahead) > _CLOCK_SECONDS
        message = f"{abs(seen.clock_ahead):.0f} s {'ahead of' if seen.clock_ahead > 0 else 'behind'} the server's"
        yield Finding(
            "clock",
            Grade.WARN if wrong else Grade.OK,
            message,
            "set the clock: timedatectl set-ntp true" if wrong else "",
        )
    if paid:
        yield from _paid(endpoint)
    else:
        yield Finding(
            "endpoint", Grade.OK, "transcription was not tried: watcher check --paid does, for one second of audio"
        )


def _listed(endpoint: Endpoint, seen: ServerSurvey, unused_key: str) -> Finding:
    """Check address, key and model by the server's list of models."""
    status, models = seen.status, seen.models
    if status in {401, 403}:
        if endpoint.secrets:
            said, remedy = "the key is refused", "set the right one: WATCHER_API__KEY, or the credential api_key"
        else:
            said = "this server wants a key, and none is set"
            remedy = "set one: WATCHER_API__KEY, api.key, or the credential api_key"
        hint = joined(remedy, unused_key)
        return KeyFinding("endpoint", Grade.FAIL, f"{said} ({status}): {seen.message}", hint)
    if seen.is_page:
        message = "it gives a web page where a list of models would be: this may be no transcription server"
        return Finding("endpoint", Grade.WARN, message, "check api.url: most servers' ends in /v1")
    if status is None or status >= _REFUSED or models is None:
        unknown = ", and whether it takes the key is not known" if endpoint.secrets else ""
        return Finding("endpoint", Grade.OK, f"it lists no models ({status}); many that transcribe well don't{unknown}")
    if models and endpoint.model not in models:
        hint = f"set api.model to one that it lists: {', '.join(sorted(models)[:5])}"
        message = f"{endpoint.model} is not among its {counted(len(models), 'model')}"
        return Finding("endpoint", Grade.WARN, message, hint)
    key = "the key is accepted" if endpoint.secrets else "it lists its models without a key"
    return Finding("endpoint", Grade.OK, f"{key}, and {endpoint.model} is listed" if models else key)


def _paid(endpoint: Endpoint) -> Iterator[Finding]:
    client = Client(endpoint, memory=_NullMemory())
    clip = resources.files("watcher").joinpath("data", _CLIP)
    with resources.as_file(clip) as path:
        try:
            began = time.monotonic()
            answer = _answer(client, path)
        except JobError as error:
            yield Finding("endpoint", Grade.FAIL, f"it does not transcribe: {error.message}", error.hint)
            return
        finally:
            client.close()
    seconds = time.monotonic() - began
    timed = answer.transcript.timed
    message = f"it transcribed a one-second clip in {seconds:.1f} s, asked for as {answer.format}"
    hint = "" if timed else "this model gives no times, so no subtitles: whisper-1 does"
    yield Finding("endpoint", Grade.OK if timed else Grade.WARN, message, hint)


def _answer(client: Client, clip: Path) -> Answer:
    """Return the server's answer about the clip; where it refuses FLAC, about WAV, as the service does."""
    try:
        return _asked(client, clip, "audio.flac", "audio/flac")
    except RemedyError as error:
        if error.remedy is not Remedy.RECODE:
            raise
    from watcher.media.encode import transcode  # noqa: PLC0415 - libav and numpy, which no other command needs

    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "second.wav")
        transcode(clip, wav, "wav")
        return _asked(client, wav, "audio.wav", "audio/wav")


def _asked(client: Client, path: Path, name: str, mime: str) -> Answer:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return client.ask(Upload(descriptor, path.stat().st_size, 1.0, name, mime), Request())
    finally:
        os.close(descriptor)


class _NullMemory:
    """A memory that keeps nothing: a check starts from scratch and changes nothing."""

    def remember(self, key: str, value: object, *, expires: float | None = None) -> None:
        """Keep nothing."""

    def remembered(self, key: str) -> None:
        """Know nothing."""

    def forget(self, key: str) -> None:
        """Have nothing to drop."""
