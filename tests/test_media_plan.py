"""Planning: cuts lie in silences, nothing that sounds is left out, and the same sound is cut the same way."""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import sounds
from support.sounds import RATE

from watcher.job import Cut
from watcher.media.plan import CutRules, PlannedPiece, Planner, rules_for
from watcher.media.values import OVERLAP, MediaOptions

Samples = npt.NDArray[np.int16]


def plan(
    sound: Samples, rules: CutRules, *, planned: Sequence[Cut] = (), block: int = RATE // 2
) -> tuple[list[PlannedPiece], Planner]:
    planner = Planner(rules, planned=planned)
    spans: list[PlannedPiece] = []

    def take() -> None:
        while (span := planner.span()) is not None:
            spans.append(span)
            planner.accept(span)

    for first in range(0, len(sound), block):
        planner.feed(sound[first : first + block])
        take()
    planner.finish()
    take()
    return spans, planner


def cuts(spans: Sequence[PlannedPiece]) -> list[Cut]:
    return [span.cut for span in spans]


def room(seconds: float, *, level: float = 0.002, seed: int = 3) -> Samples:
    """Give a quiet room: noise at about -59 dBFS."""
    return sounds.noise(seconds, level=level, seed=seed)


@cache
def talk(seconds: float, *, seed: int = 1, pause: float = 0.8) -> Samples:
    """Give speech in a quiet room."""
    return sounds.speech(seconds, seed=seed, pause=pause) + room(seconds, seed=seed)


def rules(target: float, *, skip: bool = True, longest: float = 0.0) -> CutRules:
    return CutRules(int(target * RATE), int((longest or target * 1.25) * RATE), skip)


def level_around(sound: Samples, place: int) -> float:
    near = sound[max(0, place - 800) : place + 800].astype(float) / 32768
    return float(10 * np.log10(np.mean(near * near) + 1e-12))


@pytest.mark.slow
def test_cuts_lie_in_pauses_near_the_target() -> None:
    sound = talk(200.0)

    spans, _ = plan(sound, rules(40))

    assert len(spans) in (4, 5, 6)
    for span in spans[:-1]:
        assert 24 * RATE <= span.cut.end - span.cut.start <= 50 * RATE
        assert level_around(sound, span.cut.end) < -50


def test_without_a_gap_pieces_follow_each_other_sample_by_sample() -> None:
    sound = talk(100.0)

    spans, _ = plan(sound, rules(30, skip=False))

    assert np.array_equal(np.concatenate([span.samples for span in spans]), sound)
    assert [span.overlap for span in spans] == [0] * len(spans)


def test_each_span_has_its_index_its_place_and_the_digest_of_its_samples() -> None:
    sound = talk(100.0)

    spans, _ = plan(sound, rules(30))

    for index, span in enumerate(spans):
        assert span.cut.index == index
        assert np.array_equal(span.samples, sound[span.cut.start : span.cut.end])
        assert span.cut.digest == hashlib.sha256(sound[span.cut.start : span.cut.end].tobytes()).hexdigest()


def test_where_nobody_pauses_the_pieces_overlap_by_two_seconds() -> None:
    sound = sounds.sine(100.0, frequency=300)

    spans, _ = plan(sound, rules(30))

    assert len(spans) > 2
    assert [span.overlap for span in spans] == [0] + [OVERLAP] * (len(spans) - 1)
    assert spans[-1].cut.end == len(sound)


@pytest.mark.slow
def test_music_under_the_voice_does_not_hide_the_pauses() -> None:
    bed = sounds.sine(120.0, frequency=220, level=0.02)
    sound = sounds.speech(120.0) + bed

    spans, _ = plan(sound, rules(30, skip=False))

    assert [span.overlap for span in spans] == [0] * len(spans)
    assert all(level_around(sounds.speech(120.0), span.cut.end) < -60 for span in spans[:-1])


@pytest.mark.slow
def test_noise_that_rises_in_the_middle_does_not_hide_the_pauses() -> None:
    noise = np.concatenate([room(150.0), room(150.0, level=0.03, seed=4)])
    speech = sounds.speech(300.0)

    spans, _ = plan(speech + noise, rules(40, skip=False))

    assert sum(span.overlap == 0 for span in spans) >= len(spans) - 1


