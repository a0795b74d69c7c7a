"""The embedded model's process: serves one GGUF file over an OpenAI-compatible API on 127.0.0.1.

    python -m ossa.models.embedded_server --model FILE --ready-file FILE

Started and watched by `ossa.models.embedded`. The API key comes in the
environment (`OSSA_EMBEDDED_KEY`), so that it is in no process list. Once the
model is loaded, the ready file holds `{"port": N}`.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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

    found = xllamacpp.CommonParams()
    found.model.path = str(arguments.model)
    found.model_alias = {arguments.alias}
    found.hostnames = ["127.0.0.1"]
    found.port = arguments.port
    found.n_ctx = arguments.context
    found.n_parallel = arguments.slots
    found.kv_unified = True  # the context is shared by the slots, not cut in equal parts
    found.n_predict = max(64, arguments.context // (2 * arguments.slots))  # a small model may not stop by itself
    found.cpuparams.n_threads = found.cpuparams_batch.n_threads = arguments.threads
    found.cpuparams.poll = found.cpuparams_batch.poll = 0  # do not spin: agents need these cores
    found.use_jinja = True
    found.chat_template = CHAT_TEMPLATE
    found.sampling.temp, found.sampling.top_p = 0.2, 0.9  # what the model's card recommends
    found.cache_ram_mib = 0  # the default keeps up to 8 GiB of old prompts
    found.endpoint_slots = found.ui = False
    found.cors_origins = ""
    if key := os.environ.pop(KEY_VARIABLE, ""):
        found.api_keys = [key]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a GGUF file on 127.0.0.1.")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--alias", default="embedded", help="the model's name in the API")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--context", type=int, default=8192, help="tokens, shared by all slots")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--ready-file", type=Path, required=True)
    arguments = parser.parse_args()

    import xllamacpp

    # Blocked before any thread starts, so that none of llama.cpp's threads takes the signal.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    server = xllamacpp.Server(parameters(arguments))
    port = urlsplit(server.listening_address).port
    waiting = arguments.ready_file.with_suffix(".tmp")
    waiting.write_text(json.dumps({"port": port}))
    waiting.replace(arguments.ready_file)
    signal.sigwait(ends)
    # llama.cpp would wait for running answers to end; nobody reads them any more.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
