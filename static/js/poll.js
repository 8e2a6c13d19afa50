// One poll per page. The server answers 204, or rows as out-of-band swaps, and says by the
// event "poll-state" {revision, moving, attention} from where to ask next, how soon, and how many
// rows need a person. changes.js says what changed.

const root = document.querySelector("[data-poll-url]");

const FAST = Number(root?.dataset.pollIntervalFast ?? 1500);
const SLOW = Number(root?.dataset.pollIntervalSlow ?? 15000);
const SLOWEST = 60000;

// What somebody pressed and is not answered yet. Rows that come meanwhile would take the pressed
// button off the page, and with it whatever htmx has to say of the answer.
const pressed = new Set();
let timer = 0;
let asking = false;
let failures = 0;

function pause() {
  const calm = root.dataset.pollMoving === "true" ? FAST : SLOW;
  return Math.min(calm * 2 ** failures, SLOWEST);
}

function plan() {
  clearTimeout(timer);
  if (!document.hidden && root.isConnected) timer = setTimeout(ask, pause());
}

async function ask() {
  if (asking || document.hidden) return;
  if (pressed.size) return plan();
  asking = true;
  const url = new URL(root.dataset.pollUrl, location.href);
  url.searchParams.set("since", root.dataset.pollRevision ?? "0");
  failures += 1;
  try {
    await htmx.ajax("GET", `${url.pathname}${url.search}`, { source: root, target: root, swap: "none" });
  } catch {
    // Counted already: the next question comes later.
  }
  asking = false;
  plan();
}

// What the reader had unfolded or ticked in the old rows stays so in the new ones. Unfolded
// contents are carried over, then asked for again; focus.js keeps the focus.
function carryOver(target, fragment) {
  const renewed = [];
  for (const old of target.querySelectorAll("details[open][id]")) {
    const fresh = fragment.querySelector(`#${CSS.escape(old.id)}`);
    if (!fresh) continue;
    fresh.open = true;
    const body = old.querySelector(":scope > [id]");
    const place = body && fresh.querySelector(`#${CSS.escape(body.id)}`);
    if (!place || !old.hasAttribute("hx-get")) continue;
    place.replaceChildren(...body.childNodes);
    renewed.push(old.id);
  }
  for (const old of target.querySelectorAll("input:checked[id]")) {
    const fresh = fragment.querySelector(`#${CSS.escape(old.id)}`);
    if (fresh) fresh.checked = true;
  }
  // Before anybody can press a key: htmx settles at once (defaultSettleDelay), so that a fresh
  // button is never one that htmx does not know yet.
  queueMicrotask(() => {
    for (const id of renewed) htmx.trigger(document.getElementById(id), "toggle");
  });
}

if (root) {
  document.body.addEventListener("htmx:beforeSend", ({ detail: { elt, xhr } }) => {
    if (elt !== root) pressed.add(xhr);
  });

  document.body.addEventListener("htmx:afterRequest", ({ detail: { xhr } }) => pressed.delete(xhr));

  document.body.addEventListener("htmx:beforeOnLoad", (event) => {
    const { elt, xhr } = event.detail;
    if (elt !== root) return;
    if (xhr.status < 400) failures = 0;
    // It is asked for again.
    if (pressed.size) event.preventDefault();
  });

  document.body.addEventListener("poll-state", (event) => {
    if ("revision" in event.detail) root.dataset.pollRevision = String(event.detail.revision);
    root.dataset.pollMoving = String(event.detail.moving);
    plan();
  });

  document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    if (target.matches(".connection-row")) {
      fragment.querySelector(".connection-row")?.classList.add("is-fresh");
    }
    carryOver(target, fragment);
  });

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) ask();
  });

  plan();
}
