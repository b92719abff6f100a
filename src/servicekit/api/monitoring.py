"""The monitoring feature: metrics for Prometheus."""

from typing import TYPE_CHECKING

from fastapi import FastAPI, Response

from servicekit.api.features import Passive
from servicekit.api.routing import CheapRoute
from servicekit.api.service import Service
from servicekit.api.state import check_free, check_path
from servicekit.errors import MissingExtra
from servicekit.jobs.status import JobStatus

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class Monitoring(Passive):
    """`GET /metrics` in the text format of Prometheus.

    The metrics are `jobs_submitted_total`, `jobs_finished_total` by status, `jobs_deleted_total`,
    `job_duration_seconds`, `jobs_pending`, `jobs_running`, `job_streams_open`, and those of the process. They are in a
    registry of this application, so that two services in one process do not mix, nor do your own metrics in the default
    registry. Pass `registry` to use yours.

    It needs the extra `monitoring`: `MissingExtra` without it.
    """

    def __init__(self, *, path: str = "/metrics", registry: "CollectorRegistry | None" = None) -> None:
        check_path("path", path)
        self._path = path
        self._registry = registry

    def install(self, app: FastAPI) -> None:
        check_free("path", self._path, app)
        try:
            from servicekit.observability.metrics import JobMetrics
        except ModuleNotFoundError as error:
            raise MissingExtra("Monitoring", "monitoring") from error
        service = Service.of(app)
        metrics = JobMetrics(self._registry)
        service.add_listener(metrics.observe)

        async def get_metrics() -> Response:
            """All metrics of this service."""
            pending, running = 0, 0
            if service.has_jobs:
                pending = (await service.scheduler.count_by_status())[JobStatus.PENDING]
                running = service.scheduler.running_count
            body = metrics.render(pending=pending, running=running, open_streams=service.open_stream_count)
            return Response(body, media_type=metrics.content_type)

        app.router.add_api_route(
            self._path,
            get_metrics,
            route_class_override=CheapRoute,
            tags=["service"],
            summary="Metrics for Prometheus",
            operation_id="getMetrics",
            response_class=Response,
            responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        )