def test_a_long_silence_is_not_sent_but_for_short_pads() -> None:
    sound = np.concatenate([talk(20.0), room(300.0), talk(20.0, seed=2)])

    spans, _ = plan(sound, rules(600))

    assert len(spans) == 2
    assert sum(len(span.samples) for span in spans) < 43 * RATE
    assert spans[0].cut.end >= 20 * RATE - 0.9 * RATE
    assert 319 * RATE <= spans[1].cut.start <= 320 * RATE


def test_one_speakers_track_is_cut_where_others_speak() -> None:
    sound = np.concatenate([talk(8.0), room(5.0), talk(6.0, seed=2), room(2.5), talk(4.0)])
    whole, _ = rules_for(len(sound) / RATE, piece_seconds=600.0)
    track, _ = rules_for(
        len(sound) / RATE, piece_seconds=600.0, longest_silence=MediaOptions().for_track().longest_silence
    )

    assert len(plan(sound, whole)[0]) == 1
    assert len(plan(sound, track)[0]) == 2


def test_digital_silence_at_both_ends_is_not_sent() -> None:
    sound = np.concatenate([sounds.silence(60), talk(20.0), sounds.silence(60)])

    spans, _ = plan(sound, rules(600))

    assert len(spans) == 1
    assert 59 * RATE <= spans[0].cut.start <= 60 * RATE
    assert spans[0].cut.end <= 80.5 * RATE


@pytest.mark.parametrize(
    "sound", [sounds.silence(3600), room(400.0), sounds.silence(0.5)], ids=["digital", "room", "short"]
)
def test_where_nothing_sounds_nothing_is_sent(sound: Samples) -> None:
    spans, _ = plan(sound, rules(60))

    assert spans == []


def test_silence_is_sent_when_skipping_is_off() -> None:
    sound = np.concatenate([talk(20.0), sounds.silence(300.0)])

    spans, _ = plan(sound, rules(60, skip=False))

    assert spans[-1].cut.end == len(sound)
    assert sum(len(span.samples) - span.overlap for span in spans) == len(sound)


def test_a_click_in_a_silence_is_no_sound() -> None:
    click = sounds.noise(0.03, level=0.5)
    sound = np.concatenate([sounds.silence(100), click, sounds.silence(100)])

    assert plan(sound, rules(60))[0] == []


@pytest.mark.slow
def test_one_short_word_in_an_hour_of_silence_is_sent() -> None:
    sound = np.concatenate([room(1200.0), sounds.speech(0.3), room(1200.0, seed=5)])

    spans, _ = plan(sound, rules(60))

    assert len(spans) == 1
    assert spans[0].cut.start <= 1200 * RATE
    assert spans[0].cut.end >= 1200.3 * RATE


def test_a_whisper_well_above_the_noise_is_sent() -> None:
    whisper = (sounds.speech(30.0).astype(float) * 0.02).astype(np.int16)
    sound = np.concatenate([talk(60.0), whisper + room(30.0, level=0.0005), talk(60.0)])

    spans, _ = plan(sound, rules(600))

    covered = np.zeros(len(sound), np.bool_)
    for span in spans:
        covered[span.cut.start : span.cut.end] = True
    assert covered[61 * RATE : 88 * RATE].mean() > 0.95


def test_a_steady_noise_that_is_loud_is_for_the_server_to_judge() -> None:
    sound = sounds.noise(100.0, level=0.1)

    spans, _ = plan(sound, rules(40))

    assert spans[-1].cut.end == len(sound)


def test_a_short_rest_goes_with_the_last_piece() -> None:
    spans, _ = plan(talk(44.0), rules(40))

    assert len(spans) == 1


def test_a_rest_a_little_too_long_is_halved_instead_of_leaving_a_scrap() -> None:
    spans, _ = plan(talk(56.0), rules(40))

    assert len(spans) == 2
    assert min(len(span.samples) for span in spans) > 15 * RATE


def test_a_recording_much_longer_than_memory_keeps_little_of_it() -> None:
    planner = Planner(rules(30))
    most = 0
    sound = talk(20.0)
    for _ in range(60):
        planner.feed(sound)
        while (span := planner.span()) is not None:
            planner.accept(span)
        most = max(most, len(planner._kept._buffer))

    assert most <= 200 * RATE


