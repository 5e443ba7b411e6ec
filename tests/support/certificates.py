"""A certificate for this machine's loopback address, made by openssl."""

import ssl
from pathlib import Path

from support.tools import attempt


def made(directory: Path) -> tuple[Path, Path]:
    """Make a certificate that vouches for itself, good for two days; return it and its key. Skips without openssl."""
    key, crt = directory / "key.pem", directory / "crt.pem"
    attempt(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(crt), "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:TRUE"),
        ]
    )
    return crt, key


def serving_with(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    """Give what a server needs to use it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context
