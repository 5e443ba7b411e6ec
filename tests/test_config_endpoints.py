"""[endpoints.NAME]: several servers in order of preference, their keys, and what they take from [api]."""

from pathlib import Path

import pytest
from support.daemon import invoke

from watcher.config import Config, load
from watcher.config.environment import beside
from watcher.config.example import example, toml
from watcher.errors import ConfigError

THREE = """
[api]
url = "https://elsewhere.example"
key = "sk-of-api-alone"
model = "whisper-1"
concurrency = 2
headers = {X-Team = "of-api-alone"}

[endpoints.studio]
url = "http://192.168.1.5:8000"
model = "large-v3"

[endpoints.relay_2]
url = "https://relay.example/v1"
key = "Bearer sk-relay-1234567"
price_per_minute = 0.006
concurrency = 8

[endpoints.azure]
url = "https://us.azure.example/openai/deployments/w/audio/transcriptions"
headers = {api-key = "az-secret-123456"}
query = {api-version = "2024-10-21"}
ca_file = "/etc/ssl/own.pem"

[[folders]]
path = "/srv/in"
endpoints = ["relay_2", "studio"]
"""


def loaded(tmp_path: Path, text: str, environ: dict[str, str] | None = None, *, alone: bool = False) -> Config:
    file = tmp_path / "watcher.toml"
    file.write_text(text)
    return load(environ=environ or {}, file=file, alone=alone)


def test_endpoints_keep_their_order_and_take_from_api_all_but_its_url_key_headers_query_and_ca(tmp_path: Path) -> None:
    servers = loaded(tmp_path, THREE).settings.servers

    assert list(servers) == ["studio", "relay_2", "azure"]
    assert [server.key.get_secret_value() for server in servers.values()] == ["", "sk-relay-1234567", ""]
    assert [server.model for server in servers.values()] == ["large-v3", "whisper-1", "whisper-1"]
    assert [server.concurrency for server in servers.values()] == [2, 8, 2]
    assert [server.price_per_minute for server in servers.values()] == [0, 0.006, 0]
    assert [list(server.headers) for server in servers.values()] == [[], [], ["api-key"]]
    assert servers["azure"].query == {"api-version": "2024-10-21"}


def test_api_alone_is_one_endpoint_called_api(tmp_path: Path) -> None:
    settings = loaded(tmp_path, '[api]\nmodel = "m"\n[[folders]]\npath = "/a"\nendpoints = ["api"]').settings

    assert settings.servers == {"api": settings.api}


def test_the_environment_adds_keys_and_endpoints_without_changing_the_order(tmp_path: Path) -> None:
    environ = {
        "WATCHER_ENDPOINTS__RELAY_2__KEY": "sk-environment",
        "WATCHER_ENDPOINTS__LAST__URL": "https://last.example",
        "WATCHER_ENDPOINTS__LAST__CONCURRENCY": "3",
        "WATCHER_ENDPOINTS__LAST__QUERY": '{v = "1"}',
    }

    config = loaded(tmp_path, THREE, environ)

    servers = config.settings.servers
    assert list(servers) == ["studio", "relay_2", "azure", "last"]
    assert servers["relay_2"].key.get_secret_value() == "sk-environment"
    assert (servers["last"].concurrency, servers["last"].query) == (3, {"v": "1"})
    assert config.origin("endpoints.relay_2.key") == "environment"
    assert config.origin("endpoints.relay_2.url") == str(config.file)


