"""A project with captions and markers for Final Cut Pro, as FCPXML 1.10 (Apple)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final
from urllib.parse import quote_from_bytes

from watcher.formats.document import Document
from watcher.formats.markers.marker import one_line, xml
from watcher.timecode import FrameRate

#: The rates for which Final Cut Pro has formats of its own, and how their names end.
_NAMED: Final = {
    Fraction(24_000, 1001): "2398",
    Fraction(24): "24",
    Fraction(25): "25",
    Fraction(30_000, 1001): "2997",
    Fraction(30): "30",
    Fraction(50): "50",
    Fraction(60_000, 1001): "5994",
    Fraction(60): "60",
}


def fcpxml(document: Document) -> Iterator[str]:
    """Yield a project with the recording, the captions at its clip, and the markers.

    The recording is the one beside the file; a session has a gap in its place. Times are whole frames: a caption begins
    with the frame in which it does, and ends after the one in which it does. Two captions of a lane never overlap.
    """
    rate, first = document.timecode.rate, document.timecode.first
    start, form = _time(rate, first), "DF" if rate.drop else "NDF"
    captions = _placed(document)
    markers_at = [
        (rate.frames(one.start / 1000), rate.frames(one.end / 1000, up=True), one) for one in document.markers
    ]
    ends = [
        1,
        rate.frames(document.milliseconds / 1000, up=True),
        *(one.end for one in captions),
        *(end for _, end, _ in markers_at),
    ]
    length, name = _time(rate, max(ends)), xml(one_line(document.source))
    of_one = len(document.files) == 1
    clip = f'asset-clip ref="r2" tcFormat="{form}"' if of_one else "gap"
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n<fcpxml version="1.10">\n  <resources>\n'
    yield f"    {_format(rate)}\n"
    if of_one:
        file = document.files[0]
        source = xml(f"./{quote_from_bytes(file.name)}")
        picture = ' hasVideo="1" format="r1"' if file.film else ""
        yield (
            f'    <asset id="r2" name="{name}" start="{start}" duration="{length}" hasAudio="1"{picture}>'
            f'<media-rep kind="original-media" src="{source}"/></asset>\n'
        )
    yield (
        f'  </resources>\n  <library>\n    <event name="{name}">\n      <project name="{name}">\n'
        f'        <sequence format="r1" duration="{length}" tcStart="{start}" tcFormat="{form}">\n          <spine>\n'
        f'            <{clip} name="{name}" offset="{start}" start="{start}" duration="{length}">\n'
    )
    yield from _caption_elements(document, captions)
    for begin, end, marker in markers_at:
        yield (
            f'              <marker start="{_time(rate, first + begin)}" duration="{_time(rate, max(1, end - begin))}"'
            f' value="{xml(marker.name)}" note="{xml(marker.comment)}"/>\n'
        )
    yield (
        f"            </{clip.partition(' ')[0]}>\n          </spine>\n        </sequence>\n      </project>\n    </event>\n  </library>\n</fcpxml>\n"
    )


def _caption_elements(document: Document, captions: Iterable["_Caption"]) -> Iterator[str]:
    rate, first = document.timecode.rate, document.timecode.first
    role = f"iTT?captionFormat=ITT.{document.transcript.language or 'en'}"
    for number, caption in enumerate(captions, 1):
        yield (
            f'              <caption lane="{caption.lane}" offset="{_time(rate, first + caption.start)}"'
            f' duration="{_time(rate, caption.end - caption.start)}" name="{xml(" ".join(caption.lines))}" role="{xml(one_line(role))}">'
            f'<text><text-style ref="ts{number}">{"&#10;".join(map(xml, caption.lines))}</text-style></text>'
            f'<text-style-def id="ts{number}"><text-style font=".AppleSystemUIFont" fontSize="13" fontColor="1 1 1 1"/>'
            "</text-style-def></caption>\n"
        )


def _format(rate: FrameRate) -> str:
    named = f' name="FFVideoFormat1080p{_NAMED[rate.rate]}"' if rate.rate in _NAMED else ""
    return f'<format id="r1"{named} frameDuration="{_time(rate, 1)}" width="1920" height="1080"/>'


def _time(rate: FrameRate, frames: int) -> str:
    """Return a whole number of frames as a fraction of seconds."""
    if not frames:
        return "0s"
    return f"{frames * rate.rate.denominator}/{rate.rate.numerator}s"


@dataclass(slots=True)
class _Caption:
    """A caption on whole frames from the recording's start."""

    start: int
    end: int
    lines: tuple[str, ...]
    lane: int = 1


def _placed(document: Document) -> list[_Caption]:
    """Return the captions, on as few lanes as they need.

    Where only the rounding makes two of them overlap, the first ends earlier, or, if it has one frame only, the second begins later.
    """
    rate = document.timecode.rate
    placed: list[_Caption] = []
    #: Of each lane: the last caption, and when it ends in seconds.
    lanes: list[tuple[_Caption, float]] = []
    for cue in sorted(document.layout.cues, key=lambda one: one.start):
        lines = tuple(filter(None, map(one_line, cue.lines)))
        if not lines:
            continue
        start = rate.frames(cue.start)
        caption = _Caption(start, max(start + 1, rate.frames(cue.end, up=True)), lines)
        placed.append(caption)
        lane = next((index for index, (_, end) in enumerate(lanes) if end <= cue.start), len(lanes))
        caption.lane = lane + 1
        if lane < len(lanes):
            _part(lanes[lane][0], caption)
            lanes[lane] = caption, cue.end
        else:
            lanes.append((caption, cue.end))
    return placed


def _part(before: _Caption, caption: _Caption) -> None:
    """Make two captions of a lane end and begin one after the other."""
    before.end = max(before.start + 1, min(before.end, caption.start))
    caption.start = max(caption.start, before.end)
    caption.end = max(caption.end, caption.start + 1)
