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
    ],
)
def test_what_holds_no_text_is_no_answer(body: Any) -> None:
    with pytest.raises(NoTranscriptError):
        read(body)


@pytest.mark.parametrize(
    "body",
    [
        '{"text": "Grüße"}'.encode("latin-1"),
        '{"text": "Grüße"}'.encode("utf-16"),
        "Grüße".encode("utf-16"),
        '```json\n{"text": "Grüße"}\n```',
        "```\nGrüße\n```",
        {"text": ["Grüße"]},
        {"text": {"content": "Grüße"}},
        {"job": {"transcript": "Grüße"}},
    ],
)
def test_a_text_is_understood_in_any_reasonable_dress(body: Any) -> None:
    assert read(body).text == "Grüße"


def test_a_broken_character_costs_that_character_alone() -> None:
    assert read('{"text": "Grüße, M'.encode() + b'\xc3ller"}').text == "Grüße, M\ufffdller"


def test_segments_may_be_rows() -> None:
    assert spans(read({"segments": [[0, 3.2, "Hello"], [3.2, 5, "there"]]})) == [
        ("Hello", 0.0, 3.2),
        ("there", 3.2, 5.0),
    ]


@pytest.mark.parametrize("body", [{"text": None}, {"text": None, "segments": None}, {"result": {"transcript": None}}])
def test_a_text_that_is_null_is_an_empty_one(body: Any) -> None:
    assert read(body).segments == ()


def test_plain_text_is_taken_as_it_is() -> None:
    assert read("Hello there.\n") == Transcript((Segment("Hello there.", 0.0, 10.0),), "", 10.0, timed=False)


def test_a_json_string_is_its_text() -> None:
    assert read('"Hello there."').text == "Hello there."


def test_a_quoted_sentence_that_is_no_json_stays_quoted() -> None:
    assert read('"Hello," she said, "there."').text == '"Hello," she said, "there."'


def test_a_byte_order_mark_is_no_text() -> None:
    assert read(b"\xef\xbb\xbf" + b'{"text": "Hi"}').text == "Hi"


# Rule 4: errors with a 200.


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "upstream failed", "type": "upstream_error", "param": None, "code": "bad_response"}},
        {"error": "upstream failed"},
        {"text": "", "error": {"message": "upstream failed"}},
        {"detail": "upstream failed"},
        {"status": "failure", "message": "upstream failed"},
    ],
)
def test_an_error_with_a_200_is_given_on(body: dict[str, Any]) -> None:
    with pytest.raises(NoTranscriptError) as caught:
        read(body)

    assert caught.value.error == body


def test_an_error_inside_the_text_is_found() -> None:
    with pytest.raises(NoTranscriptError) as caught:
        read({"text": '{"error": {"message": "quota"}}'})

    assert caught.value.error == {"error": {"message": "quota"}}


def test_an_absent_error_is_none() -> None:
    assert read({"text": "Hi", "error": None, "detail": "high"}).text == "Hi"


# Rule 5: where the text is.


def test_the_text_may_be_in_the_segments_alone() -> None:
    transcript = read({"segments": [{"start": 0, "end": 1, "text": " a"}, {"start": 1, "end": 2, "text": " b"}]})

    assert transcript.text == "a b"


@pytest.mark.parametrize(
    "body", [{"text": ""}, {"text": " \n"}, {"text": "", "segments": [], "words": []}, {"segments": []}]
)
def test_an_empty_text_is_silence_and_a_success(body: dict[str, Any]) -> None:
    assert read(body, plain=False) == Transcript((), "", 10.0, timed=True)


# The traps.


def test_srt_inside_json() -> None:
    transcript = read({"text": "1\n00:00:00,000 --> 00:00:03,300\nHello.\n\n", "usage": None})

    assert transcript.timed
    assert spans(transcript) == [("Hello.", 0.0, 3.3)]


def test_json_inside_text() -> None:
    transcript = read({"text": '{"text": "Hello.", "usage": null}', "usage": None})

    assert (transcript.text, transcript.timed) == ("Hello.", False)


