"""The names under which a recording, and each of its tracks, is stored in the ledger."""

import hashlib
from dataclasses import dataclass
from typing import Final

from watcher import media
from watcher.media import SoundChoice
from watcher.pipeline.tools import JobSettings

#: Codes of warnings that say nothing about one of several tracks: the others are transcribed, and silence is normal in it.
OF_RECORDING: Final = frozenset({"tracks_left_out", "silent"})


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a recording, or a track of it, from others."""

    #: A hash of some of its bytes, and of what of it is transcribed; see `Content.sketch`.
    sketch: str
    #: Of a channel or stream that is a track: which one; "": it is the whole recording.
    track: str = ""
    #: "channels" or "streams": of a recording all of whose tracks are transcribed; else "".
    tracks: str = ""

    def digest(self, recording: str) -> str:
        """Return the digest for `Content.digest`; `recording`: that of all bytes of the file."""
        return _hash(f"{recording} {self.track}") if self.track else recording

    def parameters(self, request: str) -> str:
        """Return the parameters for `Content.parameters`; `request`: those of the request.

        So the ledger has one content of a recording as it is, and another one with its tracks.
        """
        return _hash(f"{request} {self.tracks}") if self.tracks else request


def plain(descriptor: int, choice: SoundChoice) -> Identity:
    """Return the identity of an open recording, which also depends on the choice of its sound."""
    sketch = media.sketch(descriptor)
    if choice.is_plain:
        return Identity(sketch)
    # With another track or channel it is another recording; answers that were paid for are found by the pieces' digests.
    return Identity(_hash(f"{sketch} {choice.track} {choice.channel}"))


def with_tracks(descriptor: int, wanted: JobSettings) -> Identity:
    """Return the identity of an open recording whose channels or streams are different speakers."""
    tracks = wanted.session.tracks
    return Identity(_hash(f"{plain(descriptor, whole(wanted)).sketch} {tracks}"), tracks=tracks)


def track(descriptor: int, wanted: JobSettings, choice: SoundChoice, number: int) -> Identity:
    """Return the identity of one track of an open recording; `number`: see `ContentPart.number`, `choice`: its sound."""
    sketch = with_tracks(descriptor, wanted).sketch
    return Identity(_hash(f"{sketch} {number}"), track=f"{choice.track} {choice.channel}")


def track_sketches(descriptor: int, wanted: JobSettings) -> tuple[str, ...]:
    """Return the sketches under which tracks of an open recording may be stored."""
    return tuple(track(descriptor, wanted, SoundChoice(), number).sketch for number in range(1, media.MOST_TRACKS + 1))


def identities(descriptor: int, wanted: JobSettings) -> tuple[Identity, ...]:
    """Return the identities of an open recording, under which its result may be stored: the first one that is found counts."""
    if not wanted.is_split:
        return (plain(descriptor, wanted.choice),)
    # If all of its tracks are the same sound, it is an ordinary recording.
    return (with_tracks(descriptor, wanted), plain(descriptor, whole(wanted)))


def parameters(wanted: JobSettings, model: str) -> str:
    """Return the parameters under which a recording's content is stored, if these settings and this model made it."""
    tracks = wanted.session.tracks if wanted.is_split else ""
    return Identity("", tracks=tracks).parameters(wanted.request.parameters(model))


def whole(wanted: JobSettings) -> SoundChoice:
    """Return the sound of a recording of whose tracks only one remains; of a file with several streams, that of `track`."""
    track = wanted.choice.track
    if wanted.session.tracks == "streams" or track == "all":
        return SoundChoice()
    return SoundChoice(track)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
