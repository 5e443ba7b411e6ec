"""Convert values to columns and back.

`real` converts stored paths to this host's paths, and `stored` converts back; see `watcher.ledger.paths`.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from typing import Any, Final, TypeAlias

from watcher.job import AgainRequest, Cut, Fingerprint, Job, Outcome, Output, ResultWarning, State
from watcher.ledger.part import Row
from watcher.ledger.paths import AS_STORED
from watcher.ledger.values import ContentPart, HookCall, SourceRecord
from watcher.timecode import RecordedStart, exact_rate

Carry: TypeAlias = Callable[[bytes], bytes]

#: Seconds: no recording and no day's purchases are longer (31 years), and sums of many such values are still exact to the second.
LONGEST: Final = 1e9
#: Fields of an outcome that hold a path, beside those of its outputs.
_PATHS: Final = ("moved_to", "renamed_from")
_SIGN: Final = 1 << 63
_WORD: Final = 1 << 64

#: Columns of a Job, in the order `job` reads them.
JOB: Final = "id, root, path, size, mtime_ns, inode, attempts, fence, queued_at, backlog, small, suspect, seconds, content, alone, again, session"
#: Columns of a SourceRecord, in the order `record` reads them.
RECORD: Final = (
    "id, root, path, state, attempts, run_at, queued_at, updated_at, size, mtime_ns, inode, reason, message, hint, "
    "piece, pieces, seconds_done, outcome, fence, content, alone, session"
)


def job(row: Row, real: Carry) -> Job:
    """Return the job of a row with JOB's columns."""
    (
        id_,
        root,
        path,
        size,
        mtime_ns,
        inode,
        attempts,
        fence,
        queued_at,
        backlog,
        small,
        suspect,
        seconds,
        content,
        alone,
        again,
        session,
    ) = row
    return Job(
        id=id_,
        root=real(root),
        path=real(path),
        fingerprint=Fingerprint(size, mtime_ns, unsigned(inode)),
        attempts=attempts,
        fence=fence,
        queued_at=queued_at,
        backlog=bool(backlog),
        small=bool(small),
        incomplete=bool(suspect),
        seconds=seconds,
        content=content,
        alone=bool(alone),
        again=again_from(again),
        session=real(session) if session else b"",
    )


def record(row: Row, real: Carry) -> SourceRecord:
    """Return the record of a row with RECORD's columns."""
    (id_, root, path, state, attempts, run_at, queued_at, updated_at, size, mtime_ns, inode, *rest) = row
    (reason, message, hint, piece, pieces, seconds_done, outcome, fence, content, alone, session) = rest
    return SourceRecord(
        id=id_,
        root=real(root),
        path=real(path),
        state=State(state),
        attempts=attempts,
        run_at=run_at,
        queued_at=queued_at,
        updated_at=updated_at,
        fingerprint=Fingerprint(size, mtime_ns, unsigned(inode)),
        reason=reason,
        message=message,
        hint=hint,
        piece=piece,
        pieces=pieces,
        seconds_done=seconds_done,
        outcome=None if outcome is None else outcome_from(outcome, real),
        fence=fence,
        content=content,
        alone=bool(alone),
        session=real(session) if session else b"",
    )


def again_text(again: AgainRequest | None) -> str:
    """Write a request to transcribe again as JSON in ASCII; "": there is none."""
    return "" if again is None else json.dumps(asdict(again), separators=(",", ":"))


def again_from(words: str) -> AgainRequest | None:
    """Read a request to transcribe again; fields of a newer version are left out."""
    if not words:
        return None
    fields = json.loads(words)
    return AgainRequest(**{name: value for name, value in fields.items() if name in AgainRequest.__dataclass_fields__})


def hook_call(row: Row) -> HookCall:
    """Return the hook call of a row."""
    id_, _, _, receiver, kind, payload, attempts, failures, message = row
    return HookCall(id_, kind, payload.decode("utf-8", "surrogatepass"), attempts, failures, message, receiver)


def signed(number: int) -> int:
    """Fit an unsigned 64-bit number (an inode) into the signed one that databases have."""
    return number - _WORD if number >= _SIGN else number


def unsigned(number: int) -> int:
    """Undo `signed`."""
    return number + _WORD if number < 0 else number


