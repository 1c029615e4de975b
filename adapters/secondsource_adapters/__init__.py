"""Adapters: runtimes without a server as rows of secondsource, over the protocol of docs/adapters.md.

    from secondsource_adapters import Runtime, serve

    class Mine(Runtime):
        name = "mine"
        ...
    serve(Mine)
"""
from .protocol import STOP, Refusal, Request, Runtime, Score, serve
from .static_batches import StaticBatches

__all__ = ["STOP", "Refusal", "Request", "Runtime", "Score", "StaticBatches", "serve"]
