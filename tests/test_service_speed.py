"""The offline engine's speed: measured, remembered for the machine and the settings, and changed by what is newer."""

from pathlib import Path

import pytest

from watcher.config import OfflineSettings
from watcher.ledger import open_ledger
from watcher.service import speed
from watcher.service.speed import MeasuredSpeed, SpeedMeter, remember, remembered

PLAIN = OfflineSettings()
MODEL = "offline-whisper-small"


def test_a_speed_is_remembered_for_the_machine_the_model_and_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = open_ledger(tmp_path)
    unknown = remembered(ledger.memory, PLAIN, MODEL)
    remember(ledger.memory, PLAIN, MODEL, MeasuredSpeed(600.0, 60.0))

    assert unknown.factor == 0
    assert remembered(ledger.memory, PLAIN, MODEL).factor == 10
    assert remembered(ledger.memory, OfflineSettings(beam=1), MODEL).factor == 0
    assert remembered(ledger.memory, PLAIN, "offline-whisper-base").factor == 0
    monkeypatch.setattr("watcher.service.speed.socket.gethostname", lambda: "another")
    assert remembered(ledger.memory, PLAIN, MODEL).factor == 0
    ledger.close()


def test_what_is_newer_soon_outweighs_years_of_what_is_older(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    remember(ledger.memory, PLAIN, MODEL, MeasuredSpeed(1e7, 1e6))
    remember(ledger.memory, PLAIN, MODEL, MeasuredSpeed(3600.0, 1080.0))

    # An hour at each of two speeds.
    assert remembered(ledger.memory, PLAIN, MODEL).factor == pytest.approx(7200 / 1440)
    ledger.close()


def test_a_short_recording_counts_for_as_long_as_the_engine_takes_for_it() -> None:
    meter = SpeedMeter()
    meter.add(1.0, 2.0)
    meter.add(60.0, 4.0)

    assert meter.measured == MeasuredSpeed(speed.SHORTEST + 60.0, 6.0)


def test_what_was_measured_is_taken_once() -> None:
    meter = SpeedMeter()
    meter.add(30.0, 3.0)
    first = meter.take_fresh()
    meter.add(60.0, 4.0)

    assert (first, meter.take_fresh(), meter.take_fresh()) == (
        MeasuredSpeed(30.0, 3.0),
        MeasuredSpeed(60.0, 4.0),
        MeasuredSpeed(),
    )
    assert meter.measured == MeasuredSpeed(90.0, 7.0)
