"""Ray: the cluster as its driver sees it. This is the one module that imports Ray, in the gateway and on the nodes."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import ray
import ray._private.state
from ray.exceptions import (
    ActorDiedError,
    NodeDiedError,
    OutOfMemoryError,
    RayTaskError,
    RuntimeEnvSetupError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.util.client.common import ClientObjectRef
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from servicekit.jobs.cluster import LOCAL_CLUSTER
from servicekit.runners.cluster.gateway_work import HostProblem, shorten
from servicekit.runners.cluster.host import run_work
from servicekit.runners.cluster.mailbox import RETRY_SECONDS, HostEnd, Mailbox, News, Order
from servicekit.runners.cluster.mark import wait_gone
from servicekit.runners.cluster.placement import Demand, Node
from servicekit.runners.cluster.ray_address import CLIENT, check_reachable

_NAMES: Final = {"cpus": "CPU", "gpus": "GPU", "memory_bytes": "memory"}
# News come many times a second, and the cluster keeps its own picture of the nodes for that long anyway.
_LOOK_SECONDS: Final = 1.0
# So many orders can be on their way at once by Ray Client, each for the time of a round trip.
_MOST_THREADS: Final = 32
# Each host has two calls under way.
_MOST_CALLS: Final = 100_000


class RayMailbox(Mailbox):
    """The mailbox as an actor, which also tells the nodes: by Ray Client, the driver cannot see what they have free.

    It looks at them in a thread: while the head does not answer, the mailbox does, and no host takes it for dead.
    """

    def __init__(self) -> None:
        super().__init__()
        self._nodes: list[Node] = []
        self._looked_at = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def wait_ready(self) -> None:
        """It has started, and knows the nodes, when this has returned."""
        await self._look()

    async def collect_all(
        self, busy: list[str], ended: list[str], seconds: float
    ) -> tuple[dict[str, News], list[Node]]:
        """See `collect`; and the nodes, as they were a second ago at most if the head answers."""
        found = await self.collect(busy, ended, seconds)
        if self._looking is None and time.monotonic() - self._looked_at >= _LOOK_SECONDS:
            self._looking = asyncio.create_task(self._look())
            await asyncio.wait({self._looking}, timeout=RETRY_SECONDS)
        return found, self._nodes

    async def _look(self) -> None:
        with suppress(Exception):  # Ray has many kinds of errors; the nodes are as they were, then
            self._nodes = await asyncio.to_thread(_list_nodes)
        self._looked_at = time.monotonic()
        self._looking = None


class RayPlaced:
    """A task of Ray."""

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    async def wait(self) -> HostEnd | None:
        try:
            end: HostEnd | None = await self._reference
        except TaskCancelledError:
            return None
        except OutOfMemoryError as error:
            raise HostProblem(
                f"the node was out of memory, and Ray killed the process that ran it: {_first_line(error)}"
            ) from None
        except NodeDiedError:
            # The cluster cannot reach it. The mailbox may, and then its host kills the work by its own order.
            raise HostProblem("its node was lost", is_host_gone=False) from None
        except WorkerCrashedError:
            raise HostProblem("the process of the cluster that ran it was killed, or its node was lost") from None
        except RuntimeEnvSetupError as error:
            raise HostProblem(f"its node cannot prepare `runtime_env`: {_last_line(error)}") from None
        except RayTaskError as error:
            raise HostProblem(f"no process of the cluster can run it: {_last_line(error)}") from None
        except Exception as error:  # of the reference alone, it may be: the host may still run
            raise HostProblem(f"the cluster says: {_first_line(error)}", is_host_gone=False) from None
        return end

    def withdraw(self) -> None:
        ray.cancel(self._reference)

    def kill(self) -> None:
        ray.cancel(self._reference, force=True)


class RayPost:
    """The mailbox as a host sees it."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox
        self.node: str = ray.get_runtime_context().get_node_id()

    async def begin(self, key: str) -> float | None:
        age: float | None = await self._mailbox.begin.remote(key)
        return age

    async def push(self, key: str, number: int, news: News) -> None:
        await self._mailbox.push.remote(key, number, news)

    async def take_orders(self, key: str) -> tuple[list[Order], float]:
        orders: tuple[list[Order], float] = await self._mailbox.take_orders.remote(key)
        return orders


