"""Metrics and logging of the service, and the capture of what jobs print, log and show.

Metrics listen to the hub, so that the engine has no calls for them.
"""
