"""Settings: every source, their order, and what is said when something is wrong."""

from pathlib import Path

import pytest

from watcher.config import Settings, example, load
from watcher.config.descriptions import about, keys, sections
from watcher.config.folder import TranscriptSettings
from watcher.errors import ConfigError


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_nothing_given_yields_the_defaults() -> None:
    config = load(environ={"HOME": "/nowhere"})

    assert config.settings == Settings()
    assert config.state_directory == Path("/nowhere/.local/state/watcher")


def test_the_example_file_loads_back_to_the_defaults(tmp_path: Path) -> None:
    file = write(tmp_path / "watcher.toml", example())

    assert load(environ={}, file=file).settings == Settings()


def test_the_example_file_shows_every_key_with_a_line_about_it() -> None:
    text = example()
    prose = " ".join(" ".join(text.replace("#", " ").split()).split())

    for section in sections():
        for key in keys(section):
            assert any(line.lstrip("# ").startswith(f"{key} = ") for line in text.splitlines())
            assert about(section, key) in prose
    assert max(map(len, text.splitlines())) <= 80


def test_the_commented_folder_of_the_example_loads(tmp_path: Path) -> None:
    lines = example().splitlines()
    first = lines.index("# [[folders]]")
    folder = [line.removeprefix("# ") for line in lines[first : first + 10]]
    file = write(tmp_path / "watcher.toml", "\n".join(folder))

    assert load(environ={}, file=file).settings.folders[0].path == "/srv/recordings"


def test_sources_override_each_other_in_the_documented_order(tmp_path: Path) -> None:
    file = write(tmp_path / "w.toml", '[api]\nkey = "file"\nmodel = "file"\nconcurrency = 2\nattempts = 3\n')
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "api_key").write_text("credential\n")
    environ = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "WATCHER_API__MODEL": "environment",
        "WATCHER_API__CONCURRENCY": "5",
    }

    config = load({"api": {"concurrency": 7}}, environ=environ, file=file)

    api = config.settings.api
    assert (api.concurrency, api.model, api.key.get_secret_value(), api.attempts) == (7, "environment", "credential", 3)
    assert config.origin("api.concurrency") == "command line"
    assert config.origin("api.model") == "environment"
    assert config.origin("api.key") == "credential"
    assert config.origin("api.attempts") == str(file)
    assert config.origin("api.url") == "default"


def test_the_environment_takes_lists_in_tomls_notation() -> None:
    config = load(environ={"WATCHER_TRANSCRIPT__FORMATS": '["vtt", "json"]'})

    assert config.settings.transcript.formats == ("vtt", "json")


def test_folders_come_from_the_environment_too() -> None:
    config = load(environ={"WATCHER_FOLDERS": '[{path = "/a"}, {path = "/b/a"}]'})

    assert [folder.name for folder in config.settings.folders] == ["a", "a-2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[api]\nmodle = 'x'", "api.modle (in {file}); did you mean api.model?"),
        ("[apis]\nmodel = 'x'", "no section apis (in {file}); did you mean api?"),
        ("[subtitles]\nmax_char = 3", "did you mean subtitles.max_chars?"),
        ("[media]\nconcurrency = 3", "did you mean api.concurrency?"),
        ("[[folders]]\npath = '/a'\nrecursiv = true", "did you mean folders.recursive?"),
        ("api = 3", "api is wrong: it has to be a table: [api], and below it its keys (in {file})"),
        (
            "[api]\nconcurrency = 0",
            "api.concurrency = 0 is wrong: it has to be a whole number from 1 to 256 (in {file})",
        ),
        ("[subtitles]\nmax_chars = 0", "max_chars"),
        ("[transcript]\nformats = ['doc']", "transcript.formats"),
        (
            "[transcript]\nlanguage = 'klingon'",
            'transcript.language = "klingon" is wrong: Whisper knows no such language',
        ),
        ("[transcript]\noutput = '../{stem}'", "no '/'"),
        ("[transcript]\noutput = '{speaker}'", "no placeholder"),
        ("[transcript]\noutput = 'text'", "needs {{stem}} or {{name}}"),
        ("[[folders]]\npath = 'here'", "beginning with /"),
        ("[[folders]]\npath = '/a'\nafter = 'move:../b'", 'it has to be "keep", or "move:"'),
        ("[[folders]]\npath = '/a'\ntemperature = 2", "temperature"),
        ("[[folders]]\npath = '/a'\n[[folders]]\npath = '/a/'", "given twice"),
        ("[[folders]]\npath = '/a'\nname='x'\n[[folders]]\npath = '/b'\nname='x'", "two folders are called 'x'"),
        ("[api", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path / "w.toml", text)

    with pytest.raises(ConfigError) as error:
        load(environ={}, file=file)

    assert said.format(file=file) in error.value.message


