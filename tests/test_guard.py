import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transcripts import transcripts

from watcher.cues import CaptionRules, layout
from watcher.formats import Document, render
from watcher.guard import leave_out_wordless, repetition, review
from watcher.guard.repetition import repeats
from watcher.lint import lint
from watcher.transcript import Segment, Transcript, Word

SPEECH = 25
NOISE = 70
SILENCE = 255


def judged(
    *segments: Segment, loudness: bytes = b"", prompt: str = "", timed: bool = True
) -> list[tuple[tuple[str, ...], bool]]:
    found = review(Transcript(segments, timed=timed), loudness=loudness, prompt=prompt)
    return [(segment.flags, segment.left_out) for segment in found.segments]


def loud(*spans: tuple[float, int]) -> bytes:
    """Loudness from spans of seconds and minus dBFS."""
    return b"".join(bytes([level]) * round(seconds * 10) for seconds, level in spans)


GOOD = Segment(
    "We went to the market in the morning.", 0.0, 3.0, avg_logprob=-0.2, compression_ratio=1.4, no_speech_prob=0.01
)


def test_speech_has_no_sign() -> None:
    assert judged(GOOD, loudness=loud((3, SPEECH))) == [((), False)]


def test_nothing_known_is_no_sign() -> None:
    assert judged(Segment("We went to the market.", 0, 3)) == [((), False)]


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"no_speech_prob": 0.7, "avg_logprob": -0.6}, "no_speech"),
        ({"no_speech_prob": 0.7, "avg_logprob": None}, "no_speech"),
        ({"avg_logprob": -1.1}, "no_speech"),
        (
            {
                "text": "We went to the market in the morning, and came home by the river. " * 3,
                "compression_ratio": 2.6,
                "end": 20.0,
            },
            "ratio",
        ),
        ({"text": "Thank you for watching!"}, "phrase"),
    ],
)
def test_one_sign_is_marked_and_kept(change: dict[str, Any], flag: str) -> None:
    assert judged(replace(GOOD, **change)) == [((flag,), False)]


@pytest.mark.parametrize(
    "change",
    [
        {"no_speech_prob": 0.7, "avg_logprob": -0.3},
        {"no_speech_prob": 0.97, "avg_logprob": -0.08},
        {"compression_ratio": 2.5},
        {"no_speech_prob": 0.5, "avg_logprob": -0.9},
        {"compression_ratio": -1.0},
        {"compression_ratio": 2.4},
        {"avg_logprob": -1.0},
    ],
)
def test_what_whisper_s_own_limits_let_pass_is_no_sign(change: dict[str, Any]) -> None:
    assert judged(replace(GOOD, **change)) == [((), False)]


@pytest.mark.parametrize("text", [".", "…", "♪", " ♪♪ ", "- -", "?!", "\u200e" * 70, "👏"])
def test_what_has_no_letter_and_no_digit_is_left_out(text: str) -> None:
    assert judged(Segment(text, 0, 3, no_speech_prob=0.0, avg_logprob=-0.1)) == [(("wordless",), True)]


@pytest.mark.parametrize(
    "text",
    [
        "[BLANK_AUDIO]", "[ Silence ]", " [Woo!]", "[Music] [Applause]", "♪ [Music playing] ♪", "(upbeat music)",
        "*laughs*", "(音楽)", "（拍手）", "【音乐】", "[Musik] - (Applaus)",
    ],
)  # fmt: skip
def test_labels_of_sounds_and_of_silence_are_left_out(text: str) -> None:
    assert judged(Segment(text, 0, 3)) == [(("sound",), True)]


@pytest.mark.parametrize(
    "text",
    [
        "[Music] Hello.",
        "♪ We are the champions ♪",
        "(He left the room.)",
        "(555)",
        "2 * 3 * 4",
        "1984",
        "No (not yet)",
        "",
    ],
)
def test_what_says_something_beside_a_label_stays(text: str) -> None:
    assert judged(Segment(text, 0, 3)) == [((), False)]


