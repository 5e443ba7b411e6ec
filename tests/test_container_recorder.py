"""What recorders write into their files, from the bytes of real ones and from hostile ones."""

import os
import re
import struct
from datetime import date
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.containers import descriptor_of, real
from support.work import counting
from test_container_chunks import SOUND, chunk, ds64, wav
from test_work import check

from watcher import text
from watcher.container import recorder
from watcher.container.chunks import W64_MAGIC
from watcher.container.recorder import RecorderData, RecorderTrack, recorder_data

NOTHING = RecorderData()
#: What `bext` writes.
DAY = date(2018, 12, 31)
W64_FAMILY = bytes.fromhex("f3acd3118cd100c04f8edb8a")
#: bext of a Sound Devices 788T as the documentation of wavinfo shows it, and its own time 12:40:00 in sSPEED's frames.
SOUND_DEVICES = """sSPEED=023.976-ND\r
sTAKE=1\r
sUBITS=$12311801\r
sSWVER=2.67\r
sPROJECT=BMH\r
sSCENE=1\r
sFILENAME=18Y12M31_1.WAV\r
sTAPE=18Y12M31\r
sTRK1=MKH516 Boom\r
sTRK2=Lav Anna\r
sNOTE=\r
"""


def fmt(channels: int = 1, rate: int = 48_000) -> bytes:
    return chunk(b"fmt ", struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 3, channels * 3, 24))


def bext(reference: int = 0, description: str = "") -> bytes:
    body = description.encode().ljust(256, b"\0") + bytes(32 + 32) + b"2018-12-31" + b"12:40:00"
    return chunk(b"bext", body + struct.pack("<Q", reference) + bytes(256) + b"A=PCM,F=48000,W=24\r\n")


def ixml(inner: str, encoding: str = "utf-8", mark: bytes = b"") -> bytes:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<BWFXML><IXML_VERSION>1.5</IXML_VERSION>{inner}</BWFXML>'
    return chunk(b"iXML", mark + body.encode(encoding))


def track(place: object, name: str, channel: object = 1, function: str = "") -> str:
    index = f"<INTERLEAVE_INDEX>{place}</INTERLEAVE_INDEX>" if place else ""
    return (
        f"<TRACK><CHANNEL_INDEX>{channel}</CHANNEL_INDEX>{index}\n<NAME>{name}</NAME>"
        f"<FUNCTION>{function}</FUNCTION></TRACK>"
    )


def timestamp(samples: int, rate: int = 48_000, spelling: str = "SAMPLES") -> str:
    high, low = divmod(samples, 1 << 32)
    name = f"TIMESTAMP_{spelling}_SINCE_MIDNIGHT"
    return f"<SPEED><{name}_HI>{high}</{name}_HI><{name}_LO>{low}</{name}_LO><TIMESTAMP_SAMPLE_RATE>{rate}</TIMESTAMP_SAMPLE_RATE></SPEED>"


def read(data: bytes) -> RecorderData:
    with descriptor_of(data) as descriptor:
        return recorder_data(descriptor, len(data))


def read_xml(inner: str, channels: int = 1) -> RecorderData:
    return read(wav(fmt(channels), ixml(inner)))


def test_the_samples_since_midnight_are_true_seconds_at_the_rate_of_the_file() -> None:
    """The file of ltcsync#18 says 13:34:21 by its own clock."""
    found = read(wav(fmt(), bext(2_345_328_000)))

    assert (found.time_reference, found.rate, found.start) == (2_345_328_000, 48_000, 48_861.0)


def test_at_23976_frames_the_timecode_is_not_the_time_of_day() -> None:
    """The sample of wavinfo: 12:39:59:00 as timecode, and 12:40:44.6 in true seconds."""
    found = read(wav(fmt(2), bext(2_190_940_753, SOUND_DEVICES)))

    assert found.start == pytest.approx(12 * 3600 + 40 * 60 + 44.599, abs=0.001)
    assert found.frame_rate == Fraction(24_000, 1001)
    assert round(2_190_940_753 * found.frame_rate / 48_000) == ((12 * 60 + 39) * 60 + 59) * 24
    assert not found.drop_frame


