"""What the user's own check says of a plan."""

import asyncio
from collections.abc import Sequence

from servicekit.ml.learner import Diagnostic, TableSource, ValidationInputs
from servicekit.ml.submissions import Plan


async def check_plan(plan: Plan) -> list[Diagnostic]:
    """Ask the learner, in a thread, since it may read tables."""
    return [*await asyncio.to_thread(_ask, plan)]


def _ask(plan: Plan) -> Sequence[Diagnostic]:
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
            geo=plan.geo,
            run_info=plan.run_info,
        )
    )
