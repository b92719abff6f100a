"""The web service: the builder, its features, and the dependencies of endpoints."""

from servicekit.api.collector import paused

# These imports make objects that live as long as the process. The garbage collector would look at them again and again.
with paused():
    from servicekit.api.access import Access
    from servicekit.api.admission import AccessDependency, find_access
    from servicekit.api.api_keys import ApiKey, Role
    from servicekit.api.auth import Auth
    from servicekit.api.builder import ServiceBuilder
    from servicekit.api.checks import HealthCheck
    from servicekit.api.cors import Cors
    from servicekit.api.dependencies import SchedulerDependency, get_scheduler
    from servicekit.api.features import Feature, install
    from servicekit.api.health import Health
    from servicekit.api.info import ServiceInfo
    from servicekit.api.jobs import Jobs
    from servicekit.api.monitoring import Monitoring
    from servicekit.api.origins import refuse_other_sites
    from servicekit.api.recurring import Recurring
    from servicekit.api.service import Service, ServiceDependency, get_service
    from servicekit.api.service_logging import Logging
    from servicekit.api.submit import JobSubmitted, JobSubmitter, JobSubmitterSync, SubmitJob, SubmitJobSync
    from servicekit.jobs.events import JobEvent
    from servicekit.ports import Notice

__all__ = [
    "Access",
    "AccessDependency",
    "ApiKey",
    "Auth",
    "Cors",
    "Feature",
    "Health",
    "HealthCheck",
    "JobEvent",
    "JobSubmitted",
    "JobSubmitter",
    "JobSubmitterSync",
    "Jobs",
    "Logging",
    "Monitoring",
    "Notice",
    "Recurring",
    "Role",
    "SchedulerDependency",
    "Service",
    "ServiceBuilder",
    "ServiceDependency",
    "ServiceInfo",
    "SubmitJob",
    "SubmitJobSync",
    "find_access",
    "get_scheduler",
    "get_service",
    "install",
    "refuse_other_sites",
]