@pytest.mark.parametrize("options", [{}, {"rf64": "always"}])
def test_the_time_that_ffmpeg_writes_is_read(options: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "take.wav"
    with av.open(str(path), "w", options={"write_bext": "1", **options}) as container:
        container.metadata.update({"time_reference": "2345328000", "description": "sTRK1=Anna"})
        stream = container.add_stream("pcm_s24le", rate=48_000, layout="mono")
        frame = av.AudioFrame("s32", "mono", 48_000)
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))

    assert read(path.read_bytes()) == RecorderData(
        2_345_328_000, 48_000, 48_861.0, tracks=(RecorderTrack(1, "Anna"),), time_source="bext"
    )


def test_the_lines_of_a_description_are_used_where_there_is_no_ixml() -> None:
    found = read(wav(fmt(2), bext(0, SOUND_DEVICES)))

    assert found == RecorderData(
        day=DAY,
        frame_rate=Fraction(24_000, 1001),
        tracks=(RecorderTrack(1, "MKH516 Boom"), RecorderTrack(2, "Lav Anna")),
        project="BMH",
        scene="1",
        take="1",
        tape="18Y12M31",
    )


def test_the_numbers_of_tracks_in_a_description_are_the_recorders_inputs() -> None:
    found = read(wav(fmt(2), bext(0, "zTRK7=Ben\r\nzTRK3=Anna\r\n")))

    assert found.tracks == (RecorderTrack(1, "Anna"), RecorderTrack(2, "Ben"))


TRACKS = f"<TRACK_LIST><TRACK_COUNT>2</TRACK_COUNT>{track(1, 'Anna')}{track(2, 'Ben')}</TRACK_LIST>"
NAMED = (RecorderTrack(1, "Anna"), RecorderTrack(2, "Ben"))


