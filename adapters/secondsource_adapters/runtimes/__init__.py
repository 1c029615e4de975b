"""One module a runtime, each with a class `Adapter`."""
