"""The JSON is what its schema says, no more and no less."""

import json
from dataclasses import replace
from importlib import resources
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from support.transcripts import spoken, transcripts

from watcher.cues import CaptionRules, layout
from watcher.cues.replacing import Replacement
from watcher.formats import AskedPiece, Document, render
from watcher.formats.machine import SCHEMA_VERSION
from watcher.guard import review
from watcher.job import ResultWarning
from watcher.transcript import Segment, Transcript, Word

#: A segment whose text looks like the borders between objects.
BRACES: Segment = Segment(
    '{"},{"}', 1, 2, (Word("},", 1, 1.5, "{"), Word("          {", 1.5, 2, "},")), "[", flags=("},\n  {", "[]")
)
SCHEMA: dict[str, Any] = json.loads((resources.files("watcher.formats") / "transcript.schema.json").read_text())


def strict(schema: Any) -> Any:
    """Forbid keys that the schema does not describe: readers must bear them, our writer must not make them."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if "properties" in found:
        found.setdefault("additionalProperties", False)
    return found


VALIDATOR = jsonschema.Draft202012Validator(strict(SCHEMA))


def data(document: Document) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render("json", document))
    VALIDATOR.validate(found)
    return found


def test_the_schema_is_a_schema_of_this_version() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["version"]["const"] == SCHEMA_VERSION


@pytest.mark.parametrize(
    "described",
    [SCHEMA, *SCHEMA["$defs"].values()],
    ids=["transcript", *SCHEMA["$defs"]],
)
def test_every_key_is_required_and_described(described: dict[str, Any]) -> None:
    assert set(described["required"]) == set(described["properties"])


@pytest.mark.slow
@given(transcripts(speakers=("", "Anna")))
def test_whatever_the_server_says_the_json_is_valid(case: tuple[Transcript, float]) -> None:
    transcript, duration = case
    reviewed = review(transcript)

    data(
        Document(
            reviewed, layout(reviewed, CaptionRules(), duration=duration), "a.wav", pieces=(AskedPiece(0, duration),)
        )
    )


@pytest.mark.slow
@given(transcripts(speakers=("", "Anna", '},\n  {"', "[]")))
def test_its_bytes_are_those_that_python_writes_with_an_indentation(case: tuple[Transcript, float]) -> None:
    transcript, duration = case
    reviewed = replace(review(transcript), segments=(*review(transcript).segments, BRACES))
    document = Document(
        reviewed,
        layout(reviewed, CaptionRules(), duration=duration),
        "a.wav",
        parameters={"prompt": '},\n{"', "temperature": 0.5},
        pieces=(AskedPiece(0, duration), AskedPiece(duration, duration)),
        warnings=(ResultWarning("silent", '"},', "{"),) * 2,
        replacements=(Replacement("},", "{", 2),),
    )

    made = render("json", document).decode()

    assert made == json.dumps(json.loads(made), ensure_ascii=False, indent=2) + "\n"


def test_it_holds_what_automation_asks_for() -> None:
    segments = (
        *spoken("Hello there, how are you?", "en", speaker="Anna"),
        Segment(
            "Subtitles by the Amara.org community", 5, 7, avg_logprob=-0.5, compression_ratio=1.2, no_speech_prob=0.95
        ),
    )
    reviewed = review(Transcript(segments, "en", 9.0))
    document = Document(
        reviewed,
        layout(reviewed, CaptionRules(), duration=9),
        "talk.wav",
        model="whisper-1",
        task="translate",
        parameters={"prompt": "", "max_chars": 42, "guard": True, "temperature": 0.0},
        pieces=(AskedPiece(0, 4.5), AskedPiece(4.5, 9.0, cached=True, endpoint="studio", model="m")),
        paid_seconds=4.5,
    )

    found = data(document)

    assert (found["source"], found["model"], found["task"], found["language"]) == (
        "talk.wav", "whisper-1", "translate", "en",
    )  # fmt: skip
    assert found["duration_seconds"] == 9.0
    assert found["text"] == "Hello there, how are you?"
    assert found["segments"][0]["words"][0] == {
        "text": "Hello",
        "start": 0.4,
        "end": 0.73,
        "speaker": "Anna",
        "track": None,
    }
    assert found["segments"][0]["speaker"] == "Anna"
    assert found["segments"][0]["confidence"] is None
    assert found["segments"][1]["confidence"] == 0.607
    assert found["segments"][1]["flags"] == ["no_speech", "phrase", "credit"]
    assert found["segments"][1]["left_out"] is True
    assert found["captions"][0]["lines"] == ["Hello there, how are you?"]
    assert found["settings"]["max_chars"] == 42
    assert found["pieces"] == [
        {"start": 0, "end": 4.5, "cached": False, "endpoint": None, "model": None},
        {"start": 4.5, "end": 9.0, "cached": True, "endpoint": "studio", "model": "m"},
    ]
    assert found["cost"] == {"paid_seconds": 4.5}


def test_a_broken_rule_is_reported_with_its_reason() -> None:
    transcript = Transcript((Segment("Far too much to read in so short a time", 0, 0.5),))

    found = data(Document(transcript, layout(transcript, CaptionRules(), duration=0.9), "a.wav"))

    assert [broken["rule"] for broken in found["broken_rules"]] == ["max_chars_per_second"]
    assert "39 characters" in found["broken_rules"][0]["reason"]


def test_numbers_that_json_does_not_know_become_null_or_nothing() -> None:
    odd = float("nan")
    segment = Segment("Hi", odd, float("inf"), (Word("Hi", odd, odd),), avg_logprob=odd, compression_ratio=odd)

    found = data(
        Document(Transcript((segment,), duration=odd), layout(Transcript((segment,)), CaptionRules(), duration=0), "a")
    )

    assert (found["segments"][0]["start"], found["segments"][0]["avg_logprob"]) == (0.0, None)
    assert found["duration_seconds"] == 0.0


def test_text_is_as_the_server_wrote_it_in_segments_and_clean_at_the_top() -> None:
    transcript = Transcript((Segment(" <i>One</i>\n", 0, 1), Segment("two", 1, 2)), "en")

    found = data(Document(transcript, layout(transcript, CaptionRules(), duration=2), "a.wav"))

    assert found["segments"][0]["text"] == "<i>One</i>"
    assert found["text"] == "One two"


def test_segments_and_words_of_a_session_have_their_track() -> None:
    segment = Segment("Hi", 0, 1, (Word("Hi", 0, 1, "Anna", "1-anna.flac"),), "Anna", "1-anna.flac")

    (found,) = data(Document(Transcript((segment,)), layout(Transcript((segment,)), CaptionRules(), duration=1), "a"))[
        "segments"
    ]

    assert (found["track"], found["words"][0]["track"]) == ("1-anna.flac", "1-anna.flac")
