"""Notify systemd of the service's state: sd_notify(3) without a dependency; does nothing if there is no listener.

Wanted by ``Type=notify-reload`` (systemd 253): READY, RELOADING with its own time, STOPPING, STATUS, and WATCHDOG while
``WatchdogSec=`` is set. Which socket that is and how long the watchdog waits, config reads from the environment.
"""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

#: Longest status: a datagram that does not fit into the receiver's buffer is lost as a whole.
_LONGEST_STATUS: Final = 1024


class Notifier:
    """One end of the notification socket. No method raises: a service that cannot notify still has to work."""

    def __init__(
        self, address: str = "", *, patience: float = 1.0, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """`address` is $NOTIFY_SOCKET: a path, or a name that begins with ``@`` (an abstract socket); "" for none.

        `patience`: seconds to wait for a listener that reads slowly.
        """
        self._patience = patience
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._monotonic_ns = monotonic_ns

    def ready(self, status: str = "") -> None:
        """Send READY: start-up, or a reload, is complete."""
        self._send("READY=1", *_status(status))

    def status(self, text: str) -> None:
        """Send a one-line status; `systemctl status` shows it."""
        self._send(*_status(text))

    def watchdog(self) -> None:
        """Send WATCHDOG: the service is alive; due at half of WatchdogSec."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """Send RELOADING: a reload has begun; `ready` ends it."""
        # By the time, systemd knows whether this belongs to its signal, so both must be in one message.
        self._send("RELOADING=1", f"MONOTONIC_USEC={self._monotonic_ns() // 1000}")

    def stopping(self, status: str = "") -> None:
        """Send STOPPING: the service is ending."""
        self._send("STOPPING=1", *_status(status))

    def _send(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        message = "\n".join(lines).encode("utf-8", "backslashreplace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(self._patience)
                # Connect first: only for a connected socket can we wait until the listener has room.
                channel.connect(self._address)
                channel.send(message)
        except (OSError, ValueError):
            # ValueError: an address with a null byte in it. Notifications are optional, so ignore errors.
            return


def watchdog_seconds(usec: int, pid: int, *, own_pid: int | None = None) -> float | None:
    """Return the seconds within which a sign of life is due; None if systemd does not expect one from this process.

    `usec` and `pid` are $WATCHDOG_USEC and $WATCHDOG_PID, 0 if they are not set; see sd_watchdog_enabled(3). Signs
    should be given at half of that time.
    """
    own_pid = os.getpid() if own_pid is None else own_pid
    if usec <= 0 or pid not in {0, own_pid}:
        return None
    return usec / 1e6


def unit_of(cgroups: str) -> tuple[str, bool]:
    """Return the service that a process belongs to, and whether it is a user's service; ("", False): no service of this program.

    `cgroups`: the content of ``/proc/PID/cgroup``, see cgroups(7). A terminal may be a service, too: only the name distinguishes them.
    """
    for line in cgroups.splitlines():
        *above, last = line.rpartition(":")[2].split("/")
        if last.startswith("watcher") and last.endswith(".service"):
            return last, any(part.startswith("user@") for part in above)
    return "", False


def control(verb: str, pid: int) -> str:
    """Return the systemctl command to stop, reload or restart (`verb`) a process; "": it is no service of this program.

    The kernel tells the process's service (procfs(5)).
    """
    try:
        unit, is_users = unit_of(Path(f"/proc/{pid}/cgroup").read_text(errors="replace"))
    except OSError:
        return ""
    if not unit:
        return ""
    name = unit.removesuffix(".service")
    return f"systemctl --user {verb} {name}" if is_users else f"sudo systemctl {verb} {name}"


def _status(text: str) -> list[str]:
    # One line: text after a line break would be read as another assignment.
    line = " ".join(text.split())[:_LONGEST_STATUS]
    return [f"STATUS={line}"] if line else []
