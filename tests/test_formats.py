"""What is rendered is read back by libraries that are not ours, and is still the same."""

import io
import json
import re
import subprocess
import sys
import unicodedata
from dataclasses import replace
from datetime import timedelta

import pysubs2
import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st
from support.documents import KINDS, document
from support.transcripts import spoken, transcripts

from watcher.cues import Cue, Layout
from watcher.cues.text import clean
from watcher.formats import Document, PlayableFile, TextLayout, render
from watcher.guard import review
from watcher.lint import lint
from watcher.output_kinds import MARKER_KINDS, OUTPUT_KINDS, TIMED_KINDS
from watcher.text import printable
from watcher.transcript import Segment, Transcript


def with_cues(*cues: Cue, language: str = "en", text: TextLayout | None = None) -> Document:
    return Document(Transcript((), language), Layout(cues), "talk.wav", text=text or TextLayout())


def bare(text: str) -> str:
    """Return the letters of a text: without blanks, direction marks and look-alikes."""
    text = re.sub("[\u202b\u202c\u200f\u200e]|\\s", "", text).replace("-->", "→")
    # The one line of the hostile texts that looks like a caption's times; no other colon is touched.
    text = text.replace("00:00:01,000", "00.00.01,000").replace("00:00:02,000", "00.00.02,000")
    return text.translate(str.maketrans("{}‹›\\", "()<>/"))


def shown(made: Document) -> list[str]:
    return [bare("".join(cue.lines)) for cue in made.layout.cues]


@pytest.mark.slow
@given(transcripts())
def test_srt_reads_back_the_same_with_the_srt_library(case: tuple[Transcript, float]) -> None:
    made = document(*case)

    found = list(srt.parse(render("srt", made).decode(), ignore_errors=False))

    assert [bare(subtitle.content) for subtitle in found] == shown(made)
    assert [subtitle.index for subtitle in found] == list(range(1, len(found) + 1))
    assert [subtitle.start for subtitle in found] == [timedelta(seconds=cue.start) for cue in made.layout.cues]
    assert [subtitle.end for subtitle in found] == [timedelta(seconds=cue.end) for cue in made.layout.cues]


@pytest.mark.slow
@given(transcripts())
def test_vtt_reads_back_the_same_with_the_webvtt_library(case: tuple[Transcript, float]) -> None:
    made = document(*case)

    found = webvtt.from_buffer(io.StringIO(render("vtt", made).decode())).captions

    assert [bare(_unescaped(caption.text)) for caption in found] == shown(made)
    assert [round(caption.start_in_seconds, 3) for caption in found] == [
        int(cue.start) for cue in made.layout.cues
    ] or [caption.start for caption in found] == [_stamp(cue.start) for cue in made.layout.cues]


@pytest.mark.slow
@given(transcripts())
def test_srt_and_vtt_read_back_the_same_with_pysubs2_and_our_linter(case: tuple[Transcript, float]) -> None:
    made = document(*case)

    for kind in ("srt", "vtt"):
        content = render(kind, made)
        found = pysubs2.SSAFile.from_string(content.decode(), kind, keep_html_tags=True)
        report = lint(content, kind)
        assert [(event.start, event.end) for event in found] == [
            (round(cue.start * 1000), round(cue.end * 1000)) for cue in made.layout.cues
        ]
        assert report.captions == len(made.layout.cues)
        assert {rule.rule: rule.count for rule in report.rules if rule.rule in {"syntax", "encoding", "empty"}} == {
            "empty": 0,
            "syntax": 0,
            "encoding": 0,
        }


@pytest.mark.slow
@given(transcripts(hostile=False))
def test_the_linter_finds_what_the_layout_reported_and_nothing_else(case: tuple[Transcript, float]) -> None:
    made = document(*case)

    for kind in ("srt", "vtt"):
        found = {rule.rule: rule.count for rule in lint(render(kind, made), kind).rules}
        for rule in ("max_chars", "max_lines", "max_chars_per_second", "min_seconds", "max_seconds", "gap_seconds"):
            assert found[rule] == sum(broken.rule == rule for broken in made.layout.broken)


@pytest.mark.slow
@given(transcripts())
def test_text_and_json_hold_every_word(case: tuple[Transcript, float]) -> None:
    transcript, duration = case
    made = document(review(transcript), duration)
    told = [clean(segment.text) for segment in made.transcript.segments if not segment.left_out]

    prose = render("txt", made).decode()
    data = json.loads(render("json", made))

    assert re.sub(r"\s+", "", prose) == re.sub(r"\s+", "", "".join(told))
    # The guard may divide a segment that repeats itself.
    assert len(data["segments"]) == len(made.transcript.segments) >= len(transcript.segments)


