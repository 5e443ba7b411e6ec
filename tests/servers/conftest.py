"""Servers that nobody here wrote, started once per module that asks for them."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from servers import programs
from servers.fault import FaultServer
from support.whisper import tiny_if_here

from watcher.engine import OfflineEngine

#: The key that LiteLLM asks of its callers; the engine behind it has another.
LITELLM_KEY = "sk-of-the-test"
ENGINE_KEY = "sk-behind-the-relay"

#: The Debian package ships its configuration for a system service; a test brings its own, whole.
_NGINX = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location /ready {{ return 204; }}
        location /plain/ {{ proxy_pass http://127.0.0.1:{upstream}/; }}
        location /roomy/ {{ client_max_body_size 25m; proxy_pass http://127.0.0.1:{upstream}/; }}
        location /tiny/ {{ client_max_body_size 10k; proxy_pass http://127.0.0.1:{upstream}/; }}
        location /slow/ {{ proxy_read_timeout 1s; proxy_pass http://127.0.0.1:{upstream}/; }}
        location /dead/ {{ proxy_pass http://127.0.0.1:{dead}/; }}
        location /moved/ {{ return 301 http://127.0.0.1:{upstream}$request_uri; }}
        location /busy/ {{ return 503; }}
    }}
}}
"""

#: What aimock answers, by model: in `sequenceIndex` order where there are several.
_AIMOCK: list[dict[str, Any]] = [
    {
        "match": {"endpoint": "transcription", "model": "whisper-1"},
        "response": {
            "transcription": {
                "text": "Hello there.",
                "language": "english",
                "duration": 1.0,
                "segments": [{"id": 0, "start": 0.0, "end": 1.0, "text": " Hello there."}],
                "words": [
                    {"word": "Hello", "start": 0.1, "end": 0.5},
                    {"word": "there", "start": 0.5, "end": 0.9},
                ],
            }
        },
    },
    {
        "match": {"endpoint": "transcription", "model": "text-only"},
        "response": {"transcription": {"text": "Hello there."}},
    },
    {
        "match": {"endpoint": "transcription", "model": "flaky", "sequenceIndex": 0},
        "response": {"error": {"message": "Rate limit reached", "type": "requests"}, "status": 429, "retryAfter": 7},
    },
    {
        "match": {"endpoint": "transcription", "model": "flaky", "sequenceIndex": 1},
        "response": {"error": {"message": "Overloaded", "type": "server_error"}, "status": 503},
    },
    {
        "match": {"endpoint": "transcription", "model": "flaky", "sequenceIndex": 2},
        "response": {"transcription": {"text": "At last."}},
    },
    {
        "match": {"endpoint": "translation", "model": "whisper-1"},
        "response": {"transcription": {"text": "Good day.", "language": "english", "duration": 1.0}},
    },
]


AIMOCK_FIXTURES = json.dumps({"fixtures": _AIMOCK})


@pytest.fixture(scope="module")
def engine() -> Iterator[OfflineEngine]:
    """Run the offline engine, with a key, and with Whisper where that is installed."""
    with OfflineEngine(workers=1, key=ENGINE_KEY, model=tiny_if_here()) as made:
        yield made


@pytest.fixture(scope="module")
def upstream() -> Iterator[FaultServer]:
    """Run a server of ours to stand behind a relay; its journal tells what the relay passed on."""
    with FaultServer() as made:
        yield made


@pytest.fixture(scope="module")
def litellm(engine: OfflineEngine, upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run LiteLLM's proxy: the model whisper-1 is the offline engine, the model fault is `upstream`."""
    program = programs.need("litellm", package="pip install 'litellm[proxy]'")
    folder = tmp_path_factory.mktemp("litellm")
    models = [("whisper-1", engine.url, ENGINE_KEY), ("fault", upstream.url, "sk-upstream")]
    config = {
        "model_list": [
            {
                "model_name": name,
                "litellm_params": {"model": "openai/whisper-1", "api_base": url, "api_key": key, "max_retries": 0},
                "model_info": {"mode": "audio_transcription"},
            }
            for name, url, key in models
        ],
        "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        "general_settings": {"master_key": LITELLM_KEY},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    port = programs.free_port()
    with programs.running(
        [
            program,
            "--config",
            path,
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--num_workers",
            "1",
            "--telemetry",
            "False",
        ],
        folder=folder,
        ready=f"http://127.0.0.1:{port}/health/liveliness",
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "DISABLE_ADMIN_UI": "True"},
        seconds=240,
    ):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(scope="module")
def prism(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run Prism's mock of OpenAI's own document; it serves the routes without ``/v1``."""
    document = programs.need_openapi()
    program = programs.need("prism", package="npm install @stoplight/prism-cli")
    port = programs.free_port()
    with programs.running(
        [program, "mock", "--errors", "-h", "127.0.0.1", "-p", str(port), document],
        folder=tmp_path_factory.mktemp("prism"),
        ready=f"http://127.0.0.1:{port}/models",
        seconds=120,
    ):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run aimock with the fixtures above; it wants the key ``sk-of-the-test``."""
    program = programs.need("llmock", package="npm install @copilotkit/aimock")
    folder = tmp_path_factory.mktemp("aimock")
    path = folder / "fixtures.json"
    path.write_text(AIMOCK_FIXTURES)
    port = programs.free_port()
    with programs.running(
        [program, "-h", "127.0.0.1", "-p", str(port), "-f", path, "--strict"],
        folder=folder,
        ready=f"http://127.0.0.1:{port}/health",
        environment={"AIMOCK_API_KEYS": "sk-of-the-test"},
    ):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(scope="module")
def nginx(upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run nginx in front of `upstream`; the first part of the path chooses what is wrong with it."""
    program = programs.need("nginx", package="apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    port = programs.free_port()
    # Started by root its workers would be nobody, who may not write into the test's folder.
    user = "user root;" if os.geteuid() == 0 else ""
    config = _NGINX.format(user=user, folder=folder, port=port, upstream=upstream.port, dead=programs.free_port())
    path = folder / "nginx.conf"
    path.write_text(config)
    with programs.running(
        [program, "-p", folder, "-c", path, "-e", folder / "error.log"],
        folder=folder,
        ready=f"http://127.0.0.1:{port}/ready",
    ):
        yield f"http://127.0.0.1:{port}"
