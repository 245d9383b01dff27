"""nginx.conf.template: TLS, bearer token, guard, size and rate limits in front of the server."""

from __future__ import annotations

from serving_configs.serving_options import ServingOptions
from serving_configs.text import template

# Where the container finds the guard's script.
GUARD_FILE = "/etc/nginx/guard.js"
GATEWAY_PORT = 8080
# The guard's module is in the stock image, but not loaded by its nginx.conf.
COMMAND = ("nginx", "-g", "load_module modules/ngx_http_js_module.so; daemon off;")


def render(
    options: ServingOptions,
    *,
    timeout_seconds: float,
    upstream: str = "serving",
    listen: str = "8443",
    tls_directory: str = "/etc/nginx/tls",
    guard_file: str = GUARD_FILE,
    gateway: str = f"gateway:{GATEWAY_PORT}",
) -> str:
    """Directives for nginx's http block, with ``${GENSERVE_TOKEN}`` left to fill in."""
    return template(
        "nginx.conf.template.j2",
        options=options,
        upstream=upstream,
        listen=listen,
        tls_directory=tls_directory,
        guard_file=guard_file,
        gateway=gateway,
        timeout=round(timeout_seconds),
    )