@pytest.mark.parametrize(
    ("text", "out", "out_with_music"),
    [
        ("♪", True, False),
        (" ♪♫ … ♪ ", True, False),
        (".", True, True),
        ("[Music]", True, True),
        ("♪ (upbeat music) ♪", True, True),
        ("♪ We are the champions ♪", False, False),
        ("Thank you for watching!", False, False),
        ("", False, False),
    ],
)
def test_marks_of_music_stay_where_they_are_wanted_with_the_guard_and_without(
    text: str,
    out: bool,  # noqa: FBT001 -- pytest passes by name
    out_with_music: bool,  # noqa: FBT001
) -> None:
    said = Transcript((Segment(text, 0, 3), GOOD))
    found = [
        one.segments[0].left_out
        for music in (False, True)
        for one in (review(said, music=music), leave_out_wordless(said, music=music))
    ]

    assert found == [out, out, out_with_music, out_with_music]
    assert leave_out_wordless(said).segments[1] == GOOD


def test_without_speech_nothing_is_written_and_our_own_report_finds_nothing() -> None:
    """Answers to 30 s of noise, as whisper.cpp and its relatives give them."""
    texts = ["[BLANK_AUDIO]", ".", "[ Silence ]", "♪", "(wind blowing)", "Yes, we are.", "[Woo!]"]
    segments = tuple(Segment(text, 4.0 * index, 4.0 * index + 4) for index, text in enumerate(texts))
    reviewed = review(Transcript(segments, "en", 28.0))
    made = Document(reviewed, layout(reviewed, CaptionRules(), duration=28.0), "noise.wav")

    assert render("txt", made) == b"Yes, we are.\n"
    for kind in ("srt", "vtt"):
        assert lint(render(kind, made), kind).ok
        assert lint(render(kind, made), kind).captions == 1
    assert [segment["text"] for segment in json.loads(render("json", made))["segments"]] == texts


def test_two_signs_of_different_kinds_leave_a_segment_out() -> None:
    segment = Segment("Thank you.", 3.0, 5.0, no_speech_prob=0.8)

    assert judged(segment, loudness=loud((3, SPEECH), (3, NOISE))) == [(("silence", "no_speech", "phrase"), True)]
    assert judged(segment) == [(("no_speech", "phrase"), True)]
    assert judged(replace(segment, no_speech_prob=None), loudness=loud((3, SPEECH), (3, NOISE))) == [
        (("silence", "phrase"), True)
    ]


def test_two_signs_of_one_kind_are_one() -> None:
    text = "I am here and " * 8
    assert judged(Segment(text, 0, 9, compression_ratio=3.0)) == [(("ratio", "loop"), False)]
    assert judged(replace(GOOD, no_speech_prob=0.95, avg_logprob=-1.5)) == [(("no_speech",), False)]


def test_a_decoding_that_failed_beyond_doubt_is_two_signs_in_itself() -> None:
    assert judged(replace(GOOD, avg_logprob=-1.6)) == [(("no_speech", "garbled"), True)]


def test_a_subtitle_credit_is_two_signs_in_itself() -> None:
    assert judged(Segment("Subtitles by the Amara.org community", 0, 3)) == [(("phrase", "credit"), True)]


def test_a_thank_you_over_speech_stays() -> None:
    segment = Segment("Thank you.", 0.0, 1.0, avg_logprob=-0.3, no_speech_prob=0.1)

    assert judged(segment, loudness=loud((2, SPEECH))) == [(("phrase",), False)]


# Silence


def test_digital_silence_and_faint_noise_are_silence() -> None:
    segment = Segment("We went to the market.", 4.0, 6.0)

    assert judged(segment, loudness=loud((4, SPEECH), (3, SILENCE))) == [(("silence",), False)]
    assert judged(segment, loudness=loud((4, SPEECH), (3, NOISE))) == [(("silence",), False)]


def test_a_quiet_speaker_in_a_quiet_recording_is_no_silence() -> None:
    assert judged(Segment("We went to the market.", 0, 3), loudness=loud((3, 48))) == [((), False)]


