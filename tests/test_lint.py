from pathlib import Path

import pysubs2
import pytest

from watcher.cues import CaptionRules
from watcher.lint import COUNTED, Report, lint

GOOD = "1\n00:00:01,000 --> 00:00:03,000\nHello there\n\n2\n00:00:03,083 --> 00:00:05,000\n1984\n\n"
GOOD_VTT = (
    "WEBVTT - a title\nKind: captions\nLanguage: en-GB\n\nSTYLE\n::cue { color: lime }\n\nNOTE nothing to see\n\n"
    "intro\n00:01.000 --> 00:03.000 align:start line:0\n<v Anna>Hello &amp; <i>bye</i>\n\n"
    "01:00:03.083 --> 01:00:05.000\nTom &lt;b&gt;\n"
)


def counts(report: Report) -> dict[str, int]:
    return {rule.rule: rule.count for rule in report.rules if rule.count}


def caption(number: int, start: str, end: str, text: str) -> str:
    return f"{number}\n{start} --> {end}\n{text}\n\n"


def test_a_good_file_breaks_no_rule() -> None:
    report = lint(GOOD)

    assert report.ok
    assert (report.kind, report.captions, report.seconds, report.offending) == ("srt", 2, 4.0, 0)
    assert tuple(rule.rule for rule in report.rules) == COUNTED


def test_a_good_vtt_with_styles_comments_settings_and_voices_breaks_none() -> None:
    report = lint(GOOD_VTT)

    assert counts(report) == {}
    assert (report.kind, report.captions) == ("vtt", 2)


@pytest.mark.parametrize("language", ["yue", "yue-HK", "Cantonese", "zho", "ja"])
def test_a_language_of_full_width_is_known_by_any_of_its_names_in_the_header(language: str) -> None:
    digits = "12345678901234567890 12345678901234567890"
    content = f"WEBVTT\nLanguage: {language}\n\n00:01.000 --> 00:05.000\n{digits}\n"

    assert counts(lint(content)) == {"max_chars": 1}
    assert counts(lint(content.replace(f"Language: {language}\n", ""))) == {}


def test_what_a_viewer_does_not_see_does_not_count() -> None:
    markup = caption(1, "00:00:00,000", "00:00:05,000", "<i>" + "a" * 42 + "</i>")
    voice = "WEBVTT\n\n00:00.000 --> 00:05.000\n<v A very long name of a speaker>" + "&lt;" * 21 + "<00:01.000>x\n"

    assert lint(markup, "srt").ok
    assert lint(voice).ok


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (caption(1, "00:00:00,000", "00:00:05,000", "a" * 43), "max_chars"),
        (caption(1, "00:00:00,000", "00:00:05,000", "a\nb\nc"), "max_lines"),
        (caption(1, "00:00:00,000", "00:00:01,000", "a" * 21), "max_chars_per_second"),
        (caption(1, "00:00:00,000", "00:00:00,500", "a"), "min_seconds"),
        (caption(1, "00:00:00,000", "00:00:08,000", "a"), "max_seconds"),
        (caption(1, "00:00:01,000", "00:00:01,000", "a"), "order"),
        (GOOD + caption(3, "00:00:05,010", "00:00:07,000", "a"), "gap_seconds"),
        (GOOD + caption(3, "00:00:04,000", "00:00:07,000", "a"), "overlap"),
        (caption(1, "00:00:00,000", "00:00:05,000", "<i></i>"), "empty"),
        ("1\n00:00:00,000 --> 00:00:05,000\n", "empty"),
        ("hello\n\n" + GOOD, "syntax"),
        ("1\n00:00:01,000 -> 00:00:03,000\nHi\n", "syntax"),
        ("x\n00:00:01,000 --> 00:00:03,000\nHi\n", "syntax"),
        ("stray\n1\n00:00:01,000 --> 00:00:03,000\nHi\n", "syntax"),
        ("1\n00:00:01,000 --> 00:00:03,000\nHi --> there\n", "syntax"),
        (caption(1, "00:00:01,000", "00:00:03,000", "Hi\n\nthere"), "syntax"),
        (GOOD.replace("\n\n2\n", "\n2\n"), "syntax"),
        (GOOD.replace("\n\n2\n", "\n"), "syntax"),
    ],
)
def test_each_rule_is_counted_when_it_is_broken(content: str, rule: str) -> None:
    found = counts(lint(content, "srt"))

    assert rule in found


def test_captions_that_no_blank_line_parts_are_still_counted() -> None:
    report = lint(GOOD.replace("\n\n2\n", "\n2\n"), "srt")

    assert report.captions == 2
    assert counts(report) == {"syntax": 1}


def test_a_vtt_without_its_first_line_is_no_vtt() -> None:
    assert counts(lint("00:01.000 --> 00:03.000\nHi\n", "vtt"))["syntax"] == 1
    assert counts(lint("", "vtt"))["syntax"] == 1


