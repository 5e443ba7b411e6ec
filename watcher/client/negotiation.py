"""The form of a request, and simpler forms after a refusal. Pure, no I/O."""

from dataclasses import dataclass, replace
from typing import Final

from watcher.client.classify import Classification
from watcher.client.endpoint import Endpoint
from watcher.client.profile import ResponseForm, takes_prompt
from watcher.client.request import Request, Voice, fitted
from watcher.client.rulings import ErrorClass
from watcher.job import ResultWarning

#: The field with samples of known speakers.
VOICES: Final = "known_speaker_references"
#: Fields whose values the user sets.
_VALUES: Final = frozenset({"language", "temperature"})
#: Length of a prompt (characters) that is not too long for any server.
_ALL_TAKE: Final = 224


@dataclass(frozen=True, slots=True)
class Negotiation:
    """The state of a negotiation: the form of the next request, and the fields it leaves out."""

    form: ResponseForm
    dropped: frozenset[str]
    prompt: str
    prompt_limit: int | None
    #: The form has worked here before.
    proven: bool
    whisper_cpp: bool
    voices: tuple[Voice, ...] = ()
    #: Fields whose value in this request the server refuses.
    omitted: frozenset[str] = frozenset()
    #: Codes of the language that were not refused yet, the next one first.
    languages: tuple[str, ...] = ()
    #: Send the field of the granularities without the brackets in its name.
    bare: bool = False
    #: The server failed at this sound before, in another encoding.
    failing: bool = False
    #: There is no other encoding to try, so the request may be made simpler than the server needs for other files.
    thorough: bool = False
    #: It was made simpler for this sound only: nothing is learned for others.
    exception: bool = False


def fields_of(talk: Negotiation, endpoint: Endpoint, request: Request) -> tuple[str, list[tuple[str, str]]]:
    """Return the address and the form's fields, always in the same order; the file comes last."""
    fields = [("model", endpoint.model), ("response_format", talk.form.response_format)]
    granularities = "timestamp_granularities" if talk.bare else "timestamp_granularities[]"
    fields += [(granularities, name) for name in talk.form.granularities]
    if talk.form.response_format == "diarized_json":
        fields.append(("chunking_strategy", "auto"))
        fields += [("known_speaker_names[]", voice.name) for voice in talk.voices]
        fields += [(f"{VOICES}[]", voice.sample) for voice in talk.voices]
    url = endpoint.transcriptions
    if request.task == "translate" and talk.whisper_cpp:
        fields.append(("translate", "true"))
    elif request.task == "translate":
        url = endpoint.translations
    if talk.whisper_cpp:
        # Before October 2025 it used the text of one request as context of the next (whisper.cpp, pull request 3482).
        fields.append(("no_context", "true"))
    if url == endpoint.transcriptions and (talk.languages or talk.whisper_cpp):
        fields.append(("language", talk.languages[0] if talk.languages else "auto"))
    if talk.prompt:
        fields.append(("prompt", talk.prompt))
    if request.temperature:
        fields.append(("temperature", f"{request.temperature:g}"))
    return url, [(name, value) for name, value in fields if name not in talk.dropped | talk.omitted]


def may_be_voices(meaning: Classification) -> bool:
    """Return whether a refusal may be about the samples: it names them, or it is about a file and may mean a sample."""
    return meaning.error_class is not ErrorClass.FIELD or meaning.name in {VOICES, "known_speaker_names"}


def without_voices(talk: Negotiation, meaning: Classification) -> Negotiation:
    """Leave the samples out: for good if the refusal names them, as all are made in the same way; else only for this request."""
    named = {VOICES} if meaning.error_class is ErrorClass.FIELD else set()
    return replace(talk, voices=(), dropped=talk.dropped | named)


def other_format(talk: Negotiation, meaning: Classification, below: tuple[ResponseForm, ...]) -> Negotiation | None:
    """Use the next format, or, if the refusal lists formats that the server takes, the next of these."""
    others = [rung for rung in below if rung.response_format != talk.form.response_format]
    offered = meaning.offered - {talk.form.response_format}
    listed = [rung for rung in others if rung.response_format in offered]
    return replace(talk, form=(listed or others)[0]) if others else None


def fewer_granularities(
    talk: Negotiation, meaning: Classification, below: tuple[ResponseForm, ...]
) -> Negotiation | None:
    """Leave out the granularity that a refusal names, or all of them; None if the request has none."""
    if not talk.form.granularities:
        return None
    about_words = "word" in meaning.refusal.message.lower() and "word" in talk.form.granularities
    fewer = [rung for rung in below if rung.response_format == talk.form.response_format]
    if not about_words:
        fewer = [rung for rung in fewer if not rung.granularities]
    return replace(talk, form=fewer[0]) if fewer else None


def without_field(talk: Negotiation, meaning: Classification) -> Negotiation:
    """Leave out the field that a refusal names: for good if the server does not know it, else only for this request.

    A field whose value the user cannot set has always the same value, so it is left out for good, too.
    """
    if meaning.unknown or meaning.name not in _VALUES:
        return replace(talk, dropped=talk.dropped | {meaning.name})
    if meaning.name == "language" and len(talk.languages) > 1:
        return replace(talk, languages=talk.languages[1:])
    return replace(talk, omitted=talk.omitted | {meaning.name})


def shorter_prompt(talk: Negotiation, meaning: Classification) -> Negotiation:
    """Cut the prompt once, to the length that the server names or to one that all take; after that, leave it out.

    A refusal of all prompts, or a limit of their length, is learned; a refusal of this prompt is not.
    """
    if meaning.unknown:
        return replace(talk, prompt="", prompt_limit=0)
    limit = int(meaning.limit)
    if (limit or _ALL_TAKE) < len(talk.prompt):
        shorter = fitted(talk.prompt, characters=limit or _ALL_TAKE)
        return replace(talk, prompt=shorter, prompt_limit=limit or talk.prompt_limit)
    return replace(talk, prompt="", omitted=talk.omitted | {"prompt"})


def left_out_warnings(talk: Negotiation, request: Request, model: str) -> tuple[ResultWarning, ...]:
    """Return warnings about settings that were left out because of refusals, now or earlier."""
    found = []
    left_out = talk.dropped | talk.omitted
    if request.language and "language" in left_out:
        refused = (
            f"refused the language {request.language}" if "language" in talk.omitted else _does_not_know("language")
        )
        message = f"The server {refused}, so it was left to detect the language itself."
        hint = "Set language to a code that the server knows, or leave it empty."
        found.append(ResultWarning("language_refused", message, hint))
    if request.temperature and "temperature" in left_out:
        value = f"refused the temperature {request.temperature:g}"
        refused = value if "temperature" in talk.omitted else _does_not_know("temperature")
        message = f"The server {refused}, so it was asked without one."
        found.append(ResultWarning("temperature_refused", message, "Set temperature to what the server takes."))
    wanted = fitted(request.prompt) if takes_prompt(model) else ""
    if wanted and (not talk.prompt or "prompt" in left_out):
        message = "The server refused the prompt, so it was asked without one."
        found.append(ResultWarning("prompt_refused", message, "Shorten or change the prompt."))
    elif len(talk.prompt) < len(wanted):
        message = (
            f"The server refused the prompt as too long, so only its last {len(talk.prompt)} characters were sent."
        )
        found.append(ResultWarning("prompt_shortened", message, "Shorten the prompt."))
    return tuple(found)


def _does_not_know(field: str) -> str:
    return f"says that it does not know the parameter {field}"
