"""Errors of the engine; their own tree, since the engine imports nothing else of the package."""


class EngineError(Exception):
    """The engine cannot do its work: what happened, and what to do about it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the sentence and its remedy apart, so that each reader can lay them out."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class MissingExtraError(EngineError):
    """The packages of an extra (``offline``, ``whisper``) are not installed; `hint` is the command that installs them."""


class AudioError(EngineError):
    """The upload is no audio that can be decoded."""


class TooShortError(AudioError):
    """There is less sound than can hold a word."""


class CancelledError(EngineError):
    """The engine stops: the recognition was given up."""


class ApiError(Exception):
    """An answer in OpenAI's error shape: HTTP `status`, and the four keys of ``error``."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """`kind` is what goes out as ``type``."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = headers
