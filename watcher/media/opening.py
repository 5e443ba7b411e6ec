"""Open a recording with FFmpeg, which gets a list of what it may use: these demuxers and decoders and no others.

It reads the bytes of the one descriptor, judged without a name. Formats that point at other files or hosts (playlists,
concat scripts, DASH, SDP, image sequences) are not among them, no protocol is allowed, and whatever a demuxer still asks
to open is refused.
"""

from typing import Final, NoReturn

import av
from av.container import InputContainer

from watcher.media.sentences import UNKNOWN_KIND, UNREADABLE, known_error
from watcher.media.source import FileWindow

#: FFmpeg's names of the demuxers of the formats in the contract, and of those that hide under their suffixes.
DEMUXERS: Final = (
    "wav,w64,aiff,caf,mp3,flac,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,asf,aac,amr,mpeg,mpegts,avi,au,ac3,eac3"
)
#: Audio decoders those containers are met with; no video decoder, so not even the probing touches a picture.
DECODERS: Final = (
    "aac,aac_latm,ac3,eac3,alac,als,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,ape,dca,flac,gsm,gsm_ms,g722,g726,"
    "mlp,truehd,mp1,mp1float,mp2,mp2float,mp3,mp3float,opus,libopus,qdm2,qdmc,speex,tta,vorbis,wavpack,"
    "wmalossless,wmapro,wmav1,wmav2,wmavoice,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_yamaha,"
    "pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,pcm_f16le,pcm_f24le,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,"
    "pcm_s8,pcm_s8_planar,pcm_u8,pcm_s16be,pcm_s16le,pcm_s16be_planar,pcm_s16le_planar,pcm_u16be,pcm_u16le,"
    "pcm_s24be,pcm_s24le,pcm_s24le_planar,pcm_u24be,pcm_u24le,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_u32be,"
    "pcm_u32le,pcm_s64be,pcm_s64le"
)
#: Bytes FFmpeg asks for at once; and the size of a PCM packet, which is 4 KiB otherwise, each with its price in Python.
_BUFFER: Final = 256 << 10
#: AVFMT_FLAG_GENPTS of libavformat/avformat.h.
_GENPTS: Final = 1


def open_container(window: FileWindow) -> InputContainer:
    """Open what lies in a window of the file. Raises FileError ("unsupported", "undecodable")."""
    try:
        container = av.open(
            window,
            "r",
            buffer_size=_BUFFER,
            io_open=_refuse,
            metadata_errors="replace",
            container_options={
                "format_whitelist": DEMUXERS,
                "codec_whitelist": DECODERS,
                "protocol_whitelist": "none",
                "enable_drefs": "0",
                "max_size": str(_BUFFER),
            },
        )
    except av.error.ArgumentError as exc:
        raise UNKNOWN_KIND.error() from exc
    except MemoryError:
        raise
    except av.FFmpegError as exc:
        raise UNREADABLE.error(known_error(exc.strerror)) from exc
    # Set by PyAV; it would make FFmpeg hold back packets until a timestamp turns up.
    container.flags &= ~_GENPTS
    return container


def _refuse(url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"a recording may not open {url!r}")
