// Long lists of boxes to tick: all or none at once, narrowed while one types, and how many are
// ticked. Without this file the same links and the same button ask the server.

// The count is spoken: once, after the last key.
const PAUSE = 500;
let typing = 0;

const boxesIn = (place) => [...place.querySelectorAll(".choice-list input[type=checkbox]")];

function narrow(form) {
  const words = form.querySelector("[data-narrow]").value.trim().toLowerCase();
  const boxes = boxesIn(form);
  for (const box of boxes) {
    const line = box.closest("li");
    line.hidden = !box.checked && !line.textContent.toLowerCase().includes(words);
  }
  clearTimeout(typing);
  typing = setTimeout(() => tellShown(form, boxes), PAUSE);
}

function tellShown(form, boxes) {
  const shown = boxes.filter((box) => !box.closest("li").hidden).length;
  const told = form.querySelector("[data-narrow-shown]");
  told.textContent = told.dataset.narrowShown.replace("{count}", shown).replace("{total}", boxes.length);
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
