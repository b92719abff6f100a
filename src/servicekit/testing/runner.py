"""A runner of which is known what it runs."""

from servicekit.jobs.current import RunningJob
from servicekit.jobs.outcome import Outcome
from servicekit.jobs.submission import Submission
from servicekit.ports import Runner


class WatchedRunner:
    """Passes every call on to a `Runner`, and keeps the jobs that it runs in `running`, by their ids."""

    def __init__(self, runner: Runner, running: dict[str, RunningJob]) -> None:
        self._runner = runner
        self._running = running
        self.find_outcome = runner.find_outcome
        self.find_room = runner.find_room
        self.find_notice = runner.find_notice
        self.open = runner.open
        self.close = runner.close

    async def run(self, submission: Submission, job: RunningJob) -> Outcome:
        self._running[job.id] = job
        try:
            return await self._runner.run(submission, job)
        finally:
            if self._running.get(job.id) is job:  # others may have taken it over, and given it back
                del self._running[job.id]