def test_the_same_level_far_below_the_speech_of_the_recording_is_silence() -> None:
    segment = Segment("We went to the market.", 10, 13)

    assert judged(segment, loudness=loud((10, 12), (3, 48))) == [(("silence",), False)]


def test_silence_is_told_by_a_recording_s_own_noise_however_loud_that_is() -> None:
    segment = Segment("We went to the market.", 4.0, 6.0)

    assert judged(segment, loudness=loud((4, 12), (3, 44))) == [(("silence",), False)]
    assert judged(segment, loudness=loud((4, 12), (3, 44), (9, 60))) == [((), False)]


def test_a_quiet_recording_has_speech_where_another_has_noise_and_silence_below_it() -> None:
    """The loud passages of real speech at -60 dBFS are at -54 to -62, its pauses at -80."""
    segment = Segment("We went to the market.", 4.0, 6.0)

    assert judged(segment, loudness=loud((4, 56), (3, 66), (3, 80))) == [((), False)]
    assert judged(segment, loudness=loud((4, 56), (3, 80))) == [(("silence",), False)]


def test_without_anything_louder_a_steady_sound_is_no_silence() -> None:
    assert judged(Segment("We went to the market.", 4.0, 6.0), loudness=loud((9, 60))) == [((), False)]


def test_a_few_loud_seconds_tell_the_level_of_an_hour_of_noise() -> None:
    assert judged(Segment("We went to the market.", 4.0, 6.0), loudness=loud((800, 58), (20, 20))) == [
        (("silence",), False)
    ]


def test_a_click_does_not_make_a_silence_speech_but_a_word_does() -> None:
    segment = Segment("We went to the market.", 0, 4)

    assert judged(segment, loudness=loud((2, SILENCE), (0.2, 20), (2, SILENCE))) == [(("silence",), False)]
    assert judged(segment, loudness=loud((2, SILENCE), (0.5, 20), (2, SILENCE))) == [((), False)]


def test_in_a_short_span_even_a_click_is_sound() -> None:
    segment = Segment("Yes.", 2.0, 2.4)

    assert judged(segment, loudness=loud((2.2, SILENCE), (0.1, 20), (2, SILENCE))) == [((), False)]


def test_the_speech_beside_a_silence_does_not_count() -> None:
    segment = Segment("We went to the market.", 3.0, 6.0)

    assert judged(segment, loudness=loud((3.2, SPEECH), (2.6, SILENCE), (3, SPEECH))) == [(("silence",), False)]


def test_words_say_closer_than_their_segment_where_the_speech_is() -> None:
    words = (Word("Thank", 0.0, 0.3), Word("you", 0.3, 0.6))
    segment = Segment("Thank you.", 0.0, 20.0, words)

    assert judged(segment, loudness=loud((0.6, SPEECH), (30, SILENCE))) == [(("phrase",), False)]


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), -1.0])
def test_times_that_are_no_times_are_no_sign(moment: float) -> None:
    assert judged(Segment("Hello there.", moment, moment), loudness=loud((3, SILENCE))) == [((), False)]


def test_beyond_what_was_measured_nothing_is_known() -> None:
    assert judged(Segment("Hello there.", 10, 12), loudness=loud((5, SILENCE))) == [((), False)]
    assert judged(Segment("Hello there.", 4, 8), loudness=loud((5, SILENCE))) == [((), False)]


def test_times_of_an_untimed_transcript_are_no_sign() -> None:
    assert judged(Segment("Hello there.", 0, 3), loudness=loud((3, SILENCE)), timed=False) == [((), False)]


# Repetition


def test_a_sentence_that_loops_is_marked_from_its_second_time_on() -> None:
    same = [Segment("I don't know what to say.", index, index + 1.0) for index in range(4)]

    assert judged(GOOD, *same, GOOD) == [((), False), ((), False), *[(("loop",), False)] * 3, ((), False)]


def test_saying_okay_three_times_is_no_loop_but_six_times_is() -> None:
    assert judged(*[Segment("Okay.", 0, 1)] * 3) == [((), False)] * 3
    assert judged(*[Segment("Okay.", 0, 1)] * 6)[1:] == [(("loop",), False)] * 5


