"""What the user's own check says of a plan."""

from collections.abc import Sequence

from servicekit.artifacts import Artifacts
from servicekit.jobs.threads import call_in_thread
from servicekit.ml.learner import Diagnostic, TableSource, ValidationInputs
from servicekit.ml.planning import Plan


async def check_plan(plan: Plan, artifacts: Artifacts) -> list[Diagnostic]:
    """Ask the learner, in a thread, since it may read tables."""
    return [*await call_in_thread(_ask, plan, artifacts)]


def _ask(plan: Plan, artifacts: Artifacts) -> Sequence[Diagnostic]:
    def source_of(name: str) -> TableSource | None:
        table = plan.tables.get(name)
        return None if table is None else table.source

    return plan.chosen.learner.run_validation(
        ValidationInputs(
            kind=plan.kind,
            config=plan.config,
            data=source_of("data"),
            historic=source_of("historic"),
            future=source_of("future"),
            geo=plan.geo if plan.geo_id is None else artifacts.load(plan.geo_id),
            run_info=plan.run_info,
        )
    )
