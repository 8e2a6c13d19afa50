// Long lists of boxes to tick: all or none of them at once. Without this file the same links load
// the page anew, ticked so.

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-tick]");
  if (!link) return;
  event.preventDefault();
  for (const box of link.closest("fieldset").querySelectorAll("input[type=checkbox]")) {
    box.checked = link.dataset.tick === "all";
  }
});
