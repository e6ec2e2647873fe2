"""What is wrong, in the visitor's language: words for the codes of ``app.errors``.

English readers get the room's own sentence, which knows the numbers and names; others get the words
here, and that sentence where a code has none.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from app.web.words import mark

if TYPE_CHECKING:
    from app.web.visit import Guest

TITLES: Mapping[int, str] = {
    400: mark("This did not work"),
    403: mark("You may not do this"),
    404: mark("There is nothing here"),
    409: mark("This is not possible now"),
    412: mark("Somebody was faster"),
    422: mark("Something is not right"),
    429: mark("Too many, too fast"),
    500: mark("Something went wrong here"),
    503: mark("Not available right now"),
}
# fmt: off
WORDS: Mapping[str, str] = {
    "key_unknown": mark("This key is not known here."),
    "key_revoked": mark("This key was revoked."),
    "key_expired": mark("This key has expired."),
    "no_page": mark("A key of role probe opens no page."),
    "no_role": mark("You are known there, but your account has no role here, or more than one. Ask your administrator to give you one."),
    "no_user": mark("You are known there, but your account says not which user you are here. Ask your administrator."),
    "sign_in_foreign": mark("This answer belongs to another sign-in. Start again, in one tab alone."),
    "sign_in_late": mark("This sign-in took too long, or was ended already. Start again."),
    "sign_in_refused": mark("Your company's sign-in did not let you in. Start again; if it stays so, tell your administrator."),
    "issuer_away": mark("Your company's sign-in does not answer. Try again shortly, or use a key."),
    "csrf": mark("This page is out of date. Go back, load it again and repeat."),
    "role_forbids": mark("Your key's role may not do this."),
    "other_user": mark("Your key is bound to one user and acts only as that one."),
    "not_found": mark("It is not there, or not yours to see."),
    "rate_limited": mark("Wait a minute, then try again."),
    "internal_error": mark("The server's log has the details under the number below."),
    "unavailable": mark("The database does not answer. Nothing was changed; try again shortly."),
    "stale": mark(
        "It was changed since you opened it. Load the page again and repeat your change."
    ),
    "expired": mark("It has expired."),
    "configuration_not_found": mark("Nothing is stored for this scope."),
    "no_configuration": mark("No configuration is stored that could send. Set one up first."),
    "inherits_server": mark("This configuration inherits its mail server; pause the one that has it."),
    "no_password_wanted": mark("This configuration has no sign-in of its own that a password is stored for."),
    "password_not_set": mark("No password is stored here."),
    "not_your_password": mark("Only who entered this password may see it again."),
    "password_unreadable": mark("The stored password does not open for these settings; enter it again."),
    "last_admin_key": mark("This is the last admin key that works; make another one first."),
    "key_from_environment": mark("This key is set by AWIZO_ADMIN_KEY; change that and start again."),
    "smtp_password_required": mark("This configuration stores no password; give it for this test."),
    "reply_is_empty": mark("For this mail nothing is left of the text; begin with words that always stand."),
    "only_of_imap": mark("POP3 cannot do this: its mail is left as it is, and at first all of it is taken."),
    "ends_too_early": mark("Give an end after the beginning."),
    "invalid_instant": mark("Write day and time."),
    "html_by_macros": mark("Jinja writes plain text here; HTML is for the macros."),
    "no_renderer": mark("Jinja texts cannot be written just now. Try again shortly."),
    "account_not_found": mark("There is no such account, or it is not yours to see."),
    "account_not_allowed": mark("You lack the right to do this with the account; who manages it can grant it."),
    "sender_not_allowed": mark("This address may not stand in From with this account."),
    "outgoing_off": mark("Sending is switched off for this account."),
    "sender_missing": mark("The account for everybody needs a sender's address."),
    "incoming_not_found": mark("There is no such mail, or it is not yours to see."),
    "message_not_found": mark("There is no such message, or it is not yours to see."),
    "body_erased": mark("The content was erased."),
    "is_report": mark("A report is of the kind that it says itself."),
    "is_verified": mark("A signed id says which message this mail is about; that stays."),
    "suppression_not_found": mark("This suppression is not there any more."),
    "domain_not_found": mark("Nothing is stored for this domain."),
    "right_not_found": mark("Nothing is granted to this user here."),
    "consent_not_wanted": mark("This account has no sign-in that such a consent is for: give it a server and a user name, and let the sign-in method be automatic."),
    "consent_not_found": mark("This account has no consent."),
    "oauth_not_configured": mark("Signing in there is not set up on this server; the administrator's guide says how."),
    "webhook_not_found": mark("There is no such webhook any more."),
    "delivery_not_found": mark("This delivery is not in the log any more."),
    "webhook_disabled": mark("The webhook is switched off; switch it on first."),
    "delivery_under_way": mark("It is being tried at this moment; look again."),
    "too_many_webhooks": mark("There are as many webhooks as there can be."),
    "other_scope": mark("You suppress for yourself only."),
    # At a field
    "required": mark("Fill this in."),
    "wrong_type": mark("Give a number."),
    "out_of_range": mark("This number is outside what is allowed."),
    "unknown_value": mark("Choose one of the offered values."),
    "unknown_field": mark("This is not known here."),
    "too_long": mark("This is too long."),
    "too_large": mark("This is too large."),
    "html_not_closed": mark("A tag, a comment or a style in this HTML is never closed."),
    "too_many": mark("These are too many."),
    "too_many_mailboxes": mark("Give one address."),
    "not_allowed": mark("Leave this empty for this role."),
    "in_the_past": mark("Give a day to come."),
    "invalid_address": mark("This is no mail address."),
    "invalid_character": mark("There is a line break or another control character in it."),
    "invalid_user": mark("This is no user id."),
    "invalid_host": mark("Give a host name or an IP address alone; the port has its own field."),
    "invalid_ca_pem": mark("This is no certificate in PEM."),
    "invalid_language": mark("Give a language such as pl or fr-CH."),
    "invalid_option": mark("An option behind the port is not understood."),
    "unknown_option": mark("Behind the port only AUTH, CONN, LIMITE and WAIT are known."),
    "duplicate_option": mark("The same is given twice behind the port."),
    "conflicting_values": mark("The text behind the port says something else; keep one of the two."),
    "notifications_conflict": mark("Never stands alone."),
    "host_not_allowed": mark("This server is not allowed here: its address, or its port."),
    "insecure_auth": mark("Signing in without encryption shows the password to the network. Choose STARTTLS or SSL/TLS, or allow it under “More about the connection”."),
    "not_ascii": mark("This server takes letters without accents, digits and signs only."),
    "invalid_domain": mark("Give what stands after the @."),
    "expires_at_passed": mark("Give a day to come."),
    "until_passed": mark("Give a day to come."),
    "holder_has_all": mark("The holder of the account may do all of it."),
    "invalid_scope": mark("Give global, users/ and an id, or accounts/ and an id."),
    "malformed_csv": mark("This is no table in UTF-8."),
    "malformed_json": mark("This is no JSON."),
    "columns_missing": mark("The first line has to name the columns, address among them."),
    "unknown_column": mark("The first line names a column that is not known."),
    "wrong_cells": mark("This line has more or fewer cells than the first one."),
    "other_domain": mark("The domain names a server that is not part of it; make sure that it is yours before you give it a password."),
    "invalid_url": mark("This is no address such as https://erp.firma.example/awizo, in letters without accents."),
    "credentials_in_url": mark("No user name or password stands in the address; the receiver verifies the signature."),
    "insecure_url": mark("Plain http is for addresses of your own network; use https."),
    "unknown_event": mark("There is no such kind of event."),
    "invalid_pattern": mark("Give an address with one * before the @, and room for 40 characters there."),
    "invalid_time": mark("Give a time as 08:00; the end is after the beginning."),
    "invalid_days": mark("Choose at least one day."),
    "unknown_timezone": mark("Give a time zone such as Europe/Warsaw."),
    "duplicate": mark("It is given twice."),
    "password_not_stored": mark("With this choice the password is not stored; leave it empty."),
    "password_missing": mark("No password is stored yet; mail waits until it is entered."),
    "password_needed_again": mark("The stored password was entered for another server or a safer connection; enter it again. Mail waits until then."),
    "password_long": mark("Some programs cannot open attachments with so long a password."),
    "password_not_ascii": mark("Some programs cannot open attachments with letters such as these in the password."),
    "inline_not_protected": mark("Pictures within the text go out without the password."),
    "ignored_in_draft": mark("A draft keeps neither a time to send at nor a last day."),
    "size_over_server_limit": mark("The server takes no message of this size, as it said lately."),
    "smtputf8_not_offered": mark("The server takes no address with letters such as these, as it said lately."),
    "invalid_name": mark("A value's name has a form that is not understood."),
    "invalid_macro_name": mark("A value's name has a form that is not understood."),
    "duplicate_macro": mark("The same value is given twice."),
    "invalid_date": mark("Give a date as 2027-01-31."),
    "invalid_currency": mark("Give a currency as PLN."),
}
# fmt: on


# Rooms speak to programs there: of quotes and JSON, of claims.
_OURS = {"wrong_type", "no_role", "no_user", "issuer_away", "sign_in_late", "sign_in_foreign"}


def say(guest: "Guest", code: str, detail: str) -> str:
    """Return what is wrong, as precisely as the visitor's language allows."""
    if detail and guest.language == "en" and code not in _OURS:
        return detail
    return guest._(WORDS[code]) if code in WORDS else detail


def say_all(guest: "Guest") -> Mapping[str, str]:
    """Return the words for every code; in English only those where the rooms' are no better."""
    known = WORDS if guest.language != "en" else _OURS
    return {code: guest._(WORDS[code]) for code in known}