@pytest.mark.slow
@given(transcripts())
def test_everything_is_utf_8_in_normal_form_without_a_mark_and_ends_with_a_newline(
    case: tuple[Transcript, float],
) -> None:
    made = document(*case)

    for kind in OUTPUT_KINDS:
        if kind == "docx":
            continue  # no text
        text = render(kind, made).decode("utf-8")
        # The n of an escaped newline is no letter to compose with.
        if kind == "json":
            text = json.loads(text)["text"] + "\n"
        elif kind == "podcast":
            text = "".join(segment["body"] for segment in json.loads(text)["segments"]) + "\n"
        assert not text.startswith("\ufeff")
        assert text == unicodedata.normalize("NFC", text)
        assert not text or text.endswith("\n")
        assert kind == "avid" or "\r" not in text


def _unescaped(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _stamp(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:{milliseconds // 1000 % 60:02d}.{milliseconds % 1000:03d}"


def test_srt_is_numbered_and_timed_with_a_comma() -> None:
    made = with_cues(Cue(0.0, 1.5, ("Hello,", "world")), Cue(3725.042, 3727.0, ("again",)))

    assert render("srt", made).decode() == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello,\nworld\n\n2\n01:02:05,042 --> 01:02:07,000\nagain\n\n"
    )


def test_vtt_names_its_language_and_its_speakers_and_escapes() -> None:
    made = with_cues(Cue(0.0, 1.5, ("a < b & c --> d",), "Anna <3"), Cue(2.0, 3.0, ("- Yes.", "- No.")))

    assert render("vtt", made).decode() == (
        "WEBVTT\nKind: captions\nLanguage: en\n"
        "\n1\n00:00:00.000 --> 00:00:01.500\n<v Anna &lt;3>a &lt; b &amp; c --&gt; d\n"
        "\n2\n00:00:02.000 --> 00:00:03.000\n- Yes.\n- No.\n"
    )


def test_vtt_without_a_language_has_a_bare_header() -> None:
    assert render("vtt", with_cues(language="")) == b"WEBVTT\n"


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("1 --> 2", "1 → 2"),
        ("a <laughs> b", "a ‹laughs› b"),
        ("x < 3 and y > z", "x < 3 and y > z"),
        ("x < y and y > z", "x ‹ y and y › z"),
        ("at 00:00:01,000 or 1:02:03.4", "at 00.00.01,000 or 1.02.03.4"),
        ("at 1:02:03.4 and 5:06.7", "at 1:02:03.4 and 5:06.7"),
        ("{pos} and {x}", "(pos) and (x)"),
        ("C:\\New and \\name", "C:/New and /name"),
        ("C:\\temp", "C:\\temp"),
    ],
)
def test_srt_has_no_escape_so_look_alikes_stand_for_what_a_player_would_act_on(line: str, written: str) -> None:
    assert render("srt", with_cues(Cue(0, 2, (line,)))).decode().split("\n")[2] == written


#: What people say that looks like a time; none of it is two full time stamps in one line.
TIMES_OF_SPEECH = (
    "John 3:16,17", "mile time 3:45.2", "3:45.2", "from 3:45.2 to 3:44.9", "10:30", "at 1:02:03.4", "1:02:03,004 later",
    "16:9", "Psalm 119:105,112", "Gen 1:1,2:3,4", "00:01:02", "1:02:03 4:05:06",
)  # fmt: skip


@pytest.mark.parametrize("said", TIMES_OF_SPEECH)
def test_a_verse_or_a_lap_time_comes_out_as_it_was_said(said: str) -> None:
    made = with_cues(Cue(0, 2, (said, said)), Cue(3, 4, ("1:02:03,4", "5:06:07,8")))

    for kind in ("srt", "vtt"):
        content = render(kind, made).decode()
        assert content.count(said) >= 2
        assert [event.text for event in pysubs2.SSAFile.from_string(content, kind)] == [
            f"{said}\\N{said}",
            "1:02:03,4\\N5:06:07,8",
        ]
    assert next(srt.parse(render("srt", made).decode())).content == f"{said}\n{said}"
    for found in (
        webvtt.from_buffer(io.StringIO(render("vtt", made).decode())),
        webvtt.from_buffer(io.StringIO(render("srt", made).decode()), format="srt"),
    ):
        assert [caption.text for caption in found.captions] == [f"{said}\n{said}", "1:02:03,4\n5:06:07,8"]


