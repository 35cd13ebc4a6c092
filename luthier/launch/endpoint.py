"""The arm of a finished job behind an endpoint of SageMaker: GET /ping and POST /invocations on port 8080.

SageMaker starts the image with the word `serve`, asks /ping until it answers 200, gives each invocation 60 s, and ends
with SIGTERM, then SIGKILL 30 s later. It checks who asks; nobody else reaches the container. Source: "Custom Inference
Code with Hosting Services", Amazon SageMaker Developer Guide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from luthier.errors import FolderError, SettingsError
from luthier.launch.contract import base_of
from luthier.launch.sagemaker import ARM
from luthier.results.shipped_note import ShippedNote

PORT, PORT_VARIABLE = 8080, "SAGEMAKER_BIND_TO_PORT"
EVERY_ADDRESS = "0.0.0.0"
END_SECONDS = 20.0  # for open answers, of the 30 s between the two signals


def serve_model(environment: Mapping[str, str], say: Callable[[str], None] = print) -> None:
    """Serves the model folder until a signal ends it. Raises LuthierError for what cannot be served."""
    from luthier.serving.server import serve_open

    source, port = model_to_serve(environment), port_of(environment)
    serve_open([str(source)], host=EVERY_ADDRESS, port=port, end_seconds=END_SECONDS, say=say)


def model_to_serve(environment: Mapping[str, str]) -> Path:
    """The arm that a job handed over, or an arm or a model that somebody put into the model folder himself."""
    folder = base_of(environment) / "model"
    for place in (folder / ARM, folder):
        if ShippedNote.is_in(place) or (place / "config.json").is_file():
            return place
    raise FolderError(
        f"{folder}: holds no arm; give the endpoint the model.tar.gz of a job of `luthier sagemaker-train`, or an arm "
        "that `luthier ship` made"
    )


def port_of(environment: Mapping[str, str]) -> int:
    text = environment.get(PORT_VARIABLE) or str(PORT)
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise SettingsError(f"{PORT_VARIABLE} is '{text[:40]}'; give a whole number from 0 to 65535")
    return int(text)
