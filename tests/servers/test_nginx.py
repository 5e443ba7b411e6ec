"""Our client through nginx: pages instead of answers, an early close, a limit of one megabyte, a redirect."""

from pathlib import Path

import pytest
from servers import asking
from servers.fault import Answer, FaultServer
from support import sounds

from watcher.client import Request
from watcher.errors import AccountError, PassingError, Remedy, RemedyError


def clip(folder: Path, *, seconds: float) -> Path:
    """Noise: FLAC cannot make it smaller than about 28 kB a second."""
    return sounds.encode(sounds.noise(seconds), folder / "clip.flac")


def test_a_request_passes_through_as_it_was(nginx: str, upstream: FaultServer) -> None:
    answer = asking.ask(nginx + "/plain/v1")

    received = upstream.journal[-1]
    assert received.file.sha256[:12] in answer.transcript.text
    assert received.file.data == asking.CLIP.read_bytes()
    assert received.headers["authorization"] == "Bearer sk-of-the-test"


def test_what_is_larger_than_its_default_of_a_megabyte_is_to_be_made_smaller(nginx: str, tmp_path: Path) -> None:
    path = clip(tmp_path, seconds=90)
    assert path.stat().st_size > 2_000_000

    with asking.client(nginx + "/plain/v1") as client, asking.upload(path, seconds=90.0) as large:
        with pytest.raises(RemedyError) as refused:
            client.ask(large, Request())
        assert refused.value.remedy is Remedy.SHRINK
        assert client.limits().max_bytes < path.stat().st_size


def test_a_large_file_passes_where_nginx_lets_it(nginx: str, upstream: FaultServer, tmp_path: Path) -> None:
    path = clip(tmp_path, seconds=90)

    with asking.client(nginx + "/roomy/v1") as client, asking.upload(path, seconds=90.0) as large:
        client.ask(large, Request())

    assert upstream.journal[-1].file.size == path.stat().st_size


def test_a_limit_below_every_piece_is_a_matter_of_the_proxy(nginx: str) -> None:
    with pytest.raises(AccountError) as refused:
        asking.ask(nginx + "/tiny/v1")

    assert "client_max_body_size" in refused.value.hint


@pytest.mark.parametrize(("path", "crowded"), [("/dead/v1", False), ("/busy/v1", True)])
def test_its_own_failures_pass(nginx: str, path: str, *, crowded: bool) -> None:
    with pytest.raises(PassingError) as refused:
        asking.ask(nginx + path)

    assert refused.value.crowded is crowded


@pytest.mark.slow
def test_a_gateway_timeout_passes(nginx: str, upstream: FaultServer) -> None:
    upstream.script(Answer(fault="stall"))

    with pytest.raises(PassingError):
        asking.ask(nginx + "/slow/v1")


def test_a_redirect_is_not_followed(nginx: str, upstream: FaultServer) -> None:
    before = len(upstream.journal)

    with pytest.raises(AccountError, match="redirects"):
        asking.ask(nginx + "/moved/v1")

    assert len(upstream.journal) == before
