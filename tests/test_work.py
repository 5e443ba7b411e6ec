"""Whatever a server, a folder or a file says: twice as much of it is twice the work, in every function that touches it."""

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator

import hypothesis.strategies as st
import pytest
from hypothesis import given
from support.documents import KINDS
from support.work import Work, counting
from test_patterns import modules

from watcher import guard, lint
from watcher.client import Request, fitted, parse
from watcher.client.classify import classify
from watcher.client.refusal import refusal_of
from watcher.client.upload import HttpResponse
from watcher.cues import CaptionRules, layout, stretches
from watcher.cues.lexicon import borders
from watcher.cues.punctuation import full_width
from watcher.cues.text import clean, graphemes, is_right_to_left, is_wide_script, scrub, width
from watcher.cues.tokens import tokens
from watcher.errors import JobError
from watcher.formats import Document, TextLayout, render
from watcher.join import join, move_to_sound
from watcher.join.tracks import TrackTranscript, merge
from watcher.languages import code
from watcher.loudness import Loudness
from watcher.output_kinds import TIMED_KINDS
from watcher.pipeline import empty, language, voices
from watcher.text import nfc, nfkc, printable, stream_safe, unescaped
from watcher.transcript import PieceTranscript, Segment, Transcript, Word

#: Sound that is long enough for any of the answers here.
SECONDS = 36_000.0
#: What texts consist of.
SIGNS = (
    "a", "a ", "A. ", "5", "5 ", "5:", "1:00:00,0 ", "\u0301", "a\u0301", "\u0301\u0323", "\uff9e\u0301", "\u200b", "\u200b ", "\u200b\u3001",
    "\u200d", "\ufe0f", "(", "( ", ": ", "-", "<", "< ", "<b ", "<b>", "<<b>", "</", "<v a", "<title>", "{\\", "{", "[", "[[", "[0.00] ", "[S01]",
    "<|0.00|>", "language ", "&#9;", "&", "&#99999", "\u0e01", "\u0e40", "\u4e2d", "\u3042", "\u3092 ", "\u30fc", "\u30a2", "\u300c", "\u300d", "\u3001",
    "\U0001f1e9", "\U0001f44d\U0001f3fd", "\u05d0", "'", "\ud800", "\x01", "\t", "\n", "\r\n", "\u2028", "\u0130", "\ufdfa", "\u1100", "*", "sk-",
    "type x, code ", "request id: ", "(request id: ", "translat", "amara org ", "thank you ", "-->", "00:00:01,000 --> 00:00:02,000\n",
)  # fmt: skip


def ruling(body: str) -> object:
    return classify(refusal_of(HttpResponse(500, {}, body.encode("utf-8", "surrogatepass")), now=0.0), station=True)


def answer(body: object, seconds: float = SECONDS) -> object:
    """Read an answer; that it cannot be used is an answer, too."""
    raw = (
        body
        if isinstance(body, bytes)
        else (body if isinstance(body, str) else json.dumps(body)).encode("utf-8", "surrogatepass")
    )
    try:
        return parse(raw, seconds)
    except JobError as error:
        return error


