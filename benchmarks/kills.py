"""kill -9 at random instants while recordings of every kind keep coming: what is lost, doubled, half, or paid twice.

``python -m benchmarks.kills [--kills 200] [--files 500] [--seed 1]``. The daemon is the real one, and is started again
after each kill, as systemd does; the recordings (WAV, FLAC, MP3, M4A, AIFF, MKA, and long ones that are cut into pieces)
come in by every kind of writer; a reader looks at all outputs all the time. Only what the server was working on at a kill
may be paid for twice. It is a round of `tests/chaos`, with one kind of fault.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.report import Row, write

_ROOT: Final = Path(__file__).parent.parent
#: How sentences about what went wrong begin, by what they count for.
_WRONG: Final = {
    "lost": ("lost:",),
    "doubled": ("doubled:", "stray:", "outdated:"),
    "half outputs": ("half:", "seen by a reader:"),
}


def main() -> int:
    """Run it; give 1 when anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    given = parser.parse_args()
    sys.path.insert(0, str(_ROOT / "tests"))
    from chaos.rounds import killing, play  # noqa: PLC0415 - the tests' own modules, found only now

    place = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        report = play(killing(given.seed, kills=given.kills, files=given.files), place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    counts = {name: sum(line.startswith(begins) for line in report.wrong) for name, begins in _WRONG.items()}
    said = f"{report.ends['kill']} kill -9, {report.recordings} recordings, {report.long} of them long"
    rows = [
        *(Row(f"{said}: {name}", "0", count, "", met=count == 0) for name, count in counts.items()),
        Row(
            "the same: requests paid twice",
            "<= those in flight at the kills",
            report.paid_again,
            "",
            limits={"in flight": report.in_flight},
            met=report.paid_again <= report.in_flight,
        ),
    ]
    print("\n".join(map(str, rows)))
    print(f"\n{report.looks} outputs looked at by a reader, {report.requests} requests, {report.seconds:.0f} s")
    if report.wrong:
        print(report.story)
    if given.json:
        write(given.json, rows, {"seed": given.seed})
    return 1 if report.wrong or not all(row.met for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
