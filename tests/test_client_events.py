from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.client.events import payloads


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('data: {"a": 1}\n\ndata: [DONE]\n\n', [("", {"a": 1}), ("", "[DONE]")]),
        ("data: Hello\ndata: you\n\ndata: there", [("", "Hello\nyou"), ("", "there")]),
        ("event: error\r\nid: 7\r\nretry: 5\r\ndata:Hello\r\n\r\n", [("error", "Hello")]),
        (": a comment\n\ndata:  two blanks\n", [("", " two blanks")]),
        ("event: ping\n\ndata: Hello\n\n", [("", "Hello")]),
        ("data:\n\ndata: Hello\n", [("", ""), ("", "Hello")]),
        ('{"a": 1}\n\n {"b": 2}\n', [("", {"a": 1}), ("", {"b": 2})]),
    ],
)
def test_events_are_taken_apart(text: str, expected: list[tuple[str, Any]]) -> None:
    assert payloads(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hello",
        "data is here",
        "data: Hello\nand more",
        "dates: none",
        ": ping\n",
        '{"a": 1}',
        '{"a": 1}\nand more',
        "{\n}",
    ],
)
def test_other_texts_are_no_stream(text: str) -> None:
    assert payloads(text) is None


@given(st.text(max_size=200) | st.text('data:event {}[]"1\n\r', max_size=100))
def test_any_text_is_taken_apart_or_not(text: str) -> None:
    payloads(text)
