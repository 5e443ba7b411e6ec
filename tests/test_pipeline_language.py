"""The language of a recording whose pieces were guessed one by one: what counts, and what is asked for again."""

from dataclasses import replace

import pytest

from watcher.job import ResultWarning
from watcher.pipeline.language import resolve, unsure
from watcher.transcript import PieceTranscript, Segment, Transcript, Word

LONG = "There was a great deal to say about it, and so they went on talking until late in the evening."
FRENCH = "Il y avait beaucoup à dire là-dessus, et ils ont donc continué à parler jusque tard dans la soirée."


def heard(
    language: str,
    text: str = LONG,
    *,
    number: int = 0,
    at: float = 0.0,
    seconds: float = 8.0,
    trust: float | None = None,
    no_speech: float | None = None,
) -> PieceTranscript:
    segment = Segment(text, at, at + seconds, avg_logprob=trust, no_speech_prob=no_speech)
    return PieceTranscript(60.0 * number, 60.0 * number + 60, Transcript((segment,), language, 60.0))


class Server:
    """Answers a second question with `answer`, and remembers what it was asked."""

    def __init__(self, answer: Transcript | None = None) -> None:
        self.answer = answer
        self.asked: list[tuple[int, str]] = []

    def __call__(self, index: int, language: str) -> Transcript | None:
        self.asked.append((index, language))
        return self.answer


def languages(parts: list[PieceTranscript]) -> list[str]:
    return [part.transcript.language for part in parts]


def test_what_music_made_english_of_is_asked_for_again_in_the_recording_s_language() -> None:
    parts = [heard("en", at=12, seconds=40), heard("fr", FRENCH, number=1), heard("fr", FRENCH, number=2)]
    server = Server(Transcript((Segment(FRENCH, 12, 52),), "fr", 60.0))

    found, warnings = resolve(parts, server)

    assert server.asked == [(0, "fr")]
    assert languages(found) == ["fr", "fr", "fr"]
    assert found[0].transcript.text == FRENCH
    assert warnings == (
        ResultWarning(
            "language_in_doubt",
            "0:00:00 to 0:01:00 was taken for English, but the recording is French: it was asked for again as French",
            'where all recordings of a folder are in one language, set it: language = "fr"',
        ),
    )


def test_a_bilingual_recording_stays_bilingual() -> None:
    parts = [heard("de"), heard("en", number=1), heard("de", number=2)]
    server = Server()

    assert resolve(parts, server) == (parts, ())
    assert server.asked == []


def test_a_doubtful_guess_that_a_sure_piece_shares_is_believed() -> None:
    parts = [heard("de"), heard("en", number=1), heard("en", number=2, at=12, seconds=40), heard("de", number=3)]
    server = Server()

    assert resolve(parts, server) == (parts, ())
    assert server.asked == []


def test_the_longest_doubtful_piece_alone_is_asked_for_again() -> None:
    parts = [
        heard("cy", "Diolch.", seconds=1),
        heard("en", number=1, at=20, seconds=30),
        heard("la", "Amen, amen.", number=2, seconds=3),
        *(heard("fr", FRENCH, number=number) for number in (3, 4, 5)),
    ]
    server = Server(Transcript((Segment(FRENCH, 20, 50),), "fr", 60.0))

    found, warnings = resolve(parts, server)

    assert server.asked == [(1, "fr")]
    assert languages(found) == ["fr"] * 6
    assert [part.transcript.text for part in found[:3]] == ["Diolch.", FRENCH, "Amen, amen."]
    assert [(warning.message, warning.note) for warning in warnings] == [
        ("0:00:00 to 0:01:00 was taken for Welsh, but the recording is French: its text stays as it came", False),
        (
            "0:01:00 to 0:02:00 was taken for English, but the recording is French: it was asked for again as French",
            False,
        ),
        ("0:02:00 to 0:03:00 was taken for Latin, but the recording is French: its text stays as it came", False),
    ]


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [(-0.3, -0.8, LONG), (-0.8, -0.3, FRENCH), (None, -0.8, FRENCH), (-0.3, None, FRENCH)],
)
def test_the_answer_that_the_server_trusts_more_counts(first: float | None, second: float | None, text: str) -> None:
    parts = [heard("en", at=12, seconds=40, trust=first), heard("fr", FRENCH, number=1)]
    server = Server(Transcript((Segment(FRENCH, 12, 52, avg_logprob=second),), "fr", 60.0))

    found, (warning,) = resolve(parts, server)

    assert found[0].transcript.text == text
    assert ("came out worse" in warning.message) == (text == LONG)


def test_where_no_second_answer_is_to_be_had_the_first_one_stays_and_that_is_said() -> None:
    parts = [heard("en", at=12, seconds=40), heard("fr", FRENCH, number=1)]

    found, (warning,) = resolve(parts, Server())

    assert found[0].transcript.text == LONG
    assert languages(found) == ["fr", "fr"]
    assert "its text stays as it came" in warning.message
    assert warning.note


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [heard("en", at=20)],
        [heard("en", at=20), heard("fr", "Oui.", number=1)],
        [heard(""), heard("", number=1)],
        [heard("fr"), heard("", "Oui.", number=1), replace(heard("fr", "", number=2))],
    ],
)
def test_without_a_sure_guess_and_a_doubtful_one_nothing_changes(parts: list[PieceTranscript]) -> None:
    server = Server()

    assert resolve(parts, server) == (parts, ())
    assert server.asked == []


def test_clear_speech_from_the_beginning_makes_a_sure_guess() -> None:
    assert not unsure(heard("en"))
    assert not unsure(heard("zh", "我们今天讨论一下这个问题，大家都知道这件事情很重要。"))


def test_a_first_word_stretched_over_music_tells_nothing_of_its_start() -> None:
    words = tuple(Word(word, 14 + index / 2, 14.5 + index / 2) for index, word in enumerate(LONG.split()))
    stretched = (replace(words[0], start=0.0), *words[1:])
    part = heard("en")
    music = replace(part, transcript=Transcript((Segment(LONG, 0.0, 30.0, stretched),), "en", 60.0))
    prompt = replace(
        part,
        transcript=Transcript(
            (
                Segment(
                    LONG, 0.0, 30.0, tuple(replace(word, start=word.start - 14, end=word.end - 14) for word in words)
                ),
            ),
            "en",
            60.0,
        ),
    )

    assert unsure(music)
    assert not unsure(prompt)


def test_few_words_and_the_server_s_own_doubts_make_a_guess_unsure() -> None:
    sure = heard("en")

    assert unsure(heard("en", "Thank you."))
    assert unsure(heard("en", ""))
    assert unsure(heard("en", no_speech=0.7))
    assert not unsure(heard("en", no_speech=0.3))
    assert unsure(replace(sure, transcript=replace(sure.transcript, language_probability=0.4)))
    assert not unsure(replace(sure, transcript=replace(sure.transcript, language_probability=0.9)))


def test_text_without_times_tells_nothing_of_its_beginning() -> None:
    part = heard("en", at=0, seconds=600)

    assert unsure(part)
    assert not unsure(replace(part, transcript=replace(part.transcript, timed=False)))
