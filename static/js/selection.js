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

// All pages of a list have the same.
function filter() {
  const chosen = [...new URLSearchParams(location.search)];
  const told = chosen.filter(([name, value]) => value && !["page", "sort"].includes(name));
  return JSON.stringify(told.sort());
}

// `all` is the filter of which all are ticked, `but` what was unticked since, of `total`. When that
// is another number now, nobody knows what is left of them: then "all" is over.
function kept() {
  const found = JSON.parse(sessionStorage.getItem(TICKS) ?? "{}");
  const { ids = [], all = null, but = [], total = 0 } = found.of === owner ? found : {};
  const isSame = !but.length || total === Number(form()?.dataset.total ?? total);
  const isAll = all === filter() && isSame;
  return { ids: new Set(ids), isAll, but: new Set(isAll ? but : []) };
}

function keep({ ids, isAll, but }) {
  const total = Number(form()?.dataset.total ?? 0);
  const all = isAll ? { all: filter(), but: [...but], total } : {};
  sessionStorage.setItem(TICKS, JSON.stringify({ of: owner, ids: [...ids], ...all }));
}

function keepPage(ticks) {
  const marked = ticks.isAll ? ticks.but : ticks.ids;
  for (const box of boxes()) {
    if (!box.checked) ticks.ids.delete(box.value);
    if (box.checked === ticks.isAll) marked.delete(box.value);
    else if (marked.size < Number(form().dataset.most)) marked.add(box.value);
  }
  if (ticks.but.size >= Number(form().dataset.total)) ticks.isAll = false;
}

// What takes the focus stays clear of the bar at the foot of the window.
const foot = new ResizeObserver(() => {
  const height = form()?.querySelector(".bulk-bar__actions").offsetHeight ?? 0;
  document.documentElement.style.setProperty("--bulk-bar-height", `${height}px`);
  if (height) boxes().find((box) => box === document.activeElement)?.scrollIntoView({ block: "nearest" });
});

function hiddenField(name, value) {
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name, value });
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
  const { ids, isAll, but } = kept();
  for (const box of boxes()) box.checked = isAll ? !but.has(box.value) : ids.has(box.value);
  const here = boxes().filter((box) => box.checked).length;
  const away = isAll ? [] : [...ids].filter((id) => !document.getElementById(`select-${id}`));
  const count = isAll ? Number(bar.dataset.total) - but.size : here + away.length;
  const page = bar.querySelector("#select-page");
  page.checked = here > 0 && here === boxes().length;
  page.indeterminate = here > 0 && !page.checked;
  const every = bar.querySelector("#select-all");
  every.checked = isAll;
  every.indeterminate = isAll && but.size > 0;
  bar.classList.toggle("bulk-bar--some", count > 0);
  const [name, told] = isAll ? ["but", [...but]] : ["row", away];
  const fields = told.map((id) => hiddenField(name, id));
  bar.querySelector("[data-ticked-away]").replaceChildren(...fields);
  bar.querySelector("[data-untick]").hidden = count === 0;
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
  const ticks = kept();
  if (target.matches("#select-page")) {
    for (const box of boxes()) box.checked = target.checked;
  }
  if (!target.matches("#select-all")) keepPage(ticks);
  else Object.assign(ticks, { isAll: target.checked, but: new Set() });
  keep(ticks);
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
const early = [...boxes(), form()?.querySelector("#select-all")].filter((box) => box?.checked);
if (early.length && performance.getEntriesByType("navigation")[0]?.type === "navigate") {
  const ticks = kept();
  for (const box of early) {
    if (box.id === "select-all") ticks.isAll = true;
    else ticks.ids.add(box.value);
  }
  keep(ticks);
}
show();

// A region that is there from the start says nothing.
announce(counted());
