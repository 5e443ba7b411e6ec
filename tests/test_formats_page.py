"""The page is read back by another program's parser, and used in a real browser: played, clicked, searched."""

import os
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from support.browser import Browser, browser
from support.sounds import tone
from support.transcripts import transcripts

from watcher.cues import CaptionRules, layout
from watcher.formats import Document, PlayableFile, render
from watcher.job import ResultWarning
from watcher.transcript import Segment, Transcript, Word

_VOID = {"meta", "input", "br"}


class Page(HTMLParser):
    """What another program finds in a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.passages: list[str] = []
        self.speakers: list[str] = []
        self._open: list[str] = []
        self.feed(page.decode())
        self.close()
        assert not self._open, "an element has no end"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "p" and self._open[-2:] == ["div", "p"] and "main" in self._open:
            self.passages.append("")
        if tag == "cite":
            self.speakers.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "main" in self._open and "p" in self._open and self.passages:
            self.passages[-1] += data
        elif "cite" in self._open:
            self.speakers[-1] += data

    def first(self, *tags: str) -> dict[str, str | None]:
        return next(attributes for tag, attributes in self.elements if tag in tags)


def document(
    transcript: Transcript, *files: PlayableFile, source: str = "talk.wav", warnings: tuple[ResultWarning, ...] = ()
) -> Document:
    captions = layout(transcript, CaptionRules(), duration=transcript.duration)
    return Document(transcript, captions, source, "whisper-1", files=files, warnings=warnings)


def said(*lines: tuple[str, str], track: str = "", timed: bool = True, language: str = "en") -> Transcript:
    """Return a transcript in which each word lasts half a second."""
    segments = []
    start = 0.0
    for speaker, text in lines:
        words = text.split()
        times = tuple(Word(word, start + index / 2, start + (index + 1) / 2) for index, word in enumerate(words))
        segments.append(Segment(text, start, start + len(words) / 2, times, speaker, track and speaker))
        start += len(words) / 2 + 1
    return Transcript(tuple(segments), language, start, timed=timed)


@pytest.mark.slow
@given(transcripts())
@settings(max_examples=60)
def test_any_transcript_is_a_page_with_all_of_its_text(case: tuple[Transcript, float]) -> None:
    made = document(case[0], PlayableFile(b"talk.wav"))

    page = Page(render("html", made))

    assert page.passages == [passage.text for passage in made.paragraphs]
    assert page.speakers == [passage.speaker for passage in made.paragraphs if passage.speaker]
    assert [tag for tag, _ in page.elements if tag in {"script", "style"}] == ["style", "script"]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "It was late, and they went home."),
        ("de", "Über die Straße fährt größer „gelb“."),
        ("ru", "Москва говорит: добрый вечер."),
        ("el", "Καλησπέρα σε όλους."),
        ("ar", "مرحبا بالعالم، كيف حالك؟"),
        ("he", "שלום עולם, מה שלומך?"),
        ("hi", "नमस्ते दुनिया।"),
        ("th", "สวัสดีครับ ขอบคุณมาก"),
        ("zh", "你好，世界。我们今天去公园。"),
        ("ja", "東京へ行きました。"),
        ("ko", "안녕하세요, 반갑습니다."),
    ],
)
def test_every_script_is_there_and_turned(language: str, text: str) -> None:
    page = Page(render("html", document(said(("", text), language=language), PlayableFile(b"talk.wav"))))

    assert page.passages == [text]
    main = page.first("main")
    assert main["lang"] == language
    assert main.get("dir") == ("rtl" if language in {"ar", "he"} else None)


@pytest.mark.parametrize(
    "name", [b"a b#c?d%e&f.wav", "Füße “1”.mp3".encode(), b'"><script>.wav', b"\xff\xfe.flac", b"x:y.ogg"]
)
def test_the_player_finds_a_file_of_any_name(name: bytes) -> None:
    page = Page(render("html", document(said(("", "Hello.")), PlayableFile(name), source=os.fsdecode(name))))

    address = page.first("audio")["src"]
    assert address is not None
    assert address.startswith("./")
    assert re.fullmatch(r"[\w.%~-]+", address.removeprefix("./"), re.ASCII)
    assert unquote_to_bytes(address.removeprefix("./")) == name


def test_a_page_without_times_or_without_text_says_so() -> None:
    untimed = Page(render("html", document(said(("", "Hello you."), timed=False), PlayableFile(b"talk.wav"))))
    assert untimed.passages == ["Hello you."]
    assert not any("data-s" in attributes for _, attributes in untimed.elements)

    assert "<p>Nothing was said.</p>" in render("html", document(Transcript((), "en"))).decode()


def test_what_is_in_doubt_is_on_the_page() -> None:
    doubt = ResultWarning("empty_part", "no text for <12> s of sound", "listen to it")

    page = render("html", document(said(("", "Hello.")), PlayableFile(b"talk.wav"), warnings=(doubt,))).decode()

    assert "1 remark about this transcript" in page
    assert "no text for &lt;12&gt; s of sound. listen to it." in page


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


def shown(window: Browser) -> list[str]:
    """Return the words that are marked as heard."""
    words: list[str] = window.ask("[...document.querySelectorAll('.now')].map((word) => word.textContent)")
    return words


def until(window: Browser, condition: str) -> None:
    """Wait until a condition holds in the page."""
    window.ask(
        f"new Promise((done) => {{ const look = () => ({condition}) ? done() : requestAnimationFrame(look); look() }})"
    )


def test_a_click_plays_the_word_and_marks_what_is_heard(window: Browser, tmp_path: Path) -> None:
    name = "a talk #1 50%.wav"
    page = tmp_path / "a talk #1 50%.html"
    tone(tmp_path / name, 12)
    made = document(said(("Anna", "one two three four"), ("Ben", "five six seven eight")), PlayableFile(name.encode()))
    page.write_bytes(render("html", made))
    window.open(page)

    window.click("main .said:nth-of-type(2) p > span:nth-of-type(3)")
    until(window, "document.querySelector('.now')?.textContent === 'eight'")

    assert window.ask("document.querySelector('audio').paused") is False
    assert window.ask("location.hash") == "#t=4"
    window.key(" ")
    until(window, "document.querySelector('audio').paused")
    window.key("ArrowLeft")
    until(window, "document.querySelector('audio').currentTime < 2")
    assert shown(window) != ["eight"]
    assert window.console == []


def test_an_address_with_a_time_opens_there_and_a_renamed_recording_is_found(window: Browser, tmp_path: Path) -> None:
    tone(tmp_path / "new name.wav", 12)
    made = document(said(("", "one two three four five six")), PlayableFile(b"old.wav"))
    (tmp_path / "new name.html").write_bytes(render("html", made))

    window.open(tmp_path / "new name.html", fragment="#t=1.25")
    until(window, "document.querySelector('.now')?.textContent === 'three'")
    until(window, "document.querySelector('audio').readyState > 0")

    assert window.ask("document.querySelector('audio').currentTime") == 1.25
    assert window.ask("document.querySelector('.missing').hidden") is True


@pytest.mark.slow
def test_a_page_that_was_renamed_plays_its_recording_not_the_one_with_the_former_name(
    window: Browser, tmp_path: Path
) -> None:
    tone(tmp_path / "talk.wav", 2)
    tone(tmp_path / "talk.2.wav", 12)
    made = render("html", document(said(("", "one two")), PlayableFile(b"talk.wav")))
    for name in ("talk.2.html", "talk.en.html"):
        (tmp_path / name).write_bytes(made)

    window.open(tmp_path / "talk.2.html")
    until(window, "document.querySelector('audio').readyState > 0")
    assert window.ask("document.querySelector('audio').duration") == 12

    window.open(tmp_path / "talk.en.html")
    until(window, "document.querySelector('audio').readyState > 0")
    assert window.ask("document.querySelector('audio').duration") == 2
    assert window.ask("document.querySelector('.missing').hidden") is True


def test_a_recording_that_is_not_there_is_said_and_the_text_stays(window: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_bytes(render("html", document(said(("", "one two")), PlayableFile(b"gone.wav"))))

    window.open(tmp_path / "page.html")
    until(window, "!document.querySelector('.missing').hidden")

    assert "gone.wav is not beside this page" in window.ask("document.querySelector('.missing').textContent")
    assert window.ask("document.querySelector('main').innerText").endswith("one two")


def test_search_finds_words_across_elements(window: Browser, tmp_path: Path) -> None:
    tone(tmp_path / "talk.wav", 2)
    made = document(said(("", "Straße und Stra\u0301ße, die Straße")), PlayableFile(b"talk.wav"))
    (tmp_path / "page.html").write_bytes(render("html", made))
    window.open(tmp_path / "page.html")

    window.key("/")
    window.ask("document.querySelector('[name=search]').value = 'straße UND'")
    window.key("Enter")

    assert window.ask("document.querySelector('.count').textContent") == "1 of 1"
    assert window.ask("[...document.querySelectorAll('.here')].map((one) => one.textContent)") == ["Straße", "und"]


def test_the_stems_of_a_session_play_together(window: Browser, tmp_path: Path) -> None:
    tone(tmp_path / "1-anna.wav", 12)
    tone(tmp_path / "2-ben.wav", 12)
    lines = said(("Anna", "one two three four"), ("Ben", "five six seven eight"), track="x")
    made = document(
        lines, PlayableFile(b"1-anna.wav", 0, "Anna"), PlayableFile(b"2-ben.wav", 3, "Ben"), source="Take 1"
    )
    (tmp_path / "page.html").write_bytes(render("html", made))
    window.open(tmp_path / "page.html")
    until(window, "[...document.querySelectorAll('audio')].every((one) => one.readyState > 0)")

    window.click("main .said:nth-of-type(2) p > span:nth-of-type(2)")
    until(window, "[...document.querySelectorAll('audio')].every((one) => !one.paused && one.currentTime > 0)")
    window.key(" ")
    until(window, "[...document.querySelectorAll('audio')].every((one) => one.paused)")

    first, second = window.ask("[...document.querySelectorAll('audio')].map((one) => one.currentTime)")
    assert first - (second + 3) == pytest.approx(0, abs=0.3)


def test_text_of_a_server_cannot_become_a_script(window: Browser, tmp_path: Path) -> None:
    evil = "<script>window.evil=1</script><img/src=x/onerror=window.evil=1></script>\"'><svg/onload=window.evil=1>"
    made = document(said((evil, evil), ("Ben", evil)), PlayableFile(b"gone.wav"), source=f"{evil}.wav")
    (tmp_path / "page.html").write_bytes(render("html", made))

    window.open(tmp_path / "page.html")

    assert window.ask("typeof window.evil") == "undefined"
    assert window.ask("document.querySelectorAll('script, img, svg').length") == 1
    # Nor can a script that somebody writes into the page by hand.
    window.console.clear()
    window.ask(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.evil = 1'}))"
    )
    assert window.ask("typeof window.evil") == "undefined"


@pytest.mark.slow
def test_a_page_whose_name_is_no_utf_8_says_what_is_missing_and_finds_its_recording(
    window: Browser, tmp_path: Path
) -> None:
    made = render("html", document(said(("", "one two")), PlayableFile(b"gone.wav")))
    lone, beside = (Path(os.fsdecode(os.fsencode(tmp_path) + name)) for name in (b"/\xff.html", b"/a:\xfe.html"))
    for page in (lone, beside):
        page.write_bytes(made)
    tone(tmp_path / "sound.wav", 2)
    (tmp_path / "sound.wav").rename(beside.with_suffix(".wav"))

    window.open(lone)
    until(window, "!document.querySelector('.missing').hidden")
    window.open(beside)
    until(window, "document.querySelector('audio').readyState > 0")

    assert window.ask("document.querySelector('.missing').hidden") is True


@pytest.mark.slow
def test_the_space_bar_pauses_after_a_time_was_chosen(window: Browser, tmp_path: Path) -> None:
    tone(tmp_path / "talk.wav", 12)
    made = document(said(("", "one two three four")), PlayableFile(b"talk.wav"))
    (tmp_path / "page.html").write_bytes(render("html", made))
    window.open(tmp_path / "page.html")

    window.ask("document.querySelector('.said > a').focus()")
    window.key("Enter")
    until(window, "!document.querySelector('audio').paused")
    window.key(" ")
    until(window, "document.querySelector('audio').paused")

    assert window.ask("document.activeElement.matches('.said > a')") is True
    assert window.ask("document.querySelector('audio').ended") is False


@pytest.mark.slow_if("400")
@pytest.mark.parametrize("width", [400, 1400])
def test_what_the_keyboard_reaches_is_not_below_the_bar(window: Browser, tmp_path: Path, width: int) -> None:
    speakers = [f"Speaker {number}" for number in range(8)]
    lines = said(*[(name, "one two three four") for name in speakers * 8], track="x")
    made = document(lines, *[PlayableFile(b"gone.wav", 0, name) for name in speakers], source="Take 1")
    (tmp_path / "page.html").write_bytes(render("html", made))
    window.resize(width, 800)
    window.open(tmp_path / "page.html")

    window.ask("[...document.querySelectorAll('.said > a')].at(-1).focus()")
    for number in range(62, 0, -1):
        window.key("Tab", shift=True)
        top, bar = window.ask(
            "[document.activeElement, document.querySelector('.bar')]"
            ".map((one, at) => one.getBoundingClientRect()[at ? 'bottom' : 'top'])"
        )

        assert window.ask("[...document.querySelectorAll('.said > a')].indexOf(document.activeElement)") == number
        assert top >= bar


@pytest.mark.parametrize("dark", [False, True])
def test_colours_have_the_contrast_of_wcag_aa(window: Browser, tmp_path: Path, *, dark: bool) -> None:
    (tmp_path / "page.html").write_bytes(render("html", document(said(("", "one two")), PlayableFile(b"gone.wav"))))
    window.resize(1400, 900, dark=dark)
    window.open(tmp_path / "page.html")

    colours: dict[str, tuple[str, str]] = window.ask("""(() => {
        const style = (one, part) => getComputedStyle(one, part);
        const [paper, search, word] = ["html", "[name=search]", "main p > span"].map((one) => document.querySelector(one));
        const found = {placeholder: [style(search, "::placeholder").color, style(paper).backgroundColor]};
        for (const one of ["body", ".facts", ".missing", "a", "footer"])
            found[one] = [style(document.querySelector(one)).color, style(paper).backgroundColor];
        for (const one of ["now", "found", "here"]) {
            word.className = one;
            found[one] = [style(word).color, style(word).backgroundColor];
        }
        return found;
    })()""")

    assert len(colours) == 9
    assert {name for name, (one, other) in colours.items() if contrast(one, other) < 4.5} == set()


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as a browser writes them (WCAG 2.2, "contrast ratio")."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Return how light a colour is ("relative luminance")."""
    assert colour.startswith("rgb(")
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
