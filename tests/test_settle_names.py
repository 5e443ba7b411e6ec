"""Which names are recordings."""

import os
from typing import Literal
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.settle.names import AUDIO_SUFFIXES, DEEPEST, Globs, NameRuling, Names, is_audio

ANY_CASE = sorted(AUDIO_SUFFIXES | {suffix.upper() for suffix in AUDIO_SUFFIXES})
COMPONENT = st.text(alphabet="abcXYZ0 ._-äé", min_size=1, max_size=8).filter(lambda text: text not in {".", ".."})
PATH = st.lists(COMPONENT, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize("suffix", ANY_CASE)
def test_every_audio_suffix_is_taken_in_any_case(suffix: str) -> None:
    assert Names().file(f"a/talk.{suffix}") is NameRuling.TAKE


@pytest.mark.parametrize(
    "name",
    [
        "talk.srt",
        "talk.txt",
        "talk.vtt",
        "talk.json",
        "talk.wav.txt",
        "talk.wav.transcription-failed.txt",
        "transcription-paused.txt",
        ".talk.srt.1a2b.tmp",
        "talk.wav.part",
        "talk.wav.crdownload",
        "talk.wav.filepart",
        ".talk.wav.Xy12Ab",
        "wav",
        "talk",
        "talk.wav~",
        "take.asd",
        "WaveCache.wfm",
    ],
)
def test_own_outputs_and_unfinished_names_are_nothing_to_us(name: str) -> None:
    assert Names().file(name) is NameRuling.OTHER


def test_of_the_suffixes_that_are_not_decoded_none_is_watched() -> None:
    assert not any(is_audio(f"memo.{suffix}") for suffix in ("ds2", "dss", "gsm", "mxf", "wv", "aax"))
    assert [Names(exclude=("*.ds2",)).passes_over(name) for name in ("a/memo.ds2", "a/memo.DSS", ".memo.dss")] == [
        False,
        True,
        False,
    ]
    assert not Names(include=("*.dss",)).passes_over("memo.dss")


@pytest.mark.parametrize(
    ("name", "ruling"),
    [
        ("._talk.wav", NameRuling.HIDDEN),
        (".talk.wav", NameRuling.HIDDEN),
        (".syncthing.talk.wav", NameRuling.HIDDEN),
        ("~syncthing~talk.wav", NameRuling.TEMPORARY),
        ("~$talk.wav", NameRuling.TEMPORARY),
        ("talk (2).wav", NameRuling.TAKE),
        ("-rf.wav", NameRuling.TAKE),
        (" talk.wav", NameRuling.TAKE),
        ("talk\n.wav", NameRuling.TAKE),
        ("talk\udcff.wav", NameRuling.TAKE),
    ],
)
def test_names_that_keep_the_suffix_are_distinguished(name: str, ruling: NameRuling) -> None:
    assert Names().file(name) is ruling


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "@EADIR", "#recycle", ".stversions", "lost+found", "$RECYCLE.BIN", "__MACOSX", "talk.download", ".git"],
)
def test_bins_and_indexes_are_not_entered_at_any_depth(name: str) -> None:
    names = Names()

    assert not names.enters(name)
    assert not names.enters(f"a/b/{name}")
    assert not names.enters_all(f"a/{name}/b")


def test_everything_else_is_entered() -> None:
    names = Names()

    assert names.enters("2024")
    assert names.enters_all("/".join(["d"] * DEEPEST))
    assert names.enters_all("a/b.wav/c")
    assert names.enters_all("")


def test_include_adds_to_the_audio_suffixes_and_overrules_the_built_in_rules() -> None:
    names = Names(include=("*.dss", "._keep.wav", "#recycle/"))

    assert names.file("a/dictation.DSS") is NameRuling.TAKE
    assert names.file("._keep.wav") is NameRuling.TAKE
    assert names.enters("#recycle")
    assert names.interesting("dictation.dss")
    assert names.file("notes.txt") is NameRuling.OTHER


@pytest.mark.parametrize(
    "name",
    [
        "talk.wav.transcription-failed.txt",
        "transcription-paused.txt",
        ".watcher.toml",
        ".talk.srt.1a2b.tmp",
        "Episode 12.session",
    ],
)
def test_include_takes_no_name_of_our_own(name: str) -> None:
    assert Names(include=("*", ".*")).file(f"a/{name}") is NameRuling.OTHER


