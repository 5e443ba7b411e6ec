"""Metrics for Prometheus, in its text format or as OpenMetrics 1.0; their names are part of the contract (docs/operations.md)."""

import threading
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest as prometheus
from prometheus_client.openmetrics.exposition import generate_latest as open_metrics
from prometheus_client.registry import Collector

from watcher import __version__
from watcher.gate.statistics import BOUNDS, RequestCounts
from watcher.job import State
from watcher.status.text import is_lost
from watcher.status.values import StatusReport

#: Content types of the two formats.
OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


def kind_for(accept: str) -> str:
    """Return the content type for a scraper's Accept header, whatever versions it names there."""
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return OPEN_METRICS if "application/openmetrics-text" in kinds else PROMETHEUS


class Highest:
    """The highest value so far of each sum that may shrink; any thread may use it.

    Audio is booked before a request is made, and taken back if it fails. Prometheus takes a counter that falls for one that began anew,
    and counts all of it as an increase.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, float] = {}

    def of(self, name: str, value: float) -> float:
        """Return the highest value of this name."""
        with self._lock:
            self._values[name] = max(value, self._values.get(name, value))
            return self._values[name]


def encoded(report: StatusReport, requests: Mapping[str, RequestCounts], kind: str, highest: Highest) -> bytes:
    """Return the metrics in the format of a content type. `highest`: the same one for all reports of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(report, requests, highest))
    if kind == OPEN_METRICS:
        return open_metrics(registry)  # type: ignore[no-untyped-call,no-any-return] # as the library has it
    return prometheus(registry)


class _Figures(Collector):
    """The figures of one moment. No label holds a path; folders and endpoints have the names of the settings."""

    def __init__(self, report: StatusReport, requests: Mapping[str, RequestCounts], highest: Highest) -> None:
        self._report = report
        self._requests = requests
        self._highest = highest

    def collect(self) -> Iterator[Metric]:
        report = self._report
        this = next((host.name for host in report.hosts if host.myself), "")
        yield InfoMetricFamily(
            "watcher_build", "Version, and the host of a fleet.", {"version": __version__, "host": this}
        )
        yield self._files()
        yield self._waiting()
        yield self._audio()
        yield from self._of_endpoints()
        yield from self._of_requests()
        yield self._lost()
        done = max((record.updated_at for record in report.done), default=0.0)
        yield GaugeMetricFamily(
            "watcher_last_done_timestamp_seconds", "When a recording was done last; 0: never.", value=done
        )
        yield GaugeMetricFamily(
            "watcher_problems", "What a person has to fix before work goes on.", value=len(report.problems)
        )
        if report.hosts:
            hosts = GaugeMetricFamily("watcher_hosts", "Hosts on the ledger.", labels=["state"])
            alive = sum(host.alive for host in report.hosts)
            hosts.add_metric(["alive"], alive)
            hosts.add_metric(["dead"], len(report.hosts) - alive)
            yield hosts

    def _files(self) -> Metric:
        files = GaugeMetricFamily("watcher_files", "Recordings by state, of all hosts.", labels=["state"])
        counts = self._report.counts
        incoming = sum(int(folder.get("waiting", 0)) for folder in self._report.service.get("folders", ()))
        files.add_metric(["incoming"], incoming)
        files.add_metric(["queued"], counts[State.READY] + counts[State.DELAYED])
        for state in (State.RUNNING, State.DONE, State.FAILED, State.SKIPPED):
            files.add_metric([str(state)], counts[state])
        return files

    def _waiting(self) -> Metric:
        oldest = self._report.oldest_queued
        return GaugeMetricFamily(
            "watcher_oldest_waiting_seconds",
            "Since when the recording is queued that has waited longest; 0: none waits.",
            value=0.0 if oldest is None else max(0.0, self._report.now - oldest),
        )

    def _audio(self) -> Metric:
        audio = CounterMetricFamily(
            "watcher_audio_seconds", "Audio that was bought, and that was not.", labels=["paid"]
        )
        audio.add_metric(["yes"], self._highest.of("paid", self._report.tally.paid_seconds))
        audio.add_metric(["no"], self._highest.of("saved", self._report.tally.saved_seconds))
        return audio

    def _of_endpoints(self) -> Iterator[Metric]:
        report = self._report
        held = GaugeMetricFamily(
            "watcher_endpoint_held", "1: closed until a probe succeeds.", labels=["endpoint", "reason"]
        )
        bought = GaugeMetricFamily(
            "watcher_endpoint_bought_seconds", "Audio bought today and in this month.", labels=["endpoint", "period"]
        )
        spent = [(one.name, one.gate, one.today, one.month) for one in report.endpoints]
        for name, gate, day, month in spent or [("api", report.gate, report.spent.today, report.spent.month)]:
            is_held = gate.get("status") in {"held", "probing"}
            held.add_metric([name, str(gate.get("reason", "")) if is_held else ""], int(is_held))
            bought.add_metric([name, "day"], day)
            bought.add_metric([name, "month"], month)
        yield held
        yield bought

    def _of_requests(self) -> Iterator[Metric]:
        total = CounterMetricFamily(
            "watcher_requests", "Requests that ended, of this process.", labels=["endpoint", "outcome"]
        )
        lasted = HistogramMetricFamily(
            "watcher_request_seconds", "How long requests of this process took.", labels=["endpoint"]
        )
        for endpoint, counts in self._requests.items():
            for outcome, number in sorted(counts.outcomes.items()):
                total.add_metric([endpoint, outcome], number)
            bounds = [*map(str, BOUNDS), "+Inf"]
            buckets = list(zip(bounds, accumulate(counts.classes), strict=True))
            lasted.add_metric([endpoint], [(bound, float(number)) for bound, number in buckets], counts.seconds)
        yield total
        yield lasted

    def _lost(self) -> Metric:
        lost = GaugeMetricFamily("watcher_folder_lost", "1: the folder is away.", labels=["folder"])
        for folder in self._report.service.get("folders", ()):
            lost.add_metric([str(folder.get("name", ""))], int(is_lost(folder)))
        return lost
