"""Tasks: functions and programs of the service that clients run by name, with parameters that are checked first."""

from servicekit.tasks.registry import Tasks

__all__ = ["Tasks"]
