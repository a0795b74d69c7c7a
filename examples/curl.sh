#!/usr/bin/env bash
# The HTTP API by hand. Needs curl; the key of a local fleet lies in ~/.ossa/api_key.
set -euo pipefail

URL="${OSSA_URL:-http://127.0.0.1:8000}"
KEY="${OSSA_API_KEY:-$(cat ~/.ossa/api_key)}"

call() { # METHOD PATH [BODY]
  printf '\n%s %s\n' "$1" "$2"
  curl -sS --fail-with-body -X "$1" "$URL$2" -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \
    ${3:+-d "$3"}
  echo
}

call GET /health
call GET /api/v1/pools

# A chat, as any OpenAI client sends it.
call POST /v1/chat/completions '{"model": "auto", "max_tokens": 32, "messages": [{"role": "user", "content": "Hello!"}]}'

# A task: 202 at once, then its events until it ends.
TASK=$(curl -sS --fail-with-body "$URL/api/v1/tasks" -H "Authorization: Bearer $KEY" -H "Idempotency-Key: example-$$" \
  -H "Content-Type: application/json" \
  -d '{"model": "pool/intelligence", "input": "Write one sentence about the sea."}' |
  sed 's/.*"id":"\(task_[0-9a-f]*\)".*/\1/')
printf '\n%s\n' "$TASK"
curl -sSN "$URL/api/v1/tasks/$TASK/events" -H "Authorization: Bearer $KEY"

# The mission's three calls change the size of the fleet: only with CHANGE_FLEET=1.
if [ "${CHANGE_FLEET:-}" = 1 ]; then
  call POST /api/v1/orchestration/deploy-phase '{"phase": "phase4-enterprise-analytics", "target_agents": 200}'
  call POST /api/v1/agents/spawn-pool '{"pool_type": "enterprise-analytics", "agent_count": 50}'
  call POST /api/v1/infrastructure/scale-to-phase4 '{"target": "200-agent-enterprise", "kubernetes_nodes": 12}'
fi
