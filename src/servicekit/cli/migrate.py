"""`servicekit migrate`: makes the tables of jobs in a PostgreSQL database, and brings them up to date."""

import os

from servicekit.engine.urls import StoreKind, hide_password, read_url
from servicekit.errors import ConfigurationError
from servicekit.jobs.database_url import URL_VARIABLE


def run_migrate(url: str | None, *, only_check: bool) -> None:
    """Bring the schema of the URL, or else of the environment's, up to date, or only check it, and print what was done.

    `ConfigurationError` if that is no database; `StoreUnavailable` if it cannot be done, or if the check fails.
    """
    option, url = ("URL", url) if url else (URL_VARIABLE, os.environ.get(URL_VARIABLE))
    if not url:
        sentence = f"Which database? Give its URL, postgresql://..., or set {URL_VARIABLE}."
        raise ConfigurationError("URL", None, sentence=sentence)
    place = read_url(option, url)
    if place.kind is not StoreKind.POSTGRES:
        expected = "the URL of a PostgreSQL database; a file is brought up to date when a service opens it"
        raise ConfigurationError(option, hide_password(url), expected)
    # The driver is there: the URL could not be read without it.
    from servicekit.stores.postgres import schema
    from servicekit.stores.postgres.address import read_address

    address = read_address(option, place.where)
    if only_check:
        schema.check_address(address)
        print(f"{address.location} is up to date, and its role can use it.")
        return
    applied = schema.migrate(address)
    for name in applied:
        print(f"Applied {name}.")
    print(f"{address.location} {'is' if applied else 'was'} up to date{'' if applied else ' already'}.")
