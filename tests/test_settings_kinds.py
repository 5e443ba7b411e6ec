"""Settings of a wrong kind: any value for any key, from any source, is taken or refused in one sentence that helps."""

import datetime as dt
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.daemon import command
from support.waiting import eventually

from watcher.cli.main import run
from watcher.config import Config, files, load
from watcher.config.descriptions import keys, sections
from watcher.config.environment import beside
from watcher.config.example import toml
from watcher.errors import ConfigError
from watcher.job import Fingerprint, Job
from watcher.overrides import FOLDER
from watcher.service.plan import OVERRIDABLE, Plan, plan

KEYS = [
    (section, key)
    for section in sections()
    for key in [*keys(section), *(keys("transcript") if section == "folders" else ())]
]
#: Words of the library that judges the settings, and of Python: nobody who writes settings knows them.
FOREIGN = ("Input", "validation", "pydantic", "Traceback", "parse", "instance", "Tuple", "dictionary", "type=", "loc=")
#: A wrong value stands in its sentence, so none of these words may be one: Hypothesis draws words of the program, too.
DRAWN = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(
    lambda text: not any(word in text for word in FOREIGN)
)
TEXTS = DRAWN | st.sampled_from(
    [
        *(
            "http://[::1",
            "http://h:port",
            "postgresql://[::1",
            "~nobody-is-called-so/x",
            "/a\0b",
            "\0",
            "[",
            "[1]",
            "{",
            "x",
        ),
        *(
            "german",
            "zh-CN",
            "../x",
            "move:",
            "move:../x",
            "9" * 5000,
            "1e999",
            "nan",
            "-1",
            "true",
            "off",
            " ",
            "\n",
            "/nowhere",
        ),
    ]
)
SCALARS = (
    TEXTS
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 1 << 63, 0, 5, 15])
    | st.floats()
    | st.dates()
    | st.times()
    | st.datetimes()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "path", "url"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def written(value: Any) -> str:
    """Write a value in TOML's notation."""
    match value:
        case str():
            text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case bool():
            text = "true" if value else "false"
        case list():
            text = f"[{', '.join(map(written, value))}]"
        case dict():
            text = "{" + ", ".join(f"{key} = {written(one)}" for key, one in value.items()) + "}"
        case dt.date() | dt.time():
            text = value.isoformat()
        case int() if value.bit_length() > 1000:
            text = hex(value) if value >= 0 else "-1"
        case _:
            text = repr(value)
    return text


def refusal(call: Callable[[], object]) -> str:
    """Return what is said of settings that are refused; "" where they are taken. Any other error is a failure."""
    try:
        call()
    except ConfigError as refused:
        return refused.message + ("" if refused.hint else "\nno hint")
    return ""


#: Sections that are lists of tables: the key that each has, and two values of it.
TABLES = {"folders": ("path", "/srv/a", "/srv/b"), "webhooks": ("url", "http://a/hook", "http://b/hook")}


def dotted(section: str, key: str) -> str:
    """Return how a sentence names a key; one of a folder has only its section's name."""
    return {"folders": section, "webhooks": f"{section}.{key}", "endpoints": f"endpoints.studio.{key}"}.get(
        section, f"{section}.{key}"
    )


def as_file(section: str, key: str, value: Any) -> str:
    if section == "endpoints":
        url = "" if key == "url" else 'url = "http://studio:8000"\n'
        return f"[endpoints.studio]\n{url}{key} = {written(value)}\n"
    if section not in TABLES:
        return f"[{section}]\n{key} = {written(value)}\n"
    first, one, other = TABLES[section]
    path = "" if key == first else f'{first} = "{one}"\n'
    return f'[[{section}]]\n{first} = "{other}"\n[[{section}]]\n{path}{key} = {written(value)}\n'


