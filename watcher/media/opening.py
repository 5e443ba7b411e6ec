"""Open a recording with FFmpeg, which may use only the demuxers and decoders listed here.

It reads the bytes of one descriptor, and does not know the file's name. Formats that refer to other files or hosts (playlists,
concat scripts, DASH, SDP, image sequences) are not in the list, no protocol is allowed, and a demuxer that still asks
to open something is refused.
"""

from typing import Final, NoReturn

import av
from av.container import InputContainer

from watcher.media.sentences import UNKNOWN_KIND, UNREADABLE, known_error
from watcher.media.source import FileWindow

#: FFmpeg's demuxers for the documented formats, and for others that occur with their suffixes.
DEMUXERS: Final = (
    "wav,w64,aiff,caf,mp3,flac,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,asf,aac,amr,mpeg,mpegts,avi,au,ac3,eac3"
)
#: Audio decoders that occur in those containers; no video decoder, so that no picture is decoded, not even for probing.
DECODERS: Final = (
    "aac,aac_latm,ac3,eac3,alac,als,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,ape,dca,flac,gsm,gsm_ms,g722,g726,"
    "mlp,truehd,mp1,mp1float,mp2,mp2float,mp3,mp3float,opus,libopus,qdm2,qdmc,speex,tta,vorbis,wavpack,"
    "wmalossless,wmapro,wmav1,wmav2,wmavoice,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_yamaha,"
    "pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,pcm_f16le,pcm_f24le,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,"
    "pcm_s8,pcm_s8_planar,pcm_u8,pcm_s16be,pcm_s16le,pcm_s16be_planar,pcm_s16le_planar,pcm_u16be,pcm_u16le,"
    "pcm_s24be,pcm_s24le,pcm_s24le_planar,pcm_u24be,pcm_u24le,pcm_s32be,pcm_s32le,pcm_s32le_planar,pcm_u32be,"
    "pcm_u32le,pcm_s64be,pcm_s64le"
)
#: Bytes that FFmpeg reads at once; and the size of a PCM packet: with the default of 4 KiB, Python would need more time.
_BUFFER: Final = 256 << 10
#: AVFMT_FLAG_GENPTS of libavformat/avformat.h.
_GENPTS: Final = 1


def open_container(window: FileWindow) -> InputContainer:
    """Open the recording in a window of the file. Raises FileError ("unsupported", "undecodable")."""
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
    # PyAV sets this flag; it would make FFmpeg hold back packets until one has a timestamp.
    container.flags &= ~_GENPTS
    return container


def _refuse(url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"a recording may not open {url!r}")