TEXTS: dict[str, Callable[[str], object]] = {
    "stream_safe": stream_safe,
    "nfc": nfc,
    "nfkc": nfkc,
    "unescaped": unescaped,
    "clean": clean,
    "scrub": scrub,
    "width": lambda text: width(text, wide=True),
    "graphemes": lambda text: list(graphemes(text)),
    "is_wide_script": is_wide_script,
    "is_right_to_left": is_right_to_left,
    "pieces": lambda text: tokens(clean(text), line=42, wide=False),
    "pieces of prose": lambda text: tokens(clean(text), line=1 << 30, wide=True),
    "borders": lambda text: borders([text]),
    "punctuation": full_width,
    "punctuation beside Chinese": lambda text: full_width("字" + text),
    "fitted": fitted,
    "code": code,
    "printable": printable,
    "request": lambda text: Request(prompt=text, language="de").parameters("whisper-1"),
    "guard": lambda text: guard.review(Transcript((Segment(text, 0.0, 1.0),)), prompt=text),
    "refusal": ruling,
    "refusal, in an object": lambda text: ruling(json.dumps({"error": {"message": text, "code": "request_error"}})),
    "refusal, in a list": lambda text: ruling(json.dumps({"detail": [{"loc": [text], "msg": text}] * 2})),
    "answer": lambda text: answer(text.encode("utf-8", "surrogatepass")),
    "answer, in an object": lambda text: answer({"text": text}),
    "answer, in a segment": lambda text: answer({"segments": [{"start": 0.0, "end": 1.0, "text": text, "speaker": text}]}),
    "answer, in a caption": lambda text: answer("1\n00:00:00,000 --> 00:00:01,000\n" + text),
    "answer, in an event": lambda text: answer("data: " + json.dumps({"type": "transcript.text.done", "text": text}) + "\n\n"),
    "lint": lambda text: (lint.lint(text, "srt"), lint.lint("WEBVTT\n\n" + text, "vtt")),
    "lint, in a caption": lambda text: lint.lint("1\n00:00:00,000 --> 00:00:01,000\n" + text, "srt"),
}  # fmt: skip


@pytest.fixture(scope="module")
def work() -> Iterator[Work]:
    with counting([*modules(), sys.modules[__name__]]) as work:
        yield work


def check(work: Work, call: Callable[[int], Callable[[], object]], size: int) -> None:
    """Hold the work on one, two and four times an input against each other, with a little room for sorting and searching."""
    call(size)()
    once, twice, fourfold = (work.of(call(size * times)) for times in (1, 2, 4))

    assert fourfold - twice <= 2.6 * max(twice - once, 4 * size), (once, twice, fourfold)


#: What is not tried each time.
slow = pytest.mark.slow
#: Signs that showed something once.
TRIED = (
    "a ",
    "\u0301\u0323",
    "\uff9e\u0301",
    "\u200b\u3001",
    "( ",
    ": ",
    "<b ",
    "<<b>",
    "\n",
    "\u3042",
    "\u30a2",
    "<title>",
)


@pytest.mark.parametrize("signs", [TRIED, pytest.param(SIGNS, marks=slow)], ids=["tried", "all"])
@pytest.mark.parametrize("name", TEXTS)
def test_the_work_on_a_text_grows_with_it(work: Work, name: str, signs: tuple[str, ...]) -> None:
    for sign in signs:
        check(work, lambda count, sign=sign: lambda: TEXTS[name](sign * count), 100)  # type: ignore[misc]


def spans(count: int, **keys: Callable[[int], object]) -> list[dict[str, object]]:
    """Make so many entries with times, one behind the other, and with what `keys` say of each."""
    return [{"start": n * 0.1, "end": n * 0.1 + 0.1, **{key: of(n) for key, of in keys.items()}} for n in range(count)]


def lines(count: int, of: Callable[[int], object]) -> str:
    return "".join(f"{one if isinstance(one := of(n), str) else json.dumps(one)}\n" for n in range(count))


def clock(n: int) -> str:
    return f"00:{n // 60 % 60:02d}:{n % 60:02d}.000"