def require_fit(config: Config) -> Plan:
    """Do with accepted settings what every command does: show them, and work by them."""
    for section in sections():
        found = getattr(config.settings, section)
        tables = {"folders": found, "webhooks": found, "endpoints": config.settings.servers.values()}.get(
            section, [found]
        )
        for table in tables:
            for key in keys(section):
                toml(getattr(table, key))
    made = plan(config, keyless=True)
    for root in [b"/srv/a", b"/srv/b", b"/elsewhere"]:
        made.wanted(job(root))
    return made


def job(root: bytes) -> Job:
    return Job(1, root, root + b"/talk.wav", Fingerprint(1, 1), attempts=1, fence=1, queued_at=0.0)


def require_plain(message: str, name: str) -> None:
    """Demand one sentence for each problem, about this key, in plain words."""
    for line in message.split("\n") if message else []:
        assert name in line
        assert line.isprintable()
        assert len(line) < 600
        assert not [word for word in FOREIGN if word in line.replace(name, "")], line


@given(st.sampled_from(KEYS), VALUES)
@example(("api", "url"), ["a", "b"])
@example(("api", "url"), 5)
@example(("api", "url"), "http://[::1")
@example(("state", "url"), "postgresql://u:p@[::1/x")
@example(("media", "piece_seconds"), float("nan"))
@example(("transcript", "wrap"), 5)
@example(("state", "keep_answers_mb"), 1 << 63)
@example(("hooks", "on_done"), ["a\0b"])
@example(("folders", "language"), "german")
@example(("folders", "include"), [""])
@example(("folders", "exclude"), ["../x"])
def test_any_value_in_the_file_is_fit_for_work_or_refused_in_plain_words(key: tuple[str, str], value: Any) -> None:
    section, name = key
    directory = Path(os.environ["PYTEST_SETTINGS"])
    file = directory / "watcher.toml"
    file.write_text(as_file(section, name, value), encoding="utf-8", newline="")

    message = refusal(lambda: require_fit(load(environ={"HOME": str(directory)}, file=file)))

    require_plain(message, dotted(section, name))
    assert not message or str(file) in message or name in {"key", "dir"}


@given(
    st.sampled_from(KEYS),
    TEXTS.map(lambda text: text.replace("\0", "")) | st.sampled_from(["\udcff", "[1]", "5", "true"]),
)
def test_any_text_in_the_environment_is_fit_for_work_or_refused_in_plain_words(key: tuple[str, str], text: str) -> None:
    section, name = key
    numbered = {"folders": "__0", "webhooks": "__0", "endpoints": "__STUDIO"}.get(section, "")
    first, one, _ = TABLES.get(section, ("", "", ""))
    path = {f"WATCHER_{section}__0__{first}".upper(): one} if first else {}
    path |= {"WATCHER_ENDPOINTS__STUDIO__URL": "http://studio:8000"} if section == "endpoints" else {}
    environ = {"HOME": "/h", **path, f"WATCHER_{section}{numbered}__{name}".upper(): text}

    require_plain(refusal(lambda: require_fit(load(environ=environ))), dotted(section, name))


@pytest.mark.slow
@given(st.sampled_from([key for key in KEYS if key[0] not in TABLES]), VALUES.map(written) | TEXTS)
def test_any_setting_of_the_command_line_gives_one_document_and_exit_0_or_3(key: tuple[str, str], text: str) -> None:
    out = Path(os.environ["PYTEST_SETTINGS"]) / "out"
    with out.open("w", encoding="utf-8") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stream)
        code = run(["config", "--json", "--set", f"{dotted(*key)}={text}"])

    document = json.loads(out.read_text(encoding="utf-8"))
    assert code == document["exit_code"]
    assert code in {0, 3}
    assert (code == 3) == bool(document["errors"])


@given(st.sampled_from([(s, key) for s, names in OVERRIDABLE.items() for key in names]), VALUES)
def test_any_value_in_a_folders_own_file_is_fit_for_work_or_refused_in_plain_words(
    key: tuple[str, str], value: Any
) -> None:
    section, name = key
    made = plan(load(environ={"HOME": "/h"}), keyless=True)
    wanted: Mapping[str, Mapping[str, object]] = {"transcript": {}, "subtitles": {}, section: {name: value}}

    try:
        made.check_overrides(wanted)
    except ValueError as exc:
        message = str(exc)
    else:
        message = ""
        made.wanted(job(b"/srv/a"), wanted)

    require_plain(message, name)


