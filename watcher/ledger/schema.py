"""The ledger's tables, as numbered steps; a ledger of an older version is updated by the steps that it lacks.

A released step is never edited: its tables exist on other people's disks. `PRAGMA user_version` is
the number of steps that were applied to a file; it changes in the same transaction as the tables.
"""

import contextlib
import itertools
import sqlite3
from pathlib import Path
from typing import Final

from watcher.errors import StateError
from watcher.job import TRIAL_MODEL

#: "WTCH": tells our file from any other SQLite database.
APPLICATION: Final = 0x57544348

#: Both engines' statements of a step.
NOTE_TRIALS: Final = f"""
UPDATE sources SET model = '{TRIAL_MODEL}' WHERE state = 'done' AND content IN (
    SELECT digest FROM contents AS made WHERE parameters IN (SELECT parameters FROM answers WHERE model = '{TRIAL_MODEL}')
    AND NOT EXISTS (SELECT 1 FROM contents AS later WHERE later.digest = made.digest AND later.id > made.id)
)
"""  # noqa: S608 - our own word
INDEX_TRIALS: Final = f"CREATE INDEX sources_trials ON sources (path) WHERE state = 'done' AND model = '{TRIAL_MODEL}'"

_FIRST: Final = (
    f"PRAGMA application_id = {APPLICATION}",
    # One row per source. AUTOINCREMENT: no id is used twice, so a late worker cannot change another source's row.
    """
    CREATE TABLE sources (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        path BLOB NOT NULL UNIQUE,
        root BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        inode INTEGER NOT NULL,                 -- as a signed number
        backlog INTEGER NOT NULL,
        small INTEGER NOT NULL,
        suspect INTEGER NOT NULL,
        seconds REAL,
        content TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        fence INTEGER NOT NULL DEFAULT 0,
        alone INTEGER NOT NULL DEFAULT 0,       -- was running in a crash: runs with nothing beside it
        crashes INTEGER NOT NULL DEFAULT 0,     -- crashes while alone, since it last got further
        reached INTEGER NOT NULL DEFAULT 0,     -- pieces it had got to when it last crashed
        owner TEXT NOT NULL DEFAULT '',
        lease_until REAL NOT NULL DEFAULT 0,    -- of no use here: only what hosts share has leases
        run_at REAL NOT NULL DEFAULT 0,
        queued_at REAL NOT NULL,
        updated_at REAL NOT NULL,
        piece INTEGER NOT NULL DEFAULT 0,
        pieces INTEGER NOT NULL DEFAULT 0,
        seconds_done REAL NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '',
        message TEXT NOT NULL DEFAULT '',
        hint TEXT NOT NULL DEFAULT '',
        outcome TEXT                            -- JSON; of the last time it was done
    )
    """,
    # One index per state and query. With two for the same state, the planner may take the wrong one (measured:
    # ten times slower at 100,000 rows); so there is one for all claims, searched four times by its first two columns.
    "CREATE INDEX sources_ready ON sources (alone, small, backlog, queued_at, id) WHERE state = 'ready'",
    "CREATE INDEX sources_delayed ON sources (run_at) WHERE state = 'delayed'",
    "CREATE INDEX sources_running ON sources (lease_until, alone) WHERE state = 'running'",
    "CREATE INDEX sources_done ON sources (updated_at) WHERE state = 'done'",
    "CREATE INDEX sources_failed ON sources (updated_at) WHERE state = 'failed'",
    "CREATE INDEX sources_skipped ON sources (updated_at) WHERE state = 'skipped'",
    # For finding a file that was moved.
    """
    CREATE INDEX sources_moved ON sources (inode, size, mtime_ns)
    WHERE state = 'done' AND inode <> 0 AND content <> ''
    """,
    # Sums that would otherwise need a query over the whole ledger: sources by state, and the values of `tally`.
    "CREATE TABLE totals (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID",
    """
    INSERT INTO totals VALUES
        ('delayed', 0), ('ready', 0), ('running', 0), ('done', 0), ('failed', 0), ('skipped', 0),
        ('audio_seconds', 0), ('paid_seconds', 0), ('saved_seconds', 0), ('answers', 0), ('answer_bytes', 0)
    """,
    """
    CREATE TRIGGER sources_entered AFTER INSERT ON sources BEGIN
        UPDATE totals SET value = value + 1 WHERE name = new.state;
    END
    """,
    """
    CREATE TRIGGER sources_moved_on AFTER UPDATE OF state ON sources WHEN old.state <> new.state BEGIN
        UPDATE totals SET value = value - 1 WHERE name = old.state;
        UPDATE totals SET value = value + 1 WHERE name = new.state;
    END
    """,
    """
    CREATE TRIGGER sources_left AFTER DELETE ON sources BEGIN
        UPDATE totals SET value = value - 1 WHERE name = old.state;
    END
    """,
    """
    CREATE TABLE answers (
        id INTEGER PRIMARY KEY,
        digest TEXT NOT NULL,
        parameters TEXT NOT NULL,
        body BLOB NOT NULL,                     -- zlib
        seconds REAL NOT NULL,
        model TEXT NOT NULL,
        used_at REAL NOT NULL,
        UNIQUE (digest, parameters)
    )
    """,
    "CREATE INDEX answers_used ON answers (used_at)",
    """
    CREATE TABLE cuts (
        sketch TEXT NOT NULL,
        parameters TEXT NOT NULL,
        number INTEGER NOT NULL,
        first INTEGER NOT NULL,
        behind INTEGER NOT NULL,
        digest TEXT NOT NULL,
        used_at REAL NOT NULL,
        PRIMARY KEY (sketch, parameters, number)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE contents (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        digest TEXT NOT NULL,
        sketch TEXT NOT NULL,
        parameters TEXT NOT NULL,
        seconds REAL NOT NULL,
        cuts TEXT NOT NULL,                     -- JSON
        loudness BLOB NOT NULL,                 -- zlib
        used_at REAL NOT NULL,
        UNIQUE (digest, parameters)
    )
    """,
    "CREATE INDEX contents_sketch ON contents (sketch, id)",
    "CREATE INDEX contents_used ON contents (used_at)",
    """
    CREATE TABLE outputs (
        path BLOB PRIMARY KEY,
        source BLOB NOT NULL,
        kind TEXT NOT NULL,
        digest TEXT NOT NULL,
        former TEXT NOT NULL DEFAULT '',
        placed INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID
    """,
    "CREATE INDEX outputs_source ON outputs (source)",
    "CREATE INDEX outputs_notes ON outputs (path) WHERE kind = 'note'",
    "CREATE TABLE temporaries (path BLOB PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE memory (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires REAL) WITHOUT ROWID",
    """
    CREATE TABLE bought (
        endpoint TEXT NOT NULL,
        day TEXT NOT NULL,
        seconds REAL NOT NULL,
        PRIMARY KEY (endpoint, day)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE hooks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        source BLOB NOT NULL,
        kind TEXT NOT NULL,
        payload BLOB NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0
    )
    """,
)

