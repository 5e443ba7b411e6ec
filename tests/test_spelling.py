"""Names are the same name in any Unicode normalisation."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.spelling import composed, forms, on_disk

NFC, NFD = unicodedata.normalize("NFC", "Entwürfe"), unicodedata.normalize("NFD", "Entwürfe")


@given(st.text())
def test_both_forms_of_a_name_are_equal(name: str) -> None:
    assert composed(unicodedata.normalize("NFD", name)) == composed(unicodedata.normalize("NFC", name))


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    odd = b"/a\xff/" + NFD.encode()

    assert composed(os.fsdecode(odd)) == os.fsdecode(b"/a\xff/" + NFC.encode())
    assert forms(odd) == (odd, b"/a\xff/" + NFC.encode())


@pytest.mark.parametrize(("standing", "given_as"), [(NFC, NFD), (NFD, NFC)])
def test_a_path_is_found_in_the_spelling_that_stands_there(tmp_path: Path, standing: str, given_as: str) -> None:
    there = tmp_path / standing / "deep" / f"{given_as}.wav"
    there.parent.mkdir(parents=True)
    there.touch()

    assert on_disk(bytes(tmp_path / given_as / "deep" / f"{standing}.wav")) == bytes(there)


def test_of_what_is_gone_the_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / NFD).mkdir()

    assert on_disk(bytes(tmp_path / NFC / "gone" / NFC)) == bytes(tmp_path / NFD / "gone" / NFC)


def test_a_relative_path_stays_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / NFD).mkdir()
    monkeypatch.chdir(tmp_path)

    assert on_disk(NFC.encode()) == NFD.encode()


def test_the_very_spelling_wins_over_the_other(tmp_path: Path) -> None:
    for name in (NFC, NFD):
        (tmp_path / name).mkdir()

    assert [on_disk(bytes(tmp_path / name)) for name in (NFC, NFD)] == [bytes(tmp_path / name) for name in (NFC, NFD)]


@pytest.mark.parametrize("path", ["nowhere", f"nowhere/{NFC}", f"a.txt/{NFC}", NFC])
def test_what_stands_in_no_spelling_stays_as_it_is_given(tmp_path: Path, path: str) -> None:
    (tmp_path / "a.txt").touch()

    assert on_disk(bytes(tmp_path / path)) == bytes(tmp_path / path)