def test_json_with_times_inside_text() -> None:
    inner = {"text": "Hello.", "language": "german", "segments": [{"start": 1, "end": 2, "text": "Hello."}]}

    transcript = read({"text": json.dumps(inner)})

    assert (spans(transcript), transcript.language) == ([("Hello.", 1.0, 2.0)], "de")


def test_json_inside_text_is_unwrapped_once_only() -> None:
    inner = json.dumps({"text": json.dumps({"text": "deep"})})

    assert read({"text": inner}).text == '{"text": "deep"}'


def test_a_text_that_begins_with_a_brace_may_be_speech() -> None:
    assert read({"text": "{laughs} Hello."}).text == "{laughs} Hello."


def test_a_subtitle_under_a_foreign_key() -> None:
    transcript = read({"html-message": "WEBVTT\n\n00:00:00.000 --> 00:00:03.300\nHello.\n\n"})

    assert spans(transcript) == [("Hello.", 0.0, 3.3)]


def test_a_bare_subtitle() -> None:
    assert spans(read("\n\n1\n00:00:00,000 --> 00:00:01,000\nHi")) == [("Hi", 0.0, 1.0)]


def test_string_duration_and_null_words() -> None:
    body = {
        "duration": "120.0",
        "language": "en",
        "text": "a",
        "segments": [{"id": 0, "start": 0.0, "end": 1.0, "text": " a", "no_speech_prob": None}],
        "words": None,
    }

    transcript = read(body, 0.0)

    assert transcript == Transcript((Segment("a", 0.0, 1.0),), "en", 120.0)


def test_placeholder_metrics_count_as_missing() -> None:
    body = {
        "segments": [{"id": 42, "avg_logprob": -1.0, "compression_ratio": -1.0, "start": 0, "end": 2, "text": "a"}],
        "text": "a",
    }

    assert read(body).segments == (Segment("a", 0.0, 2.0),)


def test_real_metrics_are_kept() -> None:
    entry = {"start": 0, "end": 2, "text": "a", "avg_logprob": -1.0, "compression_ratio": 1.5, "no_speech_prob": "0.25"}

    assert read({"segments": [entry]}).segments == (
        Segment("a", 0.0, 2.0, avg_logprob=-1.0, compression_ratio=1.5, no_speech_prob=0.25),
    )


@pytest.mark.parametrize("value", [None, "NaN", math.nan, math.inf, True, [], {}, "high", 10**400])
def test_a_metric_that_is_no_number_counts_as_missing(value: Any) -> None:
    entry = {
        "start": 0,
        "end": 2,
        "text": "a",
        "avg_logprob": value,
        "compression_ratio": value,
        "no_speech_prob": value,
    }

    assert read(json.dumps({"segments": [entry]})).segments == (Segment("a", 0.0, 2.0),)


def test_words_inside_segments_in_pieces_are_joined() -> None:
    body = {
        "text": "Hello you",
        "segments": [
            {
                "id": 0,
                "start": 0,
                "end": 2,
                "text": " Hello you",
                "words": [
                    {"word": " Hel", "start": 0, "end": 0.4},
                    {"word": "lo", "start": 0.4, "end": 1},
                    {"word": " you", "start": 1.2, "end": 1.5},
                    {"word": ".", "start": 1.5, "end": 1.6},
                ],
            }
        ],
    }

    assert read(body).segments[0].words == (Word("Hello", 0.0, 1.0), Word("you.", 1.2, 1.6))


def test_words_inside_segments_without_any_blank_are_whole_words() -> None:
    entries = [{"word": "Hello", "start": 0, "end": 1}, {"word": "you", "start": 1, "end": 2}]

    assert words(read({"segments": [{"start": 0, "end": 2, "text": "Hello you", "words": entries}]})) == [
        ["Hello", "you"]
    ]


