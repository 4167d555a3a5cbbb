"""Refuse addresses that a public page must not make us fetch: loopback, private, link-local.

A resolver wraps the system's, so that the addresses checked are the ones connected to, after
every redirect too (server-side request forgery, OWASP).
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

REASON = "private_address"


class PrivateAddressError(OSError):
    """A host resolves to an address outside the public internet."""


def is_public(address: str) -> bool:
    """Tell whether an IP address is on the public internet."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_global and not parsed.is_multicast


def check_literal(url: str) -> None:
    """Refuse a URL whose host is a private IP address as such: it is never resolved.

    Raises:
        PrivateAddressError: naming the address.
    """
    host = urlsplit(url).hostname or ""
    try:
        public = is_public(host)
    except ValueError:
        return  # a name: the resolver sees it
    if not public:
        raise PrivateAddressError(f"{host} is not a public address")


class PublicResolver(AbstractResolver):
    """Resolves names and refuses those that lead to private addresses."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            PrivateAddressError: when any of them is not public.
        """
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            if not is_public(result["host"]):
                raise PrivateAddressError(f"{host} is {result['host']}, not a public address")
        return found

    async def close(self) -> None:
        """Release the system resolver."""
        await self._resolver.close()
