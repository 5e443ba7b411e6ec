"""Choose another form of a recording after the server refused one: each form once. Pure, no I/O."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from watcher.errors import FileError, JobError, PassingError, Remedy, RemedyError
from watcher.job import Job
from watcher.log import quoted
from watcher.media import CODECS, MediaOptions

#: Seconds of a piece if longer ones are too large for the server, or for a proxy with a small limit (nginx: 1 MiB).
_SMALL_PIECE: Final = 120.0
#: Shortest limit of a server (seconds) that is useful.
_SHORTEST_PIECE: Final = 10.0
#: Difference in seconds between pieces that makes no difference to a server.
_SAME: Final = 0.01
#: Seconds by which a piece stays below the limit that a server names; a limit of less than twice as much is ignored.
_MARGIN: Final = 10.0
_EXHAUSTED_KEPT: Final = 1000


@dataclass(frozen=True, slots=True)
class UploadForm:
    """One form of a recording."""

    #: Options for cutting, and the codec of the pieces.
    options: MediaOptions
    #: Whether it is sent as it is, neither cut nor encoded.
    whole: bool = False
    #: The server failed at the recording in another form, and at no other recording: a failure counts as a refusal.
    failing: bool = False
    #: The server named a limit above `options.piece_seconds`, but one piece was slightly longer than the limit; the next cutting keeps
    #: to it.
    limited: bool = False
    #: There is no other encoding to try: if this one is refused, too, the request is made simpler.
    last: bool = False


class Remedies:
    """The forms of one recording: `form` is the current one, `next` chooses another one after a refusal.

    After sending it as it is, it is cut, with the configured codec. After that the remedy decides: SPLIT makes the pieces
    shorter, SHRINK makes them mp3, then shorter, RECODE uses the next codec (`CODECS`, the configured one first).
    No codec is used twice and pieces only get shorter, so the number of forms is limited.
    """

    def __init__(self, options: MediaOptions, *, whole: bool, refused: Collection[str] = ()) -> None:
        """Begin with the file as it is (`whole`), or with pieces; codecs among the `refused` formats come last."""
        self._left = [options.codec, *(codec for codec in CODECS if codec != options.codec)]
        #: The codecs whose pieces were refused for their encoding.
        self.rejected: set[str] = set()
        self._failing = False
        self.form = UploadForm(options, whole=True) if whole else self._encoded(options, refused)

    def next(self, error: RemedyError, *, refused: Collection[str] = ()) -> UploadForm | None:
        """Return the form to send after `error`; None if there is no other.

        `refused`: the formats this server is known to refuse; codecs among them come last.
        """
        form, options = self.form, self.form.options
        self._failing = self._failing or error.passing
        found: UploadForm | None = None
        if form.whole:
            found = self._encoded(_split(options, error.seconds) if error.remedy is Remedy.SPLIT else options, refused)
        elif error.remedy is Remedy.SPLIT:
            shorter = _split(options, error.seconds)
            limited = form.limited or (shorter == options and error.seconds > 0)
            found = replace(form, options=shorter, limited=limited)
        elif error.remedy is Remedy.SHRINK:
            found = self._shrunk(refused)
        elif self._left:
            if not error.passing:
                self.rejected.add(options.codec)
            found = self._encoded(options, refused)
        if found is None or found == form:
            return None
        self.form = found
        return found

    def _encoded(self, options: MediaOptions, refused: Collection[str]) -> UploadForm:
        """Return the form with the best codec not tried yet, and the same cuts, so that stored answers are still used."""
        codec = min(self._left, key=lambda codec: codec in refused)
        return self._form(replace(options, codec=codec))

    def _shrunk(self, refused: Collection[str]) -> UploadForm:
        """Return the form with smaller pieces: mp3 if that may pass, else half as long."""
        options = self.form.options
        if "mp3" in self._left and "mp3" not in refused:
            return self._form(replace(options, codec="mp3", piece_seconds=min(options.piece_seconds, _SMALL_PIECE)))
        return replace(self.form, options=_split(options, 0.0))

    def _form(self, options: MediaOptions) -> UploadForm:
        self._left.remove(options.codec)
        return UploadForm(options, failing=self._failing, last=not self._left)


def _split(options: MediaOptions, most: float) -> MediaOptions:
    """Return options for pieces of less than `most` seconds; if `most` is 0 or useless, for pieces half as long as now.

    The server may name no limit, so each refusal halves them.
    """
    longest = most - _MARGIN if most > 2 * _MARGIN else options.piece_seconds / 2
    shorter = max(longest, _SHORTEST_PIECE)
    return replace(options, piece_seconds=shorter) if options.piece_seconds - shorter > _SAME else options


class ExhaustedForms:
    """Recordings at which a server failed in every form. All workers share it, so that each form is tried once."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}

    def __contains__(self, sketch: str) -> bool:
        """Return whether all forms of the recording with this sketch were tried."""
        return sketch in self._known

    def add(self, sketch: str) -> None:
        """Note a recording; of more than a thousand, those noted first are forgotten."""
        self._known[sketch] = None
        while len(self._known) > _EXHAUSTED_KEPT:
            self._known.pop(next(iter(self._known)), None)


def no_text() -> RemedyError:
    """Return the error that asks for another encoding although there was no refusal: no text came."""
    return RemedyError("the server returned no text, although there is sound", remedy=Remedy.RECODE, reason="no_text")


def given_up(error: RemedyError) -> JobError:
    """Return the error of a recording that was refused in every form.

    It is none of the account, although every other recording may be refused as well: it did not pass the gate, so no hold would keep
    this one from coming again at once.
    """
    if error.remedy is Remedy.SHRINK:
        return PassingError(
            f"the server refuses even a small upload: {error.message}",
            hint="raise the upload limit of the server or of the proxy in front of it (nginx: client_max_body_size)",
            reason=error.reason,
        )
    return FileError(error.message, hint=error.hint or _NO_FORM_HINT, reason=error.reason)


#: Hint for a recording that a server takes in no encoding, whatever its reason.
_NO_FORM_HINT: Final = (
    "play it; if it does not play, export it again; if it does, ask the server's operator, or use another model or server, "
    "and then watcher retry"
)


#: Reasons of refusals that are about the requested model only.
_ABOUT_MODELS: Final = frozenset({"model", "no_channel", "permission", "url"})


def of_its_own_model(error: JobError, job: Job) -> JobError:
    """Return an error that fails only this recording if the refusal is about the model requested for it alone."""
    wish = job.again
    if wish is None or not wish.model or error.reason not in _ABOUT_MODELS:
        return error
    own = FileError(
        f"the model {wish.model} cannot be used: {error.message}",
        hint=f"name one that the server has: watcher again {quoted(job.path)} --model …, or none for that of the settings",
        reason=error.reason,
    )
    own.maybe_paid = error.maybe_paid
    return own
