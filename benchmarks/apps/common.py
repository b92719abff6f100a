"""What the services share: the trivial endpoint, and what the jobs tell of themselves."""

from fastapi import APIRouter

from benchmarks.work import Work


def routes_of(work: Work) -> APIRouter:
    """Everything but the submissions, which are each contestant's own."""
    router = APIRouter()

    @router.get("/ping")
    async def ping() -> dict[str, bool]:
        return {"ok": True}

    @router.get("/done")
    async def done() -> int:
        return work.done

    @router.get("/finished")
    async def finished() -> dict[str, float]:
        return work.finished_at

    @router.post("/release")
    async def release() -> None:
        work.release()

    return router
