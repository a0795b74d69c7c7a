"""What the toy does in agents' processes."""

from ossa.contracts.agent_hooks import AgentHook


class Polite(AgentHook):
    async def model_call(self, request, context, proceed):
        return await proceed(request)


HOOK = Polite()
