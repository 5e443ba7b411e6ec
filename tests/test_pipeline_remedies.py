"""The plan of forms: each once, in the right order, and always with an end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.errors import Remedy, RemedyError
from watcher.media import CODECS, MediaOptions
from watcher.media.values import Codec
from watcher.pipeline.remedies import Remedies, given_up
from watcher.worker import Fail, Retry, verdict

RECODE = RemedyError("x", remedy=Remedy.RECODE)
SHRINK = RemedyError("x", remedy=Remedy.SHRINK)
SPLIT = RemedyError("x", remedy=Remedy.SPLIT)


def forms(remedies: Remedies, *errors: RemedyError, refused: frozenset[str] = frozenset()) -> list[str]:
    """List the forms from the first one on, as the codec and the seconds of a piece; "whole" stands for the file."""
    found = [remedies.form]
    for error in errors:
        if (form := remedies.next(error, refused=refused)) is None:
            break
        found.append(form)
    return [
        "whole" if form.whole else f"{form.options.codec} {form.options.piece_seconds:g}{' limited' * form.limited}"
        for form in found
    ]


def test_another_encoding_is_flac_then_mp3_then_wav_with_the_same_cuts() -> None:
    assert forms(Remedies(MediaOptions(), whole=True), *[RECODE] * 9) == ["whole", "flac 600", "mp3 600", "wav 600"]


@pytest.mark.parametrize(
    ("codec", "order"),
    [("flac", ["flac", "mp3", "wav"]), ("mp3", ["mp3", "flac", "wav"]), ("wav", ["wav", "flac", "mp3"])],
)
def test_the_configured_codec_comes_first(codec: Codec, order: list[str]) -> None:
    remedies = Remedies(MediaOptions(codec=codec), whole=False)

    assert forms(remedies, *[RECODE] * 9) == [f"{name} 600" for name in order]


def test_codecs_that_the_server_is_known_to_refuse_come_last() -> None:
    refused = frozenset({"flac", "mp3"})

    assert forms(Remedies(MediaOptions(), whole=True), *[RECODE] * 9, refused=refused) == [
        "whole",
        "wav 600",
        "flac 600",
        "mp3 600",
    ]
    assert forms(Remedies(MediaOptions(), whole=False, refused=refused)) == ["wav 600"]


def test_only_the_last_encoding_is_marked_as_the_last() -> None:
    remedies = Remedies(MediaOptions(), whole=True)
    marks = [remedies.form.last]
    while (form := remedies.next(RECODE)) is not None:
        marks.append(form.last)

    assert marks == [False, False, False, True]


def test_what_is_too_large_is_cut_then_sent_as_mp3_then_in_ever_shorter_pieces() -> None:
    assert forms(Remedies(MediaOptions(), whole=True), *[SHRINK] * 9) == [
        "whole",
        "flac 600",
        "mp3 120",
        "mp3 60",
        "mp3 30",
        "mp3 15",
        "mp3 10",
    ]


def test_where_mp3_was_refused_smaller_means_shorter() -> None:
    assert forms(Remedies(MediaOptions(), whole=False), RECODE, RECODE, SHRINK, SHRINK) == [
        "flac 600",
        "mp3 600",
        "wav 600",
        "wav 300",
        "wav 150",
    ]
    wav_only = Remedies(MediaOptions(codec="wav"), whole=False)
    assert forms(wav_only, SHRINK, refused=frozenset({"flac", "mp3"})) == ["wav 600", "wav 300"]


def test_what_is_too_long_is_cut_to_the_limit_or_in_halves() -> None:
    limited = RemedyError("x", remedy=Remedy.SPLIT, seconds=50)

    assert forms(Remedies(MediaOptions(), whole=True), limited, limited) == ["whole", "flac 40", "flac 40 limited"]
    assert forms(Remedies(MediaOptions(piece_seconds=40), whole=False), SPLIT, SPLIT, SPLIT) == [
        "flac 40",
        "flac 20",
        "flac 10",
    ]


def test_a_limit_above_what_is_cut_to_is_worth_one_more_cutting() -> None:
    """A piece may be a little longer than wanted; the next cutting knows the limit."""
    remedies = Remedies(MediaOptions(piece_seconds=600), whole=False)
    limited = RemedyError("x", remedy=Remedy.SPLIT, seconds=670)

    assert forms(remedies, limited, limited) == ["flac 600", "flac 600 limited"]


def test_a_recording_that_is_too_large_in_every_form_has_an_end() -> None:
    """The gate knows nothing of it and holds nothing back, so an error of the account brought it again at once, and for ever."""
    steps = [verdict(given_up(SHRINK), attempts=attempts, limit=3, jitter=lambda: 0.0) for attempts in (1, 2, 3)]

    assert steps == [Retry(1.0), Retry(2.0), Fail()]


def test_a_codec_counts_as_rejected_only_for_its_encoding() -> None:
    remedies = Remedies(MediaOptions(), whole=True)
    for error in (RECODE, SHRINK, RECODE):
        remedies.next(error)

    assert remedies.form.options.codec == "wav"
    assert remedies.rejected == {"mp3"}


@pytest.mark.slow
@given(
    st.lists(st.sampled_from([RECODE, SHRINK, SPLIT, RemedyError("x", remedy=Remedy.SPLIT, seconds=33)]), min_size=60),
    st.sampled_from(CODECS),
    st.frozensets(st.sampled_from(CODECS)),
    st.floats(10, 3600),
)
def test_whatever_is_refused_in_whatever_order_no_form_comes_twice_and_there_is_an_end(
    errors: list[RemedyError], codec: Codec, refused: frozenset[str], seconds: float
) -> None:
    remedies = Remedies(MediaOptions(codec=codec, piece_seconds=seconds), whole=True, refused=refused)
    seen = forms(remedies, *errors, refused=refused)

    assert len(seen) == len(set(seen)) < 20
