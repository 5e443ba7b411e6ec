"""The order of reading a 200 (rules) and every trap of it, each with the body its server sends."""

import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.client.found import NoTranscriptError
from watcher.client.parse import transcript_of
from watcher.transcript import Segment, Transcript, Word


def read(body: Any, seconds: float = 10.0, **options: Any) -> Transcript:
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return transcript_of(raw, seconds, **options)


def spans(transcript: Transcript) -> list[tuple[str, float, float]]:
    return [(segment.text, segment.start, segment.end) for segment in transcript.segments]


def words(transcript: Transcript) -> list[list[str]]:
    return [[word.text for word in segment.words] for segment in transcript.segments]


def letters_of(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def parts(*rows: tuple[Any, ...], name: str = "text") -> list[dict[str, Any]]:
    """Return segments as objects, from rows of text, start, end and speaker; what is behind the end of a row is left out."""
    return [dict(zip((name, "start", "end", "speaker"), row, strict=False)) for row in rows]


def said(*rows: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return words as objects, from the same rows."""
    return parts(*rows, name="word")


# Rule 1: nothing at all.


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n", b"\xef\xbb\xbf"])
def test_nothing_is_silence_where_text_was_asked(body: bytes) -> None:
    assert read(body, plain=True) == Transcript((), "", 10.0)


@pytest.mark.parametrize("body", [b"", b"\n"])
def test_nothing_is_no_answer_where_json_was_asked(body: bytes) -> None:
    with pytest.raises(NoTranscriptError):
        read(body, plain=False)


# Rules 2 and 6: pages instead of transcripts.

PAGE = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>login</body></html>"


@pytest.mark.parametrize(
    "body",
    [
        PAGE,
        "\ufeff \n" + PAGE,
        {"html-message": "<html><body>login</body></html>"},
        {"text": "<html><body>login</body></html>", "usage": None},
        {"text": "  <!doctype html><p>x"},
        json.dumps("<html></html>"),
        "<?xml version='1.0'?><error/>",
    ],
)
def test_a_web_page_is_no_transcript_wherever_it_hides(body: Any) -> None:
    with pytest.raises(NoTranscriptError, match="web page"):
        read(body)


# Rule 3: what is no JSON, and what is no text.


@pytest.mark.parametrize(
    "body",
    [
        "{malformed json: <<<chaos>>>",
        '{"text": "Hello',
        "[1, 2",
        "[" * 100_000,
        '{"text": ' + "9" * 5000,
        b"\x89PNG\r\n\x1a\n",
        "Привет".encode("cp1251"),
        '{"segments": [[1, 2]]}',
        b"Hello\x00there",
        "[]",
        "[1, 2]",
        "{}",
        '{"text": 5}',
        '{"text": {"a": 1}}',
        '{"data": null, "code": 20012}',
        # A promise of an answer is none.
        {"status": "queued", "id": "x"},
        {"status": "processing", "text": ""},
    ],
)
def test_what_holds_no_text_is_no_answer(body: Any) -> None:
    with pytest.raises(NoTranscriptError):
        read(body)


WE_MET = [("In", 0, 1), ("2014",), ("we", 3, 4), ("met", 4, 5)]
#: What is sent, and the text that is understood.
TEXTS: list[tuple[Any, str]] = [
    ('{"text": "Grüße"}'.encode("latin-1"), "Grüße"),
    ('{"text": "Grüße"}'.encode("utf-16"), "Grüße"),
    ("Grüße".encode("utf-16"), "Grüße"),
    ('```json\n{"text": "Grüße"}\n```', "Grüße"),
    ("```\nGrüße\n```", "Grüße"),
    ({"text": ["Grüße"]}, "Grüße"),
    ({"text": {"content": "Grüße"}}, "Grüße"),
    ({"job": {"transcript": "Grüße"}}, "Grüße"),
    # A broken character costs that character alone.
    ('{"text": "Grüße, M'.encode() + b'\xc3ller"}', "Grüße, M\ufffdller"),
    ('"Hello there."', "Hello there."),
    # A quoted sentence that is no JSON stays quoted.
    ('"Hello," she said, "there."', '"Hello," she said, "there."'),
    (b"\xef\xbb\xbf" + b'{"text": "Hi"}', "Hi"),
    ({"text": "Hi", "error": None, "detail": "high"}, "Hi"),
    ({"segments": parts((" a", 0, 1), (" b", 1, 2))}, "a b"),
    # JSON in a text is unwrapped once only; what begins with a brace may be speech.
    ({"text": json.dumps({"text": json.dumps({"text": "deep"})})}, '{"text": "deep"}'),
    ({"text": "{laughs} Hello."}, "{laughs} Hello."),
    # Lines of a text are no paragraphs.
    ({"text": " Hello\n world\n"}, "Hello world"),
    # Junk in place of segments leaves the text.
    *[({"text": "a", "segments": junk, "words": junk}, "a") for junk in ([None, 1, "x"], "x", {"a": 1}, 5)],
    # What no output can hold is taken out.
    ('{"text": "a\\u0001b \\ud83d\\ude00 \\ud800c\\u202ed\\ufeff\\u0085e\\u001b[31m"}', "ab 😀 \ufffdcd e[31m"),
    # Words alone are joined as their script does.
    ({"words": said(("Hello", 0, 0.5), ("you", 0.6, 1))}, "Hello you"),
    ({"words": said(("你", 0, 0.5), ("好", 0.6, 1))}, "你好"),
    # Whole answers like those of chats, as lines.
    (
        "\n".join(json.dumps({"choices": [{"message": {"content": text}}]}) for text in ("Hello", "there.")),
        "Hello there.",
    ),
]


@pytest.mark.parametrize(("body", "text"), TEXTS)
def test_a_text_is_understood_in_any_reasonable_dress(body: Any, text: str) -> None:
    assert read(body).text == text


#: Texts beside segments that say the same otherwise: nothing is said twice.
OTHERWISE: dict[str, tuple[str, list[dict[str, Any]], str]] = {
    "numbers": (
        "Twenty-one men left the village in the evening.",
        parts(("21 men left the village in the evening.", 0, 4)),
        "21 men left the village in the evening.",
    ),
    "another order": (
        "Good morning everybody. And welcome to the show.",
        parts(("And welcome to the show.", 4, 8), ("Good morning everybody.", 0, 4)),
        "Good morning everybody. And welcome to the show.",
    ),
    "a translation": ("Where is the station?", parts(("Wo ist hier der Bahnhof?", 0, 2)), "Wo ist hier der Bahnhof?"),
    "a name before each turn": (
        "Speaker A: Hello there. Speaker B: Good morning.",
        parts(("Hello there.", 0, 1, "A"), ("Good morning.", 1, 2, "B")),
        "Hello there. Good morning.",
    ),
}


@pytest.mark.parametrize("kind", OTHERWISE)
def test_what_the_text_says_in_another_way_than_its_segments_is_not_said_twice(kind: str) -> None:
    text, segments, heard = OTHERWISE[kind]

    assert read({"text": text, "segments": segments}).text == heard


@pytest.mark.parametrize("body", [{"text": None}, {"text": None, "segments": None}, {"result": {"transcript": None}}])
def test_a_text_that_is_null_is_an_empty_one(body: Any) -> None:
    assert read(body).segments == ()


def test_plain_text_is_taken_as_it_is() -> None:
    assert read("Hello there.\n") == Transcript((Segment("Hello there.", 0.0, 10.0),), "", 10.0, timed=False)


# Rule 4: errors with a 200.


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "upstream failed", "type": "upstream_error", "param": None, "code": "bad_response"}},
        {"error": "upstream failed"},
        {"text": "", "error": {"message": "upstream failed"}},
        {"detail": "upstream failed"},
        {"status": "failure", "message": "upstream failed"},
        {"code": 20012, "message": "model is down", "data": None},
        {"success": False, "message": "no"},
        {"status": "error", "message": "no"},
        {"errors": [{"message": "no"}]},
        {"err_msg": "no", "err_no": 3301},
        {"message": "no"},
        {"RecognitionStatus": "Error"},
    ],
)
def test_an_error_with_a_200_is_given_on_by_any_reasonable_name(body: dict[str, Any]) -> None:
    with pytest.raises(NoTranscriptError) as caught:
        read(body)

    assert caught.value.error == body


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"text": '{"error": {"message": "quota"}}'}, {"error": {"message": "quota"}}),
        ([{"error": "no"}], {"error": "no"}),
        ({"data": {"error": "no"}}, {"error": "no"}),
    ],
)
def test_an_error_inside_of_something_else_is_found(body: Any, error: dict[str, Any]) -> None:
    with pytest.raises(NoTranscriptError) as caught:
        read(body)

    assert caught.value.error == error


# Rule 5: where the text is.


@pytest.mark.parametrize(
    "body", [{"text": ""}, {"text": " \n"}, {"text": "", "segments": [], "words": []}, {"segments": []}]
)
def test_an_empty_text_is_silence_and_a_success(body: dict[str, Any]) -> None:
    assert read(body, plain=False) == Transcript((), "", 10.0, timed=True)


# Where the times are, and what is made of them.

HELLO_SRT = "1\n00:00:00,000 --> 00:00:03,300\nHello.\n\n"
START_AND_CONTENT = [
    {"Start": 0, "End": 1.5, "Speaker": 0, "Content": "Hello"},
    {"Start": 2, "End": 3, "Content": "You"},
]
#: What is sent, and when it was said.
SPANS: dict[str, tuple[Any, list[tuple[str, float, float]]]] = {
    "rows": ({"segments": [[0, 3.2, "Hello"], [3.2, 5, "there"]]}, [("Hello", 0, 3.2), ("there", 3.2, 5)]),
    "srt inside of json": ({"text": HELLO_SRT, "usage": None}, [("Hello.", 0, 3.3)]),
    "a subtitle under a foreign key": (
        {"html-message": "WEBVTT\n\n00:00:00.000 --> 00:00:03.300\nHello.\n\n"},
        [("Hello.", 0, 3.3)],
    ),
    "a bare subtitle": ("\n\n1\n00:00:00,000 --> 00:00:01,000\nHi", [("Hi", 0, 1)]),
    "a second paragraph of a caption": (
        "1\n00:00:00,000 --> 00:00:02,000\nFirst.\n\nSecond.\n\n2\n00:00:02,000 --> 00:00:03,000\nThird.",
        [("First. Second.", 0, 2), ("Third.", 2, 3)],
    ),
    "lines with their times in brackets": (
        "[00:00:00.000 --> 00:00:02.500]   Hello there.\n[00:00:02.500 --> 00:00:04.000]   Good morning.\n",
        [("Hello there.", 0, 2.5), ("Good morning.", 2.5, 4)],
    ),
    "lines with their starts in brackets": (
        "[ti:Song]\n[00:01.50]Hello there.\n[00:04.00]Good morning.\n",
        [("Hello there.", 1.5, 4), ("Good morning.", 4, 10)],
    ),
    "tokens of times": (
        "<|0.00|> Hello there.<|2.50|><|2.50|> Good morning.<|4.00|>",
        [("Hello there.", 0, 2.5), ("Good morning.", 2.5, 4)],
    ),
    "markup inside of a segment": (
        {"segments": parts(("language English<asr_text>Hello", 0, 1))},
        [("Hello", 0, 1)],
    ),
    "an end before the start": ({"segments": parts(("a", 3, 1))}, [("a", 1, 3)]),
    "an end of zero behind a start": ({"segments": parts(("a", 3, 0))}, [("a", 3, 3)]),
    "another order": ({"segments": parts(("b", 4, 5), ("a", "1", "2"))}, [("a", 1, 2), ("b", 4, 5)]),
    "a segment without times lies between its neighbours": (
        {
            "text": "A first one. B second. C third.",
            "segments": parts(("A first one.", 0, 1), ("B second.",), ("C third.", 6, 9)),
        },
        [("A first one.", 0, 1), ("B second.", 1, 6), ("C third.", 6, 9)],
    ),
    "a last segment without times lies before the end": (
        {"text": "A. B.", "segments": parts(("A.", 0, 1), ("B.",))},
        [("A.", 0, 1), ("B.", 1, 10)],
    ),
    "segments without times share their span by the length of their texts": (
        {"segments": parts(("aaa",), ("a",), ("b", 8, 9))},
        [("aaa", 0, 6), ("a", 6, 8), ("b", 8, 9)],
    ),
    "a last chunk without an end ends with the audio": (
        {"text": "a b", "chunks": [{"timestamp": [0, 4], "text": "a b"}, {"timestamp": [4, None], "text": "c"}]},
        [("a b", 0, 4), ("c", 4, 10)],
    ),
    "segments that are counted by their names": (
        {"segments": dict(zip(("10", "9"), parts(("b", 3, 5), ("a", 1, 3)), strict=True))},
        [("a", 1, 3), ("b", 3, 5)],
    ),
    "a time beside the alternatives": (
        {"results": [{"alternatives": [{"content": "Hello"}], "start_time": "1.0", "end_time": "2.0"}]},
        [("Hello", 1, 2)],
    ),
    "a time of a word of the alternatives": (
        {
            "results": [
                {
                    "alternatives": [
                        {"transcript": "Hello", "words": [{"word": "Hello", "startTime": "1s", "endTime": "2s"}]}
                    ]
                }
            ]
        },
        [("Hello", 1, 2)],
    ),
    "behind places with nothing in them": (
        {"result": {"segments": []}, "data": {"text": None}, "output": parts(("Hello", 1, 2))},
        [("Hello", 1, 2)],
    ),
    "an empty segment that tells when the one before it ended": (
        {"segments": [{"text": "Hello", "timestamp": 1}, {"text": "", "timestamp": 2}]},
        [("Hello", 1, 2)],
    ),
    "words alone": ({"words": said(("Hello", 1, 2))}, [("Hello", 1, 2)]),
    "a segment whose text is in its words": (
        {"segments": [{"start": 1, "end": 2, "words": [{"word": "Hello"}]}]},
        [("Hello", 1, 2)],
    ),
    "a list of segments": (START_AND_CONTENT, [("Hello", 0, 1.5), ("You", 2, 3)]),
    "a list of segments in a text": ({"text": json.dumps(START_AND_CONTENT)}, [("Hello", 0, 1.5), ("You", 2, 3)]),
    "all segments with the same span share it by the length of their texts": (
        {"segments": parts(*[(text, 0, 9) for text in ("aaaa", "aa", "aaaa", "aaaaaa", "aa")])},
        [("aaaa", 0, 2), ("aa", 2, 3), ("aaaa", 3, 5), ("aaaaaa", 5, 8), ("aa", 8, 9)],
    ),
    "segments that share a start follow each other": (
        {"segments": parts(("aaa", 0, 3), ("aaa", 0, 6), ("aaa", 0, 9))},
        [("aaa", 0, 3), ("aaa", 3, 6), ("aaa", 6, 9)],
    ),
    "segments that share an end follow each other": (
        {"segments": parts(("aaa", 0, 9), ("aaa", 3, 9), ("aaa", 6, 9))},
        [("aaa", 0, 3), ("aaa", 3, 6), ("aaa", 6, 9)],
    ),
    "two speakers may speak at the same time": (
        {"segments": parts(("A", 0, 9, "A"), ("B", 0, 9, "B"))},
        [("A", 0, 9), ("B", 0, 9)],
    ),
    "all segments with the same span are where their words are": (
        {
            "segments": [
                {"start": 0, "end": 9, "text": word, "words": said((word, at, at + 1))}
                for at, word in ((2, "Hello"), (5, "there"))
            ]
        },
        [("Hello", 2, 3), ("there", 5, 6)],
    ),
}


@pytest.mark.parametrize("kind", SPANS)
def test_when_it_was_said_is_found(kind: str) -> None:
    body, expected = SPANS[kind]

    transcript = read(body)

    assert (spans(transcript), transcript.timed) == (expected, True)


@pytest.mark.parametrize("missing", [None, "", math.nan, "soon"])
def test_a_missing_time_comes_from_its_neighbours(missing: Any) -> None:
    body = {"segments": parts(("a", missing, 1), ("b", missing, 2), ("c", 3, missing))}

    assert spans(read(body)) == [("a", 0.0, 1.0), ("b", 1.0, 2.0), ("c", 3.0, 10.0)]


def test_times_somewhat_beyond_the_end_are_clamped() -> None:
    assert spans(read({"segments": parts(("a", 0, 30), ("b", 28, 30))}, 2.0)) == [("a", 0.0, 2.0), ("b", 2.0, 2.0)]


def test_a_lost_tail_leaves_the_times_as_they_are() -> None:
    transcript = read({"duration": "29.42", "segments": parts(("…", 0, 21.56)), "text": "…"}, 29.42)

    assert (spans(transcript), transcript.duration) == ([("…", 0.0, 21.56)], 29.42)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"text": '{"text": "Hello.", "usage": null}', "usage": None}, "Hello."),
        ({"text": "Hello.", "segments": parts(("Hello.", 1, 1e30))}, "Hello."),
        ("1\n90:00:00,000 --> 99:00:00,000\nHello.", "Hello."),
        ({"segments": parts(("A.",), ("B.",))}, "A. B."),
        ({"segments": parts(("A.", 0, 0), ("B.", 0, 0))}, "A. B."),
        ("<|0.00|> Hello there.<|29.00|><|0.00|> Good morning.<|4.00|>", "Hello there. Good morning."),
    ],
    ids=[
        "none",
        "of no unit",
        "of no unit, in a subtitle",
        "none in segments",
        "all at zero",
        "tokens that begin anew",
    ],
)
def test_without_times_that_make_sense_there_is_a_text_without_times(body: Any, text: str) -> None:
    transcript = read(body)

    assert (transcript.text, transcript.timed) == (text, False)
    assert {(segment.start, segment.end) for segment in transcript.segments} == {(0.0, 10.0)}


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e9])
def test_times_in_another_unit_are_brought_to_seconds(factor: float) -> None:
    body = {
        "segments": parts(("a b", factor, 9 * factor)),
        "words": said(("a", factor, 2 * factor), ("b", 8 * factor, 9 * factor)),
    }

    (segment,) = read(body).segments

    assert (segment.start, segment.end) == (1.0, 9.0)
    assert segment.words == (Word("a", 1.0, 2.0), Word("b", 8.0, 9.0))


# Segments, and the words in them.

HELLO_YOU = said((" Hel", 0, 0.4), ("lo", 0.4, 1), (" you", 1.2, 1.5), (".", 1.5, 1.6))
#: What is sent, and the segments in it.
SEGMENTS: dict[str, tuple[Any, list[Segment]]] = {
    "null words and metrics": (
        {
            "text": "a",
            "segments": [{"id": 0, "start": 0, "end": 1, "text": " a", "no_speech_prob": None}],
            "words": None,
        },
        [Segment("a", 0.0, 1.0)],
    ),
    "placeholders for metrics": (
        {"segments": [{"id": 42, "avg_logprob": -1.0, "compression_ratio": -1.0, "start": 0, "end": 2, "text": "a"}]},
        [Segment("a", 0.0, 2.0)],
    ),
    "metrics": (
        {
            "segments": [
                {
                    "start": 0,
                    "end": 2,
                    "text": "a",
                    "avg_logprob": -1.0,
                    "compression_ratio": 1.5,
                    "no_speech_prob": "0.25",
                }
            ]
        },
        [Segment("a", 0.0, 2.0, avg_logprob=-1.0, compression_ratio=1.5, no_speech_prob=0.25)],
    ),
    "tokens with blanks are joined to words": (
        {"text": "Hello you", "segments": [{"start": 0, "end": 2, "text": " Hello you", "words": HELLO_YOU}]},
        [Segment("Hello you", 0.0, 2.0, words=(Word("Hello", 0.0, 1.0), Word("you.", 1.2, 1.6)))],
    ),
    "words without text, and without time": (
        {"segments": [{"start": 0, "end": 2, "text": " a b", "words": said(("  ", 0, 1), (" a",), (" b", 1, 2))}]},
        [Segment("a b", 0.0, 2.0, words=(Word("a", 0.0, 1.0), Word("b", 1.0, 2.0)))],
    ),
    "words by the name of text": (
        {"text": "Hi", "words": parts(("Hi", 0, 0.5))},
        [Segment("Hi", 0.0, 0.5, words=(Word("Hi", 0.0, 0.5),))],
    ),
    "no segments but words": (
        {"text": "Hi", "segments": [], "words": said(("Hi", 0, 0.5))},
        [Segment("Hi", 0.0, 0.5, words=(Word("Hi", 0.0, 0.5),))],
    ),
    "ids that are strings, and speakers": (
        {
            "text": "Hi",
            "segments": [{"type": "transcript.text.segment", "id": "seg_001", **parts(("Hi", 0, 1, "A"))[0]}],
        },
        [Segment("Hi", 0.0, 1.0, speaker="A")],
    ),
    "milliseconds under another name": (
        {"text": "好", "sentence_info": [{"text": "好", "start": 1080, "end": 4375, "spk": 0}]},
        [Segment("好", 1.08, 4.375, speaker="0")],
    ),
    "words of any name and time": (
        {
            "text": "Hello there.",
            "timestamps": {
                "segments": [{"segment": "Hello there.", "start": 0, "end": 2}],
                "words": [
                    {"text": "Hello", "startTime": "0s", "endTime": "0.9s"},
                    {"text": "there", "startTime": "1s", "endTime": "2s"},
                ],
            },
        },
        [Segment("Hello there.", 0.0, 2.0, words=(Word("Hello", 0.0, 0.9), Word("there", 1.0, 2.0)))],
    ),
    "words that all say the same span tell nothing": (
        {"text": "A b.", "segments": parts(("A b.", 1, 3)), "words": said(("A", 1, 3), ("b.", 1, 3))},
        [Segment("A b.", 1.0, 3.0)],
    ),
    "a word without times is not lost from words alone": (
        {"text": "In 2014 we met.", "words": said(*WE_MET)},
        [
            Segment(
                "In 2014 we met.",
                0.0,
                5.0,
                words=(Word("In", 0.0, 1.0), Word("2014", 1.0, 3.0), Word("we", 3.0, 4.0), Word("met", 4.0, 5.0)),
            )
        ],
    ),
    "tokens of times and speakers in brackets": (
        "[0.00][S01]Hello there.[2.30][2.40][S02]Good morning.[4.00]",
        [Segment("Hello there.", 0.0, 2.3, speaker="S01"), Segment("Good morning.", 2.4, 4.0, speaker="S02")],
    ),
}


@pytest.mark.parametrize("kind", SEGMENTS)
def test_a_segment_has_what_its_server_says_of_it(kind: str) -> None:
    body, expected = SEGMENTS[kind]

    assert list(read(body).segments) == expected


@pytest.mark.parametrize("value", [None, "NaN", math.nan, math.inf, True, [], {}, "high", 10**400])
def test_a_metric_that_is_no_number_counts_as_missing(value: Any) -> None:
    metrics = dict.fromkeys(("avg_logprob", "compression_ratio", "no_speech_prob"), value)

    assert read({"segments": [{"start": 0, "end": 2, "text": "a"} | metrics]}).segments == (Segment("a", 0.0, 2.0),)


def test_a_duration_that_is_a_string_is_one_where_the_length_is_not_known() -> None:
    assert read({"duration": "120.0", "segments": parts(("a", 0, 1))}, 0.0).duration == 120.0


def inside(text: str, *rows: tuple[Any, ...]) -> dict[str, Any]:
    """Return an answer of one segment with words inside of it."""
    return {"segments": [{"start": 0, "end": 2, "text": text, "words": said(*rows)}]}


#: What is sent, and the words of each segment.
WORDS: dict[str, tuple[Any, list[list[str]]]] = {
    "words without any blank are whole": (inside("Hello you", ("Hello", 0, 1), ("you", 1, 2)), [["Hello", "you"]]),
    "scripts without blanks are not glued to a word before": (
        inside(" OK你好", (" OK", 0, 1), ("你", 1, 1.5), ("好", 1.5, 2)),
        [["OK", "你", "好"]],
    ),
    "tokens that cut characters in two": (inside("好", ("\ufffd", 0, 1), ("\ufffd", 1, 2)), [[]]),
    "a number": (inside("", (2014, 0, 1)), [["2014"]]),
    "words are dealt to segments by their letters even where times disagree": (
        {
            "text": "Hello, you. Good-bye!",
            "segments": parts(("Hello, you.", 0, 1), (" Good-bye!", 1, 3)),
            "words": said(("Hello", 0, 0.5), ("you", 0.9, 1.4), ("Good", 1.5, 2), ("bye", 2, 3)),
        },
        [["Hello", "you"], ["Good", "bye"]],
    ),
    "words are dealt by time where letters disagree": (
        {
            "segments": parts(("21 men", 0, 1), ("left", 2, 3)),
            "words": said(("twenty-one", 0, 0.5), ("men", 0.5, 1.2), ("left", 2, 3)),
        },
        [["twenty-one", "men"], ["left"]],
    ),
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_word_is_where_it_was_said(kind: str) -> None:
    body, expected = WORDS[kind]

    assert words(read(body)) == expected


def test_segments_from_words_keep_the_punctuation_of_the_text() -> None:
    rows = [("Hello", 0, 0.5), ("you", 0.6, 1), ("Good", 3, 3.5), ("bye", 3.5, 4), ("now", 4, 4.5)]

    transcript = read({"text": "Hello, you! Good-bye now.", "words": said(*rows)})

    assert spans(transcript) == [("Hello, you!", 0.0, 1.0), ("Good-bye now.", 3.0, 4.5)]
    assert words(transcript) == [["Hello", "you"], ["Good", "bye", "now"]]


def test_segments_from_words_end_before_they_grow_too_long() -> None:
    transcript = read({"words": said(*[(f"w{i}", i, i + 0.9) for i in range(40)])}, 60.0)

    assert max(segment.end - segment.start for segment in transcript.segments) < 20
    assert [word for heard in words(transcript) for word in heard] == [f"w{i}" for i in range(40)]


def test_a_change_of_speaker_ends_a_segment_built_from_words() -> None:
    transcript = read({"words": said(("Yes", 0, 0.5, "A"), ("No", 0.5, 1, "B"))})

    assert [(segment.text, segment.speaker) for segment in transcript.segments] == [("Yes", "A"), ("No", "B")]


# Language.


@pytest.mark.parametrize(
    ("answered", "asked", "expected"),
    [
        ("english", "", "en"),
        ("en", "", "en"),
        ("English", "de", "en"),
        (None, "de", "de"),
        ("klingon", "de", "de"),
        (5, "", ""),
        ("", "", ""),
    ],
)
def test_the_language_may_be_a_name_or_a_code(answered: Any, asked: str, expected: str) -> None:
    assert read({"text": "a", "language": answered}, language=asked).language == expected


OUTSIDE = {"text": "Hello.", "info": {"language": "German"}, "result": {"segments": parts(("Hello.", 1, 2))}}


@pytest.mark.parametrize(
    ("body", "language"),
    [
        ({"text": "a", "detected_language": "german"}, "de"),
        ({"text": json.dumps({"language": "german", "segments": parts(("a", 1, 2))})}, "de"),
        ({"text": "a", "segments": parts(("language English<asr_text>a", 0, 1))}, "en"),
        (OUTSIDE, "de"),
    ],
    ids=["under another name", "in json in the text", "in the markup of a segment", "beside the times"],
)
def test_the_language_is_found_where_the_answer_names_it(body: Any, language: str) -> None:
    assert read(body).language == language


@pytest.mark.parametrize("name", ["detected_language_probability", "language_probability"])
@pytest.mark.parametrize(("value", "kept"), [(0.75, 0.75), ("?", None)])
def test_how_sure_the_server_is_of_the_language_is_kept(name: str, value: Any, kept: float | None) -> None:
    assert read({"text": "Hi", "language": "english", name: value}).language_probability == kept


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        transcript_of(body, 5.0)
    except NoTranscriptError:
        return


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["text", "segments", "words", "word", "start", "end", "error", "detail", "speaker", "language"]
            ),
            children,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(json_values, st.floats(0, 1e5))
def test_whatever_json_comes_a_transcript_is_in_order_and_within_the_audio(value: Any, seconds: float) -> None:
    try:
        transcript = transcript_of(json.dumps(value).encode(), seconds)
    except NoTranscriptError:
        return

    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)
    spoken: list[Segment | Word] = [*transcript.segments]
    spoken += [word for segment in transcript.segments for word in segment.words]
    for timed in spoken:
        assert 0.0 <= timed.start <= timed.end
        assert seconds == 0 or timed.end <= seconds
        timed.text.encode()


letters = st.text(st.sampled_from("abcXYZäß你好"), min_size=1, max_size=6)


@pytest.mark.slow
@given(st.lists(st.lists(letters, min_size=1, max_size=5), min_size=1, max_size=5), st.data())
def test_each_word_is_dealt_once_to_the_segment_that_holds_it(groups: list[list[str]], data: st.DataObject) -> None:
    said = [word for group in groups for word in group]
    count = 2 * len(said)
    moments = sorted(data.draw(st.lists(st.floats(0, 10), min_size=count, max_size=count, unique=True)))
    entries = [
        {"word": word, "start": start, "end": end}
        for word, start, end in zip(said, moments[::2], moments[1::2], strict=True)
    ]
    body = {
        "segments": [
            {"start": index, "end": index + 1, "text": ", ".join(group) + "."} for index, group in enumerate(groups)
        ],
        "words": entries,
    }

    assert words(read(body)) == groups


# What `text` has and its parts have not: nothing of it is lost.


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (["We met in spring.", "It rained."], "We met in spring. It rained. Then we left, and nobody came back."),
        (["It rained.", "Then we left,", "and nobody came back."], None),
        (["We met in spring.", "and nobody came back."], None),
        (["We met in", "It rained.", "and nobody back."], None),
        (["we met in SPRING", "it rained", "and nobody came back"], None),
    ],
    ids=["tail", "head", "middle", "single words", "middle, written otherwise"],
)
def test_what_only_the_text_has_is_put_where_it_belongs(segments: list[str], expected: str | None) -> None:
    text = "We met in spring. It rained. Then we left, and nobody came back."
    body = {
        "text": text,
        "segments": [{"start": 3 * index, "end": 3 * index + 1, "text": said} for index, said in enumerate(segments)],
    }

    transcript = read(body)

    assert letters_of(transcript.text) == letters_of(expected or text)
    assert transcript.timed


# Plain text that looks like something else.


@pytest.mark.parametrize(
    "body",
    [
        "[Music] Hello",
        "[1] Hello",
        "[applause]",
        "[♪♪♪] Hello",
        "(laughs) Hello",
        "{laughs} Hello",
        "<laughs> Hello",
        "<3 you all",
        "[Music",
        '[he said "no"] Hello',
        "data is what we need",
        "{Music: soft} Hello there",
        '["Quoted speech" he said',
        "[12, 13 and 14 are primes, or not] she said",
        "<table> is an element of pages",
    ],
)
def test_plain_text_is_text_whatever_it_begins_with(body: str) -> None:
    assert read(body) == Transcript((Segment(body, 0.0, 10.0),), "", 10.0, timed=False)


# Event streams.


def events(*payloads: Any, end: bool = True) -> str:
    told = "".join(f"data: {payload if isinstance(payload, str) else json.dumps(payload)}\n\n" for payload in payloads)
    return told + "data: [DONE]\n\n" * end


def delta(text: str) -> dict[str, str]:
    return {"type": "transcript.text.delta", "delta": text}


DONE = {"type": "transcript.text.done", "text": "Hello there, you.", "usage": {"type": "duration", "seconds": 9}}


@pytest.mark.parametrize(
    "body",
    [
        events(delta("Hello"), delta(" there, y"), delta("ou."), DONE),
        events(delta("Hello"), delta(" there, y"), delta("ou."), DONE, end=False),
        events(delta("Hello"), delta(" there, y"), delta("ou.")),
        events(delta("Hello"), DONE, end=False),
        events(DONE, end=False),
        events({"choices": [{"delta": {"content": "Hello there,"}}]}, {"choices": [{"delta": {"content": " you."}}]}),
        events({"text": "Hello there,"}, {"text": "you."}, end=False),
        events("Hello there,", "you.", end=False),
        events(delta("Hello there, you.")).replace("\n", "\r\n"),
        events(delta("Hello there, you."), DONE).replace("data:", "event: message\nid: 1\ndata:"),
        ": ping\n\n" + events(DONE),
        '{"text": "Hello there,"}\n{"text": "you."}\n',
        json.dumps({"text": events(DONE)}),
    ],
)
def test_an_event_stream_is_what_its_events_say(body: str) -> None:
    transcript = read(body)

    assert (transcript.text, transcript.timed) == ("Hello there, you.", False)


def test_an_event_stream_may_bring_segments() -> None:
    body = events(
        {"type": "transcript.text.segment", "id": "s1", "start": 0, "end": 1, "text": "Hello.", "speaker": "A"},
        {"type": "transcript.text.segment", "id": "s2", "start": 1, "end": 2, "text": "You.", "speaker": "B"},
        {"type": "transcript.text.done", "text": "Hello. You."},
    )

    transcript = read(body)

    assert spans(transcript) == [("Hello.", 0.0, 1.0), ("You.", 1.0, 2.0)]
    assert [segment.speaker for segment in transcript.segments] == ["A", "B"]


@pytest.mark.parametrize(
    "body",
    [
        events({"error": {"message": "engine died"}}),
        events(delta("Hello"), {"error": {"message": "engine died"}}),
        events(delta("Hello"), {"type": "error", "message": "engine died"}),
        'data: {"type": "transcript.text.delta", "delta": "Hello"}\n\nevent: error\ndata: {"message": "engine died"}\n\n',
    ],
)
def test_an_error_in_an_event_stream_is_an_error(body: str) -> None:
    with pytest.raises(NoTranscriptError) as caught:
        read(body)

    assert caught.value.error is not None
    assert "engine died" in json.dumps(caught.value.error)


@pytest.mark.parametrize(
    "event",
    [delta("Hello"), {"type": "transcript.text.segment", "start": 0, "end": 1, "text": "Hello.", "speaker": "A"}],
)
def test_an_event_stream_that_breaks_off_is_no_answer(event: dict[str, Any]) -> None:
    """A proxy may end the answer in proper form when its server is gone: nothing but the missing end tells."""
    with pytest.raises(NoTranscriptError, match="broke off"):
        read(events(event, event, end=False))


# Markup of known servers.


@pytest.mark.parametrize(
    ("text", "said", "language"),
    [
        ("language English<asr_text>Hello", "Hello", "en"),
        ("language Chinese<asr_text>你好 language English<asr_text>Hello", "你好 Hello", "zh"),
        ("language None<asr_text>", "", ""),
        ("<|startoftranscript|><|de|><|transcribe|><|notimestamps|>Hallo<|endoftext|>", "Hallo", "de"),
        ("<|zh|><|NEUTRAL|><|Speech|><|withitn|>你好", "你好", "zh"),
        ("<|nospeech|><|EMO_UNKNOWN|><|Event_UNK|>", "", ""),
        ("<s> Hello</s>", "Hello", ""),
    ],
)
def test_markup_of_known_servers_is_no_text(text: str, said: str, language: str) -> None:
    transcript = read({"text": text})

    assert (transcript.text, transcript.language) == (said, language)


# Names and notations of times.

TWO = [("Hello there.", 0.5, 3.2), ("Good morning.", 3.2, 6.0)]


@pytest.mark.parametrize(
    "entries",
    [
        {"segments": [{"start_time": 0.5, "end_time": 3.2}, {"start_time": 3.2, "end_time": 6}]},
        {"segments": [{"startTime": "0.5s", "endTime": "3.2s"}, {"startTime": "3.2s", "endTime": "6s"}]},
        {"segments": [{"begin": "500ms", "end": "3200ms"}, {"begin": "3200 ms", "end": "6000 ms"}]},
        {"segments": [{"from": "00:00:00.500", "to": "00:00:03.200"}, {"from": "00:00:03,200", "to": "00:00:06,0"}]},
        {"segments": [{"start": "0:00.5", "end": "0:03.2"}, {"start": "0:03.2", "end": "0:06"}]},
        {"segments": [{"start": "PT0.5S", "end": "PT3.2S"}, {"start": "PT3.2S", "end": "PT6S"}]},
        {"segments": [{"start_ms": 500, "end_ms": 3200}, {"start_ms": 3200, "end_ms": 6000}]},
        {"segments": [{"start": 0.5, "duration": 2.7}, {"start": 3.2, "duration": 2.8}]},
        {"segments": [{"Offset": 5_000_000, "Duration": 27_000_000}, {"Offset": 32_000_000, "Duration": 28_000_000}]},
        {"chunks": [{"timestamp": [0.5, 3.2]}, {"timestamp": [3.2, 6]}]},
        {"chunks": [{"timestamp": ["00:00:00.500", "00:00:03.200"]}, {"timestamp": [3.2, 6.0]}]},
        {"sentences": [{"start": 0.5, "end": 3.2}, {"start": 3.2, "end": 6}]},
        {"sentence_info": [{"start": 500, "end": 3200}, {"start": 3200, "end": 6000}]},
        {"utterances": [{"start": 500, "end": 3200}, {"start": 3200, "end": 6000}]},
        {"results": [{"start": 0.5, "end": 3.2}, {"start": 3.2, "end": 6}]},
        {
            "transcription": [
                {
                    "timestamps": {"from": "00:00:00,500", "to": "00:00:03,200"},
                    "offsets": {"from": 500, "to": 3200},
                },
                {"offsets": {"from": 3200, "to": 6000}},
            ]
        },
        {"segments": [{"timestamp": "0:00.5 - 0:03.2"}, {"timestamp": "0:03.2 - 0:06"}]},
        {"segments": [{"time": "00:00:00.500 --> 00:00:03.200"}, {"time": "00:00:03.200 --> 00:00:06.000"}]},
        {"segments": [{"t0": 50, "t1": 320}, {"t0": 320, "t1": 600}]},
        {"segments": [{"t0": 0.5, "t1": 3.2}, {"t0": 3.2, "t1": 6.0}]},
        {"segments": [{"start": 3.2, "end": 0.5}, {"start": 6, "end": 3.2}]},
        {"timestamp": {"segment": [{"start": 0.5, "end": 3.2}, {"start": 3.2, "end": 6}]}},
    ],
)
def test_times_are_understood_by_any_reasonable_name_and_notation(entries: dict[str, Any]) -> None:
    body: dict[str, Any] = json.loads(json.dumps(entries))
    (key, value), *_ = body.items()
    for entry, (said, _, _) in zip(value["segment"] if isinstance(value, dict) else value, TWO, strict=True):
        entry["text"] = said
    body["text"] = "Hello there. Good morning."

    for shape in (body, {key: value}):
        assert [(said, round(start, 6), round(end, 6)) for said, start, end in spans(read(shape))] == TWO


def test_chunks_of_single_words_are_words() -> None:
    said = [" Hello", " there,", " you.", " Good", " morning."]
    body = {
        "text": "".join(said),
        "chunks": [{"text": text, "timestamp": [index, index + 0.9]} for index, text in enumerate(said)],
    }

    transcript = read(body)

    assert [segment.text for segment in transcript.segments] == ["Hello there, you.", "Good morning."]
    assert words(transcript) == [["Hello", "there,", "you."], ["Good", "morning."]]


@pytest.mark.parametrize(
    "body",
    [
        {
            "result": [
                {"word": said, "start": index, "end": index + 0.9, "conf": 1.0}
                for index, said in enumerate(["guten", "schönen", "tag"])
            ],
            "text": "guten schönen tag",
        },
        {
            "results": [
                {"start_time": index, "end_time": index + 0.9, "alternatives": [{"content": said}]}
                for index, said in enumerate(["good", "fine", "day"])
            ]
        },
    ],
)
def test_a_list_of_timed_words_is_no_list_of_segments(body: dict[str, Any]) -> None:
    (segment,) = read(body).segments

    assert (segment.start, segment.end, len(segment.words)) == (0.0, 2.9, 3)


def test_pairs_of_times_belong_to_the_words_of_the_text() -> None:
    body = {"text": "你好，Tom。", "timestamp": [[100, 400], [400, 750], [2000, 3000]]}

    assert [word for segment in read(body).segments for word in segment.words] == [
        Word("你", 0.1, 0.4),
        Word("好", 0.4, 0.75),
        Word("Tom", 2.0, 3.0),
    ]


# Other shapes of an answer.


@pytest.mark.parametrize(
    "body",
    [
        {"result": "Hello"},
        {"results": "Hello"},
        {"transcript": "Hello"},
        {"transcription": "Hello"},
        {"output": "Hello"},
        {"output": {"text": "Hello"}},
        {"data": "Hello"},
        {"data": ["Hello"]},
        {"data": [{"text": "Hello"}]},
        {"data": {"result": {"transcription": "Hello"}}},
        {"response": {"text": "Hello"}},
        {"text": None, "transcript": "Hello"},
        {"text": "", "transcript": "Hello"},
        {"Text": "Hello"},
        {"RecognitionStatus": "Success", "DisplayText": "Hello"},
        {"code": 0, "message": "success", "data": {"text": "Hello"}},
        {"status": "success", "error": None, "errors": [], "result": "Hello"},
        {"choices": [{"message": {"role": "assistant", "content": "Hello"}}]},
        {"results": [{"alternatives": [{"transcript": "Hello"}, {"transcript": "Hallow"}]}]},
        {"results": {"channels": [{"alternatives": [{"transcript": "Hello"}]}]}},
        {"results": {"transcripts": [{"transcript": "Hello"}]}},
        {"segments": ["Hello"]},
        [{"text": "Hello"}],
        ["Hello"],
    ],
)
def test_a_text_is_found_under_any_reasonable_name(body: Any) -> None:
    assert read(body).text == "Hello"


@pytest.mark.parametrize("name", ["data", "words", "segments", "timestamp", "alternatives", "text"])
@pytest.mark.parametrize("listed", [True, False])
def test_however_deep_an_answer_is_it_is_read_or_refused(name: str, listed: bool) -> None:  # noqa: FBT001 - pytest passes by name
    opening, closing = (f'{{"start": 0, "{name}": [', "]}") if listed else (f'{{"start": 0, "{name}": ', "}")
    body = opening * 400 + '"Hello"' + closing * 400

    try:
        read(body)
    except NoTranscriptError:
        return


def test_events_of_segments_and_of_text_alone_may_be_mixed() -> None:
    body = events({"segments": [{"start": 0, "end": 1, "text": "Hello"}]}, {"text": "there."}, end=False)

    assert spans(read(body)) == [("Hello", 0.0, 1.0), ("there.", 1.0, 10.0)]


# What an answer says of the length of its audio.


@pytest.mark.parametrize(
    ("body", "claimed"),
    [
        ({"text": "Hello", "duration": 24.5}, 24.5),
        ({"text": "Hello", "duration": "24.5"}, 24.5),
        ({"text": "Hello", "duration": 24_500, "segments": [{"start": 0, "end": 24_000, "text": "Hello"}]}, 24.5),
        ({"text": "Hello", "usage": {"type": "duration", "seconds": 25}}, 25.0),
        ({"segments": [{"start": 20, "end": 24, "text": "Hello"}]}, 24.0),
        ({"segments": [{"start": 20_000, "end": 24_000, "text": "Hello"}]}, 24.0),
        ({"duration": 12, "segments": [{"start": 20, "end": 24, "text": "Hello"}]}, 24.0),
        # Servers pad what they hear: an end alone says little.
        ({"segments": [{"start": 0, "end": 30, "text": "Hello"}]}, 0.0),
        ({"text": "Hello", "audio_duration": 1e30}, 0.0),
        ("1\n00:00:20,000 --> 00:00:24,000\nHello", 24.0),
        ({"text": "Hello"}, 0.0),
    ],
)
def test_the_length_that_an_answer_claims_is_kept(body: Any, claimed: float) -> None:
    transcript = read(body, 12.0)

    assert transcript.claimed_seconds == claimed
    assert transcript.duration == 12.0
    assert all(segment.end <= 12.0 for segment in transcript.segments)


def test_half_an_hour_of_text_is_no_two_seconds_in_milliseconds() -> None:
    said = [f"This is sentence number {number} of a long recording." for number in range(400)]
    body = {"segments": [{"start": 4.8 * n, "end": 4.8 * n + 4, "text": text} for n, text in enumerate(said)]}

    transcript = read(body, 46.0)

    assert not transcript.timed
    assert transcript.claimed_seconds == pytest.approx(1919.2)
    assert read(body, 1920.0).timed


# Nothing of a known text is lost, whatever the shape.

SIGNS = "abcxyzÄßø0123456789 ,.?!你好ไทй"
SYLLABLES = ("ba", "cé", "du", "fo", "gi", "kla", "mu", "no", "str", "üt", "那", "里", "ไท", "яблоко", "12", "3")
#: Texts of any signs; and of words, of which some may be missing without any doubt which.
random_texts = st.text(st.sampled_from(SIGNS), min_size=1, max_size=25).filter(lambda said: bool(letters_of(said)))
word_texts = st.lists(
    st.lists(st.sampled_from(SYLLABLES), min_size=1, max_size=4).map("".join), min_size=1, max_size=8
).map(lambda words: " ".join(words) + ".")


@st.composite
def spoken(draw: st.DrawFn, texts: st.SearchStrategy[str] = random_texts) -> tuple[str, list[dict[str, Any]], float]:
    """Draw a text, its segments with times that ascend, and the seconds of the piece."""
    said = draw(st.lists(texts, min_size=1, max_size=6))
    seconds = draw(st.floats(1, 600))
    count = 2 * len(said)
    moments = sorted(draw(st.lists(st.floats(0, 1), min_size=count, max_size=count)))
    entries = [
        {"text": text, "start": start * seconds, "end": end * seconds}
        for text, start, end in zip(said, moments[::2], moments[1::2], strict=True)
    ]
    return " ".join(said), entries, seconds


def clock(seconds: float) -> str:
    return f"{int(seconds // 3600):02}:{int(seconds // 60 % 60):02}:{seconds % 60:06.3f}"


def srt(entries: list[dict[str, Any]]) -> str:
    return "".join(
        f"{number}\n{clock(entry['start'])} --> {clock(entry['end'])}\n{entry['text']}\n\n"
        for number, entry in enumerate(entries, 1)
    )


#: What an answer makes of a text and its segments: none of these may lose a letter.
SHAPES: dict[str, Callable[[str, list[dict[str, Any]]], Any]] = {
    "verbose": lambda text, entries: {"text": text, "segments": entries},
    "segments alone": lambda _, entries: {"segments": entries},
    "list": lambda _, entries: entries,
    "starts alone": lambda text, entries: {
        "text": text,
        "segments": [{"text": entry["text"], "start": entry["start"]} for entry in entries],
    },
    "no times in every second": lambda text, entries: {
        "text": text,
        "segments": [entry if index % 2 else {"text": entry["text"]} for index, entry in enumerate(entries)],
    },
    "no times": lambda _, entries: {"segments": [{"text": entry["text"]} for entry in entries]},
    "all at once": lambda text, entries: {
        "text": text,
        "segments": [{**entry, "start": 0, "end": 1} for entry in entries],
    },
    "chunks": lambda text, entries: {
        "text": text,
        "chunks": [{"text": entry["text"], "timestamp": [entry["start"], entry["end"]]} for entry in entries],
    },
    "clocks": lambda text, entries: {
        "transcript": text,
        "utterances": [
            {"transcript": entry["text"], "startTime": clock(entry["start"]), "endTime": clock(entry["end"])}
            for entry in entries
        ],
    },
    "milliseconds": lambda text, entries: {
        "text": text,
        "sentence_info": [
            {"text": entry["text"], "start": entry["start"] * 1000, "end": entry["end"] * 1000} for entry in entries
        ],
    },
    "words": lambda text, entries: {
        "text": text,
        "words": [{"word": entry["text"], "start": entry["start"], "end": entry["end"]} for entry in entries],
    },
    "text alone": lambda text, _: {"result": text},
    "plain": lambda text, _: text,
    "wrapped": lambda text, entries: {"code": 0, "data": {"text": text, "segments": entries}},
    "srt": lambda _, entries: srt(entries),
    "srt in json": lambda _, entries: {"text": srt(entries)},
    "stream": lambda text, _: events(*(delta(sign) for sign in text)),
    "stream of segments": lambda text, entries: events(
        *({"type": "transcript.text.segment", **entry} for entry in entries),
        {"type": "transcript.text.done", "text": text},
    ),
    "stream of answers": lambda _, entries: events(
        *({"text": entry["text"], "segments": [entry]} for entry in entries)
    ),
}


@pytest.mark.slow_unless("plain", "stream of segments", "words", "verbose", "chunks")
@pytest.mark.parametrize("shape", SHAPES)
@given(answer=spoken())
def test_no_letter_is_lost_and_times_ascend_within_the_piece(
    shape: str, answer: tuple[str, list[dict[str, Any]], float]
) -> None:
    text, entries, seconds = answer
    transcript = read(SHAPES[shape](text, entries), seconds)

    assert Counter(letters_of(text)) - Counter(letters_of(transcript.text)) == Counter()
    timed: list[Segment | Word] = [*transcript.segments]
    starts = [segment.start for segment in transcript.segments]
    assert starts == sorted(starts)
    for segment in transcript.segments:
        assert [word.start for word in segment.words] == sorted(word.start for word in segment.words)
        timed += segment.words
    assert all(0 <= item.start <= item.end <= seconds for item in timed)


#: Answers whose parts lack something of their text; words of such texts are said once, or in another order, at will.
PARTIAL: dict[str, Callable[[str, list[dict[str, Any]]], Any]] = {
    "all but every third": lambda text, entries: {
        "text": text,
        "segments": [entry for index, entry in enumerate(entries) if index % 3 != 1],
    },
    "every second missing": lambda text, entries: {"text": text, "segments": entries[::2]},
    "the first missing": lambda text, entries: {"text": text, "segments": entries[1:]},
    "every second word": lambda text, entries: {
        "text": text,
        "words": [{"word": entry["text"], "start": entry["start"], "end": entry["end"]} for entry in entries[::2]],
    },
}


@pytest.mark.slow_if("every second missing", "all but every third", "every second word")
@pytest.mark.parametrize("shape", PARTIAL)
@given(answer=spoken(word_texts))
def test_what_only_the_text_has_is_not_lost(shape: str, answer: tuple[str, list[dict[str, Any]], float]) -> None:
    text, entries, seconds = answer
    transcript = read(PARTIAL[shape](text, entries), seconds)

    assert Counter(letters_of(text)) - Counter(letters_of(transcript.text)) == Counter()


EXACT = ("verbose", "segments alone", "list", "chunks", "clocks", "milliseconds", "words", "srt", "wrapped", "stream")


@pytest.mark.slow_if("srt", "chunks", "milliseconds", "segments alone", "stream")
@pytest.mark.parametrize("shape", EXACT)
@given(answer=spoken())
def test_a_whole_answer_is_read_without_a_letter_more(
    shape: str, answer: tuple[str, list[dict[str, Any]], float]
) -> None:
    text, entries, seconds = answer

    assert letters_of(read(SHAPES[shape](text, entries), seconds).text) == letters_of(text)


@pytest.mark.slow_unless("1000")
@pytest.mark.parametrize("count", [1000, 2000, 4000])
def test_what_is_missing_from_a_long_text_is_found(count: int) -> None:
    said = [f"Sentence {number} of a long recording speaks of {number * 7919}." for number in range(count)]
    body = {
        "text": " ".join(said),
        "segments": [{"start": n, "end": n + 1, "text": text} for n, text in enumerate(said) if n % 10],
    }

    assert letters_of(read(body, count).text) == letters_of(" ".join(said))


@pytest.mark.parametrize("seconds", [60.0, 0.0])
@pytest.mark.parametrize("far", [-1.7e308, 1.7e308, -200_000.0])
@pytest.mark.parametrize("name", ["words", "segments"])
def test_a_time_that_no_audio_has_is_none(name: str, far: float, seconds: float) -> None:
    """The words between it and the next one had times that were no numbers."""
    said = [{"text": "d", "start": far}, {"text": "e"}, {"text": "f"}, {"text": "g", "start": 4, "end": 5}]
    heard = read({"text": "d e f g", name: said}, seconds)

    assert [time for _, *span in spans(heard) for time in span if not 0 <= time <= (seconds or 5)] == []
    assert [
        word
        for segment in heard.segments
        for word in segment.words
        if not 0 <= word.start <= word.end <= (seconds or 5)
    ] == []
    assert letters_of("".join(segment.text for segment in heard.segments)) == "defg"
    # What no unit explains takes all times with it, where the length is known.
    assert heard.timed is (far < 0 or not seconds)


def test_words_are_dealt_to_no_segments_where_none_has_a_place() -> None:
    said = {
        "segments": [{"start": math.inf, "end": 0, "text": "d"}],
        "words": [{"word": "e", "start": 20.0, "end": 21.0}],
    }
    heard = read({"text": "Hello d", **said}, 60.0)

    assert letters_of("".join(segment.text for segment in heard.segments)) == "hellod"
