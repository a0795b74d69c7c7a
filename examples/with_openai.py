"""The official OpenAI client, unchanged: `pip install openai`."""

from __future__ import annotations

import ossa

# The same as openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="ossa_sk_...")
client = ossa.connect().openai()

reply = client.chat.completions.create(
    model="pool/security",
    messages=[{"role": "user", "content": "Is it safe to put a password into a log file?"}],
    max_tokens=48,
)
print(reply.choices[0].message.content)
print(reply.usage)

for chunk in client.chat.completions.create(
    model="auto", messages=[{"role": "user", "content": "Count to five."}], max_tokens=32, stream=True
):
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)
print()
