"""The door: what is served is loaded and checked, an address is opened, and the server ends when it is told to.

On SIGTERM or Ctrl-C new requests get a 503, open answers are finished for END_SECONDS at most, and the process ends
with code 0. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import shlex
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from luthier.errors import FolderError, SettingsError
from luthier.files import possible
from luthier.machine import LOCAL_HOSTS, keep_freed_memory
from luthier.serving.agreement import agreement
from luthier.serving.app import make_app
from luthier.serving.engine import MOST_STREAMS, MOST_WAITING, Engine
from luthier.serving.guard import Rules
from luthier.serving.served import Served, load_served

END_SECONDS = 30.0
IDLE_SECONDS = 30  # that a connection may stay open without a whole head of a request
FEWEST_KEY_LETTERS = 16
LARGEST_PORT, LARGEST_STREAMS, LARGEST_QUEUE = 65_535, 64, 100_000


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def serve(
    sources: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    arms: Sequence[str] = (),
    key_file: Path | None = None,
    allowed_hosts: Sequence[str] = (),
    streams: int = MOST_STREAMS,
    queue: int = MOST_WAITING,
    per_client: int | None = None,
    verify: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Serves studies, arms' folders and models until a signal ends it.

    host: anything but this machine itself needs a `key_file`, whose only line clients send as a bearer key.
    allowed_hosts: further names under which clients may ask. streams: answers that are written at once; queue:
    requests that may wait; per_client: answers, written or waiting, of one client's address. verify: every arm is asked
    its probes first, which must be answered as measured, and then as many test prompts as there are streams, of which
    it is said how many are. say: gets these lines, and those that tell where to ask.
    Raises LuthierError for what cannot be served.
    """
    _refuse_outside("the port", port, 0, LARGEST_PORT)
    _refuse_outside("the number of answers at once", streams, 1, LARGEST_STREAMS)
    _refuse_outside("the number of requests that may wait", queue, 0, LARGEST_QUEUE)
    if per_client is not None:
        _refuse_outside("the number of answers at once for one client", per_client, 1, LARGEST_QUEUE)
    rules = rules_for(host, key_file, allowed_hosts)
    with contextlib.closing(_listening(host, port)) as listening:
        served = load_served(sources, arms, check_probes=verify)
        engine = Engine(streams=streams, waiting=queue, per_client=per_client)
        hello = _hello(served, Address(host, listening.getsockname()[1]), key_file)
        with _started(engine):
            if verify:
                _say_agreement(served, streams, say)
            _run(served, engine, rules, listening, END_SECONDS, lambda: say(hello))


def _say_agreement(served: Mapping[str, Served], streams: int, say: Callable[[str], None]) -> None:
    """Says of every arm how many test answers come again. By an engine of its own: the server's counts begin at 0."""
    with _started(Engine(streams=streams)) as engine:
        for one in served.values():
            if (found := agreement(one, engine)) is not None:
                say(found.sentence)


def serve_open(
    sources: Sequence[str],
    *,
    host: str,
    port: int,
    end_seconds: float = END_SECONDS,
    say: Callable[[str], None] = print,
) -> None:
    """Serves under every host name and without a key until a signal ends it: for a container that only what has checked
    its clients can reach, such as an endpoint of SageMaker. Open answers get `end_seconds` to finish.
    """
    with contextlib.closing(_listening(host, port)) as listening:
        served = load_served(sources)
        address = Address(host, listening.getsockname()[1])
        opened = f"Serving {', '.join(served)} at {address.url}/invocations"
        with _started(Engine()) as engine:
            _run(served, engine, Rules(any_host=True), listening, end_seconds, lambda: say(opened))


@contextlib.contextmanager
def _started(engine: Engine) -> Iterator[Engine]:
    """The engine while the block runs."""
    engine.start()
    try:
        yield engine
    finally:
        engine.close(0)


def _run(
    served: Mapping[str, Served],
    engine: Engine,
    rules: Rules,
    listening: socket.socket,
    end_seconds: float,
    when_open: Callable[[], None],
) -> None:
    """The server, from its first request to its last."""
    keep_freed_memory()
    server = _Server(_configuration(served, engine, rules), engine, end_seconds)
    server.when_open = when_open
    server.run(sockets=[listening])


