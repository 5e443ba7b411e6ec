"""The tests' own PostgreSQL: whatever becomes of a test run, its server ends, and its data go."""

import os
import select
import subprocess
import sys
from pathlib import Path

from support import postgres
from support.waiting import eventually

#: A test run that has a server, says so, and goes on for as long as nobody ends it.
RUN = """
import signal, sys
sys.path.insert(0, sys.argv[1])
from support.postgres import Cluster
cluster = Cluster("fsync=off")
print(cluster.directory, (cluster.directory / "data/postmaster.pid").read_text().split()[0], flush=True)
signal.pause()
"""


def test_a_server_ends_with_the_test_run_that_was_killed() -> None:
    postgres.programs()
    with subprocess.Popen(
        [sys.executable, "-c", RUN, Path(__file__).parent], stdout=subprocess.PIPE, text=True, process_group=0
    ) as run:
        assert run.stdout is not None
        directory, number = run.stdout.readline().split()
        server = os.pidfd_open(int(number))
        try:
            os.killpg(run.pid, 9)
            ended, _, _ = select.select([server], [], [], 60)
        finally:
            os.close(server)

    assert ended
    eventually(lambda: not Path(directory).exists(), patience=60)
