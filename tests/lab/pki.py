"""The certificate authority of the lab, and the certificate of mail.example.test."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

from tests.lab.process import execute
from tests.lab.store import cached, digest

_DAYS = 180

_MAKE = f"""\
cd "$0"
key="rsa:2048"
openssl req -x509 -newkey $key -nodes -days 3650 -subj "/O=Example/CN=Lab CA" -keyout ca.key -out ca.crt \\
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign"
openssl req -newkey $key -nodes -subj "/CN=mail.example.test" -keyout mail.key -out mail.csr
printf '%s\\n' 'subjectAltName=DNS:mail.example.test,DNS:example.test' 'basicConstraints=critical,CA:FALSE' \\
    'keyUsage=critical,digitalSignature' 'extendedKeyUsage=serverAuth' 'subjectKeyIdentifier=hash' 'authorityKeyIdentifier=keyid' > mail.ext
openssl x509 -req -in mail.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days {_DAYS} -extfile mail.ext -out mail.crt
cat mail.crt ca.crt > fullchain.pem
ssh-keygen -q -t ed25519 -N "" -C lab -f ssh.key
"""


@dataclass(frozen=True, slots=True)
class Pki:
    """PEM texts: the authority with its key (faults may issue more with it), the server's chain and key; and an SSH key."""

    ca: str
    ca_key: str
    chain: str
    key: str
    ssh_key: str
    ssh_public: str


def pki_key() -> str:
    """Changes with the recipe and every month, so that a cached certificate has always months left."""
    return digest(_MAKE, f"{datetime.datetime.now(datetime.UTC):%Y-%m}")


def lab_pki() -> Pki:
    """This month's authority and certificates, made once and valid for about six months."""
    place = cached(f"pki-{pki_key()}", _make)
    names = ("ca.crt", "ca.key", "fullchain.pem", "mail.key", "ssh.key", "ssh.key.pub")
    return Pki(*((place / name).read_text() for name in names))


def _make(target: Path) -> None:
    execute(["sh", "-euc", _MAKE, str(target)])
