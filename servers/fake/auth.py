"""Who may call what, by SGLang's rules. Pure."""

from __future__ import annotations

import secrets

OPEN_PREFIXES = ("/health", "/ready", "/metrics")

CONTROL = frozenset(
    {
        "/abort_request",
        "/continue_generation",
        "/flush_cache",
        "/pause_generation",
        "/update_weight_version",
        "/update_weights_from_disk",
    }
)
"""Routes for the admin key; where there is none they ask for the API key, and without either for nothing."""


def allowed(path: str, header: str | None, *, api_key: str | None, admin_api_key: str | None) -> bool:
    """Whether a request with this Authorization header may pass. The admin key does not open other routes."""
    if path.startswith(OPEN_PREFIXES):
        return True
    needed = (admin_api_key or api_key) if path in CONTROL else api_key
    return needed is None or _bears(header, needed)


def _bears(header: str | None, key: str) -> bool:
    scheme, _, token = (header or "").partition(" ")
    return scheme.lower() == "bearer" and secrets.compare_digest(token.encode(), key.encode())
