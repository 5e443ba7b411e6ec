import os
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.sidecar.names import (
    OutputTemplates,
    check_template,
    is_temporary,
    numbered,
    output_names,
    shorten,
    temporary,
)

_SOURCES = st.binary(min_size=1, max_size=255).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."}
)
_TEMPLATES = st.sampled_from(
    ["{stem}", "{name}", "{stem}.{language}", "{language}-{name}", "sub {stem}{stem}", "Übung {stem}"]
)


def names(source: bytes, suffix: bytes, *, template: str = "{stem}", language: str = "") -> list[bytes]:
    return list(output_names(source, suffix, template=template, language=language))


@pytest.mark.parametrize(
    ("template", "language", "expected"),
    [
        ("{stem}", "", [b"talk.srt", b"talk.wav.srt", b"talk.wav.2.srt", b"talk.wav.3.srt"]),
        ("{name}", "", [b"talk.wav.srt", b"talk.wav.2.srt", b"talk.wav.3.srt", b"talk.wav.4.srt"]),
        (
            "{stem}.{language}",
            "english",
            [b"talk.en.srt", b"talk.wav.en.srt", b"talk.wav.2.en.srt", b"talk.wav.3.en.srt"],
        ),
        ("{stem}.{language}", "", [b"talk.und.srt", b"talk.wav.und.srt", b"talk.wav.2.und.srt", b"talk.wav.3.und.srt"]),
        ("{stem} ({name})", "", [b"talk (talk.wav).srt", b"talk.wav (talk.wav).srt", b"talk.wav.2 (talk.wav.2).srt"]),
    ],
)
def test_a_taken_name_has_the_next_best_behind_it(template: str, language: str, expected: list[bytes]) -> None:
    found = output_names(b"talk.wav", b".srt", template=template, language=language)

    assert list(islice(found, len(expected))) == expected


def test_the_names_to_try_come_to_an_end() -> None:
    assert names(b"talk.wav", b".srt")[-1] == b"talk.wav.99.srt"
    assert len(names(b"talk.wav", b".srt")) == 100


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"archive.tar.wav", b"archive.tar.srt"),
        (b"no suffix", b"no suffix.srt"),
        ("Gespräch.wav".encode(), "Gespräch.srt".encode()),
        (b"odd\xff\xfe.wav", b"odd\xff\xfe.srt"),
        (b"line\nbreak.wav", b"line\nbreak.srt"),
        (b"-rf.wav", b"-rf.srt"),
    ],
)
def test_an_output_is_named_after_the_stem_byte_for_byte(source: bytes, expected: bytes) -> None:
    assert names(source, b".srt")[0] == expected


def test_a_language_is_named_by_code_and_never_as_the_server_wrote_it() -> None:
    assert names(b"a.wav", b".srt", template="{stem}.{language}", language="../../x")[0] == b"a.und.srt"
    assert names(b"a.wav", b".srt", template="{stem}.{language}", language="Cantonese")[0] == b"a.yue.srt"


def test_what_stands_in_a_name_is_not_a_placeholder() -> None:
    assert names(b"{name}{language}.wav", b".srt")[0] == b"{name}{language}.srt"


@given(
    source=_SOURCES, template=_TEMPLATES, suffix=st.sampled_from([b".srt", b".json"]), limit=st.sampled_from([143, 255])
)
def test_names_fit_the_file_system_and_stay_in_sight_in_their_folder(
    source: bytes, template: str, suffix: bytes, limit: int
) -> None:
    found = list(output_names(source, suffix, template=template, language="de", limit=limit))

    assert len(set(found)) == len(found) >= 99
    assert all(len(name) <= limit and name.endswith(suffix) for name in found)
    assert not any(b"/" in name or b"\0" in name or name.startswith(b".") for name in found)


@given(source=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_a_shortened_name_is_still_utf_8(source: str) -> None:
    short = shorten(source.encode(), b".txt")

    assert len(short) <= 255
    assert short.decode().endswith(".txt")


@given(base=st.binary(max_size=400))
def test_a_shortened_name_is_always_the_same(base: bytes) -> None:
    assert shorten(base, b".srt") == shorten(base, b".srt")


@pytest.mark.parametrize("byte", [b"\x80", b"\xff"])
def test_a_long_name_without_any_boundary_of_characters_is_cut_where_it_has_to_be(byte: bytes) -> None:
    short = shorten(byte * 300, b".srt")

    assert len(short) == 255
    assert short.startswith(byte * 240)


def test_two_long_names_with_the_same_beginning_stay_apart() -> None:
    one, other = shorten(b"x" * 300 + b"1", b".srt"), shorten(b"x" * 300 + b"2", b".srt")

    assert one != other
    assert len(one) == len(other) == 255


def test_a_name_within_the_limit_is_left_as_it_is() -> None:
    assert shorten(b"x" * 251, b".srt") == b"x" * 251 + b".srt"


def test_numbers_stand_before_the_suffix() -> None:
    assert list(islice(numbered(b"talk.wav.note", b".txt"), 3)) == [
        b"talk.wav.note.txt",
        b"talk.wav.note.2.txt",
        b"talk.wav.note.3.txt",
    ]


@given(name=_SOURCES)
def test_a_temporary_is_hidden_and_recognised_and_fits(name: bytes) -> None:
    made = temporary(name, "0123abcd")

    assert is_temporary(made)
    assert len(made) <= 255


def test_a_temporary_has_the_name_it_is_for() -> None:
    assert temporary(b"talk.srt", "0123abcd") == b".talk.srt.0123abcd.tmp"
    assert not is_temporary(b"talk.srt")
    assert not is_temporary(b"talk.tmp")


@pytest.mark.parametrize("template", ["{stem}", "{name}", "{stem}.{language}", "Untertitel {stem} fertig"])
def test_a_usable_template_passes(template: str) -> None:
    check_template(template)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("", "needs {stem} or {name}"),
        ("{language}", "needs {stem} or {name}"),
        ("out/{stem}", "'/'"),
        ("../{stem}", "'/'"),
        (".{stem}", "'.'"),
        ("{stem}{date}", "{date} is no placeholder"),
        ("{stem!r:>9999999}", "{stem!r:>9999999} is no placeholder"),
        ("{stem}}", "brace"),
        ("{{stem}", "brace"),
        ("{stem}\n", "control"),
        ("{stem}\0", "control"),
    ],
)
def test_a_template_that_cannot_name_outputs_is_refused_in_plain_words(template: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        check_template(template)

    assert complaint in str(caught.value)


def test_only_a_template_with_a_language_waits_for_the_answer() -> None:
    templates = OutputTemplates("{stem}", {"srt": "{stem}.{language}", "vtt": "{stem}.{language_b}"})
    assert templates.need_language(["txt", "srt"])
    assert templates.need_language(["vtt"])
    assert not templates.need_language(["txt", "json"])


def test_a_language_has_its_code_of_three_letters_in_both_of_its_kinds() -> None:
    assert names(b"a.mkv", b".srt", template="{stem}.{language_b}.sdh", language="German")[0] == b"a.ger.sdh.srt"
    assert names(b"a.mkv", b".srt", template="{stem}.{language_t}", language="de")[0] == b"a.deu.srt"
    assert names(b"a.mkv", b".srt", template="{stem}.{language_b}", language="")[0] == b"a.und.srt"


def test_a_hidden_source_does_not_hide_its_outputs() -> None:
    assert names(b".hidden.wav", b".srt")[0] == b"_hidden.srt"
    assert os.path.basename(names(b".wav", b".srt")[0]) == b"_wav.srt"  # noqa: PTH119 - bytes
