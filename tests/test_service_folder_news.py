"""Which changes of folders are announced to webhooks."""

from dataclasses import replace

from watcher.folders import FolderState, WatchMode
from watcher.service.folder_news import FolderNews

WATCHED = FolderState("in", "/srv/in", WatchMode.EVENTS, "local disk", "ext4", 1, 0, 0, 0)
LOST = replace(WATCHED, how=WatchMode.LOST, why="No such file or directory", hint="it is waited for")


def test_each_change_is_announced_once_and_a_folder_that_has_not_begun_is_no_loss() -> None:
    told: list[tuple[str, object]] = []
    news = FolderNews(lambda event, facts: told.append((event, facts.get("reason", facts.get("how")))))

    for state in (replace(LOST, why=""), WATCHED, WATCHED, LOST, LOST, WATCHED):
        news.look([state])

    assert told == [
        ("folder.watching", str(WATCHED.how)),
        ("folder.lost", "No such file or directory"),
        ("folder.watching", str(WATCHED.how)),
    ]
