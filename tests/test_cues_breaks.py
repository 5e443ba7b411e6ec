import pytest

from watcher.cues.breaks import (
    BEFORE_CLAUSE,
    BEFORE_PHRASE,
    BOUND,
    CLAUSE,
    EXPRESSION,
    GLUED,
    LAST,
    SENTENCE,
    TIED,
    WORD,
    costs,
    grammar_of,
)
from watcher.cues.language import grammar
from watcher.cues.tokens import tokens


def price(text: str, language: str = "en", *, line: int = 42, wide: bool = False) -> int:
    """Return what a break at the bar costs."""
    left = tokens(text.partition("|")[0].rstrip(), line=line, wide=wide)
    whole = tokens(text.replace("| ", "|").replace("|", ""), line=line, wide=wide)
    return costs([whole], [False] * len(whole), grammar_of([text for text, _ in whole], language))[len(left)]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("It is over. | Go home.", "en", SENTENCE),
        ("Is it? | Yes.", "en", SENTENCE),
        ("He said “No.” | Then he left.", "en", SENTENCE),
        ("So do I. | Then we left", "en", SENTENCE),
        ("It cost, | as you know, a lot", "en", CLAUSE),
        ("He was tired | because he ran", "en", BEFORE_CLAUSE),
        ("He sat quietly | under trees", "en", BEFORE_PHRASE),
        ("He bought | bread", "en", WORD),
        ("the | house", "en", BOUND),
        ("has | gone", "en", BOUND),
        ("under | trees", "en", BOUND),
        ("and | then", "en", BOUND),
        ("costs 20 | dollars", "en", BOUND),
        ("5 | 000 people", "en", GLUED),
        ("Dr. | Watson", "en", GLUED),
        ("by J. | Watson", "en", BOUND - 8),
        ("met Samuel | Whitfield", "en", BOUND - 8),
        ("on page | 14", "en", BOUND - 12),
        ("e.g. | this one", "en", WORD),
        ("am 3. | Oktober", "de", BOUND),
        ("It was in 1984. | Then", "en", SENTENCE),
        ("große Häuser | Städte", "de", WORD),
        ("Onun | için geldim", "tr", BOUND),
        ("senin için | geldim", "tr", WORD - 6),
        ("Oui ! | Vraiment", "fr", SENTENCE),
        ("he left (quickly) | yesterday", "en", CLAUSE + 8),
        ("he left | (quickly)", "en", CLAUSE + 8),
        ("Hola | ¿qué tal?", "es", CLAUSE + 8),
        ("a set | of sample sounds", "en", TIED),
        ("the sounds | by my friend", "en", BEFORE_PHRASE),
        ("une page | du livre", "fr", TIED),
        ("un verre | d'eau", "fr", TIED),
        ("in front | of Sherburn's palings", "en", EXPRESSION),
        ("your password followed | by the pound key", "en", EXPRESSION),
        ("one | by one", "en", EXPRESSION),
        ("one by | one", "en", EXPRESSION),
        ("jour | après jour", "fr", EXPRESSION),
        ("one, | by one", "en", CLAUSE),
        ("crowds assailed | him at once", "en", BOUND),
        ("assailed him | at once", "en", BEFORE_PHRASE),
        ("they gave him | bread", "en", WORD - 6),
        ("to guide | you through this", "en", BOUND),
        ("to guide you | through this", "en", BEFORE_PHRASE),
        ("I think | you will", "en", WORD),
        ("I think you | will", "en", BOUND),
        ("because | you and I", "en", BOUND),
        ("it guides you | through.", "en", LAST),
        ("Then put the light | on.", "en", LAST),
        ("Est-ce | que tu viens", "fr", BOUND),
        ("Est-ce | qu'il vient", "fr", BOUND),
        ("Je pense | qu'il vient", "fr", BEFORE_CLAUSE),
        ("Moi non | plus je ne viens", "fr", EXPRESSION),
        ("Jag såg | honom där", "sv", BOUND),
    ],
)
def test_a_break_costs_what_a_reader_minds(text: str, language: str, expected: int) -> None:
    assert price(text, language) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("下雨了。|我们走", SENTENCE),
        ("下雨了，|我们走", CLAUSE),
        ("今天下雨|因为", BEFORE_CLAUSE),
        ("我们|今天", WORD - 4),
        ("他喝|「茶」", CLAUSE + 8),
        ("他说「好」|走了", CLAUSE + 8),
        ("有20|人", BOUND),
        ("好的 |谢谢", CLAUSE),
        ("我用 |Python", WORD),
        ("本期节目. |今天", SENTENCE),
        ("本期节目.|今天", SENTENCE),
        ("走吧. |iPhone来了", SENTENCE),
        ("他说(好.) |今天走", SENTENCE),
        ("他走了? |今天走", SENTENCE),
        ("他走了! |今天走", SENTENCE),
        ("他走了。|3个人来了", SENTENCE),
        ('他说"好."|今天走', SENTENCE),
        ('他说"好".|今天走', SENTENCE),
        ("大家好, |欢迎", CLAUSE),
        ("他走了;|今天走", CLAUSE),
        ("他说:|走", CLAUSE),
        ("报告.|pdf在这里", GLUED),
        ("用Node.|js写的", GLUED),
        ("版本３．|１１", GLUED),
    ],
)
def test_where_words_have_no_blanks_the_lexicon_and_punctuation_tell(text: str, expected: int) -> None:
    assert price(text, "zh", line=32, wide=True) == expected


