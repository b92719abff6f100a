"""`python -m tests.many_machines`: every check of many machines, the long ones too, and a table of what came out.

`python -m tests.many_machines "server restarts" pgbouncer` runs those checks whose names have one of these words.
"""

import argparse
import sys
from collections import defaultdict
from typing import Final

import pytest

from tests.many_machines.figures import PREFIX

_HERE: Final = "tests/many_machines"
_STORES: Final = "tests/stores"

_CRASH: Final = "tests/crash/test_crash.py"
_EVENTS: Final = f"{_HERE}/test_events.py"
_FAILOVER: Final = f"{_HERE}/test_failover.py"
_LIMITS: Final = f"{_HERE}/test_limits.py"
_OUTAGES: Final = f"{_HERE}/test_outages.py"
_PROCESSES: Final = f"{_HERE}/test_processes.py"
_LIVES: Final = f"{_STORES}/test_random_lives.py"
_SCHEMA: Final = f"{_STORES}/test_postgres_schema.py"
_STATEMENTS: Final = f"{_STORES}/test_postgres_statements.py"

CHECKS: Final = {
    "suite of all stores, two versions": [f"{_STORES}/test_postgres.py"],
    "random lives": [f"{_LIVES}::test_random_threads_of_random_processes_live_legal_lives_in_a_database"],
    "8 processes start on an empty database": [f"{_SCHEMA}::test_eight_processes_start_on_an_empty_database_at_once"],
    "two schemas apart": [f"{_SCHEMA}::test_two_schemas_of_a_database_know_nothing_of_each_other"],
    "a role without DDL": [
        f"{_SCHEMA}::test_a_role_that_may_not_make_tables_is_told_who_does",
        f"{_SCHEMA}::test_a_role_without_ddl_needs_what_the_page_grants",
    ],
    "max_running 5, 4 processes, 10,000 jobs": [f"{_LIMITS}::test_a_limit_holds_for_four_processes"],
    "three queue limits": [f"{_LIMITS}::test_three_queues_keep_to_their_limits"],
    "key limit 1, interleaved inserts": [
        f"{_STATEMENTS}::test_of_jobs_with_one_key_that_are_inserted_at_one_moment_one_is_ready",
        f"{_STATEMENTS}::test_a_slot_is_given_once_when_two_jobs_let_go_at_one_moment",
    ],
    "keys under 4 processes": [f"{_LIMITS}::test_jobs_with_one_key_run_one_at_a_time_in_four_processes"],
    "a flood of 50,000 in another queue": [f"{_LIMITS}::test_a_flood_in_one_queue_delays_the_others_by_little"],
    "priorities over processes": [f"{_LIMITS}::test_the_most_urgent_job_is_started_first_whoever_submitted_it"],
    "one idempotency key, 8 processes": [
        f"{_LIMITS}::test_one_idempotency_key_is_one_job_for_eight_processes",
        f"{_STATEMENTS}::test_all_who_use_a_key_at_one_moment_are_given_the_job_that_is_kept",
    ],
    "cancel from elsewhere, also with LISTEN off": [f"{_PROCESSES}::test_a_job_is_canceled_from_elsewhere"],
    "delete a running job from elsewhere": [f"{_PROCESSES}::test_a_running_job_is_deleted_from_elsewhere"],
    "release at SIGTERM": [
        f"{_PROCESSES}::test_what_runs_is_given_back_at_a_stop_in_order",
        f"{_LIMITS}::test_processes_that_come_and_go_lose_no_job",
    ],
    "kill -9 with 10 running": [f"{_PROCESSES}::test_jobs_of_a_killed_process_run_on_elsewhere"],
    "SIGSTOP for 20 s, and on": [f"{_PROCESSES}::test_nothing_counts_of_a_process_that_stood_still_for_long"],
    "packets dropped: own attempts stop first": [
        f"{_PROCESSES}::test_attempts_of_a_machine_that_is_cut_off_stop_before_others_begin"
    ],
    "one machine of two unplugged, 200 submissions/s": [
        f"{_PROCESSES}::test_nothing_is_lost_or_doubled_when_one_machine_of_two_is_unplugged"
    ],
    "refused by a firewall: own attempts stop first": [
        f"{_PROCESSES}::test_a_machine_that_a_firewall_refuses_stops_its_attempts_before_others_begin"
    ],
    "an event loop blocked for 20 s": [f"{_PROCESSES}::test_a_process_whose_event_loop_is_blocked_is_not_dead"],
    "server restarts, backends killed, 1,000 submissions/s": [
        f"{_OUTAGES}::test_nothing_accepted_is_lost_while_the_server_restarts_and_backends_are_killed"
    ],
    "the answer of a commit is cut off": [
        f"{_OUTAGES}::test_what_is_acknowledged_by_a_commit_whose_answer_was_lost_is_there_once"
    ],
    "an outage of 60 s": [f"{_OUTAGES}::test_a_server_that_is_away_for_a_minute_loses_nothing"],
    "failover to a synchronous standby, 200 submissions/s": [
        f"{_FAILOVER}::test_nothing_that_was_accepted_is_lost_when_a_synchronous_standby_takes_over",
        f"{_FAILOVER}::test_nothing_is_accepted_while_no_standby_has_it_if_the_server_is_to_wait_for_one",
    ],
    "failover to an asynchronous standby that lags": [
        f"{_FAILOVER}::test_nothing_gets_stuck_or_confused_when_a_standby_that_lagged_takes_over"
    ],
    "an event reader over both, resumed elsewhere": [
        f"{_EVENTS}::test_streams_go_on_at_another_process_through_restarts_of_the_server"
    ],
    "the feed with slow and rolled-back writers, 60 s": [
        f"{_EVENTS}::test_a_follower_misses_nothing_while_writers_are_slow_and_rolled_back",
        f"{_STORES}/test_postgres_feed.py",
    ],
    "a foreign open transaction, 30 s": [f"{_EVENTS}::test_a_transaction_that_somebody_else_has_open_delays_no_event"],
    "held xmin": [
        f"{_STATEMENTS}::test_a_claim_does_not_look_at_jobs_that_the_server_cannot_forget",
        f"{_STORES}/test_postgres_health.py::test_a_forgotten_transaction_is_told_with_its_session",
    ],
    "pgbouncer in transaction mode": [
        f"{_OUTAGES}::test_jobs_and_streams_of_two_processes_go_through_a_pooler",
        f"{_STORES}/test_postgres_pooler.py",
    ],
    "connection limit, pg_terminate_backend": [
        f"{_OUTAGES}::test_used_up_connections_and_terminated_backends_stop_nobody"
    ],
    "the tables' disk is full": [f"{_OUTAGES}::test_a_full_disk_is_told_and_all_goes_on_when_there_is_room"],
    "counts equal a recount after random kills": [
        f"{_CRASH}::test_nothing_is_lost_or_run_twice_while_the_server_and_its_clients_are_killed"
    ],
    "clocks 90 s apart": [f"{_PROCESSES}::test_clocks_that_are_wrong_change_nothing"],
}


