"""Signals as the main thread hears them."""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest
from support.descriptors import beyond_select

from watcher.service.signals import Signals


def test_a_daemon_with_thousands_of_open_files_hears_its_signals() -> None:
    with beyond_select():
        signals = Signals()
    with signals:
        os.kill(os.getpid(), signal.SIGHUP)

        assert signals.wait(60) == [signal.SIGHUP]


def test_a_wait_ends_when_it_is_woken_and_when_its_time_is_over() -> None:
    with Signals() as signals:
        signals.wake()

        assert signals.wait(60) == []
        assert signals.wait(-1) == []


def test_any_number_of_signals_of_a_kind_are_one_and_the_end_comes_first() -> None:
    with Signals() as signals:
        for number in [*[signal.SIGHUP] * 1000, signal.SIGTERM, signal.SIGHUP]:
            os.kill(os.getpid(), number)

        assert signals.wait(60) == [signal.SIGTERM, signal.SIGHUP]


def test_no_python_runs_when_a_signal_comes_so_that_no_flood_of_them_nests() -> None:
    entered: list[str] = []

    def profile(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            entered.append(frame.f_code.co_qualname)

    with Signals() as signals:
        raise_signal = signal.raise_signal
        former = sys.getprofile()
        sys.setprofile(profile)
        raise_signal(signal.SIGHUP)
        sys.setprofile(former)

        assert entered == []
        assert signals.wait(0) == [signal.SIGHUP]


def test_a_process_that_was_asked_to_end_is_not_killed_by_a_late_reload() -> None:
    former = signal.getsignal(signal.SIGHUP)
    try:
        with Signals():
            os.kill(os.getpid(), signal.SIGTERM)

        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL if number is signal.SIGTERM else signal.default_int_handler)


def test_another_thread_learns_of_an_end_that_the_main_thread_does_not_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.service.signals._UNHANDLED", 0.05)
    with Signals() as signals, ThreadPoolExecutor(1) as pool:
        unheard = pool.submit(signals.await_unhandled_end)
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)

        assert unheard.result(20) is True


def test_a_handled_end_needs_no_other_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.service.signals._UNHANDLED", 0.05)
    with ThreadPoolExecutor(1) as pool:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals.wait(60) == [signal.SIGTERM]
            unheard = pool.submit(signals.await_unhandled_end)

        assert unheard.result(20) is False