def test_a_loop_that_is_a_phrase_too_is_left_out() -> None:
    found = judged(*[Segment("Thank you for watching.", 0, 1)] * 3)

    assert found == [(("phrase",), False), (("loop", "phrase"), True), (("loop", "phrase"), True)]


@pytest.mark.parametrize(
    ("text", "looping"),
    [
        ("and then and then and then and then and then", True),
        ("no no no no no no no no no no", True),
        ("I'm sorry, I'm sorry, I'm sorry, I'm sorry.", True),
        ("no no no", False),
        ("row row row your boat gently down the stream", False),
        ("我不知道我不知道我不知道我不知道我不知道", True),
        ("哈哈哈哈哈哈哈哈哈哈哈哈哈哈哈", True),
        ("我们今天去公园玩，天气很好", False),
        ("ああああ", False),
        ("The cat sat on the mat and the dog sat on the log.", False),
    ],
)
def test_the_same_words_over_and_over_are_a_loop(text: str, looping: bool) -> None:  # noqa: FBT001 -- pytest passes by name
    assert judged(Segment(text, 0, 9)) == [(("loop",) * looping, False)]


def test_an_empty_segment_has_no_sign() -> None:
    silent = [Segment(" ", index, index + 1) for index in range(9)]

    assert judged(*silent, loudness=loud((9, SILENCE))) == [((), False)] * 9


def test_a_doubt_that_alone_is_none_counts_beside_a_phrase() -> None:
    sure = Segment("Thank you.", 0, 1, avg_logprob=-0.3, no_speech_prob=0.7)

    assert judged(sure) == [(("no_speech", "phrase"), True)]
    assert judged(replace(sure, no_speech_prob=0.5)) == [(("phrase",), False)]


def test_fifteen_equal_segments_are_said_once_where_a_second_sign_supports_it() -> None:
    same = [Segment("I'm going to go.", index, index + 1.0) for index in range(15)]
    doubted = [*same[:9], replace(same[9], no_speech_prob=0.7, avg_logprob=-0.6), *same[10:]]

    assert [left_out for _, left_out in judged(*same)] == [False] * 15
    assert [left_out for _, left_out in judged(*doubted)] == [False] + [True] * 14


def test_saying_it_twice_in_one_of_the_segments_is_the_same_loop() -> None:
    texts = ["Hush, hush.", "Hush.", "Hush, hush, hush.", "Hush.", "Hush.", "Hush."]

    assert (
        judged(*(Segment(text, index, index + 1.0) for index, text in enumerate(texts)))[1:] == [(("loop",), False)] * 5
    )


# Pace


FAST = "It was the best of times and the worst of times."


@pytest.mark.parametrize(
    ("text", "seconds", "hurried"),
    [
        (FAST, 1.3, True),
        (FAST, 1.5, False),
        (FAST, 0.0, True),
        ("Absolutely marvellous!", 0.1, False),
        ("我们今天去公园玩天气很好", 0.9, True),
        ("我们今天去公园玩天气很好", 1.5, False),
        ("你好", 0.1, False),
    ],
)
def test_a_pace_that_nobody_speaks_is_a_sign(text: str, seconds: float, hurried: bool) -> None:  # noqa: FBT001 -- pytest passes by name
    assert judged(Segment(text, 5.0, 5.0 + seconds)) == [(("pace",) * hurried, False)]
    assert judged(Segment(text, 5.0, 5.0 + seconds), timed=False) == [((), False)]


@pytest.mark.parametrize(
    ("doubt", "left_out"),
    [
        ({"avg_logprob": -0.6}, True),
        ({"no_speech_prob": 0.7, "avg_logprob": -0.1}, True),
        ({"no_speech_prob": 0.5, "avg_logprob": -0.4}, False),
    ],
)
def test_such_a_pace_is_enough_where_the_server_has_doubts(doubt: dict[str, Any], left_out: bool) -> None:  # noqa: FBT001 -- pytest passes by name
    assert judged(replace(Segment(FAST, 5.0, 6.0), **doubt)) == [(("pace",), left_out)]


