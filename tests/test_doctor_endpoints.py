"""`watcher check` with several endpoints: real servers side by side, one of which is away, wants another key, or hangs."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support import certificates
from support.heard import hearing
from support.scripted import Asked, Reply, Server, serving

from watcher.cli.main import run

REFUSED_KEY = Reply({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, status=401)


@dataclass
class Site:
    """Settings with several endpoints, and a folder."""

    directory: Path
    stack: ExitStack
    output: pytest.CaptureFixture[str]
    urls: dict[str, str] = field(default_factory=dict)
    ca_files: dict[str, Path] = field(default_factory=dict)
    #: More lines of the folder's table.
    folder_settings: str = ""

    @property
    def folder(self) -> Path:
        return self.directory / "in"

    def add(self, name: str, script: Callable[[Asked], Reply], *, tls: ssl.SSLContext | None = None) -> Server:
        server = self.stack.enter_context(serving(script, tls=tls))
        self.urls[name] = server.url
        return server

    def check(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        tables = [
            f'[endpoints.{name}]\nurl = "{url}"\nkey = "key-of-{name}"\nmodel = "whisper-1"\nca_file = "{self.ca_files.get(name, "")}"\n'
            for name, url in self.urls.items()
        ]
        folder = f'[[folders]]\npath = "{self.folder}"\n{self.folder_settings}\n'
        file = self.directory / "watcher.toml"
        file.write_text("\n".join([*tables, folder, f'[state]\ndir = "{self.directory / "state"}"\n']))
        code = run(["check", "--json", "--config", str(file), *arguments])
        document: dict[str, Any] = json.loads(self.output.readouterr().out)
        return code, document


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Site]:
    (tmp_path / "in").mkdir()
    with ExitStack() as stack:
        yield Site(tmp_path, stack, capsys)


def of(document: dict[str, Any], endpoint: str, grade: str = "") -> list[dict[str, Any]]:
    return [
        one
        for one in document["data"]["findings"]
        if one.get("endpoint", "") == endpoint and grade in {"", one["grade"]}
    ]


def posts(server: Server) -> int:
    return sum(asked.method == "POST" for asked in server.asked)


def unused_url() -> str:
    with serving(hearing) as server:
        pass
    return server.url


def listing(asked: Asked) -> Reply:
    return hearing(asked) if asked.method == "POST" else Reply({"data": [{"id": "whisper-1"}]})


def test_each_endpoint_is_looked_at_though_one_refuses_the_key_and_one_is_away(site: Site) -> None:
    relay = site.add("relay", lambda _: REFUSED_KEY)
    site.urls["studio"] = unused_url()
    cloud = site.add("cloud", listing)

    code, document = site.check("--paid")

    assert code == 4
    refused, untranscribed = of(document, "relay", "fail")
    assert untranscribed["message"].startswith("relay: it does not transcribe: ")
    assert refused["message"].startswith("relay: the key is refused (401)")
    assert refused["hint"] == "set the right one: WATCHER_ENDPOINTS__RELAY__KEY, or the credential api_key.relay"
    (away,) = of(document, "studio", "fail")
    assert away["message"].startswith("studio: ")
    assert away["message"].endswith("cannot be reached: connection refused")
    assert away["hint"] == "start the server, or correct the port in endpoints.studio.url"
    assert not of(document, "cloud", "fail")
    said = [one["message"] for one in of(document, "cloud")]
    assert "cloud: the key is accepted, and whisper-1 is listed" in said
    assert any(message.startswith("cloud: it transcribed a one-second clip") for message in said)
    assert posts(cloud) == 1
    for server, name in ((relay, "relay"), (cloud, "cloud")):
        assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer key-of-{name}"}
    assert {error["message"].partition(":")[0] for error in document["errors"]} == {"relay", "studio"}


def test_without_paid_no_endpoint_gets_sound(site: Site) -> None:
    servers = [site.add(name, listing) for name in ("relay", "cloud")]

    code, document = site.check()

    assert code == 0
    assert [posts(server) for server in servers] == [0, 0]
    assert all(of(document, name, "ok") for name in ("relay", "cloud"))


def test_an_endpoint_that_hangs_delays_no_other(site: Site) -> None:
    cloud_was_asked = threading.Event()

    def waits(asked: Asked) -> Reply:
        # Answers only after the other one has got its sound.
        return listing(asked) if cloud_was_asked.wait(30) else Reply(status=500)

    def cloud(asked: Asked) -> Reply:
        if asked.method == "POST":
            cloud_was_asked.set()
        return listing(asked)

    site.add("relay", waits)
    site.add("cloud", cloud)

    code, document = site.check("--paid")

    assert code == 0
    found = [one["endpoint"] for one in document["data"]["findings"] if "one-second clip" in one["message"]]
    assert sorted(found) == ["cloud", "relay"]


def test_the_file_of_certificates_of_each_endpoint_is_tried(site: Site, certificate: tuple[Path, Path]) -> None:
    (site.directory / "other").mkdir()
    other = certificates.made(site.directory / "other")
    tls = certificates.serving_with(certificate)
    servers = {name: site.add(name, listing, tls=tls) for name in ("right", "wrong", "missing")}
    missing = site.directory / "none.pem"
    site.ca_files = {"right": certificate[0], "wrong": other[0], "missing": missing}

    code, document = site.check()

    assert code == 4
    assert any("its certificate is good for" in one["message"] for one in of(document, "right"))
    assert not of(document, "right", "fail")
    (wrong,) = of(document, "wrong", "fail")
    assert f"wrong: the certificate of 127.0.0.1:{servers['wrong'].port} is not trusted" in wrong["message"]
    assert wrong["hint"] == "check endpoints.wrong.url, the clock, and the certificates in endpoints.wrong.ca_file"
    (gone,) = of(document, "missing", "fail")
    assert f"{missing}, the file of CA certificates, cannot be found" in gone["message"]
    assert gone["hint"] == "correct endpoints.missing.ca_file"


def test_an_endpoint_that_no_folder_uses_is_named_and_not_asked(site: Site) -> None:
    site.add("relay", listing)
    idle = site.add("idle", listing)
    site.folder_settings = 'endpoints = ["relay"]'

    code, document = site.check("--paid")

    assert code == 0
    (found,) = of(document, "idle")
    assert (found["area"], found["grade"]) == ("settings", "warn")
    assert found["message"] == "idle: no folder uses it, so it was not asked"
    assert found["hint"] == "name it in the endpoints of a folder, or remove [endpoints.idle]"
    assert idle.asked == []


@pytest.mark.parametrize("listed", ['["cloud"]', "[]", '"relay"'])
def test_a_list_below_a_folder_that_leaves_no_endpoint_is_named(site: Site, listed: str) -> None:
    for name in ("relay", "cloud"):
        site.add(name, listing)
    site.folder_settings = 'endpoints = ["relay"]'
    below = site.folder / "below"
    below.mkdir()
    (below / ".watcher.toml").write_text(f"endpoints = {listed}\n")
    (site.folder / "fine").mkdir()
    (site.folder / "fine" / ".watcher.toml").write_text('endpoints = ["relay"]\n')

    code, document = site.check()

    assert code == 0
    (found,) = [one for one in document["data"]["findings"] if "wait" in one["message"] and one["area"] == "folder"]
    assert found["grade"] == "warn"
    assert found["message"] == f"no endpoint is left for the recordings in {below}: they wait"
    assert found["hint"] == "let each list of endpoints in .watcher.toml there, and above, name one of: relay"


def test_one_without_a_key_is_a_fault_of_the_settings_and_the_others_are_looked_at(site: Site) -> None:
    site.urls["cloud"] = "https://api.openai.com/v1"
    relay = site.add("relay", listing)

    code, document = site.check("--set", "endpoints.cloud.key=")

    assert code == 3
    (found,) = of(document, "cloud")
    assert (found["area"], found["message"]) == ("settings", "cloud: there is no API key for api.openai.com")
    assert relay.asked


def test_with_api_alone_no_finding_names_an_endpoint(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(listing) as server:
        code = run(["check", "--json", "--set", f"api.url={server.url}", "--set", "api.key=sk-test"])

    findings = json.loads(capsys.readouterr().out)["data"]["findings"]
    assert code == 0
    assert {tuple(one) for one in findings} == {("area", "grade", "message", "hint")}
    assert f"{server.url.removeprefix('http://')} is reached at 127.0.0.1" in [one["message"] for one in findings]
