"""Which session a recording belongs to, by its own name and header."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.container.recorder import RecorderData
from watcher.sessions import SessionKey, key_of
from watcher.sessions.sets import LONGEST_NAME

FAMILY = RecorderData(family="USSDVGR111208900712", family_name="A101", family_files=4)
MEETING = "2024-03-11 21.54.11 Weekly"


def ordinary(name: str) -> SessionKey:
    return SessionKey("", name)


def own(name: str) -> SessionKey:
    return SessionKey(name, name)


@pytest.mark.parametrize(
    ("directory", "file", "expected"),
    [
        ("Episode 12", "1-anna.flac", ordinary("Episode 12")),
        ("Episode 12", "1-anna_0.aac", ordinary("Episode 12")),
        ("Episode 12", "Episode 12_Anna.wav", ordinary("Episode 12")),
        ("Episode 12", "A101_1.WAV", ordinary("Episode 12")),
        ("Card", "ZOOM0001_Tr1.WAV", own("ZOOM0001")),
        ("Card", "ZOOM0001_Tr12.WAV", own("ZOOM0001")),
        ("Card", "ZOOM0001_TrLR.WAV", own("ZOOM0001")),
        ("Card", "ZOOM0001_TrMic.WAV", own("ZOOM0001")),
        ("Card", "ZOOM0001_LR.WAV", own("ZOOM0001")),
        ("Card", "zoom0001_tr1-0002.wav", own("ZOOM0001")),
        ("Card", "ZOOM0002_Tr1.WAV", own("ZOOM0002")),
        ("ZOOM0001", "ZOOM0001_Tr1.WAV", ordinary("ZOOM0001")),
        ("Card", "230401_123456_Tr1.WAV", own("230401_123456")),
        ("Card", "230401_123456_TrLR.WAV", own("230401_123456")),
        ("Card", "ZOOM0001.WAV", ordinary("Card")),
        ("Card", "Interview_Tr1.wav", ordinary("Card")),
        (".hidden", "a.wav", ordinary("_hidden")),
        ("", "a.wav", ordinary("session")),
        ("a/b\0c", "a.wav", ordinary("a_b_c")),
        ("x" * 255, "a.wav", ordinary("x" * 200)),
        ("ü" * 127, "a.wav", ordinary("ü" * 100)),
        (os.fsdecode(b"caf\xe9"), "a.wav", ordinary(os.fsdecode(b"caf\xe9"))),
    ],
)
def test_the_names_of_programs_and_recorders_tell_the_session(directory: str, file: str, expected: SessionKey) -> None:
    assert key_of(directory, "Recordings", file, None) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        # As Zoom has written them: name, number of the speaker, number of the recording, digits of the meeting.
        ("audioHudsonMitchell-P31639780501.m4a", ordinary(MEETING)),
        ("audioVolodymyrSofishc41639780501.m4a", ordinary(MEETING)),
        ("audioHudsonMitchell-P32639780501.m4a", own(f"{MEETING} 2")),
        ("audioVolodymyrSofishc42639780501.m4a", own(f"{MEETING} 2")),
        ("audioVolodymyrSofishc43639780501.m4a", own(f"{MEETING} 3")),
        ("audioBlakeSims21759316641.m4a", ordinary(MEETING)),
        ("audioHonedInTutoring11759316641.m4a", ordinary(MEETING)),
        ("audioAnna11234567890.m4a", ordinary(MEETING)),
        ("audioAnna12234567890.m4a", own(f"{MEETING} 2")),
        ("audioJohnSmith98796876.m4a", ordinary(MEETING)),
        ("audioAlice1.m4a", ordinary(MEETING)),
        ("music.wav", ordinary(MEETING)),
    ],
)
def test_a_meeting_that_was_recorded_again_has_a_session_for_each_time(file: str, expected: SessionKey) -> None:
    assert key_of("Audio Record", MEETING, file, None) == expected


def test_a_file_of_a_meeting_elsewhere_belongs_to_its_directory() -> None:
    assert key_of("Talk", "Talks", "audioAnna12639780501.m4a", None) == ordinary("Talk")
    assert key_of("Audio Record", "", "audioAnna11639780501.m4a", None) == ordinary("Audio Record")


@pytest.mark.parametrize(
    ("recorder", "expected"),
    [
        (FAMILY, own("A101")),
        (RecorderData(family="X1", family_name="A101"), own("A101")),
        (RecorderData(family="X1", family_name="A101.WAV", family_files=2), own("A101")),
        (RecorderData(family="X1", family_name="..A/101", family_files=2), own("_.A_101")),
        (RecorderData(family="X1", family_name="Day 1", family_files=2), ordinary("Day 1")),
        (RecorderData(family="X1", family_files=2), own("Day 1 ad667b78")),
        (RecorderData(family="X1", family_name="A101", family_files=1), ordinary("Day 1")),
        (RecorderData(family_name="A101", family_files=2), ordinary("Day 1")),
        (RecorderData(), ordinary("Day 1")),
    ],
)
def test_the_recorders_set_is_a_session_whatever_its_files_are_called(
    recorder: RecorderData, expected: SessionKey
) -> None:
    for file in ("A101_1.WAV", "A101_2.WAV", "Anna.wav"):
        assert key_of("Day 1", "Project", file, recorder) == expected


def test_the_recorders_set_goes_before_the_name_of_the_take() -> None:
    assert key_of("Card", "", "ZOOM0001_Tr1.WAV", FAMILY) == own("A101")


NAMES = st.text(max_size=300) | st.binary(max_size=255).map(os.fsdecode)
RECORDERS = st.none() | st.builds(
    RecorderData,
    family=st.text(max_size=5),
    family_name=st.text(max_size=300),
    family_files=st.sampled_from((None, 1, 2)),
)
FILES = NAMES | st.from_regex(r"(?a)\A(ZOOM\d{4}_Tr\d|audio\w\d{10,12}|\d-\w)\.wav\Z")


@given(directory=NAMES | st.just("Audio Record"), parent=NAMES, file=FILES, recorder=RECORDERS)
def test_any_names_give_a_safe_name(directory: str, parent: str, file: str, recorder: RecorderData | None) -> None:
    found = key_of(directory, parent, file, recorder)

    assert found == key_of(directory, parent, file, recorder)
    assert found.key in {"", found.name}
    assert "/" not in found.name
    assert "\0" not in found.name
    assert found.name.strip()
    assert not found.name.startswith(".")
    assert len(os.fsencode(found.name)) <= LONGEST_NAME
    # The ordinary session has one name alone.
    assert (found.name == key_of(directory, parent, "a.wav", None).name) == (not found.key)
