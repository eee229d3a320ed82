"""The mail server of the settings: does it answer, is the connection as secure as demanded, are we let in?"""

from __future__ import annotations

import smtplib
import ssl
from typing import Final

from weft.ops.doctor.answers import Answer, fail, ok
from weft.settings import Settings
from weft.settings_sections import SmtpSettings

TOPIC: Final = "mail"
PATIENCE: Final = 10.0
"""Seconds that the server may take for a word; sending itself may be given more."""


def mail(settings: Settings) -> list[Answer]:
    """Nothing is sent. No answer where no mail is wanted."""
    smtp = settings.smtp
    if smtp.host is None:
        return []
    where = f"{smtp.host}:{smtp.port}"
    try:
        with _connected(smtp) as client:
            if smtp.user is not None:
                client.login(smtp.user, smtp.password or "")
    except smtplib.SMTPAuthenticationError as error:
        return [
            fail(TOPIC, f"{where} refuses the sign-in ({error.smtp_code}).", "See WEFT_SMTP_USER and its password.")
        ]
    except smtplib.SMTPNotSupportedError:
        missing = "a sign-in" if smtp.security != "starttls" else "STARTTLS or a sign-in"
        return [fail(TOPIC, f"{where} does not offer {missing}.", "See WEFT_SMTP_SECURITY and WEFT_SMTP_USER.")]
    except ssl.SSLError as error:
        said = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else "the handshake failed"
        return [
            fail(TOPIC, f"No secure connection to {where}: {said}.", "See WEFT_SMTP_SECURITY and WEFT_SMTP_CA_FILE.")
        ]
    except (smtplib.SMTPException, OSError, UnicodeError) as error:
        advice = "See whether it runs and may be reached from here; WEFT_SMTP_HOST and WEFT_SMTP_PORT name it."
        return [fail(TOPIC, f"{where} does not answer as a mail server ({type(error).__name__}).", advice)]
    return [ok(TOPIC, f"{where} answers{', and lets us in' if smtp.user else ''}.")]


def _connected(smtp: SmtpSettings) -> smtplib.SMTP:
    patience = min(PATIENCE, smtp.timeout_seconds)
    context = ssl.create_default_context(cafile=str(smtp.ca_file) if smtp.ca_file is not None else None)
    host = smtp.host or ""
    if smtp.security == "tls":
        return smtplib.SMTP_SSL(host, smtp.port, timeout=patience, context=context)
    client = smtplib.SMTP(host, smtp.port, timeout=patience)
    if smtp.security == "starttls":
        try:
            client.starttls(context=context)
        except BaseException:
            client.close()
            raise
    return client
