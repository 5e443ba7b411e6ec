import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.client.subtitle import SubtitleEntry, captions, is_subtitle


def times(text: str) -> list[tuple[float, float | None]]:
    return [(caption.start, caption.end) for caption in captions(text)]


@pytest.mark.parametrize(
    "text",
    [
        "1\n00:00:00,000 --> 00:00:03,300\nHello.\n\n",
        "\n\n1\n00:00:00,000 --> 00:00:03,300\nHello.",
        "1\r\n00:00:00,000 --> 00:00:03,300\r\nHello.\r\n",
        "WEBVTT\n\n00:00:00.000 --> 00:00:03.300\nHello.\n\n",
        "WEBVTT\n\n00:00.000 --> 00:03.300 align:start position:0%\nHello.\n",
        "WEBVTT - from a server\nKind: captions\n\nNOTE nothing\n\nintro\n00:00.000 --> 00:03.300\n<c.yellow>Hello.</c>",
        "00:00:00,000 --> 00:00:03,300\nHello.\n",
    ],
)
def test_one_caption_is_read_however_it_is_laid_out(text: str) -> None:
    assert is_subtitle(text)
    assert captions(text) == [SubtitleEntry(0.0, 3.3, "Hello.")]


@pytest.mark.parametrize("text", ["", "Hello.", "1\n2\n3", "00:00 is midnight", "WEBVTTX", "12:30 --> home"])
def test_speech_is_no_subtitle(text: str) -> None:
    assert not is_subtitle(text)


def test_captions_are_read_in_order_without_their_numbers() -> None:
    text = "1\n00:00:00,000 --> 00:00:01,000\nOne\nmore\n\n2\n00:00:01,000 --> 00:00:02,000\n1984\n\n3\n00:00:02,000 --> 00:00:03,000\n\n"

    assert [caption.text for caption in captions(text)] == ["One more", "1984"]


def test_a_missing_blank_line_does_not_put_a_number_into_the_text() -> None:
    text = "1\n00:00:00,000 --> 00:00:01,000\nOne\n2\n00:00:01,000 --> 00:00:02,000\nTwo"

    assert [caption.text for caption in captions(text)] == ["One", "Two"]


def test_a_last_caption_may_be_a_number() -> None:
    assert [caption.text for caption in captions("1\n00:00:00,000 --> 00:00:01,000\n1984")] == ["1984"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "1\n00:00:00,000 --> 00:00:01,000\nOne.\n\nMore.\n\n\nStill.\n\n2\n00:00:01,000 --> 00:00:02,000\nTwo.\n\nLast.\n",
            ["One. More. Still.", "Two. Last."],
        ),
        (
            "1\n00:00:00,000 --> 00:00:01,000\n1984\n\n1985\n\n2\n00:00:01,000 --> 00:00:02,000\nTwo",
            ["1984 1985", "Two"],
        ),
        ("00:00:00,000 --> 00:00:01,000\n1984\n\n00:00:01,000 --> 00:00:02,000\nTwo", ["1984", "Two"]),
        ("WEBVTT\n\n00:00.000 --> 00:01.000\nOne.\n\nMore.\n\n00:01.000 --> 00:02.000\nTwo.", ["One. More.", "Two."]),
        (
            "WEBVTT\n\nfirst\n00:00.000 --> 00:01.000\nOne.\n\nNOTE no text\nnor this\n\nsecond\n00:01.000 --> 00:02.000\nTwo.",
            ["One.", "Two."],
        ),
    ],
)
def test_all_paragraphs_of_a_caption_are_its_text_and_numbers_names_and_notes_are_none(
    text: str, expected: list[str]
) -> None:
    assert [caption.text for caption in captions(text)] == expected


def test_times_may_stand_in_brackets_before_the_text() -> None:
    text = "[00:00:00.000 --> 00:00:02.500]   One\nmore.\n[00:02.500 --> 00:04.000]Two.\n"

    assert is_subtitle(text)
    assert captions(text) == [SubtitleEntry(0.0, 2.5, "One more."), SubtitleEntry(2.5, 4.0, "Two.")]


def test_lines_of_lrc_last_until_the_next() -> None:
    text = "[ar:Somebody]\n[00:01.00]One.\n[00:02.50]\n[01:00]Two.\n"

    assert is_subtitle(text)
    assert captions(text) == [SubtitleEntry(1.0, 2.5, "One."), SubtitleEntry(60.0, None, "Two.")]


@pytest.mark.parametrize("text", ["[00:12 is the time", "[00:12] Hello\nthere", "[la:la] Hello", "[Music]"])
def test_other_brackets_are_speech(text: str) -> None:
    assert not is_subtitle(text)


def test_minutes_that_run_on_hold_the_hours_already() -> None:
    text = "1\n00:59:59,000 --> 01:60:01,000\na\n\n2\n01:65:00,000 --> 01:65:02,500\nb\n\n3\n02:121:07,500 --> 02:121:09,000\nc\n\n"

    assert times(text) == [(3599.0, 3601.0), (3900.0, 3902.5), (7267.5, 7269.0)]


def test_hours_count_where_minutes_are_minutes() -> None:
    assert times("01:05:00.000 --> 01:05:01.000\na") == [(3900.0, 3901.0)]


def test_the_voice_tag_names_the_speaker() -> None:
    assert captions("WEBVTT\n\n00:00.000 --> 00:01.000\n<v Ann Lee>Hi &amp; <i>bye</i></v>") == [
        SubtitleEntry(0.0, 1.0, "Hi & bye", speaker="Ann Lee")
    ]


def test_signs_that_are_no_tags_stay() -> None:
    assert captions("1\n00:00:00,000 --> 00:00:01,000\n3 < 5 and <applause>")[0].text == "3 < 5 and <applause>"


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_error(text: str) -> None:
    is_subtitle(text)
    captions(text)


lines = st.text(st.characters(categories=("L", "Nd")), min_size=1, max_size=20).filter(
    lambda line: not line.isdecimal()
)


@given(st.lists(st.tuples(st.integers(0, 35_999_999), st.integers(0, 9999), lines), max_size=8))
def test_what_is_written_as_srt_reads_the_same(cues: list[tuple[int, int, str]]) -> None:
    def clock(ms: int) -> str:
        return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"

    text = "".join(
        f"{number}\n{clock(start)} --> {clock(start + length)}\n{line}\n\n"
        for number, (start, length, line) in enumerate(cues, 1)
    )

    read = captions(text)

    assert [(round(caption.start * 1000), round((caption.end or 0) * 1000), caption.text) for caption in read] == [
        (start, start + length, line) for start, length, line in cues
    ]
