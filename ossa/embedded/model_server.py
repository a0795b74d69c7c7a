"""The embedded model's process: serves one GGUF file over an OpenAI-compatible API on 127.0.0.1.

    python -m ossa.embedded.model_server --model FILE --port PORT

Started and watched by `ossa.embedded.model`. The API key comes in the
environment (`OSSA_EMBEDDED_KEY`), so that it is in no process list.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

KEY_VARIABLE = "OSSA_EMBEDDED_KEY"

# SmolLM2's own ChatML, but for tools: the model was trained on the roles system, user and assistant
# alone, and at this size it cannot call tools, so it sees no more of them than their results. A template
# that shows calls would make llama.cpp parse every answer as a call, and fail (500) on those that are none.
CHAT_TEMPLATE = """\
{%- for message in messages %}
{%- if message['role'] == 'tool' %}
{{- '<|im_start|>user\\nResult: ' + (message['content'] or '') + '<|im_end|>\\n' }}
{%- elif message['content'] %}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}"""


def parameters(arguments: argparse.Namespace) -> Any:
    """llama.cpp's parameters."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(arguments.model)
    params.model_alias = {arguments.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = arguments.port
    params.n_ctx = arguments.context
    params.n_parallel = arguments.slots
    params.kv_unified = True  # the context is shared by the slots, not cut in equal parts
    params.n_predict = max(64, arguments.context // (2 * arguments.slots))  # a small model may not stop by itself
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = arguments.threads
    params.cpuparams.poll = params.cpuparams_batch.poll = 0  # do not spin: agents need these cores
    params.use_jinja = True
    params.chat_template = CHAT_TEMPLATE
    params.sampling.temp, params.sampling.top_p = 0.2, 0.9  # what the model's card recommends
    params.cache_ram_mib = 0  # the default keeps up to 8 GiB of old prompts
    params.endpoint_slots = params.ui = False
    params.cors_origins = ""
    if key := os.environ.pop(KEY_VARIABLE, ""):
        params.api_keys = [key]
    return params


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a GGUF file on 127.0.0.1.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--alias", default="embedded", help="the model's name in the API")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--context", type=int, default=8192, help="tokens, shared by all slots")
    parser.add_argument("--slots", type=int, default=4)
    arguments = parser.parse_args()

    import xllamacpp

    # Blocked before any thread starts, so that none of llama.cpp's threads takes the signal.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    server = xllamacpp.Server(parameters(arguments))
    print(f"listening at {server.listening_address}", flush=True)
    signal.sigwait(ends)
    # llama.cpp would wait for running answers to end; nobody reads them any more.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