def test_words_without_text_are_left_out_and_those_without_time_lie_between_their_neighbours() -> None:
    entries = [{"word": "  ", "start": 0, "end": 1}, {"word": " a"}, {"word": " b", "start": 1, "end": 2}]

    assert read({"segments": [{"start": 0, "end": 2, "text": " a b", "words": entries}]}).segments[0].words == (
        Word("a", 0.0, 1.0),
        Word("b", 1.0, 2.0),
    )


def test_scripts_without_blanks_are_not_glued_to_a_word_before() -> None:
    entries = [
        {"word": " OK", "start": 0, "end": 1},
        {"word": "你", "start": 1, "end": 1.5},
        {"word": "好", "start": 1.5, "end": 2},
    ]

    assert words(read({"segments": [{"start": 0, "end": 2, "text": " OK你好", "words": entries}]})) == [
        ["OK", "你", "好"]
    ]


def test_tokens_that_cut_characters_in_two_are_left_out() -> None:
    entries = [{"word": "\ufffd", "start": 0, "end": 1}, {"word": "\ufffd", "start": 1, "end": 2}]

    assert words(read({"segments": [{"start": 0, "end": 2, "text": "好", "words": entries}]})) == [[]]


def test_the_word_key_may_be_text() -> None:
    transcript = read({"text": "Hi", "words": [{"start": 0, "end": 0.5, "text": "Hi"}]})

    assert transcript.segments == (Segment("Hi", 0.0, 0.5, words=(Word("Hi", 0.0, 0.5),)),)


def test_segments_empty_and_words_full() -> None:
    body = {"text": "Hi", "language": "english", "segments": [], "words": [{"word": "Hi", "start": 0, "end": 0.5}]}

    assert read(body) == Transcript((Segment("Hi", 0.0, 0.5, words=(Word("Hi", 0.0, 0.5),)),), "en", 10.0)


@pytest.mark.parametrize("name", ["detected_language_probability", "language_probability"])
def test_how_sure_the_server_is_of_the_language_is_kept(name: str) -> None:
    assert read({"text": "Hi", "language": "english", name: 0.75}).language_probability == 0.75
    assert read({"text": "Hi", "language": "english", name: "?"}).language_probability is None
    assert read({"text": "Hi", "language": "english"}).language_probability is None


def test_string_ids_and_speakers() -> None:
    entry = {"type": "transcript.text.segment", "id": "seg_001", "start": 0, "end": 1, "text": "Hi", "speaker": "A"}

    assert read({"text": "Hi", "segments": [entry]}).segments == (Segment("Hi", 0.0, 1.0, speaker="A"),)


def test_milliseconds_under_another_name() -> None:
    transcript = read({"text": "好", "sentence_info": [{"text": "好", "start": 1080, "end": 4375, "spk": 0}]}, 5.0)

    assert transcript.segments == (Segment("好", 1.08, 4.375, speaker="0"),)


def test_lines_of_a_text_are_no_paragraphs() -> None:
    assert read({"text": " Hello\n world\n"}).text == "Hello world"


def test_a_lost_tail_leaves_the_times_as_they_are() -> None:
    body = {"duration": "29.42", "segments": [{"start": 0, "end": 21.56, "text": "…"}], "text": "…"}

    transcript = read(body, 29.42)

    assert (spans(transcript), transcript.duration) == ([("…", 0.0, 21.56)], 29.42)


# Rule 7: times.


@pytest.mark.parametrize("factor", [1e3, 1e6, 1e9])
def test_times_in_another_unit_are_brought_to_seconds(factor: float) -> None:
    body = {
        "segments": [{"start": 1 * factor, "end": 9 * factor, "text": "a b"}],
        "words": [
            {"word": "a", "start": 1 * factor, "end": 2 * factor},
            {"word": "b", "start": 8 * factor, "end": 9 * factor},
        ],
    }

    segment = read(body).segments[0]

    assert (segment.start, segment.end) == (1.0, 9.0)
    assert [(word.start, word.end) for word in segment.words] == [(1.0, 2.0), (8.0, 9.0)]