# Unix time since when a finished source is known to be gone; 0: it exists.
_SECOND: Final = ("ALTER TABLE sources ADD COLUMN gone_at REAL NOT NULL DEFAULT 0",)

# Warnings: what was not transcribed of a content, as JSON.
_THIRD: Final = ("ALTER TABLE contents ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]'",)

# 1 for an answer that a quarantined source used: it may have caused the crashes, and is not used again.
_FOURTH: Final = ("ALTER TABLE answers ADD COLUMN aside INTEGER NOT NULL DEFAULT 0",)

# Audio seconds done in each minute (Unix time / 60) of the last hour; older rows go with the next `prune`.
_FIFTH: Final = ("CREATE TABLE pace (minute INTEGER PRIMARY KEY, seconds REAL NOT NULL)",)

# A person's request to transcribe a source again (JSON), and the model of a done source. Sources that the embedded
# engine has done with an earlier version are recognised by the answers of their newest content.
_SIXTH: Final = (
    "ALTER TABLE sources ADD COLUMN again TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE sources ADD COLUMN model TEXT NOT NULL DEFAULT ''",
    NOTE_TRIALS,
    INDEX_TRIALS,
)

# How often a hook has failed, when it is due again (Unix time), and the message of its last failure.
_SEVENTH: Final = (
    "ALTER TABLE hooks ADD COLUMN failures INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE hooks ADD COLUMN run_at REAL NOT NULL DEFAULT 0",
    "ALTER TABLE hooks ADD COLUMN message TEXT NOT NULL DEFAULT ''",
    "CREATE INDEX hooks_failed ON hooks (id) WHERE failures > 0",
)

