"""Markers for editors, read back by programs that nobody here wrote: csv, an XML parser, and OpenTimelineIO's adapters."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from types import ModuleType
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.documents import LANGUAGES, document, hostile, talk
from support.transcripts import transcripts

from watcher.cues import Cue, Layout
from watcher.formats import Document, TextLayout, render
from watcher.formats.document import PlayableFile
from watcher.output_kinds import MARKER_KINDS
from watcher.timecode import FrameRate, Timecode
from watcher.transcript import Segment, Transcript

KINDS = sorted(MARKER_KINDS)
RATES = ("23.976", "24", "25", "29.97", "29.97df", "30", "50", "59.94", "59.94df", "60")
FILM = Timecode(FrameRate.parse("23.976"), 1_094_376, "bext")
WAYS = ("utterance", "caption", "paragraph")


@pytest.fixture(scope="module")
def otio() -> ModuleType:
    for package in ("otio_fcp_adapter", "otio_cmx3600_adapter", "otio_fcpx_xml_adapter"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    found: ModuleType = pytest.importorskip("opentimelineio", reason="opentimelineio is not installed")
    return found


def made(
    transcript: Transcript, *, markers: Any = "utterance", timecode: Timecode | None = None, files: int = 1
) -> Document:
    found = document(transcript, transcript.duration, TextLayout(markers=markers))
    return replace(
        found,
        timecode=timecode or Timecode(),
        files=tuple(PlayableFile(f"talk {number} ü&.wav".encode()) for number in range(files)),
    )


def rows(kind: str, found: Document) -> list[list[str]]:
    """Read a table as its program does."""
    text = render(kind, found).decode()
    if kind == "reaper":
        return list(csv.reader(io.StringIO(text, newline="")))[1:]
    table = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE))
    return table[1:] if kind == "audition" else table


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own


def comments(kind: str, found: Document) -> list[str]:
    """Return the whole texts of a file's markers."""
    if kind in {"reaper", "audition", "audacity", "avid"}:
        place = {"reaper": 1, "audition": 5, "audacity": 2, "avid": 4}[kind]
        return [row[place] for row in rows(kind, found)]
    text = render(kind, found).decode()
    if kind == "resolve":
        return re.findall(r"^(.*) \|C:ResolveColorBlue \|M:.* \|D:\d+$", text, re.MULTILINE)
    root = parsed(text)
    if kind == "premiere":
        return [marker.findtext("comment", "") for marker in root.iter("marker")]
    return [marker.get("note", "") for marker in root.iter("marker")]


