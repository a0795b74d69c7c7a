"""A chat, a streamed chat and a task."""

from __future__ import annotations

import ossa

with ossa.connect() as client:
    answer = client.chat("Say hello in one short sentence.", max_tokens=32)
    print(answer.text)
    print(f"  {answer.agent}, {answer.usage.total_tokens} tokens, ${answer.cost_usd:.6f}")

    with client.chat("Name three colours.", model="pool/foundation", stream=True, max_tokens=32) as pieces:
        for piece in pieces:
            print(piece, end="", flush=True)
        print()

    task = client.tasks.create("Write one sentence about the sea.", model="pool/intelligence", max_tokens=48)
    print(client.tasks.wait(task.id).raise_for_failure().text)
