"""The files for Prometheus and Grafana: they ask for metrics of the contract, and their own tools accept them."""

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from support.daemon import daemon
from support.heard import hearing, recording
from support.scripted import serving
from support.waiting import eventually

REPOSITORY = Path(__file__).resolve().parents[1]
MONITORING = REPOSITORY / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana-dashboard.json").read_text())
ALERTS = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
#: What Prometheus adds to every sample, and to those of a histogram.
ADDED = {"job", "instance", "le"}
COLUMNS = 24


def contract() -> dict[str, set[str]]:
    """Return the labels of each metric, by the table of the docs."""
    page = (REPOSITORY / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(watcher_\w+)(?:\{([\w,]+)\})?` \|", page, re.MULTILINE)
    return {name: set(filter(None, labels.split(","))) for name, labels in rows}


def rules() -> list[dict[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    """Return every query of dashboard and rules, with the dashboard's variables filled in."""
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    filled = [one.replace("$__rate_interval", "5m").replace("$instance", ".*") for one in asked]
    return [*filled, *(rule["expr"] for rule in rules())]


def promtool(*arguments: str | Path, stdin: str | None = None) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not there (Debian: prometheus)")
    done = subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr, done.stderr


def test_every_metric_and_label_that_is_asked_for_is_in_the_contract() -> None:
    known = contract()
    assert len(known) >= 12
    names = {name for query in queries() for name in re.findall(r"watcher_\w+", query)}

    assert {name.removesuffix("_bucket") for name in names} <= set(known)
    # One that nobody shows is of no use to an operator.
    assert set(known) == {name.removesuffix("_bucket") for name in names}
    labels = set().union(ADDED, *known.values())
    for query in queries():
        grouped = [one.strip() for by in re.findall(r"\b(?:by|on) \(([^)]*)\)", query) for one in by.split(",")]
        assert set(grouped) <= labels, query
        for name, selector in re.findall(r"(watcher_\w+)\{([^}]*)\}", query):
            selected = re.findall(r"(\w+)(?:=~|!=|=)\"", selector)
            assert set(selected) <= known[name.removesuffix("_bucket")] | ADDED, query


def test_what_each_host_says_of_the_whole_fleet_is_not_added_up() -> None:
    of_all = "watcher_(files|audio_seconds_total|endpoint_bought_seconds|hosts)"
    sums = [query for query in queries() if re.search(of_all, query) and "sum" in query]
    assert sums
    for query in sums:
        assert all("instance" in by for by in re.findall(r"sum(?: by \(([^)]*)\))?", query)), query


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    known = set().union(ADDED, *contract().values())
    for rule in rules():
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"]))) <= known


@pytest.mark.slow
def test_the_alerts_are_raised_by_what_they_are_about_and_by_nothing_else() -> None:
    promtool("check", "rules", MONITORING / "alerts.yaml")
    promtool("test", "rules", MONITORING / "alerts_test.yaml")
    tested = yaml.safe_load((MONITORING / "alerts_test.yaml").read_text())["tests"]

    raised = {one["alertname"] for test in tested for one in test.get("alert_rule_test", ()) if one.get("exp_alerts")}
    assert raised == {rule["alert"] for rule in rules()}


def test_prometheus_understands_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    recorded = [{"record": f"asked:{number}", "expr": query} for number, query in enumerate(queries())]
    file = tmp_path / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": recorded}]}))

    promtool("check", "rules", file)


def test_the_dashboard_has_what_grafana_asks_for() -> None:
    """As its schema says (@grafana/schema, Dashboard); an id or a place taken twice hides a panel."""
    panels = DASHBOARD["panels"]
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}

    assert {"uid", "title", "schemaVersion", "panels", "templating", "time", "annotations"} <= set(DASHBOARD)
    assert "id" not in DASHBOARD, "an id is that of one Grafana"
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert len({panel["id"] for panel in panels}) == len(panels)
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels:
        assert panel["title"]
        assert panel["type"] in {"stat", "timeseries", "table", "bargauge"}
        assert panel["datasource"] == source
        assert [target["datasource"] for target in panel["targets"]] == [source] * len(panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert panel["fieldConfig"]["defaults"]["unit"] in {"short", "s"}
    cells = list(itertools.chain.from_iterable(covered(panel["gridPos"]) for panel in panels))
    assert len(set(cells)) == len(cells)
    assert max(column for column, _ in cells) < COLUMNS


def covered(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    return itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))


def test_promtool_finds_nothing_wrong_with_the_metrics(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()

    def asked() -> str:
        return requests.get(f"{address}/metrics", timeout=30).text

    with (
        serving(hearing) as server,
        daemon(
            folder, "--set", "http.listen=127.0.0.1:0", "--set", f"api.url={server.url}", state=tmp_path / "state"
        ) as running,
    ):
        address = running.await_event("http.listening")["address"]
        recording(folder / "talk.wav")
        running.await_event("job.done")
        eventually(lambda: 'watcher_files{state="done"} 1.0' in asked())
        metrics = asked()

    promtool("check", "metrics", stdin=metrics)