def w64(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(
        (name + W64_FAMILY + struct.pack("<Q", 24 + len(inner)) + inner).ljust((24 + len(inner) + 7) & ~7, b"\0")
        for name, inner in chunks
    )
    wave = b"wave" + W64_FAMILY + body
    return W64_MAGIC + struct.pack("<Q", 24 + len(wave)) + wave


@pytest.mark.parametrize(
    "data",
    [
        wav(fmt(2), bext(96_000), ixml(TRACKS)),
        wav(ixml(TRACKS), bext(96_000), fmt(2)),
        wav(fmt(2), bext(96_000)) + ixml(TRACKS),
        wav(fmt(2)) + chunk(b"LIST", b"odd") + ixml(TRACKS) + bext(96_000),
        wav(fmt(2), bext(96_000), sound=SOUND + b"\1") + ixml(TRACKS),
        wav(fmt(2), bext(96_000), sound=SOUND + b"\1")[:-1] + ixml(TRACKS),
        wav(ds64(40_000, 32_000), fmt(2), bext(96_000), data=0xFFFFFFFF, riff=0xFFFFFFFF, magic=b"RF64") + ixml(TRACKS),
        wav(ds64(40_000, 32_000), fmt(2), bext(96_000), data=0xFFFFFFFF, riff=0xFFFFFFFF, magic=b"BW64") + ixml(TRACKS),
        wav(fmt(2), bext(96_000)) + ixml(TRACKS) + wav(fmt(1), bext(5), ixml(track(1, "Carl"))),
        w64((b"fmt ", fmt(2)[8:]), (b"bext", bext(96_000)[8:]), (b"data", SOUND), (b"iXML", ixml(TRACKS)[8:])),
    ],
    ids=["before", "first", "behind", "both behind", "pad", "no pad", "RF64", "BW64", "joined", "W64"],
)
def test_the_chunks_are_found_wherever_they_are(data: bytes) -> None:
    found = read(data)

    assert (found.start, found.tracks) == (2.0, NAMED)


@pytest.mark.parametrize("length", [32_000, (1 << 32) + 32_000])
def test_ixml_is_found_behind_more_sound_than_32_bits_can_count(length: int) -> None:
    behind = ixml(TRACKS)
    size = 12 + len(fmt(2)) + 8 + length + len(behind)
    head = wav(fmt(2), riff=(size - 8) % (1 << 32), data=length % (1 << 32), sound=b"")
    with descriptor_of(head) as descriptor:
        os.pwrite(descriptor, behind, size - len(behind))

        assert recorder_data(descriptor, size).tracks == NAMED


def test_the_place_of_a_track_is_that_in_the_file() -> None:
    """RME DUREC lists tracks in any order, with the numbers of its inputs as channels."""
    listed = track(2, "Ben", channel=4) + track(1, "Anna", channel=3, function="M-MID_SIDE")

    assert read_xml(f"<TRACK_LIST>{listed}</TRACK_LIST>", channels=2).tracks == (
        RecorderTrack(1, "Anna", "M-MID_SIDE"),
        RecorderTrack(2, "Ben"),
    )


def test_tracks_without_a_place_are_in_the_order_of_the_list() -> None:
    assert read_xml(track("", "Anna") + track("x", "Ben"), channels=2).tracks == NAMED


def test_of_two_tracks_at_one_place_the_first_counts_and_there_is_no_place_beyond_the_channels() -> None:
    listed = track(1, "Anna") + track(1, "Carl") + track(9, "Dora")

    assert read_xml(listed, channels=4).tracks == (RecorderTrack(1, "Anna"),)


def test_the_list_of_a_whole_set_names_no_track_of_one_file() -> None:
    found = read_xml("".join(track(place, name) for place, name in enumerate(("Anna", "Ben", "Carl"), 1)))

    assert found.tracks == ()
    assert found.doubtful == ("The recorder describes 3 tracks, and the file has 1; their names are not used.",)


def test_what_belongs_together_and_what_it_is_called_is_known() -> None:
    found = read_xml(
        "<PROJECT>Talks &amp; more</PROJECT><SCENE>12A</SCENE><TAKE>3</TAKE><TAPE>18Y12M31</TAPE><CIRCLED>FALSE</CIRCLED>"
        "<SPEED><NOTE>of the speed</NOTE></SPEED><NOTE>two\r\n lines</NOTE>"
        "<FILE_SET><TOTAL_FILES>4</TOTAL_FILES><FAMILY_UID>USSDVGR1112089007124001008206300</FAMILY_UID>"
        "<FAMILY_NAME>A101</FAMILY_NAME><FILE_SET_INDEX>B</FILE_SET_INDEX></FILE_SET>"
    )

    assert found == RecorderData(
        family="USSDVGR1112089007124001008206300",
        family_name="A101",
        family_files=4,
        project="Talks & more",
        scene="12A",
        take="3",
        tape="18Y12M31",
        note="two lines",
    )


@pytest.mark.parametrize("spelling", ["SAMPLES", "SAMPLE", "SAMLPES"])
def test_a_timestamp_of_ixml_counts_at_its_own_rate(spelling: str) -> None:
    found = read(wav(fmt(), bext(0), ixml(timestamp(5_000_000_000, 96_000, spelling))))

    assert (found.time_reference, found.rate, found.start) == (5_000_000_000, 96_000, 5_000_000_000 / 96_000)


def test_a_timestamp_without_a_rate_counts_at_that_of_the_file() -> None:
    stamp = "<TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>441000</TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO>"

    assert read(wav(fmt(rate=44_100), ixml(stamp))).start == 10.0
    assert read(wav(fmt(), ixml(f"<FILE_SAMPLE_RATE>44100</FILE_SAMPLE_RATE>{stamp}"))).start == 10.0


def test_a_count_of_zero_in_bext_is_no_time() -> None:
    assert read(wav(fmt(), bext(0))) == RecorderData(day=DAY)
    assert read(wav(fmt(), bext(0), ixml(timestamp(96_000)))).start == 2.0


@pytest.mark.parametrize("chunks", [(bext(0),), ()])
def test_ixml_may_say_that_the_recording_begins_at_midnight(chunks: tuple[bytes, ...]) -> None:
    found = read(wav(fmt(), *chunks, ixml(timestamp(0))))

    assert (found.time_reference, found.rate, found.start) == (0, 48_000, 0.0)


def test_a_zero_of_ixml_does_not_cast_doubt_on_bext() -> None:
    found = read(wav(fmt(), bext(480_000), ixml(timestamp(0))))

    assert (found.start, found.doubtful) == (10.0, ())


def test_bext_counts_where_ixml_differs_and_that_is_said() -> None:
    found = read(wav(fmt(), bext(480_000), ixml(timestamp(96_000))))

    assert found.start == 10.0
    assert found.doubtful == ("By bext the recording begins 10.000 s after midnight, by iXML 2.000 s; bext is used.",)


def test_the_same_moment_at_two_rates_is_no_difference() -> None:
    assert read(wav(fmt(), bext(480_000), ixml(timestamp(960_000, 96_000)))).doubtful == ()


@pytest.mark.parametrize("reference", [90_000 * 48_000, (1 << 64) - 1])
def test_a_time_after_the_end_of_the_day_is_none(reference: int) -> None:
    found = read(wav(fmt(), bext(reference)))

    assert (found.time_reference, found.rate, found.start) == (None, None, None)
    assert found.doubtful == ("By bext the recording begins more than a day after midnight; that is not used.",)


@pytest.mark.parametrize("rate", [0, 1_000_000])
def test_without_a_rate_there_is_no_time(rate: int) -> None:
    assert read(wav(fmt(rate=rate), bext(480_000))) == RecorderData(day=DAY)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("24000/1001", Fraction(24_000, 1001)),
        ("30000/1001", Fraction(30_000, 1001)),
        (" 25/1 ", Fraction(25)),
        ("24", Fraction(24)),
        ("23.98", Fraction(24_000, 1001)),
        ("23.976", Fraction(24_000, 1001)),
        ("29.97", Fraction(30_000, 1001)),
        ("29.97002997003", Fraction(30_000, 1001)),
        ("59.94", Fraction(60_000, 1001)),
        ("2997/100", Fraction(30_000, 1001)),
        ("25.000", Fraction(25)),
        ("12.5", Fraction(25, 2)),
        ("0", None),
        ("25/0", None),
        ("1000000000", None),
        ("241", None),
        ("-25", None),
        ("٢٥", None),
        ("twenty-five", None),
        ("", None),
    ],
)
def test_a_rate_of_frames_is_the_one_that_is_meant(text: str, rate: Fraction | None) -> None:
    assert read_xml(f"<TIMECODE_RATE>{text}</TIMECODE_RATE>").frame_rate == rate


