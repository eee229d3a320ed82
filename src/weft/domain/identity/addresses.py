"""E-mail addresses: what is accepted, and when two are the same person's."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from weft.domain.identity.errors import EmailInvalid

if TYPE_CHECKING:
    from email_validator import ValidatedEmail


def email_key(email: str) -> str:
    """What addresses are compared and found by: compatibility forms and letter case make no difference."""
    folded = unicodedata.normalize("NFKC", email).casefold()
    # Case folding can leave a form that is not normalised (UAX 15 section 5).
    return unicodedata.normalize("NFKC", folded).strip()


def normal_email(text: str) -> str:
    """The address as it will be written; raises `EmailInvalid` with the reason. No name server is asked."""
    from email_validator import EmailNotValidError

    try:
        address = _validator()(text.strip(), check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError as error:
        raise EmailInvalid(str(error)) from error
    if "." not in address.ascii_domain:
        raise EmailInvalid("The part after the @ has no dot.")
    return address.normalized


@cache
def _validator() -> Callable[..., ValidatedEmail]:
    """The library's, which also takes names of a company's own network (`ada@corp.local`): weft is self-hosted.

    The list of reserved names is a documented setting of the library. Imported when needed: it takes 30 ms.
    """
    import email_validator

    reserved = email_validator.SPECIAL_USE_DOMAIN_NAMES
    email_validator.SPECIAL_USE_DOMAIN_NAMES = [name for name in reserved if name not in ("local", "test")]
    return email_validator.validate_email
