"""How long a run with the offline engine takes: said before it begins if that was measured before, and while it goes on."""

from dataclasses import dataclass

import structlog

from watcher.service import BatchProgress
from watcher.service.estimate import Estimate
from watcher.service.speed import MeasuredSpeed, SpeedMeter
from watcher.text import roughly

_log = structlog.get_logger()


@dataclass(slots=True)
class Expectation:
    """What is to be transcribed, the speed of earlier runs, and what measures that of this one."""

    found: Estimate
    before: MeasuredSpeed
    meter: SpeedMeter
    _is_logged: bool = False

    def log(self, _progress: BatchProgress) -> None:
        """Log once how long it takes, as soon as this is known; not when all is done by then."""
        speed, is_done = self._speed, 0 < self.found.heard_seconds <= self.meter.measured.sound
        if self._is_logged or is_done or not speed.factor or not self.found.files:
            return
        self._is_logged = True
        about = seconds_taken(self.found, speed)
        _log.info(
            "service.estimated",
            files=self.found.files,
            audio_seconds=round(self.found.seconds, 3),
            about_seconds=round(about),
            message=f"{taken(about, self.found)}, at {speed.factor:.1f} x",
        )

    def left(self, progress: BatchProgress) -> str:
        """Return how long it still takes, for the text beside the bar; "" while that is not known, or nothing goes on."""
        speed, waits = self._speed, progress.held or progress.next_try is not None
        if waits or not speed.factor or not self.found.seconds:
            return ""
        rest = 1.0 - min(1.0, progress.heard_seconds / self.found.seconds)
        return f"{roughly(seconds_taken(self.found, speed) * rest)} left" if rest else ""

    @property
    def _speed(self) -> MeasuredSpeed:
        return self.before + self.meter.measured


def seconds_taken(found: Estimate, speed: MeasuredSpeed) -> float:
    """Return the seconds that recordings with a known length take at a speed that is known."""
    return found.heard_seconds / speed.factor


def taken(seconds: float, found: Estimate) -> str:
    """Return a duration as a phrase, with what it leaves out."""
    rest = f", and what the {found.untimed} of unknown length take" if found.untimed else ""
    return f"{roughly(seconds)}{rest}" if found.heard_seconds else "not known, as no length is known"
