"""What is done to a stored configuration: chosen, paused, its password entered and revealed."""

from typing import Annotated, Literal

from fastapi import Response
from pydantic import BaseModel
from sqlalchemy.engine import Connection

from app.accounts.people import read_person
from app.api.body import Body, Choice
from app.api.config_answer import Configuration, answer, change, read_shown
from app.api.gate import TheOffice
from app.api.scope import ReadScope, WriteScope, make_three_routers, on_each
from app.api.sign_in import TheAdmin, TheCaller
from app.configuration import password as passwords
from app.configuration import switch
from app.configuration.model import StoredAccount

scoped = make_three_routers("configuration")


class ActiveScopeBody(Body):
    """Which configuration sends for the user."""

    scope: Annotated[Literal["global", "personal"], Choice]


class ShownActiveScope(BaseModel):
    """Which configuration sends for the user."""

    active_scope: Literal["global", "personal"]


class SecretBody(Body):
    """The SMTP password."""

    password: str


class ShownPassword(BaseModel):
    """The SMTP password, shown to the owner that entered it."""

    password: str


@scoped[1].put("/active-scope")
async def put_active_scope(
    caller: TheCaller, office: TheOffice, scope: WriteScope, given: ActiveScopeBody
) -> ShownActiveScope:
    """Choose which configuration sends for the user; neither stored one is lost."""
    await office.db.write(
        switch.set_active_scope, caller, scope.user or "", given.scope, office.clock()
    )
    return ShownActiveScope(active_scope=given.scope)


@scoped[1].get("/active-scope")
async def read_active_scope(office: TheOffice, scope: ReadScope) -> ShownActiveScope:
    """Show which configuration sends for the user."""
    person = await office.db.read(read_person, scope.user or "")
    personal = person is not None and person.active_scope == "personal"
    return ShownActiveScope(active_scope="personal" if personal else "global")


@on_each(scoped, "GET", "/password")
async def read_scope_password(
    caller: TheCaller, office: TheOffice, scope: WriteScope, response: Response
) -> ShownPassword:
    """Show the SMTP password to the owner that entered it, and to nobody else."""
    response.headers["Cache-Control"] = "no-store"
    password = await office.db.write(
        passwords.reveal_password, office.vault, caller, scope.name, office.clock()
    )
    return ShownPassword(password=password)


@on_each(scoped, "POST", "/secret")
async def enter_scope_password(
    caller: TheCaller, office: TheOffice, scope: WriteScope, response: Response, given: SecretBody
) -> Configuration:
    """Enter the SMTP password that the configuration waits for; held mail goes on."""
    at = office.clock()

    def run(tx: Connection) -> StoredAccount:
        return passwords.enter_password(tx, office.vault, caller, scope.name, given.password, at)

    return await change(office, scope, response, run, at)


@on_each(scoped, "POST", "/pause")
async def pause_scope(
    caller: TheAdmin, office: TheOffice, scope: WriteScope, response: Response
) -> Configuration:
    """Stop sending through this configuration's server; mail waits."""

    def run(tx: Connection) -> None:
        switch.pause(tx, caller, scope.name, office.clock())

    await office.db.write(run)
    return answer(response, *await office.db.read(read_shown, scope))


@on_each(scoped, "POST", "/resume")
async def resume_scope(
    caller: TheAdmin, office: TheOffice, scope: WriteScope, response: Response
) -> Configuration:
    """Send again, now: trouble with the server is forgotten too."""
    at = office.clock()

    def run(tx: Connection) -> StoredAccount:
        return switch.resume(tx, caller, scope.name, at)

    return await change(office, scope, response, run, at)
