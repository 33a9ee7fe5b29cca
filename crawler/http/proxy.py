"""Reads from the environment which proxy a server is reached by: HTTP_PROXY, HTTPS_PROXY, NO_PROXY."""

from urllib.request import getproxies, proxy_bypass

from crawler.config.urls import Address, parse_address


def proxy_for(address: Address) -> str | None:
    """Return the proxy's URL, with its user info; None for a direct connection.

    aiohttp's `trust_env` would look up the same, but also add credentials from ~/.netrc that nobody asked
    for, fail when there are some beside ours, and hop to a thread twice for every request.
    """
    proxy = getproxies().get(address.scheme)
    if not proxy or proxy_bypass(address.host):
        return None
    # curl's habit, which the other tools follow: a proxy may be written without its scheme.
    return proxy if "://" in proxy else f"http://{proxy}"


def parse_proxy(proxy: str) -> Address:
    """Return the proxy's address; SettingsError unless it is an HTTP proxy (not for socks5://)."""
    hint = "Only HTTP proxies work: see HTTP_PROXY and HTTPS_PROXY, or except the host in NO_PROXY."
    return parse_address(proxy, "The URL of the proxy", hint)
