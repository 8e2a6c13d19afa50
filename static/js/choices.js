// Long lists of boxes to tick: all or none at once, narrowed while one types, and how many are
// ticked. Without this file the same links and the same button ask the server.

// The count is spoken: once, after the last key.
const PAUSE = 500;
let typing = 0;

const boxesIn = (place) => [...place.querySelectorAll(".choice-list input[type=checkbox]")];

// As the server compares: without case and accents.
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

function narrow(form) {
  const words = plain(form.querySelector("[data-narrow]").value.trim());
  const boxes = boxesIn(form);
  let found = 0;
  for (const box of boxes) {
    const line = box.closest("li");
    const isFound = plain(line.textContent).includes(words);
    line.hidden = !box.checked && !isFound;
    found += Number(isFound);
  }
  clearTimeout(typing);
  typing = setTimeout(() => tellShown(form, boxes, found), PAUSE);
}

function tellShown(form, boxes, found) {
  const shown = boxes.filter((box) => !box.closest("li").hidden).length;
  const told = form.querySelector("[data-narrow-shown]");
  const { narrowShown, narrowNone } = told.dataset;
  const words = found ? narrowShown : narrowNone;
  told.textContent = words.replace("{count}", shown).replace("{total}", boxes.length);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-tick]");
  const button = event.target.closest("[data-narrow-now]");
  if (link || button) event.preventDefault();
  if (button) narrow(button.form);
  if (!link) return;
  for (const box of boxesIn(link.closest("fieldset"))) box.checked = link.dataset.tick === "all";
});

document.addEventListener("input", ({ target }) => {
  if (target.matches("[data-narrow]")) narrow(target.form);
});

document.addEventListener("change", ({ target }) => {
  const list = target.closest("fieldset");
  const told = list?.querySelector("[data-ticked-count]");
  if (told) told.textContent = boxesIn(list).filter((box) => box.checked).length;
});
