"""The contestants' services. All offer the same paths (`common.py`); each submits jobs in its own manner."""