@given(st.lists(st.sampled_from((*TIMES_OF_SPEECH, "1:02:03.40", "00:00:09.500", "00:07.250", "words")), max_size=4))
def test_no_line_of_a_caption_is_read_as_the_times_of_another(said: list[str]) -> None:
    line = " ".join(["we", *said])
    made = with_cues(Cue(0, 2, (line, "and")), Cue(3, 4, ("then",)))

    for kind in ("srt", "vtt"):
        content = render(kind, made).decode()
        found = pysubs2.SSAFile.from_string(content, kind)
        assert [(event.start, event.end) for event in found] == [(0, 2000), (3000, 4000)]
        assert webvtt.from_buffer(io.StringIO(content), format=kind)[1].text == "then"
    # WebVTT tells text from times by itself, so nothing is replaced there, whatever the line looks like.
    assert webvtt.from_buffer(io.StringIO(render("vtt", made).decode()))[0].text == f"{line}\nand"
    if line.count(":") < 4:
        assert f"\n{line}\nand\n" in render("srt", made).decode()


def test_a_tag_that_two_lines_make_together_is_none() -> None:
    content = render("srt", with_cues(Cue(0, 2, ("a <b", "c> d")))).decode()

    assert pysubs2.SSAFile.from_string(content, "srt")[0].text == "a ‹b\\Nc› d"


def test_lines_from_right_to_left_are_marked_for_players_that_set_them_from_the_left() -> None:
    made = with_cues(Cue(0, 2, ("مرحبا (ABC)!", "Hello")), language="ar")

    assert "\n\u202bمرحبا (ABC)!\u202c\nHello\n" in render("srt", made).decode()
    assert "\n\u200fمرحبا (ABC)!\nHello\n" in render("vtt", made).decode()


def test_nothing_said_gives_empty_outputs_that_are_valid() -> None:
    made = document(Transcript((), "en"))

    assert render("srt", made) == b""
    assert render("txt", made) == b""
    assert render("vtt", made).startswith(b"WEBVTT\n")
    assert json.loads(render("json", made))["segments"] == []


def test_a_byte_order_mark_is_written_where_it_was_asked_for_but_never_in_json() -> None:
    made = with_cues(Cue(0, 2, ("x",)), text=TextLayout(bom=True))

    assert {kind: render(kind, made).startswith(b"\xef\xbb\xbf") for kind in KINDS if kind != "docx"} == {
        "srt": True, "vtt": True, "txt": True, "json": False, "html": False,
        "md": False, "podcast": False, "ass": True, "lrc": True,
        **dict.fromkeys(MARKER_KINDS, False),
    }  # fmt: skip


@pytest.mark.parametrize("kind", sorted(TIMED_KINDS))
def test_a_transcript_without_times_yields_no_captions(kind: str) -> None:
    made = document(Transcript((Segment("Hello", 0, 1),), timed=False))

    with pytest.raises(ValueError, match=f"no {kind} can be made of a transcript without times"):
        render(kind, made)
    assert render("txt", made) == b"Hello\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", [b"\xff" * 251, b"\x01\n" * 120, b'"<&]]>,;\t=', "\u202e\ufeff\u2028".encode() * 20, b"]]>" * 80]
)
def test_every_kind_is_made_of_a_recording_with_any_name(kind: str, name: bytes) -> None:
    made = document(Transcript((Segment("Hello.", 0, 1),), "en", 1))
    named = replace(made, source=printable(name + b".wav"), files=(PlayableFile(name + b".wav"),))

    assert render(kind, named)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="'doc' is not a format: srt, txt, vtt, json"):
        render("doc", with_cues())


@pytest.mark.slow
def test_importing_the_formats_imports_no_heavy_library() -> None:
    code = (
        "import sys, watcher.formats, watcher.cues, watcher.guard, watcher.lint;"
        "print([name for name in ('pysubs2', 'numpy', 'av', 'rich', 'jsonschema', 'docx', 'lxml') if name in sys.modules])"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_reading_survives_all_four_formats(language: str) -> None:
    text = {"en": "It was late. Nobody came, and so we left.", "ja": "夜でした。誰も来ませんでした。"}[language]
    segments = tuple(spoken(text, language))
    made = document(review(Transcript(segments, language, segments[-1].end)), segments[-1].end)

    assert {bare(render(kind, made).decode())[-3:] for kind in ("srt", "txt")} == {bare(text)[-3:]}
