"""Which recordings are mixes of others: a stem that is taken for one would lose a speaker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.sessions import is_mix, is_mixed_track

RECORDER = "a mix that the recorder made of the tracks beside it"
MEETING = "the meeting program's mix of the speakers"
PROJECT = "by its name a mix of the recordings beside it"
ZOOM = ["ZOOM0001_Tr1.WAV", "ZOOM0001_Tr2.WAV"]
SPEAKERS = ["audioAnna11639780501.m4a", "audioBen21639780501.m4a"]
EPISODE = ["Episode 12_Anna.wav", "Episode 12_Ben.wav"]


@pytest.mark.parametrize(
    ("file", "beside", "reason"),
    [
        ("ZOOM0001_TrLR.WAV", ZOOM, RECORDER),
        ("ZOOM0001_TrMic.WAV", ZOOM, RECORDER),
        ("ZOOM0001_LR.WAV", ZOOM, RECORDER),
        ("ZOOM0001_TrLR-0002.WAV", ZOOM, RECORDER),
        ("230401_123456_TrLR.WAV", ["230401_123456_Tr1.WAV"], RECORDER),
        ("audio1639780501.m4a", SPEAKERS, MEETING),
        ("video1639780501.mp4", SPEAKERS, MEETING),
        ("raw.dat", ["1-anna.flac"], "Craig's raw data, which hold the tracks beside it once more"),
        ("Episode 12_mix.wav", EPISODE, PROJECT),
        ("Episode 12_Mixdown.mp3", EPISODE, PROJECT),
        ("Episode 12-mix.wav", ["Episode 12-Anna.wav", "Episode 12-Ben.wav"], PROJECT),
        ("Episode 12_master.wav", [*EPISODE, "Episode 12_mix.wav"], PROJECT),
        ("mix.wav", ["Anna.wav", "Ben.wav"], PROJECT),
        ("Full Mix.wav", ["Anna.wav", "Ben.wav"], PROJECT),
        ("mixdown.mp3", ["Anna.wav", "Ben.wav", "mix.wav"], PROJECT),
    ],
)
def test_a_mix_beside_what_it_was_made_of_is_known(file: str, beside: list[str], reason: str) -> None:
    assert is_mix(file, beside) == reason
    assert is_mix(file, [file, *beside]) == reason


@pytest.mark.parametrize(
    ("file", "beside"),
    [
        # All that there is of a take.
        ("ZOOM0001_LR.WAV", ["ZOOM0002_LR.WAV", "ZOOM0002_Tr1.WAV"]),
        ("ZOOM0001_TrLR.WAV", ["ZOOM0001_TrMic.WAV"]),
        ("ZOOM0001_Tr1.WAV", ZOOM),
        ("ZOOM0001.WAV", ZOOM),
        ("Interview_LR.wav", ["Interview_Tr1.wav"]),
        ("audio1639780501.m4a", []),
        ("audio2639780501.m4a", SPEAKERS),
        ("audioAnna11639780501.m4a", [*SPEAKERS, "audio1639780501.m4a"]),
        ("raw.dat", ["Anna.wav"]),
        ("mix.wav", ["Anna.wav"]),
        ("mix.wav", ["Anna.wav", "mixdown.wav", "Ben_mix.wav"]),
        # The first of two linked recorders.
        ("master.wav", ["Anna.wav", "Ben.wav"]),
        # Stems that were themselves mixed.
        ("Anna_mix.wav", ["Ben_mix.wav", "Carl_mix.wav"]),
        ("Carl_mix.wav", ["Anna.wav", "Ben.wav"]),
        ("Episode 12_Carl_mix.wav", EPISODE),
        ("Episode 12_Anna_mix.wav", ["Episode 12_Anna_mic.wav", *EPISODE]),
        ("Episode 12_mix.wav", ["Episode 12_Anna.wav", "Episode 13_Ben.wav"]),
        ("remix.wav", ["Anna.wav", "Ben.wav"]),
        ("Tom Mix.wav", ["Anna.wav", "Ben.wav"]),
        ("Episode 12_Anna.wav", [*EPISODE, "Episode 12_mix.wav"]),
        ("1-anna.flac", ["2-ben.flac", "raw.dat"]),
    ],
)
def test_a_stem_or_the_only_recording_is_no_mix(file: str, beside: list[str]) -> None:
    assert is_mix(file, beside) == ""


WORDS = st.lists(
    st.sampled_from(("mix", "master", "Anna", "_", " ", ".wav", "ZOOM0001", "_Tr1", "_LR")), max_size=6
).map("".join)
NAMES = WORDS | st.text(max_size=20)


@given(st.lists(NAMES, max_size=6, unique=True))
def test_not_all_of_a_directory_is_a_mix(names: list[str]) -> None:
    assert not names or any(not is_mix(name, names) for name in names)


@pytest.mark.parametrize("name", ["MixL", "Mix R", "mix", "Full Mix", "STEREO MIX", "Mix 2", "mixdown"])
def test_a_track_that_is_named_as_a_mix_is_one_beside_two_others(name: str) -> None:
    assert is_mixed_track(name, [name, "Anna", "Ben"])
    assert not is_mixed_track(name, [name, "Anna"])
    assert not is_mixed_track(name, [name, "MixR", "Anna"])


@pytest.mark.parametrize("name", ["Anna", "Mixer", "Boom", "Carl_mix", ""])
def test_other_tracks_are_no_mixes(name: str) -> None:
    assert not is_mixed_track(name, [name, "Anna", "Ben"])
