"""`Proxies`: which proxy the environment asks for (http_proxy, https_proxy, all_proxy, no_proxy)."""

from __future__ import annotations

from atonce.http.address import Address


class NoProxy(ValueError):
    """The environment asks for a proxy that cannot be used."""


class Proxies:
    """The proxies of the environment, read once for each client.

    As with curl and Python's own urllib: `no_proxy` is honoured, and an HTTP_PROXY in capitals is not trusted inside a
    CGI script, where a visitor could set it. As in Go: never for localhost and loopback addresses.
    """

    def __init__(self, by_scheme: dict[str, str]) -> None:
        self._by_scheme = by_scheme

    @classmethod
    def of_environment(cls) -> Proxies | None:
        """The proxies of the environment, None when there are none."""
        from urllib.request import getproxies_environment

        found = getproxies_environment()
        schemes = {scheme: found.get(scheme) or found.get("all") for scheme in ("http", "https")}
        named = {scheme: proxy for scheme, proxy in schemes.items() if proxy}
        if not named:
            return None
        if "no" in found:
            named["no"] = found["no"]
        return cls(named)

    def for_address(self, address: Address) -> str | None:
        """The proxy for a message to `address`, None to go straight there; `NoProxy` when it cannot be used."""
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]  # typeshed lacks it

        proxy = self._by_scheme.get(address.scheme)
        if (
            proxy is None
            or address.host == "localhost"
            or address.host.startswith("127.")
            or address.host == "[::1]"
        ):
            return None
        if proxy_bypass_environment(f"{address.host}:{address.port}", dict(self._by_scheme)):
            return None
        scheme, found, _ = proxy.partition("://")
        if found and scheme.lower() not in ("http", "https"):
            raise NoProxy(
                f"the environment asks for a proxy of the kind {scheme}:, only http: and https: are spoken; "
                "set no_proxy, or pass a client= of your own"
            )
        return proxy if found else f"http://{proxy}"
