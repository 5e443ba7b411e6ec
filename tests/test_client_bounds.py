import json
from typing import Any

import pytest

from watcher.client.bounds import check_size
from watcher.client.found import Unfit
from watcher.client.parse import transcript_of
from watcher.transcript import Transcript


def read(answer: object, seconds: float) -> Transcript:
    return transcript_of(json.dumps(answer).encode(), seconds)


def entries(count: int, text: str = "a", **keys: Any) -> list[dict[str, Any]]:
    return [{"start": n * 0.001, "end": n * 0.001 + 0.001, "text": text, **keys} for n in range(count)]


@pytest.mark.parametrize("seconds", [0.0, 0.5, 10.0])
def test_text_that_fits_its_sound_is_taken(seconds: float) -> None:
    said = "a" * int(2000 + 400 * seconds)

    assert read({"text": said}, seconds).text == said
    assert read({"segments": [{"start": 0, "end": 0.4, "text": said}]}, seconds).text == said


@pytest.mark.parametrize("seconds", [0.0, 0.5, 10.0])
@pytest.mark.parametrize(
    "answer",
    [
        lambda said: {"text": said},
        lambda said: {"segments": [{"start": 0, "end": 0.4, "text": said}]},
        lambda said: {"text": "short", "segments": [{"start": 0, "end": 0.4, "text": said}]},
        lambda said: {"words": [{"start": 0, "end": 0.2, "word": "a"}, {"start": 0.2, "end": 0.4, "word": said}]},
        lambda said: said,
    ],
)
def test_text_that_no_sound_of_this_length_holds_is_refused(answer: Any, seconds: float) -> None:
    said = "a" * int(2001 + 400 * seconds)

    with pytest.raises(Unfit, match="characters of text, more than can be said"):
        read(answer(said), seconds)


def test_blanks_and_marks_that_are_cleaned_away_are_not_counted() -> None:
    assert read({"text": "a" + " " * 100_000 + "b" + "\u0301" * 100_000}, 0.5).text == "a b" + "\u0301" * 30


def test_marks_are_cut_in_words_and_in_names_too() -> None:
    marks = "a" + "\u0301\u0323" * 100
    word = {"word": marks, "start": 0.0, "end": 0.4}
    transcript = read({"segments": [{"start": 0, "end": 0.4, "text": marks, "speaker": marks, "words": [word]}]}, 0.5)

    (segment,) = transcript.segments
    assert {segment.text, segment.speaker, segment.words[0].text} == {"a" + "\u0301\u0323" * 15}


def test_times_of_as_many_words_as_can_be_said_count() -> None:
    said, words = "a " * 410, entries(410)
    segment = {"start": 0, "end": 0.5, "text": said}

    assert sum(len(one.words) for one in read({"segments": [{**segment, "words": words}]}, 0.5).segments) == 410
    assert (
        sum(len(one.words) for one in read({"text": said, "segments": [segment], "words": words}, 0.5).segments) == 410
    )


def test_times_of_more_words_than_can_be_said_are_taken_away_and_the_text_stays() -> None:
    said, words = ("a " * 411).strip(), entries(411)
    segment = {"start": 0, "end": 0.5, "text": said}
    inside = read({"segments": [{**segment, "words": words}]}, 0.5)
    beside = read({"text": said, "segments": [segment], "words": words}, 0.5)
    alone = read({"words": words}, 0.5)

    assert inside.text == beside.text == alone.text == said
    assert not [word for one in (inside, beside, alone) for segment in one.segments for word in segment.words]
    assert (inside.timed, beside.timed, alone.timed) == (True, True, False)


def test_times_of_words_longer_than_all_that_can_be_said_are_taken_away() -> None:
    word = {"word": "a" * 3_000, "start": 0.0, "end": 0.4}
    transcript = read({"segments": [{"start": 0, "end": 0.4, "text": "a", "words": [word]}]}, 0.5)

    assert (transcript.text, transcript.segments[0].words) == ("a", ())


def test_times_of_more_segments_than_can_be_said_are_taken_away_and_the_text_stays() -> None:
    assert len(read({"segments": entries(410, "a b")}, 0.5).segments) == 410
    transcript = read({"text": "short", "segments": entries(411, "a b")}, 0.5)

    assert (transcript.text, transcript.timed) == (("a b " * 411).strip(), False)


def test_a_name_of_a_speaker_is_cut() -> None:
    word = {"word": "a", "start": 0.0, "end": 0.4, "speaker": "W" * 200}
    answer = {"segments": [{"start": 0, "end": 0.4, "text": "a", "speaker": "S" * 200, "words": [word]}]}
    (segment,) = read(answer, 1.0).segments

    assert (segment.speaker, segment.words[0].speaker) == ("S" * 100, "W" * 100)


def test_bytes_are_bounded_before_anything_is_made_of_them() -> None:
    check_size(b"[" * (1 << 20), 0.0)
    with pytest.raises(Unfit, match="too many"):
        check_size(b"[" * ((1 << 20) + 10_001), 0.5)
    with pytest.raises(Unfit, match="too many"):
        transcript_of(b"[" * 2_000_000, 0.5)


def test_what_is_nested_too_deeply_cannot_be_read() -> None:
    for depth in range(50, 1200, 7):
        lists, objects = b"[" * depth + b"]" * depth, b'{"error":' * depth + b"0" + b"}" * depth
        with pytest.raises(Unfit):
            transcript_of(b"data: " + lists + b"\n\ndata: " + objects + b"\n\n", 1.0)


def test_an_empty_word_takes_no_other_with_it() -> None:
    words = [{"word": "Hello", "start": 0.0, "end": 0.4}, {"word": "", "start": 0.4, "end": 0.4}]

    assert read({"words": words}, 1.0).text == "Hello"