@pytest.mark.slow_if("313")
@pytest.mark.parametrize("block", [RATE // 50 - 7, 1111, RATE, 37 * RATE])
def test_how_the_sound_is_fed_does_not_change_the_cuts(block: int) -> None:
    sound = np.concatenate([talk(70.0), room(50.0), sounds.sine(60, frequency=200), talk(70.0, seed=2)])

    spans, _ = plan(sound, rules(25), block=block)

    assert cuts(spans) == cuts(plan(sound, rules(25))[0])


@pytest.mark.slow
def test_planned_cuts_are_made_again_as_they_were_and_the_rest_is_planned() -> None:
    sound = np.concatenate([talk(70.0), room(50.0), talk(70.0, seed=2)])
    before, _ = plan(sound, rules(25))

    spans, planner = plan(sound, rules(31), planned=cuts(before)[:3])

    assert cuts(spans)[:3] == cuts(before)[:3]
    assert planner.replanned is None
    assert spans[3].cut.start >= before[2].cut.end - OVERLAP
    assert spans[-1].cut.end >= len(sound) - 2 * RATE


def test_a_whole_plan_is_followed_to_the_end_and_nothing_comes_after() -> None:
    sound = sounds.sine(100.0, frequency=300)
    before, _ = plan(sound, rules(30))

    spans, planner = plan(sound, rules(30), planned=cuts(before))

    assert cuts(spans) == cuts(before)
    assert [span.overlap for span in spans] == [span.overlap for span in before]
    assert planner.replanned is None


@pytest.mark.slow
def test_where_the_recording_differs_from_the_plan_it_is_planned_anew_from_there() -> None:
    sound = talk(150.0)
    before, _ = plan(sound, rules(25))
    changed = sound.copy()
    changed[before[2].cut.start + 5 * RATE :] = talk(150.0, seed=9)[before[2].cut.start + 5 * RATE :]

    spans, planner = plan(changed, rules(25), planned=cuts(before))

    assert cuts(spans)[:2] == cuts(before)[:2]
    assert planner.replanned == 2
    assert spans[2].cut.digest != before[2].cut.digest
    assert spans[2].cut.start <= before[2].cut.start
    assert spans[-1].cut.end >= len(changed) - RATE


def test_sound_where_the_plan_left_a_silence_out_is_noticed() -> None:
    sound = np.concatenate([talk(20.0), room(60.0), talk(20.0, seed=2)])
    before, _ = plan(sound, rules(600))
    changed = sound.copy()
    changed[45 * RATE : 50 * RATE] = sounds.speech(5.0)

    spans, planner = plan(changed, rules(600), planned=cuts(before))

    assert planner.replanned == 1
    assert any(span.cut.start <= 45 * RATE and span.cut.end >= 50 * RATE for span in spans)


@pytest.mark.parametrize(
    "strange",
    [
        Cut(0, 0, 10**9, "a" * 64),
        Cut(5, 0, 30 * RATE, "a" * 64),
        Cut(0, 10**8, 10**8 + 30 * RATE, "a" * 64),
    ],
    ids=["beyond the end", "from the middle", "from elsewhere"],
)
def test_a_plan_that_cannot_be_is_forsaken(strange: Cut) -> None:
    sound = talk(60.0)

    spans, planner = plan(sound, rules(25), planned=[strange])

    assert planner.replanned == 0
    assert cuts(spans) == cuts(plan(sound, rules(25))[0])


def test_a_plan_with_gaps_is_forsaken_when_silence_is_to_be_sent() -> None:
    sound = np.concatenate([talk(20.0), room(60.0), talk(20.0, seed=2)])
    before, _ = plan(sound, rules(30))

    spans, planner = plan(sound, rules(30, skip=False), planned=cuts(before))

    assert planner.replanned is not None
    assert sum(len(span.samples) - span.overlap for span in spans) == len(sound)


def test_a_span_that_is_refused_is_made_again_and_shorter() -> None:
    sound = talk(100.0)
    planner = Planner(rules(60))
    planner.feed(sound)
    first = planner.span()
    assert first is not None

    planner.shorten(first, 20 * RATE)
    second = planner.span()

    assert second is not None
    assert second.cut.start == first.cut.start
    assert len(second.samples) <= 20 * RATE


def test_a_planned_span_that_is_refused_ends_the_plan() -> None:
    sound = talk(100.0)
    before, _ = plan(sound, rules(30))
    planner = Planner(rules(30), planned=cuts(before))
    planner.feed(sound)
    first = planner.span()
    assert first is not None

    planner.shorten(first, 10 * RATE)
    second = planner.span()

    assert planner.replanned == 0
    assert second is not None
    assert len(second.samples) <= 10 * RATE


@pytest.mark.slow
@settings(max_examples=settings().max_examples // 2)
@given(
    shape=st.lists(st.sampled_from(["talk", "room", "hum", "nothing", "word"]), min_size=1, max_size=6),
    seconds=st.lists(st.floats(0.5, 70), min_size=6, max_size=6),
    target=st.floats(6, 50),
    skip=st.booleans(),
)
def test_whatever_is_recorded_pieces_are_in_order_within_limits_and_leave_out_silence_only(
    shape: list[str],
    seconds: list[float],
    target: float,
    skip: bool,  # noqa: FBT001 - Hypothesis names arguments
) -> None:
    makers: dict[str, Callable[[float], Samples]] = {
        "talk": talk.__wrapped__,
        "room": room,
        "hum": lambda length: sounds.sine(length, frequency=200),
        "nothing": sounds.silence,
        "word": lambda length: np.concatenate(
            [sounds.speech(min(length, 0.4)), sounds.silence(max(0.0, length - 0.4))]
        ),
    }
    sound = np.concatenate([makers[kind](length) for kind, length in zip(shape, seconds, strict=False)])
    chosen = rules(target, skip=skip)

    spans, _ = plan(sound, chosen)

    end = 0
    left_out = np.ones(len(sound), np.bool_)
    for index, span in enumerate(spans):
        assert span.cut.index == index
        assert 0 < span.cut.end - span.cut.start <= chosen.longest
        assert span.overlap == max(0, end - span.cut.start)
        assert span.overlap <= OVERLAP
        assert span.cut.end > end
        left_out[span.cut.start : span.cut.end] = False
        end = span.cut.end
    if skip:
        frames = len(sound) // 320
        power = np.mean((sound[: frames * 320].reshape(frames, 320).astype(float) / 32768) ** 2, axis=1)
        loud = (power > 10**-4.5) & left_out[: frames * 320].reshape(frames, 320).all(axis=1)
        # Clicks apart, whatever is louder than -45 dBFS is sent.
        assert not np.any(np.convolve(loud, np.ones(5), mode="valid") == 5)
    else:
        assert left_out.sum() < RATE // 10


@pytest.mark.parametrize(
    ("seconds", "limit", "count", "longest"),
    [
        (3600, 0, 6, 765),
        (100, 0, 1, 140),
        (600, 0, 1, 765),
        (650, 0, 1, 828),
        (900, 0, 2, 578),
        (3600, 30, 150, 30),
        (29, 30, 1, 30),
        (36_000, 1390, 60, 765),
    ],
)
def test_pieces_that_need_not_fill_places_are_all_of_one_length(
    seconds: float, limit: float, count: int, longest: float
) -> None:
    chosen, expected = rules_for(seconds, piece_seconds=600, max_seconds=limit)

    assert expected == count
    assert chosen.target == pytest.approx(seconds / count * RATE, abs=1)
    assert chosen.lengths(7, 0, []) == chosen.lengths(0, 10**9, [])
    assert chosen.target <= chosen.longest <= longest * RATE


@pytest.mark.parametrize("seconds", [5, 90, 180])
def test_a_short_recording_is_left_whole_however_many_places_are_free(seconds: float) -> None:
    assert rules_for(seconds, piece_seconds=600, places=8)[1] == 1


def dealt(chosen: CutRules, seconds: float, *, actual: int = 0, jitter: float = 0.0) -> tuple[list[float], list[float]]:
    """Deal out pieces to the places as they get free; give their lengths and how much each place got, in seconds.

    `actual`: the places there really are; `jitter`: how far off the target a pause is found, as a share.
    """
    random = np.random.default_rng(1)
    given, free = [0] * chosen.places, [0] * (actual or chosen.places)
    lengths: list[float] = []
    start, total = 0, int(seconds * RATE)
    while start < total:
        target, longest = chosen.lengths(len(lengths), start, given)
        piece = int(target * random.uniform(1 - jitter, 1 + jitter))
        piece = total - start if total - start <= longest else piece
        given[given.index(min(given))] += piece
        free[free.index(min(free))] += piece
        lengths.append(piece / RATE)
        start += piece
    return lengths, [place / RATE for place in free]


def test_pieces_begin_short_grow_and_end_short() -> None:
    chosen, expected = rules_for(3 * 3600, piece_seconds=600, places=8)

    lengths, _ = dealt(chosen, 3 * 3600)

    assert lengths[:9] == pytest.approx([90] * 8 + [180], rel=0.1)
    assert 300 < max(lengths) <= 600
    assert max(lengths[-8:]) < 150
    assert abs(len(lengths) - expected) <= 1


@pytest.mark.parametrize("places", [3, 4, 8, 16])
@pytest.mark.parametrize("hours", [0.5, 0.77, 1, 3, 9.5])
def test_all_places_end_together(hours: float, places: int) -> None:
    chosen, _ = rules_for(hours * 3600, piece_seconds=600, places=places)

    lengths, free = dealt(chosen, hours * 3600)
    _, uneven = dealt(chosen, hours * 3600, jitter=0.1)

    # The last piece takes what is left, so that nothing is cut off for the sake of evenness.
    assert max(free) <= hours * 3600 / places + 25
    assert max(uneven) <= hours * 3600 / places + 45
    assert min(lengths[:-1]) >= 89


@pytest.mark.parametrize(("places", "actual"), [(8, 7), (4, 3)])
@pytest.mark.parametrize("hours", [0.5, 1, 3])
def test_places_end_close_together_even_if_one_less_is_free(hours: float, places: int, actual: int) -> None:
    chosen, _ = rules_for(hours * 3600, piece_seconds=600, places=places)

    lengths, free = dealt(chosen, hours * 3600, actual=actual)

    assert max(free) <= hours * 3600 / actual + max(lengths[-places:])


def test_pieces_of_an_unknown_length_begin_short_and_grow() -> None:
    chosen, expected = rules_for(None, piece_seconds=600, places=4)

    lengths = [chosen.lengths(index, 0, [0] * 4)[0] // RATE for index in (0, 3, 4, 8, 12, 10**6)]
    assert lengths == [90, 90, 180, 360, 600, 600]
    assert expected == 1


@pytest.mark.slow
@given(
    st.one_of(st.none(), st.floats(0.001, 90_000)),
    st.floats(10, 7200),
    st.integers(0, 64),
    st.one_of(st.just(0.0), st.floats(6, 3000)),
)
def test_rules_are_always_such_as_can_be_kept(
    seconds: float | None, piece_seconds: float, places: int, limit: float
) -> None:
    chosen, count = rules_for(seconds, piece_seconds=piece_seconds, places=places, max_seconds=limit)

    assert count >= 1
    assert OVERLAP < chosen.target <= chosen.longest
    if limit:
        assert chosen.longest <= limit * RATE


def test_rules_that_leave_no_room_to_search_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be cut"):
        CutRules(RATE, RATE)
    with pytest.raises(ValueError, match="cannot be cut"):
        CutRules(10 * RATE, 20 * RATE, places=4, least=11 * RATE)


@pytest.mark.slow
def test_what_is_longer_than_promised_is_not_cut_into_pieces_of_the_promised_length() -> None:
    """Of files joined end to end the first header knows the first one alone."""
    sound = sounds.speech(600.0)
    promised, _ = rules_for(12.0, piece_seconds=120.0)
    beyond, _ = rules_for(None, piece_seconds=120.0)

    planner = Planner(promised, beyond=beyond)
    lengths = []
    for start in range(0, len(sound), 8000):
        planner.feed(sound[start : start + 8000])
        while (span := planner.span()) is not None:
            lengths.append(len(span.samples) / RATE)
            planner.accept(span)

    assert min(lengths[1:]) > 60
