import pytest

from watcher.languages import NAMES, UNDETERMINED, code, name


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("en", "en"),
        ("english", "en"),
        ("English", "en"),
        (" ENGLISH ", "en"),
        ("eng", "en"),
        ("en-US", "en"),
        ("en_GB.UTF-8", "en"),
        ("ger", "de"),
        ("deu", "de"),
        ("zh-CN", "zh"),
        ("zh_Hans", "zh"),
        ("zh-yue", "yue"),
        ("mandarin", "zh"),
        ("cantonese", "yue"),
        ("haw", "haw"),
        ("haitian creole", "ht"),
        ("Haitian  Creole", "ht"),
        ("jw", "jv"),
        ("iw", "he"),
        ("nb", "no"),
        ("", ""),
        ("und", ""),
        ("klingon", ""),
        ("../../etc/passwd", ""),
    ],
)
def test_a_language_has_one_code_however_it_is_written(written: str, expected: str) -> None:
    assert code(written) == expected


def test_all_hundred_languages_of_whisper_are_known_by_code_and_by_name() -> None:
    assert len(NAMES) == 100
    assert all(code(iso) == iso and code(english) == iso for iso, english in NAMES.items())


def test_no_two_languages_share_a_name_or_a_code() -> None:
    assert len(set(NAMES.values())) == len(NAMES)
    assert UNDETERMINED not in NAMES


def test_codes_are_fit_for_file_names() -> None:
    assert all(iso.isascii() and iso.isalpha() and iso.islower() for iso in NAMES)


def test_a_language_has_an_english_name() -> None:
    assert name("jw") == "Javanese"
    assert name("english") == "English"
    assert name("klingon") == ""