def test_times_no_unit_explains_are_thrown_away() -> None:
    transcript = read({"text": "a", "segments": [{"start": 1, "end": 1e30, "text": "a"}]})

    assert transcript == Transcript((Segment("a", 0.0, 10.0),), "", 10.0, timed=False)


def test_a_subtitle_whose_times_make_no_sense_is_a_text_without_times() -> None:
    transcript = read("1\n90:00:00,000 --> 99:00:00,000\nHello.")

    assert transcript == Transcript((Segment("Hello.", 0.0, 10.0),), "", 10.0, timed=False)


def test_times_somewhat_beyond_the_end_are_clamped() -> None:
    transcript = read({"segments": [{"start": 0, "end": 30, "text": "a"}, {"start": 28, "end": 30, "text": "b"}]}, 2.0)

    assert spans(transcript) == [("a", 0.0, 2.0), ("b", 2.0, 2.0)]


def test_an_end_before_the_start_is_the_start_of_reversed_times() -> None:
    assert spans(read({"segments": [{"start": 3, "end": 1, "text": "a"}]})) == [("a", 1.0, 3.0)]


def test_an_end_of_zero_behind_a_start_is_the_start() -> None:
    assert spans(read({"segments": [{"start": 3, "end": 0, "text": "a"}]})) == [("a", 3.0, 3.0)]


def test_segments_are_put_in_order_of_time() -> None:
    body = {"segments": [{"start": 4, "end": 5, "text": "b"}, {"start": "1", "end": "2", "text": "a"}]}

    assert [text for text, _, _ in spans(read(body))] == ["a", "b"]


@pytest.mark.parametrize("missing", [None, "", math.nan, "soon"])
def test_a_missing_time_comes_from_its_neighbours(missing: Any) -> None:
    body = {
        "segments": [
            {"start": missing, "end": 1, "text": "a"},
            {"start": missing, "end": 2, "text": "b"},
            {"start": 3, "end": missing, "text": "c"},
        ]
    }

    assert spans(read(json.dumps(body))) == [("a", 0.0, 1.0), ("b", 1.0, 2.0), ("c", 3.0, 10.0)]


def test_segments_without_any_time_are_a_text_without_times() -> None:
    transcript = read({"segments": [{"text": "a"}, {"text": "b"}]})

    assert (transcript.text, transcript.timed) == ("a b", False)


@pytest.mark.parametrize("junk", [[None, 1, "x"], "x", {"a": 1}, 5])
def test_junk_in_place_of_segments_leaves_the_text(junk: Any) -> None:
    assert read({"text": "a", "segments": junk, "words": junk}).text == "a"


# Rule 8: words.


def test_words_are_dealt_to_segments_by_their_letters_even_where_times_disagree() -> None:
    body = {
        "text": "Hello, you. Good-bye!",
        "segments": [{"start": 0, "end": 1, "text": "Hello, you."}, {"start": 1, "end": 3, "text": " Good-bye!"}],
        "words": [
            {"word": "Hello", "start": 0, "end": 0.5},
            {"word": "you", "start": 0.9, "end": 1.4},
            {"word": "Good", "start": 1.5, "end": 2},
            {"word": "bye", "start": 2, "end": 3},
        ],
    }

    assert words(read(body)) == [["Hello", "you"], ["Good", "bye"]]


def test_words_are_dealt_by_time_where_letters_disagree() -> None:
    body = {
        "segments": [{"start": 0, "end": 1, "text": "21 men"}, {"start": 2, "end": 3, "text": "left"}],
        "words": [
            {"word": "twenty-one", "start": 0, "end": 0.5},
            {"word": "men", "start": 0.5, "end": 1.2},
            {"word": "left", "start": 2, "end": 3},
        ],
    }

    assert words(read(body)) == [["twenty-one", "men"], ["left"]]


