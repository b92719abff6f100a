"""What every store that outlives its process needs, whichever database keeps its jobs."""