#: Answers of so many entries, in every shape that is read in a way of its own.
ANSWERS: dict[str, Callable[[int], object]] = {
    "words": lambda n: {"words": spans(n, word=str)},
    "words without times": lambda n: {"text": "a " * n, "words": [{"word": "a"}] * n},
    "words that the text does not have": lambda n: {"text": "b " * n, "words": spans(n, word=str)},
    "words of all segments": lambda n: {
        "text": "a " * n,
        "segments": spans(n, text=lambda _: "a"),
        "words": spans(n, word=lambda _: "a"),
    },
    "segments": lambda n: {"segments": spans(n, text=str, speaker=str)},
    "segments without times": lambda n: {"segments": [{"text": "a"}, *spans(1, text=str)] * n},
    "segments at the end alone": lambda n: {"segments": [*({"text": "a"} for _ in range(n)), {"text": "b", "start": 1.0}]},
    "segments all at once": lambda n: {"segments": [{"text": "a", "start": 1.0, "end": 2.0}] * n},
    "segments the wrong way round": lambda n: {"segments": spans(n, text=str)[::-1]},
    "segments in brackets": lambda n: {"text": "[a]\n" * n},
    "words inside of segments": lambda n: {"segments": spans(n, text=str, words=lambda _: spans(3, word=str))},
    "words inside of one segment": lambda n: {"segments": spans(1, text=lambda _: "a " * n, words=lambda _: spans(n, word=str))},
    "tokens": lambda n: {"segments": spans(1, text=lambda _: "a" * n, words=lambda _: [{"word": " a"}, *spans(n, word=lambda _: "b")])},
    "another text": lambda n: {"text": "ab " * n, "segments": spans(n, text=lambda _: "cd")},
    "another text, in long words": lambda n: {"text": "abcdefghij" * n, "segments": spans(n, text=lambda i: f"abcdef{i}")},
    "a text in another order": lambda n: {"text": " ".join(map(str, range(n))), "segments": spans(n, text=lambda i: str(n - i))},
    "a text with more": lambda n: {"text": " ".join(f"said{i} more{i}" for i in range(n)), "segments": spans(n, text=lambda i: f"said{i}")},
    "a text with the same over and over": lambda n: {"text": "a x " * n, "segments": spans(n, text=lambda _: "y a")},
    "pairs": lambda n: {"text": "a " * n, "timestamp": [[i, i + 1] for i in range(n)]},
    "chunks": lambda n: {"chunks": [{"text": "a", "timestamp": [i, i + 1]} for i in range(n)]},
    "clocks": lambda n: {"segments": [{"text": "a", "start": clock(i), "end": clock(i + 1)} for i in range(n)]},
    "transcripts": lambda n: [{"text": "a"}] * n,
    "transcripts with segments": lambda n: [{"segments": spans(2, text=str)}, {"text": "a"}] * n,
    "texts": lambda n: ["a"] * n,
    "alternatives": lambda n: {"results": [{"alternatives": [{"transcript": "a"}] * 2}] * n},
    "names": lambda n: {f"name {i}": "a" for i in range(n)} | {"text": "a"},
    "captions": lambda n: lines(n, lambda i: f"{i}\n{clock(i)} --> {clock(i + 1)}\nWhat they said\n"),
    "captions without an end": lambda n: f"1\n{clock(0)} --> {clock(1)}\n" + "said\n\n" * n,
    "captions of the web": lambda n: "WEBVTT\n\n" + lines(n, lambda i: f"{clock(i)} --> {clock(i + 1)}\n<v Anna>said</v>\n"),
    "lines of a console": lambda n: lines(n, lambda i: f"[{clock(i)} --> {clock(i + 1)}]  said"),
    "lyrics": lambda n: lines(n, lambda i: f"[{i // 60:02d}:{i % 60:02d}.00]said"),
    "times in the text": lambda n: "".join(f"<|{i}.00|>said<|{i}.50|>" for i in range(n)),
    "times and speakers": lambda n: "".join(f"[{i}.00][S01]said[{i}.50]" for i in range(n)),
    "events of text": lambda n: lines(n, lambda _: 'data: {"type": "transcript.text.delta", "delta": "a "}\n') + "data: [DONE]\n\n",
    "events of segments": lambda n: lines(n, lambda i: f'data: {{"type": "x.segment", "text": "a", "start": {i}, "end": {i + 1}}}\n'),
    "events of answers": lambda n: lines(n, lambda _: 'data: {"text": "a"}\n'),
    "events of words": lambda n: "data: a\n\n" * n,
    "an event of lines": lambda n: "data: a\n" * n + "\n",
    "events of a chat": lambda n: lines(n, lambda _: 'data: {"choices": [{"delta": {"content": "a "}}]}\n') + "data: [DONE]\n\n",
    "lines of objects": lambda n: lines(n, lambda _: {"text": "a"}),
    "lists inside each other": lambda n: "[" * n + "]" * n,
    "objects inside each other": lambda n: '{"result":' * n + '"a"' + "}" * n,
    "errors": lambda n: {"error": {"message": ["a"] * n}},
}  # fmt: skip


