"""Everything that is configured, as one document without secrets (B15); ``bring_in`` reads it.

Users with their signatures, e-mail domains, accounts with what was granted on them (the scopes
``global`` and ``users/<id>`` among them) and the newest version of every template. Of a password it
says whether there is one. Equal configurations make equal documents, so two can be compared.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from app.accounts.tables import person
from app.configuration.accounts import list_grants
from app.configuration.load import ACCOUNTS, read_account
from app.configuration.model import StoredAccount, name_object
from app.configuration.show import show_document
from app.configuration.tables import account, mail_domain, template, template_version

FORMAT = 1  # a document of another number is refused


def export_configuration(tx: Connection, at: datetime) -> dict[str, Any]:
    """Return the document, each list in the order of its keys; grants that have ended are left out."""
    people = tx.execute(select(person).order_by(person.c.id))
    domains = tx.execute(select(mail_domain).order_by(mail_domain.c.name))
    accounts = tx.execute(
        ACCOUNTS.where(account.c.removed_at.is_(None)).order_by(account.c.scope)
    ).mappings()
    of = template_version.c
    templates = tx.execute(
        select(template_version)
        .join(
            template,
            (template.c.scope == of.scope)
            & (template.c.name == of.name)
            & (template.c.language == of.language)
            & (template.c.version == of.version),
        )
        .where(template.c.removed_at.is_(None))
        .order_by(of.scope, of.name, of.language)
    )
    members = ("id", "name", "address", "language", "active_scope", "signature")
    return {
        "awizo_export": FORMAT,
        "users": [{name: getattr(row, name) for name in members} for row in people],
        "domains": [{"name": row.name, "settings": row.settings} for row in domains],
        "accounts": [_show_account(tx, read_account(row), at) for row in accounts.all()],
        "templates": [
            {
                "scope": row.scope,
                "name": row.name,
                "language": row.language,
                "subject": row.subject,
                "body": row.body,
                "requires": row.requires,
                "strict_macros": row.strict_macros,
            }
            for row in templates
        ],
    }


def name_items(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a document holds by the path under which each thing is edited."""
    named: dict[str, Any] = {f"users/{each['id']}": each for each in document["users"]}
    named |= {f"domains/{each['name']}": each for each in document["domains"]}
    named |= {name_object(each["scope"]): each for each in document["accounts"]}
    for each in document["templates"]:
        place = f"config/{each['scope']}/templates/{each['name']}?language={each['language']}"
        named[place] = each
    return named


def _show_account(tx: Connection, stored: StoredAccount, at: datetime) -> dict[str, Any]:
    configuration = show_document(stored)
    for block in ("smtp", "incoming"):
        configuration.get(block, {}).pop("effective_port", None)
    return {
        "scope": stored.scope,
        "holder": stored.user_id,
        "configuration": configuration,
        "rights": [
            {
                "user": each.user,
                "read": each.read,
                "send": each.send,
                "manage": each.manage,
                "until": each.until and each.until.isoformat(),
            }
            for each in list_grants(tx, stored.id)
            if each.until is None or each.until > at
        ],
    }
