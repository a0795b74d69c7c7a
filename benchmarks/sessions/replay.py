"""Replays a session through the agent's own fitting of its context, and bills every model call of it.

Two bills: of the session as it was, and of what our agent would have sent. Where a call of the session passes on a
literal that was left out and stands nowhere else in what the model was shown, the agent is charged a look-up: a model
call more, its answer, and what it brought back, which stays in the conversation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks.sessions.needs import holds, needs
from benchmarks.sessions.session import Message, Session
from ossa.agent.context import Context, fetch_tool
from ossa.agent.conversation import FETCH, Conversation, Entry
from ossa.contracts.configuration import Endpoint, PromptCache, VortexSettings
from ossa.contracts.task import Delta, Step, TaskRequest
from ossa.contracts.turn import TurnCall, TurnCallResult
from ossa.models.usage import prompt_tokens
from ossa.vortex.compression import compress
from ossa.vortex.planning import prompt_cost
from ossa.vortex.tokens import TokenCounter, counter_for

PER_MESSAGE = 4
LOOK_UP_TOKENS = 300
ASK_TOKENS = 40
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Bill:
    """USD, and tokens. `prompt_tokens` sum over calls."""

    usd: float = 0.0
    prompt_tokens: int = 0
    calls: int = 0


@dataclass
class Replayed:
    """`look_ups` are in `short`'s bill; `short_plain` is without them."""

    id: str
    whole: Bill = field(default_factory=Bill)
    short: Bill = field(default_factory=Bill)
    look_ups: int = 0
    shortened: int = 0
    prompts: list[tuple[list[Message], list[Message]]] = field(default_factory=list)


class Owner:
    """A turn's owner that has a compressor, and remembers: sessions share contents."""

    def __init__(self) -> None:
        self._made: dict[str, TurnCallResult] = {}

    async def delta(self, delta: Delta) -> None: ...

    async def commit(self, steps: object) -> None: ...

    async def call(self, call: TurnCall) -> TurnCallResult:
        key = call.model_dump_json()
        if key not in self._made:
            made = tuple(compress(**order.model_dump()) for order in call.compress)
            self._made[key] = TurnCallResult(compressed=made)
        return self._made[key]


class Talk(Conversation):
    """A conversation that is told what was said in it."""

    def __init__(self) -> None:
        super().__init__("", TaskRequest.model_construct(messages=[]), (), agent_id="replay")
        self._names: dict[str, str] = {}

    def tell(self, message: Message) -> None:
        for call in message.get("tool_calls") or ():
            self._names[call["id"]] = call["function"]["name"]
        tool = message["role"] == "tool"
        name = self._names.get(str(message.get("tool_call_id")), "") if tool else ""
        self._entries.append(Entry(message, key=f"m/{len(self._entries)}" if tool else "", name=name))

    def send(self) -> None:
        for entry in self._entries:
            entry.sent = True

    @property
    def steps(self) -> list[Step]:
        return self.uncommitted


class Arm:
    """One bill: what is sent, against what was sent last."""

    def __init__(self, endpoint: Endpoint, counter: TokenCounter) -> None:
        self.bill = Bill()
        self._endpoint = endpoint
        self._cache = endpoint.prompt_cache or PromptCache()
        self._counter = counter
        self._last: list[Message] = []
        self._last_tools = -1
        self._sizes: dict[int, int] = {}

    def call(self, messages: list[Message], answer_tokens: int, *, tools: int = 0) -> None:
        sizes = [self.size(message) for message in messages]
        cached = 0
        if tools == self._last_tools:
            cached = tools
            for size, message, last in zip(sizes, messages, self._last, strict=False):
                if message is not last and message != last:
                    break
                cached += size
        tokens = tools + sum(sizes)
        usd_in, usd_out = self._endpoint.input_usd_per_mtok or 0.0, self._endpoint.output_usd_per_mtok or 0.0
        self.bill.usd += (prompt_cost(tokens, cached, self._cache) * usd_in + answer_tokens * usd_out) / 1e6
        self.bill.prompt_tokens += tokens
        self.bill.calls += 1
        self._last, self._last_tools = messages, tools

    def size(self, message: Message) -> int:
        """Tokens of a message, counted once."""
        found = self._sizes.get(id(message))
        if found is None:
            text = str(message.get("content") or "")
            for call in message.get("tool_calls") or ():
                text += f"{call['function']['name']}{call['function'].get('arguments') or ''}"
            found = self._sizes[id(message)] = self._counter.count(text) + PER_MESSAGE
        return found


async def replay(
    session: Session, endpoint: Endpoint, settings: VortexSettings, owner: Owner, *, keep: bool = False
) -> Replayed:
    """Bill a session both ways.

    Args:
        keep: the prompts of its calls, both ways.
    """
    counter = counter_for(endpoint.model)
    made = Replayed(session.id)
    whole, short = Arm(endpoint, counter), Arm(endpoint, counter)
    made.whole, made.short = whole.bill, short.bill
    talk = Talk()
    context = Context(settings, endpoint, fetches=True, again=lambda _: True)
    fetch_tokens = prompt_tokens((), [fetch_tool().function])
    views: dict[str, Message] = {}
    before: list[Message] = []

    async def ask(answer_tokens: int) -> None:
        fitted = await context.fit(talk, owner, fixed_tokens=0)
        if fitted is not None:
            talk.show(fitted.shown, offered=fitted.offer, at=EPOCH)
            made.shortened += len(fitted.shown)
        # The same object for the same message, so that its tokens are counted once.
        sent = [
            views.setdefault(f"{entry.key}{shown is not None}", {**entry.message, "content": shown.text})
            if entry.key and (shown := talk.shown(entry.key)) is not None
            else entry.message
            for entry in talk.entries()
        ]
        short.call(sent, answer_tokens, tools=fetch_tokens if talk.fetchable else 0)
        talk.send()

    for number, message in enumerate(session.messages):
        if message["role"] == "assistant" and number:
            size = whole.size(message)
            await ask(size)
            for looked in _look_ups(talk, message, session.messages[:number]):
                made.look_ups += 1
                call = {"id": f"fetch_{made.look_ups}", "type": "function"}
                function = {"name": FETCH, "arguments": "x " * (ASK_TOKENS - 10)}
                talk.tell({"role": "assistant", "content": "", "tool_calls": [{**call, "function": function}]})
                found = f"{looked} " + "x " * (LOOK_UP_TOKENS - 10)
                talk.tell({"role": "tool", "tool_call_id": call["id"], "content": found})
                await ask(ASK_TOKENS)
            whole.call(list(before), size)
            if keep:
                made.prompts.append((list(before), talk.messages()))
        before.append(message)
        talk.tell(message)
    return made


def _look_ups(talk: Talk, message: Message, before: tuple[Message, ...]) -> list[str]:
    """What has to be fetched before the message can be written, one string a fetch: literals of one content."""
    shortened = [entry for entry in talk.entries() if entry.key and talk.shown(entry.key) is not None]
    if not shortened:
        return []
    seen = "\n".join(_said(one) for one in talk.messages())
    fetched: dict[str, list[str]] = {}
    for word in needs(message):
        if holds(seen, word):
            continue
        for entry in shortened:
            if holds(str(entry.message["content"]), word):
                fetched.setdefault(entry.key, []).append(word)
                break
    return [" ".join(words) for words in fetched.values()]


def _said(message: Message) -> str:
    calls = " ".join(call["function"].get("arguments") or "" for call in message.get("tool_calls") or ())
    return f"{message.get('content') or ''} {calls}"
