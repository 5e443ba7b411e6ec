"""A podcast's transcript is what the namespace describes (transcripts.md), read back by a schema of it."""

import json
from typing import Any, Final

import jsonschema
import pytest
from hypothesis import given
from support.documents import LANGUAGES, document, hostile, talk
from support.transcripts import transcripts

from watcher.formats import Document, render
from watcher.transcript import Segment, Transcript

SCHEMA: Final = {
    "type": "object",
    "required": ["version", "segments"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": "1.0.0"},
        "segments": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["startTime", "body"],
                "additionalProperties": False,
                "properties": {
                    "speaker": {"type": "string", "minLength": 1},
                    "startTime": {"type": "number", "minimum": 0},
                    "endTime": {"type": "number", "minimum": 0},
                    # AntennaPod takes the first character.
                    "body": {"type": "string", "minLength": 1},
                },
            },
        },
    },
}


def segments(made: Document) -> list[dict[str, Any]]:
    found = json.loads(render("podcast", made))
    jsonschema.validate(found, SCHEMA)
    said: list[dict[str, Any]] = found["segments"]
    return said


def test_a_segment_is_an_utterance_and_bodies_joined_are_the_text() -> None:
    said = (
        Segment("Hello.", 0.5, 1, speaker="Anna"),
        Segment("Still me.", 2, 3, speaker="Anna"),
        Segment("Hi.", 3, 4, speaker="Ben"),
    )
    found = segments(document(Transcript(said, "en", 4)))

    assert found == [
        {"speaker": "Anna", "startTime": 0.5, "endTime": 1.0, "body": "Hello. "},
        {"speaker": "Anna", "startTime": 2.0, "endTime": 3.0, "body": "Still me.\n"},
        {"speaker": "Ben", "startTime": 3.0, "endTime": 3.84, "body": "Hi."},
    ]
    assert "".join(one["body"] for one in found) == "Hello. Still me.\nHi."


@pytest.mark.parametrize("said", [*map(talk, LANGUAGES), hostile()], ids=[*LANGUAGES, "hostile"])
def test_every_word_is_there_in_any_language(said: Transcript) -> None:
    made = document(said)

    assert [one["body"].strip() for one in segments(made)] == [one.text for one in made.utterances]


def test_nothing_said_is_a_transcript_without_segments() -> None:
    assert segments(document(Transcript(()))) == []


@pytest.mark.slow
@given(transcripts(speakers=("", "Anna", "Ben")))
def test_any_transcript_is_valid_and_whole(case: tuple[Transcript, float]) -> None:
    made = document(*case)
    found = segments(made)

    assert [one["body"][:-1] for one in found[:-1]] + [one["body"] for one in found[-1:]] == [
        one.text for one in made.utterances
    ]
    assert all(one["startTime"] <= one["endTime"] for one in found)
