"""The settings of what is written, and of the watched folders."""

from pathlib import PurePosixPath
from typing import Final, Literal

from pydantic import Field, field_validator

from watcher.config.section import Section
from watcher.config.values import (
    Channel,
    Formats,
    FrameRateText,
    Language,
    Markers,
    Offsets,
    OutputNames,
    OutputTemplate,
    Replacements,
    SkipExisting,
    Speakers,
    StartTimecode,
    Task,
    Temperature,
    Times,
    Track,
    Wrap,
    check_absolute,
)
from watcher.job import SessionOptions
from watcher.output_kinds import OUTPUT_KINDS


class TranscriptSettings(Section):
    """[transcript]: what is asked for and what is written; any key may be in a folder, too."""

    task: Task = Field("transcribe", description="transcribe, or translate (to English)")
    language: Language = Field("", description="ISO-639-1 code of the speech; empty: detected")
    prompt: str = Field("", description="names and spelling that help the recognition, at most 224 tokens")
    temperature: Temperature = Field(0.0, description="0 to 1; at 0 the server raises it by itself")
    track: Track = Field(
        "auto",
        description="which audio track: auto (the default one, unless it is silent and another is not), a number from 1, "
        "all (mixed), or a language code",
    )
    channel: Channel = Field(
        "mix", description="which channel: mix (all but timecode), or a number from 1; small files are decoded then"
    )
    formats: Formats = Field(
        ("srt", "txt"), description=f"what is written beside the source: {', '.join(OUTPUT_KINDS)}"
    )
    output: OutputTemplate = Field(
        "{stem}",
        description="output name; {stem} {name} {language}, and {language_b} {language_t}: three letters (ger, deu)",
    )
    names: OutputNames = Field(
        {}, description='output names of certain formats: {srt = "{stem}.{language}"}; the others have output'
    )
    skip_existing: SkipExisting = Field(
        "own",
        description="own: a recording whose outputs are there already, and not Watcher's, is done; any: so is one with subtitles of any "
        "name beside it (talk.en.vtt), or inside the film",
    )
    replace: Replacements = Field(
        (), description='spelling to replace in all outputs, whole words: [["wurd", "word"], ["open ai", "OpenAI"]]'
    )
    wrap: Wrap = Field(0, description="width at which the .txt is wrapped, from 20 to 1000; 0: one line per paragraph")
    bom: bool = Field(default=False, description="begin text outputs with a byte order mark, for old Windows programs")
    timestamps: bool = Field(default=False, description="begin each paragraph of the .txt with its time")
    vtt_words: bool = Field(
        default=False, description="give each word in the .vtt its time, for players that highlight it"
    )
    lrc_words: bool = Field(
        default=False, description="likewise in the .lrc; players that do not know these times show them as text"
    )
    times: Times = Field(
        "file",
        description="times in srt, vtt, txt, md and docx: file (from the recording's start), or timecode (as its timecode counts them)",
    )
    start_timecode: StartTimecode = Field(
        "", description='timecode at which the recording begins: "10:00:00:00"; empty: as the file says'
    )
    frame_rate: FrameRateText = Field(
        "", description="frames a second of the timecode: 23.976, 25, 29.97df …; empty: as the file says, else 25"
    )
    markers: Markers = Field(
        "utterance", description="what a marker for editors is: an utterance, a caption or a paragraph"
    )


#: Keys of a folder that `.watcher.toml` may have, too: those about the tracks of its recordings, and about recordings that grow.
OWN_KEYS: Final = (
    *("tracks", "session_seconds", "members", "speakers", "offsets"),
    *("while_recording", "while_recording_minutes"),
)


