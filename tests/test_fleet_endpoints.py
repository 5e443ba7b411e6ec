"""Four hosts on one queue in PostgreSQL, with two endpoints: the first dies in the middle, and comes back."""

from collections import Counter
from contextlib import ExitStack

import pytest
from support import postgres
from support.fleet import Share, host
from support.heard import digest_of, hearing, recording
from support.scripted import Asked, Reply, serving
from support.waiting import eventually

pytest.importorskip("psycopg", reason="the extra postgres is not installed")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_four_hosts_go_on_at_the_second_endpoint_and_return_to_the_first(share: Share) -> None:
    def slow(_asked: Asked) -> Reply:
        studio.closed.wait(0.1)
        return hearing(_asked)

    with postgres.cluster().schema() as url, serving(hearing) as relay, ExitStack() as stack, ExitStack() as life:
        studio = life.enter_context(serving(slow))
        tables = [
            *("--set", f"endpoints.studio.url={studio.url}", "--set", "endpoints.studio.model=large"),
            *("--set", f"endpoints.relay.url={relay.url}", "--set", "endpoints.relay.model=small"),
        ]
        places = [share.place(f"host-{number}") for number in range(4)]
        hosts = [stack.enter_context(host(place, relay, url, *tables)) for place in places]
        for running in hosts:
            running.await_event("service.ready")
        files = [recording(share.folder / f"{number:03}.wav") for number in range(60)]
        eventually(lambda: len(studio.asked) >= 20)
        life.close()
        eventually(lambda: all(file.with_suffix(".srt").exists() for file in files), patience=120)
        with serving(hearing, port=studio.port) as back:
            number = 100

            def is_back() -> bool:
                nonlocal number
                number += 1
                new = recording(share.folder / f"{number}.wav")
                eventually(new.with_suffix(".srt").exists)
                return bool(back.asked)

            eventually(is_back, patience=120)
            codes = [running.stop() for running in hosts]
        asked = Counter(map(digest_of, [*studio.asked, *relay.asked]))

    assert codes == [0] * 4, "\n".join(running.log() for running in hosts)
    assert len(relay.asked) >= 20
    # What was in flight when the first one died may be asked again.
    assert sum(asked.values()) - len(asked) <= 4 * 4
    assert not [event for running in hosts for event in running.seen("job.failed")]
