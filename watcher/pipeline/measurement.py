"""The length of a file that is sent as it is: what its header says, what the answer claims, and what the decoder hears.

The header is somebody's word, and so is the answer. Where the two do not fit, the file is decoded, once, and that counts: for the
reading of the answer as for what was bought.
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

#: An answer is about more sound than the file's header tells of when it claims more than so many times its seconds, and more:
#: some servers round a length up, or take a window's end for it.
_LONGER: Final = 1.1
_LONGER_SECONDS: Final = 2.0
#: It may be about less where it claims less than this part: the end of a recording may be silent.
_SHORTER: Final = 0.5
#: Bytes a second that hardly any recording falls below: 2 kbit/s. Speech at 4.75 kbit/s is the least that recorders write.
_LEAST_BYTES: Final = 250.0


class Measurement:
    """What the decoder hears of a file; it is decoded once at most, and only if that is asked for."""

    def __init__(self, descriptor: int, tools: Tools, limits: media.ChildLimits, beat: HeartbeatCallback) -> None:
        self._descriptor = descriptor
        self._tools = tools
        self._limits = limits
        self._beat = beat
        self._summary: media.Summary | None = None
        #: What the request about the file was booked with.
        self.receipt = Receipt()
        #: Why the file cannot be decoded here.
        self.undecodable: FileError | None = None

    def take(self) -> media.Summary:
        """Return how long and how loud the file is, among other things. Raises FileError, PassingError, OutputError, StoppedError."""
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
        """Return the same; None where it cannot be decoded: nothing of an answer may be lost because of that."""
        try:
            return self.take()
        except (FileError, PassingError, OutputError) as error:
            _log.debug("media.child", reason=error.reason, detail=error.message)
            return None

    def seconds(self) -> float:
        """Return how long the file is; 0 where that cannot be known."""
        summary = self.attempt()
        return 0.0 if summary is None else summary.seconds

    def reread(self, error: GarbledError, seconds: float, request: Request) -> Transcript:
        """Read an answer that holds more than `seconds` of sound can, which is what the header says.

        Raises GarbledError where it does not fit what is heard either; FileError where the file cannot be decoded, for then the
        file is to blame rather than the server; SourceError where that could not be found out now, StoppedError.
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
    """What an answer says, by the length that is known in the end: of the sound, and of what was bought of it (seconds)."""

    transcript: Transcript
    seconds: float
    bought: float
    measured: media.Summary | None = None


def weighed(
    transcript: Transcript, body: bytes, seconds: float, request: Request, measurement: Measurement, *, in_doubt: bool
) -> Weighed:
    """Return an answer as it is to be read: by what is heard where it does not fit the header's `seconds`, or is `in_doubt`."""
    claimed = transcript.claimed_seconds
    longer = _is_longer(claimed, seconds)
    shorter = 0 < claimed < _SHORTER * seconds - _LONGER_SECONDS
    measured = measurement.attempt() if longer or shorter or in_doubt else None
    if measured is None:
        return Weighed(transcript, seconds, min(claimed, media.LONGEST_SECONDS) if longer else seconds)
    if not (_is_longer(measured.seconds, seconds) or _is_longer(seconds, measured.seconds)):
        return Weighed(transcript, seconds, seconds, measured)
    try:
        # Else true times would be pressed into a part of the sound, or lie behind its end.
        transcript = parse(body, measured.seconds, request)
    except GarbledError:
        return Weighed(transcript, seconds, measured.seconds, measured)
    return Weighed(transcript, measured.seconds, measured.seconds, measured)


def booked(size: int, seconds: float) -> float:
    """Return the seconds that a file of `size` bytes is booked with before it is sent: no more than it can hold.

    Its header may say anything; what it says would use up the minutes of all. The answer tells more.
    """
    return min(seconds, size / _LEAST_BYTES)


def _is_longer(some: float, others: float) -> bool:
    return some > others * _LONGER + _LONGER_SECONDS
