"""What a page may run and show: nothing but what comes from here."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'"
)


def allow_styles(nonce: str) -> str:
    """Return the policy of a page whose editor writes its own style sheet, marked with ``nonce``."""
    return POLICY.replace("style-src 'self'", f"style-src 'self' 'nonce-{nonce}'")
