"""The API's doors: every router, and what OpenAPI says about them all.

A new router module is imported here and added to ``ROUTERS``; nothing else registers endpoints.
"""

from fastapi import APIRouter

from app.api.account_rights import router as account_rights_router
from app.api.accounts import router as accounts_router
from app.api.audit import router as audit_router
from app.api.auto_reply import router as auto_reply_router
from app.api.batch import router as batch_router
from app.api.batches import router as batches_router
from app.api.config import router as config_router
from app.api.config import scoped as scoped_config_routers
from app.api.config_switch import scoped as switch_routers
from app.api.consent import router as consent_router
from app.api.describe import describe_api
from app.api.domains import router as domains_router
from app.api.events import router as events_router
from app.api.inbox import router as inbox_router
from app.api.inbox_forward import router as inbox_forward_router
from app.api.keys import router as keys_router
from app.api.messages import router as messages_router
from app.api.oauth_callback import router as oauth_callback_router
from app.api.password_links import router as password_links_router
from app.api.portable import router as portable_router
from app.api.probe import router as probe_router
from app.api.providers import router as providers_router
from app.api.scope_templates import scoped as scoped_template_routers
from app.api.send import router as send_router
from app.api.state import router as state_router
from app.api.suppressions import router as suppressions_router
from app.api.suppressions_file import export_router, import_router
from app.api.templates import router as templates_router
from app.api.unsubscribe import router as unsubscribe_router
from app.api.users import router as users_router
from app.api.webhooks import router as webhooks_router
from app.api.workers import router as workers_router

__all__ = ["ROUTERS", "describe_api"]

ROUTERS: list[APIRouter] = [
    send_router,  # first: a request is compared with one router after the other
    batch_router,
    batches_router,
    keys_router,
    users_router,
    audit_router,
    state_router,
    workers_router,
    messages_router,
    events_router,
    inbox_router,
    inbox_forward_router,
    webhooks_router,
    export_router,  # before the suppression that has this id
    import_router,
    suppressions_router,
    unsubscribe_router,
    probe_router,
    providers_router,
    portable_router,
    config_router,
    accounts_router,
    account_rights_router,
    auto_reply_router,
    password_links_router,
    consent_router,
    oauth_callback_router,
    domains_router,
    *scoped_config_routers,
    *switch_routers,
    templates_router,
    *scoped_template_routers,
]
