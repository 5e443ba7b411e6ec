"""Whisper's languages: some servers answer with a name (``english``), some with a code (``en``).

Source: openai/whisper, whisper/tokenizer.py (LANGUAGES and TO_LANGUAGE_CODE).
"""

from typing import Final

_NAMES: Final = """
en english|zh chinese,mandarin|de german|es spanish,castilian|ru russian|ko korean|fr french|ja japanese|pt portuguese
tr turkish|pl polish|ca catalan,valencian|nl dutch,flemish|ar arabic|sv swedish|it italian|id indonesian|hi hindi
fi finnish|vi vietnamese|he hebrew|uk ukrainian|el greek|ms malay|cs czech|ro romanian,moldavian,moldovan|da danish
hu hungarian|ta tamil|no norwegian|th thai|ur urdu|hr croatian|bg bulgarian|lt lithuanian|la latin|mi maori
ml malayalam|cy welsh|sk slovak|te telugu|fa persian|lv latvian|bn bengali|sr serbian|az azerbaijani|sl slovenian
kn kannada|et estonian|mk macedonian|br breton|eu basque|is icelandic|hy armenian|ne nepali|mn mongolian|bs bosnian
kk kazakh|sq albanian|sw swahili|gl galician|mr marathi|pa punjabi,panjabi|si sinhala,sinhalese|km khmer|sn shona
yo yoruba|so somali|af afrikaans|oc occitan|ka georgian|be belarusian|tg tajik|sd sindhi|gu gujarati|am amharic
yi yiddish|lo lao|uz uzbek|fo faroese|ht haitian creole,haitian|ps pashto,pushto|tk turkmen|nn nynorsk|mt maltese
sa sanskrit|lb luxembourgish,letzeburgesch|my myanmar,burmese|bo tibetan|tl tagalog|mg malagasy|as assamese|tt tatar
haw hawaiian|ln lingala|ha hausa|ba bashkir|jw javanese|jv javanese|su sundanese|yue cantonese
"""


def _codes() -> dict[str, str]:
    codes: dict[str, str] = {}
    for entry in _NAMES.replace("\n", "|").split("|"):
        code, _, names = entry.partition(" ")
        if code:
            codes[code] = code
            codes.update(dict.fromkeys(names.split(","), code))
    codes["jw"] = "jv"  # Whisper's own code for Javanese was withdrawn by ISO in 2001
    return codes


_CODES: Final = _codes()


def language_code(given: object) -> str:
    """Give the ISO code of a name or code in any case (``English``, ``en``, ``en-US``); "" when it is none we know."""
    if not isinstance(given, str):
        return ""
    word = given.strip().lower()
    return _CODES.get(word) or _CODES.get(word.replace("_", "-").partition("-")[0], "")
