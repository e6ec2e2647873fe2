"""The e-mail domain of a configuration, as a value."""

from sqlalchemy import RowMapping, select
from sqlalchemy.engine import Connection

from app.configuration.domain import Domain
from app.configuration.tables import mail_domain


def find_domain(tx: Connection, name: str | None) -> Domain | None:
    """Return a domain's settings; None where none are stored."""
    if name is None:
        return None
    row = tx.execute(select(mail_domain).where(mail_domain.c.name == name)).mappings().first()
    return None if row is None else read_domain(row)


def read_domain(row: RowMapping) -> Domain:
    """Return a row of ``mail_domain`` as a value."""
    return Domain(row["name"], row["version"], row["settings"], row["updated_at"])