class FolderSettings(Section):
    """[[folders]]: a watched folder; keys of [transcript] that are here count for it alone."""

    path: str = Field(description="the folder, a whole path; ~ is the home")
    name: str = Field("", description="its name in status and log; default: the last part of path")
    recursive: bool = Field(default=True, description="watch what lies below it, too")
    include: tuple[str, ...] = Field((), description="globs of further files, beside the audio suffixes")
    exclude: tuple[str, ...] = Field((), description="globs of files and folders to leave alone")
    backlog: bool = Field(default=True, description="false: what is there at the first start is left alone")
    quiet_seconds: float = Field(
        2.0,
        ge=0,
        le=86400,
        description="wait when a file's end can't be proved; 5 without a lease, 30 on network mounts",
    )
    after: str = Field("keep", description='"keep", or "move:done/": source and outputs together, never overwriting')
    detect: Literal["auto", "events", "scan"] = Field("auto", description="auto, events or scan")
    endpoints: tuple[str, ...] = Field(
        (), description="the endpoints that may get its recordings, the preferred first; empty: all, in their order"
    )
    tracks: Literal["off", "folder", "channels", "streams"] = Field(
        "off",
        description="who speaks where: folder (each recording of a directory is one speaker's stem), channels or streams (of each "
        "recording); one transcript with speakers is made of them; off: they are ordinary recordings",
    )
    session_seconds: float = Field(
        10.0,
        ge=0,
        le=86_400,
        description="how long no further stem must have come before the outputs of a session are written (tracks = folder)",
    )
    members: bool = Field(default=False, description="true: each stem of a session gets outputs of its own, too")
    speakers: Speakers = Field(
        {},
        description='names of speakers, by the name of the stem or the number of the track: {"1" = "Anna", "ben.wav" = "Ben"}',
    )
    offsets: Offsets = Field(
        {}, description="seconds from the start of a session to the start of a track, by the same names or numbers"
    )
    while_recording: bool = Field(
        default=False,
        description="true: transcribe a recording while it is being recorded; when it is whole, only its end is left to do",
    )
    while_recording_minutes: float = Field(
        240.0,
        gt=0,
        le=1440,
        description="how many minutes of a recording are transcribed before it is whole, at most: a take that is thrown away has cost them",
    )
    task: Task | None = None
    language: Language | None = None
    prompt: str | None = None
    temperature: Temperature | None = None
    track: Track | None = None
    channel: Channel | None = None
    formats: Formats | None = None
    output: OutputTemplate | None = None
    names: OutputNames | None = None
    skip_existing: SkipExisting | None = None
    replace: Replacements | None = None
    wrap: Wrap | None = None
    bom: bool | None = None
    timestamps: bool | None = None
    vtt_words: bool | None = None
    lrc_words: bool | None = None
    times: Times | None = None
    start_timecode: StartTimecode | None = None
    frame_rate: FrameRateText | None = None
    markers: Markers | None = None

    @field_validator("path")
    @classmethod
    def _absolute_path(cls, value: str) -> str:
        return check_absolute(value)

    @field_validator("include", "exclude")
    @classmethod
    def _globs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from watcher.settle.names import Globs  # noqa: PLC0415 - `status` starts quickly, and most folders have none

        try:
            Globs(value)
        except ValueError as exc:
            message = 'one of them is not a glob of paths below the folder, such as "*.bak" or "drafts/"'
            raise ValueError(message) from exc
        return value

    @field_validator("after")
    @classmethod
    def _keep_or_move(cls, value: str) -> str:
        if value == "keep":
            return value
        target = PurePosixPath(value.removeprefix("move:"))
        if not value.startswith("move:") or target.is_absolute() or ".." in target.parts or not target.parts:
            message = 'it has to be "keep", or "move:" and a folder below this one, such as "move:done/"'
            raise ValueError(message)
        return value

    @property
    def session(self) -> SessionOptions:
        """What is done with its tracks."""
        return SessionOptions(self.tracks, self.session_seconds, self.members, self.speakers, self.offsets)

    @property
    def ahead(self) -> float:
        """Seconds of a recording that are transcribed while it is being recorded; 0: none."""
        return 60.0 * self.while_recording_minutes if self.while_recording else 0.0

    def transcript(self, defaults: TranscriptSettings) -> TranscriptSettings:
        """Return `defaults` with this folder's own keys on top."""
        own = {key: value for key in TranscriptSettings.model_fields if (value := getattr(self, key)) is not None}
        return TranscriptSettings.model_validate({**defaults.model_dump(), **own})