@pytest.mark.slow_if(
    "transcripts with segments",
    "a text with the same over and over",
    "captions",
    "captions of the web",
    "a text with more",
    "alternatives",
    "segments the wrong way round",
    "lines of a console",
    "lines of objects",
    "words inside of segments",
)
@pytest.mark.parametrize("name", ANSWERS)
def test_the_work_on_an_answer_grows_with_it(work: Work, name: str) -> None:
    # Words are compared one by one only up to 200 words with 200.
    size = 250 if name in {"a text with the same over and over", "transcripts with segments"} else 100
    check(work, lambda count: lambda: answer(ANSWERS[name](count)), size)


@pytest.mark.parametrize("name", ANSWERS)
def test_the_work_on_a_refusal_grows_with_it(work: Work, name: str) -> None:
    def call(count: int) -> Callable[[], object]:
        body = ANSWERS[name](count)
        return lambda: ruling(body if isinstance(body, str) else json.dumps({"error": body}))

    check(work, call, 60)


def transcript(
    count: int, text: str, said: str = "", *, segments: bool = False, seconds: float = 0.5, names: int = 1
) -> Transcript:
    """Say a text so many times: in one segment with a word for each, or in segments; `said` is what the words say instead."""
    starts = [index * seconds for index in range(count)]
    if segments:
        return Transcript(
            tuple(Segment(text, at, at + seconds, speaker=str(index % names)) for index, at in enumerate(starts))
        )
    words = tuple(Word(said or text, at, at + seconds) for at in starts)
    return Transcript((Segment(" ".join([text] * count), 0.0, count * seconds, words=words),), duration=count * seconds)


TRANSCRIPTS: dict[str, Callable[[int], Transcript]] = {
    "letters": lambda n: transcript(n, "a"),
    "letters all at once": lambda n: transcript(n, "a", seconds=0.0001),
    "letters among other words": lambda n: transcript(n, "a", "b"),
    "letters among words twice as long": lambda n: transcript(n, "a b", "aa"),
    "segments": lambda n: transcript(n, "a", segments=True),
    "segments all at once": lambda n: transcript(n, "a", segments=True, seconds=0.0001),
    "segments that span it all": lambda n: Transcript((Segment("a", 0.0, n * 0.1),) * n, duration=n * 0.1),
    "speakers": lambda n: transcript(n, "a", segments=True, names=10**9),
    "speakers all at once": lambda n: transcript(n, "a", segments=True, seconds=0.0001, names=10**9),
    "zero-width words": lambda n: transcript(n, "\u200b"),
    "zero-width segments": lambda n: transcript(n, "\u200b", segments=True),
    "zero-width segments without blanks": lambda n: transcript(n, "\u200b\u3001", segments=True),
    "stops": lambda n: transcript(n, ":"),
    "openers": lambda n: transcript(n, "("),
    "sentences": lambda n: transcript(n, "a."),
    "thank you": lambda n: transcript(n, "Thank you.", segments=True),
    "Thai": lambda n: transcript(n, "\u0e40\u0e01", "\u0e01"),
    "Japanese": lambda n: transcript(n, "\u3092\u4e2d"),
    "a long word": lambda n: transcript(1, "a" * n),
    "a long word of Japanese": lambda n: transcript(1, "\u3042\u4e2d" * n),
}


def part(said: Transcript, start: float, seconds: float = 30.0) -> PieceTranscript:
    return PieceTranscript(start, start + max(seconds, 3.0), said)


def untimed(said: Transcript, start: float) -> PieceTranscript:
    return PieceTranscript(start, start + 30.0, Transcript(said.segments, timed=False))


def outputs(said: Transcript) -> None:
    laid_out = layout(said, CaptionRules(), duration=said.duration)
    document = Document(said, laid_out, "a.wav", text=TextLayout(wrap=80, vtt_words=True, lrc_words=True))
    for kind in KINDS:
        # What python-docx does with its template is more than all the text of these.
        if kind != "docx" and (said.timed or kind not in TIMED_KINDS):
            render(kind, document)