def test_segments_from_words_keep_the_punctuation_of_the_text() -> None:
    said = [("Hello", 0, 0.5), ("you", 0.6, 1), ("Good", 3, 3.5), ("bye", 3.5, 4), ("now", 4, 4.5)]
    body = {"text": "Hello, you! Good-bye now.", "words": [{"word": w, "start": s, "end": e} for w, s, e in said]}

    transcript = read(body)

    assert spans(transcript) == [("Hello, you!", 0.0, 1.0), ("Good-bye now.", 3.0, 4.5)]
    assert words(transcript) == [["Hello", "you"], ["Good", "bye", "now"]]


def test_segments_from_words_alone_join_them_as_their_script_does() -> None:
    latin = {"words": [{"word": "Hello", "start": 0, "end": 0.5}, {"word": "you", "start": 0.6, "end": 1}]}
    chinese = {"words": [{"word": "你", "start": 0, "end": 0.5}, {"word": "好", "start": 0.6, "end": 1}]}

    assert (read(latin).text, read(chinese).text) == ("Hello you", "你好")


def test_segments_from_words_end_before_they_grow_too_long() -> None:
    body = {"words": [{"word": f"w{i}", "start": i, "end": i + 0.9} for i in range(40)]}

    transcript = read(body, 60.0)

    assert max(segment.end - segment.start for segment in transcript.segments) < 20
    assert [word for said in words(transcript) for word in said] == [f"w{i}" for i in range(40)]


def test_a_change_of_speaker_ends_a_segment_built_from_words() -> None:
    body = {
        "words": [
            {"word": "Yes", "start": 0, "end": 0.5, "speaker": "A"},
            {"word": "No", "start": 0.5, "end": 1, "speaker": "B"},
        ]
    }

    assert [(segment.text, segment.speaker) for segment in read(body).segments] == [("Yes", "A"), ("No", "B")]


# Language and text.


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


def test_the_detected_language_counts_where_there_is_no_other() -> None:
    assert read({"text": "a", "detected_language": "german"}).language == "de"


def test_what_no_output_can_hold_is_taken_out_of_the_text() -> None:
    body = '{"text": "a\\u0001b \\ud83d\\ude00 \\ud800c\\u202ed\\ufeff\\u0085e\\u001b[31m"}'

    assert read(body).text == "ab 😀 \ufffdcd e[31m"


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


def test_a_segment_without_times_lies_between_its_neighbours() -> None:
    body = {
        "text": "A first one. B second. C third.",
        "segments": [
            {"start": 0, "end": 1, "text": "A first one."},
            {"text": "B second."},
            {"start": 6, "end": 9, "text": "C third."},
        ],
    }

    assert spans(read(body)) == [("A first one.", 0.0, 1.0), ("B second.", 1.0, 6.0), ("C third.", 6.0, 9.0)]


def test_a_last_segment_without_times_lies_before_the_end() -> None:
    body = {"text": "A. B.", "segments": [{"start": 0, "end": 1, "text": "A."}, {"text": "B."}]}

    assert spans(read(body)) == [("A.", 0.0, 1.0), ("B.", 1.0, 10.0)]


def test_segments_without_times_share_their_span_by_the_length_of_their_texts() -> None:
    body = {"segments": [{"text": "aaa"}, {"text": "a"}, {"start": 8, "end": 9, "text": "b"}]}

    assert spans(read(body)) == [("aaa", 0.0, 6.0), ("a", 6.0, 8.0), ("b", 8.0, 9.0)]


def test_a_word_without_times_is_not_lost_from_words_alone() -> None:
    body = {
        "text": "In 2014 we met.",
        "words": [
            {"word": "In", "start": 0, "end": 1},
            {"word": "2014"},
            {"word": "we", "start": 3, "end": 4},
            {"word": "met", "start": 4, "end": 5},
        ],
    }

    transcript = read(body)

    assert transcript.text == "In 2014 we met."
    assert transcript.segments[0].words[1] == Word("2014", 1.0, 3.0)


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


def test_numbers_written_in_another_way_are_not_said_twice() -> None:
    body = {
        "text": "Twenty-one men left the village in the evening.",
        "segments": [{"start": 0, "end": 4, "text": "21 men left the village in the evening."}],
    }

    assert read(body).text == "21 men left the village in the evening."


