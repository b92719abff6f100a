fastapi dev examples/job_scheduler_sse_api.py