def test_what_follows_the_repeats_stays() -> None:
    found = review(Transcript((Segment("We know. " + "I am here. " * 8 + "So we go home.", 0, 1),))).segments

    assert [(segment.text.strip(), segment.left_out) for segment in found] == [
        ("We know. I am here.", False),
        ("I am here. " * 6 + "I am here.", True),
        ("So we go home.", False),
    ]


# Phrases and echoes


@pytest.mark.parametrize(
    ("text", "credit"),
    [
        ("Thank you. Bye.", False),
        (" THANKS FOR WATCHING!!! ", False),
        ("Thank you. Thank you for watching. Bye bye.", False),
        ("Thank you so much for watching this video and I'll see you in the next video.", False),
        ("ご視聴ありがとうございました。", False),
        ("시청해주셔서 감사합니다!", False),
        ("谢谢观看", False),
        ("شكراً للمشاهدة", False),
        ("Продолжение следует...", False),
        ("İzlediğiniz için teşekkür ederim.", False),
        ("Vielen Dank.", False),
        ("ขอบคุณครับ", False),
        ("धन्यवाद।", False),
        ("字幕由Amara.org社区提供", True),
        ("中文字幕由 Amara.org 社群提供", True),
        ("请不吝点赞 订阅 转发 打赏支持明镜与点点栏目", True),
        ("Untertitel der Amara.org-Community", True),
        ("Untertitelung im Auftrag des ZDF für funk, 2017", True),
        ("Untertitelung des ZDF, 2020", True),
        ("Sous-titres réalisés para la communauté d'Amara.org", True),
        ("Sous-titrage ST' 501", True),
        ("Subtítulos realizados por la comunidad de Amara.org", True),
        ("Sottotitoli creati dalla comunità Amara.org", True),
        ("Sottotitoli e revisione a cura di QTSS", True),
        ("Ondertiteld door de Amara.org gemeenschap", True),
        ("Napisy stworzone przez społeczność Amara.org", True),
        ("Субтитры сделал DimaTorzok", True),
        ("Редактор субтитров А.Синецкая Корректор А.Егорова", True),
        ("Altyazı M.K.", True),
        ("ترجمة نانسي قنقر", True),
        ("www.mooji.org", True),
    ],
)
def test_known_phantoms_are_known_however_they_are_written(text: str, credit: bool) -> None:  # noqa: FBT001 -- pytest passes by name
    assert judged(Segment(text, 0, 3)) == [(("phrase", "credit") if credit else ("phrase",), credit)]


@pytest.mark.parametrize(
    "text",
    [
        "Thank you for watching the children while I was away.",
        "And then he said thank you.",
        "She translated the book by herself.",
        "Translated by Constance Garnett",
        "We built the website amara.org",
        "You know that.",
        "And and and",
        "The subtitles by this company are the best that I have ever seen in a film, and I have seen many of them.",
        "字幕制作的方法很简单",
        "",
    ],
)
def test_a_phrase_within_a_sentence_is_no_phantom(text: str) -> None:
    assert judged(Segment(text, 0, 3)) == [((), False)]


@pytest.mark.parametrize(
    ("text", "prompt", "echo"),
    [
        ("Kubernetes, Istio, Anna Schmidt", "Names: Kubernetes, Istio, Anna Schmidt.", True),
        ("names kubernetes istio", "Names: Kubernetes, Istio, Anna Schmidt.", True),
        ("Anna Schmidt", "Names: Kubernetes, Istio, Anna Schmidt.", False),
        ("Then Anna Schmidt came", "Names: Kubernetes, Istio, Anna Schmidt.", False),
        ("以下是普通话的句子。", "以下是普通话的句子。", True),
        ("以下是", "以下是普通话的句子。", False),
        ("Anything at all", "", False),
    ],
)
def test_a_piece_of_the_prompt_is_an_echo(text: str, prompt: str, echo: bool) -> None:  # noqa: FBT001 -- pytest passes by name
    assert judged(Segment(text, 0, 3), prompt=prompt) == [(("echo",) * echo, False)]


