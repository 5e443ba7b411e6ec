"""The names of the speakers of a session."""

from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.container.recorder import RecorderData, RecorderTrack
from watcher.sessions import speaker_names, track_names
from watcher.sessions.speakers import LONGEST_NAME, stem_keys
from watcher.text import folded

NONE: Mapping[str, str] = {}


def recorded(*names: str) -> RecorderData:
    return RecorderData(tracks=tuple(RecorderTrack(place, name) for place, name in enumerate(names, 1)))


def named(files: Sequence[str], speakers: Mapping[str, str] = NONE, tracks: Sequence[str] = ()) -> tuple[str, ...]:
    recorders = [recorded(tracks[index]) if tracks else None for index in range(len(files))]
    return speaker_names(files, recorders, speakers)


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["1-anna.flac", "2-ben_b.flac"], ("anna", "ben_b")),
        (["1-anna_0.flac", "2-ben_0.flac", "10-cy_99.flac"], ("anna", "ben", "cy_99")),
        (["1-anna_1234.ogg", "2-ben_123456789012345678.ogg"], ("anna", "ben")),
        (["1-_0.flac", "2-b-c.flac"], ("_0", "b-c")),
        (["audioHudsonMitchell-P31639780501.m4a", "audioVolodymyrSofishc41639780501.m4a"], ("HudsonMitchell-P", "VolodymyrSofishc")),
        (["audioBlakeSims21759316641.m4a", "audioHonedInTutoring11759316641.m4a"], ("BlakeSims", "HonedInTutoring")),
        (["audioAnna121639780501.m4a", "audioAnna2131639780501.m4a"], ("Anna", "Anna 2")),
        (["audioJohnSmith98796876.m4a", "audioAnna98796876.m4a"], ("JohnSmith", "Anna")),
        (["ZOOM0001_Tr1.WAV", "ZOOM0001_Tr3.WAV"], ("Track 1", "Track 3")),
        (["230401_123456_Tr1.WAV", "230401_123456_Tr2.WAV"], ("Track 1", "Track 2")),
        (["A101_1.WAV", "A101_2.WAV"], ("Track 1", "Track 2")),
        (["A101_01.WAV", "A101_Boom.WAV"], ("Track 1", "Boom")),
        (["Episode 12_Anna.wav", "Episode 12_Ben.wav"], ("Anna", "Ben")),
        (["Episode 12_Anna_Smith.wav", "Episode 12_Ben_Jones.wav"], ("Anna Smith", "Ben Jones")),
        (["Anna - Episode 12.wav", "Ben - Episode 12.wav"], ("Anna", "Ben")),
        (["ep12.anna.raw.wav", "EP12.ben.raw.wav"], ("anna", "ben")),
        (["Episode 12.wav", "Episode 12_Ben.wav"], ("Episode 12", "Ben")),
        (["Take 9.wav", "Take 10.wav"], ("Track 9", "Track 10")),
        (["track01.wav", "track02.wav"], ("Track 1", "Track 2")),
        (["0.wav", "1.wav"], ("Track 1", "Track 2")),
        (["1.wav", "01.wav"], ("Track 2", "Track 1")),
        (["Anna.wav", "Anna.flac", "anna.mp3"], ("Anna 2", "Anna", "anna 3")),
        (["Анна.wav", "安娜.wav"], ("Анна", "安娜")),
        (["Zoe\u0308_e.wav", "Zo\u00eb_f.wav"], ("e", "f")),
        (["a\x1b\u202e.wav", "\udce9\x00.wav"], ("a", "Track 2")),
        (["x" * 255, "y" * 255], ("x" * 60, "y" * 60)),
        (["Anna.wav"], ("Anna",)),
        ([], ()),
    ],
)  # fmt: skip
def test_a_speaker_is_called_what_differs_between_the_names(files: list[str], names: tuple[str, ...]) -> None:
    assert named(files) == names


def test_the_recorders_names_go_before_those_of_the_files() -> None:
    assert named(["A101_1.WAV", "A101_2.WAV"], tracks=["Boom", "Lav Anna"]) == ("Boom", "Lav Anna")


@pytest.mark.parametrize("tracks", [["", ""], ["Tr1", "Tr2"], ["CH 1", "CH 1"], ["1", "2"], ["Lav", "lav"]])
def test_the_recorders_names_are_left_if_they_tell_nobody_apart(tracks: list[str]) -> None:
    assert named(["Anna.wav", "Ben.wav"], tracks=tracks) == ("Anna", "Ben")


def test_a_stereo_stem_has_the_name_that_both_of_its_tracks_have() -> None:
    recorders = [recorded("Anna", "Anna"), recorded("Left", "Right"), recorded("Carl", "")]

    assert speaker_names(["a.wav", "b.wav", "c.wav"], recorders, NONE) == ("Anna", "b", "Carl")


@pytest.mark.parametrize(
    "speakers",
    [
        {"Episode 12_Anna.wav": "Anna Smith"},
        {"episode 12_anna": "Anna Smith"},
        {"Boom": "Anna Smith"},
        {"1": "Anna Smith"},
        {"1": "no", "Episode 12_Anna": "Anna Smith"},
        {"Boom": " Anna\n Smith "},
    ],
)
def test_the_settings_go_before_all(speakers: dict[str, str]) -> None:
    files = ["Episode 12_Anna.wav", "Episode 12_Ben.wav"]

    assert named(files, speakers, ["Boom", ""]) == ("Anna Smith", "Ben")


