"""Certificates of the tests' own."""

from __future__ import annotations

from pathlib import Path

import trustme


class Certificates:
    """A certificate for 127.0.0.1 and the authority that vouches for it, as PEM files in `folder`."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        self.authority, self.certificate, self.key = (folder / f"{name}.pem" for name in ("ca", "cert", "key"))
        authority.cert_pem.write_to_path(str(self.authority))
        issued.cert_chain_pems[0].write_to_path(str(self.certificate))
        issued.private_key_pem.write_to_path(str(self.key))

    def server_options(self, port: int) -> tuple[str, ...]:
        """The command line of a server that speaks TLS by itself."""
        files = ("--tls-cert-file", str(self.certificate), "--tls-key-file", str(self.key))
        return ("--tls-port", str(port), *files, "--tls-auth-clients", "no")