@pytest.mark.parametrize(
    ("text", "language"), [("行きました. |東京", "ja"), ("네. |갑시다", "ko"), ("東京. |大阪", "ja")]
)
def test_one_letter_before_a_full_stop_is_no_initial_where_names_have_none(text: str, language: str) -> None:
    assert price(text, language, line=32, wide=True) == SENTENCE


def test_an_unknown_language_is_guessed_from_its_small_words() -> None:
    whole = tokens("das ist der Mann und das ist die Frau", line=42, wide=False)

    found = costs([whole], [False] * len(whole), grammar_of([text for text, _ in whole], ""))

    assert found[3] == BOUND  # der | Mann
    assert found[4] == BEFORE_CLAUSE  # Mann | und


def test_words_of_a_server_that_knows_words_outweigh_the_lexicon() -> None:
    group = [(letter, index == 0) for index, letter in enumerate("蔡伦改进纸张")]
    begins = [True, False, True, False, True, False]

    assert costs([group], begins, grammar("zh"))[1:] == [GLUED, WORD - 4, GLUED, WORD - 4, GLUED]


def test_words_that_are_single_characters_tell_nothing() -> None:
    group = [(letter, index == 0) for index, letter in enumerate("蔡伦改进")]

    assert costs([group], [True] * 4, grammar("zh"))[1] == WORD + 20


@pytest.mark.parametrize(
    ("left", "right", "language", "expected"),
    [
        ("今天天气很好", "我们出去走走", "zh", BEFORE_CLAUSE),
        ("我们要不", "断努力", "zh", GLUED),
        ("我們要不", "斷努力", "zh", GLUED),
        ("提高自己的能", "力和水平", "zh", GLUED),
        ("我们出去走走", "吧", "zh", GLUED),
        ("他昨天没有", "说话", "zh", BOUND),
        ("今天天气很好。", "我们出去走走", "zh", SENTENCE),
        ("行きました", "あちらへ", "ja", BEFORE_CLAUSE),
        ("он пришёл", "утром", "ru", WORD),
        ("they came", "early", "en", WORD),
        ("they saw the", "house", "en", BOUND),
    ],
)
def test_the_border_of_two_segments_parts_clauses_only_between_words_of_a_script_without_blanks(
    left: str, right: str, language: str, expected: int
) -> None:
    groups = [tokens(text, line=32, wide=True) for text in (left, right)]

    found = costs(groups, [False] * sum(map(len, groups)), grammar(language))

    assert found[len(groups[0])] == expected


def test_nothing_costs_nothing() -> None:
    assert costs([], [], grammar("")) == []
