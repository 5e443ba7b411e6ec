"""The operator's listener: metrics, health and state of a running daemon over HTTP, read-only.

`listener` opens the socket and serves, `answers` checks each request and answers it, `metrics` draws the figures from the report of
`watcher status`. Nothing here changes anything, and nobody can make it work more often than once a second.

It needs the extra `http`: import it only where `http.listen` is set.
"""
