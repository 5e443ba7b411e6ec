"""Log lines: three faces, nothing secret, nothing unprintable."""

import io
import json
import subprocess

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from watcher.log import LogOptions, configure, quoted, unprinted
from watcher.text import printable


def written(
    level: str = "info", *, options: LogOptions | None = None, secrets: tuple[str, ...] = (), **keys: object
) -> str:
    stream = io.StringIO()
    configure(options or LogOptions(format="json"), stream=stream, secrets=secrets)
    getattr(structlog.get_logger(), level)("job.done", **keys)
    return stream.getvalue()


def test_json_lines_begin_with_time_level_and_event() -> None:
    line = json.loads(written(job=3, path=b"/a/b.wav"))

    assert list(line) == ["timestamp", "level", "event", "path", "job"]
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    ("level", "priority"), [("error", "<3>"), ("warning", "<4>"), ("info", "<6>"), ("critical", "<2>")]
)
def test_under_the_journal_each_line_has_its_priority(level: str, priority: str) -> None:
    assert written(level, options=LogOptions(format="journal")).startswith(priority + "{")


def test_every_line_of_a_traceback_has_the_priority_too() -> None:
    stream = io.StringIO()
    configure(LogOptions(format="journal"), stream=stream)
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        structlog.get_logger().exception("job.done")

    assert all(line.startswith("<3>") for line in stream.getvalue().splitlines())


def test_what_is_below_the_level_is_not_written() -> None:
    assert written("debug") == ""


def test_a_secret_is_masked_wherever_it_turns_up() -> None:
    line = written(secrets=("sk-verysecret",), message="key sk-verysecret refused", nested={"a": ["sk-verysecret"]})

    assert "verysecret" not in line
    assert "**********" in line


def test_the_console_has_no_escape_sequences_where_no_terminal_is() -> None:
    assert "\x1b" not in written(options=LogOptions(format="console"), path="/a b")


def test_auto_is_journal_under_the_journal_and_json_on_a_pipe() -> None:
    stream = io.StringIO()
    configure(LogOptions(), stream=stream, journal=True)
    structlog.get_logger().info("job.done")
    configure(LogOptions(), stream=stream)
    structlog.get_logger().info("job.done")

    assert [line[:2] for line in stream.getvalue().splitlines()] == ["<6", '{"']


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain.wav", "plain.wav"),
        ("Ünïcödé 会议 🎙".encode(), "Ünïcödé 会议 🎙"),
        (b"bad\xff.wav", "bad\\xff.wav"),
        (b"line\nbreak", "line\\nbreak"),
        (b"esc\x1b[31m", "esc\\x1b[31m"),
        ("\u202egnp.wav", "\\u202egnp.wav"),
        ("sur\udcffrogate", "sur\\xffrogate"),
        ("half\ud83d", "half\\ud83d"),
    ],
)
def test_names_are_made_printable(name: str | bytes, shown: str) -> None:
    assert printable(name) == shown


@given(st.binary() | st.text())
def test_any_name_becomes_one_printable_line(name: str | bytes) -> None:
    text = printable(name)

    assert text.isprintable()
    text.encode("utf-8")


@given(st.text(st.characters(exclude_categories=["Cs"])).map(str.encode) | st.binary())
def test_what_is_printed_of_a_name_leads_back_to_it(name: bytes) -> None:
    shown = printable(name)

    if b"\\" not in name and shown.encode() != name:
        assert all(printable(found) == shown for found in unprinted(shown))
        assert unprinted(shown)


@given(st.text())
def test_any_text_may_be_asked_which_names_it_shows(text: str) -> None:
    assert all(printable(name) == text for name in unprinted(text.replace("/", "\\")))


def test_a_shell_reads_a_quoted_name_as_it_is() -> None:
    names = [
        b"plain.wav",
        b"it's a.wav",
        b"caf\xe9abc'\\.wav",
        b"two\nlines\t",
        "录音\u200b.wav".encode(),
        b"$HOME `id`\xff",
    ]

    words = " ".join(map(quoted, names))

    assert subprocess.run(["bash", "-c", f"printf '%s\\0' {words}"], capture_output=True, check=True).stdout == (
        b"".join(name + b"\0" for name in names)
    )


def test_a_name_that_a_command_would_take_for_an_option_is_a_path_in_what_is_suggested() -> None:
    assert [quoted(name) for name in ("-a.wav", "-a b.wav", b"-\xe9.wav")] == [
        "./-a.wav",
        "'./-a b.wav'",
        r"$'./-\xe9.wav'",
    ]


@given(
    st.dictionaries(
        st.from_regex(r"[a-d_]{1,4}", fullmatch=True),
        st.binary() | st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
        max_size=4,
    )
)
def test_any_keys_make_one_line_of_json(keys: dict[str, object]) -> None:
    stream = io.StringIO()
    configure(LogOptions(format="json"), stream=stream)
    structlog.get_logger().msg("job.done", **keys)

    assert len(stream.getvalue().splitlines()) == 1
    json.loads(stream.getvalue())


def test_a_closed_stderr_ends_the_talk_and_not_the_work() -> None:
    stream = io.StringIO()
    configure(LogOptions(), stream=stream)
    stream.close()

    structlog.get_logger().error("job.failed")

    assert stream.closed


def test_a_secret_with_quotes_is_masked_as_json_writes_it() -> None:
    assert 'sk-"quo' not in written(secrets=('sk-"quo\\te',), message='key sk-"quo\\te refused').replace("\\", "")
