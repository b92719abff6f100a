"""Execute functions and programs by name: with checked parameters, watched live, their output kept.

    fastapi dev examples/task_execution_api.py

http://localhost:8000/tasks shows them with forms. Or see what there is, and execute a function:

    curl http://localhost:8000/api/v1/tasks
    curl -X POST http://localhost:8000/api/v1/tasks/count_words/\\$execute -H "Prefer: wait=5" \\
      -H "Content-Type: application/json" -d '{"parameters": {"text": "to be or not to be"}}'

Execute a program, watch it, and read what it has written; its artifact is there also if it fails or is canceled:

    JOB_ID=$(curl -s -X POST http://localhost:8000/api/v1/tasks/countdown/\\$execute \\
      -H "Content-Type: application/json" -d '{"parameters": {"seconds": 30}}' | jq -r '.job_id')
    curl -N "http://localhost:8000/api/v1/jobs/$JOB_ID/\\$stream?logs=true"
    curl -X POST http://localhost:8000/api/v1/jobs/$JOB_ID/\\$cancel
    ARTIFACT_ID=$(curl -s http://localhost:8000/api/v1/jobs/$JOB_ID | jq -r '.artifact_id')
    curl -s http://localhost:8000/api/v1/artifacts/$ARTIFACT_ID | jq '.data'

Make a task of your own from a function, with parameters that are given in advance:

    curl -X POST http://localhost:8000/api/v1/tasks -H "Content-Type: application/json" \\
      -d '{"name": "hamlet", "task_type": "python", "command": "count_words", "parameters": {"text": "to be"}}'
    curl -X POST http://localhost:8000/api/v1/tasks/hamlet/\\$execute

Take a task out of use, and back; all its runs:

    curl -X POST http://localhost:8000/api/v1/tasks/countdown/\\$disable
    curl -X POST http://localhost:8000/api/v1/tasks/countdown/\\$enable
    curl "http://localhost:8000/api/v1/jobs?tag=task:countdown"
"""

import os
from collections import Counter
from typing import Annotated

from pydantic import BaseModel, Field

from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.artifacts import Artifacts
from servicekit.tasks import Tasks

artifacts = Artifacts("artifacts")
tasks = Tasks()


@tasks.task(run_timeout=60, tags=["demo"])
def count_words(
    text: str, most: Annotated[int, Field(ge=1, le=100, description="How many words to show.")] = 3
) -> dict[str, int]:
    """Count the words of a text, and show the most frequent ones."""
    return dict(Counter(text.lower().split()).most_common(most))


class Countdown(BaseModel):
    """Count down, one number a second."""

    seconds: Annotated[int, Field(ge=1, le=3600, description="Where to begin.")] = 10
    last_word: Annotated[str, Field(description="What comes after the numbers.")] = "Go!"


# A script of the service's own. The parameters are its arguments, whatever they contain.
SCRIPT = """
for left in $(seq "$1" -1 1); do
  echo "::progress $(($1 - left))/$1 $left to go"
  echo "$left"
  sleep "$PAUSE_SECONDS"
done
echo "$2"
"""

tasks.add_command(
    "countdown",
    ["sh", "-c", SCRIPT, "countdown", "{seconds}", "{last_word}"],
    parameters=Countdown,
    env={"PAUSE_SECONDS": os.environ.get("STEP_SECONDS", "1")},
    run_timeout=7200,
)

app = (
    ServiceBuilder(info=ServiceInfo(display_name="Task execution"))
    .with_jobs()
    .with_artifacts(artifacts)
    .with_tasks(tasks)
    .build()
)
