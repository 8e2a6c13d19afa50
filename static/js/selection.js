// Ticking rows: the whole page at once, how many are ticked, and the ticks of other pages, which
// this tab keeps by id. Without this file each box works alone, and "All that match" besides.

const TICKS = "ticks";
// Set from the sending of an action to its result: who only looks at an old one keeps the ticks.
const ACTING = "ticks-acting";
const announce = (message) => htmx.trigger(document.body, "announce", { message });
// One session in one organization: what another one ticked is never shown.
const owner = document.getElementById("row-actions")?.dataset.ticksOwner;

const form = () => document.getElementById("selection");
const boxes = () => [...document.querySelectorAll(".connection-account__tick")];

function kept() {
  const { of, ids } = JSON.parse(sessionStorage.getItem(TICKS) ?? "{}");
  return new Set(of === owner ? ids : []);
}

function keep(ids) {
  sessionStorage.setItem(TICKS, JSON.stringify({ of: owner, ids: [...ids] }));
}

function keepPage() {
  const ids = kept();
  for (const box of boxes()) {
    if (!box.checked) ids.delete(box.value);
    else if (ids.size < Number(form().dataset.most)) ids.add(box.value);
  }
  keep(ids);
}

// What takes the focus stays clear of the bar at the foot of the window.
const foot = new ResizeObserver(() => {
  const height = form()?.querySelector(".bulk-bar__actions").offsetHeight ?? 0;
  document.documentElement.style.setProperty("--bulk-bar-height", `${height}px`);
  if (height) boxes().find((box) => box === document.activeElement)?.scrollIntoView({ block: "nearest" });
});

function hiddenField(id) {
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name: "row", value: id });
  return field;
}

function words({ one, many, oneAway, manyAway, full }, count, away, isFull) {
  const told = away ? [oneAway, manyAway] : [one, many];
  const counted = count === 1 ? told[0] : told[1];
  return `${counted}${isFull ? full : ""}`.replace("{count}", count).replace("{away}", away);
}

// What is kept decides: after *Back* the browser ticks what it remembers, or nothing.
function show() {
  const bar = form();
  if (!bar) return;
  foot.observe(bar.querySelector(".bulk-bar__actions"));
  const isAll = bar.querySelector("#select-all").checked;
  const page = bar.querySelector("#select-page");
  const ids = kept();
  for (const box of boxes()) box.checked = isAll || ids.has(box.value);
  const here = boxes().filter((box) => box.checked).length;
  const away = isAll ? [] : [...ids].filter((id) => !document.getElementById(`select-${id}`));
  const count = isAll ? Number(bar.dataset.total) : here + away.length;
  page.checked = here > 0 && here === boxes().length;
  page.indeterminate = here > 0 && !page.checked;
  bar.classList.toggle("bulk-bar--some", count > 0);
  bar.querySelector("[data-ticked-away]").replaceChildren(...away.map(hiddenField));
  bar.querySelector("[data-untick]").hidden = !away.length;
  const place = bar.querySelector("[data-selected-count]");
  const isFull = !isAll && count >= Number(bar.dataset.most);
  place.hidden = count === 0;
  place.textContent = count ? words(place.dataset, count, away.length, isFull) : "";
}

function counted() {
  return form()?.querySelector("[data-selected-count]").textContent ?? "";
}

function forget() {
  sessionStorage.removeItem(TICKS);
  if (form()) form().querySelector("#select-all").checked = false;
  show();
}

function finish() {
  if (!sessionStorage.getItem(ACTING)) return;
  sessionStorage.removeItem(ACTING);
  forget();
}

document.addEventListener("submit", ({ target }) => {
  if (target.id === "selection" || !target.querySelector("input[type=hidden][name=row]")) return;
  sessionStorage.setItem(ACTING, "yes");
});

document.addEventListener("change", ({ target }) => {
  if (target.form?.id !== "selection") return;
  if (target.matches("#select-page")) {
    for (const box of boxes()) box.checked = target.checked;
  }
  if (!target.matches("#select-all")) {
    form().querySelector("#select-all").checked = false;
    keepPage();
  }
  show();
  announce(counted());
});

document.addEventListener("click", ({ target }) => {
  if (!target.matches("[data-untick]")) return;
  forget();
  form().querySelector("#select-page").focus();
  announce(target.dataset.untick);
});

// Rows that the poll brought anew.
document.body.addEventListener("htmx:oobAfterSwap", show);

// An action told its result.
document.body.addEventListener("htmx:afterSwap", ({ detail }) => {
  if (detail.target.querySelector("[data-selection-done]")) finish();
});

addEventListener("pageshow", show);

if (document.querySelector("[data-selection-done]")) finish();
else sessionStorage.removeItem(ACTING);
// Ticked while this file was on its way.
const early = boxes().filter((box) => box.checked).map((box) => box.value);
if (early.length && performance.getEntriesByType("navigation")[0]?.type === "navigate") {
  keep([...kept(), ...early]);
}
show();

// A region that is there from the start says nothing.
announce(counted());
