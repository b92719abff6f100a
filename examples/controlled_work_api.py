"""Work that needs an eye on it: in a process of its own, as a command, with retries, in a queue, on a schedule.

    fastapi dev examples/controlled_work_api.py

A computation in its own process, with progress and a live log; cancel it, and its process is gone:

    JOB_ID=$(curl -s -X POST "http://localhost:8000/api/v1/primes?below=1000000000" | jq -r '.job_id')
    curl -N "http://localhost:8000/api/v1/jobs/$JOB_ID/\\$stream?logs=true"
    curl -X POST http://localhost:8000/api/v1/jobs/$JOB_ID/\\$cancel

A command, answered with its result if that comes within five seconds:

    curl -X POST http://localhost:8000/api/v1/sorted -H "Prefer: wait=5" \\
      -H "Content-Type: application/json" -d '["pear", "apple", "pear"]'

A call that fails twice, and succeeds at the third attempt; `attempts` tells of the first two:

    curl -X POST "http://localhost:8000/api/v1/orders?number=17" -H "Prefer: wait=30"
    curl "http://localhost:8000/api/v1/jobs?name=place_order"

The queue of the computations, and the job of every first of January:

    curl -X POST http://localhost:8000/api/v1/queues/heavy/\\$pause
    curl -X POST http://localhost:8000/api/v1/queues/heavy/\\$resume
    curl http://localhost:8000/api/v1/schedules

All of it on a page, with its queues, schedules and processes: http://localhost:8000/jobs
"""

from typing import Annotated

from fastapi import APIRouter, Query, status

from servicekit import Command, Cron, Retry, current_job, job_options, track
from servicekit.api import JobSubmitted, ServiceBuilder, ServiceInfo, SubmitJob

BLOCK = 100_000


@job_options(runner="process", queue="heavy", run_timeout=600, max_memory_bytes=4 * 1024**3)
def count_primes(below: int) -> int:
    """Count the prime numbers, one block of numbers after the other. It need not look whether it was canceled."""
    job = current_job()
    divisors = [number for number in range(2, int(below**0.5) + 1) if _is_prime(number)]
    count = 0
    for start in track(range(2, below, BLOCK), message="sieving"):
        sieve = bytearray(b"\1") * min(BLOCK, below - start)
        for divisor in divisors:
            first = max(divisor * divisor, -(-start // divisor) * divisor)
            sieve[first - start :: divisor] = bytes(len(range(first - start, len(sieve), divisor)))
        count += sum(sieve)
        job.log(f"{count} primes below {start + len(sieve)}")
    return count


def _is_prime(number: int) -> bool:
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))


@job_options(retry=Retry(attempts=5, delay=0.2, only=[ConnectionError]))
async def place_order(number: int) -> str:
    """Call a shop that is busy at first."""
    if current_job().attempt < 3:
        raise ConnectionError("the shop is busy")
    return f"order {number} is placed"


async def wish_a_happy_new_year(to: str) -> None:
    """What the schedule submits."""
    current_job().log(f"A happy new year, {to}!")


router = APIRouter(prefix="/api/v1", tags=["Work"])


@router.post("/primes", status_code=status.HTTP_202_ACCEPTED)
async def submit_primes(below: Annotated[int, Query(ge=2, le=10**9)], submit: SubmitJob) -> JobSubmitted:
    """Count primes in a process of its own, two such jobs at a time."""
    return await submit(count_primes, below)


@router.post("/sorted", status_code=status.HTTP_202_ACCEPTED)
async def submit_sorting(lines: list[str], submit: SubmitJob) -> JobSubmitted:
    """Run a program, which reads the lines from its standard input."""
    return await submit.with_options(run_timeout=60)(Command(["sort", "-u"], stdin="\n".join(lines)))


@router.post("/orders", status_code=status.HTTP_202_ACCEPTED)
async def submit_order(number: int, submit: SubmitJob) -> JobSubmitted:
    """Place an order; of the same number, only one job runs at a time."""
    return await submit.with_options(concurrency_key=f"order {number}")(place_order, number)


app = (
    ServiceBuilder(info=ServiceInfo(display_name="Controlled work"))
    .with_jobs(queues={"heavy": 2}, max_pending=1_000)
    .with_dashboard()
    .with_schedule("new year", Cron("0 0 1 1 *", "Europe/Paris"), wish_a_happy_new_year, to="everybody")
    .with_health()
    .include_router(router)
    .build()
)
