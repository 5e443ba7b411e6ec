"""The files beside the source: outputs, failure notes, and the move of finished recordings.

`names` says what they are called, `placement` puts complete sets in place without touching anybody's file, `notes`
tells people what went wrong, `moves` takes finished recordings away together with their outputs. `register` is what all
of them ask of the ledger.
"""

from watcher.sidecar.names import check_template, needs_language
from watcher.sidecar.placement import NOTE, adopted, clear_temporaries, place
from watcher.sidecar.register import Register, Row

__all__ = [
    "NOTE",
    "Register",
    "Row",
    "adopted",
    "check_template",
    "clear_temporaries",
    "needs_language",
    "place",
]
