"""Transcribe the channels of a recording, or its audio streams, as different speakers: each for itself, and paid for once."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import structlog

from watcher import media
from watcher.container.recorder import RecorderData, recorder_data
from watcher.job import Job, ResultWarning
from watcher.ledger.values import Content, ContentPart
from watcher.media import MeasuredTrack, SoundChoice
from watcher.pipeline.heard import TrackResult, TranscriptionResult, check_digest, combined, known
from watcher.pipeline.identity import track, whole, with_tracks
from watcher.pipeline.question import Question
from watcher.pipeline.requests import OtherTracks
from watcher.pipeline.source import unchanged
from watcher.pipeline.spending import Spending
from watcher.pipeline.text_budget import TextBudget
from watcher.pipeline.tools import HeartbeatCallback, JobSettings, Tools
from watcher.pipeline.transcription import Transcription
from watcher.sessions import is_mixed_track, track_names
from watcher.text import printable

_log = structlog.get_logger()

#: What is one track of a recording, by the setting `tracks`.
_KINDS: Final = {"channels": "channel", "streams": "audio stream"}


class TracksTranscription:
    """One run of a recording with several speakers through the server."""

    def __init__(
        self,
        job: Job,
        descriptor: int,
        wanted: JobSettings,
        tools: Tools,
        beat: HeartbeatCallback,
        *,
        spending: Spending,
    ) -> None:
        """`spending`: what the job has cost so far."""
        self._job = job
        self._descriptor = descriptor
        self._wanted = wanted
        self._tools = tools
        self._beat = beat
        self._spending = spending
        self._identity = with_tracks(descriptor, wanted)
        self._question = Question.of(wanted.request, tools.client.endpoint.model, tools.other_models, job.again)
        #: As in `Transcription`.
        self._changed_at = unchanged(job, descriptor).st_ctime_ns

    def transcribe(self) -> TranscriptionResult:
        """Return the transcripts of all tracks. Raises JobError; the answers received until then stay stored.

        If only one of them has a sound of its own, the recording is transcribed as others are.
        """
        self._spending.begin(self._identity.sketch)
        ledger = self._tools.ledger
        heard = known(self._identity, ledger, self._question, digest=self._digest, alive=self._beat)
        if heard is None:
            measured = self._measured()
            tracks, warnings = chosen(measured, self._wanted, self._recorder())
            heard = self._all(measured, tracks, warnings) if len(tracks) > 1 else self._only(warnings)
        return replace(heard, paid_seconds=self._spending.seconds, paid_before_seconds=self._spending.before)

    def _digest(self) -> str:
        return media.digest(self._descriptor, self._tools.stop, self._beat)

    def _measured(self) -> media.Summary:
        """Decode the recording once, to know its tracks."""
        tools, kind = self._tools, self._wanted.session.tracks
        measured = media.measure(
            self._descriptor,
            tools.media,
            spool=tools.spool,
            stop=tools.stop,
            limits=media.SHORT_LIMITS if self._job.small else media.ChildLimits(),
            waiting=self._beat,
            choice=whole(self._wanted),
            compare="streams" if kind == "streams" else "channels",
        )
        check_digest(self._identity, measured.content, self._tools.ledger, actual=self._digest)
        return measured

    def _recorder(self) -> RecorderData | None:
        """Return what the recorder wrote into the file; None if it cannot be read now."""
        with suppress(OSError):
            return recorder_data(self._descriptor, os.fstat(self._descriptor).st_size)
        return None

    def _only(self, warnings: tuple[ResultWarning, ...]) -> TranscriptionResult:
        """Return the transcript of a recording with one track, and store what is said about its tracks, as for others."""
        wanted = replace(self._wanted, choice=whole(self._wanted))
        heard = Transcription(
            self._job, self._descriptor, wanted, self._tools, self._beat, spending=self._spending
        ).transcribe()
        content = replace(
            heard.content,
            sketch=self._identity.sketch,
            parameters=self._identity.parameters(self._question.parameters),
            warnings=(*heard.content.warnings, *warnings),
            # Its answers are stored as those of an ordinary recording.
            others=(heard.content.parameters, *heard.content.others),
        )
        if self._is_untouched():
            self._tools.ledger.answers.keep_content(content)
        return replace(heard, content=content)

    def _all(
        self, measured: media.Summary, tracks: Sequence["SpeakerTrack"], warnings: tuple[ResultWarning, ...]
    ) -> TranscriptionResult:
        results: list[TrackResult] = []
        budget = TextBudget.of_tracks()
        cut_keys: list[str] = []
        for track_of in tracks:
            run = self._run(track_of, [one.heard for one in results], left=len(tracks) - len(results) - 1)
            self._spending.go_on(len(results) * measured.seconds)
            heard = run.hear()
            heard.count(budget)
            cut_keys += run.cut_keys
            results.append(
                TrackResult(ContentPart(heard.content.digest, "", track_of.name, number=track_of.number), heard)
            )
        content = Content(
            digest=measured.content,
            sketch=self._identity.sketch,
            parameters=self._identity.parameters(self._question.parameters),
            seconds=max(measured.seconds, *(one.heard.content.seconds for one in results)),
            cuts=(),
            warnings=(*measured.warnings, *warnings),
            parts=tuple(one.part for one in results),
        )
        self._keep(content, results, cut_keys)
        return combined(results, content, ())

    def _run(self, track_of: "SpeakerTrack", before: Sequence[TranscriptionResult], *, left: int) -> Transcription:
        _log.info("media.track", track=printable(track_of.name), number=track_of.number)
        return Transcription(
            self._job,
            self._descriptor,
            replace(self._wanted, choice=track_of.choice, as_track=True),
            self._tools,
            self._beat,
            spending=self._spending,
            identity=track(self._descriptor, self._wanted, track_of.choice, track_of.number),
            others=OtherTracks(
                pieces=sum(len(heard.content.cuts) for heard in before),
                seconds=sum(cut.seconds for heard in before for cut in heard.content.cuts),
                left=left,
            ),
        )

    def _keep(self, content: Content, results: Sequence[TrackResult], cut_keys: Sequence[str]) -> None:
        """Store what the recording's tracks are; for `again`, together with the new answers about all of them."""
        answers = self._tools.ledger.answers
        untouched = self._is_untouched()
        if self._question.token:
            tracks = [one.heard.content for one in results]
            answers.supersede(self._job, content, tracks=tracks, cut=cut_keys, keep=untouched)
        elif untouched:
            answers.keep_content(content)

    def _is_untouched(self) -> bool:
        return unchanged(self._job, self._descriptor).st_ctime_ns == self._changed_at


