"""Events: a job's record at one change, or that the job was deleted."""

from collections.abc import Callable, Hashable

from servicekit.jobs.record import JobRecord


class JobEvent:
    """One change of one job.

    Many readers can want the same event as the same bytes, so `render` keeps them.
    """

    __slots__ = ("_rendered", "is_transition", "job_id", "record")

    def __init__(self, job_id: str, record: JobRecord | None, *, is_transition: bool = True) -> None:
        self.job_id = job_id
        self.record = record
        """`None`: the job was deleted."""
        self.is_transition = is_transition
        """Whether the status changed, or the job was deleted. If not, a newer event replaces this one."""
        self._rendered: dict[Hashable, bytes] = {}

    @property
    def is_last(self) -> bool:
        """Whether no event can follow: the job was deleted, or has ended."""
        return self.record is None or self.record.status.is_terminal

    def render(self, renderer: "Callable[[JobEvent], bytes]") -> bytes:
        """The event as bytes of this renderer, made once for all readers."""
        rendered = self._rendered.get(renderer)
        if rendered is None:
            rendered = self._rendered[renderer] = renderer(self)
        return rendered
