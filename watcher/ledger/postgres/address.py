"""Address of the database: the url of the settings, and defaults that a service needs; a password is never shown."""

from typing import Any, Final

import psycopg
from psycopg import conninfo

from watcher.errors import ConfigError

#: Seconds; a server that cannot be reached must not delay a worker for minutes (libpq's default is to wait on).
_CONNECT: Final = "5"
#: Milliseconds that sent data may stay unacknowledged, and seconds between keepalives: a broken connection (cable,
#: firewall) is noticed before a lease lapses.
_UNACKNOWLEDGED: Final = "10000"
_DEFAULTS: Final = {
    "application_name": "watcher",
    "client_encoding": "UTF8",
    "connect_timeout": _CONNECT,
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
    "tcp_user_timeout": _UNACKNOWLEDGED,
}


class Address:
    """A libpq connection string or url; libpq takes missing values from PGPASSFILE, PGSERVICE and so on."""

    def __init__(self, url: str) -> None:
        """Parse the url. Raises ConfigError."""
        try:
            given = {key: str(value) for key, value in conninfo.conninfo_to_dict(url).items()}
        except psycopg.ProgrammingError as exc:
            # libpq's message quotes the whole string, password included.
            raise ConfigError(
                "[state] url is no PostgreSQL url",
                hint="write it like postgresql://watcher@db.example.org/watcher; odd characters as %XX",
            ) from exc
        self._info = conninfo.make_conninfo("", **{**_DEFAULTS, **given})
        host = given.get("host") or given.get("hostaddr") or "this host"
        port = given.get("port", "")
        #: For people: host, port and database.
        self.name = f"{given.get('dbname') or given.get('user') or 'postgres'} on {host}{port and ':'}{port}"

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection in autocommit mode. Raises psycopg.Error."""
        return psycopg.connect(self._info, autocommit=True)
