"""A service with artifacts, for tests that need a real server: streams, limits, signals."""

import os

from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.artifacts import Artifacts

artifacts = Artifacts(os.environ["ARTIFACTS"], max_upload_bytes=int(os.environ["MAX_UPLOAD_BYTES"]))
app = (
    ServiceBuilder(info=ServiceInfo(display_name="Files"))
    .with_jobs(shutdown_grace=0)
    .with_feature(artifacts)
    .with_health()
    .build()
)
