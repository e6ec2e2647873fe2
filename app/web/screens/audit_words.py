"""What people did, in plain words, for every action that the audit trail knows.

A test finds an action in the code that has no words here.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.web.words import mark

if TYPE_CHECKING:
    from app.web.visit import Guest

ACTIONS: Mapping[str, str] = {
    "account.consent": mark("A mailbox's owner gave or changed their consent"),
    "account.consent_asked": mark("A mailbox's owner was asked for their consent"),
    "account.consent_forgotten": mark("A consent was taken out"),
    "account.consent_lost": mark("The provider took a consent back"),
    "account.default": mark("An account was made the default"),
    "account.domain": mark("A change of the e-mail domain reached an account"),
    "account.grant": mark("A right on an account was granted"),
    "account.password_link": mark("A link for a password was made"),
    "account.revoke": mark("A right on an account was revoked"),
    "config.activate": mark("It was chosen which configuration sends"),
    "config.apply_to_everyone": mark("The common configuration was chosen for everybody"),
    "config.delete": mark("A configuration was removed"),
    "config.patch": mark("A part of a configuration was changed"),
    "config.pause": mark("Sending was paused"),
    "config.put": mark("A configuration was saved"),
    "config.resume": mark("Sending was resumed"),
    "config.secret": mark("A password was entered"),
    "configuration.import": mark("A configuration was brought in from a file"),
    "domain.delete": mark("An e-mail domain was removed"),
    "domain.put": mark("An e-mail domain was saved"),
    "inbox.forward": mark("A mail that came in was forwarded"),
    "inbox.handled": mark("A mail that came in was marked as handled"),
    "inbox.kind": mark("It was corrected what kind of mail came in"),
    "inbox.message": mark("It was corrected which message a mail is about"),
    "inbox.reopened": mark("A mail that came in was opened again"),
    "key.create": mark("A key was made"),
    "key.revoke": mark("A key was revoked"),
    "key.rotate": mark("A key was replaced"),
    "message.unprotected": mark("Attachments went out without their protection"),
    "password.reveal": mark("A password was shown"),
    "probe.send": mark("A test message was sent"),
    "recipient.erase": mark("A person was erased"),
    "suppression.change": mark("A suppression was changed"),
    "suppression.create": mark("An address was suppressed"),
    "suppression.delete": mark("An address was taken off the suppressions"),
    "suppression.import": mark("A list of suppressions was brought in"),
    "template.delete": mark("A template was taken back to the built-in one"),
    "template.put": mark("A template was saved"),
    "user.put": mark("A user's name or signature was saved"),
    "webhook.create": mark("A webhook was made"),
    "webhook.delete": mark("A webhook was deleted"),
    "webhook.disable": mark("A webhook switched itself off"),
    "webhook.put": mark("A webhook was changed"),
    "webhook.redeliver": mark("Events were sent to a webhook again"),
    "webhook.resume": mark("A webhook was switched on"),
    "webhook.rotate_secret": mark("A webhook got a new secret"),
    "webhook.test": mark("A webhook was tested"),
}


def list_actions(guest: "Guest", wanted: str) -> list[tuple[str, str]]:
    """Return every action with its words, by these; with ``wanted`` where it is none of them."""
    known = ((name, guest._(words)) for name, words in ACTIONS.items())
    offered = sorted(known, key=lambda each: each[1].casefold())
    return offered if wanted in ACTIONS or not wanted else [*offered, (wanted, wanted)]


def describe_action(guest: "Guest", action: str) -> str:
    """Return what was done; the technical name where it has no words."""
    return guest._(ACTIONS[action]) if action in ACTIONS else action
