"""The start of everything: what the main thread may wait for, which is nothing that a signal could not end."""

import threading
from pathlib import Path

from structlog.testing import capture_logs
from support.clock import Clock
from support.hostile import fill_up, needs_mounts, tmpfs
from support.waiting import eventually
from test_service_crash_cleanup import crashing
from test_service_reload import config

from watcher.ledger.sqlite import SqliteLedger
from watcher.service.application import Application
from watcher.service.plan import plan


@needs_mounts
def test_the_main_thread_does_not_wait_for_room_on_the_disk_to_report_quarantined_files(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "state", size="3m") as state:
        crashing(state, Clock()).close()
        application = Application(plan(config(state)), stop=threading.Event(), on_death=lambda: None, environment={})
        assert application.direct.queue.quarantined()
        fill_up(state / "ballast")

        with capture_logs() as log:
            application.start(inspect=lambda _path: None)
            eventually(lambda: any(line["event"] == "service.waiting" for line in log))
            late = application.drain(0)
            application.close()

    assert late == []
    assert not any(line["event"] == "service.resumed" for line in log)


def test_temporaries_of_the_last_run_go_and_those_of_this_one_stay(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    left, fresh = folder / ".a.txt.0123abcd.tmp", folder / ".b.txt.0123abcd.tmp"
    for path in (left, fresh):
        path.write_text("half")
    former = SqliteLedger(tmp_path / "state")
    former.outputs.enter_temporary(bytes(left))
    former.close()
    settings = config(tmp_path / "state", folders={"path": str(folder)})
    application = Application(plan(settings), stop=threading.Event(), on_death=lambda: None, environment={})
    application.direct.outputs.enter_temporary(bytes(fresh))

    application.start(inspect=lambda _path: None)
    eventually(lambda: not left.exists())
    application.drain(0)
    application.close()

    assert fresh.exists()
