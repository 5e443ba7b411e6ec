"""The order of reading a 200 (rules) and every trap of it, each with the body its server sends."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.client.parse import Unfit, transcript_of
from watcher.transcript import Segment, Transcript, Word


def read(body: Any, seconds: float = 10.0, **options: Any) -> Transcript:
    raw = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return transcript_of(raw, seconds, **options)


def spans(transcript: Transcript) -> list[tuple[str, float, float]]:
    return [(segment.text, segment.start, segment.end) for segment in transcript.segments]


def words(transcript: Transcript) -> list[list[str]]:
    return [[word.text for word in segment.words] for segment in transcript.segments]


# Rule 1: nothing at all.


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n", b"\xef\xbb\xbf"])
def test_nothing_is_silence_where_text_was_asked(body: bytes) -> None:
    assert read(body, plain=True) == Transcript((), "", 10.0)


@pytest.mark.parametrize("body", [b"", b"\n"])
def test_nothing_is_no_answer_where_json_was_asked(body: bytes) -> None:
    with pytest.raises(Unfit):
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
    with pytest.raises(Unfit, match="web page"):
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
        b"\xff\xfe\x00H",
        b"Hello \x80 there",
        b"Hello\x00there",
        "[]",
        '["Hello"]',
        "{}",
        '{"text": null}',
        '{"text": 5}',
        '{"text": {"a": 1}}',
        '{"data": null, "code": 20012}',
    ],
)
def test_what_holds_no_text_is_no_answer(body: Any) -> None:
    with pytest.raises(Unfit):
        read(body)


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
    with pytest.raises(Unfit) as caught:
        read(body)

    assert caught.value.error == body


def test_an_error_inside_the_text_is_found() -> None:
    with pytest.raises(Unfit) as caught:
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


def test_words_without_text_or_time_are_left_out() -> None:
    entries = [{"word": "  ", "start": 0, "end": 1}, {"word": " a"}, {"word": " b", "start": 1, "end": 2}]

    assert words(read({"segments": [{"start": 0, "end": 2, "text": " b", "words": entries}]})) == [["b"]]


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


def test_an_end_before_the_start_is_the_start() -> None:
    assert spans(read({"segments": [{"start": 3, "end": 1, "text": "a"}]})) == [("a", 3.0, 3.0)]


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

    assert spans(read(json.dumps(body))) == [("a", 0.0, 1.0), ("b", 1.0, 2.0), ("c", 3.0, 3.0)]


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
    except Unfit:
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
    except Unfit:
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
    moments = sorted(data.draw(st.lists(st.floats(0, 10), min_size=2 * len(said), max_size=2 * len(said))))
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