def test_the_worst_come_first_with_their_number_line_and_text() -> None:
    content = "".join(
        caption(index, f"00:00:{index * 2:02d},000", f"00:00:{index * 2 + 1:02d},900", "a" * (42 + index))
        for index in range(1, 8)
    )

    (rule,) = [rule for rule in lint(content).rules if rule.rule == "max_chars"]

    assert rule.count == 7
    assert [offence.caption for offence in rule.worst] == [7, 6, 5, 4, 3]
    assert (rule.worst[0].line, rule.worst[0].start, rule.worst[0].value, rule.worst[0].limit) == (26, 14.0, 49, 42)
    assert rule.worst[0].text == "a" * 49


def test_captions_that_break_several_rules_count_once_as_offending() -> None:
    assert lint(caption(1, "00:00:00,000", "00:00:00,500", "a" * 43)).offending == 1


def test_the_rules_are_those_given() -> None:
    assert not lint(caption(1, "00:00:00,000", "00:00:05,000", "a" * 40), rules=CaptionRules(max_chars=37)).ok


def test_wide_scripts_are_counted_in_wide_characters() -> None:
    content = caption(1, "00:00:00,000", "00:00:05,000", "我们今天去公园玩天气非常好大家都很高兴")

    (rule,) = [rule for rule in lint(content).rules if rule.count]

    assert (rule.rule, rule.worst[0].value, rule.worst[0].limit) == ("max_chars", 19, 16)


@pytest.mark.parametrize("name", ["talk.srt", "talk.SRT"])
def test_a_path_is_read_and_its_suffix_tells_the_kind(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(GOOD)

    assert lint(tmp_path / name).kind == "srt"


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "talk.ass").write_text("[Script Info]")

    with pytest.raises(ValueError, match="'ass' is not a caption format: srt, vtt"):
        lint(tmp_path / "talk.ass")


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        lint(tmp_path / "none.srt")


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_other_encodings_are_read_and_reported(encoding: str) -> None:
    report = lint(GOOD.replace("Hello", "Grüße").encode(encoding))

    assert counts(report) == {"encoding": 1}
    assert report.captions == 2


@pytest.mark.parametrize(
    "content", ["\ufeff" + GOOD, ("\ufeff" + GOOD).encode(), GOOD.replace("\n", "\r\n"), GOOD.replace("\n", "\r")]
)
def test_byte_order_marks_and_line_ends_are_a_matter_of_taste(content: str | bytes) -> None:
    assert lint(content).ok


@pytest.mark.parametrize("content", [GOOD, GOOD_VTT])
def test_times_and_number_of_captions_agree_with_pysubs2(content: str) -> None:
    report = lint(content)

    found = pysubs2.SSAFile.from_string(content)

    assert report.captions == len(found)
    assert report.seconds == (max(event.end for event in found) - min(event.start for event in found)) / 1000


def test_a_last_line_of_digits_is_text_which_pysubs2_takes_for_a_number() -> None:
    content = caption(1, "00:00:00,000", "00:00:05,000", "It was\n1984")

    assert lint(caption(1, "00:00:00,000", "00:00:05,000", "x\n" + "1" * 43)).rules[0].count == 1
    assert pysubs2.SSAFile.from_string(content)[0].plaintext == "It was"


def test_a_file_without_a_last_newline_is_whole() -> None:
    assert lint(GOOD.rstrip()).captions == 2


def test_an_empty_srt_has_nothing_wrong_with_it() -> None:
    report = lint("", "srt")

    assert report.ok
    assert (report.captions, report.seconds) == (0, 0.0)


def test_captions_without_blank_lines_between_them_are_read_however_many() -> None:
    times = [f"00:{n // 60:02d}:{n % 60:02d}" for n in range(3_000)]
    many = "".join(f"{n}\n{at},000 --> {at},900\nHello\n" for n, at in enumerate(times))

    assert (lint(many, "srt").captions, counts(lint(many, "srt"))["syntax"]) == (3_000, 2_999)


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_numbers_without_end_are_no_times_and_no_characters(kind: str) -> None:
    digits, header = "9" * 5_000, "WEBVTT\n\n" if kind == "vtt" else ""
    odd = f"{digits}:00:00.000 --> {digits}:00:01.000\nA\n\n"
    report = lint(f"{header}{odd}00:00:01.000 --> 00:00:03.000\n&#{digits};\n", kind)

    assert (report.captions, counts(report)["syntax"] > 0) == (1, True)


def test_a_file_that_is_too_large_for_captions_is_refused(tmp_path: Path) -> None:
    """It was read whole: a terabyte of holes was an unexpected error, a gigabyte of them filled the memory."""
    file = tmp_path / "holes.srt"
    with file.open("wb") as stream:
        stream.truncate(1 << 40)

    with pytest.raises(OSError, match="too large"):
        lint(file)
