"""Captions of sessions: who speaks at once shares captions, no word is lost or doubled, and each is shown while it is spoken."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transcripts import spoken, transcripts

from watcher.cues import CaptionRules, Cue, Layout, layout
from watcher.cues.text import clean
from watcher.formats import Document, render
from watcher.join.tracks import TrackTranscript, merge
from watcher.lint import lint
from watcher.loudness import UNMEASURED
from watcher.transcript import Segment, Transcript

NAMES = CaptionRules(speakers="names")


def session(language: str, *said: tuple[str, float, str]) -> Transcript:
    """Return the transcript of a session: who begins when (seconds) to say what, without noticing the others."""
    tracks: defaultdict[str, list[Segment]] = defaultdict(list)
    for seed, (name, start, text) in enumerate(said):
        tracks[name] += spoken(text, language, seed=seed, start=start)
    return merge(
        [
            TrackTranscript(Transcript(tuple(own), language, own[-1].end + 2), name, name, 0.0, UNMEASURED)
            for name, own in tracks.items()
        ]
    ).transcript


def laid_out(transcript: Transcript, rules: CaptionRules = CaptionRules()) -> Layout:  # noqa: B008 - it is frozen
    return layout(transcript, rules, duration=transcript.duration)


def shown(found: Layout) -> list[tuple[str, ...]]:
    return [cue.lines for cue in found.cues]


def by_speaker(cues: Sequence[Cue], names: Sequence[str]) -> dict[str, str]:
    """Return all letters of each speaker, from captions that begin with names."""
    mark = re.compile(f"({'|'.join(map(re.escape, names))}): ")
    said: defaultdict[str, str] = defaultdict(str)
    for cue in cues:
        name = ""
        for line in cue.lines:
            match = mark.match(line)
            name = match[1] if match else name
            said[name] += "".join(line[match.end() if match else 0 :].split())
    return dict(said)


def told(transcript: Transcript) -> dict[str, str]:
    said: defaultdict[str, str] = defaultdict(str)
    for segment in transcript.segments:
        said[segment.speaker] += "".join(segment.text.split())
    return dict(said)


LONG = (
    "So I told him that we would never do it like that again, because the last time it had cost us a whole week and "
    "nobody could say afterwards what had gone wrong."
)
#: Dialogues as people have them; what is said at once by all of them is more than anybody can read.
DIALOGUES: dict[str, Transcript] = {
    "turns": session(
        "en", ("Anna", 0.4, "Where were you yesterday?"), ("Ben", 2.4, "At home."), ("Anna", 3.6, "All day?"),
        ("Ben", 4.7, "Nearly. I went out for bread."),
    ),
    "a yes within": session("en", ("Anna", 0.4, LONG), ("Ben", 4.0, "Mhm."), ("Ben", 7.2, "Yes, of course.")),
    "a reply that comes early": session(
        "en", ("Anna", 0.4, "And then we could go to the lake, if you like."), ("Ben", 3.0, "Oh yes, I would love to."),
        ("Anna", 5.0, "Good, then let us leave at nine."),
    ),
    "three at once": session(
        "en", ("Anna", 0.4, "I think it was on Monday, when the rain began."), ("Ben", 0.9, "No, it was Tuesday, I am sure."),
        ("Carla", 1.6, "Does it matter at all?"), ("Anna", 5.5, "Not really."),
    ),
    "two monologues at once": session("en", ("Anna", 0.4, LONG), ("Ben", 1.4, LONG.replace("him", "her"))),
    "German": session(
        "de", ("Jürgen", 0.4, "Also, ich habe ihm gesagt, dass wir das nie wieder so machen, weil es uns beim letzten Mal eine ganze Woche gekostet hat."),
        ("Käthe", 3.1, "Genau."), ("Käthe", 6.0, "Ja, das weiß ich noch."), ("Jürgen", 11.0, "Eben."),
    ),
    "Chinese": session(
        "zh", ("安娜", 0.4, "我昨天跟他说，我们以后再也不能这样做了，因为上次浪费了整整一个星期的时间。"), ("小明", 3.2, "对。"),
        ("小明", 5.0, "我也这么觉得。"), ("安娜", 11.0, "那就好。"),
    ),
    "Arabic": session(
        "ar", ("سارة", 0.4, "قلت له إننا لن نفعل ذلك مرة أخرى، لأنه كلفنا أسبوعا كاملا في المرة السابقة."), ("كريم", 2.6, "نعم."),
        ("كريم", 5.0, "أتذكر ذلك جيدا."),
    ),
    "four in a meeting": session(
        "en", ("Host", 0.4, "Welcome, everybody. Can you all hear me?"), ("Anna", 3.4, "Yes."), ("Ben", 3.5, "Yes, fine."),
        ("Carla", 3.6, "Hello!"), ("Host", 5.2, "Then let us begin with the budget."),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALOGUES)
def test_no_word_is_lost_doubled_or_shown_as_another_speaker_s(name: str) -> None:
    said = told(DIALOGUES[name])

    assert by_speaker(laid_out(DIALOGUES[name], NAMES).cues, list(said)) == said


@pytest.mark.parametrize("speakers", ["dashes", "names", "off"])
@pytest.mark.parametrize("name", DIALOGUES)
def test_every_rule_is_kept_where_there_is_time_to_read(name: str, speakers: str) -> None:
    found = laid_out(DIALOGUES[name], CaptionRules(speakers=speakers))  # type: ignore[arg-type] # from a list of the three

    hurried = "at once" in name or speakers == "names"
    assert {broken.rule for broken in found.broken} <= ({"max_chars_per_second"} if hurried else set())


@pytest.mark.parametrize("kind", ["srt", "vtt"])
@pytest.mark.parametrize("rules", [CaptionRules(), NAMES], ids=["dashes", "names"])
@pytest.mark.parametrize("name", DIALOGUES)
def test_lint_agrees_with_the_layout(name: str, rules: CaptionRules, kind: str) -> None:
    found = laid_out(DIALOGUES[name], rules)

    report = lint(render(kind, Document(DIALOGUES[name], found, "a.wav")), kind, rules)

    assert sum(rule.count for rule in report.rules) == len(found.broken)


def test_a_short_yes_shares_a_caption_with_the_line_during_which_it_is_said() -> None:
    assert shown(laid_out(DIALOGUES["a yes within"])) == [
        ("So I told him", "that we would never do it like that again,"),
        ("- because the last time", "- Mhm."),
        ("it had cost us a whole week",),
        ("- and nobody could say afterwards", "- Yes, of course."),
        ("what had gone wrong.",),
    ]


def test_names_begin_the_captions_and_the_lines_of_a_dialogue() -> None:
    found = laid_out(DIALOGUES["turns"], NAMES)

    assert shown(found) == [
        ("Anna: Where were you yesterday?", "Ben: At home."),
        ("Anna: All day?",),
        ("Ben: Nearly.",),
        ("Ben: I went out for bread.",),
    ]
    assert [cue.speaker for cue in found.cues] == ["", "Anna", "Ben", "Ben"]


def test_a_name_is_before_the_first_line_of_a_caption_alone() -> None:
    assert shown(laid_out(session("en", ("Anna", 0.4, LONG)), NAMES)) == [
        ("Anna: So I told him", "that we would never do it like that again,"),
        ("Anna: because the last time it had cost us",),
        ("Anna: a whole week and nobody", "could say afterwards what had gone wrong."),
    ]


def test_without_marks_each_line_has_one_speaker() -> None:
    found = laid_out(DIALOGUES["turns"], CaptionRules(speakers="off"))

    assert shown(found)[0] == ("Where were you yesterday?", "At home.")


def test_a_reply_that_comes_early_is_shown_beside_what_it_interrupts() -> None:
    assert shown(laid_out(DIALOGUES["a reply that comes early"])) == [
        ("And then we could go to the lake,",),
        ("- if you like.", "- Oh yes, I would love to."),
        ("Good, then let us leave at nine.",),
    ]


def test_two_who_speak_at_once_share_their_captions() -> None:
    found = shown(laid_out(DIALOGUES["two monologues at once"]))

    assert found[0] == ("- So I told him that we would never do it", "- So I told her that we would never do it")
    assert all(len(lines) == 2 and all(line.startswith("- ") for line in lines) for lines in found)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("German", ("- Genau.", "- weil es uns beim letzten Mal eine ganze")),
        ("Chinese", ("- 我们以后再也不能这样做了，", "- 对。我也这么觉得。")),
        ("Arabic", ("- قلت له إننا لن نفعل ذلك مرة أخرى،", "- نعم.")),
    ],
)
def test_replies_share_a_caption_in_any_language(name: str, lines: tuple[str, str]) -> None:
    assert lines in shown(laid_out(DIALOGUES[name]))


@pytest.mark.slow
def test_half_an_hour_of_monologue_with_short_replies() -> None:
    replies = [("Ben", 20.0 + 11.3 * index, "Mhm.") for index in range(150)]
    transcript = session("en", ("Anna", 0.4, " ".join([LONG] * 170)), *replies)

    found = laid_out(transcript)

    assert found.broken == ()
    replied = [(cue, line) for cue in found.cues for line in cue.lines if "Mhm." in line]
    assert len(replied) == 150
    for (cue, _), (_, start, _) in zip(replied, replies, strict=True):
        assert cue.start - 1 <= start <= cue.end + 1


@pytest.mark.parametrize("name", DIALOGUES)
def test_a_session_of_one_track_is_laid_out_as_a_recording(name: str) -> None:
    (own, *_) = {segment.track for segment in DIALOGUES[name].segments}
    segments = tuple(segment for segment in DIALOGUES[name].segments if segment.track == own)
    alone = Transcript(segments, DIALOGUES[name].language, DIALOGUES[name].duration)
    plain = [
        Segment(one.text, one.start, one.end, tuple(type(word)(word.text, word.start, word.end) for word in one.words))
        for one in segments
    ]

    recording = laid_out(Transcript(tuple(plain), alone.language, alone.duration))

    assert [(cue.start, cue.end, cue.lines) for cue in laid_out(alone).cues] == [
        (cue.start, cue.end, cue.lines) for cue in recording.cues
    ]


@st.composite
def talks(draw: st.DrawFn) -> Transcript:
    """Draw a session in which each word is said once: its letters tell who says it and when."""
    chance = random.Random(draw(st.integers(0, 1 << 32)))
    said, number = [], 0
    for name in ("Anna", "Ben", "Carla")[: draw(st.integers(2, 3))]:
        now = chance.uniform(0, 3)
        for _ in range(chance.randint(1, 8)):
            count = chance.choice([1, 2, 8, 20])
            text = " ".join(f"w{number + index}" for index in range(count)) + chance.choice([".", "?", ","])
            number += count
            said.append((name, now, text))
            now += count * 0.4 + chance.choice([0.3, 1.0, 6.0])
    return session("en", *said)


@pytest.mark.slow
@given(talks())
def test_each_word_is_shown_once_and_near_its_time(transcript: Transcript) -> None:
    words = {word.text: word for segment in transcript.segments for word in segment.words}

    found = laid_out(transcript)

    seen = Counter(re.findall(r"w\d+", " ".join(line for cue in found.cues for line in cue.lines)))
    assert seen == Counter(list(words))
    for cue in found.cues:
        for text in re.findall(r"w\d+", " ".join(cue.lines)):
            assert cue.start - 3 <= words[text].start <= cue.end + 3
    assert all(before.end <= after.start for before, after in pairwise(found.cues))


@st.composite
def hostile_sessions(draw: st.DrawFn) -> Transcript:
    found = draw(st.lists(transcripts(most=5), min_size=1, max_size=4))
    tracks = [
        TrackTranscript(said, name, str(number), 0.0, UNMEASURED)
        for number, ((said, _), name) in enumerate(zip(found, ("Anna", "Ben", "", "A" * 60), strict=False))
    ]
    return merge(tracks).transcript


@pytest.mark.slow
@given(hostile_sessions(), st.sampled_from(["dashes", "names", "off"]), st.integers(1, 3), st.sampled_from([10, 42]))
def test_whatever_servers_say_no_letter_is_lost(transcript: Transcript, speakers: str, lines: int, chars: int) -> None:
    rules = CaptionRules(speakers=speakers, max_lines=lines, max_chars=chars)  # type: ignore[arg-type] # from a list of the three

    found = laid_out(transcript, rules)

    plain = Counter("".join("".join(cue.lines) for cue in found.cues))
    wanted = Counter("".join(clean(segment.text) for segment in transcript.segments))
    assert not {letter for letter in wanted - plain if not letter.isspace()}
    assert not {broken.rule for broken in found.broken} & {"max_chars", "max_lines", "max_seconds", "order", "overlap"}
