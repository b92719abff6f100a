"""Where jobs are kept. Every store passes the same contract suite."""
