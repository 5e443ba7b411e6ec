"""The length of a file that is sent as it is: by its header, by the answer, and by the decoder.

Header and answer may both be wrong. If they disagree, the file is decoded, once, and the decoded length counts: for
reading the answer, and for what was bought.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from watcher import media
from watcher.client import Request, parse
from watcher.errors import FileError, GarbledError, OutputError, PassingError, SourceError
from watcher.gate import Receipt
from watcher.pipeline.tools import HeartbeatCallback, Tools
from watcher.transcript import Transcript

_log = structlog.get_logger()

#: An answer is about more sound than the header states if it has more than this many times the header's seconds, and some more:
#: some servers round a length up, or use the end of a window.
_LONGER: Final = 1.1
_LONGER_SECONDS: Final = 2.0
#: It may be about less sound if it has less than this part of the header's seconds: the end of a recording may be silent.
_SHORTER: Final = 0.5
#: Fewest bytes per second of nearly all recordings: 2 kbit/s. The lowest rate of recorders for speech is 4.75 kbit/s.
_LEAST_BYTES: Final = 250.0


class Measurement:
    """Measures a file with the decoder; it is decoded at most once, and only when needed."""

    def __init__(self, descriptor: int, tools: Tools, limits: media.ChildLimits, beat: HeartbeatCallback) -> None:
        self._descriptor = descriptor
        self._tools = tools
        self._limits = limits
        self._beat = beat
        self._summary: media.Summary | None = None
        #: What was counted for the request about the file.
        self.receipt = Receipt()
        #: Why the file cannot be decoded here.
        self.undecodable: FileError | None = None

    def take(self) -> media.Summary:
        """Decode the file, and return its length, loudness and more. Raises FileError, PassingError, OutputError, StoppedError."""
        if self.undecodable is not None:
            raise self.undecodable
        if self._summary is None:
            tools = self._tools
            try:
                self._summary = media.measure(
                    self._descriptor,
                    tools.media,
                    spool=tools.spool,
                    stop=tools.stop,
                    limits=self._limits,
                    waiting=self._beat,
                )
            except FileError as error:
                self.undecodable = error
                raise
        return self._summary

    def attempt(self) -> media.Summary | None:
        """Do as `take` does, but return None if the file cannot be decoded: no answer may be lost because of that."""
        try:
            return self.take()
        except (FileError, PassingError, OutputError) as error:
            _log.debug("media.child", reason=error.reason, detail=error.message)
            return None

    def seconds(self) -> float:
        """Return the length of the file in seconds; 0 if it cannot be decoded."""
        summary = self.attempt()
        return 0.0 if summary is None else summary.seconds

    def reread(self, error: GarbledError, seconds: float, request: Request) -> Transcript:
        """Read an answer with too much text for the `seconds` of the header, with the measured length.

        Raises GarbledError if it has too much text for the measured length as well; FileError if the file cannot be decoded, since
        then the file is the likely cause, not the server; SourceError if it could not be decoded for now; StoppedError.
        """
        try:
            heard = self.take().seconds
        except FileError as reason:
            message = f"{error.message}; and the length of its sound is not known: {reason.message}"
            raise FileError(message, hint=reason.hint, reason="garbled") from error
        except (PassingError, OutputError) as reason:
            raise SourceError(reason.message, hint=reason.hint, reason="unreadable") from error
        if heard <= seconds:
            raise error
        return parse(error.body, heard, request)


@dataclass(frozen=True, slots=True)
class Weighed:
    """An answer, read with the length that turned out to be right: of the sound, and of what was bought (seconds)."""

    transcript: Transcript
    seconds: float
    bought: float
    measured: media.Summary | None = None


def weighed(
    transcript: Transcript, body: bytes, seconds: float, request: Request, measurement: Measurement, *, in_doubt: bool
) -> Weighed:
    """Return an answer read with the right length: the measured one if it disagrees with the header's `seconds`, or is `in_doubt`."""
    claimed = transcript.claimed_seconds
    longer = _is_longer(claimed, seconds)
    shorter = 0 < claimed < _SHORTER * seconds - _LONGER_SECONDS
    measured = measurement.attempt() if longer or shorter or in_doubt else None
    if measured is None:
        return Weighed(transcript, seconds, min(claimed, media.LONGEST_SECONDS) if longer else seconds)
    if not (_is_longer(measured.seconds, seconds) or _is_longer(seconds, measured.seconds)):
        return Weighed(transcript, seconds, seconds, measured)
    try:
        # Otherwise correct times would be pressed into a part of the sound, or lie after its end.
        transcript = parse(body, measured.seconds, request)
    except GarbledError:
        return Weighed(transcript, seconds, measured.seconds, measured)
    return Weighed(transcript, measured.seconds, measured.seconds, measured)


def booked(size: int, seconds: float) -> float:
    """Return the seconds to count for a file of `size` bytes before it is sent: no more than it can contain.

    A wrong header could use up the minutes of all. The count is corrected after the answer.
    """
    return min(seconds, size / _LEAST_BYTES)


def _is_longer(some: float, others: float) -> bool:
    return some > others * _LONGER + _LONGER_SECONDS