@pytest.mark.parametrize(
    ("line", "rate", "drop"),
    [
        ("sSPEED=029.97-DF", Fraction(30_000, 1001), True),
        ("zSPEED=29.97 ND", Fraction(30_000, 1001), False),
        ("SPEED=025.000-ND", Fraction(25), False),
        ("sSPEED=fast", None, False),
        ("sSPEED=..-DF", None, False),
    ],
)
def test_the_speed_is_read_from_a_description(line: str, rate: Fraction | None, drop: bool) -> None:  # noqa: FBT001 - a table
    found = read(wav(fmt(), bext(0, f"{line}\r\n")))

    assert (found.frame_rate, found.drop_frame) == (rate, drop)


def test_the_speed_of_ixml_counts_where_bext_differs_and_that_is_said() -> None:
    xml = ixml("<SPEED><TIMECODE_RATE>30000/1001</TIMECODE_RATE><TIMECODE_FLAG>DF</TIMECODE_FLAG></SPEED>")
    found = read(wav(fmt(), bext(0, "sSPEED=023.976-ND\r\n"), xml))

    assert (found.frame_rate, found.drop_frame) == (Fraction(30_000, 1001), True)
    assert found.doubtful == ("By iXML the timecode has 29.97 frames a second, by bext 23.976; iXML is used.",)


def test_no_numbers_are_dropped_at_rates_at_which_nobody_drops_them() -> None:
    found = read_xml("<TIMECODE_RATE>25/1</TIMECODE_RATE><TIMECODE_FLAG>DF</TIMECODE_FLAG>")

    assert not found.drop_frame
    assert found.doubtful == (
        "The file says that frame numbers are dropped, which nobody does at 25 frames a second; that is not used.",
    )


