"""The pages as pages: their length, their links, the two commands of the README, and that nothing is in two of them."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
from test_docs import PAGES, README, ROOT

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
CHINESE = ROOT / "README.zh-CN.md"
LONGEST_README = 150
#: Characters of a line that is long enough to say something.
_SAYS_SOMETHING = 60


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> list[str]:
    return [slug(line) for line in re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text()), flags=re.MULTILINE)]


def uncommented(block: str) -> str:
    """Return a block of code without the comments at the ends of its lines."""
    return re.sub(r" +# .*", "", block)


def broken(page: Path) -> list[str]:
    """Return the relative links of a page that lead nowhere."""
    wrong = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# One `two`: 3\n[a](#one-two-3) [b](#no) [c](b.md) [d](a.md#no) [e](https://example.org/no)\n")

    assert broken(page) == ["#no", "b.md", "a.md#no"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_has_two_headings_of_one_name(page: Path) -> None:
    found = anchors(page)

    assert sorted(set(found)) == sorted(found)


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs/README.md"
    linked = {(index.parent / link).resolve() for link in _LINK.findall(index.read_text())}

    assert {page for page in (ROOT / "docs").glob("*.md") if page != index} <= linked


def test_nothing_stands_in_two_pages() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for page in set(PAGES) - {CHINESE}:
        for line in set(_FENCE.sub("", page.read_text()).splitlines()):
            if len(line) > _SAYS_SOMETHING:
                places[line].append(str(page.relative_to(ROOT)))

    assert {line: pages for line, pages in places.items() if len(pages) > 1} == {}


@pytest.mark.parametrize("page", [ROOT / "README.md", CHINESE], ids=lambda page: page.name)
def test_a_readme_is_short(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= LONGEST_README


def test_the_chinese_readme_is_the_same_page() -> None:
    chinese = CHINESE.read_text()

    # Comments are for people, so they are translated; commands and outputs are the same.
    assert set(map(uncommented, _FENCE.findall(README))) <= set(map(uncommented, _FENCE.findall(chinese)))
    assert chinese.count("\n## ") == README.count("\n## ")
    for pattern in (r"`(https?://[^`]*)`", r"`(watcher [^`]*)`", r"\]\((?!README)([^)]*)\)"):
        assert set(re.findall(pattern, README)) <= set(re.findall(pattern, chinese)), pattern


def test_the_readme_has_two_set_up_commands() -> None:
    # They are taken from there by `.ci/run`: the main job, then the tests.
    demo, tests = re.findall(r"^python3 -m venv .*$", README, flags=re.MULTILINE)

    assert demo.endswith("watcher demo")
    assert "pytest" in tests
    assert demo in README.splitlines()[:26]
