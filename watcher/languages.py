"""Whisper's languages: their codes and English names, in all spellings of servers.

Servers answer ``english``, ``en``, ``eng``, ``en-US`` or ``English``; here all of them are ``en``. The codes are
ISO 639-1, or ISO 639-3 where there is no code of two letters (``haw``, ``yue``). The list is that of whisper-large-v3
(openai/whisper, whisper/tokenizer.py), except that Javanese has its ISO code ``jv``, not Whisper's ``jw``; the codes of
three letters are those of ISO 639-2/T and /B.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

#: Code of a language that is not known (ISO 639-2).
UNDETERMINED: Final = "und"


def code(language: str) -> str:
    """Return the ISO code of a language in any usual spelling, case-blind; "" if it is not known.

    A region or script after the language is ignored: ``pt-BR`` and ``pt_BR`` are ``pt``.
    """
    wanted = " ".join(language.casefold().split())
    if found := _CODES.get(wanted):
        return found
    return _CODES.get(re.split(r"[-_.@]", wanted, maxsplit=1)[0], "")


def spellings(iso: str) -> tuple[str, ...]:
    """Return the codes that servers may use for a language, the most likely first: Whisper's, then the ISO code."""
    return (_WHISPER[iso], iso) if iso in _WHISPER else (iso,)


def name(language: str) -> str:
    """Return the English name of a language in any usual spelling; "" if it is not known."""
    return NAMES.get(code(language), "")


def three_letters(iso: str, *, bibliographic: bool) -> str:
    """Return the code of ISO 639-2 of a language by its ISO code: /B (`ger`), or /T (`deu`); `UNDETERMINED` if it is not known."""
    _, threes = _TABLE.get(iso, ("", ""))
    return threes.split()[-1 if bibliographic else 0] if threes else UNDETERMINED