def test_the_settings_may_use_the_name_that_is_shown() -> None:
    files = ["1-anna_0.flac", "2-ben_0.flac", "4-x.flac"]

    assert named(files, {"anna": "Anna Smith", "2": "Ben Jones", "4": "", "3": "no"}) == (
        "Anna Smith",
        "Ben Jones",
        "x",
    )
    assert named(["ZOOM0001_Tr1.WAV", "ZOOM0001_Tr3.WAV"], {"Track 3": "Anna"}) == ("Track 1", "Anna")


def test_two_tracks_with_one_name_in_the_settings_are_told_apart() -> None:
    assert named(["a.wav", "b.wav"], {"a": "Anna", "b": "Anna"}) == ("Anna", "Anna 2")
    assert named(["a.wav", "b.wav", "c.wav"], {"a": "Anna", "b": "Anna", "c": "Anna 2"}) == ("Anna", "Anna 3", "Anna 2")


@pytest.mark.parametrize(
    ("files", "numbers"),
    [
        (["1-anna.flac", "3-ben.flac"], ("1", "3")),
        (["ZOOM0001_Tr2.WAV", "ZOOM0001_Tr1.WAV"], ("2", "1")),
        (["A101_4.WAV", "A101_2.WAV"], ("4", "2")),
        (["Take 10 Ben.wav", "Take 9 Anna.wav"], ("2", "1")),
        (["Ben.wav", "Anna.wav"], ("2", "1")),
        (["ZOOM0001_Tr1-0002.WAV", "ZOOM0001_Tr1.WAV"], ("2", "1")),
    ],
)
def test_a_track_has_the_number_of_its_name_or_of_its_place(files: list[str], numbers: tuple[str, ...]) -> None:
    assert tuple(keys[-1] for keys in stem_keys(files, [None] * len(files))) == numbers


@pytest.mark.parametrize(
    ("count", "titles", "recorder", "speakers", "names"),
    [
        (2, None, None, {}, ("Left", "Right")),
        (2, None, recorded("Anna", "Ben"), {}, ("Anna", "Ben")),
        (2, None, recorded("Anna"), {}, ("Anna", "Right")),
        (2, None, recorded("Tr1", "Tr2"), {}, ("Left", "Right")),
        (2, None, None, {"1": "Anna", "right": "Ben"}, ("Anna", "Ben")),
        (2, None, None, {"Track 2": "Ben"}, ("Left", "Ben")),
        (3, None, None, {}, ("Track 1", "Track 2", "Track 3")),
        (4, None, RecorderData(tracks=(RecorderTrack(3, "Anna"),)), {}, ("Track 1", "Track 2", "Anna", "Track 4")),
        (2, ["", ""], None, {}, ("Track 1", "Track 2")),
        (2, ["Desktop", "Mic/Aux"], None, {}, ("Desktop", "Mic/Aux")),
        (2, ["Track1", "Track2"], None, {}, ("Track 1", "Track 2")),
        (3, ["Anna"], None, {"Anna": "Anna Smith"}, ("Anna Smith", "Track 2", "Track 3")),
        (2, ["Mic", "mic"], None, {}, ("Mic", "mic 2")),
        (2, ["Desktop", "Mic"], recorded("Anna", "Ben"), {}, ("Anna", "Ben")),
        (1, None, None, {}, ("Track 1",)),
        (0, [], None, {}, ()),
    ],
)
def test_channels_and_streams_have_names(
    count: int,
    titles: list[str] | None,
    recorder: RecorderData | None,
    speakers: dict[str, str],
    names: tuple[str, ...],
) -> None:
    assert track_names(count, titles, recorder, speakers) == names


NAMES = st.text(max_size=12) | st.sampled_from(
    ("Anna", "anna", "Anna 2", "Anna 3", "1-anna.flac", "2-anna_0.flac", "audioAnna11639780501.m4a", "ZOOM0001_Tr1.WAV", "a_1.wav", "a_2.wav", "x" * 80)
)  # fmt: skip
STEMS = st.lists(st.tuples(NAMES, st.none() | NAMES.map(recorded)), max_size=8, unique_by=lambda stem: stem[0])
SPEAKERS = st.dictionaries(NAMES | st.sampled_from("123"), NAMES, max_size=4)


def check(names: tuple[str, ...]) -> None:
    assert len({folded(name) for name in names}) == len(names)
    assert all(name.isprintable() and name.strip() == name and 0 < len(name) <= LONGEST_NAME for name in names)


@given(stems=STEMS, speakers=SPEAKERS, seed=st.integers())
def test_names_are_unique_and_do_not_depend_on_the_order_of_the_files(
    stems: list[tuple[str, RecorderData | None]], speakers: dict[str, str], seed: int
) -> None:
    mixed = Random(seed).sample(stems, len(stems))

    found, again = (
        dict(zip([file for file, _ in some], speaker_names(*lists(some), speakers), strict=True))
        for some in (stems, mixed)
    )

    check(tuple(found.values()))
    assert found == again


def lists(stems: list[tuple[str, RecorderData | None]]) -> tuple[list[str], list[RecorderData | None]]:
    return [file for file, _ in stems], [recorder for _, recorder in stems]


@given(st.integers(0, 8), st.none() | st.lists(NAMES, max_size=8), st.none() | st.lists(NAMES, max_size=8).map(lambda names: recorded(*names)), SPEAKERS)  # fmt: skip
def test_names_of_tracks_are_unique(
    count: int, titles: list[str] | None, recorder: RecorderData | None, speakers: dict[str, str]
) -> None:
    names = track_names(count, titles, recorder, speakers)

    check(names)
    assert len(names) == count


@pytest.mark.slow
def test_many_stems_of_one_name_are_named_in_little_time() -> None:
    names = named([f"{'a' * count}.wav" for count in range(1, 3000)], {str(count): "Anna" for count in range(1, 3000)})

    assert set(names) == {"Anna", *(f"Anna {count}" for count in range(2, 3000))}
