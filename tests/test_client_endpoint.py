import pytest
from pydantic import SecretStr

from watcher.client import Endpoint
from watcher.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("https://h", "https://h/v1"),
        ("https://h/", "https://h/v1"),
        ("https://h/v1", "https://h/v1"),
        ("https://h/openai/v1/", "https://h/openai/v1"),
        ("https://h/v1/audio/transcriptions", "https://h/v1"),
        ("http://h:4010/audio/transcriptions", "http://h:4010"),
        ("https://h/v1/audio/translations/", "https://h/v1"),
        ("https://h/relay", "https://h/relay/v1"),
        ("https://h//a//v1//", "https://h/a/v1"),
        ("HTTPS://h:8443/API/v1", "https://h:8443/API/v1"),
        ("  https://h/v1 \n", "https://h/v1"),
        ("http://[::1]:9/v1", "http://[::1]:9/v1"),
    ],
)
def test_an_address_becomes_the_route_however_it_was_pasted(given: str, base: str) -> None:
    endpoint = Endpoint(given)

    assert endpoint.transcriptions == f"{base}/audio/transcriptions"
    assert endpoint.translations == f"{base}/audio/translations"


def test_whisper_cpp_has_one_route_for_both() -> None:
    endpoint = Endpoint("http://h:8080/inference")

    assert endpoint.transcriptions == endpoint.translations == "http://h:8080/inference"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "api.openai.com/v1",
        "ftp://h/v1",
        "https://",
        "https:///v1",
        "https://user:pass@h/v1",
        "https://user@h/v1",
        "https://h/v1?key=1",
        "https://h/v1?",
        "https://h/v1#top",
        "https://h:port/v1",
        "https://h:99999/v1",
        "https://[::1/v1",
        "https://h/v 1",
        "https://h/v1\n\nx",
        "https://h/\x00",
    ],
)
def test_an_address_that_cannot_work_is_refused_at_start(given: str) -> None:
    with pytest.raises(ConfigError):
        Endpoint(given)


def test_an_unusual_path_is_said() -> None:
    endpoint = Endpoint("https://h/relay")

    assert endpoint.assumed
    assert endpoint.warnings() == (
        "api.url has an unusual path: requests go to https://h/relay/v1/audio/transcriptions",
    )


@pytest.mark.parametrize(
    "given",
    ["sk-abc", " sk-abc\n", "\r\nsk-abc", "Bearer sk-abc", "bearer  sk-abc ", "BEARER\tsk-abc"],
)
def test_a_key_is_cleaned_of_what_comes_along_when_it_is_pasted(given: str) -> None:
    assert Endpoint("https://h", key=given).secret == "sk-abc"
    assert Endpoint("https://h", key=SecretStr(given)).secret == "sk-abc"


@pytest.mark.parametrize(
    "given", [" ", "\n", "Bearer", "Bearer ", "sk abc", "sk-a\nb", "sk-ä", "sk-€", "sk-\x7f", "“sk-abc”"]
)
def test_a_key_that_cannot_be_sent_is_refused_at_start(given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Endpoint("https://h", key=given)

    assert "sk-" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("given", [None, "", SecretStr("")])
def test_a_server_may_do_without_a_key(given: SecretStr | str | None) -> None:
    assert Endpoint("https://h", key=given).secret == ""


def test_the_key_never_shows() -> None:
    endpoint = Endpoint("https://h", key="sk-secret")

    assert "sk-secret" not in repr(endpoint)
    assert "sk-secret" not in str(endpoint.key)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost/v1", "http://a.localhost", "http://[::1]:1", "https://h"]
)
def test_a_key_is_safe_on_this_machine_and_over_https(url: str) -> None:
    assert Endpoint(url, key="sk-abc").warnings() == ()


@pytest.mark.parametrize("url", ["http://192.168.1.5:8000", "http://relay.example/v1", "http://127.0.0.1.example"])
def test_a_key_in_the_clear_is_a_warning(url: str) -> None:
    assert "unencrypted" in Endpoint(url, key="sk-abc").warnings()[0]
    assert Endpoint(url).warnings() == ()


def test_a_host_is_public_unless_its_address_or_name_says_that_it_is_near() -> None:
    near = (
        "localhost a.localhost 127.0.0.1 [::1] 192.168.1.5 10.0.0.1 169.254.1.1 100.64.0.9 0.0.0.0 [fd00::1] [fe80::1]"
    )
    named = "speaches NAS.local nas.local. host.docker.internal gpu.lan gpu.home.arpa"
    public = "api.openai.com relay.example 8.8.8.8 [2001:4860:4860::8888] 127.0.0.1.example local.example mylocal.de"
    hosts = f"{near} {named} {public}".split()

    assert [host for host in hosts if Endpoint(f"http://{host}:8000/v1").public] == public.split()


@pytest.mark.parametrize(("model", "size"), [("", 1), (" ", 1), ("a\nb", 1), ("whisper-1", 0)])
def test_what_no_server_takes_is_refused_at_start(model: str, size: int) -> None:
    with pytest.raises(ConfigError):
        Endpoint("https://h", model=model, max_upload_bytes=size)


def test_the_name_tells_servers_apart() -> None:
    names = {Endpoint(url).name for url in ("https://h", "https://h:8443", "https://h/a", "https://h/b", "https://i")}

    assert len(names) == 5
    assert Endpoint("https://H/v1").name == Endpoint("https://h/").name


def test_endpoints_with_different_keys_differ() -> None:
    assert Endpoint("https://h", key="a") != Endpoint("https://h", key="b")
    assert Endpoint("https://h", key="a") == Endpoint("https://h", key=" a ")


def test_who_comes_is_reported_by_key_and_model_without_telling_the_key() -> None:
    ours = Endpoint("https://h", key="sk-secret")
    parties = {
        ours.party,
        Endpoint("https://h", key="other").party,
        Endpoint("https://h", key="sk-secret", model="m").party,
    }

    assert len(parties) == 3
    assert ours.party == Endpoint("https://i", key="sk-secret").party
    assert "secret" not in ours.party


def test_hosts_whose_endpoint_of_one_name_is_a_server_of_their_own_share_no_hold() -> None:
    """A server on this machine that was off held those of all other hosts, too."""
    parties = {Endpoint(url, title="studio").party for url in ("http://127.0.0.1:8000", "http://127.0.0.1:8001")}

    assert len(parties) == 2