def test_segments_in_another_order_than_the_text_are_not_said_twice() -> None:
    body = {
        "text": "Good morning everybody. And welcome to the show.",
        "segments": [
            {"start": 4, "end": 8, "text": "And welcome to the show."},
            {"start": 0, "end": 4, "text": "Good morning everybody."},
        ],
    }

    assert read(body).text == "Good morning everybody. And welcome to the show."


def test_a_translation_beside_segments_of_the_original_is_not_put_between_them() -> None:
    body = {"text": "Where is the station?", "segments": [{"start": 0, "end": 2, "text": "Wo ist hier der Bahnhof?"}]}

    assert read(body).text == "Wo ist hier der Bahnhof?"


def test_a_name_before_each_turn_of_the_text_is_no_lost_text() -> None:
    body = {
        "text": "Speaker A: Hello there. Speaker B: Good morning.",
        "segments": [
            {"start": 0, "end": 1, "text": "Hello there.", "speaker": "A"},
            {"start": 1, "end": 2, "text": "Good morning.", "speaker": "B"},
        ],
    }

    assert read(body).text == "Hello there. Good morning."


def test_a_second_paragraph_of_a_caption_is_kept() -> None:
    body = "1\n00:00:00,000 --> 00:00:02,000\nFirst.\n\nSecond.\n\n2\n00:00:02,000 --> 00:00:03,000\nThird."

    assert spans(read(body)) == [("First. Second.", 0.0, 2.0), ("Third.", 2.0, 3.0)]


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


def test_lines_with_their_times_in_brackets_are_captions() -> None:
    body = "[00:00:00.000 --> 00:00:02.500]   Hello there.\n[00:00:02.500 --> 00:00:04.000]   Good morning.\n"

    transcript = read(body)

    assert transcript.timed
    assert spans(transcript) == [("Hello there.", 0.0, 2.5), ("Good morning.", 2.5, 4.0)]


def test_lines_with_their_starts_in_brackets_are_captions() -> None:
    assert spans(read("[ti:Song]\n[00:01.50]Hello there.\n[00:04.00]Good morning.\n")) == [
        ("Hello there.", 1.5, 4.0),
        ("Good morning.", 4.0, 10.0),
    ]


def test_tokens_of_times_are_times() -> None:
    assert spans(read("<|0.00|> Hello there.<|2.50|><|2.50|> Good morning.<|4.00|>")) == [
        ("Hello there.", 0.0, 2.5),
        ("Good morning.", 2.5, 4.0),
    ]


def test_tokens_of_times_that_begin_anew_are_left_out_of_the_text() -> None:
    transcript = read("<|0.00|> Hello there.<|29.00|><|0.00|> Good morning.<|4.00|>", 60.0)

    assert (transcript.text, transcript.timed) == ("Hello there. Good morning.", False)


def test_tokens_of_times_and_speakers_in_brackets_are_times_and_speakers() -> None:
    transcript = read("[0.00][S01]Hello there.[2.30][2.40][S02]Good morning.[4.00]")

    assert spans(transcript) == [("Hello there.", 0.0, 2.3), ("Good morning.", 2.4, 4.0)]
    assert [segment.speaker for segment in transcript.segments] == ["S01", "S02"]


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


def test_an_event_stream_that_breaks_off_is_no_answer() -> None:
    with pytest.raises(NoTranscriptError, match="broke off"):
        read(events(delta("Hello"), delta(" there"), end=False))


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


def test_markup_in_a_segment_is_no_text_either() -> None:
    body = {
        "text": "language English<asr_text>Hello",
        "segments": [{"start": 0, "end": 1, "text": "language English<asr_text>Hello"}],
    }

    assert (spans(read(body)), read(body).language) == ([("Hello", 0.0, 1.0)], "en")


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


def test_a_last_chunk_without_an_end_ends_with_the_audio() -> None:
    body = {"text": "a b", "chunks": [{"timestamp": [0, 4], "text": "a b"}, {"timestamp": [4, None], "text": "c"}]}

    assert spans(read(body)) == [("a b", 0.0, 4.0), ("c", 4.0, 10.0)]


