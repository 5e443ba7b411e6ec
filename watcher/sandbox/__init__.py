"""The sandbox of processes that decode recordings: what they may read, write, call and use up."""

from watcher.sandbox.confinement import FILE_SIZE, allow_cpu, confine, landlock_version

__all__ = ["FILE_SIZE", "allow_cpu", "confine", "landlock_version"]
