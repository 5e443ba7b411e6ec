"""What is masked, and what is only a word that looks like it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.masking import answer_masker, masker, passwords, secrets_of, without_passwords

KEY = "sk-a1b2c3d4"
LONG = "zk-/secret-key-123456+"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (KEY, "***"),
        (f"Bearer {KEY}", "Bearer ***"),
        (f"key={KEY}&x=1, again '{KEY}'.", "key=***&x=1, again '***'."),
        (f"postgresql://user:{KEY}@host/db", "postgresql://user:***@host/db"),
        (json.dumps(f"line\n{KEY}\nline"), '"line\\n***\\nline"'),
        (f"?key%3D{KEY}%26", "?key%3D***%26"),
        (f"\\x1b{KEY} \\u000a{KEY}", "\\x1b*** \\u000a***"),
    ],
)
def test_a_secret_is_masked_wherever_it_is_a_word_of_its_own(text: str, masked: str) -> None:
    assert masker([KEY])(text) == masked


@pytest.mark.parametrize("text", ["anythings", "manything", "any", "an anything2", "_anything"])
def test_a_part_of_a_longer_word_is_no_secret(text: str) -> None:
    assert masker(["anything"])(text) == text


@pytest.mark.parametrize("text", ["x{}x _{}_", "{}s", "é{}9", "{}"])
def test_a_long_secret_is_masked_inside_longer_words_too(text: str) -> None:
    """A server that wrote the key between two letters had it in logs, notes and hooks."""
    assert masker([LONG])(text.format(LONG, LONG)) == text.format("***", "***")


@pytest.mark.parametrize(
    "written",
    [
        LONG,
        json.dumps(LONG)[1:-1],
        LONG.replace("/", "\\/"),
        "".join(f"\\u{ord(character):04x}" for character in LONG),
        "".join(f"\\u{ord(character):04X}" for character in LONG),
        LONG.replace("k", "\\u006B"),
    ],
)
@pytest.mark.parametrize("text", ['{{"text": "x{}x"}}', "{}", 'data: {{"text": "\\n{}\\n"}}'])
def test_a_key_is_masked_in_an_answer_however_it_is_escaped(text: str, written: str) -> None:
    assert answer_masker(LONG)(text.format(written).encode()) == text.format("***").encode()


def test_json_with_a_backslash_before_the_key_stays_json() -> None:
    masked = answer_masker("zk-secret-key-1")(json.dumps({"text": "\\zk-secret-key-1\n"}).encode())

    assert json.loads(masked) == {"text": "\\***\n"}


@pytest.mark.parametrize("key", ["transcription", "49151123456789", "sk-a1b2c3d4", ""])
def test_what_may_be_said_is_left_in_an_answer(key: str) -> None:
    body = f'{{"text": "we say \\"{key}\\""}}'.encode()

    assert answer_masker(key)(body) == body


@given(st.text(), st.text(min_size=12))
def test_an_answer_without_the_key_stays_as_it_is(text: str, key: str) -> None:
    body = json.dumps({"text": text}).encode()

    assert key in text or json.dumps(key)[1:-1] in json.dumps(text) or answer_masker(key)(body) == body


@pytest.mark.parametrize("secret", ["", "k", "none", "secret7"])
def test_what_is_shorter_than_eight_characters_is_no_secret(secret: str) -> None:
    assert masker([secret])(f"none of us k {secret} secret7") == f"none of us k {secret} secret7"


def test_of_two_secrets_the_longer_one_is_masked_whole() -> None:
    assert masker(["password", "password-2026"], "X")("password-2026 password") == "X X"


def test_a_header_s_secret_is_masked_without_its_scheme_too() -> None:
    hide = masker(secrets_of(["Basic dXNlcjpwYXNz", "my own client"]))

    assert hide("Basic dXNlcjpwYXNz dXNlcjpwYXNz my own client client") == "*** *** *** client"


def test_a_secret_may_begin_and_end_with_any_sign() -> None:
    assert masker(["+/secret/+"])("a+/secret/+b") == "a***b"


@given(st.text(min_size=8), st.text(max_size=20))
def test_between_blanks_no_secret_passes(secret: str, text: str) -> None:
    assert secret not in masker([secret], "")(f" {secret} ") or secret.isspace()
    assert masker([])(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://me:hunter2@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:hun:t@r2@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host:5432/db?user=me&password=hunter2&sslpassword=hunter3", None),
        ("postgresql://me:hunter2@[::1/x?password=hunter3", "postgresql://me:***@[::1/x?password=***"),
        ("see https://host:8080/v1 and me@example.org", "see https://host:8080/v1 and me@example.org"),
        ("://", "://"),
    ],
)
def test_passwords_of_addresses_are_found_whatever_else_is_wrong_with_them(text: str, masked: str | None) -> None:
    shown = without_passwords(text, "***")

    assert shown == (masked or "postgresql://host:5432/db?user=me&password=***&sslpassword=***")
    assert all(password in text and password not in shown for password in passwords(text))
