"""Every screen's endpoints; the order of the menu stands in ``menu``."""

from collections.abc import Sequence

from fastapi import APIRouter

from app.web.assets import router as assets_router
from app.web.screens.account_consent import router as consent_router
from app.web.screens.account_rights import router as rights_router
from app.web.screens.accounts import router as accounts_router
from app.web.screens.audit import router as audit_router
from app.web.screens.auto_reply import router as auto_reply_router
from app.web.screens.compose import router as compose_router
from app.web.screens.config import router as config_router
from app.web.screens.domains import router as domains_router
from app.web.screens.explain import router as explain_router
from app.web.screens.inbox import router as inbox_router
from app.web.screens.inbox_one import router as incoming_router
from app.web.screens.keys import router as keys_router
from app.web.screens.messages import router as messages_router
from app.web.screens.messages_one import router as message_router
from app.web.screens.overview import router as overview_router
from app.web.screens.password import router as password_router
from app.web.screens.person import router as person_router
from app.web.screens.portable import router as portable_router
from app.web.screens.probe import router as probe_router
from app.web.screens.sign_in import router as sign_in_router
from app.web.screens.start import router as start_router
from app.web.screens.suppressions import router as suppressions_router
from app.web.screens.system import router as system_router
from app.web.screens.templates import router as templates_router
from app.web.screens.templates_edit import router as editor_router
from app.web.screens.templates_versions import router as versions_router
from app.web.screens.webhooks import router as webhooks_router

ROUTERS: Sequence[APIRouter] = (
    assets_router,
    sign_in_router,
    overview_router,
    start_router,
    messages_router,
    message_router,
    inbox_router,
    incoming_router,
    compose_router,
    templates_router,
    editor_router,
    versions_router,
    explain_router,
    config_router,
    probe_router,
    accounts_router,
    rights_router,
    auto_reply_router,
    consent_router,
    password_router,
    person_router,
    domains_router,
    portable_router,
    suppressions_router,
    keys_router,
    webhooks_router,
    audit_router,
    system_router,
)
