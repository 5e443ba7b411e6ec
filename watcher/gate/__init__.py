"""The gate of one endpoint: how many requests may be in flight, how fast they may start, and when none may.

Every request goes through `Gate.run` (or `Gate.enter`); a worker asks `Gate.admit` for a ticket before it claims a job. The
exception of a request tells the gate how it ended. `stored_state`, `ask_resume` and `request_resume` are for other
processes (the command line), by way of the ledger's memory.

The modules, each before those it uses: `gate` (enter, run, leave), `request_queue` (waiting requests) and `tickets` (permission to
claim or probe), `door` (hold, pause, probe) with `history` (what outcomes mean together), `reports` and `record` (log and store a
hold), and `limits` (places, pace, minutes). `choice` chooses between several endpoints. If hosts share an endpoint: `peers`, `shared`
(limits) and `fleet_record` (holds).
"""

from watcher.gate.admission import Receipt
from watcher.gate.choice import Availability, availability, choose, is_preferred
from watcher.gate.clock import SLICE
from watcher.gate.gate import Gate
from watcher.gate.history import is_maybe_paid
from watcher.gate.record import (
    allow_again,
    ask_resume,
    request_resume,
    requested_endpoints,
    resume_requests,
    stored_state,
)
from watcher.gate.state import OWN_LIMIT, GateOptions, GateState, GateStatus, ResumeOutcome, facts
from watcher.gate.ticket import Ticket

__all__ = [
    "OWN_LIMIT",
    "SLICE",
    "Availability",
    "Gate",
    "GateOptions",
    "GateState",
    "GateStatus",
    "Receipt",
    "ResumeOutcome",
    "Ticket",
    "allow_again",
    "ask_resume",
    "availability",
    "choose",
    "facts",
    "is_maybe_paid",
    "is_preferred",
    "request_resume",
    "requested_endpoints",
    "resume_requests",
    "stored_state",
]
