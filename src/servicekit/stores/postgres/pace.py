"""How often something is done that many have a reason for."""


class Pace:
    """Lets a few through at once, and many one after the other: so what is rare does not wait for what is frequent."""

    def __init__(self, seconds: float, at_once: int) -> None:
        self._seconds = seconds
        self._ahead = seconds * (at_once - 1)
        self._next_at = float("-inf")

    def note(self, now: float) -> None:
        """It is done now, by the monotonic clock."""
        # It may also be done for other reasons before it is due. Then it must not be due later and later.
        self._next_at = min(max(self._next_at, now), now + self._ahead) + self._seconds

    @property
    def due_at(self) -> float:
        """When it may be done again."""
        return self._next_at - self._ahead