def spoken(texts: Iterator[str] | list[str]) -> str:
    """Return letters and digits alone: the rest may be changed so that no program takes it for its own."""
    return "".join(re.findall(r"[^\W_]+", " ".join(texts)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_in_all_languages_each_marker_has_its_speaker_and_all_its_text(kind: str, language: str) -> None:
    found = made(talk(language))

    assert spoken(comments(kind, found)) == spoken(
        [one.text if kind == "avid" else one.comment for one in found.markers]
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_in_the_text_becomes_a_field_a_line_or_an_element(kind: str, way: str) -> None:
    found = made(hostile(), markers=way)
    wanted = list(found.markers)

    texts = comments(kind, found)

    assert len(texts) == len(wanted)
    assert spoken(texts) == spoken([one.text if kind == "avid" else one.comment for one in wanted])


@pytest.mark.parametrize("kind", ["reaper", "audition"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_of_a_table_is_a_formula_whatever_a_spreadsheet_takes_for_its_separator(
    kind: str, separator: str
) -> None:
    said = ['=HYPERLINK("http://x","y")', "-2+3", "+1", "@SUM(A1)", "Well,=1+1;=2", "10 - 2 = 8"]
    found = made(Transcript(tuple(Segment(text, at, at + 1) for at, text in enumerate(said)), "en", 9))
    text = render(kind, replace(found, text=TextLayout(markers="utterance"))).decode()

    cells = [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) for cell in row]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell[:1] in {"=", "+", "-", "@"} and cell]
    assert any("10 - 2 = 8" in cell for cell in cells)


@pytest.mark.slow
@given(transcripts(speakers=("", "Anna", "a|b\t<c>")), st.sampled_from(RATES), st.sampled_from(WAYS))
def test_any_transcript_becomes_valid_markers_with_every_word(
    case: tuple[Transcript, float], rate: str, way: str
) -> None:
    transcript, duration = case
    found = made(replace(transcript, duration=duration), markers=way, timecode=Timecode(FrameRate.parse(rate), 86_399))
    wanted = list(found.markers)
    for kind in KINDS:
        texts = comments(kind, found)

        assert len(texts) == len(wanted)
        assert spoken(texts) == spoken([one.text if kind == "avid" else one.comment for one in wanted])
    assert [one.start for one in wanted] == sorted(one.start for one in wanted)
    assert all(one.name and one.end >= one.start >= 0 and len(one.name) <= 121 for one in wanted)


class TestTables:
    SAID = Transcript((Segment('He said "no", then went.', 0, 2), Segment("Back.", 3723.25, 3725)), "en", 4000)

    def test_reaper_has_regions(self) -> None:
        assert render("reaper", made(self.SAID)).decode() == (
            "#,Name,Start,End,Length,Color\n"
            'R1,"He said ""no"", then went.",0:00:00.000,0:00:02.000,0:00:02.000,\n'
            "R2,Back.,1:02:03.250,1:02:04.400,0:00:01.150,\n"
        )

    def test_audition_has_cues_in_columns_by_tabs(self) -> None:
        assert render("audition", made(self.SAID)).decode() == (
            "Name\tStart\tDuration\tTime Format\tType\tDescription\n"
            "He said 'no', then went.\t0:00.000\t0:02.000\tdecimal\tCue\tHe said 'no', then went.\n"
            "Back.\t1:02:03.250\t0:01.150\tdecimal\tCue\tBack.\n"
        )

    def test_audacity_has_seconds(self) -> None:
        assert render("audacity", made(self.SAID)).decode() == (
            '0.000000\t2.000000\tHe said "no", then went.\n3723.250000\t3724.400000\tBack.\n'
        )

    def test_avid_has_timecode(self) -> None:
        found = made(talk("en"), timecode=FILM)

        assert render("avid", found).decode().endswith("\r\n")
        assert {len(row) for row in rows("avid", found)} == {5}
        assert rows("avid", found)[0][:4] == ["Anna", "12:39:59:09", "V1", "green"]
        assert {row[0] for row in rows("avid", found)} == {"Anna", "Ben, the 2nd"}


class TestResolve:
    @pytest.mark.parametrize("rate", RATES)
    def test_another_program_finds_the_events_at_their_timecode(self, otio: ModuleType, rate: str) -> None:
        found = made(talk("en"), timecode=Timecode(FrameRate.parse(rate), FrameRate.parse(rate).frame("10:00:00:00")))
        number = float(found.timecode.rate.rate)

        timeline = otio.adapters.read_from_string(render("resolve", found).decode(), "cmx_3600", rate=number)

        clips = list(timeline.find_clips())
        starts = [found.timecode.first + found.timecode.rate.frames(one.start / 1000) for one in found.markers]
        assert len(clips) == len(starts)
        assert [clip.source_range.duration.value for clip in clips] == [1] * len(clips)
        assert [round(clip.source_range.start_time.value) for clip in clips] == starts

    def test_where_the_start_is_not_known_it_is_that_of_a_new_timeline(self) -> None:
        assert "  01:00:00:10 01:00:00:11 01:00:00:10 01:00:00:11  \n" in render("resolve", made(talk("en"))).decode()

    def test_dropped_numbers_are_said(self) -> None:
        dropping = Timecode(FrameRate.parse("29.97df"), 0)

        assert "\nFCM: DROP FRAME\n" in render("resolve", made(talk("en"), timecode=dropping)).decode()
        assert "\nFCM: NON-DROP FRAME\n" in render("resolve", made(talk("en"), timecode=FILM)).decode()

    @pytest.mark.slow
    def test_of_more_than_999_markers_neighbours_share_one(self) -> None:
        said = Transcript(
            tuple(Segment(f"Word{index}.", index * 2, index * 2 + 1) for index in range(2500)), "en", 5000
        )
        found = made(said)

        text = render("resolve", found).decode()

        numbers = re.findall(r"^(\d+)  001 ", text, re.MULTILINE)
        assert len(numbers) == 834
        assert {len(number) for number in numbers} == {3}
        assert spoken(comments("resolve", found)) == spoken([one.comment for one in found.markers])

    @pytest.mark.parametrize("text", ["002 001 V C 0", "TITLE: x", "* note", "M2 x", "> x", "NO!"])
    def test_a_text_is_no_statement_of_the_list(self, text: str) -> None:
        said = render("resolve", made(Transcript((Segment(text, 0, 1),), "en", 1))).decode()

        assert f"\n- {text} |C:" in said


class TestPremiere:
    @pytest.mark.parametrize("rate", RATES)
    def test_another_program_finds_sequence_and_markers(self, otio: ModuleType, rate: str) -> None:
        found = made(talk("de"), timecode=Timecode(FrameRate.parse(rate), FrameRate.parse(rate).frame("10:00:00:00")))

        timeline = otio.adapters.read_from_string(render("premiere", found).decode(), "fcp_xml")

        wanted = list(found.markers)
        read = list(timeline.tracks.markers)
        frames = found.timecode.rate.frames
        assert timeline.name == "talk.wav"
        assert [marker.name for marker in read] == [one.name for one in wanted]
        assert [marker.marked_range.start_time.value for marker in read] == [frames(one.start / 1000) for one in wanted]
        assert read[0].marked_range.start_time.rate == pytest.approx(float(found.timecode.rate.rate), abs=0.001)
        assert timeline.global_start_time.value == found.timecode.first

    def test_a_marker_without_length_is_a_point(self) -> None:
        found = document(Transcript((), "en", 1))
        found = replace(found, layout=Layout((Cue(0.0, 0.0, ("x",)),)), text=TextLayout(markers="caption"))

        assert "<in>0</in><out>-1</out>" in render("premiere", found).decode()


class TestFinalCut:
    def frames(self, time: str, rate: FrameRate) -> int:
        """Return a time in frames; it has to be a whole number of them."""
        match = re.fullmatch(r"(\d+)(?:/(\d+))?s", time)
        assert match is not None
        frames = Fraction(int(match[1]), int(match[2] or 1)) * rate.rate
        assert frames.denominator == 1
        return int(frames)

    @pytest.mark.parametrize("rate", RATES)
    def test_another_program_finds_the_clip_and_its_markers(self, otio: ModuleType, rate: str) -> None:
        found = made(talk("en"), timecode=Timecode(FrameRate.parse(rate), FrameRate.parse(rate).frame("10:00:00:00")))

        read = otio.adapters.read_from_string(render("fcpxml", found).decode(), "fcpx_xml")

        clips = list(read.find_clips())
        assert clips[0].name == "talk.wav"
        assert [marker.name for marker in clips[0].markers] == [one.name for one in found.markers]

    def test_a_film_has_a_picture_and_a_sound_has_none(self) -> None:
        film, sound = (
            replace(made(talk("en")), files=(PlayableFile(b"talk.mov", film=film),)) for film in (True, False)
        )

        assets = [parsed(render("fcpxml", found).decode()).find("resources/asset") for found in (film, sound)]

        assert [
            one is not None and (one.get("hasVideo"), one.get("format"), one.get("hasAudio")) for one in assets
        ] == [
            ("1", "r1", "1"),
            (None, None, "1"),
        ]

    @pytest.mark.slow
    @given(transcripts(), st.sampled_from(RATES), st.integers(1, 2))
    def test_captions_are_whole_frames_and_never_overlap_in_a_lane(
        self, case: tuple[Transcript, float], rate: str, files: int
    ) -> None:
        transcript, duration = case
        found = made(
            replace(transcript, duration=duration), timecode=Timecode(FrameRate.parse(rate), 90_000), files=files
        )

        root = parsed(render("fcpxml", found).decode())

        clip = root.find("library/event/project/sequence/spine/*")
        assert clip is not None
        assert clip.tag == ("asset-clip" if files == 1 else "gap")
        of = found.timecode.rate
        first, length = self.frames(clip.get("start", ""), of), self.frames(clip.get("duration", ""), of)
        assert first == 90_000
        ends: dict[str, int] = {}
        shown = []
        for caption in clip.iter("caption"):
            begin, frames = (self.frames(caption.get(key, ""), of) for key in ("offset", "duration"))
            lane = caption.get("lane", "")
            assert begin >= ends.get(lane, first)
            assert frames >= 1
            ends[lane] = begin + frames
            shown.append("".join(caption.itertext()))
        assert spoken(shown) == spoken([line for cue in found.layout.cues for line in cue.lines])
        assert max(ends.values(), default=first) <= first + length
        assert set(ends) <= {"1"} or found.layout.broken

    def test_a_caption_begins_with_its_frame_and_ends_behind_it(self) -> None:
        cues = (Cue(0.05, 1.01, ("a",)), Cue(1.02, 1.03, ("b",)), Cue(1.0, 1.5, ("c",)))
        found = replace(made(Transcript((), "en", 2)), layout=Layout(cues))

        captions = list(parsed(render("fcpxml", found).decode()).iter("caption"))

        assert [(one.get("lane"), one.get("offset"), one.get("duration")) for one in captions] == [
            ("1", "1/25s", "24/25s"),
            ("2", "25/25s", "13/25s"),
            ("1", "25/25s", "1/25s"),
        ]

    def test_the_recording_lies_beside_the_file(self) -> None:
        root = parsed(render("fcpxml", made(talk("zh"), timecode=FILM)).decode())

        media, caption = root.find("resources/asset/media-rep"), next(root.iter("caption"))
        sequence = root.find("library/event/project/sequence")
        assert media is not None
        assert sequence is not None
        assert media.get("src") == "./talk%200%20%C3%BC%26.wav"
        assert caption.get("role") == "iTT?captionFormat=ITT.zh"
        assert (sequence.get("tcStart"), sequence.get("tcFormat")) == (f"{1_094_376 * 1001}/24000s", "NDF")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Yes.", "Yes."),
        (
            "This is a sentence that goes on and on, so that its name has to end before the sentence does.",
            "This is a sentence that goes on and on, so that its name has…",
        ),
        ("字" * 90, "字" * 30 + "…"),
    ],
)
def test_a_name_ends_with_a_word(text: str, name: str) -> None:
    found = made(Transcript((Segment(text, 0, 9),), "en", 9), markers="paragraph")

    assert found.markers[0].name == name
