"""Figures that checks measure: `python -m tests.many_machines` puts them into its table."""

from typing import Final

PREFIX: Final = "figure: "


def tell(figure: str) -> None:
    print(f"{PREFIX}{figure}")