def test_exclude_beats_include() -> None:
    names = Names(include=("*.dss",), exclude=("draft*",))

    assert names.file("draft.dss") is NameRuling.OTHER
    assert names.file("draft.wav") is NameRuling.EXCLUDED
    assert names.file("talk.wav") is NameRuling.TAKE


def test_excluding_a_directory_prunes_it() -> None:
    names = Names(exclude=("raw/", "2023/tests"))

    assert not names.enters("a/raw")
    assert not names.enters("2023/tests")
    assert names.enters("2024/tests")
    assert names.file("raw") is NameRuling.OTHER


def test_destinations_of_moves_are_pruned() -> None:
    names = Names(prune=("done/", "kept/[old]"))

    assert not names.enters("done")
    assert not names.enters("kept/[old]")
    assert names.enters("a/done")
    assert names.enters("kept/o")
    assert not names.enters_all("done/monday")
    assert names.file("done.wav") is NameRuling.TAKE


def test_the_studio_preset_leaves_raw_takes_and_keeps_bounces() -> None:
    names = Names(exclude=("@studio",))

    assert not names.enters("Song/Audio Files")
    assert not names.enters("Song/Samples/Recorded")
    assert names.enters("Song/Samples")
    assert names.enters("Song/Bounced Files")
    assert Names().enters("Song/Audio Files")


def test_the_conflicts_preset_leaves_copies_of_synchronisers() -> None:
    names = Names(exclude=("@conflicts",))

    assert names.file("talk.sync-conflict-20240102-1.wav") is NameRuling.EXCLUDED
    assert Names().file("talk.sync-conflict-20240102-1.wav") is NameRuling.TAKE


@pytest.mark.parametrize(
    ("glob", "matches", "misses"),
    [
        ("*.wav", ["a.wav", "x/y/a.WAV"], ["a.wave", "a.wav/b"]),
        ("x/*.wav", ["x/a.wav"], ["a.wav", "x/y/a.wav", "z/x/a.wav"]),
        ("/x*", ["x", "xy"], ["a/x"]),
        ("**/x/*.wav", ["x/a.wav", "a/b/x/c.wav"], ["x/a/b.wav"]),
        ("x/**", ["x/a", "x/a/b"], ["x", "y/x/a"]),
        ("x/**/y", ["x/y", "x/a/y", "x/a/b/y"], ["x/ay", "xy"]),
        ("**/x/y/**/z", ["x/y/z", "x/x/y/z", "a/x/y/x/y/z"], ["x/a/y/z", "x/y/zz"]),
        ("a*b*b", ["abb", "aXbXbXb"], ["ab", "abX", "abbX"]),
        ("*[ab]*?c*", ["a_c", "xbbcc"], ["ac", "c_a"]),
        ("a?c", ["abc"], ["a/c", "ac"]),
        ("[ab]c", ["ac", "bc", "x/ac"], ["cc", "/c"]),
        ("[!ab]c", ["cc"], ["ac", "bc"]),
        ("[a-c]x", ["bx"], ["dx", "-x"]),
        ("[]]x", ["]x"], ["x"]),
        ("[x", ["[x"], ["x"]),
        ("a.b+c(d)", ["a.b+c(d)"], ["aXb+c(d)", "a.bb"]),
        ("*~", ["a~"], ["~a"]),
    ],
)
def test_globs_mean_what_they_say(glob: str, matches: list[str], misses: list[str]) -> None:
    globs = Globs((glob,))

    assert [path for path in matches if not globs.file(path)] == []
    assert [path for path in misses if globs.file(path)] == []


@pytest.mark.parametrize("glob", ["", "/", "a//b", "../a", "a/./b", "[z-a]"])
def test_a_glob_that_makes_no_sense_is_refused_by_name(glob: str) -> None:
    with pytest.raises(ValueError, match="not a glob"):
        Names(exclude=(glob,))


@given(PATH)
def test_a_path_matches_itself_as_a_glob_when_nothing_in_it_is_special(path: str) -> None:
    assert Globs((f"/{path}",)).file(path)


