"""A mail server in a process of its own: `python smtp_server.py MODE CERTIFICATE KEY` (mode: starttls, tls or none).

Says its port on standard output, then each message that it takes as a line of JSON. What a recipient is called
decides what becomes of it: `later@` is refused with 451, `never@` with 550; the subject `busy` makes the whole
message wait with 452, `spam` refuses it with 554. It demands STARTTLS and a sign-in except in the mode `none`.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import ssl
import sys
import warnings
from typing import Any

warnings.simplefilter("ignore")

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session  # noqa: E402  after the filter

USER, PASSWORD = b"weft", b"pass-word of weft"


class Handler:
    async def handle_RCPT(  # noqa: N802  the library's word
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address.startswith("later@"):
            return "451 4.7.1 Greylisted, try again"
        if address.startswith("never@"):
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  likewise
        content = envelope.content
        assert isinstance(content, bytes)
        message: Any = email.message_from_bytes(content, policy=email.policy.default)
        if message["Subject"] == "busy":
            return "452 4.3.1 Insufficient storage"
        if message["Subject"] == "spam":
            return "554 5.7.1 This looks like spam"
        said = {
            "sender": envelope.mail_from,
            "recipients": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in message.items()},
            "text": message.get_body(("plain",)).get_content(),
            "html": body.get_content() if (body := message.get_body(("html",))) else None,
            "tls": session.ssl is not None,
            "signed_in": bool(session.authenticated),
            "raw": content.decode(),
        }
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
        return "250 Taken"


def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER, PASSWORD)
    return AuthResult(success=right, handled=False)


async def serve(mode: str, certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    secured = mode != "none"

    def make() -> SMTP:
        return SMTP(
            Handler(),
            hostname="mail.test",
            tls_context=context if mode == "starttls" else None,
            require_starttls=mode == "starttls",
            auth_required=secured,
            auth_require_tls=mode == "starttls",
            authenticator=authenticate if secured else None,
            loop=asyncio.get_running_loop(),
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if mode == "tls" else None)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)  # until whoever started us is gone


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:4]))
