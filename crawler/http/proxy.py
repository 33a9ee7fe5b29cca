"""Reads from the environment by which proxy a server is reached, as requests does: ALL_PROXY and networks too.

DataHub's and MLflow's clients are made of requests, so the same variables must lead to the same servers.
"""

import ipaddress
import socket
from collections.abc import Container
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from crawler.settings.urls import Address, parse_address


def proxy_for(address: Address) -> str | None:
    """Return the proxy's URL, with its user info; None for a direct connection.

    aiohttp's `trust_env` would look up the same, but also add credentials from ~/.netrc that nobody asked
    for, fail when there are some beside ours, and hop to a thread twice for every request.
    """
    proxies = getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy or is_excepted(address, proxies.get("no", "")):
        return None
    # curl's habit, which the other tools follow: a proxy may be written without its scheme.
    return proxy if "://" in proxy else f"http://{proxy}"


def is_excepted(address: Address, no_proxy: str) -> bool:
    """True if NO_PROXY, a list with commas, excepts a server: by its host, a domain of it, its network, or `*`.

    requests knows no networks of IPv6 and no brackets around its addresses; they are unmistakable, so they count here.
    """
    host = address.hostname
    excepted = [each for each in no_proxy.replace(" ", "").split(",") if each]
    if (ip := _ipv4(host)) is not None:
        by_list = any(host == each or ip in _ipv4_network(each) for each in excepted)
    elif ":" in host:
        by_list = any(_holds_ipv6(each, host) for each in excepted)
    else:
        domains = [each.lstrip(".") for each in excepted]
        names = (host, urlsplit(address.url).netloc.lower())
        by_list = any(name == each or name.endswith(f".{each}") for name in names for each in domains)
    return by_list or bool(proxy_bypass(host))


def parse_proxy(proxy: str) -> Address:
    """Return the proxy's address; SettingsError unless it is an HTTP proxy (not for socks5://)."""
    hint = "Only HTTP proxies work: see HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, or except the host in NO_PROXY."
    return parse_address(proxy, "The URL of the proxy", hint)


def _ipv4(text: str) -> ipaddress.IPv4Address | None:
    try:
        # As requests does, which takes 127.1 for an address.
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except (OSError, UnicodeEncodeError):
        return None


def _ipv4_network(text: str) -> Container[ipaddress.IPv4Address]:
    start, _, bits = text.partition("/")
    first = _ipv4(start)
    if first is None or not bits.isdecimal() or not 1 <= int(bits) <= ipaddress.IPV4LENGTH:
        return ()
    return ipaddress.IPv4Network((int(first), int(bits)), strict=False)


def _holds_ipv6(excepted: str, host: str) -> bool:
    try:
        return ipaddress.IPv6Address(host) in ipaddress.IPv6Network(excepted.strip("[]"), strict=False)
    except ValueError:
        return False
