"""The media child: decodes, cuts and encodes one recording, and reports line by line (see `protocol`).

It runs for one job. `Cutting` starts it with a clean environment and only two descriptors (the recording, and the socket
to the daemon). It sandboxes itself, and the daemon does not trust its output.
"""

import os
import select
import socket
import time
import traceback
from functools import partial
from pathlib import Path
from typing import Final

import av
import numpy as np

import watcher
from watcher.errors import JobError, OutputError
from watcher.job import SAMPLE_RATE, ResultWarning
from watcher.media.decode import RecordingDecoder
from watcher.media.encode import encode
from watcher.media.excerpts import Excerpts
from watcher.media.gain import gain
from watcher.media.levels import LoudnessMeter, SoundDetector
from watcher.media.plan import PlannedPiece, Planner, rules_for
from watcher.media.protocol import (
    MAX_LINE,
    Continue,
    Ended,
    Failed,
    Grant,
    Made,
    Message,
    Opened,
    Order,
    Progress,
    Replanned,
)
from watcher.media.protocol import decode as read_message
from watcher.media.protocol import encode as write_message
from watcher.media.sentences import NOT_READABLE_YET, SILENT, TOO_MUCH_MEMORY, UNFORESEEN, UPLOADS_TOO_SMALL
from watcher.media.source import GrowingReader, SourceReader
from watcher.media.values import SoundChoice
from watcher.sandbox import allow_cpu, confine

#: Seconds between signs of life.
_BEAT: Final = 1.0
#: Seconds between two looks at the size of a recording that is being written.
_GROWS: Final = 0.5
#: If a piece would have to be shorter than this many seconds to be small enough, it is not made.
_LEAST: Final = 5.0


def main(descriptor: int, line: int, parent: int) -> int:
    """Process the recording of `descriptor`, by the order from the socket `line`; return the exit code."""
    with socket.socket(fileno=line) as link:
        channel = ChildChannel(link)
        order = channel.receive()
        if not isinstance(order, Order):
            raise TypeError(f"an order was expected, not {order}")
        # PyAV imports some of its modules when they are first needed.
        code = [Path(str(module.__file__)).parent for module in (av, np, os, watcher)]
        confine(parent, memory=order.limit_memory, spool=Path(order.spool), code=code)
        MediaChild(channel, order, descriptor).run()
    return 0


