"""Our requests held against OpenAI's own document, by Prism's mock of it."""

import pytest
from servers import asking

from watcher.client import Request
from watcher.errors import AccountError

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(language="en"),
        Request(prompt="Zoë, 北京", temperature=0.2),
        Request(task="translate"),
        Request(task="translate", prompt="Zoë", temperature=1),
    ],
    ids=["plain", "language", "prompt", "translate", "translate with all"],
)
@pytest.mark.parametrize("route", ["", "/audio/transcriptions"])
def test_our_form_fits_the_document(prism: str, request_: Request, route: str) -> None:
    # Without a route our client adds /v1, which this mock does not serve.
    url = prism + (route or "/audio/translations")

    answer = asking.ask(url, request_)

    # The example's text is the word "string", in the json shape, whatever was asked for.
    assert (answer.transcript.text, answer.transcript.timed, answer.calls) == ("string", False, 1)


def test_a_missing_key_holds_the_queue(prism: str) -> None:
    with pytest.raises(AccountError):
        asking.ask(prism + "/audio/transcriptions", key="")


def test_an_address_that_is_not_served_holds_the_queue(prism: str) -> None:
    with pytest.raises(AccountError):
        asking.ask(prism)
