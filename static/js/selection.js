// Ticking rows: the whole page at once, how many are ticked. Without this file each box works
// alone, and "All that match" besides.

const announcer = document.getElementById("announcer");

const form = () => document.getElementById("selection");
const boxes = () => [...document.querySelectorAll(".connection-account__tick")];

function words(place, count) {
  return count === 1 ? place.dataset.one : place.dataset.many.replace("{count}", count);
}

function show() {
  const bar = form();
  if (!bar) return;
  const all = bar.querySelector("#select-all");
  const page = bar.querySelector("#select-page");
  const ticked = boxes().filter((box) => box.checked).length;
  const count = all.checked ? Number(bar.dataset.total) : ticked;
  page.checked = ticked > 0 && ticked === boxes().length;
  page.indeterminate = ticked > 0 && !page.checked;
  bar.classList.toggle("bulk-bar--idle", count === 0);
  bar.classList.toggle("bulk-bar--some", count > 0);
  const place = bar.querySelector("[data-selected-count]");
  place.hidden = count === 0;
  place.textContent = count ? words(place, count) : "";
}

function tick(checked) {
  for (const box of boxes()) box.checked = checked;
}

document.addEventListener("change", (event) => {
  const { target } = event;
  if (target.matches("#select-page, #select-all")) tick(target.checked);
  if (target.matches("#select-page, .connection-account__tick")) {
    form().querySelector("#select-all").checked = false;
  }
  if (target.form?.id !== "selection") return;
  show();
  const place = form().querySelector("[data-selected-count]");
  if (announcer) announcer.textContent = place.textContent;
});

// Rows that the poll brought anew.
document.body.addEventListener("htmx:oobAfterSwap", show);

show();

// How many a search found, said once: a region that is there from the start says nothing.
const found = document.getElementById("list-count");
if (found && announcer) {
  requestAnimationFrame(() => {
    announcer.textContent = found.textContent;
  });
}
