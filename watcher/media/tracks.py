"""The audio tracks of a container: which can be decoded, which are chosen, and their descriptions."""

from typing import Final

from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition

from watcher import languages
from watcher.channels import forget_order
from watcher.job import ResultWarning
from watcher.media.opening import DECODERS
from watcher.media.sentences import NO_KNOWN_TRACK, NO_TRACK, TRACK_MISSING
from watcher.media.values import SoundChoice


def audio_tracks(container: InputContainer) -> list[AudioStream]:
    """Return all audio tracks of a container, each to be decoded by one thread."""
    tracks = list(container.streams.audio)
    for track in tracks:
        if _able(track):
            track.codec_context.thread_count = 1
            forget_order(track.codec_context)
    return tracks


def wanted_tracks(
    tracks: list[AudioStream], choice: SoundChoice
) -> tuple[list[AudioStream], tuple[ResultWarning, ...]]:
    """Return the tracks to choose from, the default one first, and warnings about the choice.

    Raises FileError ("no_audio", "unsupported") if none can be decoded.
    """
    if not tracks:
        raise NO_TRACK.error()
    able = [track for track in tracks if _able(track)]
    if not able:
        raise NO_KNOWN_TRACK.error()
    able.sort(key=lambda track: not track.disposition & Disposition.default)
    if choice.track in ("auto", "all"):
        return able, ()
    if isinstance(choice.track, int):
        chosen = [track for track in able if track in tracks[choice.track - 1 : choice.track]]
        missing = f"There is no audio track {choice.track} that can be heard"
    else:
        chosen = [track for track in able if languages.code(track.language or "") == choice.track]
        missing = f"No audio track is in the language {choice.track} by its tag"
        if len(tracks) == 1:
            # There is no choice, and a single track seldom has a language tag.
            chosen = able
    if chosen:
        return chosen, ()
    return able, (TRACK_MISSING.warning(missing),)


def _able(track: AudioStream) -> bool:
    context: AudioCodecContext | None = track.codec_context
    return context is not None and context.codec.name in DECODERS.split(",")


#: Most characters of a file's tag in a description.
_LONGEST_TAG: Final = 80


def title(track: AudioStream) -> str:
    """Return a track's title; "" if it has none."""
    return (track.metadata.get("title") or "")[:_LONGEST_TAG]


def described(track: AudioStream) -> str:
    """Describe a track in words: codec, rate, channels, language and title."""
    context: AudioCodecContext | None = track.codec_context
    if context is None:
        return "unknown format"
    channels = context.channels
    parts = [context.codec.name, f"{context.sample_rate} Hz", f"{channels} channel{'s' * (channels != 1)}"]
    if track.language and track.language != "und":
        parts.append(track.language[:_LONGEST_TAG])
    if name := title(track):
        parts.append(name)
    return ", ".join(parts)
