"""Servers on this machine: luthier's, llama-cpp-python's, llama.cpp's llama-server, transformers serve.

Each is a process of its own, started by its own command with the options that its documentation gives for many clients.
It gets the prompts as ids, or as text whose ids are those that all tools get. The end token is forbidden, or ignored,
as the server can. What the answers say is compared elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import clients
import common
import httpx

END = 2
START_SECONDS = 300
TICKS = os.sysconf("SC_CLK_TCK")
CONTEXT = 512  # tokens of the longest prompt with its answer, about: the room of one stream


def luthier(order, port):
    return [sys.executable, "-m", "luthier", "serve", order["model"], "--port", port]


def llamacpp(order, port):
    """One request at a time, which is how this server works; none is broken off for the next."""
    return [
        sys.executable, "-m", "llama_cpp.server", "--model", order["weights"], "--host", "127.0.0.1", "--port", port,
        "--n_ctx", "2048", "--n_threads", str(os.cpu_count()), "--n_threads_batch", str(os.cpu_count()),
        "--interrupt_requests", "false", "--verbose", "false",
    ]  # fmt: skip


def llama_server(order, port):
    return [
        shutil.which("llama-server"), "--model", order["weights"], "--host", "127.0.0.1", "--port", port,
        "--parallel", str(order["batch"]), "--ctx-size", str(order["batch"] * 2 * CONTEXT), "--no-webui",
    ]  # fmt: skip


def transformers(order, port):
    dtype = {"fp32": "float32", "bf16": "bfloat16"}[order["precision"]]
    start = "from transformers.cli.transformers import main; main()"  # its command, of this very environment
    return [
        sys.executable, "-c", start, "serve", order["model"], "--host", "127.0.0.1", "--port", port,
        "--device", "cpu", "--dtype", dtype, "--continuous-batching", "--log-level", "error",
        "--cb-num-blocks", "384", "--cb-max-batch-tokens", "4096",  # left open, it takes and clears most of the memory
    ]  # fmt: skip


COMMANDS = {"luthier": luthier, "llamacpp": llamacpp, "llama-server": llama_server, "transformers": transformers}
PACKAGES = {
    "luthier": ("luthier", "torch", "transformers", "uvicorn"), "llamacpp": ("llama_cpp_python",), "llama-server": (),
    "transformers": ("transformers", "torch"),
}  # fmt: skip
READY = {"llama-server": "/health"}  # which says 503 until the model is loaded; the others answer when it is


def body_of(order):
    """How each server is asked for exactly so many tokens of its likeliest answer."""
    endless = {
        "luthier": {"temperature": 0.0, "ignore_eos": True, "stream_options": {"include_usage": True}},
        "llamacpp": {"temperature": 0.0, "logit_bias": {str(END): -100.0, "0": -100.0}},
        "llama-server": {"temperature": 0.0, "ignore_eos": True},
        "transformers": {
            "generation_config": json.dumps({"do_sample": False, "eos_token_id": -1, "pad_token_id": END})
        },
    }[order["server"]]
    names = {"transformers": order["model"], "luthier": Path(order["model"]).name}
    model = names.get(order["server"], "model")

    def body(row, limit):
        given = row["ids"] if order["server"] in ("luthier", "llama-server") else row["text"]
        return {"model": model, "prompt": given, "max_tokens": limit} | endless

    return body


@contextlib.contextmanager
def running(command, ready):
    """The server's process once it answers; it is ended and waited for behind the block, so its time is known."""
    with tempfile.TemporaryFile() as said:
        server = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        try:
            ends = time.monotonic() + START_SECONDS
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(ready, timeout=5).status_code == 200:
                        break
                if server.poll() is not None or time.monotonic() > ends:
                    said.seek(0)
                    sys.exit(f"Error: the server did not start: {said.read().decode(errors='replace')[-1500:]}")
                time.sleep(0.5)
            yield server
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def worked(server):
    """CPU-seconds of the server's process so far, and of this one, which is its clients."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS + time.process_time()


def longest_step(url):
    """Seconds of the longest step of luthier's server so far."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("luthier_longest_step_seconds ")))


def main():
    order = common.order()
    batches = common.generation_batches(order)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    ready = url + READY.get(order["server"], "/v1/models")
    os.environ["LUTHIER_PRECISION"] = order["precision"]
    with running(COMMANDS[order["server"]](order, str(port)), ready) as server:
        counts, took, more = clients.measured(url, order, batches, body_of(order), lambda: worked(server))
        if order["server"] == "luthier":
            more["longest_step"] = longest_step(url)
    bits = order.get("weight_bits", 32 if order["precision"] == "fp32" else 16)
    common.report_counts(
        PACKAGES[order["server"]], order, batches, counts, took, precision=order["precision"], weight_bits=bits, **more
    )


if __name__ == "__main__":
    main()