@pytest.mark.parametrize(
    "data",
    [
        ixml(track(1, "Zoë")),
        ixml(track(1, "Zoë"), mark=b"\xef\xbb\xbf"),
        ixml(track(1, "Zoë"), "latin-1"),
        ixml(track(1, "Zoë"), "utf-16-le"),
        ixml(track(1, "Zoë"), "utf-16-be"),
        ixml(track(1, "Zoë"), "utf-16-le", b"\xff\xfe"),
        ixml(track(1, "Zoë"), "utf-16-be", b"\xfe\xff"),
        ixml(track(1, "Zo&#235;")),
        ixml(track(1, "Zo&#xEB;")),
        ixml(track(1, "<![CDATA[Zoë]]>")),
        ixml(track(1, "<!-- <NAME>Carl</NAME> -->Zoë")),
    ],
)
def test_a_name_is_read_in_any_encoding_whatever_the_file_says_about_that(data: bytes) -> None:
    assert read(wav(fmt(), data)).tracks == (RecorderTrack(1, "Zoë"),)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("&lt;b&gt; &quot;&apos;&amp;amp;", "<b> \"'&amp;"),
        ("<![CDATA[a & b &amp; <c>]]>", "a & b &amp; <c>"),
        ("&nbsp;&lol;", "&nbsp;&lol;"),
        ("a&#0;b&#55296;c&#x110000;d", "a b cd"),
        ("&#99999999999;", "&#99999999999;"),
        ("a\x1b[31m\u202eb\u2028c", "a [31m b c"),
        ("a < b", "a < b"),
        ("x" * 1000, "x" * 100),
        ("a" + "\u0301" * 50, "a" + "\u0301" * 30),
        ("", ""),
    ],
)
def test_a_name_is_one_short_printable_line(name: str, shown: str) -> None:
    assert read_xml(track(1, name)).tracks == (RecorderTrack(1, shown),)


@pytest.mark.parametrize(
    "inner",
    [
        f"<TRACK_LIST>{track(1, 'Anna')}",
        f"<TRACK_LIST><TRACK>{track(1, 'Anna')[7:-8]}",
        f"</BWFXML></BWFXML>{track(1, 'Anna')}",
        f"<<{track(1, 'Anna')}",
        f"<a <b>{track(1, 'Anna')}<!-- no end",
        f'<!DOCTYPE x [<!ENTITY e "Carl">]>{track(1, "Anna")}',
        f"<NAME>Carl</NAME>{track(1, 'Anna')}<NAME>Carl</NAME>",
        f'<TRACK_LIST a="1"\n><TRACK/>{track(1, "Anna")}</TRACK_LIST>',
        "<A>" * 100 + track(1, "Anna"),
    ],
)
def test_a_text_that_is_no_xml_is_read_as_far_as_it_can_be(inner: str) -> None:
    assert read_xml(inner).tracks == (RecorderTrack(1, "Anna"),)


@pytest.mark.parametrize("shift", ["", "x"])
def test_no_more_of_ixml_is_read_than_a_quarter_of_a_megabyte(shift: str) -> None:
    """Where it is cut in the middle of a character, it is still in UTF-8."""
    long = track(1, "Zoë") + shift + "ü" * 131_072 + "<SCENE>1</SCENE>"

    assert read_xml(long) == RecorderData(tracks=(RecorderTrack(1, "Zoë"),))


def test_no_more_than_ten_thousand_tags_and_texts_of_ixml_are_read() -> None:
    """Each stem is read when it is found: files that take a tenth of a second each would keep other folders waiting."""
    assert read_xml("<A>" * 9_000 + track(1, "Anna")).tracks == (RecorderTrack(1, "Anna"),)
    assert read_xml("<" * 10_000 + track(1, "Anna")).tracks == ()


def test_of_many_tracks_the_first_64_are_known() -> None:
    found = read_xml("".join(track(place, f"T{place}") for place in range(1, 100)), channels=99)

    assert [one.place for one in found.tracks] == list(range(1, 65))


