"""The page of all messages (`support.messages`) shows what a person can meet, and no docstring."""

import re
from itertools import chain
from pathlib import Path

from support.messages import messages, page

TROUBLESHOOTING = Path(__file__).parents[1] / "docs/troubleshooting.md"


def test_an_error_is_shown_with_its_hint_and_its_values_in_braces() -> None:
    source = '''
def f():
    """Raise."""
    raise StateError(f"{path} is full: {error.strerror or 'no reason'}", hint="free some" + " space")
said = "one word" if x else "oneword"
query = "SELECT a FROM b"
'''

    assert list(messages(source)) == [
        (4, "{path} is full: {error.strerror or 'no reason'} -> free some space", True),
        (5, "one word", False),
    ]


def test_the_page_shows_help_and_errors_of_every_part() -> None:
    shown = page()

    assert "Print one JSON document." in shown
    assert "**there is no API key" in shown
    assert "Delete this note to have the recording tried again." in shown


def test_what_troubleshooting_quotes_is_a_message() -> None:
    shown = page()
    symptoms = [line.split(" | ")[0] for line in TROUBLESHOOTING.read_text().splitlines() if line.startswith("| ")]
    quoted = chain.from_iterable(re.findall(r'"([^"]+)"', symptom) for symptom in symptoms)

    assert [words for text in quoted for words in text.split("…") if words.strip() not in shown] == []
