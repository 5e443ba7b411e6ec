"""The files beside the source: outputs, failure notes, and the move of finished recordings.

`names` makes their names, `placement` places complete sets without changing anybody's file, `notes`
writes what went wrong for people, `moves` moves finished recordings away together with their outputs.
"""

from watcher.sidecar.disk import open_folder, reporting
from watcher.sidecar.follow import remove_former, take_over, unchanged
from watcher.sidecar.moves import Moved, forget_move, move_done, resume_move, target_directory
from watcher.sidecar.names import OutputTemplates, check_template
from watcher.sidecar.notes import (
    remove_note,
    remove_pause_note,
    remove_settings_note,
    write_note,
    write_pause_note,
    write_settings_note,
    write_warning_note,
)
from watcher.sidecar.placement import (
    NOTE,
    Displaced,
    adopted,
    clear_temporaries,
    displaced,
    missing,
    note_temporaries,
    place,
    require_writable,
)
from watcher.sidecar.siblings import has_subtitles

__all__ = [
    "NOTE",
    "Displaced",
    "Moved",
    "OutputTemplates",
    "adopted",
    "check_template",
    "clear_temporaries",
    "displaced",
    "forget_move",
    "has_subtitles",
    "missing",
    "move_done",
    "note_temporaries",
    "open_folder",
    "place",
    "remove_former",
    "remove_note",
    "remove_pause_note",
    "remove_settings_note",
    "reporting",
    "require_writable",
    "resume_move",
    "take_over",
    "target_directory",
    "unchanged",
    "write_note",
    "write_pause_note",
    "write_settings_note",
    "write_warning_note",
]
