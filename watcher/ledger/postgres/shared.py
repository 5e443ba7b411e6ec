"""Tables and functions for what hosts share besides the queue: limits, holds (`doors`), scan leases (`rounds`), and the hosts.

Each call is one round trip, so that no lock is held while a host is stopped. All times are the database's.
"""

from typing import Final

#: Channel on which hosts announce a change about a gate, with their sender name.
GATE_CHANNEL: Final = "watcher_gate"
#: Adds a value to the total of a name; see `watcher.ledger.part.LedgerContext`.
ADD: Final = """
INSERT INTO sums (value, name, backend) VALUES (?, ?, pg_backend_pid())
ON CONFLICT (backend, name) DO UPDATE SET value = sums.value + excluded.value
"""

COMMONS: Final = (
    # When a host last sent a heartbeat, and its facts for `status` (JSON).
    """
    CREATE TABLE hosts (
        host TEXT PRIMARY KEY,
        seen FLOAT8 NOT NULL,
        facts TEXT NOT NULL DEFAULT '{}'
    ) WITH (fillfactor = 50)
    """,
    # Which host scans a root by these rules.
    """
    CREATE TABLE rounds (
        root BYTEA NOT NULL,
        rules TEXT NOT NULL,
        host TEXT NOT NULL,
        lease_until FLOAT8 NOT NULL,
        PRIMARY KEY (root, rules)
    ) WITH (fillfactor = 50)
    """,
    # The row that hosts lock to take turns, and when the next request may start.
    """
    CREATE TABLE gates (
        endpoint TEXT PRIMARY KEY,
        next_start FLOAT8 NOT NULL DEFAULT 0
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE shares (
        endpoint TEXT NOT NULL,
        host TEXT NOT NULL,
        wanted INTEGER NOT NULL DEFAULT 0,      -- requests it could have in flight
        places INTEGER NOT NULL DEFAULT 0,      -- those that count as its own
        turn FLOAT8 NOT NULL DEFAULT 0,         -- since when it has a place, or has none
        reserved FLOAT8 NOT NULL DEFAULT 0,     -- seconds of audio in flight, or about to be
        lease_until FLOAT8 NOT NULL,
        PRIMARY KEY (endpoint, host)
    ) WITH (fillfactor = 50)
    """,
    # A hold or a pause, shared by all hosts with the same server, key and model.
    """
    CREATE TABLE doors (
        endpoint TEXT NOT NULL,
        party TEXT NOT NULL,
        number BIGINT NOT NULL DEFAULT 0,       -- of the last hold
        hold TEXT,                              -- JSON
        due FLOAT8 NOT NULL DEFAULT 0,          -- the next probe
        prober TEXT NOT NULL DEFAULT '',        -- the host that has leave to probe
        probing_until FLOAT8 NOT NULL DEFAULT 0,
        pause TEXT,                             -- JSON
        pause_until FLOAT8 NOT NULL DEFAULT 0,
        PRIMARY KEY (endpoint, party)
    )
    """,
    # Places are given by need: a host that wants less than an equal part gets all it wants, and the others share the rest.
    # If there are more hosts than places, the hosts that wait longest get the next ones. No host takes a place that another
    # still uses: a host with more than its part learns that, and gives places back as its requests end.
    """
    CREATE FUNCTION gate_share(
        _endpoint TEXT, _host TEXT, _lease FLOAT8, _limit INTEGER, _wanted INTEGER, _used INTEGER,
        _starts INTEGER, _spacing FLOAT8, _day TEXT, _budget FLOAT8, _flying FLOAT8, _first FLOAT8, _waiting FLOAT8,
        OUT allowed INTEGER, OUT counted INTEGER, OUT contended BOOLEAN, OUT first_start FLOAT8, OUT credit INTEGER
    ) LANGUAGE plpgsql AS $$
    DECLARE
        _now FLOAT8;
        _next FLOAT8;
        _before INTEGER;
        _asked INTEGER;
        _turn FLOAT8;
        _reserved FLOAT8 := 0;
        _spent FLOAT8;
        _booked FLOAT8;
        _one RECORD;
        _hosts INTEGER;
        _sum BIGINT;
        _left INTEGER := _limit;
        _number INTEGER := 0;
        _part INTEGER;
        _target INTEGER := 0;
        _others INTEGER := 0;
        _surplus BOOLEAN := false;
        _hungry BOOLEAN := false;
    BEGIN
        PERFORM set_config('synchronous_commit', 'off', true);
        LOOP
            SELECT next_start INTO _next FROM gates WHERE endpoint = _endpoint FOR UPDATE;
            EXIT WHEN FOUND;
            INSERT INTO gates (endpoint) VALUES (_endpoint) ON CONFLICT DO NOTHING;
        END LOOP;
        _now := extract(epoch FROM clock_timestamp());
        IF _starts > 0 THEN
            -- Further ahead than a queue of hosts can be: the clock was put back.
            _next := CASE WHEN _next > _now + 7200 THEN _now ELSE greatest(_next, _now) END;
            UPDATE gates SET next_start = _next + _starts * _spacing WHERE endpoint = _endpoint;
            first_start := _next - _now;
        END IF;
        allowed := _wanted;
        counted := greatest(_wanted, _used);
        contended := false;
        credit := 2;
        IF _limit = 0 AND _budget = 0 THEN
            RETURN;
        END IF;
        DELETE FROM shares WHERE endpoint = _endpoint AND host <> _host AND lease_until <= _now;
        IF _budget > 0 THEN
            SELECT coalesce(max(seconds), 0) INTO _spent FROM bought WHERE endpoint = _endpoint AND day = _day;
            SELECT coalesce(sum(reserved), 0) + _flying INTO _booked
            FROM shares WHERE endpoint = _endpoint AND host <> _host;
            credit := CASE
                WHEN _spent + _booked + _waiting <= _budget THEN 2
                -- What is longer than a whole day's minutes goes as the first of the day.
                WHEN _spent + _booked + _first <= _budget OR _spent + _booked = 0 THEN 1
                WHEN _spent + _first <= _budget OR _spent = 0 THEN 0
                ELSE -1
            END;
            _reserved := _flying + CASE credit WHEN 2 THEN _waiting WHEN 1 THEN _first ELSE 0 END;
        END IF;
        SELECT places, wanted, turn INTO _before, _asked, _turn
        FROM shares WHERE endpoint = _endpoint AND host = _host AND lease_until > _now;
        IF NOT FOUND THEN
            _before := 0;
            _asked := 0;
            _turn := _now;
        END IF;
        INSERT INTO shares (endpoint, host, wanted, places, turn, reserved, lease_until)
        VALUES (_endpoint, _host, _wanted, _before, _turn, _reserved, _now + _lease)
        ON CONFLICT (endpoint, host) DO UPDATE SET
            wanted = excluded.wanted, places = excluded.places, turn = excluded.turn, reserved = excluded.reserved,
            lease_until = excluded.lease_until;
        IF _limit > 0 THEN
            SELECT count(*) FILTER (WHERE wanted > 0), coalesce(sum(wanted), 0) INTO _hosts, _sum
            FROM shares WHERE endpoint = _endpoint;
            contended := _sum > _limit;
            FOR _one IN
                SELECT host, wanted, places FROM shares WHERE endpoint = _endpoint
                ORDER BY
                    wanted = 0,
                    CASE WHEN _hosts <= _limit THEN wanted END,
                    CASE WHEN _hosts > _limit THEN places > 0 END,
                    CASE WHEN _hosts > _limit THEN CASE WHEN places > 0 THEN -turn ELSE turn END END,
                    host
            LOOP
                IF _one.wanted = 0 THEN
                    _part := 0;
                ELSIF _hosts > _limit THEN
                    _part := least(_left, 1);
                ELSE
                    _part := least(_one.wanted, _left / (_hosts - _number));
                END IF;
                _left := _left - _part;
                _number := _number + 1;
                IF _one.host = _host THEN
                    _target := _part;
                ELSE
                    _others := _others + _one.places;
                    _surplus := _surplus OR _one.places > _part;
                    _hungry := _hungry OR _one.places < _part;
                END IF;
            END LOOP;
            allowed := least(_target, greatest(_limit - _others, 0));
            counted := greatest(allowed, _used);
            UPDATE shares SET places = counted, turn = CASE WHEN (counted > 0) = (_before > 0) THEN _turn ELSE _now END
            WHERE endpoint = _endpoint AND host = _host;
            -- What others said they want may be more than what they need now: they are asked when somebody falls short.
            IF (allowed < _target AND _surplus) OR (counted < _before AND _hungry)
                OR (_others > 0 AND _wanted > allowed AND (_wanted > _asked OR _asked <= _before))
            THEN
                PERFORM pg_notify('watcher_gate', _host);
            END IF;
        END IF;
        DELETE FROM shares
        WHERE endpoint = _endpoint AND host = _host AND wanted = 0 AND places = 0 AND reserved = 0;
    END $$
    """,
    """
    CREATE FUNCTION gate_spend(_endpoint TEXT, _host TEXT, _day TEXT, _seconds FLOAT8, OUT total FLOAT8)
    LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO bought (endpoint, day, seconds) VALUES (_endpoint, _day, _seconds)
        ON CONFLICT (endpoint, day) DO UPDATE SET seconds = bought.seconds + excluded.seconds
        RETURNING seconds INTO total;
        UPDATE shares SET reserved = greatest(reserved - _seconds, 0) WHERE endpoint = _endpoint AND host = _host;
    END $$
    """,
)
