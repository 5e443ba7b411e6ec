"""Settings: one frozen value with all options of the daemon; this package alone reads the environment.

Order: command line > environment > systemd credential > TOML file > defaults. `load` gives a `Config`, in which every
value's origin is known; an unknown key, a wrong value or an unreadable file is one ConfigError that names them all.
"""

from watcher.config.descriptions import about
from watcher.config.environment import Surroundings
from watcher.config.example import example
from watcher.config.folder import FolderSettings, TranscriptSettings
from watcher.config.load import Config, digest, load, state_digest, state_place
from watcher.config.settings import (
    ApiSettings,
    HookSettings,
    OfflineSettings,
    ServiceSettings,
    Settings,
    StateSettings,
)

__all__ = [
    "ApiSettings",
    "Config",
    "FolderSettings",
    "HookSettings",
    "OfflineSettings",
    "ServiceSettings",
    "Settings",
    "StateSettings",
    "Surroundings",
    "TranscriptSettings",
    "about",
    "digest",
    "example",
    "load",
    "state_digest",
    "state_place",
]