@pytest.mark.parametrize(("minutes", "seconds"), [(600, 5400.0), (30, 1800.0)])
def test_a_folders_own_file_may_only_lower_what_is_bought_before_a_recording_is_whole(
    minutes: int, seconds: float
) -> None:
    folder = {"path": "/srv", "while_recording": True, "while_recording_minutes": 90}
    made = plan(load({"folders": [folder]}, environ={"HOME": "/h"}), keyless=True)

    wanted = made.wanted(
        job(b"/srv/a"), {"transcript": {}, "subtitles": {}, FOLDER: {"while_recording_minutes": minutes}}
    )

    assert wanted.ahead == seconds


@pytest.fixture(scope="module", autouse=True)
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Name a directory to properties, which cannot have one for each example."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_SETTINGS", str(tmp_path_factory.mktemp("settings")))
        yield


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[api]\nurl = ["a", "b"]', 'api.url = ["a", "b"] is wrong: it has to be a text in quotes'),
        ("[api]\nurl = 5", "api.url = 5 is wrong: it has to be a text in quotes"),
        ('[api]\nurl = "http://[::1"', 'api.url = "http://[::1" is wrong: it is no valid address'),
        ('[api]\nurl = "https://me:hunter2@h/v1"', "must not contain a user or password"),
        ("[api]\nattempts = true", "api.attempts = true is wrong: it has to be a whole number from 1 to 1000"),
        ("[api]\nmax_upload_mb = 0", "api.max_upload_mb = 0 is wrong: it has to be a number above 0, at most 2048"),
        ("[api]\ndaily_minutes = nan", "api.daily_minutes = nan is wrong: it has to be a number from 0 to 10000000"),
        ("[[api]]\nurl = 'x'", "it has to be a table: [api]"),
        ("[service]\nerror_notes = 'maybe'", 'error_notes = "maybe" is wrong: it has to be true or false'),
        ("[subtitles]\nguard = 3", "subtitles.guard = 3 is wrong: it has to be true or false"),
        ("[subtitles]\nmax_lines = true", "subtitles.max_lines = true is wrong: it has to be a whole number"),
        ("[log]\nlevel = 3", 'log.level = 3 is wrong: it has to be one of "debug", "info", "warning" or "error"'),
        ("[media]\npiece_seconds = inf", "media.piece_seconds = inf is out of range: 1 to 86400"),
        (
            "[transcript]\nformats = 'srt'",
            'it has to be a list of one or more of "srt", "txt", "vtt", "json", ',
        ),
        ("[transcript]\nformats = []", "transcript.formats = [] is wrong: it has to be a list of one or more of"),
        ("[hooks]\non_done = 'x'", 'hooks.on_done = "x" is wrong: it has to be a list of texts, such as ["a", "b"]'),
        (
            "[hooks]\non_held = ['']",
            'hooks.on_held = [""] is wrong: the first one has to name a program; write [] for none',
        ),
        ("[transcript]\nlanguage = 'german'", 'transcript.language = "german" is wrong: write the code "de"'),
        ("[transcript]\nlanguage = 'zh-CN'", 'is wrong: write the code "zh" alone: Whisper knows no regions'),
        (
            "[folders]\npath = '/a'",
            'folders = {path = "/a"} is wrong: it has to be one table for each folder: [[folders]]',
        ),
        ("folders = ['/a']", 'folders = "/a" is wrong: it has to be one table for each folder: [[folders]]'),
        ("[[folders]]\nname = 'a'", "folders.path is missing: it has to be a text in quotes"),
        (
            "[[folders]]\npath = '/a'\n[[folders]]\npath = 'b'",
            'folders.path = "b" (folder 2) is wrong: it has to be a whole path',
        ),
        ("[state]\nkeep_history_days = 1e300", "it has to be a number from 1 to 36500"),
        ("[state]\nurl = 'mysql://h/db'", "it has to be empty, or postgresql://user@host/database"),
        ("[state]\ndir = '~nobody-is-called-so/x'", "there is no such user"),
        ('[api]\nmodel = "a\\u0000"', "must not contain the character NUL"),
        ("a = " + "[" * 10_000, "is not valid TOML"),
        (f"a = {'9' * 5_000}", "is not valid TOML"),
    ],
)
def test_a_wrong_value_is_reported_with_key_value_and_what_would_be_right(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "watcher.toml"
    file.write_text(text)

    with pytest.raises(ConfigError) as error:
        load(environ={"HOME": "/h"}, file=file)

    assert said in error.value.message
    assert "hunter2" not in error.value.message
    assert error.value.exit_code == 3


def test_values_of_the_environment_and_the_command_line_are_reported_as_they_were_given() -> None:
    with pytest.raises(ConfigError) as error:
        load({"api": {"concurrency": "x"}}, environ={"WATCHER_API__ATTEMPTS": "0", "WATCHER_STATE__DIR": "[1]"})

    assert error.value.message.split("\n") == [
        'api.concurrency = "x" is wrong: it has to be a whole number from 1 to 256 (from --set)',
        "api.attempts = 0 is wrong: it has to be a whole number from 1 to 1000 (from the variable WATCHER_API__ATTEMPTS)",
    ]


def test_what_looks_like_a_list_or_a_number_is_a_text_where_a_text_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "watcher.toml"
    file.write_text('[transcript]\nprompt = "[1, 2]"\n')

    config = load({"api": {"model": "5"}}, environ={"WATCHER_API__KEY": "[7]"}, file=file)

    assert config.settings.transcript.prompt == "[1, 2]"
    assert (config.settings.api.model, config.settings.api.key.get_secret_value()) == ("5", "[7]")


def test_folders_come_from_the_environment_one_variable_for_each_key() -> None:
    environ = {
        "WATCHER_FOLDERS__10__PATH": "/b",
        "WATCHER_FOLDERS__2__PATH": "/a",
        "WATCHER_FOLDERS__2__EXCLUDE": '["*.mp3"]',
        "WATCHER_FOLDERS__2__LANGUAGE": "de",
        "WATCHER_FOLDERS__2__RECURSIVE": "false",
    }

    first, second = load(environ=environ).settings.folders

    assert (first.path, first.exclude, first.language, first.recursive) == ("/a", ("*.mp3",), "de", False)
    assert second.path == "/b"


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"WATCHER_FOLDERS__PATH": "/a"}, "WATCHER_FOLDERS__PATH has no number of a folder"),
        (
            {"WATCHER_FOLDERS__0__PATHS": "/a"},
            "there is no key folders.paths (from the variable WATCHER_FOLDERS__0__PATHS); did you mean folders.path?",
        ),
        (
            {"WATCHER_FOLDERS__0__PATH": "/a", "WATCHER_FOLDERS__7__PATH": "b"},
            "for example /srv/recordings (from the variable WATCHER_FOLDERS__7__PATH)",
        ),
        ({"OPENAI_BASE_URL": "ftp://h"}, "(from the variable OPENAI_BASE_URL)"),
        ({"WATCHER_API__KEY_FILE": "/"}, "it is a directory (from the variable WATCHER_API__KEY_FILE)"),
        ({"WATCHER_FOLDERS__0": "/a"}, 'folders = "/a" is wrong: write WATCHER_FOLDERS__0__PATH=/srv/recordings'),
        (
            {"WATCHER_FOLDERS": '[{"path":"/x"}]'},
            """folders = '[{"path":"/x"}]' is wrong: write WATCHER_FOLDERS__0__PATH=""",
        ),
        (
            {"WATCHER_FOLDERS__0__PATH": "/a", "WATCHER_FOLDERS": "[]"},
            "WATCHER_FOLDERS and WATCHER_FOLDERS__… contradict",
        ),
        ({"WATCHER_FOLDERS": "[]", "WATCHER_FOLDERS__0__PATH": "/a"}, "and WATCHER_FOLDERS contradict each other"),
        (
            {"WATCHER_API": "x", "WATCHER_API_KEY": "sk-secret"},
            "api is wrong: write one variable for each key: WATCHER_API__…",
        ),
    ],
)
def test_what_the_environment_says_wrongly_is_reported(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(environ=environ)

    assert said in error.value.message
    assert "sk-secret" not in error.value.message


def test_the_key_stands_in_a_file_that_any_source_may_name(tmp_path: Path) -> None:
    secret, other = tmp_path / "secret", tmp_path / "other"
    secret.write_text("sk-of-a-file\n")
    other.write_text("sk-other")
    file = tmp_path / "watcher.toml"
    file.write_text(f'[api]\nkey_file = "{other}"\n')

    named = load(environ={"WATCHER_API__KEY_FILE": str(secret)}, file=file)
    in_the_file = load(environ={}, file=file)
    hidden = load(environ={"WATCHER_API__KEY": "sk-itself"}, file=file)

    keys_found = [config.settings.api.key.get_secret_value() for config in (named, in_the_file, hidden)]
    assert keys_found == ["sk-of-a-file", "sk-other", "sk-itself"]
    assert (named.origin("api.key"), in_the_file.origin("api.key")) == ("environment", str(file))


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read: No such file or directory"), (b" \n", "holds no key"), (b"\xff", "it is no text")],
)
def test_a_key_file_without_a_key_is_reported_and_the_key_of_nobody_else_is_taken(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)

    with pytest.raises(ConfigError) as error:
        load(environ={"WATCHER_API__KEY_FILE": str(secret), "OPENAI_API_KEY": "sk-o"})

    assert error.value.message.startswith(f"api.key_file = {secret} ")
    assert said in error.value.message
    assert "from the variable WATCHER_API__KEY_FILE" in error.value.message


