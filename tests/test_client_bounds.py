import json
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.waiting import PATIENCE

from watcher.client import complete, reading
from watcher.client.bounds import PartBudget, check_size
from watcher.client.connections import ANSWER_BYTES
from watcher.client.found import AnswerItem, NoTranscriptError
from watcher.client.parse import transcript_of
from watcher.client.reading import parse, read_answer
from watcher.client.request import Request
from watcher.errors import GarbledError
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

    with pytest.raises(NoTranscriptError, match="characters of text, more than can be said"):
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
    with pytest.raises(NoTranscriptError, match="too many"):
        check_size(b"[" * ((1 << 20) + 10_001), 0.5)
    with pytest.raises(NoTranscriptError, match="too many"):
        transcript_of(b"[" * 2_000_000, 0.5)


#: Small things of which an answer within its bytes could have many: each made an object of some hundred bytes and more.
SMALL = {
    "objects": ('{"segments": [', "{},", "0]}"),
    "lists": ('{"segments": [', "[],", "0]}"),
    "texts": ('{"segments": [', '"ab",', '"a"]}'),
    "numbers": ("[", "0.1,", "0]"),
    "objects in a text": ('{"text": "[', "\\u007b\\u007d,", '{}]"}'),
    "events": ("", "data: a\n\n", ""),
    "lines of JSON": ("", '{"text":"a"}\n', ""),
    "captions": ("", "0:0-->0:1\na\n", ""),
    "lines of lyrics": ("", "[0:0]a\n", ""),
    "times": ("", "<|0|>a", ""),
    "lines": ("WEBVTT\n", "ab\x0b", ""),
}