# Roots take turns: the next job is looked for in one of them.
INDEX_TURNS: Final = (
    "DROP INDEX sources_ready",
    "CREATE INDEX sources_ready ON sources (alone, small, root, backlog, queued_at, id) WHERE state = 'ready'",
)

# Hook calls that never failed and those that did are queried separately; neither query reads through the rows that wait.
_NINTH: Final = (
    "DROP INDEX hooks_failed",
    "CREATE INDEX hooks_fresh ON hooks (id) WHERE failures = 0",
    "CREATE INDEX hooks_failed ON hooks (run_at, id) WHERE failures > 0",
    "CREATE INDEX hooks_behind ON hooks (source) WHERE failures > 0",
)

# The id of the recording that a call is about, which stays the same when it is renamed; 0: not known.
_TENTH: Final = (
    "ALTER TABLE hooks ADD COLUMN recording INTEGER NOT NULL DEFAULT 0",
    "CREATE INDEX hooks_behind_recording ON hooks (recording) WHERE failures > 0",
)

INDEX_CAME_AS: Final = "CREATE INDEX sources_came_as ON sources (came_as, id) WHERE came_as IS NOT NULL"

INDEX_SESSIONS: Final = (
    "CREATE INDEX sources_session ON sources (session, path) WHERE session IS NOT NULL",
    # Whether a session waits for a stem is asked whenever one of them is concluded.
    """
    CREATE INDEX sources_open_stems ON sources (session)
    WHERE session IS NOT NULL AND state IN ('ready', 'delayed', 'running')
    """,
)

# The path of a source before it was moved (`Queue.relocate`); NULL: it was not moved.
_ELEVENTH: Final = (
    "ALTER TABLE sources ADD COLUMN came_as BLOB",
    INDEX_CAME_AS,
)

# Levels in a second of `contents.loudness`: earlier versions measured tenths of a second.
_TWELFTH: Final = ("ALTER TABLE contents ADD COLUMN loudness_rate INTEGER NOT NULL DEFAULT 10",)

# The endpoint that gave an answer; and further parameters under which answers of a content are stored, as JSON.
_THIRTEENTH: Final = (
    "ALTER TABLE answers ADD COLUMN endpoint TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE contents ADD COLUMN others TEXT NOT NULL DEFAULT '[]'",
)

# The session that a source is a stem of, or that it is; NULL: a recording of its own. And the tracks of a session, as JSON.
_FOURTEENTH: Final = (
    "ALTER TABLE sources ADD COLUMN session BLOB",
    *INDEX_SESSIONS,
    "ALTER TABLE contents ADD COLUMN parts TEXT NOT NULL DEFAULT '[]'",
)

# What a recording's header says about the time at which it begins, as JSON; "": nobody has read that yet.
_FIFTEENTH: Final = ("ALTER TABLE contents ADD COLUMN start TEXT NOT NULL DEFAULT ''",)

