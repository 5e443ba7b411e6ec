"""Word documents, made with python-docx (the extra `docx`).

The same document always gives the same bytes: what is written is recognised by its digest.
"""

import re
from io import BytesIO
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from watcher.cues.text import is_right_to_left, scrub
from watcher.formats.document import Document
from watcher.formats.passages import Passage, clock

#: The earliest time that a ZIP archive can have.
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
#: What XML 1.0 does not take, not even escaped (2.2).
_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_GREY: Final = "6B6B6B"
#: Characters of a property: python-docx takes no more. A name of 255 bytes that are no text has four times as many, escaped.
_LONGEST: Final = 255


def docx(document: Document) -> bytes:
    """Return the document: its source as title, then a paragraph at a time with speaker (bold), time and text.

    Text from right to left is marked as such, and the language is set. Raises ImportError without the extra.
    """
    from docx import Document as new_document  # noqa: N813, PLC0415 - a function; only for those who have the extra

    made = new_document()
    title = _allowed(scrub(document.source))
    made.add_paragraph(title, style="Title")
    # python-docx looks for the end of the body at each paragraph.
    end = made.element.body.sectPr
    for passage in document.paragraphs:
        end.addprevious(_paragraph(passage, document))
    _describe(made, title, document.transcript.language)
    saved = BytesIO()
    made.save(saved)
    return _repacked(saved)


def _describe(made: Any, title: str, language: str) -> None:
    """Set title and language, and remove what the template says about itself: its author, its dates and its picture."""
    properties = made.core_properties
    properties.title, properties.author, properties.comments, properties.language = title[:_LONGEST], "", "", language
    for dated in properties._element.xpath("dcterms:created | dcterms:modified"):  # noqa: SLF001 - they cannot be unset
        dated.getparent().remove(dated)
    relations = made.part.package.rels
    for key in [key for key, one in relations.items() if one.reltype.endswith("/thumbnail")]:
        del relations[key]
    if language:
        (of_text,) = made.styles.element.xpath("w:docDefaults/w:rPrDefault/w:rPr/w:lang")
        for script in ("w:val", "w:eastAsia", "w:bidi"):
            of_text.set(_name(script), language)


def _paragraph(passage: Passage, document: Document) -> Any:
    from docx.oxml import OxmlElement  # noqa: PLC0415 - see above

    made = OxmlElement("w:p")
    if is_right_to_left(passage.text):
        made.append(_with(OxmlElement("w:pPr"), OxmlElement("w:bidi")))
    if passage.speaker:
        made.append(_run(passage.speaker, OxmlElement("w:b"), OxmlElement("w:bCs")))
        made.append(_run(" "))
    if document.transcript.timed:
        made.append(
            _run(f"[{clock(document.shown_time(passage.start))}] ", OxmlElement("w:color", {_name("w:val"): _GREY}))
        )
    made.append(_run(passage.text))
    return made


def _run(text: str, *properties: Any) -> Any:
    """Return a run with its properties, in the order of the schema (ECMA-376, 17.3.2.28)."""
    from docx.oxml import OxmlElement  # noqa: PLC0415 - see above

    if is_right_to_left(text):
        properties = (*properties, OxmlElement("w:rtl"))
    said = OxmlElement("w:t", {_name("xml:space"): "preserve"})
    said.text = _allowed(text)
    return _with(OxmlElement("w:r"), _with(OxmlElement("w:rPr"), *properties), said)


def _with(parent: Any, *children: Any) -> Any:
    parent.extend(children)
    return parent


def _name(name: str) -> str:
    from docx.oxml.ns import qn  # noqa: PLC0415 - see above

    found: str = qn(name)
    return found


def _allowed(text: str) -> str:
    return _NOT_IN_XML.sub("\ufffd", text)


def _repacked(saved: BytesIO) -> bytes:
    """Return a ZIP archive with the same parts, and without the time at which it was made."""
    packed = BytesIO()
    with ZipFile(saved) as parts, ZipFile(packed, "w") as into:
        for name in parts.namelist():
            into.writestr(ZipInfo(name, _EPOCH), parts.read(name), ZIP_DEFLATED)
    return packed.getvalue()
