"""Which groups of a configuration's form are open at first: where something is set, or is wrong.

*Connection* and *Sender* always are: without them no mail leaves.
"""

from collections.abc import Mapping, Sequence

from app.templates_engine.closing import SWITCHES
from app.web.form import Filled
from app.web.screens.config_words import NOTIFICATIONS

# By the fields that say something; a name that ends with a dot stands for what can be wrong below it.
_GROUPS: Mapping[str, Sequence[str]] = {
    "account": ("name", "holder", "off.outgoing"),
    "mailbox": ("own.incoming", "incoming."),
    "answers": (
        *("append_to", "document_address", "answer_alert.after_min", "answer_alert.to"),
        *("own.hours", "answer_alert.", "document_address."),
    ),
    "copies": ("sent_copy", "cc", "none.cc", "bcc", "none.bcc"),
    "notifications": (
        *("notifications", "return_content", "read_receipt"),
        *(f"notify.{word}" for word in NOTIFICATIONS),
    ),
    "protection": ("attachment_password", "none.attachment_password"),
    "limits": (
        *("smtp.batch_limit", "smtp.batch_wait_s", "smtp.chunking_window"),
        *("give_up_after_h", "on_uncertain"),
    ),
    "parting": ("unsubscribe", "suppress_hard_bounces", "unsubscribe."),
    "templates": ("macros",),
    "closing": (
        *(f"{name}.{kind}" for name in ("signature", "footer") for kind in ("html", "text")),
        *("instance_footer.html", "instance_footer.text", "product_footer"),
        *(f"off.closing.{name}" for name in SWITCHES),
    ),
}
# A list always says one of its words, where there is nothing to inherit.
_USUAL: Mapping[str, str] = {
    "notifications": "some",
    "return_content": "headers",
    "read_receipt": "false",
    "on_uncertain": "resend",
    "unsubscribe": "off",
    "suppress_hard_bounces": "false",
}
_NEVER_INHERITED: Mapping[str, str] = {"sent_copy": "auto", "document_address": "off"}


def find_open(form: Filled, *, inherits: bool, is_new: bool, is_protected: bool) -> set[str]:
    """Return the groups to be shown open. is_protected: a password for attachments is stored."""
    usual = _NEVER_INHERITED if inherits else {**_NEVER_INHERITED, **_USUAL}
    opened = {
        group
        for group, names in _GROUPS.items()
        if any(form.value(name) not in ("", usual.get(name)) for name in names)
        or any(_is_below(wrong, names) for wrong in form.errors)
    }
    if is_new:
        opened.add("account")
    if is_protected:
        opened.add("protection")
    return opened


def _is_below(wrong: str, names: Sequence[str]) -> bool:
    return any(wrong == name or (name.endswith(".") and wrong.startswith(name)) for name in names)
