"""Evidence about one file, and the rules that turn it into a decision. Nothing here waits, sleeps or logs."""

import os
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watcher import container
from watcher.container import Completeness, Inspection
from watcher.settle.lease import WriterState, hollow, writer

#: Seconds without change if it is not known whether the file is open for writing.
_QUIET_WITHOUT_LEASE: Final = 5.0
#: Seconds without change on network mounts, where a writer on another machine is invisible and copies pause: the first if the
#: container proves its end, else the second.
_QUIET_NETWORK_COMPLETE: Final = 10.0
_QUIET_NETWORK: Final = 30.0
#: Seconds without change for a file that will probably stay incomplete (its header was never completed, its index is missing,
#: or it does not begin like a recording), if the kernel sees no writer. A program that crashes or streams a recording (a browser's
#: recorder, ffmpeg into a pipe) leaves it like this forever, but an upload in parts may pause for seconds.
_QUIET_LASTING: Final = 10.0
#: Seconds without change for a file that is shorter than its header says, if the kernel sees no writer: a copy that was cut
#: off. A paused copy goes on within seconds; if it goes on later, the complete file is queued again.
_QUIET_CUT: Final = 30.0
#: First and longest wait until the next look; it doubles each time. Most waits end with an event; in a new
#: directory there may be none, so the first looks come soon.
_WRITER_LOOKS: Final = (0.05, 30.0)
_EMPTY_LOOKS: Final = (0.05, 30.0)
_INCOMPLETE_LOOKS: Final = (0.25, 60.0)
_OTHER_LOOKS: Final = (1.0, 30.0)


@dataclass(frozen=True, slots=True)
class SettleRules:
    """Conditions for taking a file of one root; seconds and bytes."""

    #: Quiet time needed if nobody writes but the end cannot be proved.
    quiet_seconds: float = 2.0
    #: Quiet time after which a file that looks cut off is taken nevertheless, and marked. Without a writer it is
    #: at most 30 s.
    incomplete_after: float = 600.0
    #: Largest size of a small file, which is sent as it is, in one request.
    max_upload_bytes: int = 24_000_000
    piece_seconds: float = 600.0


class WaitReason(StrEnum):
    """Why a file waits."""

    #: 0 bytes: reserved, or still buffered by its writer.
    EMPTY = "empty"
    #: Somebody has it open for writing.
    WRITER = "writer"
    #: Its header says that bytes are missing, or was never filled in.
    INCOMPLETE = "incomplete"
    #: Nothing proves its end: it must not change for a while.
    SETTLING = "settling"
    #: A sibling such as ``talk.wav.part`` says that it is not final.
    PLACEHOLDER = "placeholder"
    #: It cannot be read.
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence about an open file, from one look."""

    size: int
    writer: WriterState
    inspection: Inspection
    hollow: bool
    #: Whether writers on other machines are possible.
    network: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Take it now (`wait` 0), or look again in `wait` seconds because of `reason`."""

    wait: float = 0.0
    reason: WaitReason | None = None
    detail: str = ""
    #: Taken although it looks cut off.
    incomplete: bool = False
    #: Seconds after which it is taken if nothing changes; None: waiting alone is not enough.
    left: float | None = None

    @property
    def take(self) -> bool:
        """Whether the file counts as whole."""
        return self.reason is None


def gather(descriptor: int, status: os.stat_result, *, network: bool, inspection: Inspection | None = None) -> Evidence:
    """Judge an open regular file that is not empty by kernel and container; `inspection`: what is known already."""
    return Evidence(
        size=status.st_size,
        # Ask for the writer first, then inspect: a writer that comes in between changes the signature.
        writer=writer(descriptor),
        inspection=inspection or container.inspect(descriptor, status.st_size, quick=True),
        hollow=hollow(descriptor, status),
        network=network,
    )