def test_several_problems_are_named_at_once(tmp_path: Path) -> None:
    file = write(tmp_path / "w.toml", "[api]\nconcurrency = 0\nattempts = 0")

    with pytest.raises(ConfigError) as error:
        load(environ={}, file=file)

    assert len(error.value.message.splitlines()) == 2


def test_an_unknown_variable_of_ours_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"api\.kee \(from the variable WATCHER_API__KEE\); did you mean api\.key"):
        load(environ={"WATCHER_API__KEE": "x"})


def test_a_missing_file_that_was_named_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(environ={"WATCHER_CONFIG": str(tmp_path / "none.toml")})

    assert "watcher config --example" in error.value.hint


def test_the_users_file_comes_before_the_machines(tmp_path: Path) -> None:
    (tmp_path / "watcher").mkdir()
    file = write(tmp_path / "watcher" / "watcher.toml", "[api]\nmodel = 'mine'")

    config = load(environ={"XDG_CONFIG_HOME": str(tmp_path)})

    assert (config.settings.api.model, config.file) == ("mine", file)


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        ({"OPENAI_API_KEY": "sk-o"}, "sk-o"),
        ({"OPENAI_API_KEY": "sk-o", "WATCHER_API_KEY": "sk-w"}, "sk-w"),
        ({"OPENAI_API_KEY": "sk-o", "WATCHER_API__URL": "https://relay.example/v1"}, ""),
        ({"OPENAI_API_KEY": "sk-o", "OPENAI_BASE_URL": "https://relay.example/v1"}, "sk-o"),
        (
            {
                "OPENAI_API_KEY": "sk-o",
                "OPENAI_BASE_URL": "https://relay.example/v1",
                "WATCHER_API__URL": "https://other.example",
            },
            "",
        ),
        ({"OPENAI_API_KEY": "sk-o", "WATCHER_API__URL": "https://api.openai.com.evil.example/v1"}, ""),
        ({"OPENAI_API_KEY": "sk-o", "WATCHER_API__URL": "https://api.openai.com/v1"}, "sk-o"),
        ({"WATCHER_API__KEY": "  Bearer sk-w\n"}, "sk-w"),
    ],
)
def test_a_key_goes_only_to_the_host_it_was_meant_for(environ: dict[str, str], key: str) -> None:
    config = load(environ=environ)

    assert config.settings.api.key.get_secret_value() == key


def test_openai_base_url_is_the_url_where_none_is_given() -> None:
    config = load(environ={"OPENAI_BASE_URL": "https://relay.example/v1"})

    assert config.settings.api.url == "https://relay.example/v1"


def test_a_key_never_shows() -> None:
    config = load(environ={"WATCHER_API__KEY": "sk-secret"})

    assert "sk-secret" not in repr(config)
    assert "sk-secret" not in str(config.settings.model_dump())


def test_a_wrong_value_of_a_key_does_not_show_in_the_error(tmp_path: Path) -> None:
    file = write(tmp_path / "w.toml", "[api]\nkey = ['sk-secret']")

    with pytest.raises(ConfigError) as error:
        load(environ={}, file=file)

    assert "sk-secret" not in error.value.message


