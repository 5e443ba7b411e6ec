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

_ROOT = Path(__file__).parent.parent
#: How sentences about what went wrong begin, by column.
_WRONG = {"lost": ("lost:",), "doubled": ("doubled:", "stray:", "outdated:"), "half": ("half:", "seen by a reader:")}


def main() -> int:
    """Run it; give 1 when anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.path.insert(0, str(_ROOT / "tests"))
    from chaos.rounds import killing, play  # noqa: PLC0415 - the tests' own modules, found only now

    place = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        report = play(killing(given.seed, kills=given.kills, files=given.files), place)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    counts = {name: sum(line.startswith(begins) for line in report.wrong) for name, begins in _WRONG.items()}
    print(
        "| kills | recordings, long ones | lost | doubled | half outputs | requests in flight at the kills | paid twice |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        f"| {report.ends['kill']} | {report.recordings}, {report.long} | {counts['lost']} | {counts['doubled']} "
        f"| {counts['half']} | {report.in_flight} | {report.paid_again} |\n\n"
        f"{report.looks} outputs were looked at by a reader meanwhile; {report.requests} requests; {report.seconds:.0f} s."
    )
    if report.wrong:
        print(report.story)
    return 1 if report.wrong or report.paid_again > report.in_flight else 0


if __name__ == "__main__":
    sys.exit(main())