def test_no_more_than_64_chunks_are_walked_before_the_sound() -> None:
    assert read(wav(*[chunk(b"junk", b"")] * 64, fmt(), bext(480_000))) == NOTHING


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        wav(fmt(), bext(480_000), magic=b"RIFX"),
        wav(fmt(), bext(480_000)).replace(b"WAVE", b"WAVX"),
        b"\0" * 100,
        real("flac"),
        real("mp3"),
        wav(fmt()),
    ],
)
def test_of_other_files_nothing_is_known(data: bytes) -> None:
    assert read(data) == NOTHING


@pytest.mark.parametrize("length", range(0, 1000, 37))
def test_a_file_that_is_cut_short_tells_what_is_there(length: int) -> None:
    data = wav(fmt(), bext(480_000), ixml(track(1, "Anna")))[:length]

    assert read(data).start in {None, 10.0}


@pytest.mark.parametrize(
    "sign",
    ["<TRACK>", "</TRACK>", "<", "<a ", "<!--", "<![CDATA[", "<NAME>", "<NAME>a</NAME>", "&amp;", "&", "<!", "a", ">", "<TRACK><NAME>a</NAME>"],
)  # fmt: skip
def test_the_work_on_ixml_grows_with_it(sign: str) -> None:
    with counting([recorder, text]) as work:
        check(work, lambda count: lambda: recorder._Ixml(sign * count), 200)


ELEMENTS = st.sampled_from(
    re.findall(
        r"\w+",
        """TRACK_LIST TRACK NAME INTERLEAVE_INDEX FUNCTION NOTE FAMILY_UID TOTAL_FILES TIMECODE_RATE TIMECODE_FLAG
        TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_LO TIMESTAMP_SAMPLES_SINCE_MIDNIGHT_HI TIMESTAMP_SAMPLE_RATE""",
    )
)
PARTS = st.one_of(
    ELEMENTS.map("<{}>".format),
    ELEMENTS.map("</{}>".format),
    st.sampled_from(
        ("<!--", "-->", "<![CDATA[", "]]>", "&#x", "&amp;", "1", "24000/1001", "1/0", "DF", "99999999999", "<")
    ),
    st.text(max_size=5),
)
XML = st.lists(PARTS, max_size=40).map("".join)


@given(
    inner=XML,
    description=st.text(max_size=60) | st.lists(st.sampled_from(("sTRK1=", "sSPEED=", "a", "29.97", "-DF", "\r\n"))).map("".join),
    reference=st.integers(0, (1 << 64) - 1),
    channels=st.integers(0, 65_535),
    rate=st.integers(0, 200_000),
    cut=st.integers(0, 2000),
)  # fmt: skip
def test_whatever_the_chunks_say_is_bounded(
    *, inner: str, description: str, reference: int, channels: int, rate: int, cut: int
) -> None:
    described = description.encode("utf-8", "replace")[:256]
    body = described.ljust(256, b"\0") + bytes(82) + struct.pack("<Q", reference)
    head = struct.pack("<HHIIHH", 1, channels, rate, 0, 0, 16)
    xml = inner.encode("utf-8", "surrogatepass")
    data = wav(chunk(b"fmt ", head), chunk(b"bext", body), sound=b"ab") + chunk(b"iXML", xml)

    within_bounds(read(data))
    within_bounds(read(data[: len(data) - cut] if cut < len(data) else data[:cut]))


@given(st.binary(max_size=400), st.sampled_from((b"", b"RIFF\0\0\0\0WAVE", b"RF64\xff\xff\xff\xffWAVE", W64_MAGIC)))
def test_any_bytes_are_read(data: bytes, begin: bytes) -> None:
    within_bounds(read(begin + data))


def within_bounds(found: RecorderData) -> None:
    names = [found.family, found.family_name, found.project, found.scene, found.take, found.tape]
    names += [name for one in found.tracks for name in (one.name, one.function)]
    places = [one.place for one in found.tracks]

    assert all(name.isprintable() and len(name) <= 100 for name in names)
    assert found.note.isprintable()
    assert len(found.note) <= 500
    assert places == sorted(set(places))
    assert len(places) <= 64
    assert all(sentence.isprintable() and len(sentence) <= 200 for sentence in found.doubtful)
    assert len(found.doubtful) <= 6
    assert found.start is None or 0 < found.start < 90_000
    assert found.frame_rate is None or 1 <= found.frame_rate <= 240
