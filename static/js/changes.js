// What fresh rows changed, said once: the new state of a few, of more only how many. It is
// compared with what stood there, so that neither a row that an action and the poll both bring
// nor a change elsewhere is told twice, or at all.

const poll = document.getElementById("poll");
const dialog = document.getElementById("dialog");
const MOST = 3;

// What each row said when the reader last heard of it, by its id; and which rows the list had.
const before = new Map();
let listed = null;
let attention = poll?.dataset.attention;
let isAnswered = false;
let isPlanned = false;

const rowsIn = (place) => [...place.querySelectorAll(".connection-row")];
const idsOf = (place) => rowsIn(place).map((row) => row.id).sort().join(" ");

function states(row) {
  const cells = [...row.querySelectorAll(":scope > tr > td[data-label]")];
  return cells.map((cell) => {
    const words = [...cell.querySelectorAll(".status")].map((sign) => sign.textContent.trim());
    return words.length ? `${cell.dataset.label}: ${words.join(", ")}` : "";
  });
}

function changed([id, old]) {
  const row = document.getElementById(id);
  const fresh = row ? states(row).filter((state) => state && !old.includes(state)) : [];
  return fresh.length ? `${row.querySelector("th").abbr}: ${fresh.join("; ")}.` : "";
}

function listWords() {
  const list = document.getElementById("connection-list");
  if (listed === null || !list || idsOf(list) === listed) return "";
  const found = document.getElementById("list-count")?.textContent ?? "";
  return `${poll.dataset.listChanged} ${found}`.trim();
}

function rowWords() {
  const lines = [...before].map(changed).filter(Boolean);
  if (lines.length <= MOST) return lines.join(" ");
  return poll.dataset.manyChanged.replace("{count}", lines.length);
}

function tell() {
  isPlanned = false;
  isAnswered = false;
  if (dialog.open) return;
  const needing = poll.dataset.attention === attention ? "" : `${poll.dataset.attention}.`;
  const message = [listWords(), rowWords(), needing].filter(Boolean).join(" ");
  before.clear();
  listed = null;
  attention = poll.dataset.attention;
  if (message) htmx.trigger(document.body, "announce", { message });
}

// After all that one answer brings.
function plan() {
  if (!isPlanned) queueMicrotask(tell);
  isPlanned = true;
}

if (poll) {
  // An answer with words of its own says what became of its rows.
  document.body.addEventListener("announce", () => {
    isAnswered = true;
    plan();
  });

  document.body.addEventListener("poll-state", ({ detail }) => {
    if ("attention" in detail) poll.dataset.attention = detail.attention;
    plan();
  });

  document.body.addEventListener("htmx:oobBeforeSwap", ({ detail: { target } }) => {
    const isList = target.id === "connection-list";
    if (isList) listed ??= idsOf(target);
    const rows = isList ? rowsIn(target) : [target].filter((place) => place.matches(".connection-row"));
    for (const row of rows) {
      if (!isAnswered && !before.has(row.id)) before.set(row.id, states(row));
    }
    plan();
  });

  dialog.addEventListener("close", plan);
}