class ChildChannel:
    """The child's end of the socket to the daemon."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._received = bytearray()
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)
        #: Monotonic time of the last message sent.
        self.spoken = time.monotonic()

    def send(self, message: Message) -> None:
        """Send a message; OSError if the daemon is gone."""
        self._link.sendall(write_message(message))
        self.spoken = time.monotonic()

    def receive(self) -> Message:
        """Wait for a message of the daemon; EOFError if it is gone."""
        while (message := self._taken()) is None:
            self._receive()
        return message

    def received(self, seconds: float) -> Message | None:
        """Return the next message of the daemon if there is one within so many seconds; EOFError if it is gone."""
        if (message := self._taken()) is None and self._poll.poll(seconds * 1000):
            self._receive()
            message = self._taken()
        return message

    def _receive(self) -> None:
        data = self._link.recv(1 << 16)
        if not data:
            raise EOFError("the daemon is gone")
        self._received += data

    def _taken(self) -> Message | None:
        end = self._received.find(b"\n", 0, MAX_LINE) + 1
        if not end and len(self._received) < MAX_LINE:
            return None
        # A line that is too long is cut off, and so refused.
        line = bytes(self._received[: end or MAX_LINE])
        del self._received[: len(line)]
        return read_message(line)


class MediaChild:
    """One recording, from the order to the end."""

    def __init__(self, channel: ChildChannel, order: Order, descriptor: int) -> None:
        self._channel = channel
        self._order = order
        self._descriptor = descriptor
        self._reader = SourceReader(descriptor, tick=self._beat)
        #: The same while it is being written; None: it is whole.
        self._growing: GrowingReader | None = None
        if order.growing is not None:
            self._growing = GrowingReader(descriptor, hold=order.growing, pause=self._pause)
        #: What was read before it was whole, which is to be compared with the whole.
        self._unproven: GrowingReader | None = None
        self._recording: RecordingDecoder | None = None
        self._plan = partial(
            rules_for,
            piece_seconds=order.piece_seconds,
            places=order.places if order.auto and not order.steady else 0,
            max_seconds=order.max_seconds,
            skip_silence=order.skip_silence,
            longest_silence=order.longest_silence,
            steady=order.steady,
        )
        self._meter = LoudnessMeter()
        self._heard = 0
        #: Seconds decoded to compare tracks.
        self._listened = 0.0
        self._made = False
        #: Detects sound if no pieces are made.
        self._listener = SoundDetector()
        self._granted = 0
        #: Names of the pieces' files; the daemon empties a file when its piece was sent.
        self._files: list[str] = []
        self._told_replanned = False

    def run(self) -> None:
        """Process the recording, and send the result or the failure."""
        try:
            self._work()
        except JobError as exc:
            self._channel.send(_failed(exc, repr(exc.__cause__ or "")))
        except MemoryError:
            self._channel.send(_failed(TOO_MUCH_MEMORY.error()))
        except (BrokenPipeError, EOFError):
            # There is no reader.
            return
        except Exception:  # noqa: BLE001 - the process's boundary: an error that a hostile file causes fails only that file
            self._channel.send(_failed(UNFORESEEN.error(), traceback.format_exc()))

    def _work(self) -> None:
        order = self._order
        self._allow()
        recording = self._recording = self._opened(self._growing or self._reader)
        rules, _ = self._plan(recording.seconds)
        # The recording may be longer than its header says; sound beyond that is cut by the rules for an unknown length.
        beyond, _ = self._plan(None)
        if order.steady:
            rules = beyond
        self._tell(recording)
        planner: Planner | Excerpts | None
        if order.measure:
            planner = None
        elif order.excerpts:
            planner = Excerpts(order.excerpts)
        else:
            planner = Planner(rules, beyond=beyond, planned=order.planned)
        if self._feed(planner, recording):
            # The decoder takes something in it for an end, and what follows is not known; or it meets damage in another way than in a
            # file that was whole from the start.
            if self._growing is not None or (order.growing is not None and recording.is_damaged):
                raise NOT_READABLE_YET.error()
            # Only now, so that the last pieces are sent while this reads the whole file.
            if self._unproven is not None and not self._unproven.was_right(self._reader):
                raise NOT_READABLE_YET.error()
            self._sum_up(recording)

    def _opened(self, reader: SourceReader) -> RecordingDecoder:
        order = self._order
        return RecordingDecoder(
            reader,
            limit_seconds=order.limit_seconds,
            choice=SoundChoice(order.track, order.channel),
            compare=order.compare,
            listened=self._listen,
        )

    def _tell(self, recording: RecordingDecoder) -> None:
        pieces = max(self._plan(recording.seconds)[1], len(self._order.planned))
        self._channel.send(Opened(recording.seconds, pieces, recording.stream, recording.others))

    def _feed(self, planner: Planner | Excerpts | None, recording: RecordingDecoder) -> bool:
        """Decode, and make the pieces; return False if the rest of the recording was not read, so that there is no summary."""
        for samples in recording.samples():
            self._heard += len(samples)
            self._meter.add(samples)
            if planner is None:
                self._listener.add(samples)
            else:
                planner.feed(samples)
                if self._heard >= self._order.least_seconds * SAMPLE_RATE:
                    self._make(planner)
            if isinstance(planner, Excerpts) and planner.done:
                return False
            self._beat()
            if self._growing is not None:
                self._heed(self._channel.received(0.0))
        if planner is not None:
            planner.finish()
            self._make(planner)
        return True

    def _sum_up(self, recording: RecordingDecoder) -> None:
        self._channel.send(
            Ended(
                seconds=self._heard / SAMPLE_RATE + recording.silence,
                content=self._reader.content(),
                loudness=self._meter.finish(),
                warnings=recording.warnings + recording.ending() + self._silence(recording),
                stream=recording.stream,
                number=recording.number,
                tracks=recording.tracks(),
            )
        )

    def _silence(self, recording: RecordingDecoder) -> tuple[ResultWarning, ...]:
        """Return a warning if there was no sound."""
        self._listener.finish()
        if self._made or self._listener.hears:
            return ()
        return (SILENT.warning("any audio track of this" if recording.others else "this"),)

    def _listen(self, seconds: float) -> None:
        self._listened += seconds
        self._beat()

    def _make(self, planner: Planner | Excerpts) -> None:
        """Make the pieces whose cuts are decided."""
        while (span := planner.span()) is not None:
            if planner.replanned is not None and not self._told_replanned:
                self._told_replanned = True
                self._channel.send(Replanned(planner.replanned))
            self._wait_for_grant()
            file = self._free_file()
            size = self._encoded(span, file)
            if size > self._order.max_bytes:
                Path(self._order.spool, file).write_bytes(b"")
                planner.shorten(span, self._shorter(span, size))
                continue
            self._granted -= 1
            self._made = True
            planner.accept(span)
            self._channel.send(Made(span.cut, span.overlap, file, size))

    def _free_file(self) -> str:
        """Return the name of an emptied file, or of a new one: so there are never more files than pieces that exist at a time."""
        for file in self._files:
            if not Path(self._order.spool, file).stat().st_size:
                return file
        self._files.append(f"{len(self._files):05}.{self._order.codec}")
        return self._files[-1]

    def _encoded(self, span: PlannedPiece, file: str) -> int:
        path = Path(self._order.spool, file)
        try:
            return encode(span.samples, path, self._order.codec, gain=gain(span.samples))
        except OSError as exc:
            raise OutputError(
                f"A piece cannot be written to {self._order.spool}: {exc.strerror or exc}",
                hint="Make room on the disk that holds the state directory.",
                reason="spool",
            ) from exc

    def _shorter(self, span: PlannedPiece, size: int) -> int:
        longest = int(len(span.samples) * 0.9 * self._order.max_bytes / size)
        if longest < _LEAST * SAMPLE_RATE:
            raise UPLOADS_TOO_SMALL.error(self._order.max_bytes)
        return longest

    def _wait_for_grant(self) -> None:
        while not self._granted:
            self._heed(self._channel.receive())

    def _heed(self, message: Message | None) -> None:
        """Do what a message says."""
        match message:
            case None:
                pass
            case Grant():
                self._granted += message.pieces
            case Continue() if self._growing is not None:
                self._go_on(self._growing)
            case _:
                raise TypeError(f"a grant was expected, not {message}")

    def _go_on(self, growing: GrowingReader) -> None:
        """Go on with a recording that was being written, and is whole. Raises FileError ("growing") if its header says something else now."""
        whole = self._reader = SourceReader(self._descriptor, tick=self._beat)
        if self._recording is None or not growing.ends_with(whole):
            raise NOT_READABLE_YET.error()
        finished = self._opened(whole)
        if not self._recording.ends_as(finished):
            raise NOT_READABLE_YET.error()
        self._growing, self._unproven = None, growing
        self._channel.send(Progress(self._heard))
        self._tell(finished)

    def _beat(self) -> None:
        """Report progress every second, and raise the CPU limit for the sound decoded so far."""
        if time.monotonic() - self._channel.spoken >= _BEAT:
            self._allow()
            self._channel.send(Progress(self._heard))

    def _pause(self) -> None:
        """Wait until a recording that is being written may have grown."""
        self._beat()
        self._heed(self._channel.received(_GROWS))

    def _allow(self) -> None:
        base, ratio = self._order.limit_cpu_base, self._order.limit_cpu_ratio
        heard = self._heard / SAMPLE_RATE + self._listened
        most = min(base + ratio * self._order.limit_seconds, self._order.limit_cpu_most)
        allow_cpu(base + ratio * heard, most=most)


def _failed(error: JobError, detail: str = "") -> Failed:
    return Failed(error.code, error.reason, error.message, error.hint, detail)
