// What had the focus may be swapped away: then the same control of what came has it, else the next
// one of the same row, else the heading. Never the top of the page.

// Loaded before poll.js, which moves what is unfolded, and with it the focus.

const isLost = () => !document.activeElement || document.activeElement === document.body;

// As selectors: by then it is another element.
function waysBack(element, target) {
  const ways = element.id ? [`#${CSS.escape(element.id)}`] : [];
  const href = element.getAttribute("href");
  if (href) ways.push(`#${CSS.escape(target.id)} [href="${CSS.escape(href)}"]`);
  const folded = element.closest("details[id]");
  if (folded) ways.push(`#${CSS.escape(folded.id)} > summary`);
  const row = element.closest(".connection-row");
  if (row) ways.push(`#${CSS.escape(row.id)} details.menu > summary`);
  return [...ways, "#main h1"];
}

function isInSight(element) {
  const { top, bottom } = element.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

function follow(target) {
  const focused = document.activeElement;
  if (!target.contains(focused) || target.closest("dialog")) return;
  const ways = waysBack(focused, target);
  // Who has scrolled on reads there, and is not taken back.
  const preventScroll = !isInSight(focused);
  // Before anybody can press a key.
  queueMicrotask(() => {
    if (!isLost()) return;
    const places = ways.map((way) => document.querySelector(way));
    const place = places.find((found) => found?.checkVisibility({ visibilityProperty: true }));
    if (place?.matches("h1")) place.tabIndex = -1;
    place?.focus({ preventScroll });
  });
}

document.body.addEventListener("htmx:beforeSwap", ({ detail }) => follow(detail.target));
document.body.addEventListener("htmx:oobBeforeSwap", ({ detail }) => follow(detail.target));
