"""How fast the offline engine is on this machine: measured with recordings, and remembered for the next run."""

import socket
import threading
from dataclasses import dataclass
from typing import Final

from watcher.config import OfflineSettings
from watcher.memory import KeyedMemory

#: Seconds of sound that each recording counts for at least: Whisper takes windows of 30 s, so short ones take nearly as long.
SHORTEST: Final = 15.0
#: Seconds of sound that older measurements count for at most, so that new ones change the speed soon.
_WEIGHT: Final = 3600.0


@dataclass(frozen=True, slots=True)
class MeasuredSpeed:
    """Seconds of sound that were transcribed, and the seconds that this took; both 0: nothing was measured."""

    sound: float = 0.0
    work: float = 0.0

    def __add__(self, other: "MeasuredSpeed") -> "MeasuredSpeed":
        """Return the speed of what was measured at both times."""
        return MeasuredSpeed(self.sound + other.sound, self.work + other.work)

    @property
    def factor(self) -> float:
        """How many times as fast as the sound is played; 0: it is not known."""
        return self.sound / self.work if self.work else 0.0


class SpeedMeter:
    """Measures the speed of a running engine; any thread may add what it has heard."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._measured = self._fresh = MeasuredSpeed()

    def add(self, sound: float, work: float) -> None:
        """Add a recording, or a piece of one: its seconds, and the seconds that it took."""
        part = MeasuredSpeed(max(sound, SHORTEST), work)
        with self._lock:
            self._measured += part
            self._fresh += part

    @property
    def measured(self) -> MeasuredSpeed:
        """The speed of all that was added."""
        with self._lock:
            return self._measured

    def take_fresh(self) -> MeasuredSpeed:
        """Return the speed of what was added since the last call."""
        with self._lock:
            fresh, self._fresh = self._fresh, MeasuredSpeed()
            return fresh


def remembered(memory: KeyedMemory, settings: OfflineSettings, model: str) -> MeasuredSpeed:
    """Return the speed that this model had on this machine with these settings."""
    stored = memory.remembered(_key(settings, model)) or {}
    sound, work = (float(str(stored.get(name, 0.0))) for name in ("sound", "work"))
    weight = min(1.0, _WEIGHT / sound) if sound else 0.0
    return MeasuredSpeed(sound * weight, work * weight)


def remember(memory: KeyedMemory, settings: OfflineSettings, model: str, measured: MeasuredSpeed) -> None:
    """Add what was measured to what is remembered."""
    speed = remembered(memory, settings, model) + measured
    memory.remember(_key(settings, model), {"sound": speed.sound, "work": speed.work})


def _key(settings: OfflineSettings, model: str) -> str:
    parts = (socket.gethostname(), model, settings.device, settings.compute, settings.threads, settings.beam)
    return f"offline.speed {' '.join(map(str, parts))}"
