"""URLs as names of files: what is one, what it may hold, and how it is shown."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from astroclean.errors import ConfigurationError, OutputError

__all__ = [
    "SCHEMES",
    "UrlPath",
    "check_url",
    "is_url",
    "is_web",
    "path_or_url",
    "refuse_url",
    "shown_url",
    "with_lower_scheme",
]

SCHEMES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
"""Scheme to the package that fsspec needs for it."""
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_SECRET = re.compile(
    r"(^|[-_])(signature|sig|credential|security-token|token|secret|password|passwd|pwd|auth"
    r"|authorization|api[-_]?key|access[-_]?key(id)?|key)$|^x-(amz|goog)-",
    re.IGNORECASE,
)
"""Names of the parameters of a query that hold a secret, as those of signed URLs do."""


def is_url(name: str | Path) -> bool:
    """Return whether a name is a URL (``s3://...``) and not the path of a file."""
    return isinstance(name, UrlPath) or bool(_URL.match(str(name)))


def path_or_url(name: str | Path) -> Path:
    """Return the name of a folder or file as a path, or as a `UrlPath` where it is a URL.

    A path that was made of a URL has lost a slash and gets it back: no folder is meant by ``s3:/``.
    """
    text = str(name)
    scheme, slash, rest = text.partition(":/")
    if isinstance(name, UrlPath) or not slash or scheme.lower() not in SCHEMES:
        return name if isinstance(name, Path) else Path(name)
    return UrlPath(f"{scheme.lower()}://{rest.strip('/')}")


def refuse_url(output: Path, *, what: str) -> None:
    """Refuse a URL as the folder of what is not put into stores: a path would be made of it.

    Parameters
    ----------
    output : Path
        The folder, as it was given.
    what : str
        What is written there, in the plural.

    Raises
    ------
    OutputError
        It is, or was, a URL.
    """
    if is_url(path_or_url(output)):
        raise OutputError(
            f"{what} are written to a folder of a file system, not to a URL",
            where=shown_url(str(path_or_url(output))),
            remedy="Name a folder with -o, and copy it.",
        )


def is_web(url: str | Path) -> bool:
    """Return whether a URL is that of a web server, which lists no folders."""
    return str(url).lower().startswith(("http://", "https://"))


class UrlPath(type(Path())):  # type: ignore[misc]
    """A URL where the path of a file is asked for: it has a name and a parent, and is no file.

    Opening it fails, as no file has this name: `astroclean.io.remote.staging` fetches it.
    """

    __slots__ = ()

    def __str__(self) -> str:
        # A path has no empty parts, so that of `s3://` has become `s3:/`.
        return with_lower_scheme(str(super().__str__()).replace(":/", "://", 1))

    def __fspath__(self) -> str:
        return str(self)

    @property
    def name(self) -> str:
        """Last part, of which the names of outputs are made: without a query, decoded."""
        name = str(super().name)
        if not is_web(self):
            return name
        return unquote(name.partition("?")[0]).replace("/", "_") or name


def with_lower_scheme(url: str) -> str:
    """Return a URL with its scheme as stores know it: ``S3://`` is ``s3://``."""
    scheme, separator, rest = url.partition("://")
    return scheme.lower() + separator + rest


def check_url(url: str) -> None:
    """Refuse a URL that cannot be used, or must not be written down.

    Parameters
    ----------
    url : str
        Without the address of an HDU.

    Raises
    ------
    ConfigurationError
        It holds a secret, which would end in records; its scheme is unknown; or it is not the name
        of one file. The message holds no secret either.
    """
    parts = urlsplit(url)
    shown = shown_url(url)
    if "@" in parts.netloc or any(_SECRET.search(key) for key, _ in _query(url)):
        raise ConfigurationError(
            f"{shown}: a URL with a user, password, token or signature is refused, since URLs are "
            "written into records. Give credentials by the environment or a profile, as the "
            "how-to on object stores says, or fetch the file first."
        )
    if parts.scheme.lower() not in SCHEMES:
        raise ConfigurationError(
            f"{shown}: the scheme '{parts.scheme}' is not known; there are "
            f"{', '.join(f'{scheme}://' for scheme in SCHEMES)}. Fetch the file first."
        )
    if not parts.netloc or str(UrlPath(url)) != with_lower_scheme(url).rstrip("/") or "\0" in url:
        raise ConfigurationError(
            f"{shown}: is no usable URL. It names a bucket or server first, and no part of it is "
            "empty or '.'."
        )


def shown_url(url: str) -> str:
    """Return a URL as it may be shown: without user, password and query."""
    before, separator, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    shown = before + separator + host.rpartition("@")[2] + slash + path
    return shown.partition("?")[0] + "?..." if _query(url) else shown


def _query(url: str) -> list[tuple[str, str]]:
    # `?` is a character of keys, and of globs, in object stores.
    return parse_qsl(urlsplit(url).query, keep_blank_values=True) if is_web(url) else []
