"""Signals as the main thread hears them."""

import os
import signal

from descriptors import beyond_select

from watcher.service.signals import Signals


def test_a_daemon_with_thousands_of_open_files_hears_its_signals() -> None:
    with beyond_select():
        signals = Signals()
    with signals:
        os.kill(os.getpid(), signal.SIGHUP)

        assert signals.wait(20) == [signal.SIGHUP]


def test_a_wait_ends_when_it_is_woken_and_when_its_time_is_over() -> None:
    with Signals() as signals:
        signals.wake()

        assert signals.wait(20) == []
        assert signals.wait(-1) == []