# ISO code: English name, codes of three letters (first /T, then /B where it differs).
_TABLE: Final[dict[str, tuple[str, str]]] = {
    "af": ("Afrikaans", "afr"),
    "am": ("Amharic", "amh"),
    "ar": ("Arabic", "ara"),
    "as": ("Assamese", "asm"),
    "az": ("Azerbaijani", "aze"),
    "ba": ("Bashkir", "bak"),
    "be": ("Belarusian", "bel"),
    "bg": ("Bulgarian", "bul"),
    "bn": ("Bengali", "ben"),
    "bo": ("Tibetan", "bod tib"),
    "br": ("Breton", "bre"),
    "bs": ("Bosnian", "bos"),
    "ca": ("Catalan", "cat"),
    "cs": ("Czech", "ces cze"),
    "cy": ("Welsh", "cym wel"),
    "da": ("Danish", "dan"),
    "de": ("German", "deu ger"),
    "el": ("Greek", "ell gre"),
    "en": ("English", "eng"),
    "es": ("Spanish", "spa"),
    "et": ("Estonian", "est"),
    "eu": ("Basque", "eus baq"),
    "fa": ("Persian", "fas per"),
    "fi": ("Finnish", "fin"),
    "fo": ("Faroese", "fao"),
    "fr": ("French", "fra fre"),
    "gl": ("Galician", "glg"),
    "gu": ("Gujarati", "guj"),
    "ha": ("Hausa", "hau"),
    "haw": ("Hawaiian", "haw"),
    "he": ("Hebrew", "heb"),
    "hi": ("Hindi", "hin"),
    "hr": ("Croatian", "hrv"),
    "ht": ("Haitian Creole", "hat"),
    "hu": ("Hungarian", "hun"),
    "hy": ("Armenian", "hye arm"),
    "id": ("Indonesian", "ind"),
    "is": ("Icelandic", "isl ice"),
    "it": ("Italian", "ita"),
    "ja": ("Japanese", "jpn"),
    "jv": ("Javanese", "jav"),
    "ka": ("Georgian", "kat geo"),
    "kk": ("Kazakh", "kaz"),
    "km": ("Khmer", "khm"),
    "kn": ("Kannada", "kan"),
    "ko": ("Korean", "kor"),
    "la": ("Latin", "lat"),
    "lb": ("Luxembourgish", "ltz"),
    "ln": ("Lingala", "lin"),
    "lo": ("Lao", "lao"),
    "lt": ("Lithuanian", "lit"),
    "lv": ("Latvian", "lav"),
    "mg": ("Malagasy", "mlg"),
    "mi": ("Maori", "mri mao"),
    "mk": ("Macedonian", "mkd mac"),
    "ml": ("Malayalam", "mal"),
    "mn": ("Mongolian", "mon"),
    "mr": ("Marathi", "mar"),
    "ms": ("Malay", "msa may"),
    "mt": ("Maltese", "mlt"),
    "my": ("Myanmar", "mya bur"),
    "ne": ("Nepali", "nep"),
    "nl": ("Dutch", "nld dut"),
    "nn": ("Nynorsk", "nno"),
    "no": ("Norwegian", "nor"),
    "oc": ("Occitan", "oci"),
    "pa": ("Punjabi", "pan"),
    "pl": ("Polish", "pol"),
    "ps": ("Pashto", "pus"),
    "pt": ("Portuguese", "por"),
    "ro": ("Romanian", "ron rum"),
    "ru": ("Russian", "rus"),
    "sa": ("Sanskrit", "san"),
    "sd": ("Sindhi", "snd"),
    "si": ("Sinhala", "sin"),
    "sk": ("Slovak", "slk slo"),
    "sl": ("Slovenian", "slv"),
    "sn": ("Shona", "sna"),
    "so": ("Somali", "som"),
    "sq": ("Albanian", "sqi alb"),
    "sr": ("Serbian", "srp"),
    "su": ("Sundanese", "sun"),
    "sv": ("Swedish", "swe"),
    "sw": ("Swahili", "swa"),
    "ta": ("Tamil", "tam"),
    "te": ("Telugu", "tel"),
    "tg": ("Tajik", "tgk"),
    "th": ("Thai", "tha"),
    "tk": ("Turkmen", "tuk"),
    "tl": ("Tagalog", "tgl"),
    "tr": ("Turkish", "tur"),
    "tt": ("Tatar", "tat"),
    "uk": ("Ukrainian", "ukr"),
    "ur": ("Urdu", "urd"),
    "uz": ("Uzbek", "uzb"),
    "vi": ("Vietnamese", "vie"),
    "yi": ("Yiddish", "yid"),
    "yo": ("Yoruba", "yor"),
    "yue": ("Cantonese", "yue"),
    "zh": ("Chinese", "zho chi"),
}

# Other names that Whisper accepts, former and wider codes, and names of other servers.
_ALIASES: Final[dict[str, str]] = {
    "burmese": "my",
    "castilian": "es",
    "cmn": "zh",
    "farsi": "fa",
    "fil": "tl",
    "filipino": "tl",
    "flemish": "nl",
    "haitian": "ht",
    "in": "id",
    "iw": "he",
    "ji": "yi",
    "jw": "jv",
    "letzeburgesch": "lb",
    "mandarin": "zh",
    "mo": "ro",
    "moldavian": "ro",
    "moldovan": "ro",
    "nb": "no",
    "nob": "no",
    "norwegian nynorsk": "nn",
    "panjabi": "pa",
    "pushto": "ps",
    "sinhalese": "si",
    "valencian": "ca",
    "zh-yue": "yue",
}

#: Whisper's codes that differ from ISO; faster-whisper, whisper.cpp and vLLM accept only these.
_WHISPER: Final = {"jv": "jw"}

#: English names by ISO code.
NAMES: Final[Mapping[str, str]] = MappingProxyType({iso: english for iso, (english, _) in _TABLE.items()})

_CODES: Final[dict[str, str]] = {
    **{english.casefold(): iso for iso, (english, _) in _TABLE.items()},
    **{three: iso for iso, (_, threes) in _TABLE.items() for three in threes.split()},
    **{iso: iso for iso in _TABLE},
    **_ALIASES,
}