def test_chunks_of_single_words_are_words() -> None:
    said = [" Hello", " there,", " you.", " Good", " morning."]
    body = {
        "text": "".join(said),
        "chunks": [{"text": text, "timestamp": [index, index + 0.9]} for index, text in enumerate(said)],
    }

    transcript = read(body)

    assert [segment.text for segment in transcript.segments] == ["Hello there, you.", "Good morning."]
    assert words(transcript) == [["Hello", "there,", "you."], ["Good", "morning."]]


def test_segments_may_be_counted_by_their_names() -> None:
    body = {"segments": {"10": {"start": 3, "end": 5, "text": "b"}, "9": {"start": 1, "end": 3, "text": "a"}}}

    assert spans(read(body)) == [("a", 1.0, 3.0), ("b", 3.0, 5.0)]


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


def test_words_may_be_named_and_timed_in_any_way_too() -> None:
    body = {
        "text": "Hello there.",
        "timestamps": {
            "segments": [{"segment": "Hello there.", "start": 0, "end": 2}],
            "words": [
                {"text": "Hello", "startTime": "0s", "endTime": "0.9s"},
                {"text": "there", "startTime": "1s", "endTime": "2s"},
            ],
        },
    }

    assert read(body).segments == (
        Segment("Hello there.", 0.0, 2.0, words=(Word("Hello", 0.0, 0.9), Word("there", 1.0, 2.0))),
    )


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


@pytest.mark.parametrize(
    "body",
    [
        {"results": [{"alternatives": [{"content": "Hello"}], "start_time": "1.0", "end_time": "2.0"}]},
        {
            "results": [
                {
                    "alternatives": [
                        {"transcript": "Hello", "words": [{"word": "Hello", "startTime": "1s", "endTime": "2s"}]}
                    ]
                }
            ]
        },
        {"result": {"segments": []}, "data": {"text": None}, "output": [{"text": "Hello", "start": 1, "end": 2}]},
        {"segments": [{"text": "Hello", "timestamp": 1}, {"text": "", "timestamp": 2}]},
        {"words": [{"word": "Hello", "start": 1, "end": 2}]},
        {"segments": [{"start": 1, "end": 2, "words": [{"word": "Hello"}]}]},
    ],
)
def test_a_time_is_found_in_any_reasonable_place(body: Any) -> None:
    assert spans(read(body)) == [("Hello", 1.0, 2.0)]


def test_a_word_may_be_a_number() -> None:
    assert words(read({"segments": [{"start": 0, "end": 1, "words": [{"word": 2014, "start": 0, "end": 1}]}]})) == [
        ["2014"]
    ]


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


def test_whole_chat_answers_may_come_as_lines() -> None:
    lines = [json.dumps({"choices": [{"message": {"content": said}}]}) for said in ("Hello", "there.")]

    assert read("\n".join(lines)).text == "Hello there."


def test_a_list_of_segments_is_an_answer() -> None:
    body = [{"Start": 0, "End": 1.5, "Speaker": 0, "Content": "Hello"}, {"Start": 2, "End": 3, "Content": "You"}]

    assert spans(read(body)) == spans(read({"text": json.dumps(body)})) == [("Hello", 0.0, 1.5), ("You", 2.0, 3.0)]


def test_language_and_text_may_lie_outside_of_the_times() -> None:
    body = {
        "text": "Hello.",
        "info": {"language": "German"},
        "result": {"segments": [{"start": 1, "end": 2, "text": "Hello."}]},
    }

    assert (spans(read(body)), read(body).language) == ([("Hello.", 1.0, 2.0)], "de")


