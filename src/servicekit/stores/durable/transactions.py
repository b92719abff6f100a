"""The order of the operations in one transaction."""

from typing import Any

from servicekit.stores.durable.news import Answer, Call
from servicekit.stores.durable.operations import Operation


def perform(connection: object, calls: list[Call]) -> list[Answer]:
    """Perform all calls, in the order of the operations' ranks. Calls of one operation are one call of its `write`."""
    answers: list[Answer] = []
    for operation, asked in sorted(_by_operation(calls).items(), key=lambda item: item[0].rank):
        results = operation.write(connection, [call.argument for call in asked])
        answers += [Answer(call, result) for call, result in zip(asked, results, strict=True)]
    return answers


def _by_operation(calls: list[Call]) -> dict[Operation[Any, Any], list[Call]]:
    asked: dict[Operation[Any, Any], list[Call]] = {}
    for call in calls:
        asked.setdefault(call.operation, []).append(call)
    return asked