@pytest.mark.parametrize("kind", SMALL)
def test_an_answer_of_more_parts_than_can_be_meant_is_refused_before_they_are_made(kind: str) -> None:
    begin, small, end = SMALL[kind]
    body = (begin + small * ((1 << 20) // len(small) - 20) + end).encode()
    tracemalloc.start()
    try:
        with pytest.raises(NoTranscriptError, match="too many parts"):
            transcript_of(body, 0.5)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_parts_are_bounded_however_long_the_sound_is() -> None:
    """An answer about a day of sound had room for 17 million of them: minutes of all threads' time, and gigabytes of memory."""
    body = b'{"segments": [' + b"{}," * 1_300_000 + b"0]}"
    tracemalloc.start()
    try:
        with pytest.raises(NoTranscriptError, match="too many parts"):
            transcript_of(body, 86_400.0)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_all_the_words_of_a_day_that_an_answer_has_bytes_for_fit() -> None:
    word = '{"word": " about", "start": 12345.67, "end": 12345.78, "probability": 0.98}, '
    PartBudget(86_400.0).take(word * (ANSWER_BYTES // len(word)))


@pytest.mark.parametrize(
    "answer",
    [json.dumps({"text": "\U0001f600" + "a " * 100_000}, ensure_ascii=False), '{"text": "' + "\U0001f600 " * 100_000],
)
def test_the_error_about_an_answer_holds_no_more_than_the_answer(answer: str) -> None:
    """Its traceback held the text in every form that it had: 20 MB for each worker whose server answers 1 MiB of nonsense."""
    body = answer.encode()
    tracemalloc.start()
    try:
        with pytest.raises(GarbledError) as raised:
            parse(body, 0.5)
        now = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert raised.value.message
    assert now < len(body) // 2


@pytest.mark.slow
@pytest.mark.parametrize(("size", "other"), [(1 << 20, 1 << 16), (1 << 16, 1 << 20)])
def test_of_large_answers_one_is_read_at_a_time(monkeypatch: pytest.MonkeyPatch, size: int, other: int) -> None:
    """Each takes up to 25 times its bytes meanwhile; small ones, and those of another size, wait for nobody."""
    large = json.dumps({"text": "a" * size}).encode()
    inside, waits, go_on = threading.Event(), threading.Event(), threading.Event()

    def held(body: bytes, seconds: float, **options: Any) -> Transcript:
        if body is large:
            inside.set()
            assert go_on.wait(PATIENCE)
        return transcript_of(body, seconds, **options)

    monkeypatch.setattr(reading, "transcript_of", held)
    monkeypatch.setattr(reading, "_TURN", 0.01)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(read_answer, large, 3_600.0, Request(), plain=False)
        assert inside.wait(PATIENCE)
        inside.clear()
        second = pool.submit(read_answer, large, 3_600.0, Request(), plain=False, waiting=waits.set)
        assert waits.wait(PATIENCE)
        for text in ("b", "b" * other):
            answer = json.dumps({"text": text}).encode()
            assert read_answer(answer, 3_600.0, Request(), plain=False).text == text
        assert not inside.is_set()
        go_on.set()

        assert first.result(PATIENCE) == second.result(PATIENCE)


def test_the_words_of_quick_speech_may_be_written_out_widely() -> None:
    words = [
        {"word": "a", "start": n / 20, "end": n / 20 + 0.04, "probability": 0.9, "speaker": "S", "logprob": -0.1}
        for n in range(1_200)
    ]
    answer = {"text": "a " * 1_200, "segments": [{"start": 0, "end": 60, "text": "a " * 1_200, "words": words}]}

    transcript = transcript_of(json.dumps(answer, indent=2).encode(), 60.0)

    assert sum(len(segment.words) for segment in transcript.segments) == 1_200


def test_tokens_without_end_are_one_word_in_time_that_grows_with_their_number() -> None:
    """Each token was put behind the word so far by writing that out again: minutes for some 100,000 of them."""
    tokens = [{"word": " a", "start": 0, "end": 0.1}, *({"word": "b" * 4, "start": 0, "end": 0.4},) * 500]
    segment = {"start": 0, "end": 0.5, "text": "a" + "b" * 1_900, "words": tokens}
    ((word,),) = [one.words for one in read({"segments": [segment]}, 0.5).segments]

    assert (word.text, word.start, word.end) == ("a" + "b" * 2_000, 0.0, 0.4)


def test_names_of_any_length_are_not_kept_in_mind() -> None:
    """Up to 1,024 of them were kept for good, each as long as an answer: gigabytes, in answers that are a transcript each."""
    read({"text": "a"}, 0.5)
    tracemalloc.start()
    try:
        for number in range(8):
            read({"text": "a", f"{number}" + "n" * 500_000: 0}, 0.5)
        assert tracemalloc.get_traced_memory()[0] < 400_000
    finally:
        tracemalloc.stop()


def test_what_is_nested_too_deeply_cannot_be_read() -> None:
    for depth in range(50, 1200, 7):
        lists, objects = b"[" * depth + b"]" * depth, b'{"error":' * depth + b"0" + b"}" * depth
        with pytest.raises(NoTranscriptError):
            transcript_of(b"data: " + lists + b"\n\ndata: " + objects + b"\n\n", 1.0)


@pytest.mark.parametrize(
    "segments",
    [
        [{"start": 0, "end": 0, "text": "Hello"}, {"start": 0, "end": 0, "text": "world."}],
        [{"start": 0, "end": 0.4, "text": ""}],
    ],
    ids=["times of nothing", "no text"],
)
@pytest.mark.parametrize("text", ["Hello world.", ""])
def test_words_are_placed_by_themselves_where_their_segments_have_no_place(
    segments: list[dict[str, Any]], text: str
) -> None:
    """They were dealt to no segment at all: an IndexError, and the same request again."""
    words = [{"word": "Hello", "start": 0.0, "end": 0.2}, {"word": "world.", "start": 0.2, "end": 0.4}]
    transcript = read({"text": text, "segments": segments, "words": words}, 0.5)

    assert (transcript.text, transcript.timed) == ("Hello world.", True)
    assert [(word.text, word.start) for one in transcript.segments for word in one.words] == [
        ("Hello", 0.0),
        ("world.", 0.2),
    ]


def test_an_empty_word_takes_no_other_with_it() -> None:
    words = [{"word": "Hello", "start": 0.0, "end": 0.4}, {"word": "", "start": 0.4, "end": 0.4}]

    assert read({"words": words}, 1.0).text == "Hello"


@pytest.mark.slow
def test_comparing_long_texts_takes_some_bytes_for_each_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer of 24 MB, with one text and other segments, took more than a gigabyte."""
    monkeypatch.setattr(complete, "_MOST_LETTERS", 1000)
    text, said = ("".join(chr(0x4E00 + number * step % 997) for number in range(20_000)) for step in (7, 11))

    tracemalloc.start()
    try:
        complete.completed([AnswerItem(said)], text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 300 * len(text)
