"""The sentences that a decoding process may tell people: what it writes is recognised, and nothing else is."""

import errno
import os

import pytest

from watcher.job import ResultWarning
from watcher.media import sentences
from watcher.media.sentences import Sentence, failure, known_error, passed_on, system_error

INVALID = "Invalid data found when processing input"
TRACK = "pcm_s24le, 48000 Hz, 2 channels, eng, Director's take"
#: Every sentence, with values as the decoder fills them in.
SAID: dict[str, list[tuple[object, ...]]] = {
    "UNKNOWN_KIND": [()],
    "UNREADABLE": [(INVALID,), (os.strerror(errno.EPERM),), (known_error("Error number -9 occurred"),)],
    "NOTHING_DECODED": [()],
    "NO_TRACK": [()],
    "NO_KNOWN_TRACK": [()],
    "TOO_LONG": [("24",)],
    "TOO_MANY_CHANNELS": [(65, "flt", 48000)],
    "TOO_MUCH_MEMORY": [()],
    "UPLOADS_TOO_SMALL": [(25_000,)],
    "NOT_READABLE_YET": [()],
    "UNFORESEEN": [()],
    "TRACKS_LEFT_OUT": [("Only one", 3, TRACK), ("Only 2", 3, f"{TRACK} + {TRACK}"), ("Only one", 2, "x" * 500)],
    "OTHER_TRACK": [(TRACK,), ("unknown format",)],
    "TRACK_MISSING": [
        ("There is no audio track 7 that can be heard",),
        ("No audio track is in the language de by its tag",),
    ],
    "CHANNEL_MISSING": [(9,)],
    "ENDS_EARLY": [("0:00:10", "26:00:20")],
    "BYTES_LEFT_OUT": [("1 byte", "was"), ("123456789012 bytes", "were")],
    "TIMECODE_LEFT_OUT": [("channel 2",), ("channels 2 and 4 and 7",)],
    "DAMAGED": [("1 damaged place was", "0:00:01"), ("12 damaged places were", "1:00:01")],
    "SOUND_MISSING": [("0:00:01", "12.5")],
    "SILENT": [("this",), ("any audio track of this",)],
}


def test_every_sentence_is_reported_here() -> None:
    assert {name for name, value in vars(sentences).items() if isinstance(value, Sentence)} == set(SAID)


@pytest.mark.parametrize(("name", "values"), [(name, values) for name, filled in SAID.items() for values in filled])
def test_what_the_decoder_says_is_passed_on_as_it_is(name: str, values: tuple[object, ...]) -> None:
    sentence: Sentence = getattr(sentences, name)
    said, warned = sentence.error(*values), sentence.warning(*values)

    found = failure(said.reason, said.message)
    if found is None:
        assert passed_on(ResultWarning(warned.code, warned.message)) == warned
    else:
        assert (found.message, found.hint, found.reason) == (said.message, said.hint, said.reason)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("undecodable", "The file /home/anna/.ssh/id_ed25519 is there, and has 411 bytes."),
        ("undecodable", f"This file cannot be read as sound or film: {INVALID}. There is /root/x."),
        ("undecodable", "This file cannot be read as sound or film: /root/x is there."),
        ("crashed", "There is no audio track in this file."),
        ("", ""),
    ],
)
def test_other_words_are_nobodys(reason: str, message: str) -> None:
    assert failure(reason, message) is None
    assert passed_on(ResultWarning(reason, message)) is None


def test_an_error_of_the_system_is_known_by_its_words() -> None:
    full = system_error(f"A piece cannot be written to /x: {os.strerror(errno.ENOSPC)}")

    assert (full.errno, full.strerror) == (errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert system_error("whatever: it says").errno == errno.EIO
