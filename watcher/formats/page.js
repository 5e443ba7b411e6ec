"use strict";
(() => {
  const players = [...document.querySelectorAll("audio, video")];
  const words = [...document.querySelectorAll("main p > span")];
  const tools = document.querySelector(".tools");
  const quiet = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const offset = (player) => Number(player.dataset.offset);
  const time = (player) => player.currentTime + offset(player);
  const holds = (player, seconds) =>
    seconds >= offset(player) && !(seconds > offset(player) + player.duration) && !player.error;
  // Refused where the file is missing or the page was not touched yet: the player itself shows that.
  const play = (player) => player.play().catch(() => {});

  // --- the players: the one that was used last leads, and the others follow its time
  let leader = players[0];

  const follow = (tolerance) => {
    const seconds = time(leader);
    for (const player of players) {
      if (player === leader) continue;
      if (!holds(player, seconds)) {
        player.pause();
        continue;
      }
      if (Math.abs(time(player) - seconds) > tolerance) player.currentTime = seconds - offset(player);
      if (leader.paused) player.pause();
      else if (player.paused) play(player);
    }
  };

  const seek = (seconds, begin) => {
    if (!leader) return;
    if (!holds(leader, seconds)) leader = players.find((player) => holds(player, seconds)) || leader;
    leader.currentTime = Math.max(0, seconds - offset(leader));
    if (begin) play(leader);
    follow(0);
    show();
  };

  for (const player of players) {
    for (const kind of ["pointerdown", "keydown"]) {
      player.addEventListener(kind, () => {
        leader = player;
      });
    }
    for (const kind of ["play", "pause", "seeked"]) {
      player.addEventListener(kind, () => {
        if (player === leader) follow(0.05);
        show();
      });
    }
    player.addEventListener("timeupdate", () => {
      if (player === leader) follow(0.25);
      show();
    });
    player.addEventListener("ended", () => {
      if (player === leader) leader = players.find((other) => !other.paused && !other.ended) || leader;
    });
    const missing = player.parentElement.querySelector(".missing");
    // Page and recording were perhaps renamed together, and another recording may have the former name: the page's own
    // name comes first. It is not decoded: a name need not be UTF-8. Without "./", "a:b.wav" would begin with a scheme.
    const given = player.getAttribute("src");
    const named = location.pathname.replace(/^.*\//, "").replace(/\.[^.]*$/, "");
    const own = `./${named}${encodeURIComponent(player.dataset.suffix)}`;
    if (players.length === 1 && own !== given) player.src = own;
    const failed = () => {
      if (player.getAttribute("src") !== given) player.src = given;
      else missing.hidden = false;
    };
    player.addEventListener("error", failed);
    player.addEventListener("loadedmetadata", () => {
      if (player.videoWidth === 0) player.classList.add("sound");
      missing.hidden = true;
    });
    if (player.error) failed();
  }

  // --- the word that is heard
  const spans = words.map((word, index) => [Number(word.dataset.s) / 1000, Number(word.dataset.e) / 1000, index]);
  spans.sort((one, other) => one[0] - other[0]);
  let shown = new Set();
  let passage = null;
  let scrolled = 0;
  for (const kind of ["wheel", "touchmove"]) addEventListener(kind, () => (scrolled = Date.now()), { passive: true });

  const heard = (seconds) => {
    let low = 0;
    let high = spans.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (spans[middle][0] <= seconds) low = middle + 1;
      else high = middle;
    }
    const found = new Set();
    // Speakers on tracks of their own may speak at once: some words back, another may not have ended.
    for (let index = low - 1; index >= Math.max(0, low - 64); index--) {
      if (spans[index][1] > seconds) found.add(words[spans[index][2]]);
    }
    return found;
  };

  const show = () => {
    if (!leader) return;
    const found = leader.paused && !leader.currentTime ? new Set() : heard(time(leader));
    for (const word of shown) if (!found.has(word)) word.classList.remove("now");
    for (const word of found) word.classList.add("now");
    shown = found;
    const [first] = found;
    const now = first && first.closest(".said");
    if (now && now !== passage && !leader.paused && tools.elements.follow.checked && Date.now() - scrolled > 4000) {
      first.scrollIntoView({ block: "center", behavior: quiet ? "auto" : "smooth" });
    }
    if (now) passage = now;
  };

  const tick = () => {
    if (leader && !leader.paused) show();
    requestAnimationFrame(tick);
  };
  if (words.length && players.length) requestAnimationFrame(tick);

  // --- a click on a word or a time
  document.body.addEventListener("click", (event) => {
    const target = event.target.closest("main p > span, a[data-s]");
    if (!target || !players.length || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (target.matches("span") && (!target.dataset.s || !getSelection().isCollapsed)) return;
    event.preventDefault();
    const seconds = Number(target.dataset.s) / 1000;
    seek(seconds, true);
    history.replaceState(null, "", `#t=${seconds}`);
  });

  const from = () => {
    const match = /^#t=(\d{1,7}(?:\.\d{1,3})?)$/.exec(location.hash);
    if (match) seek(Number(match[1]), false);
  };
  addEventListener("hashchange", from);

  // --- search
  const search = tools.elements.search;
  const count = document.querySelector(".count");
  const folded = (text) => text.normalize("NFC").toLowerCase().replaceAll("ς", "σ");
  const index = [...document.querySelectorAll(".said p")].map((paragraph) => {
    const starts = [];
    let text = "";
    const own = [...paragraph.querySelectorAll("span")];
    for (const node of paragraph.childNodes) {
      if (node.nodeName === "SPAN") starts.push(text.length);
      text += folded(node.textContent);
    }
    return { text, starts, own };
  });
  let hits = [];
  let at = -1;

  const find = () => {
    for (const word of document.querySelectorAll(".found, .here")) word.classList.remove("found", "here");
    hits = [];
    at = -1;
    const wanted = folded(search.value.trim());
    if (wanted) {
      for (const { text, starts, own } of index) {
        let word = 0;
        for (let begin = text.indexOf(wanted); begin >= 0; begin = text.indexOf(wanted, begin + wanted.length)) {
          while (word + 1 < starts.length && starts[word + 1] <= begin) word++;
          const hit = [];
          for (let next = word; next < starts.length && starts[next] < begin + wanted.length; next++) hit.push(own[next]);
          hits.push(hit);
        }
      }
      for (const hit of hits) for (const word of hit) word.classList.add("found");
    }
    count.textContent = !wanted ? "" : hits.length ? `${hits.length} found` : "not found";
  };

  const go = (step) => {
    if (!hits.length) return;
    if (at >= 0) for (const word of hits[at]) word.classList.remove("here");
    at = at < 0 ? (step > 0 ? 0 : hits.length - 1) : (at + step + hits.length) % hits.length;
    for (const word of hits[at]) word.classList.add("here");
    scrolled = Date.now();
    hits[at][0].scrollIntoView({ block: "center", behavior: quiet ? "auto" : "smooth" });
    count.textContent = `${at + 1} of ${hits.length}`;
  };

  let typed = 0;
  search.addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(find, 150);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    clearTimeout(typed);
    if (at < 0) find();
    go(event.shiftKey ? -1 : 1);
  });
  tools.elements.before.addEventListener("click", () => go(-1));
  tools.elements.behind.addEventListener("click", () => go(1));
  tools.addEventListener("submit", (event) => event.preventDefault());

  // --- keys
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.target.closest("input, button, summary, audio, video")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (event.key === "/") search.focus();
    else if (!leader) return;
    else if (event.key === " ") leader.paused ? play(leader) : leader.pause();
    else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      seek(Math.max(0, time(leader) + (event.key === "ArrowLeft" ? -5 : 5)), !leader.paused);
    } else return;
    event.preventDefault();
  });

  // What is scrolled to, or reached by Tab, must not lie below the bar.
  const bar = document.querySelector(".bar");
  new ResizeObserver(() => {
    document.documentElement.style.scrollPaddingTop = `${bar.offsetHeight + 16}px`;
  }).observe(bar);

  tools.hidden = false;
  document.querySelector(".keys").hidden = false;
  if (!words.length || !players.length) tools.elements.follow.closest("label").hidden = true;
  else if (words[0].dataset.s) document.querySelector("main").classList.add("jumps");
  from();
})();
