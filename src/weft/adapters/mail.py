"""Sends mail through the operator's server. Fulfils `weft.core.ports.Mailer`.

Each message has a connection of its own: a server that hangs or closes early concerns nobody else. How the
connection is secured is a setting and never negotiated down: a server that does not offer STARTTLS gets nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from weft.core.ports import Email, Mailbox, MailDelivery, MailError, RecipientRefused
from weft.settings_sections import SmtpSettings

if TYPE_CHECKING:
    import aiosmtplib

AT_ONCE: Final = 10
"""Connections to the server at a time; further messages wait."""
SHOWN: Final = 300
"""Characters of a server's answer that a message repeats."""

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail goes, as whom, and who it is from. `timeout` in seconds, for the whole of a message."""

    host: str
    port: int
    sender: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    security: Security = "starttls"
    ca_file: Path | None = None
    timeout: float = 30.0


def mailer_of(settings: SmtpSettings) -> SmtpMailer | None:
    """None where the operator has given no mail server."""
    if settings.host is None or settings.sender is None:
        return None
    return SmtpMailer(
        MailServer(
            host=settings.host,
            port=settings.port,
            sender=settings.sender,
            user=settings.user,
            password=settings.password,
            security=settings.security,
            ca_file=settings.ca_file,
            timeout=settings.timeout_seconds,
        )
    )


class SmtpMailer:
    """One per process."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self._places = asyncio.Semaphore(AT_ONCE)

    async def send(self, email: Email) -> MailDelivery:
        """One delivery: to all recipients together. Raises `MailError`."""
        message = compose(email, self._server.sender)
        async with self._places:
            return await self._guarded(message, email.recipients)

    async def _guarded(self, message: EmailMessage, recipients: list[str]) -> MailDelivery:
        import aiosmtplib

        where = f"{self._server.host}:{self._server.port}"
        try:
            async with asyncio.timeout(self._server.timeout):
                return await self._exchange(message, recipients)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _all_refused(error) from None
        except aiosmtplib.SMTPAuthenticationError as error:
            sentence = f"The mail server {where} refused the sign-in: {_shown(error.message)}. See WEFT_SMTP_USER."
            raise MailError("smtp_auth", sentence, retryable=error.code < 500) from None
        except (TimeoutError, aiosmtplib.SMTPTimeoutError):
            sentence = f"The mail server {where} did not answer within {self._server.timeout:g} seconds."
            raise MailError("timeout", sentence, retryable=True) from None
        except aiosmtplib.SMTPResponseException as error:
            raise _refused(where, error) from None
        except aiosmtplib.SMTPNotSupported as error:
            sentence = (
                f"The mail server {where} cannot do what WEFT_SMTP_SECURITY or WEFT_SMTP_SENDER asks for: "
                f"{_shown(str(error))}."
            )
            raise MailError("tls", sentence, retryable=False) from None
        except ssl.SSLError as error:
            raise _insecure(where, error) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            if isinstance(error.__cause__, ssl.SSLError):
                raise _insecure(where, error.__cause__) from None
            raise MailError(
                "connection", f"No connection to the mail server {where} could be kept.", retryable=True
            ) from None

    async def _exchange(self, message: EmailMessage, recipients: list[str]) -> MailDelivery:
        import aiosmtplib

        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.security == "tls",
            start_tls=False,
            tls_context=_context(server) if server.security != "none" else None,
            timeout=server.timeout,
            local_hostname="weft",
        )
        try:
            await client.connect()
            await self._introduced(client)
            sender = mailbox_of(server.sender).address
            refused, _ = await client.send_message(message, sender=sender, recipients=recipients)
        except BaseException:
            client.close()
            raise
        await _part(client)
        return MailDelivery(
            tuple(address for address in recipients if address not in refused),
            tuple(
                RecipientRefused(address, answer.code, _shown(answer.message)) for address, answer in refused.items()
            ),
        )

    async def _introduced(self, client: aiosmtplib.SMTP) -> None:
        """Secured as the setting demands, and only then signed in."""
        server = self._server
        await client.ehlo()
        if server.security == "starttls":
            if not client.supports_extension("starttls"):
                sentence = f"The mail server {server.host}:{server.port} offers no STARTTLS. See WEFT_SMTP_SECURITY."
                raise MailError("tls", sentence, retryable=False)
            await client.starttls()
            await client.ehlo()
        if server.user is not None:
            if not client.supports_extension("auth"):
                sentence = f"The mail server {server.host}:{server.port} offers no sign-in. See WEFT_SMTP_USER."
                raise MailError("smtp_auth", sentence, retryable=False)
            await client.login(server.user, server.password or "")


async def _part(client: aiosmtplib.SMTP) -> None:
    """The server has the message; how it says good-bye changes nothing any more."""
    try:
        async with asyncio.timeout(2.0):
            await client.quit()
    except Exception:
        client.close()


def compose(email: Email, sender: str) -> EmailMessage:
    """The message as it is sent. Header values are one line each: the library refuses others."""
    message = EmailMessage(policy=SMTP)
    message["From"] = _address(mailbox_of(sender))
    for name, boxes in (("To", email.to), ("Cc", email.cc), ("Reply-To", email.reply_to)):
        if boxes:
            message[name] = [_address(box) for box in boxes]
    message["Subject"] = email.subject
    message["Date"] = email.at
    message["Message-ID"] = email.message_id
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice answers it
    message.set_content(email.text)
    if email.html is not None:
        message.add_alternative(email.html, subtype="html")
    return message


def mailbox_of(sender: str) -> Mailbox:
    """`weft@example.com` or `Büro Weft <weft@example.com>`, as operators write it.

    The library asks for SMTPUTF8, which many servers lack, as soon as anything in the sender that it is given is
    not ASCII, the name included: it is given the bare address.
    """
    name, _, address = sender.rpartition("<")
    local, _, domain = address.strip().removesuffix(">").strip().rpartition("@")
    with suppress(UnicodeError):
        domain = domain.encode("idna").decode("ascii")
    return Mailbox(f"{local}@{domain}", name.strip().strip('"'))


def _address(box: Mailbox) -> Address:
    return Address(display_name=box.name, addr_spec=box.address)


def _context(server: MailServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file is not None else None)


def _insecure(where: str, error: ssl.SSLError) -> MailError:
    untrusted = isinstance(error, ssl.SSLCertVerificationError)
    reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else "the handshake failed"
    sentence = f"No secure connection to the mail server {where}: {reason}."
    return MailError("tls", sentence, retryable=not untrusted)


def _all_refused(error: aiosmtplib.SMTPRecipientsRefused) -> MailError:
    refused = [RecipientRefused(one.recipient, one.code, _shown(one.message)) for one in error.recipients]
    later = bool(refused) and all(one.code < 500 for one in refused)
    first = f"{refused[0].code} {refused[0].message}" if refused else "it says no more"
    return MailError(
        "smtp_4xx" if later else "smtp_5xx",
        f"The mail server refused every recipient: {first}.",
        retryable=later,
        refused=refused,
    )


def _refused(where: str, error: aiosmtplib.SMTPResponseException) -> MailError:
    later = 400 <= error.code < 500
    sentence = f"The mail server {where} answered {error.code}: {_shown(error.message)}."
    return MailError("smtp_4xx" if later else "smtp_5xx", sentence, retryable=later)


def _shown(text: str) -> str:
    """A server's words, on one line and short."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line[:SHOWN].rstrip(".")
