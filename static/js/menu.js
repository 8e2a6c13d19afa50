// Native <details class="menu"> opens and closes by itself; this adds leaving it, and shows all of
// one that opens at the foot of the window. What was chosen from it is hidden then: the focus stays
// with the menu.

const openMenus = () => document.querySelectorAll("details.menu[open]");

document.addEventListener("click", (event) => {
  for (const menu of openMenus()) {
    const chosen = event.target.closest(".menu__item");
    const isChosen = chosen && menu.contains(chosen);
    if (isChosen) menu.querySelector("summary").focus({ preventScroll: true });
    if (isChosen || !menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of openMenus()) {
    menu.open = false;
    if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
  }
});

document.addEventListener("focusout", (event) => {
  const menu = event.target.closest("details.menu[open]");
  if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
});

// It does not bubble.
document.addEventListener(
  "toggle",
  ({ target }) => {
    if (target.matches("details.menu[open]")) {
      target.querySelector(".menu__panel").scrollIntoView({ block: "nearest" });
    }
  },
  true,
);