class Results:
    """What came out, by the test's place without its parameters."""

    def __init__(self) -> None:
        self.outcomes: dict[str, list[str]] = defaultdict(list)
        self.seconds: dict[str, float] = defaultdict(float)
        self.figures: dict[str, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.split("[")[0]
        self.seconds[name] += report.duration
        if report.when == "call":
            lines = report.capstdout.splitlines()
            self.figures[name] += [line.removeprefix(PREFIX) for line in lines if line.startswith(PREFIX)]
        if report.when == "call" or report.outcome != "passed":
            self.outcomes[name].append(report.outcome)

    def describe(self, places: list[str]) -> tuple[str, str, float]:
        """The result of a check, what it has measured, and how many seconds it took."""
        names = [name for name in self.outcomes if any(name == each or name.startswith(f"{each}::") for each in places)]
        figures = "; ".join(figure for name in names for figure in self.figures[name])
        outcomes = [outcome for name in names for outcome in self.outcomes[name]]
        seconds = sum(self.seconds[name] for name in names)
        if "failed" in outcomes or not outcomes:
            return f"FAILED ({outcomes.count('failed')} of {len(outcomes)})", figures, seconds
        skipped = outcomes.count("skipped")
        return f"passed {len(outcomes) - skipped}" + (f", skipped {skipped}" if skipped else ""), figures, seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.many_machines", description=__doc__)
    parser.add_argument("words", nargs="*", help="run the checks whose names have one of these words")
    words = parser.parse_args().words
    checks = {name: places for name, places in CHECKS.items() if not words or any(word in name for word in words)}
    results = Results()
    places = list(dict.fromkeys(place for some in checks.values() for place in some))
    code = pytest.main(["--soak", "-q", "-rA", *places], plugins=[results])
    print("\n| check | result | figure | seconds |\n|---|---|---|---|")
    for name, some in checks.items():
        outcome, figures, seconds = results.describe(some)
        print(f"| {name} | {outcome} | {figures} | {seconds:.1f} |")
    sys.exit(code)


if __name__ == "__main__":
    main()