@given(PATH, st.text(alphabet="ab*?[]!-/.", max_size=10))
def test_no_glob_crashes_and_none_but_two_stars_crosses_a_directory(path: str, glob: str) -> None:
    try:
        globs = Globs((f"x/{glob}",))
    except ValueError:
        return

    if "**" not in glob and globs.file(path):
        assert path.count("/") == f"x/{glob}".strip("/").count("/")


@given(PATH)
def test_whatever_is_taken_is_interesting_and_audio(path: str) -> None:
    names = Names()
    name = path.rpartition("/")[2]

    if names.file(path) is NameRuling.TAKE:
        assert names.interesting(name)
        assert is_audio(name)


def test_what_is_nested_too_deeply_is_not_entered_by_anyones_wish() -> None:
    names = Names(include=("deep/",))
    path = "/".join(["d"] * DEEPEST)

    assert not names.enters(f"{path}/deep")
    assert not names.enters_all(f"{path}/deep" + "/d" * 10_000)


@pytest.mark.parametrize("character", ["d", "é", "\N{GRINNING FACE}", "\udcff"])
def test_the_length_of_a_path_is_that_of_its_bytes(character: str) -> None:
    """With one character beyond the basic plane Python keeps four bytes for each, and so do others."""
    names = Names(longest=1000)
    size = len(os.fsencode(character))
    component = character * (100 // size)
    path = "/".join([component] * 9)
    last = "x" * (1000 - len(os.fsencode(path)) - 1)

    assert names.enters_all(f"{path}/{last}")
    assert not names.enters_all(f"{path}/{last}x")
    assert not names.enters(f"{path}/{last}x")
    assert names.too_deep(f"{path}/{last}x")


def test_a_directory_is_judged_once_for_all_that_lies_below(monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str] = []
    enters = Names.enters

    def counted(names: Names, relative: str) -> bool:
        judged.append(relative)
        return enters(names, relative)

    monkeypatch.setattr(Names, "enters", counted)
    names = Names()
    deep = "/".join(["d"] * (DEEPEST - 3))

    assert names.enters_all(deep)
    assert not any(names.enters_all(f"{deep}/.hidden/{number}") for number in range(300))
    assert all(names.enters_all(f"{deep}/{number}") for number in range(300))
    assert len(judged) == len(deep.split("/")) + 1 + 300


def test_what_is_remembered_of_directories_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.settle.names._REMEMBERED", 10)
    names = Names(exclude=("3/",))

    for _ in range(2):
        assert [number for number in range(100) if not names.enters_all(f"a/{number}")] == [3]
        assert len(names._entered) <= 12


def test_nor_is_a_directory_whose_path_no_other_program_can_open() -> None:
    names = Names()
    long = "/".join(["d" * 250] * 15)

    assert names.enters_all(long)
    assert not names.enters(f"{long}/{'d' * 250}")
    assert not names.enters_all(f"{long}/{'d' * 250}/e")


@pytest.mark.parametrize(("name", "glob"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
@pytest.mark.parametrize("pattern", ["Entwürfe/", "Entwürfe", "Entwürf?/", "**/Entw[ü]rfe/", "ENTWÜRFE/"])
def test_globs_match_in_any_normalisation(
    name: Literal["NFC", "NFD"], glob: Literal["NFC", "NFD"], pattern: str
) -> None:
    names = Names(exclude=(normalize(glob, pattern),))

    assert not names.enters(normalize(name, "Entwürfe"))
    assert names.enters(normalize(name, "Entwurfe"))


@pytest.mark.parametrize(("name", "given_as"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_files_and_directories_never_entered_are_found_in_any_normalisation(
    name: Literal["NFC", "NFD"], given_as: Literal["NFC", "NFD"]
) -> None:
    names = Names(include=(normalize(given_as, "é*.raw"),), prune=(normalize(given_as, "réglé"),))

    assert names.file(normalize(name, "été.raw")) is NameRuling.TAKE
    assert not names.enters(normalize(name, "réglé"))


@given(PATH, st.sampled_from(["*é*", "é/", "[é]x*", "?é", "a/**/é"]))
def test_the_normalisation_of_a_path_changes_no_ruling(path: str, glob: str) -> None:
    globs = Globs([glob])
    rulings = {(globs.file(normalize(form, path)), globs.directory(normalize(form, path))) for form in ("NFC", "NFD")}

    assert len(rulings) == 1
