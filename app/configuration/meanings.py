"""What each member of a configuration means, for OpenAPI; defaults are those of ``model``."""

from collections.abc import Mapping

_CONNECTION: dict[str, str] = {
    "host": "The server's name or address; absent: the one of the address's domain.",
    "connection": "`auto` finds the encryption by itself.",
    "auth": "How to log in; `auto`: the safest that both know.",
    "username": "Absent: no login, or the one of the other server of this account.",
    "password": "Never shown; stored sealed together with its server.",
    "timeout_ms": "How long an answer of the server is waited for; 30000.",
    "tls_verify": "Whether the certificate must be good; true.",
    "ca_pem": "Who may have signed its certificate.",
    "allow_insecure_auth": "Log in also without encryption; false.",
}
MEANINGS: Mapping[str, Mapping[str, str]] = {
    "smtp": _CONNECTION
    | {
        "password_mode": "`ask`: given with each message; `awaiting`: the owner enters it later.",
        "password_encoding": "`ascii` refuses other characters in it.",
        "batch_limit": "Messages in one lot; absent or 0: no lots.",
        "batch_wait_s": "Seconds between two lots.",
        "chunking_window": "Messages on their way at once, for servers far away; 0: one.",
    },
    "incoming": _CONNECTION
    | {
        "enabled": "`false` keeps the settings and uses none of them.",
        "protocol": "`imap` unless said otherwise.",
        "port": "Absent: 993 or 143 of IMAP, 995 or 110 of POP3, as `connection` says.",
        "mode": "`collect` stores mail; `check` only counts what is unread; `off`: neither.",
        "folder": "Of IMAP; `INBOX`.",
        "first_sync": "What is taken of the mail that is there at first; POP3: all.",
        "last": "Of that at most so many, the newest.",
        "after": "What becomes of a mail in the mailbox when it is stored; `seen`: IMAP alone.",
        "poll_s": "How often it is looked at where the server does not tell by itself; 300.",
        "largest_bytes": "Of a larger mail only the header is stored; 25 MiB.",
    },
    "sender": {
        "address": "Who stands in From; `Firma <faktury@firma.example>` says the name too.",
        "name": "The name beside the address.",
        "return_path": "Where failures are reported to; absent: `address`.",
    },
    "": {
        "append_to": "The `reference.type` of mail that came in and is about no message.",
        "name": "Of the account, for people who choose it.",
        "outgoing": "`false`: nothing is sent with it.",
        "senders": "Further addresses that may stand in From.",
        "user_senders": "`listed`: a user's own From must stand in `senders`.",
        "always_use_address": "The account's address stands in From whatever was asked for.",
        "always_use_name": "Its name, likewise.",
        "sent_copy": "Where a copy of what was sent goes; `auto`: the Sent folder, if there is one.",
        "signature": "Stands below every mail of this account.",
        "footer": "Stands below the signature.",
        "closing": "`false` leaves out a signature or footer.",
        "mode": "`draft`: the mail is handed over as a file and not sent.",
        "reply_to": "Where answers go; absent: to the sender, or the user for whom the common one sends.",
        "cc": "Gets a copy of every message.",
        "bcc": "Likewise, unseen.",
        "notifications": "Which delivery reports are asked for.",
        "return_content": "What of a message comes back in a report.",
        "read_receipt": "Whether a receipt is asked for when the mail is read.",
        "importance": "What mail programs show of it.",
        "language": "Of templates and built-in texts.",
        "attachment_password": "Attachments go out encrypted with it; never shown.",
        "on_uncertain": "When the final reply was lost: send again, or wait for a person.",
        "give_up_after_h": "How many hours a message is tried.",
        "suppress_hard_bounces": "An address that does not exist is not written to again.",
        "macros": "Values for templates, by name.",
        "instance_footer": "Below the mail of everybody; of the global scope alone.",
        "product_footer": "The line that names Awizo; of the global scope alone.",
    },
}
