"""What a person sees of a model's download, and of a folder that holds none."""

import io
from pathlib import Path

import pytest

from watcher.cli.offline import _download_teller, started_engine
from watcher.cli.options import configured
from watcher.errors import ConfigError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "shown"),
    [
        (
            Terminal(),
            (
                "\rdownloading the model small (only once)"
                "\rdownloading the model small (only once): 50% of 484 MB"
                "\rdownloading the model small (only once): 100% of 484 MB\n"
            ),
        ),
        (
            io.StringIO(),
            "downloading the model small (only once)\ndownloading the model small (only once): 100% of 484 MB\n",
        ),
    ],
    ids=["terminal", "log"],
)
def test_a_download_is_a_growing_line_at_a_terminal_and_two_lines_in_a_log(stream: io.StringIO, shown: str) -> None:
    tell = _download_teller(stream)

    for count, total in [(0, 0), (242_000_000, 484_000_000), (242_000_001, 484_000_000), (484_000_000, 484_000_000)]:
        tell("small", count, total)

    assert stream.getvalue() == shown


def test_the_journal_is_told_that_a_download_is_no_error() -> None:
    stream = io.StringIO()

    _download_teller(stream, in_journal=True)("small", 0, 0)

    assert stream.getvalue() == "<6>downloading the model small (only once)\n"


def test_a_folder_without_a_model_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "empty").mkdir()
    cases = {
        "/nowhere/model": "there is no folder /nowhere/model (offline.model)",
        "./nowhere": "there is no folder nowhere (offline.model)",
        "~/nowhere": f"there is no folder {tmp_path}/nowhere (offline.model)",
        "~/empty": f"{tmp_path}/empty holds no model in CTranslate2's form (model.bin, config.json, tokenizer.json) (offline.model)",
    }

    for model, message in cases.items():
        with (
            pytest.raises(ConfigError) as raised,
            started_engine(configured(None, [f"offline.model={model}"]), port=0, key=""),
        ):
            pass
        assert (model, raised.value.message) == (model, message)
