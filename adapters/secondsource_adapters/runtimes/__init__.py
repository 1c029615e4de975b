"""One module per runtime, each with a class `Adapter`."""