@dataclass(frozen=True, slots=True)
class SpeakerTrack:
    """A channel or a stream that is transcribed as one speaker."""

    #: See `ContentPart`.
    number: int
    name: str
    choice: SoundChoice


def chosen(
    measured: media.Summary, wanted: JobSettings, recorder: RecorderData | None
) -> tuple[list[SpeakerTrack], tuple[ResultWarning, ...]]:
    """Return the tracks of a measured recording that are transcribed, and warnings about those that are not."""
    found = measured.tracks
    is_channels = wanted.session.tracks == "channels"
    titles = None if is_channels else [one.title for one in found]
    names = track_names(len(found), titles, recorder if is_channels else None, {})
    usable = {number: name for number, name in enumerate(names, 1) if _is_alone(found, number)}
    mixes = {number for number, name in usable.items() if is_mixed_track(name, list(usable.values()))}
    tracks = [
        SpeakerTrack(number, name, SoundChoice(measured.number, number) if is_channels else SoundChoice(track=number))
        for number, name in usable.items()
        if number not in mixes
    ]
    warnings = [*_left_out(found, _KINDS[wanted.session.tracks])]
    warnings += [
        ResultWarning("mix_left_out", f"track {name} is by its name a mix of the others, and was not transcribed")
        for number, name in usable.items()
        if number in mixes
    ]
    return tracks, tuple(warnings)


def _is_alone(found: Sequence[MeasuredTrack], number: int) -> bool:
    return found[number - 1].usable and not found[number - 1].repeats


def _left_out(found: Sequence[MeasuredTrack], kind: str) -> Iterator[ResultWarning]:
    """Yield warnings about tracks with the sound of others."""
    doubles = [(number, one.repeats) for number, one in enumerate(found, 1) if one.usable and one.repeats]
    if not doubles:
        return
    if sum(_is_alone(found, number) for number in range(1, len(found) + 1)) == 1:
        all_of_them = "both" if len(found) == 2 else f"all {len(found)}"  # noqa: PLR2004 - two of them
        yield ResultWarning(
            "same_tracks",
            f"{all_of_them} {kind}s have the same sound: it was transcribed once, as an ordinary recording",
        )
        return
    for number, other in doubles:
        yield ResultWarning("same_tracks", f"{kind} {number} has the same sound as {kind} {other}, and was left out")
