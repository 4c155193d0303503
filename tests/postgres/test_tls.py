"""TLS: the modes of libpq, each with certificates that are right and wrong. What encrypts here stands before the server."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import crossfade

from .proxies import FaultProxy
from .servers import Server, running, show
from .torture import ENTITIES, Half

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="the program openssl makes the certificates")


@dataclass(frozen=True)
class Certificates:
    """Made by one authority for 127.0.0.1, by it for another host, by it and expired; and an authority that made none."""

    folder: Path

    def server(self, name: str) -> ssl.SSLContext:
        """What a server shows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context

    def root(self, name: str = "authority") -> str:
        """The file for `sslrootcert`."""
        return str(self.folder / f"{name}.pem")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for name in ("authority", "stranger"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    for name, host, days in (
        ("good", "IP:127.0.0.1", "30"),
        ("elsewhere", "DNS:db.invalid", "30"),
        ("old", "IP:127.0.0.1", "-1"),
    ):
        openssl("req", "-new", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / f"{name}.ext").write_text(f"subjectAltName={host}\n")
        openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "authority.pem", "-CAkey", "authority.key"),
            *("-CAcreateserial", "-days", days, "-extfile", f"{name}.ext", "-out", f"{name}.pem"),
        )
    return Certificates(folder)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running({"fsync": "off"}) as found:
        yield found


@pytest.mark.parametrize(
    ("shown", "mode", "root", "taken"),
    [
        ("good", "require", None, True),
        ("good", "verify-ca", "authority", True),
        ("good", "verify-full", "authority", True),
        ("good", "verify-full", "stranger", False),
        ("good", "verify-ca", "stranger", False),
        ("elsewhere", "require", None, True),
        ("elsewhere", "verify-ca", "authority", True),
        ("elsewhere", "verify-full", "authority", False),
        ("old", "verify-ca", "authority", False),
        ("old", "verify-full", "authority", False),
    ],
)
async def test_a_certificate_is_judged_as_the_mode_says(
    server: Server, certificates: Certificates, shown: str, mode: str, root: str | None, taken: bool
) -> None:
    """Taken, and then everything works; or refused at once, with an error that speaks of TLS and shows no password."""
    more = {} if root is None else {"sslrootcert": certificates.root(root)}
    async with FaultProxy(server.socket, tls=certificates.server(shown)) as proxy:
        url = server.url(more, port=proxy.port, sslmode=mode, retry="20s")
        if taken:
            async with crossfade.open(url, entities=ENTITIES) as store:
                await store.repository(Half).upsert(Half(id=shown, number=1))
                assert await store.repository(Half).get(shown) == Half(id=shown, number=1)
            return
        with pytest.raises(crossfade.Unavailable, match=r"TLS.*certificate|certificate.*TLS") as caught:
            await crossfade.open(url, entities=ENTITIES)
    assert server.password not in show(caught.value)


async def test_a_file_that_is_not_there_is_said(server: Server, certificates: Certificates) -> None:
    """The option and its file are named."""
    async with FaultProxy(server.socket, tls=certificates.server("good")) as proxy:
        url = server.url(port=proxy.port, sslmode="verify-full", sslrootcert="/no/such/file.pem", retry="20s")
        with pytest.raises(crossfade.CrossfadeError, match="sslrootcert"):
            await crossfade.open(url, entities=ENTITIES)


async def test_a_server_that_offers_no_tls_is_refused_where_it_is_required(server: Server) -> None:
    """Never quietly without."""
    for mode in ("require", "verify-ca", "verify-full"):
        with pytest.raises(crossfade.Unavailable, match="TLS"):
            await crossfade.open(server.url(sslmode=mode, retry="20s"), entities=ENTITIES)
