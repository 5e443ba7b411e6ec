"""The shared door to one endpoint: how many may be in, how fast, and when nobody.

Every request goes through `Gate.run` (or `Gate.enter`); a worker asks `Gate.admit` before it claims a job. What a
request met is told to the gate by the error that passes through it. `stored_state`, `ask_resume` and `request_resume` are
for other processes (the command line), by way of the ledger's memory.
"""

from watcher.gate.gate import Gate, Ticket
from watcher.gate.record import Memory, allow_again, ask_resume, request_resume, resume_requests, stored_state
from watcher.gate.state import OWN_LIMIT, GateOptions, GateState, ProbeResult, Status, facts

__all__ = [
    "OWN_LIMIT",
    "Gate",
    "GateOptions",
    "GateState",
    "Memory",
    "ProbeResult",
    "Status",
    "Ticket",
    "allow_again",
    "ask_resume",
    "facts",
    "request_resume",
    "resume_requests",
    "stored_state",
]
