"""What is masked, and what is only a word that looks like it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.masking import masker, passwords, without_passwords

KEY = "sk-a1b2c3d4"


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


@pytest.mark.parametrize("secret", ["", "k", "none", "secret7"])
def test_what_is_shorter_than_eight_characters_is_no_secret(secret: str) -> None:
    assert masker([secret])(f"none of us k {secret} secret7") == f"none of us k {secret} secret7"


def test_of_two_secrets_the_longer_one_is_masked_whole() -> None:
    assert masker(["password", "password-2026"], "X")("password-2026 password") == "X X"


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