def test_a_number_has_a_bound_wherever_a_setting_takes_one() -> None:
    for section, key in KEYS:
        table = {key: 1e300}
        first, one, _ = TABLES.get(section, ("", "", ""))
        nested: dict[str, Any] = {section: [{first: one, **table}] if first else table}

        with pytest.raises(ConfigError) as error:
            load(nested, environ={"HOME": "/h"})

        assert key in error.value.message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("folders=1", "folders = 1 is wrong: folders go behind the command, as in watcher run /srv/recordings"),
        ("folders.path=/a", "is wrong: folders go behind the command, as in watcher run /srv/recordings"),
        ("log=1", 'log = "1" is wrong: write --set log.KEY=VALUE (from --set)'),
        ("logs=1", "there is no section logs (from --set); did you mean log?"),
    ],
)
def test_what_set_is_given_without_a_key_is_a_wrong_setting(
    capsys: pytest.CaptureFixture[str], given: str, said: str
) -> None:
    assert run(["config", "--set", given, "--set", "log.level=debug"]) == 3
    assert said in capsys.readouterr().err


def test_render_names_its_own_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["render", "/nowhere", "--format", "doc"]) == 3
    assert "(from --format)" in capsys.readouterr().err


def test_a_key_or_credential_is_in_a_regular_file_of_bounded_size(tmp_path: Path) -> None:
    fifo, large = tmp_path / "fifo", tmp_path / "large"
    os.mkfifo(fifo)
    large.write_bytes(b"k" * (64 * 1024 + 1))
    wrong = {
        fifo: "it is a pipe (fifo), and has to be a regular file",
        Path("/dev/zero"): "it is a device, and has to be a regular file",
        tmp_path: "it is a directory",
        large: "it is larger than 64 KiB",
    }

    for path, reason in wrong.items():
        for source in ({"environ": {"WATCHER_API__KEY_FILE": str(path)}}, {"environ": {}, "credential": beside(path)}):
            with pytest.raises(ConfigError) as error:
                load(**source)
            assert f"{path} cannot be read: {reason}" in error.value.message
            assert error.value.hint