@pytest.mark.parametrize(
    ("key", "given", "kept"),
    [
        *(("track", value, value) for value in ("auto", "all", 1, 12, "de")),
        *(("track", "German", "de"), ("track", "ger", "de"), ("track", "3", 3)),
        *(("channel", value, value) for value in ("mix", 1, 64)),
    ],
)
def test_the_sound_of_a_recording_is_chosen_by_word_number_or_language(key: str, given: object, kept: object) -> None:
    assert getattr(TranscriptSettings.model_validate({key: given}), key) == kept


@pytest.mark.parametrize("key", ["track", "channel"])
@pytest.mark.parametrize("value", [0, -1, 1000, 1.5, True, "", "loud", "9" * 5000, None, []])
def test_what_is_no_track_or_channel_is_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"it has to be .*(track|channel), from 1"):
        TranscriptSettings.model_validate({key: value})


def test_a_folder_has_its_own_transcript_keys() -> None:
    config = load(environ={"WATCHER_FOLDERS": '[{path = "/a", language = "DE", formats = ["vtt"]}]'})
    folder, settings = config.settings.folders[0], config.settings

    transcript = folder.transcript(settings.transcript)

    assert (transcript.language, transcript.formats, transcript.task) == ("de", ("vtt",), "transcribe")


def test_folders_of_the_command_line_are_added() -> None:
    config = load(environ={"WATCHER_FOLDERS": '[{path = "/a"}]'}, folders=["/a", "/b"])

    assert [folder.path for folder in config.settings.folders] == ["/a", "/b"]


@pytest.mark.parametrize(
    ("environ", "file", "directory"),
    [
        ({"STATE_DIRECTORY": "/var/lib/x:/var/lib/y"}, None, "/var/lib/x"),
        ({"HOME": "/h", "XDG_STATE_HOME": "/s"}, None, "/s/watcher"),
    ],
)
def test_the_state_directory_follows_systemd_then_xdg(
    environ: dict[str, str], file: Path | None, directory: str
) -> None:
    assert load(environ=environ, file=file).state_directory == Path(directory)


def test_a_home_may_be_written_as_a_shell_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text("sk-in-file")
    file = tmp_path / "watcher.toml"
    file.write_text(
        '[api]\nkey_file = "~/key"\n[state]\ndir = "~/state"\n[offline]\nmodel = "~/model"\n'
        '[[folders]]\npath = "~/Recordings"\n[[folders]]\npath = "/srv/~/in"\n'
    )

    config = load(environ={}, file=file)

    assert [folder.path for folder in config.settings.folders] == [f"{tmp_path}/Recordings", "/srv/~/in"]
    assert config.settings.api.key_file == f"{tmp_path}/key"
    assert config.settings.api.key.get_secret_value() == "sk-in-file"
    assert config.settings.offline.model == f"{tmp_path}/model"
    assert config.state_directory == tmp_path / "state"
    with pytest.raises(ConfigError, match="NUL"):
        load({"api": {"key_file": "~\0"}}, environ={})
    for path, home in (("~/in", ""), ("~nobody-is-called-so/in", str(tmp_path))):
        monkeypatch.setenv("HOME", home)
        with pytest.raises(ConfigError, match="it has to be a whole path, beginning with /"):
            load({"folders": [{"path": path}]}, environ={})


def test_state_dir_wins_over_the_surroundings() -> None:
    config = load({"state": {"dir": "/x"}}, environ={"STATE_DIRECTORY": "/y"})

    assert config.state_directory == Path("/x")


@pytest.mark.parametrize("content", ["sk-one\nsk-two\n", "sk-schlüssel", "Bearer sk one"])
def test_a_file_with_more_than_a_key_is_named(tmp_path: Path, content: str) -> None:
    """It was said of api.key, which nobody had set."""
    file = tmp_path / "secret"
    file.write_text(content)

    with pytest.raises(ConfigError) as error:
        load(environ={"WATCHER_API__KEY_FILE": str(file)})

    assert error.value.message.startswith(f"api.key_file = {file} holds more than a key (")
