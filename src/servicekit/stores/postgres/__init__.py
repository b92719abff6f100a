"""Jobs in a PostgreSQL database, shared by all processes of all machines that reach it."""