def test_a_settings_file_is_read_from_a_pipe_that_ends_and_from_nothing_else_without_an_end(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader, writer = os.pipe()
    os.write(writer, b'[api]\nmodel = "m"\n')
    os.close(writer)
    piped = Path(f"/proc/self/fd/{reader}")

    assert load(environ={}, file=piped).settings.api.model == "m"
    os.close(reader)
    for path, reason in {
        fifo: "it is a pipe (fifo), and nothing comes out of it",
        Path("/dev/zero"): "it is larger than 1024 KiB",
        tmp_path: "it is a directory",
    }.items():
        with pytest.raises(ConfigError, match="cannot be read: ") as error:
            load(environ={}, file=path)
        assert reason in error.value.message
        assert error.value.hint == "name a file of settings in TOML"
    keep_open = os.open(fifo, os.O_RDWR)
    with pytest.raises(OSError, match="it did not end in time"):
        files.regular_or_stream(fifo, 1, patience=0.01)
    os.close(keep_open)


def test_a_settings_file_that_is_no_file_is_never_called_changed(tmp_path: Path) -> None:
    """It cannot be read a second time: ``watcher run --config <(cat settings.toml)``."""
    file = tmp_path / "watcher.toml"
    file.write_text("")

    assert load(environ={"HOME": "/h"}, file=file).digest
    assert load(environ={"HOME": "/h"}, file=Path(os.devnull)).digest == ""


def test_a_running_service_goes_on_with_its_settings_whatever_stands_in_the_new_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And `status` says so, as long as the file on the disk is not the one that is in use."""

    def not_in_use() -> list[str]:
        run(["status", "--json", "--set", f"state.dir={tmp_path / 'state'}"])
        problems = json.loads(capsys.readouterr().out)["data"]["problems"]
        assert [problem["path"] for problem in problems] in ([], [str(file)])
        # At a terminal, where no systemctl reaches it.
        reload = f"kill -HUP {running.process.pid}"
        refused = [problem for problem in problems if problem["message"].endswith(")")]
        assert all(problem["hint"] == f"correct them first, then: {reload}" for problem in refused)
        assert all(problem["hint"] == reload for problem in problems if problem not in refused)
        return [problem["message"] for problem in problems]

    folder = tmp_path / "in"
    folder.mkdir()
    file = tmp_path / "watcher.toml"
    good = (
        f'[api]\nurl = "http://127.0.0.1:1/v1"\n[[folders]]\npath = "{folder}"\n[state]\ndir = "{tmp_path / "state"}"\n'
    )
    wrong = {
        'url = "http://127.0.0.1:1/v1"': ['url = ["a", "b"]', "url = 5", 'url = "http://[::1"'],
        f'path = "{folder}"': ['path = "/a\\u0000"'],
        "[state]": ["[state"],
    }
    file.write_text(good)
    with command("run", "--config", file) as running:
        running.await_event("service.ready")
        file.write_text(good + "# a word\n")
        eventually(lambda: not_in_use() == ["these settings changed and are not in use yet"])
        count = 0
        for right, others in wrong.items():
            for other in others:
                file.write_text(good.replace(right, other))
                running.send(signal.SIGHUP)
                count += 1
                refused = running.await_events("service.reloaded", count, ok=False)[-1]
                assert "is wrong" in refused["message"] or "not valid TOML" in refused["message"]
                assert refused["hint"]
        eventually(lambda: "not valid TOML" in "".join(not_in_use()))
        file.write_text(good + "# corrected\n")
        corrected = "these settings were changed since a reload was refused, and are not loaded yet"
        assert not_in_use() == [corrected]
        file.write_text(good)
        running.send(signal.SIGHUP)
        running.await_event("service.reloaded", ok=True)
        assert not_in_use() == []
        assert running.stop() == 0
        assert running.talk == []
