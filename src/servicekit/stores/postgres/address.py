"""The address of a database: libpq's URL, and the schema with the tables."""

import re
from collections.abc import Mapping
from itertools import cycle
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlencode

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from servicekit.errors import ConfigurationError
from servicekit.stores.postgres.session import DEFAULT_SCHEMA

_SCHEMA: Final = re.compile(r"[?&]schema=([^&]*)")
# The server cuts a longer name at this length. Names with other characters stand in quotes wherever people write them.
_SCHEMA_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
# What libpq says ends with the text that it could not read, which may be a part of a password.
_QUOTED: Final = re.compile(r'\s*(:\s*"|").*', re.DOTALL)
_SHOWN: Final = ("service", "target_session_attrs")


class Address(NamedTuple):
    """Where jobs are kept."""

    conninfo: str
    """For libpq. It may have a password."""
    schema: str
    location: str
    """For people, without a password."""

    def __repr__(self) -> str:
        return f"Address({self.location!r})"


def read_address(option: str, url: str) -> Address:
    """The address that the URL names: all that libpq understands, and `?schema=`.

    What the URL leaves open, libpq takes from the environment (`PGPASSWORD`, `PGSERVICE` and so on) and from its files
    when it connects. `ConfigurationError` for a URL that makes no sense; no part of it is in the error.
    """
    plain, schema = _take_schema(option, url)
    try:
        values = {name: str(value) for name, value in conninfo_to_dict(plain).items()}
    except (psycopg.Error, UnicodeEncodeError) as error:
        raise _refuse(option, url, _describe(error, plain)) from None  # the cause would show the password
    _check_hosts(option, url, values)
    return Address(make_conninfo("", **values), schema, _describe_location(values, schema))


def _take_schema(option: str, url: str) -> tuple[str, str]:
    """The URL without the schema, which libpq does not know, and the schema."""
    found = [*_SCHEMA.finditer(url)]
    if not found:
        return url, DEFAULT_SCHEMA
    name = unquote(found[0][1]) if len(found) == 1 else ""
    if not _SCHEMA_NAME.fullmatch(name) or name.lower().startswith("pg_") or name.lower() == "information_schema":
        sentence = (
            f"{option} must name one schema: ?schema={DEFAULT_SCHEMA}, for example. Its name has up to 63 letters, "
            "digits, _ and -, begins with a letter or _, and is none of the server's own (pg_...)."
        )
        raise ConfigurationError(option, name, sentence=sentence)
    before, after = url[: found[0].start()], url[found[0].end() :]
    return before + (after.replace("&", "?", 1) if found[0][0].startswith("?") else after), name


def _refuse(option: str, url: str, fault: str) -> ConfigurationError:
    scheme = url.partition("//")[0]
    expected = f"a URL as libpq reads it, postgresql://<role>@<host>:<port>/<database> ({fault})"
    return ConfigurationError(option, f"{scheme}//***", expected)


def _describe(error: Exception, url: str) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "it has a character that is none"
    text = str(error).strip()
    is_name = re.fullmatch(r'invalid URI query parameter: "\w+"', text) and "@" not in url.partition("?")[2]
    return text if is_name else _QUOTED.sub("", text)


def _check_hosts(option: str, url: str, values: Mapping[str, str]) -> None:
    """Find what libpq would only notice when it connects, and then tell with a part of the password."""
    encode = "in a role or a password, write @ as %40, / as %2F, : as %3A, ? as %3F and % as %25"
    for host in values.get("host", "").split(","):
        if "@" in host[1:]:  # an abstract socket begins with it
            raise _refuse(option, url, encode)
    for port in filter(None, values.get("port", "").split(",")):
        if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
            raise _refuse(option, url, f"a port is a number between 1 and 65535; {encode}")


def _describe_location(values: Mapping[str, str], schema: str) -> str:
    known = {**_read_defaults(), **values}
    hosts, ports = known.get("host") or known.get("hostaddr", ""), known.get("port", "")
    shown = {name: values[name] for name in _SHOWN if name in values}
    if hosts.startswith(("/", "@")):
        place, shown["host"] = "", hosts
    else:
        place = ",".join(_join(host, port) for host, port in zip(hosts.split(","), cycle(ports.split(","))))
    if schema != DEFAULT_SCHEMA:
        shown["schema"] = schema
    role = f"{quote(values['user'], safe='')}@" if "user" in values else ""
    query = urlencode(shown, safe="/")
    return f"postgresql://{role}{place}/{quote(known.get('dbname', ''), safe='')}{'?' if query else ''}{query}"


def _join(host: str, port: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"{name}:{port}" if port not in ("", "5432") else name


def _read_defaults() -> dict[str, str]:
    """What the environment says of the place."""
    defaults = {each.keyword.decode(): each.val for each in pq.Conninfo.get_defaults()}
    places = {name: defaults.get(name) for name in ("host", "hostaddr", "port", "dbname")}
    return {name: value.decode(errors="replace") for name, value in places.items() if value}