@pytest.mark.parametrize(
    "body",
    [
        {"code": 20012, "message": "model is down", "data": None},
        {"success": False, "message": "no"},
        {"status": "error", "message": "no"},
        {"errors": [{"message": "no"}]},
        {"err_msg": "no", "err_no": 3301},
        {"message": "no"},
        [{"error": "no"}],
        {"data": {"error": "no"}},
        {"RecognitionStatus": "Error"},
    ],
)
def test_an_error_is_seen_under_any_reasonable_name(body: Any) -> None:
    with pytest.raises(NoTranscriptError) as caught:
        read(body)

    assert caught.value.error is not None


@pytest.mark.parametrize("body", [{"status": "queued", "id": "x"}, {"status": "processing", "text": ""}])
def test_a_promise_of_an_answer_is_none(body: Any) -> None:
    with pytest.raises(NoTranscriptError):
        read(body)


# Times that cannot be meant.


def test_segments_that_all_say_the_same_span_share_it_by_the_length_of_their_texts() -> None:
    texts = ["aaaa", "aa", "aaaa", "aaaaaa", "aa"]
    body = {"segments": [{"start": 0, "end": 9, "text": text} for text in texts]}

    assert spans(read(body)) == [
        ("aaaa", 0.0, 2.0),
        ("aa", 2.0, 3.0),
        ("aaaa", 3.0, 5.0),
        ("aaaaaa", 5.0, 8.0),
        ("aa", 8.0, 9.0),
    ]


@pytest.mark.parametrize("times", [[(0, 3), (0, 6), (0, 9)], [(0, 9), (3, 9), (6, 9)]])
def test_segments_that_share_an_end_follow_each_other(times: list[tuple[float, float]]) -> None:
    body = {"segments": [{"start": start, "end": end, "text": "aaa"} for start, end in times]}

    assert spans(read(body)) == [("aaa", 0.0, 3.0), ("aaa", 3.0, 6.0), ("aaa", 6.0, 9.0)]


def test_two_speakers_may_speak_at_the_same_time() -> None:
    body = {"segments": [{"start": 0, "end": 9, "text": text, "speaker": text} for text in ("A", "B")]}

    assert spans(read(body)) == [("A", 0.0, 9.0), ("B", 0.0, 9.0)]


def test_segments_that_are_all_at_zero_have_no_times() -> None:
    transcript = read({"segments": [{"start": 0, "end": 0, "text": text} for text in ("A.", "B.")]})

    assert (transcript.text, transcript.timed) == ("A. B.", False)


def test_words_that_all_say_the_same_span_tell_nothing() -> None:
    body = {
        "text": "Hello there.",
        "segments": [{"start": 1, "end": 3, "text": "Hello there."}],
        "words": [{"word": word, "start": 1, "end": 3} for word in ("Hello", "there.")],
    }

    assert read(body).segments == (Segment("Hello there.", 1.0, 3.0),)


def test_segments_that_all_say_the_same_span_are_where_their_words_are() -> None:
    body = {
        "segments": [
            {"start": 0, "end": 9, "text": word, "words": [{"word": word, "start": at, "end": at + 1}]}
            for at, word in ((2, "Hello"), (5, "there"))
        ]
    }

    assert spans(read(body)) == [("Hello", 2.0, 3.0), ("there", 5.0, 6.0)]


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


@pytest.mark.parametrize("shape", PARTIAL)
@given(answer=spoken(word_texts))
def test_what_only_the_text_has_is_not_lost(shape: str, answer: tuple[str, list[dict[str, Any]], float]) -> None:
    text, entries, seconds = answer
    transcript = read(PARTIAL[shape](text, entries), seconds)

    assert Counter(letters_of(text)) - Counter(letters_of(transcript.text)) == Counter()


EXACT = ("verbose", "segments alone", "list", "chunks", "clocks", "milliseconds", "words", "srt", "wrapped", "stream")


@pytest.mark.parametrize("shape", EXACT)
@given(answer=spoken())
def test_a_whole_answer_is_read_without_a_letter_more(
    shape: str, answer: tuple[str, list[dict[str, Any]], float]
) -> None:
    text, entries, seconds = answer

    assert letters_of(read(SHAPES[shape](text, entries), seconds).text) == letters_of(text)


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
