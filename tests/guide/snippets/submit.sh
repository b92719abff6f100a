# Start the example service
fastapi dev examples/job_scheduler_sse_api.py

# Submit a 30-second computation job and capture job ID
JOB_ID=$(curl -s -X POST http://localhost:8000/api/v1/slow-compute \
  -H "Content-Type: application/json" \
  -d '{"steps": 30}' | jq -r '.job_id')

echo "Job ID: $JOB_ID"
