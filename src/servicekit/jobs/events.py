"""What is told about a job: a record at each change, or that it was deleted."""

from collections.abc import Callable, Hashable

from servicekit.jobs.record import JobRecord


class JobEvent:
    """One change of one job.

    An event goes to many readers, who want it as the same bytes: `render` keeps what it made.
    """

    __slots__ = ("_rendered", "is_transition", "job_id", "record")

    def __init__(self, job_id: str, record: JobRecord | None, *, is_transition: bool = True) -> None:
        self.job_id = job_id
        self.record = record
        """`None`: the job was deleted."""
        self.is_transition = is_transition
        """Whether the status changed, or the job was deleted. If not, a newer event says all that this one does."""
        self._rendered: dict[Hashable, bytes] = {}

    @property
    def is_last(self) -> bool:
        """Whether nothing can come after it."""
        return self.record is None or self.record.status.is_terminal

    def render(self, renderer: "Callable[[JobEvent], bytes]") -> bytes:
        """What `renderer` makes of the event; made once for all its readers."""
        rendered = self._rendered.get(renderer)
        if rendered is None:
            rendered = self._rendered[renderer] = renderer(self)
        return rendered