# Deliveries to webhooks wait in the same table: `receiver` is the webhook's name, "" for a program. `given_up` is the Unix time since
# when a delivery is not tried any more; 0: it still is.
_SIXTEENTH: Final = (
    "ALTER TABLE hooks ADD COLUMN receiver TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE hooks ADD COLUMN given_up REAL NOT NULL DEFAULT 0",
    "DROP INDEX hooks_fresh",
    "DROP INDEX hooks_failed",
    "DROP INDEX hooks_behind",
    "DROP INDEX hooks_behind_recording",
    "CREATE INDEX hooks_fresh ON hooks (receiver, id) WHERE failures = 0 AND given_up = 0",
    "CREATE INDEX hooks_failed ON hooks (receiver, run_at, id) WHERE failures > 0 AND given_up = 0",
    "CREATE INDEX hooks_behind ON hooks (receiver, source) WHERE failures > 0 AND given_up = 0",
    "CREATE INDEX hooks_behind_recording ON hooks (receiver, recording) WHERE failures > 0 AND given_up = 0",
    "CREATE INDEX hooks_given_up ON hooks (receiver, given_up) WHERE given_up > 0",
)

# What was done in each quarter of an hour (Unix time / 900), see `watcher.ledger.counting`. The first row says since when it is counted.
_SEVENTEENTH: Final = (
    """
    CREATE TABLE activity (
        slot INTEGER NOT NULL,
        endpoint TEXT NOT NULL,                 -- of what was bought; '': of recordings
        done INTEGER NOT NULL DEFAULT 0,
        failed INTEGER NOT NULL DEFAULT 0,
        audio_seconds REAL NOT NULL DEFAULT 0,
        waited_seconds REAL NOT NULL DEFAULT 0,
        bought_seconds REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (slot, endpoint)
    ) WITHOUT ROWID
    """,
    "INSERT INTO activity (slot, endpoint) VALUES (CAST(strftime('%s', 'now') AS INTEGER) / 900, '')",
)

#: Step n brings a ledger of version n to version n + 1.
STEPS: Final[tuple[tuple[str, ...], ...]] = (
    _FIRST,
    _SECOND,
    _THIRD,
    _FOURTH,
    _FIFTH,
    _SIXTH,
    _SEVENTH,
    INDEX_TURNS,
    _NINTH,
    _TENTH,
    _ELEVENTH,
    _TWELFTH,
    _THIRTEENTH,
    _FOURTEENTH,
    _FIFTEENTH,
    _SIXTEENTH,
    _SEVENTEENTH,
)


def migrate(connection: sqlite3.Connection, path: Path, steps: tuple[tuple[str, ...], ...] = STEPS) -> None:
    """Update the tables to the newest version, all steps in one transaction. Raises StateError if they are not ours, or newer.

    One transaction, because others read at the same time: between two they would see the ledger of an older version.
    """
    version = _version(connection, path, steps)
    if version == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in itertools.chain.from_iterable(steps[version:]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        # A failure of the disk may have rolled it back already.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def check(connection: sqlite3.Connection, path: Path) -> bool:
    """Raise StateError for a ledger that this version cannot read; a process that only looks does not update it. False: empty."""
    version = _version(connection, path, STEPS)
    if 0 < version < len(STEPS):
        raise StateError(
            f"the ledger {path} was written by an older watcher",
            hint="restart the daemon with this version: it converts the ledger",
        )
    return version > 0


def _version(connection: sqlite3.Connection, path: Path, steps: tuple[tuple[str, ...], ...]) -> int:
    # One transaction: a daemon may be making the tables at this moment.
    connection.execute("BEGIN")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    finally:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
    if tables and application != APPLICATION:
        raise StateError(
            f"{path} is a database, but not a watcher's ledger",
            hint="give the watcher a state directory of its own: [state] dir",
        )
    if version > len(steps):
        raise StateError(
            f"the ledger {path} was written by a newer watcher (version {version}, this one knows {len(steps)})",
            hint="run the newer watcher, or move the ledger aside: files that have their outputs are recognised",
        )
    return version
