import pytest

from watcher.cues.language import detect, grammar


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("the house that he bought is on the hill", "en"),
        ("das haus das er gekauft hat ist auf dem hügel", "de"),
        ("la maison qu'il a achetée est sur la colline", "fr"),
        ("la casa que compró está en la colina y es muy grande", "es"),
        ("dom który kupił jest na wzgórzu i nie jest mały", "pl"),
        ("дом который он купил стоит на холме и не очень большой", "ru"),
        ("البيت الذي في المدينة على النهر هو من أجمل", "ar"),
        ("xyzzy plugh", ""),
        ("", ""),
    ],
)
def test_the_small_words_tell_the_language(text: str, code: str) -> None:
    assert detect(text.split()) == code


def test_an_unknown_language_has_no_small_words() -> None:
    known = grammar("xx")

    assert not known.binds | known.clause | known.phrase | known.clings
    assert "dr" in known.titles


def test_a_turkish_particle_clings_to_what_precedes() -> None:
    assert "için" in grammar("tr").clings


def test_german_writes_every_noun_with_a_capital_and_days_with_a_full_stop() -> None:
    assert grammar("de").nouns_capitalised
    assert grammar("de").ordinals
    assert not grammar("en").ordinals


@pytest.mark.parametrize("code", ["en", "fr", "de", "es", "it", "pt", "nl", "ru"])
def test_no_expression_is_listed_that_stays_together_anyway(code: str) -> None:
    known = grammar(code)

    assert known.pairs
    assert not {left for left, _ in known.pairs} & (known.binds | known.clause | known.phrase | known.ties)