# The review as a whole


@pytest.mark.slow
@given(transcripts(), st.binary(max_size=600), st.text(max_size=50))
def test_a_review_loses_nothing_and_never_raises(case: tuple[Transcript, float], loudness: bytes, prompt: str) -> None:
    transcript, _ = case

    found = review(transcript, loudness=loudness, prompt=prompt)

    before, after = transcript.segments, found.segments
    assert "".join(segment.text for segment in after) == "".join(segment.text for segment in before)
    # By their text, since a time that is not a number equals nothing.
    assert repr([w for s in after for w in s.words]) == repr([w for s in before for w in s.words])
    # A segment is divided at its repeats only.
    whole = [s for s in after if "loop" not in s.flags]
    unchanged = {repr(segment) for segment in before}
    assert all(repr(replace(segment, flags=(), left_out=False)) in unchanged for segment in whole)
    assert repr(replace(found, segments=before)) == repr(transcript)
    assert all(s.flags or not s.left_out for s in found.segments)


@given(
    st.lists(st.sampled_from(["we", "go", "home", "now,", "–"]), max_size=6).map(" ".join),
    st.lists(st.sampled_from(["we", "go", "home", "now,"]), min_size=1, max_size=6).map(" ".join),
    st.integers(1, 20),
    st.lists(st.sampled_from(["and", "then", "we", "-"]), max_size=4).map(" ".join),
)
def test_repeats_are_divided_without_losing_a_letter_or_a_word(before: str, said: str, times: int, behind: str) -> None:
    text = " ".join([before, *[said] * times, behind])
    words = tuple(Word(word, 1.0 + index / 100, 1.0 + index / 100) for index, word in enumerate(text.split()))

    found = review(Transcript((Segment(text, 0.5, 3.0, words),))).segments

    assert "".join(segment.text for segment in found) == text
    assert tuple(word for segment in found for word in segment.words) == words
    moments = [moment for segment in found for moment in (segment.start, segment.end)]
    assert moments == sorted(moments)
    assert (moments[0], moments[-1]) == (0.5, 3.0)


def test_a_review_forgets_an_earlier_one() -> None:
    before = replace(GOOD, flags=("silence", "phrase"), left_out=True)

    assert judged(before) == [((), False)]


def test_reviewing_twice_is_reviewing_once() -> None:
    once = review(Transcript((Segment("Thank you.", 0, 2, no_speech_prob=0.9),)))

    assert review(once) == once


@pytest.mark.slow_if("text0", "text2")
@pytest.mark.parametrize("text", ["word " * 30_000, "字" * 60_000, "a b c d e f g " * 6_000, "amara org " * 9_000])
def test_a_hostile_amount_of_text_is_judged_in_linear_time(text: str) -> None:
    # No limit on the clock beyond the test's own: what is quadratic would not come back within it.
    assert "".join(segment.text for segment in review(Transcript((Segment(text, 0, 9),))).segments) == text


@pytest.mark.parametrize("border", [0, 9_950, 10_000, 10_099, 19_999])
@pytest.mark.parametrize("said", ["字幕组", "啊"])
def test_repeats_are_found_wherever_they_begin(said: str, border: int) -> None:
    before = "".join(chr(0x4E00 + index % 5000) for index in range(border))
    text = before + said * 100_000

    found = repeats(text)

    plain = repetition._REPEATED.search(text)
    assert found is not None
    assert plain is not None
    assert (found.begin, found.end) == (plain.start() + len(plain[1] or plain[2]), plain.end())


def test_no_search_holds_up_other_threads_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern is searched for without letting other threads run: two seconds in this text, before it was searched in parts."""
    searched: list[int] = []

    class Counting:
        def search(self, text: str, start: int = 0, end: int | None = None) -> None:
            searched.append(len(text[start:end]))

    monkeypatch.setattr(repetition, "_REPEATED", Counting())

    assert repeats("".join("ab" * 4 + chr(0x4E00 + index % 5000) for index in range(20_000))) is None
    assert sum(searched) >= 180_000
    assert max(searched) < 20_000
