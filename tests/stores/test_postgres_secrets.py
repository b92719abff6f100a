"""A server that wants a password and TLS; and nobody else ever sees the password."""

import asyncio
import logging
import shutil
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, NamedTuple

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from servicekit import StoreUnavailable, create_scheduler
from servicekit.api import ServiceBuilder, ServiceInfo
from servicekit.cli.main import main
from servicekit.engine.factory import make_parts
from servicekit.engine.options import SchedulerOptions
from servicekit.stores.postgres import start, writer
from tests.fakes import noop
from tests.needs import needs
from tests.postgres import OLDEST, SERVER_USER, PostgresServer, list_versions, run_postgres

pytestmark = needs("postgresql")

PASSWORD: Final = "wind-mill-7"
ACCESS: Final = "local all postgres trust\nhost all postgres all trust\nhostssl all app all scram-sha-256\n"


class Authority(NamedTuple):
    """Who signs certificates."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def make_certificate(name: str, authority: Authority | None = None) -> Authority:
    """A certificate for a server at 127.0.0.1; without an authority, that of a new one."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if authority is None else authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    )
    return Authority(key, builder.sign(key if authority is None else authority.key, hashes.SHA256()))


def write(folder: Path, name: str, made: Authority) -> None:
    """Write a certificate and its key, for the server's user alone."""
    key = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for ending, content in (("crt", made.certificate.public_bytes(Encoding.PEM)), ("key", key)):
        path = folder / f"{name}.{ending}"
        path.write_bytes(content)
        path.chmod(0o600)
        if SERVER_USER is not None:
            shutil.chown(path, SERVER_USER)


class SecureServer(NamedTuple):
    server: PostgresServer
    folder: Path
    """Its certificates, and those of an authority that has signed none of them: `other.crt`."""

    def url(self, database: str, query: str, *, password: str = f":{PASSWORD}", host: str = "127.0.0.1") -> str:
        return f"postgresql://app{password}@{host}:{self.server.port}/{database}?{query}"


@pytest.fixture(scope="module")
def secure() -> Iterator[SecureServer]:
    if b"SSL is not supported" in (list_versions()[0].folder / "postgres").read_bytes():
        pytest.skip("the oldest PostgreSQL here was built without TLS")
    folder = Path(mkdtemp(prefix="certificates-"))
    try:
        folder.chmod(0o755)
        authority = make_certificate("The authority of a test")
        write(folder, "authority", authority)
        write(folder, "other", make_certificate("Another authority"))
        write(folder, "server", make_certificate("server", authority))
        settings = ("ssl=on", f"ssl_cert_file={folder}/server.crt", f"ssl_key_file={folder}/server.key")
        with run_postgres(OLDEST, settings=settings) as server:
            server.execute("SET password_encryption = 'scram-sha-256'")
            server.execute(f"CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'")
            (server.folder / "data" / "pg_hba.conf").write_text(ACCESS)
            server.execute("SELECT pg_reload_conf()")
            yield SecureServer(server, folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def database(secure: SecureServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(start, "_START_SECONDS", 0.0)
    with secure.server.new_database() as url:
        name = url.rpartition("/")[2]
        secure.server.execute(f"GRANT CREATE ON DATABASE {name} TO app")
        yield name


async def test_jobs_run_over_tls_with_a_password(
    secure: SecureServer, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = f"sslmode=verify-full&sslrootcert={secure.folder}/authority.crt&channel_binding=require"
    encrypted = (
        "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
        "WHERE usename = 'app' AND application_name LIKE 'servicekit%'"
    )
    for password in (f":{PASSWORD}", ""):
        monkeypatch.setenv("PGPASSWORD", "" if password else PASSWORD)
        async with create_scheduler(secure.url(database, query, password=password)) as scheduler:
            await scheduler.wait(await scheduler.with_options(runner="process").add_job(noop))
            assert secure.server.execute(encrypted) == [(True,)]


@pytest.mark.parametrize(
    ("query", "host", "password", "words"),
    [
        ("sslmode=verify-full&sslrootcert={folder}/other.crt", "127.0.0.1", PASSWORD, "do not agree on TLS"),
        ("sslmode=verify-full&sslrootcert={folder}/none.crt", "127.0.0.1", PASSWORD, "do not agree on TLS"),
        ("sslmode=verify-full&sslrootcert={folder}/authority.crt", "localhost", PASSWORD, "do not agree on TLS"),
        ("sslmode=disable", "127.0.0.1", PASSWORD, "does not let this role in"),
        ("sslmode=require", "127.0.0.1", "wrong", "does not let this role in"),
        ("sslmode=require", "127.0.0.1", "", "does not let this role in"),
    ],
)
async def test_what_is_wrong_with_tls_or_a_password_is_told(
    secure: SecureServer, database: str, query: str, host: str, password: str, words: str
) -> None:
    query = query.format(folder=secure.folder)
    scheduler = create_scheduler(secure.url(database, query, password=password and f":{password}", host=host))
    with pytest.raises(StoreUnavailable, match=words) as caught:
        await scheduler.start()
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


async def test_a_password_is_in_no_log_no_error_and_no_answer(
    secure: SecureServer,
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(writer, "PATIENCE_SECONDS", 0.0)
    url = secure.url(database, "sslmode=require")
    parts = make_parts(url, SchedulerOptions())
    seen = [repr(parts), repr(parts.store), repr(vars(parts.store)), repr(create_scheduler(url))]
    app = ServiceBuilder(info=ServiceInfo(display_name="Bakery")).with_jobs(url=url).with_health().build()
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://it") as client:
        seen += [(await client.get(path)).text for path in ("/health", "/openapi.json", "/api/v1/jobs")]
        secure.server.execute("ALTER ROLE app PASSWORD 'another'")
        try:
            ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'"
            while "let this role in" not in seen[-1]:
                secure.server.execute(ending)
                seen.append((await client.get("/health")).text)
                await asyncio.sleep(0.01)
            for command in (["migrate", url], ["migrate", "--check", url], ["move", url, "sqlite:///no.db"]):
                assert main(command) == 2
        finally:
            secure.server.execute(f"ALTER ROLE app PASSWORD '{PASSWORD}'")
    assert main(["migrate", url]) == 0
    told = capsys.readouterr()
    seen += [told.out, told.err, caplog.text]
    assert "does not let this role in" in told.err
    assert "does not let this role in" in caplog.text
    assert not [text for text in seen if PASSWORD in text]
