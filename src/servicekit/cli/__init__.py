"""The `servicekit` command."""
