import pytest

from watcher.cues.marks import SpeakerMarks


@pytest.mark.parametrize(
    ("style", "speaker", "dialogue", "mark"),
    [
        ("dashes", "Anna", True, "- "),
        ("dashes", "Anna", False, ""),
        ("names", "Anna", True, "Anna: "),
        ("names", "Anna", False, "Anna: "),
        ("names", "", True, "- "),
        ("names", "", False, ""),
        ("off", "Anna", True, ""),
        ("off", "Anna", False, ""),
    ],
)
def test_a_line_begins_with_its_mark(style: str, speaker: str, dialogue: bool, mark: str) -> None:  # noqa: FBT001 -- pytest passes by name
    marks = SpeakerMarks(style, line=42)  # type: ignore[arg-type] # one of the three

    assert marks.mark(speaker, dialogue=dialogue) == mark
    assert marks.units(speaker, dialogue=dialogue) == len(mark)


def test_a_long_name_leaves_half_of_the_line_to_the_text() -> None:
    marks = SpeakerMarks("names", line=42)

    assert marks.mark("Dr. Alexandra von Hohenstein-Waldeck", dialogue=False) == "Dr. Alexandra von…: "
    assert marks.units("👩‍👩‍👧‍👦" * 40, dialogue=False) <= 21


def test_a_name_of_full_width_counts_as_such() -> None:
    marks = SpeakerMarks("names", line=32, wide=True)

    assert marks.units("安娜", dialogue=True) == 6
    assert marks.mark("欧阳娜娜欧阳娜娜欧阳", dialogue=True) == "欧阳娜娜欧阳…: "
