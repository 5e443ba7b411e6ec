"""A kind of output is known everywhere: the list in `watcher.output_kinds` is the only one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos import reader
from pydantic import TypeAdapter
from support.documents import KINDS, text_of

from watcher.config.values import Formats
from watcher.cues import CaptionRules, layout
from watcher.folding import fold
from watcher.formats import Document, TextLayout, render
from watcher.output_kinds import OUTPUT_KINDS, SUFFIXES, TIMED_KINDS
from watcher.sidecar.names import is_output_temporary, output_names, suffix_of, temporary
from watcher.transcript import Segment, Transcript

ROOT = Path(__file__).parent.parent
#: Modules that speak of a server's response formats, or of captions of other programs, by the same words.
OTHER_LISTS = {"client/wording.py", "client/profile.py", "engine/protocol.py", "lint.py", "output_kinds.py"}


def written(*, timed: bool) -> Document:
    transcript = Transcript((Segment("It was late.", 0, 2),), "en", 2, timed=timed)
    return Document(transcript, layout(transcript, CaptionRules(), duration=2), "talk.wav", text=TextLayout())


def listed(source: str) -> Iterator[str]:
    """Yield the constants of a module that name a timed and another kind, or two timed ones."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
            parts = node.keys if isinstance(node, ast.Dict) else node.elts
            names = {part.value for part in parts if isinstance(part, ast.Constant)}
            if names & TIMED_KINDS and len(names & set(OUTPUT_KINDS)) > 1:
                yield ast.unparse(node)


@pytest.mark.parametrize("kind", OUTPUT_KINDS)
def test_a_kind_is_known_everywhere(kind: str) -> None:
    (name,) = list(output_names(b"talk.wav", suffix_of(kind), template="{stem}", language="en"))[:1]
    path = f"/srv/{'long ' * 20}name{SUFFIXES[kind]}"

    assert kind not in KINDS or render(kind, written(timed=True))
    assert TypeAdapter(Formats).validate_python([kind]) == (kind,)
    assert is_output_temporary(temporary(name, "0123abcd"))
    assert fold(f"wrote {path} again", 40).replace("\n  ", " ") == f"wrote {path} again"
    assert path in fold(f"wrote {path} again", 40)
    assert f"talk{SUFFIXES[kind]}".endswith(reader._OUTPUTS)
    assert f"`{SUFFIXES[kind]}`" in (ROOT / "docs/outputs.md").read_text()


def test_a_kind_that_needs_no_times_has_text_without_them() -> None:
    for kind in KINDS:
        if kind in TIMED_KINDS:
            with pytest.raises(ValueError, match="without times"):
                render(kind, written(timed=False))
        else:
            # A page has each word in an element.
            assert "It was late." in re.sub(r"</?span[^>]*>", "", text_of(kind, written(timed=False)))


def test_no_other_module_lists_the_kinds() -> None:
    paths = {str(path.relative_to(ROOT / "watcher")): path for path in (ROOT / "watcher").rglob("*.py")}
    lists = {name: list(listed(path.read_text())) for name, path in paths.items() if name not in OTHER_LISTS}

    # What comes without any setting, and the writers.
    assert {name: found for name, found in lists.items() if found} == {
        "config/folder.py": ["('srt', 'txt')"],
        "cli/demo.py": ["('srt', 'txt')"],
        "formats/render.py": [
            "{'srt': srt, 'vtt': vtt, 'txt': prose, 'json': machine, 'html': html, 'md': markdown, 'podcast': podcast, 'ass': substation, 'lrc': lyrics, 'reaper': reaper, 'audition': audition, 'audacity': audacity, 'resolve': resolve, 'premiere': premiere, 'fcpxml': fcpxml, 'avid': avid}"
        ],
    }


def test_a_second_list_is_seen() -> None:
    assert list(listed('KINDS = {"srt", "vtt"}')) == ["{'srt', 'vtt'}"]