@dataclass(frozen=True, slots=True)
class WaitHistory:
    """Why the file waited until now, and for how many successive looks."""

    reason: WaitReason | None = None
    looks: int = 0

    def backoff(self, reason: WaitReason, bounds: tuple[float, float]) -> float:
        """Double from the first bound to the second while the reason stays the same."""
        first, longest = bounds
        return min(longest, first * 2.0 ** min(self.looks, 30)) if reason is self.reason else first


def decide(
    evidence: Evidence, rules: SettleRules, past: WaitHistory, *, quiet: float, earlier: float = 0.0
) -> Decision:
    """Decide after `quiet` seconds without change; `earlier`: seconds without change before the file was out of reach.

    `earlier` counts only for incomplete files, whose wait takes minutes. The short waits of other files start again: a
    writer on another machine may have lost access, too, and continues once the file can be reached again.
    """
    if evidence.writer is WriterState.SOMEONE:
        return Decision(wait=past.backoff(WaitReason.WRITER, _WRITER_LOOKS), reason=WaitReason.WRITER)
    completeness, detail = evidence.inspection.completeness, evidence.inspection.reason
    if completeness is Completeness.INCOMPLETE:
        left = max(_incomplete_for(evidence, rules) - earlier, _quiet_needed(evidence, rules)) - quiet
        if left > 0:
            wait = min(left, past.backoff(WaitReason.INCOMPLETE, _INCOMPLETE_LOOKS))
            return Decision(
                wait=wait, reason=WaitReason.INCOMPLETE, detail=f"{detail}; {_writers(evidence)}", left=left
            )
        return Decision(incomplete=True, detail=detail)
    left = _quiet_needed(evidence, rules) - quiet
    if left > 0:
        return Decision(wait=left, reason=WaitReason.SETTLING, detail=detail, left=left)
    return Decision()


def sentence(reason: WaitReason, detail: str = "") -> str:
    """Return in plain words why a file waits."""
    words = _WORDS[reason]
    return f"{words}: {detail}" if detail else words


_WORDS: Final = {
    WaitReason.EMPTY: "it is empty so far",
    WaitReason.WRITER: "a program has it open for writing",
    WaitReason.INCOMPLETE: "it is not complete",
    WaitReason.SETTLING: "it must not change for a while",
    WaitReason.PLACEHOLDER: "a file beside it says that it is not finished",
    WaitReason.UNREADABLE: "it cannot be read",
}


def patience(reason: WaitReason, past: WaitHistory, detail: str = "") -> Decision:
    """Decide if there is nothing to examine: an empty file, a placeholder, a file that cannot be read."""
    bounds = _EMPTY_LOOKS if reason is WaitReason.EMPTY else _OTHER_LOOKS
    return Decision(wait=past.backoff(reason, bounds), reason=reason, detail=detail)


def _incomplete_for(evidence: Evidence, rules: SettleRules) -> float:
    """Return the seconds to wait for more bytes of an incomplete file, or for its header to be completed."""
    if evidence.network or evidence.writer is not WriterState.NONE:
        return rules.incomplete_after
    return min(rules.incomplete_after, _QUIET_LASTING if evidence.inspection.lasting else _QUIET_CUT)


def _writers(evidence: Evidence) -> str:
    """Return in plain words who may still complete an incomplete file."""
    if evidence.network:
        return "another machine may still write it"
    if evidence.writer is WriterState.UNKNOWN:
        return "whether a program still writes it cannot be known here"
    return "no program has it open, and an upload may go on"


def _quiet_needed(evidence: Evidence, rules: SettleRules) -> float:
    proved = evidence.inspection.completeness is Completeness.COMPLETE and not evidence.hollow
    if evidence.network:
        return max(rules.quiet_seconds, _QUIET_NETWORK_COMPLETE if proved else _QUIET_NETWORK)
    if evidence.writer is WriterState.UNKNOWN:
        return max(rules.quiet_seconds, _QUIET_WITHOUT_LEASE)
    return 0.0 if proved else rules.quiet_seconds
