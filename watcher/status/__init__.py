"""`watcher status`: the state of the queue as values, as a JSON document, and as text."""
