# Submit job and capture job ID
JOB_ID=$(curl -s -X POST http://localhost:8000/api/v1/slow-compute \
  -H "Content-Type: application/json" \
  -d '{"steps": 30}' | jq -r '.job_id')

echo "Job ID: $JOB_ID"

# Stream status updates in real-time
curl -N http://localhost:8000/api/v1/jobs/$JOB_ID/\$stream