@contextlib.contextmanager
def serving(
    served: Mapping[str, Served],
    *,
    rules: Rules | None = None,
    streams: int = MOST_STREAMS,
    queue: int = MOST_WAITING,
    per_client: int | None = None,
) -> Iterator[tuple[str, Engine]]:
    """A server on a free port of this machine while the block runs: (its address, its engine). For notebooks."""
    engine = Engine(streams=streams, waiting=queue, per_client=per_client)
    with contextlib.closing(_listening("127.0.0.1", 0)) as listening:
        server = _Server(_configuration(served, engine, rules or Rules()), engine)
        is_open = threading.Event()
        server.when_open = is_open.set
        engine.start()
        thread = threading.Thread(target=lambda: server.run(sockets=[listening]), name="server", daemon=True)
        thread.start()
        is_open.wait()
        try:
            yield Address("127.0.0.1", listening.getsockname()[1]).url, engine
        finally:
            server.end()
            thread.join()


def _refuse_outside(what: str, value: int, least: int, most: int) -> None:
    if not isinstance(value, int) or not least <= value <= most:
        raise SettingsError(f"{what} is {value!r}; give a whole number from {least} to {most}")


def rules_for(host: str, key_file: Path | None, allowed_hosts: Sequence[str]) -> Rules:
    """The guard's rules. Raises SettingsError for an address off this machine without a key, or a key that is none."""
    local = host in LOCAL_HOSTS
    if not local and key_file is None:
        raise SettingsError(
            f"--host {host}: others could ask without a key; name a file that holds one with --key-file, or leave "
            "--host out"
        )
    hosts = LOCAL_HOSTS | {host.lower()} | {name.lower() for name in allowed_hosts}
    return Rules(hosts=hosts, key=None if key_file is None else _key(key_file), any_address=not local)


def _key(path: Path) -> str:
    possible(path)
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FolderError(f"{path}: the key cannot be read ({getattr(error, 'strerror', None) or 'no text'})") from None
    if not (key.isascii() and key.isprintable() and " " not in key and len(key) >= FEWEST_KEY_LETTERS):
        raise SettingsError(
            f"{path}: a key is one line of at least {FEWEST_KEY_LETTERS} letters without blanks; make one with: "
            f"python -c 'import secrets; print(secrets.token_urlsafe(32))' > {shlex.quote(str(path))}"
        )
    return key


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises SettingsError where that is not possible."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(2048)
        except OSError:
            listening.close()
            raise
    except ValueError:  # a zero byte, or letters of no name
        raise SettingsError(f"--host {host!r}: no machine can have this name; give a name or an address") from None
    except OSError as error:
        taken = "; another program listens there, give another --port" if error.errno == errno.EADDRINUSE else ""
        raise SettingsError(f"{host}:{port}: cannot listen there ({error.strerror or error}){taken}") from None
    return listening


def _configuration(served: Mapping[str, Served], engine: Engine, rules: Rules) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(served, engine, rules), log_config=None, access_log=False, server_header=False,
        timeout_keep_alive=IDLE_SECONDS, timeout_graceful_shutdown=5, lifespan="off", ws="none", http=_Connection,
    )  # fmt: skip


class _Connection(H11Protocol):
    """uvicorn's connection, closed also where no first request comes, or the rest of one's head does not.

    uvicorn waits for those for ever, so that clients without a key could take every file that the process may open.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._watch()

    def _watch(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left <= 0 and not is_answering:
            return self.transport.close()
        self._watching = self.loop.call_later(left if left > 0 else self.timeout_keep_alive, self._watch)

    def on_response_complete(self) -> None:
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watching.cancel()
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """uvicorn's server, which ends after the engine: open answers first."""

    def __init__(self, configuration: uvicorn.Config, engine: Engine, end_seconds: float = END_SECONDS) -> None:
        super().__init__(configuration)
        self.engine, self.end_seconds = engine, end_seconds
        self.when_open: Callable[[], None] = lambda: None
        self._ending = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.when_open()

    def handle_exit(self, sig: int, frame: Any) -> None:
        if self._ending:
            self.force_exit = self.should_exit = True
            return
        self._ending = True
        threading.Thread(target=self.end, name="end", daemon=True).start()

    def end(self) -> None:
        """Refuses what is new, lets open answers end, and then stops listening."""
        self.engine.close(self.end_seconds)
        self.should_exit = True


def _hello(served: Mapping[str, Served], address: Address, key_file: Path | None) -> str:
    """What is served, where, and a command to try."""
    first = next(iter(served))
    body = f'{{"model": "{first}", "messages": [{{"role": "user", "content": "..."}}]}}'
    key = f' -H "Authorization: Bearer $(cat {shlex.quote(str(key_file))})"' if key_file else ""
    kind = "-H 'Content-Type: application/json'"
    return (
        f"Serving {', '.join(served)} at {address.url}/v1\n"
        f"curl {address.url}/v1/chat/completions{key} {kind} -d {shlex.quote(body)}"
    )
