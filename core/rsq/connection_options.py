"""Options of both programs for TLS, tokens and limits. Only the programs import this: it needs
typer."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rsq.errors import BadInput

if TYPE_CHECKING:
    from rsq.rpc.endpoint import Endpoint, Target
    from rsq.rpc.limits import Limits
    from rsq.tls import ClientTls, ServerTls

SYSTEM_ROOTS = "system"


def _file(flag: str, help: str, variable: str) -> Any:
    return typer.Option(flag, help=help, metavar="FILE", envvar=variable)


TlsCert = Annotated[
    Path | None,
    _file("--tls-cert", "Encrypt with this certificate (PEM, leaf first).", "RSQ_TLS_CERT"),
]
TlsKey = Annotated[Path | None, _file("--tls-key", "Its private key.", "RSQ_TLS_KEY")]
TlsClientCa = Annotated[
    Path | None,
    _file(
        "--tls-client-ca",
        "Answer only callers with a certificate of this authority.",
        "RSQ_TLS_CLIENT_CA",
    ),
]
RequireToken = Annotated[
    bool,
    typer.Option(
        "--require-token",
        help="Ask for tokens on loopback too. Beyond loopback they are always asked for.",
    ),
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Allow a bind beyond loopback without TLS and tokens."),
]
CallRate = Annotated[
    float | None,
    typer.Option(
        "--call-rate",
        help="Calls a second that one caller may make. Default: no limit.",
        metavar="N",
        min=0.001,
    ),
]
ByteRate = Annotated[
    str | None,
    typer.Option(
        "--byte-rate",
        help="What one caller may send a second: 20MB. Default: no limit.",
        metavar="SIZE",
    ),
]

_TLS: dict[str, Any] = {
    "tls_ca": Annotated[
        str | None,
        _file(
            "--tls-ca",
            "Encrypt, and trust certificates of this authority (PEM); "
            f"`{SYSTEM_ROOTS}`: those that this system trusts.",
            "RSQ_TLS_CA",
        ),
    ],
    "tls_client_cert": Annotated[
        Path | None,
        _file("--tls-client-cert", "Certificate to show to who asks.", "RSQ_TLS_CLIENT_CERT"),
    ],
    "tls_client_key": Annotated[
        Path | None, _file("--tls-client-key", "Its private key.", "RSQ_TLS_CLIENT_KEY")
    ],
}
_SERVER_TOKEN: dict[str, Any] = {
    "token_file": Annotated[
        Path | None, _file("--token-file", "File with the token for the server.", "RSQ_TOKEN_FILE")
    ]
}
_AGENT_TOKEN: dict[str, Any] = {
    "agent_token_file": Annotated[
        Path | None,
        _file("--token-file", "File with the token for the agent.", "RSQ_AGENT_TOKEN_FILE"),
    ]
}
_SECOND_TOKEN: dict[str, Any] = {
    "agent_token_file": Annotated[
        Path | None,
        _file(
            "--agent-token-file",
            "File with the token for the agent that runs on this node.",
            "RSQ_AGENT_TOKEN_FILE",
        ),
    ]
}
_MIRROR_TOKEN: dict[str, Any] = {
    "mirror_token_file": Annotated[
        Path | None,
        _file("--mirror-token-file", "File with the token for mirrors.", "RSQ_MIRROR_TOKEN_FILE"),
    ]
}
# What the command that runs was given.
_GIVEN: ContextVar[dict[str, Any]] = ContextVar("connection", default={})  # noqa: B039 - never changed


def calls_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options for TLS and for the token of the server that it calls."""
    return _with_options(command, {**_TLS, **_SERVER_TOKEN})


def calls_agent(command: Callable[..., Any]) -> Callable[..., Any]:
    """As `calls_server`, for a command that calls an agent."""
    return _with_options(command, {**_TLS, **_AGENT_TOKEN})


def calls_both(command: Callable[..., Any]) -> Callable[..., Any]:
    """As `calls_server`, for a command that also calls the agent on its node."""
    return _with_options(command, {**_TLS, **_SERVER_TOKEN, **_SECOND_TOKEN})


