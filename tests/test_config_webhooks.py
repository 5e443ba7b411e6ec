"""[[webhooks]]: names, secrets from every source, and what is refused."""

from pathlib import Path

import pytest

from watcher.cli.main import run
from watcher.config import load
from watcher.errors import ConfigError
from watcher.service.plan import OVERRIDABLE, plan, webhooks_of

FIRST, SECOND = (f"whsec_{letter * 40}" for letter in "ab")


def written(directory: Path, text: str) -> Path:
    file = directory / "watcher.toml"
    file.write_text(text)
    return file


def secrets(file: Path | None, **environ: str) -> dict[str, tuple[str, ...]]:
    return {name: one.secrets for name, one in webhooks_of(load(environ=environ, file=file).settings).items()}


def test_a_webhook_is_called_by_its_name_or_its_host_and_gets_two_events_by_default(tmp_path: Path) -> None:
    file = written(
        tmp_path, '[[webhooks]]\nurl = "http://N8N.lan:5678/x"\n[[webhooks]]\nurl = "http://n8n.lan/y"\nname = "two"\n'
    )
    found = webhooks_of(load(environ={}, file=file).settings)

    assert list(found) == ["n8n.lan", "two"]
    assert found["two"].events == ("job.done", "job.failed")


def test_secrets_come_from_the_file_a_secret_file_a_credential_or_the_environment(tmp_path: Path) -> None:
    own, credentials = tmp_path / "secret", tmp_path / "credentials"
    own.write_text(f"{FIRST}\n{SECOND}\n")
    credentials.mkdir()
    (credentials / "webhook_secret.n8n").write_text(SECOND)
    head = '[[webhooks]]\nurl = "http://h/"\nname = "n8n"\n'

    assert secrets(written(tmp_path, f'{head}secret = ["{FIRST}", "{SECOND}"]')) == {"n8n": (FIRST, SECOND)}
    assert secrets(written(tmp_path, f'{head}secret_file = "{own}"')) == {"n8n": (FIRST, SECOND)}
    given = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert secrets(written(tmp_path, f'{head}secret = "{FIRST}"'), **given) == {"n8n": (SECOND,)}
    given |= {"WATCHER_WEBHOOKS__0__URL": "http://e/", "WATCHER_WEBHOOKS__0__NAME": "n8n"}
    assert secrets(None, **given, WATCHER_WEBHOOKS__0__SECRET=f"{FIRST} {SECOND}") == {"n8n": (FIRST, SECOND)}


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ('url = "ftp://h/"', "it has to be a whole address"),
        ('url = "http://me:pw@h/"', "it must not contain a user or password"),
        ('url = "http://h/"\nsecret = "whsec_YWJj"', "this one has 3 bytes"),
        ('url = "http://h/"\nevents = ["job.started"]', "it has to be a list of one or more of"),
        ('url = "http://h/"\nheaders = {webhook-id = "x"}', "the header webhook-id cannot be set"),
        ('url = "http://h/"\n[[webhooks]]\nurl = "http://h/b"', "two webhooks are called 'h'"),
        ('url = "http://h/"\nsecrets = "x"', "did you mean webhooks.secret"),
        ('url = "http://h/"\nsecret_file = "/nowhere"', "webhooks.secret_file = /nowhere cannot be read"),
    ],
)
def test_what_cannot_work_is_refused_in_a_sentence(tmp_path: Path, keys: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(environ={}, file=written(tmp_path, f"[[webhooks]]\n{keys}\n"))

    assert why in refused.value.message
    assert "YWJj" not in refused.value.message


def test_a_service_needs_the_secret_and_a_command_that_sends_nothing_does_not(tmp_path: Path) -> None:
    config = load(environ={"WATCHER_API__KEY": "k"}, file=written(tmp_path, '[[webhooks]]\nurl = "http://h/"\n'))

    assert plan(config, keyless=True).webhooks["h"].secrets == ()
    with pytest.raises(ConfigError, match="the webhook h has no secret") as refused:
        plan(config)
    assert "webhook_secret.h" in refused.value.hint


def test_config_shows_no_secret_and_a_folder_can_set_no_webhook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f'[[webhooks]]\nurl = "http://h/"\nsecret = "{FIRST}"\nheaders = {{Authorization = "Bearer tk_secret"}}\n'
    for extra in ([], ["--json"]):
        assert run(["config", "--config", str(written(tmp_path, text)), *extra]) == 0
        shown = capsys.readouterr().out
        assert "webhooks.h.secret" in shown
        assert FIRST[6:] not in shown
        assert "tk_secret" not in shown
    assert set(OVERRIDABLE) == {"transcript", "subtitles", "folder"}
