"""A sequence with markers for Premiere Pro and others, as Final Cut Pro 7 XML (xmeml version 4, Apple 2009)."""

from collections.abc import Iterator

from watcher.formats.document import Document
from watcher.formats.markers.marker import one_line, xml


def premiere(document: Document) -> Iterator[str]:
    """Yield an empty sequence that begins with the recording's timecode, and its markers in frames from there.

    It begins at 0 where nobody knows when the recording began.
    """
    timecode = document.timecode
    rate = timecode.rate
    rates = f"<rate><timebase>{rate.nominal}</timebase><ntsc>{'TRUE' if rate.is_slowed else 'FALSE'}</ntsc></rate>"
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE xmeml>\n<xmeml version="4">\n  <sequence>\n'
        f"    <name>{xml(one_line(document.source))}</name>\n"
        f"    <duration>{max(1, rate.frames(document.milliseconds / 1000, up=True))}</duration>\n"
        f"    {rates}\n"
        f"    <timecode>{rates}<string>{rate.label(timecode.first)}</string><frame>{timecode.first}</frame>"
        f"<displayformat>{'DF' if rate.drop else 'NDF'}</displayformat></timecode>\n"
        "    <media><video><format><samplecharacteristics>"
        f"{rates}<width>1920</width><height>1080</height></samplecharacteristics></format><track/></video></media>\n"
    )
    for marker in document.markers:
        start = rate.frames(marker.start / 1000)
        end = rate.frames(marker.end / 1000, up=True)
        yield (
            f"    <marker><name>{xml(marker.name)}</name><comment>{xml(marker.comment)}</comment>"
            f"<in>{start}</in><out>{end if end > start else -1}</out></marker>\n"
        )
    yield "  </sequence>\n</xmeml>\n"
