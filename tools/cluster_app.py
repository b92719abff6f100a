"""The service of `make demo-cluster`: it accepts jobs and shows them, and workers run them."""

from examples.job_scheduler_sse_api import router
from servicekit.api import ServiceBuilder, ServiceInfo

app = (
    ServiceBuilder(info=ServiceInfo(display_name="Cluster"))
    .with_jobs(run_jobs=False, shutdown_grace=1.0)
    .with_health()
    .include_router(router)
    .build()
)