def outputs_in_stretches(said: Transcript) -> None:
    """Make the outputs of a transcript that is divided into many stretches, and its segments into parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "MOST_TOKENS", 40)
        patch.setattr(stretches, "MOST_CHARACTERS", 20)
        outputs(said)


def session(said: Transcript, tracks: int = 2) -> Transcript:
    """Merge tracks in which the same is said, as loud and much quieter in turn, and once half a second later."""
    return merge(
        [
            TrackTranscript(
                said, f"{index}", f"{index}", (index == 1) / 2, Loudness((b"\x10\x40" * 9, b"\x20")[index % 2] * 5000)
            )
            for index in range(tracks)
        ]
    ).transcript


STAGES: dict[str, Callable[[Transcript], object]] = {
    "guard": lambda said: guard.review(said, loudness=b"\x10" * (1000 + int(said.duration * 10)), prompt="a b c"),
    "sound": lambda said: move_to_sound(said, Loudness(b"\x10\x40\x40\x40" * 5000)),
    "empty": lambda said: empty.in_doubt(said, SECONDS, prompt="a b c", guarded=True),
    "language": lambda said: language.resolve([part(said, 0.0), part(said, 30.0)], lambda _index, _language: None),
    "voices": voices.choose,
    "join": lambda said: join([part(said, 0.0), part(said, 28.0)], duration=SECONDS),
    "join at an end": lambda said: join(
        [part(said, 0.0, said.duration), part(said, said.duration - 2.0)], duration=SECONDS
    ),
    "join without times": lambda said: join([untimed(said, 0.0), untimed(said, 28.0)], duration=SECONDS),
    "session": session,
    "session of many": lambda said: session(said, 7),
    "outputs of a session": lambda said: outputs(session(said, 3)),
    "outputs": outputs,
    "outputs in stretches": outputs_in_stretches,
}
#: Words; where two parts meet more of them are not compared, and a caption holds at most 84.
SIZES = {
    "join": 500,
    "join at an end": 500,
    "join without times": 200,
    "outputs": 120,
    "outputs in stretches": 120,
    "outputs of a session": 240,
    # Each track is compared with each other one.
    "session of many": 30,
}


#: What takes long to count is tried with one of them each time, and what takes very long, not at all.
LONG = {"session", "session of many", "outputs of a session"}
#: Transcripts that each stage is tried with each time.
QUICK = {
    "letters",
    "letters among other words",
    "segments all at once",
    "zero-width words",
    "Thai",
    "a long word",
    "speakers",
}


def takes_long(name: str, stage: str) -> bool:
    if stage == "session":
        return name != "letters"
    return stage in LONG or name not in QUICK or (stage in SIZES and name != "a long word")


@pytest.mark.timeout(500)
@pytest.mark.parametrize(
    ("name", "stage"),
    [
        pytest.param(name, stage, marks=slow if takes_long(name, stage) else ())
        for name in TRANSCRIPTS
        for stage in STAGES
    ],
)
def test_the_work_on_a_transcript_grows_with_it(work: Work, name: str, stage: str) -> None:
    check(work, lambda count: lambda: STAGES[stage](TRANSCRIPTS[name](count)), SIZES.get(stage, 100))


def crowd(count: int, at: float, *, timed: bool, word: str, names: int) -> Segment:
    """Say so many words at one moment; each of `names` speakers in turn."""
    said = [word.format(index) for index in range(count)]
    words = tuple(Word(text, at, at + 0.1, f"{at}-{index % names}") for index, text in enumerate(said))
    return Segment(" ".join(said), at, at + 0.1, words=words if timed else ())


CROWDS: dict[str, Callable[[int, float], Segment]] = {
    "words of one kind": lambda count, at: crowd(count, at, timed=True, word="a", names=1),
    "words of many kinds": lambda count, at: crowd(count, at, timed=True, word="a{}", names=1),
    "words of many speakers": lambda count, at: crowd(count, at, timed=True, word="a{}", names=10**9),
    "words of one kind without times": lambda count, at: crowd(count, at, timed=False, word="a", names=1),
    "words of many kinds without times": lambda count, at: crowd(count, at, timed=False, word="a{}", names=1),
}


@pytest.mark.slow_unless("words of many kinds without times")
@pytest.mark.parametrize("name", CROWDS)
def test_the_work_where_two_pieces_meet_is_bounded_however_crowded_it_is(work: Work, name: str) -> None:
    # As many words as an answer may have; and those numbers where more are not compared any more.
    for count in (40, 60, 80, 160, 200):
        said = Transcript((CROWDS[name](count, 1.0), CROWDS[name](count, 3.0)), "en", 4.0)
        pieces = [PieceTranscript(2.0 * index, 2.0 * index + 4.0, said) for index in range(6)]
        alive: list[None] = []
        taken = work.of(lambda: join(pieces, duration=14.0, alive=lambda: alive.append(None)))  # noqa: B023 - done by then

        assert len(alive) >= 2 * len(pieces)
        assert taken <= 700_000 * len(pieces), count


@pytest.mark.slow_if("100-49", "20-49")
@pytest.mark.parametrize("rate", [49, 99])
@pytest.mark.parametrize("speed", [20, 100])
def test_the_work_on_captions_is_bounded_by_the_text_whatever_a_folder_asks_for(
    work: Work, speed: int, rate: int
) -> None:
    # Each character is a token: nothing has more places to break.
    text = "".join(chr(0x4E00 + index * 7919 % 20_000) for index in range(700))
    said = Transcript((Segment(text, 0.0, len(text) / rate),), "zh", len(text) / rate)
    rules = CaptionRules(max_chars=200, max_lines=4, max_seconds=30, max_chars_per_second=speed)

    taken = work.of(lambda: layout(said, rules, duration=said.duration))

    assert taken <= 12_000 * len(text)


#: Work with the square of its input, in the ways that are counted.
SQUARES: dict[str, Callable[[int], object]] = {
    "rounds of a loop": lambda n: [0 for _ in range(n) for _ in range(n)],
    "texts given to a pattern": lambda n: [re.sub("b", "", "a" * n) for _ in range(n)],
    "a method of a text": lambda n: [("a" * n).replace("b", "") for _ in range(n)],
    "a sum": lambda n: [sum([0] * n) for _ in range(n)],
    "normalization": lambda n: unicodedata.normalize("NFC", "a" + "\u0301\u0323" * n),
}


@pytest.mark.parametrize("name", SQUARES)
def test_work_that_grows_with_the_square_is_seen(work: Work, name: str) -> None:
    with pytest.raises(AssertionError):
        check(work, lambda count: lambda: SQUARES[name](count), 100)


# Anything at all.

KEYS = st.sampled_from(
    re.findall(
        r"\w+",
        """text segments words word start end speaker timestamp chunks result results alternatives error duration language
        usage detail message offsets sentences""",
    )
)
SAID = st.lists(st.sampled_from(SIGNS) | st.text(max_size=3), max_size=30).map("".join)
VALUES = st.recursive(
    SAID | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=60,
)
BODIES = (
    st.binary(max_size=400)
    | SAID.map(lambda text: text.encode("utf-8", "surrogatepass"))
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.lists(VALUES, max_size=6).map(
        lambda values: lines(len(values), lambda i: f"data: {json.dumps(values[i])}\n").encode()
    )
)


@pytest.mark.slow
@given(body=BODIES, seconds=st.sampled_from((0.0, 0.5, 30.0)))
def test_any_bytes_are_an_answer_that_is_done_with_soon(work: Work, body: bytes, seconds: float) -> None:
    def all_of_it() -> None:
        said = answer(body, seconds)
        ruling(body.decode("utf-8", "replace"))
        if isinstance(said, Transcript):
            joined = join([part(said, 0.0, seconds), part(said, max(0.0, seconds - 2.0), seconds)], duration=seconds)
            outputs(guard.review(joined.transcript, prompt="a b c"))

    assert work.of(all_of_it) <= 5_000 * (len(body) + 100)
