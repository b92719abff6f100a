"""What all errors have in common."""

import copy
import pickle
from datetime import timedelta

import pytest

from servicekit.errors import ServicekitError
from servicekit.jobs.status import JobStatus
from servicekit.stores.durable.copying import HasJobs

# One of each class, made of what it is made of.
FACTS: dict[str, tuple[object, ...]] = {
    "JobNotFound": ("a job",),
    "InvalidJobId": ("no id",),
    "InvalidTarget": (print, "it makes no sense."),
    "ConfigurationError": ("limit", -1, "a number"),
    "JobNotFinished": ("a job", JobStatus.RUNNING),
    "JobFailed": ("a job", JobStatus.FAILED, "ValueError: no"),
    "ResultDropped": ("a job", JobStatus.COMPLETED),
    "ResultNotKept": ("Archive", "OSError: No space left on device"),
    "StoreUnavailable": ("jobs.db", "it has gone."),
    "RecordUnreadable": ("Job a", "odd"),
    "QueueFull": ("default", 3),
    "IdempotencyConflict": ("a key", "a job"),
    "InvalidArguments": ("run", "speed", "it is missing"),
    "RetryUnavailable": ("a job", JobStatus.RUNNING, "it has not ended."),
    "ScheduleNotFound": ("nightly",),
    "RunTimeout": (3.0,),
    "QueueTimeout": (3.0,),
    "SilenceTimeout": (3.0,),
    "MemoryLimitExceeded": (1_000, 2_000),
    "ResourcesUnavailable": ("8 GPUs", "the closest node has 4 CPUs"),
    "ProcessCrashed": ("a signal",),
    "ProcessDied": (2,),
    "TargetUnavailable": ("module:name", "it has gone."),
    "RetryAfter": (timedelta(seconds=3),),
    "ArgumentsUnfit": ("module:name", "it takes others."),
    "CommandFailed": ("true", "exited with code 1"),
    "ArtifactNotFound": ("an artifact",),
    "InvalidArtifactId": ("no id",),
    "ArtifactConflict": ("an artifact", "it has children."),
    "InvalidContent": (("data", "rows", 3), "NaN is no JSON."),
    "ContentTooLarge": (1_000,),
    "ArtifactsUnavailable": ("artifacts", "the disk is full."),
    "ConfigNotFound": ("a config",),
    "ModelUnusable": ("an artifact", "is no model."),
    "ModelNotReady": ("a job", "running"),
    "ModelNotTrusted": ("It has types that nobody trusts.",),
    "MissingExtra": ("metrics", "monitoring"),
    "NotAwaited": ("submit", "add_job"),
    "WouldBlock": ("submit()", "submit_async()"),
    "ResultUnavailable": ("a job", JobStatus.RUNNING, "there is none."),
    "TimeLimitExceeded": ("run_timeout", 3.0, "it took too long"),
    "JobCanceled": ("a job",),
    "InvalidParameters": ("add", [{"type": "missing", "loc": ("parameters", "a"), "msg": "Field required"}]),
    "TaskNotFound": ("add",),
    "TaskDisabled": ("add",),
    "TaskConflict": ("add", "there is one of this name"),
    "TaskForbidden": ("add", "it is part of the code"),
    "TasksUnavailable": ("the disk is full.",),
    HasJobs.__name__: ("jobs.db", "it has jobs already."),
}


def list_classes(kind: type[ServicekitError]) -> list[type[ServicekitError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in list_classes(child))]


@pytest.mark.parametrize("kind", list_classes(ServicekitError), ids=lambda kind: kind.__name__)
def test_every_error_survives_its_way_to_another_process(kind: type[ServicekitError]) -> None:
    error = kind(*FACTS.get(kind.__name__, ()))
    error.add_note("a note")
    for arrived in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(arrived), str(arrived), arrived.args) == (kind, str(error), error.args)
        assert vars(arrived) == vars(error)
