"""Make the transcript that is written of what was heard: without phantom text, with words at their sound, one for all tracks."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final

import structlog

from watcher import guard
from watcher.client import fitted
from watcher.cues.punctuation import punctuated
from watcher.cues.replacing import Replacement, replaced
from watcher.job import ResultWarning
from watcher.join import move_to_sound
from watcher.join.tracks import TrackTranscript, merge
from watcher.pipeline.heard import TranscriptionResult
from watcher.pipeline.tools import JobSettings
from watcher.text import counted, cut_to, printable
from watcher.transcript import Transcript

_log = structlog.get_logger()

#: Characters of a segment's text in the log; and most doubtful segments logged of a recording: an hour may have 72,000.
_SHOWN: Final = 200
_MOST_DOUBTFUL: Final = 20


@dataclass(frozen=True, slots=True)
class ReviewedTranscript:
    """The transcript that is written, and what was left out of it."""

    transcript: Transcript
    warnings: tuple[ResultWarning, ...] = ()
    #: Spellings that were replaced in it.
    replacements: tuple[Replacement, ...] = ()


def reviewed(heard: TranscriptionResult, wanted: JobSettings, alive: Callable[[], None]) -> ReviewedTranscript:
    """Return the transcript of a recording, or of all tracks of a session. `alive` is called for each track."""
    transcript, warnings = _merged(heard, wanted, alive) if heard.tracks else (_alone(heard, wanted), ())
    spelt = replaced(transcript, wanted.replacements)
    return ReviewedTranscript(spelt.transcript, warnings, spelt.made)


def _alone(heard: TranscriptionResult, wanted: JobSettings) -> Transcript:
    # The guard looks for silence where the server says that somebody spoke: only then are the words moved to the sound.
    return move_to_sound(_spoken(heard, wanted), heard.content.loudness)


def _merged(
    heard: TranscriptionResult, wanted: JobSettings, alive: Callable[[], None]
) -> tuple[Transcript, tuple[ResultWarning, ...]]:
    tracks = []
    for track in heard.tracks:
        alive()
        tracks.append(
            TrackTranscript(
                _spoken(track.heard, wanted),
                speaker=track.part.speaker,
                track=printable(track.part.track),
                offset=track.part.offset,
                loudness=track.heard.content.loudness,
            )
        )
    merged = merge(tracks, alive=alive)
    warnings = []
    if bleed := sum(merged.bleed):
        what = f"{counted(bleed, 'word')} that a microphone heard of another speaker, more quietly, left out there"
        warnings.append(ResultWarning("bleed", what))
    if not merged.compared:
        what = "its tracks have too many words to be compared, so some may be there that a microphone heard of another speaker"
        warnings.append(ResultWarning("bleed_not_sought", what))
    return merged.transcript, tuple(warnings)


def _spoken(heard: TranscriptionResult, wanted: JobSettings) -> Transcript:
    """Return what was said in a recording, or in one track, at the times of the server."""
    transcript = _guarded(heard, wanted)
    return punctuated(transcript) if wanted.rules.punctuation == "full" else transcript


def _guarded(heard: TranscriptionResult, wanted: JobSettings) -> Transcript:
    if not wanted.rules.guard:
        return guard.leave_out_wordless(heard.transcript, music=wanted.rules.music_marks)
    guarded = guard.review(
        heard.transcript,
        loudness=heard.content.loudness.tenths,
        prompt=fitted(wanted.request.prompt),
        music=wanted.rules.music_marks,
    )
    for segment in islice((segment for segment in guarded.segments if segment.flags), _MOST_DOUBTFUL):
        _log.info(
            "output.doubtful",
            start=segment.start,
            end=segment.end,
            text=cut_to(segment.text.strip(), _SHOWN),
            signs=segment.flags,
            left_out=segment.left_out,
        )
    return guarded
