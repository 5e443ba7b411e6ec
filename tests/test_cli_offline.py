"""What a person sees of a model's download."""

import io

import pytest

from watcher.cli.offline import _download_teller


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