def calls_mirrors(command: Callable[..., Any]) -> Callable[..., Any]:
    """As `calls_both`, for a command that also calls mirrors: none of them is shown the token of
    another."""
    return _with_options(command, {**_TLS, **_SERVER_TOKEN, **_SECOND_TOKEN, **_MIRROR_TOKEN})


def server_endpoint(address: str) -> Endpoint:
    """The server at `address`, called as the running command's options say. Raises BadInput, and
    BadSecret for a file at fault."""
    return _endpoint(address, "token_file")


def agent_endpoint(address: str) -> Endpoint:
    """As `server_endpoint`, for an agent."""
    return _endpoint(address, "agent_token_file")


def mirror_endpoint(address: str) -> Endpoint:
    """As `server_endpoint`, for a mirror."""
    return _endpoint(address, "mirror_token_file")


def server_arguments(target: Target) -> list[str]:
    """The options of another process that is to call the server at `target`."""
    from rsq.rpc.endpoint import to_endpoint

    endpoint = to_endpoint(target)
    arguments = ["--server", endpoint.address]
    if endpoint.tls is not None:
        arguments += ["--tls-ca", str(endpoint.tls.ca or SYSTEM_ROOTS)]
        if endpoint.tls.certificate is not None:
            arguments += ["--tls-client-cert", str(endpoint.tls.certificate)]
            arguments += ["--tls-client-key", str(endpoint.tls.key)]
    return arguments + _token_arguments("--token-file", endpoint)


def agent_arguments(target: Target) -> list[str]:
    """As `server_arguments`, for the agent on this node and a command that calls both."""
    from rsq.rpc.endpoint import to_endpoint

    endpoint = to_endpoint(target)
    return ["--agent", endpoint.address, *_token_arguments("--agent-token-file", endpoint)]


def _token_arguments(option: str, endpoint: Endpoint) -> list[str]:
    return [option, str(endpoint.token)] if isinstance(endpoint.token, Path) else []


def server_tls(
    certificate: Path | None, key: Path | None, client_ca: Path | None
) -> ServerTls | None:
    """None where none of them is given. Raises BadInput for half a pair, and what is wrong with the
    files."""
    if certificate is None and key is None:
        if client_ca is not None:
            raise BadInput("--tls-client-ca needs --tls-cert and --tls-key as well.")
        return None
    if certificate is None or key is None:
        raise BadInput("--tls-cert and --tls-key go together.")
    from rsq.tls import ServerTls

    return ServerTls(certificate, key, client_ca)


def caller_limits(call_rate: float | None, byte_rate: str | None) -> Limits:
    """Raises BadInput for a size that is none."""
    from rsq.rpc.limits import Limits
    from rsq.units import parse_size

    return Limits(call_rate, parse_size(byte_rate) if byte_rate is not None else None)


def _endpoint(address: str, token_option: str) -> Endpoint:
    from rsq.rpc.endpoint import Endpoint

    given = _GIVEN.get()
    endpoint = Endpoint(address, _client_tls(given), given.get(token_option))
    endpoint.read_token()  # rather than after minutes of work
    return endpoint


def _client_tls(given: dict[str, Any]) -> ClientTls | None:
    ca, certificate, key = (given.get(name) for name in _TLS)
    if (certificate is None) != (key is None):
        raise BadInput("--tls-client-cert and --tls-client-key go together.")
    if ca is None:
        if certificate is not None:
            raise BadInput(
                f"--tls-client-cert needs --tls-ca FILE as well, or --tls-ca {SYSTEM_ROOTS}."
            )
        return None
    from rsq.tls import ClientTls

    return ClientTls(None if ca == SYSTEM_ROOTS else Path(ca), certificate, key)


def _with_options(command: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    """`command` with more options, whose values it finds in `_GIVEN`. The parser reads signatures,
    so that is where they are added."""
    signature = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(**arguments: Any) -> Any:
        _GIVEN.set({name: arguments.pop(name) for name in options})
        return command(**arguments)

    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in options.items()
    ]
    whole = signature.replace(parameters=[*signature.parameters.values(), *added])
    run.__signature__ = whole  # type: ignore[attr-defined]
    run.__annotations__ = {name: item.annotation for name, item in whole.parameters.items()}
    return run