class RayDriver:
    """A driver of Ray, by `HOST:PORT` of the head on a node of its cluster, or by `ray://HOST:PORT` from anywhere."""

    def __init__(self, address: str, runtime_env: Mapping[str, Any] | None = None) -> None:
        self._address = address
        self._runtime_env = dict(runtime_env or {})
        self._mailbox: Any = None
        self._run: Any = None
        self._wait_gone: Any = None
        # Calls by Ray Client have threads of their own: works with large arguments can hold the others for minutes.
        self._threads: ThreadPoolExecutor | None = None

    def connect(self) -> None:
        check_reachable(self._address)
        options: dict[str, Any] = {"namespace": "servicekit", "log_to_driver": False, "runtime_env": self._runtime_env}
        if self._address == LOCAL_CLUSTER:
            options |= {"address": "local", "_node_ip_address": "127.0.0.1", "include_dashboard": False}
        else:
            options["address"] = self._address
        if not self._address.startswith(CLIENT) or self._address == LOCAL_CLUSTER:
            options |= {"configure_logging": False, "logging_level": logging.ERROR}
        ray.init(**options)
        if is_client := ray.util.client.ray.is_connected():
            self._threads = ThreadPoolExecutor(_MOST_THREADS)
        # The mailbox is on the driver's own node. If that is lost, so is the driver, and no other node can be missed.
        if is_client:
            place: dict[str, Any] = {"resources": {"node:__internal_head__": 0.001}}
        else:
            node = ray.get_runtime_context().get_node_id()
            place = {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}
        actor = ray.remote(num_cpus=0, max_concurrency=_MOST_CALLS, max_restarts=0, **place)(RayMailbox)
        self._mailbox = actor.remote()
        try:
            ray.get(self._mailbox.wait_ready.remote())
        except ActorDiedError as error:
            raise HostProblem(f"no process of its nodes can run servicekit: {_last_line(error)}") from None
        except RuntimeEnvSetupError as error:
            raise HostProblem(f"its nodes cannot prepare `runtime_env`: {_last_line(error)}") from None
        self._run = ray.remote(max_retries=0)(_run)
        self._wait_gone = ray.remote(num_cpus=0, max_retries=0)(wait_gone)

    def close(self) -> None:
        ray.shutdown()

    def start(self, key: str, request: Mapping[str, Any], stdin: bytes, demand: Demand, node: str | None) -> RayPlaced:
        options: dict[str, Any] = {
            "num_cpus": demand.get("cpus", 0),
            "num_gpus": demand.get("gpus", 0),
            "memory": demand.get("memory_bytes"),
        }
        if node is not None:
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=True)
        task = self._run.options(name=f"{request['name']} ({request['job_id']})", **options)
        return RayPlaced(_call(task.remote, self._mailbox, key, request, stdin))

    async def send(self, key: str, number: int, order: Order) -> bool:
        may_have_begun: bool = await self._ask(self._mailbox.send.remote, key, number, order)
        return may_have_begun

    async def wait_gone(self, key: str, job_id: str, node: str, seconds: float) -> bool:
        place = NodeAffinitySchedulingStrategy(node, soft=False)
        ask = self._wait_gone.options(scheduling_strategy=place).remote
        # In a thread: with the first call Ray sends the code, and waits for the head, which may not answer.
        reference = await asyncio.to_thread(_call, ask, key, job_id, seconds)
        is_gone: bool = await reference
        return is_gone

    async def collect(self, busy: list[str], ended: list[str], seconds: float) -> tuple[dict[str, News], list[Node]]:
        call = self._mailbox.collect_all.remote
        found: tuple[dict[str, News], list[Node]] = await self._ask(call, busy, ended, seconds)
        return found

    async def _ask(self, call: Callable[..., Any], *arguments: object) -> Any:
        if self._threads is None:
            return await call(*arguments)
        return await (await asyncio.get_running_loop().run_in_executor(self._threads, _call, call, *arguments))


def _call(call: Callable[..., Any], *arguments: object) -> Any:
    """The reference to what a call gives. By Ray Client, takes a round trip, and hangs as long as the head is away.

    The reference has no id until the server has answered. Whoever awaits it before has the whole event loop wait.
    """
    reference = call(*arguments)
    if isinstance(reference, ClientObjectRef):
        _ = reference.id
    return reference


def _run(mailbox: Any, key: str, request: Mapping[str, Any], stdin: bytes) -> HostEnd | None:
    return run_work(RayPost(mailbox), key, request, stdin)


def _list_nodes() -> list[Node]:
    available = ray._private.state.available_resources_per_node()
    return [
        Node(node["NodeID"], _translate(node["Resources"]), _translate(available.get(node["NodeID"], {})))
        for node in ray.nodes()
        if node["Alive"]
    ]


def _translate(resources: Mapping[str, float]) -> Demand:
    return {name: resources.get(theirs, 0.0) for name, theirs in _NAMES.items()}


def _first_line(error: Exception) -> str:
    return shorten(str(error).strip().partition("\n")[0])


def _last_line(error: Exception) -> str:
    return shorten(str(error).strip().rpartition("\n")[2])
