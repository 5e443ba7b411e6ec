"""Results as text for people and as JSON for scripts; a command returns a value, and only here it becomes output."""

from watcher.report.envelope import CommandStatus, ReportedError, Result, envelope, problem_of

__all__ = ["CommandStatus", "ReportedError", "Result", "envelope", "problem_of"]
