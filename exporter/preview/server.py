"""The preview server: TensorFlow Serving's surface in Python, for development and tests only."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn

from exporter.errors import ServingError
from exporter.preview import grpc_services, model_config, rest
from exporter.preview.batching import PER_MODEL_FILE, Scheduler, read_parameters
from exporter.preview.config import ServerConfig, credentials, metrics_path
from exporter.preview.core import Core
from exporter.preview.manager import Manager
from exporter.preview.metrics import Metrics
from exporter.preview.servable import Servable
from exporter.preview.status import StatusError

logger = logging.getLogger(__name__)

NOTICE = (
    "This is genserve's preview server. It answers as TensorFlow Serving does, and is for development and "
    "tests only: not reviewed for security, and slower than the real server."
)
# gRPC calls in work at once; more wait in the sockets.
WORKERS = 128
_GRACE_SECONDS = 30.0


class PreviewServer:
    """Starts, watches and stops the server; usable as a context manager.

        with PreviewServer(ServerConfig(model_config_file=path, rest_port=0, grpc_port=0)) as server:
            RestClient(server.rest_url, "stories").predict(...)

    The ports open only after every configured model is loaded and warmed up.
    """

    def __init__(self, config: ServerConfig, page: Callable[[str], rest.Page] | None = None) -> None:
        """``page`` makes a page's routes from HOST:PORT of the gRPC server."""
        if (config.model_config_file is None) == (config.model_base_path is None):
            raise ServingError("give either model_config_file or model_base_path")
        self.config, self._page = config, page
        self.metrics = Metrics()
        self.rest_port: int | None = None
        self.grpc_port: int | None = None
        self._scheduler = _scheduler(config, self.metrics)
        self._manager = Manager(
            prepare=self._prepare,
            loaded=lambda path, success: self.metrics.count_load(str(path), success=success),
            warmed=lambda path, seconds: self.metrics.observe_warmup(str(path), seconds * 1e6),
            labels_before_available=config.allow_version_labels_for_unavailable_models,
            warm=config.enable_model_warmup,
        )
        self._executor = ThreadPoolExecutor(config.rest_api_num_threads, thread_name_prefix="rest")
        self._stopping = threading.Event()
        self._cancelled = threading.Event()
        self._threads: list[threading.Thread] = []
        self._uvicorn: uvicorn.Server | None = None
        self._grpc: Any = None
        self._config_text = ""

    @property
    def rest_url(self) -> str:
        return f"http://{self.config.host}:{self.rest_port}"

    @property
    def grpc_target(self) -> str:
        return f"{self.config.host}:{self.grpc_port}"

    def start(self) -> None:
        """Loads and warms up every model, then opens the ports; blocks until then.

        Raises:
          ServingError: a file is wrong, a model cannot be loaded or its warmup fails, a port is taken.
        """
        logger.warning(NOTICE)
        try:
            self._check()
            self._load()
            core = Core(self._manager, self.metrics, self._model_root())
            if self.config.grpc_port is not None:
                self._start_grpc(core)
            if self.config.rest_port is not None:
                self._start_rest(core)
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        if self.config.poll_seconds > 0:
            self._spawn(self._poll, "poll")

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Waits until every model has an AVAILABLE version; raises ServingError after ``timeout`` seconds."""
        waited = threading.Event()
        for _ in range(max(1, int(timeout * 20))):
            if self._manager.ready():
                return
            waited.wait(0.05)
        raise ServingError(
            "models are not available: " + ("; ".join(self._manager.failures()) or "no version")
        )

    def cancel(self) -> None:
        """Ends a ``start`` that waits for models, from another thread or a signal handler."""
        self._cancelled.set()

    def stop(self, grace_seconds: float = _GRACE_SECONDS) -> None:
        """Stops taking requests, answers those in flight, and unloads the models. Safe to call twice."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._scheduler is not None:
            self._scheduler.release()
        stopped = self._grpc.stop(grace_seconds) if self._grpc is not None else None
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True
        for thread in self._threads:
            thread.join(grace_seconds + 5)
        if stopped is not None:
            stopped.wait(grace_seconds)
        self._manager.close()
        if self._scheduler is not None:
            self._scheduler.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> PreviewServer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _model_root(self) -> Path:
        file = self.config.model_config_file
        return file.resolve().parent.parent if file is not None else Path("/")

    def _prepare(self, servable: Servable) -> None:
        if self._scheduler is None:
            return
        if not self.config.enable_per_model_batching_parameters:
            self._scheduler.wrap(servable)
        elif (servable.directory / PER_MODEL_FILE).exists():
            self._scheduler.wrap(servable, read_parameters(servable.directory / PER_MODEL_FILE))

    def _read_models(self) -> list[model_config.ModelConfig]:
        file = self.config.model_config_file
        if file is not None:
            configs = model_config.read(file)
            self._config_text = file.read_text(encoding="utf-8")
            return configs
        assert self.config.model_base_path is not None
        return [model_config.ModelConfig(self.config.model_name, self.config.model_base_path.absolute())]

    def _check(self) -> None:
        """Ports and files, before a model is loaded for minutes in vain."""
        credentials(self.config.ssl_config_file)
        metrics_path(self.config.monitoring_config_file)
        for name, port in (("REST", self.config.rest_port), ("gRPC", self.config.grpc_port)):
            if port:
                _bound(name, self.config.host, port).close()

    def _load(self) -> None:
        """The first load decides: as with the real server, a model that fails ends the start."""
        configs = self._read_models()
        try:
            self._manager.apply(configs)
        except StatusError as error:
            raise ServingError(f"Failed to start server. Error: {error}") from None
        if failures := self._manager.failures():
            raise ServingError(
                "models could not be loaded:\n" + "\n".join(f"  - {line}" for line in failures)
            )
        # A base path without versions is waited for, as the real server does.
        while not self._manager.ready():
            missing = [str(config.base_path) for config in configs if not config.aspired_versions()]
            if self.config.poll_seconds <= 0:
                raise ServingError(f"no servable version below {', '.join(missing)}")
            logger.warning("No versions of servable found under base path %s; waiting", ", ".join(missing))
            if self._cancelled.wait(self.config.poll_seconds):
                raise ServingError("stopped before a model was available")
            self._manager.reconcile()

    def _start_rest(self, core: Core) -> None:
        listener = _bound("REST", self.config.host, self.config.rest_port or 0)
        listener.listen(1024)
        self.rest_port = listener.getsockname()[1]
        app = rest.application(
            core,
            self._executor,
            timeout_seconds=self.config.rest_api_timeout_in_ms / 1000,
            metrics_path=metrics_path(self.config.monitoring_config_file),
            page=self._page(self.grpc_target) if self._page is not None else None,
        )
        # TensorFlow Serving drops no idle connection; a drain must not wait for them either.
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,  # its own would close every handler of the process, and streams with them
                log_level="warning",
                timeout_graceful_shutdown=int(_GRACE_SECONDS),
                lifespan="on",
            )
        )
        server = self._uvicorn
        self._spawn(lambda: server.run(sockets=[listener]), "rest")
        logger.info("Exporting HTTP/REST API at %s", self.rest_url)

    def _start_grpc(self, core: Core) -> None:
        self._grpc = grpc_services.server(core, ThreadPoolExecutor(WORKERS, thread_name_prefix="grpc"))
        address = f"{self.config.host}:{self.config.grpc_port or 0}"
        secure = credentials(self.config.ssl_config_file)
        try:
            if secure is None:
                self.grpc_port = self._grpc.add_insecure_port(address)
            else:
                self.grpc_port = self._grpc.add_secure_port(address, secure)
        except RuntimeError as error:
            raise ServingError(f"gRPC port {address} cannot be opened: {error}") from None
        self._grpc.start()
        logger.info("Running gRPC ModelServer at %s", self.grpc_target)

    def _spawn(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=f"preview-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _poll(self) -> None:
        """Looks for a changed models.config and for new or vanished versions."""
        while not self._stopping.wait(self.config.poll_seconds):
            try:
                file = self.config.model_config_file
                if file is not None and file.read_text(encoding="utf-8") != self._config_text:
                    logger.info("%s changed", file)
                    self._manager.apply(self._read_models())
                else:
                    self._manager.reconcile()
            except (OSError, ServingError, StatusError) as error:
                self._config_text = ""  # read it again next time, as the real server does
                logger.error("the configuration stays as it is: %s", error)
            except Exception:  # a fault of this server must not end the watching
                logger.exception("the configuration stays as it is")


def _scheduler(config: ServerConfig, metrics: Metrics) -> Scheduler | None:
    if config.batching_parameters_file is None:
        return None
    return Scheduler(
        read_parameters(config.batching_parameters_file),
        metrics,
        hang_on_empty_batches=config.hang_on_empty_batches,
    )


def _bound(name: str, host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ServingError(f"{name} port {host}:{port} cannot be opened: {error}") from None
    return listener


def serve(config: ServerConfig, page: Callable[[str], rest.Page] | None = None) -> None:
    """Runs a server until SIGINT or SIGTERM, then drains it. Call from the main thread."""
    stop = threading.Event()
    server = PreviewServer(config, page)

    def handle(*_: object) -> None:
        stop.set()
        server.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    server.start()
    logger.info("ready: REST %s, gRPC %s", server.rest_url, server.grpc_target)
    if page is not None:
        logger.info("a page to try the models: %s/", server.rest_url)
    stop.wait()
    logger.info("draining")
    server.stop()
