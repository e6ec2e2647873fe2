"""Awizo as mail providers know it: its client, its scopes, and where browsers come back to."""

from app.configuration.consent_state import ConsentGrant, ConsentProvider
from app.errors import Conflict
from app.settings import Settings
from app.wire import oauth
from app.wire.target import Secret

_GOOGLE_SCOPES = "https://mail.google.com/ openid email"
_OUTLOOK = "https://outlook.office.com"
_MICROSOFT_SCOPES = (
    f"{_OUTLOOK}/SMTP.Send {_OUTLOOK}/IMAP.AccessAsUser.All {_OUTLOOK}/POP.AccessAsUser.All "
    "offline_access openid email"
)
_APPLICATION_SCOPES = "https://outlook.office365.com/.default"


def find_client(settings: Settings, provider: ConsentProvider, grant: ConsentGrant) -> oauth.Client:
    """Return Awizo as ``provider`` knows it; raise ``Conflict`` ``oauth_not_configured``."""
    own = settings.oauth_google_client_id, settings.oauth_google_client_secret
    scopes, tenant = _GOOGLE_SCOPES, ""
    urls = settings.oauth_google_authorize_url, settings.oauth_google_token_url
    if provider == "microsoft":
        own = settings.oauth_microsoft_client_id, settings.oauth_microsoft_client_secret
        scopes, tenant = _MICROSOFT_SCOPES, settings.oauth_microsoft_tenant
        urls = settings.oauth_microsoft_authorize_url, settings.oauth_microsoft_token_url
    client_id, secret = own
    name = f"AWIZO_OAUTH_{provider.upper()}"
    if client_id is None:
        raise _not_configured(f"Set {name}_CLIENT_ID and {name}_CLIENT_SECRET.")
    if grant == "client_credentials":
        scopes = _APPLICATION_SCOPES
        if secret is None or tenant in ("", "common", "organizations", "consumers"):
            raise _not_configured(
                f"Client credentials need {name}_CLIENT_SECRET and a {name}_TENANT of your own."
            )
    return oauth.Client(
        authorize_url=urls[0].replace("{tenant}", tenant),
        token_url=urls[1].replace("{tenant}", tenant),
        client_id=client_id,
        secret=Secret(secret.get_secret_value()) if secret else None,
        scopes=scopes,
    )


def name_callback(settings: Settings) -> str:
    """Return the redirect URI; raise ``Conflict`` ``oauth_not_configured`` without a public URL."""
    if settings.public_url is None:
        raise _not_configured("Set AWIZO_PUBLIC_URL: the provider leads browsers back there.")
    return f"{settings.public_url}/oauth/callback"


def _not_configured(detail: str) -> Conflict:
    return Conflict(f"OAuth2 is not set up here. {detail}", code="oauth_not_configured")
