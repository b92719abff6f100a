"""Runs the works of jobs on the nodes of a cluster."""

import asyncio
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from servicekit.jobs.backoff import Backoff, FailureLog
from servicekit.jobs.cluster import RayCluster
from servicekit.jobs.current import RunningJob
from servicekit.jobs.resources import Resources
from servicekit.runners.cluster.gateway_link import GatewayLink
from servicekit.runners.launcher import Launcher
from servicekit.runners.launcher_link import LauncherListener
from servicekit.runners.work import WorkEnd, WorkPlan

# A cluster that is away is asked for again after half a second, then after ever longer.
_LONGEST_PAUSE_SECONDS: Final = 30.0

_log = logging.getLogger("servicekit.engine")


class ClusterLauncher:
    """Runs works on a cluster, as `Launcher` runs them here: see the page in `servicekit.runners.cluster`.

    `open` starts the gateway: as long as that has not reached the cluster there is no room, so that no job comes, and a
    notice. If it ends or cannot be started, another one is started after a growing pause. A forked child begins without
    it, and without the jobs.
    """

    def __init__(self, cluster: RayCluster) -> None:
        self._cluster = cluster
        self._launcher = Launcher(make_link=self._make_link)
        self._backoff = Backoff(longest_seconds=_LONGEST_PAUSE_SECONDS)
        self._failures = FailureLog(_log)
        self._link: GatewayLink | None = None
        self._links: weakref.WeakSet[GatewayLink] = weakref.WeakSet()  # and those that are closed, but have works yet
        self._runs = 0
        self._room = self._works = 0  # as the gateway has told it last
        self._problem: str | None = None
        self._problem_since: datetime | None = None
        self._next_start_at = 0.0
        self._starting: asyncio.TimerHandle | None = None
        self._is_open = False
        self._on_room: Callable[[], None] = _do_nothing
        os.register_at_fork(after_in_child=partial(_forget_in_child, weakref.ref(self)))

    async def run(self, plan: WorkPlan, job: RunningJob) -> WorkEnd:
        """See `Launcher.run`."""
        resources = job.submission.options.resources or Resources()
        env = plan.request["env"]
        assert isinstance(env, dict)
        request = {
            **{name: value for name, value in plan.request.items() if name != "database_url"},
            # The rest of the service's environment is of this machine, and may have secrets.
            "env": {name: env[name] for name in ("SERVICEKIT_JOB_ID", "SERVICEKIT_ATTEMPT")},
            # The cluster may keep what it is sent, and shows it to whoever reaches its ports.
            "program": sys.argv[:1],
            "resources": {name: count for name, count in asdict(resources).items() if count},
        }
        self._runs += 1
        try:
            return await self._launcher.run(replace(plan, request=request), job)
        finally:
            self._runs -= 1
            self._on_room()

    def end_cut_off(self, job: RunningJob) -> bool:
        """See `Launcher.end_cut_off`."""
        for link in list(self._links):
            link.look()
        return self._launcher.end_cut_off(job)

    def find_room(self, on_room: Callable[[], None]) -> int | None:
        """See `Runner.find_room`."""
        self._on_room = on_room
        if self._link is not None:
            self._link.look()  # it may have told since, and to an event loop that has ended
        return max(0, self._room - max(0, self._runs - self._works))

    def find_notice(self) -> str | None:
        """Why the cluster cannot be reached, and since when; or `None`."""
        if self._problem is None or self._problem_since is None:
            return None
        return (
            f"The cluster {self._cluster.address} has not been reached since "
            f"{self._problem_since:%Y-%m-%d %H:%M:%S} UTC: {self._problem}"
        )

    def open(self) -> None:
        self._is_open = True
        self._start()

    def close(self) -> None:
        self._is_open = False
        self._link = None
        self._room = self._works = 0
        self._launcher.close()

    def gateway_connected(self) -> None:
        """See `GatewayListener`."""
        self._problem = self._problem_since = None
        self._next_start_at = 0.0
        self._backoff.reset()

    def gateway_found_room(self, room: int, works: int) -> None:
        """See `GatewayListener`."""
        if (room, works) != (self._room, self._works):
            self._room, self._works = room, works
            self._on_room()

    def gateway_failed(self, problem: str) -> None:
        """See `GatewayListener`."""
        self._note_problem(problem)
        self._failures.warn("The cluster %s cannot be reached: %s", self._cluster.address, problem)

    def gateway_ended(self, link: GatewayLink, *, was_closed: bool) -> None:
        """See `GatewayListener`."""
        self._launcher.link_lost(link)
        if self._link is not link:
            return
        self._link = None
        self._room = self._works = 0
        if was_closed:
            return
        pause = self._backoff.next_seconds()
        self._next_start_at = time.monotonic() + pause
        self._start_later(pause)

    def _start(self) -> None:
        if not self._is_open:
            return
        self._launcher.open()
        try:
            has_begun = self._link is not None and self._link.prepare()
        except ConnectionError:
            assert self._link is not None
            self._link.note_end()
        else:
            if not has_begun:  # it cannot be started now, or not be asked to connect; and no job comes to try it again
                left = self._next_start_at - time.monotonic()
                self._start_later(left if left > 0 else self._backoff.next_seconds())

    def _start_later(self, seconds: float) -> None:
        if self._starting is not None:
            self._starting.cancel()
        with suppress(RuntimeError):  # the event loop has ended, and `open` comes again on another
            self._starting = asyncio.get_running_loop().call_later(seconds, self._start)

    def _make_link(self, _listener: LauncherListener) -> GatewayLink:
        if time.monotonic() < self._next_start_at:
            raise OSError(self._problem)
        settings = {"address": self._cluster.address, "runtime_env": dict(self._cluster.runtime_env or {})}
        try:
            self._link = GatewayLink(settings, self)
        except OSError as error:
            self.gateway_failed(f"the process that speaks to the cluster cannot be started: {error}")
            raise
        self._links.add(self._link)
        self._note_problem(self._problem or "it has not answered yet")
        return self._link

    def _note_problem(self, problem: str) -> None:
        self._problem = problem
        self._problem_since = self._problem_since or datetime.now(UTC)

    def _forget(self) -> None:
        """In a forked child: the works and the gateways are the parent's."""
        for link in list(self._links):
            link.forget()
        self._link = self._starting = None
        self._problem = self._problem_since = None
        self._runs = self._room = self._works = 0
        self._is_open = False


def _forget_in_child(reference: "weakref.ref[ClusterLauncher]") -> None:
    launcher = reference()
    if launcher is not None:
        launcher._forget()


def _do_nothing() -> None:
    pass
