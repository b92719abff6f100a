"""Metrics and logs: listeners to the hub, not calls strewn over the engine; and what jobs print, log and show."""
