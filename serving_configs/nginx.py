"""nginx.conf.template: TLS, bearer token, size and rate limits in front of the server."""

from __future__ import annotations

from serving_configs.serving_options import ServingOptions
from serving_configs.text import template


def render(
    options: ServingOptions,
    *,
    timeout_seconds: float,
    upstream: str = "serving",
    listen: str = "8443",
    tls_directory: str = "/etc/nginx/tls",
) -> str:
    """Directives for nginx's http block, with ``${GENSERVE_TOKEN}`` left to fill in."""
    return template(
        "nginx.conf.template.j2",
        options=options,
        upstream=upstream,
        listen=listen,
        tls_directory=tls_directory,
        timeout=round(timeout_seconds),
    )
