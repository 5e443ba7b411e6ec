"""Set up structlog: one event name per fact, keys instead of sentences, nothing secret, nothing unprintable."""

from watcher.log.lines import LogOptions, configure, quoted, retrying, unprinted

__all__ = ["LogOptions", "configure", "quoted", "retrying", "unprinted"]
