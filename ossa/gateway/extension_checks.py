"""Checks a set of extensions before a replica serves, so that no mistake in one is silently ignored."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Sequence

from fastapi import APIRouter
from fastapi.routing import APIRoute

from ossa.gateway.hooks import Extension, TaskHook

CORE_LOOPS = frozenset({"lease", "claim", "cancel"})
CORE_CHECKS = frozenset({"journal", "fleet", "lease"})
METHODS = {name: method for name, method in vars(TaskHook).items() if not name.startswith("_")}


def check_extensions(extensions: Sequence[Extension], core_routers: Iterable[APIRouter] = ()) -> None:
    """Raises `TypeError` for what is no extension or no hook, `ValueError` for a name or route that is taken."""
    for extension in extensions:
        if not isinstance(extension, Extension):
            raise TypeError(f"{extension!r} is no Extension: its function has to return one.")
        for hook in extension.hooks:
            _check_hook(extension.name, hook)
    _unique("extensions", [extension.name for extension in extensions])
    _unique("loops", [*CORE_LOOPS, *(name for extension in extensions for name in extension.loops)])
    _unique("consumer groups", [group for extension in extensions for group in extension.consumers])
    _unique("health checks", [*CORE_CHECKS, *(name for extension in extensions for name in extension.health)])
    routers = [*core_routers, *(router for extension in extensions for router in extension.routers)]
    _unique("routes", [route for router in routers for route in _routes(router)])


def _check_hook(extension: str, hook: object) -> None:
    kind = type(hook)
    if not isinstance(hook, TaskHook):
        raise TypeError(f"The hook {kind.__name__} of the extension {extension!r} does not derive from TaskHook.")
    for name, method in METHODS.items():
        wanted, given = (inspect.iscoroutinefunction(one) for one in (method, getattr(kind, name)))
        if wanted != given:
            raise TypeError(
                f"{kind.__name__}.{name} of the extension {extension!r} must be "
                f"{'a coroutine (async def)' if wanted else 'a plain function (def)'}."
            )


def _routes(router: APIRouter) -> list[str]:
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    return [f"{method} {route.path}" for route in routes for method in sorted(route.methods or ())]


def _unique(what: str, names: Iterable[str]) -> None:
    taken = sorted(name for name, count in Counter(names).items() if count > 1)
    if taken:
        raise ValueError(f"Two {what} have one name: {', '.join(taken)}. Rename the extension's.")