def text(words: str) -> str:
    """Make a sentence storable: it may quote a file name that is no UTF-8, or unusual bytes of a server."""
    return words.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def seconds(value: float) -> float:
    """Return a duration that can be stored: 0 if it is not finite, and at most LONGEST; other values would falsify every sum.

    Negative values correct an earlier one.
    """
    return max(-LONGEST, min(value, LONGEST)) if math.isfinite(value) else 0.0


def outcome_text(outcome: Outcome, stored: Carry = AS_STORED.stored) -> str:
    """Write an outcome as JSON in ASCII; `outcome_from` restores paths that are no UTF-8."""
    fields: dict[str, Any] = asdict(outcome)
    fields |= {name: seconds(value) for name, value in fields.items() if name.endswith("_seconds")}
    fields["outputs"] = [
        (output.kind, stored(output.path).decode("utf-8", "surrogateescape"), output.digest)
        for output in outcome.outputs
    ]
    for name in _PATHS:
        fields[name] = stored(fields[name]).decode("utf-8", "surrogateescape") if fields[name] else ""
    return json.dumps(fields, separators=(",", ":"))


def outcome_from(words: str, real: Carry = AS_STORED.real) -> Outcome:
    """Read an outcome; fields of a newer version are left out."""
    fields = json.loads(words)
    known = {name: value for name, value in fields.items() if name in Outcome.__dataclass_fields__}
    known["outputs"] = tuple(
        Output(kind, real(path.encode("utf-8", "surrogateescape")), digest) for kind, path, digest in fields["outputs"]
    )
    known["warnings"] = _warnings(fields["warnings"])
    for name in _PATHS:
        path = fields.get(name, "").encode("utf-8", "surrogateescape")
        known[name] = real(path) if path else b""
    known["restored"] = tuple(fields.get("restored", ()))
    known["stems"] = tuple(fields.get("stems", ()))
    known["endpoints"] = tuple((name, count) for name, count in fields.get("endpoints", ()))
    return Outcome(**known)


def warnings_text(warnings: tuple[ResultWarning, ...]) -> str:
    """Write warnings as JSON, in ASCII."""
    return json.dumps([asdict(warning) for warning in warnings], separators=(",", ":"))


def warnings_from(words: str) -> tuple[ResultWarning, ...]:
    """Read warnings; fields of a newer version are left out."""
    return _warnings(json.loads(words))


def _warnings(items: list[Any]) -> tuple[ResultWarning, ...]:
    known = ResultWarning.__dataclass_fields__
    return tuple(
        # The first version stored only sentences.
        ResultWarning("other", item)
        if isinstance(item, str)
        else ResultWarning(**{name: value for name, value in item.items() if name in known})
        for item in items
    )


def cuts_text(cuts: tuple[Cut, ...]) -> str:
    """Write cuts as JSON."""
    return json.dumps([(cut.index, cut.start, cut.end, cut.digest) for cut in cuts], separators=(",", ":"))


def parts_text(parts: tuple[ContentPart, ...]) -> str:
    """Write the tracks of a session as JSON, in ASCII."""
    return json.dumps([asdict(part) for part in parts], separators=(",", ":"))


def parts_from(words: str) -> tuple[ContentPart, ...]:
    """Read the tracks of a session; fields of a newer version are left out."""
    known = ContentPart.__dataclass_fields__
    return tuple(
        ContentPart(**{name: value for name, value in item.items() if name in known}) for item in json.loads(words)
    )


def start_text(start: RecordedStart | None) -> str:
    """Write what is known of a recording's start as JSON, in ASCII; "": nobody has read it."""
    if start is None:
        return ""
    rate = "" if start.frame_rate is None else str(start.frame_rate)
    day = "" if start.day is None else start.day.isoformat()
    return json.dumps({**asdict(start), "frame_rate": rate, "day": day}, separators=(",", ":"))


def start_from(words: str) -> RecordedStart | None:
    """Read what is known of a recording's start; fields of a newer version are left out, an older one has no day."""
    if not words:
        return None
    fields = json.loads(words)
    return RecordedStart(
        samples=int(fields["samples"]),
        sample_rate=int(fields["sample_rate"]),
        label=str(fields["label"]),
        frame_rate=exact_rate(fields["frame_rate"]),
        drop=bool(fields["drop"]),
        source=str(fields["source"]),
        doubts=tuple(map(str, fields["doubts"])),
        day=date.fromisoformat(day) if (day := fields.get("day")) else None,
    )


def cuts_from(words: str) -> tuple[Cut, ...]:
    """Read cuts."""
    return tuple(Cut(*fields) for fields in json.loads(words))