def test_each_endpoint_has_a_credential_and_a_key_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "api_key").write_text("sk-of-api\n")
    (tmp_path / "api_key.studio").write_text("sk-of-studio\n")
    (tmp_path / "azure").write_text("sk-of-a-file\n")
    text = THREE.replace("ca_file", f'key_file = "{tmp_path}/azure"\nca_file')

    config = loaded(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    keys = {name: server.key.get_secret_value() for name, server in config.settings.servers.items()}
    assert keys == {"studio": "sk-of-studio", "relay_2": "sk-relay-1234567", "azure": "sk-of-a-file"}
    assert config.origin("endpoints.studio.key") == "credential"
    outside = load(environ={}, file=config.file, credential=beside(tmp_path / "api_key"))
    assert outside.settings.servers["studio"].key.get_secret_value() == "sk-of-studio"


def test_the_key_of_openai_goes_to_endpoints_at_openai_without_a_key_alone(tmp_path: Path) -> None:
    ambient = {"OPENAI_API_KEY": "sk-openai"}
    openai = '[endpoints.a]\nurl = "https://a.example"\n[endpoints.o]\nurl = "https://api.openai.com"\n'

    config = loaded(tmp_path, openai, ambient)

    servers = config.settings.servers
    assert [server.key.get_secret_value() for server in servers.values()] == ["", "sk-openai"]
    assert not config.unused_key
    assert "goes before it" in loaded(tmp_path, openai + 'key = "sk-own"', ambient).unused_key
    assert "api.openai.com alone" in loaded(tmp_path, openai.replace("api.openai.com", "b.example"), ambient).unused_key


def test_offline_replaces_all_endpoints(tmp_path: Path) -> None:
    settings = loaded(tmp_path, THREE, alone=True).settings

    assert list(settings.servers) == ["api"]
    assert not settings.folders[0].endpoints
    assert not settings.api.headers


WRONG = [
    ('[endpoints]\nrelay = "x"', "endpoints.relay is wrong: it has to be one table for each endpoint"),
    ('[endpoints.relay]\nkey = "sk-1234567890"', "endpoints.relay.url is missing"),
    ("[endpoints.relay]\nurl = 'relay'", 'endpoints.relay.url = "relay" is wrong'),
    ("[endpoints.relay]\nurl = 'http://r'\nconcurrency = 0", "endpoints.relay.concurrency = 0 is wrong"),
    ("[endpoints.relay]\nurl = 'http://r'\nmodell = 'x'", "did you mean endpoints.relay.model?"),
    ("[endpoints.relay]\nurl = 'http://r'\nattempts = 3", "did you mean api.attempts?"),
    ("[endpoints.relay]\nurl = 'http://r'\nkey = 3", "endpoints.relay.key is wrong"),
    ("[endpoints.api]\nurl = 'http://r'", "an endpoint cannot be called api"),
    ("[endpoints.'My relay']\nurl = 'http://r'", "use a-z and 0-9"),
    ("[endpoints.my__relay]\nurl = 'http://r'", "with single _ between them"),
    ("[endpoints.relay_]\nurl = 'http://r'", "with single _ between them"),
    (
        "[endpoints.r]\nurl = 'http://r'\nheaders = {Host = 'sk-1234567890'}",
        "endpoints.r.headers is wrong: the header Host",
    ),
    ("[endpoints.r]\nurl = 'http://r'\nheaders = {Authorization = 'x'}", "give the key as `key`"),
    ("[endpoints.r]\nurl = 'http://r'\nheaders = {'a b' = 'x'}", "no name of a header"),
    ("[endpoints.r]\nurl = 'http://r'\nheaders = {a = \"x\\ny\"}", "one line of ASCII"),
    ("[endpoints.r]\nurl = 'http://r'\nquery = {a = 3}", 'such as {name = "value"}'),
    ("[endpoints.r]\nurl = 'http://r'\nquery = {a = \"\\u0001\"}", "a printable name"),
    ("[endpoints.r]\nurl = 'http://r'\nca_file = 'own.pem'", "endpoints.r.ca_file"),
    ("[endpoints.studio]\nurl = 'http://r'\n[[folders]]\npath = '/a'\nendpoints = ['stduio']", "did you mean studio?"),
    ("[endpoints.r]\nurl = 'http://r'\n[[folders]]\npath = '/a'\nendpoints = ['r', 'r']", "named twice: r, r"),
    ("[[folders]]\npath = '/a'\nendpoints = ['relay']", "there is no endpoint relay; there is api"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_one_sentence_says_what_is_wrong_and_no_secret_is_in_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, text)

    assert message in raised.value.message
    assert "sk-" not in raised.value.message


def test_a_folder_is_not_blamed_for_an_endpoint_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, "[endpoints.relay]\nmodel = 'x'\n[[folders]]\npath = '/a'\nendpoints = ['relay']")

    assert "endpoints.relay.url is missing" in str(raised.value)
    assert "there is no endpoint" not in str(raised.value)


@pytest.mark.parametrize("name", ["WATCHER_ENDPOINTS", "WATCHER_ENDPOINTS__RELAY"])
def test_a_variable_that_is_no_key_says_how_one_is_written(name: str) -> None:
    with pytest.raises(ConfigError, match=f"WATCHER_ENDPOINTS__STUDIO__URL=.*from the variable {name}"):
        load(environ={name: "x"})


def test_config_shows_what_each_endpoint_says_and_masks_keys_and_headers(tmp_path: Path) -> None:
    file = tmp_path / "watcher.toml"
    file.write_text(THREE)

    done = invoke("config", "--config", str(file), "--set", "endpoints.studio.concurrency=3")

    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "sk-" not in done.stdout
    assert "az-secret" not in done.stdout
    assert "of-api-alone" not in done.stdout
    assert '{api-key = "**********"}' in lines["endpoints.azure.headers"]
    assert lines["endpoints.studio.concurrency"].endswith("command line")
    assert "endpoints.studio.price_per_minute" not in lines


def test_the_commented_endpoint_of_the_example_loads(tmp_path: Path) -> None:
    lines = example().splitlines()
    first = lines.index("# [endpoints.studio]")
    table = [line.removeprefix("# ") for line in lines[first : lines.index("[transcript]") - 2]]

    assert list(loaded(tmp_path, "\n".join(table)).settings.servers) == ["studio"]


def test_a_table_is_written_in_tomls_notation() -> None:
    assert toml({"a-b": "x", "a b": 1}) == '{a-b = "x", "a b" = 1}'
