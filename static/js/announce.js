// One place speaks for the page. Any event "announce" {message} is said once; what comes at the
// same time is said in one go. An open dialog silences the page behind it: what is to be said
// waits until it closes.

const announcer = document.getElementById("announcer");
const dialog = document.getElementById("dialog");
const SLOW = 2000;
let waiting = [];
// What the page's scripts say at its start is said in one go, however late the last one comes.
const started = new Promise((resolve) => {
  if (document.readyState === "complete") resolve();
  for (const name of ["DOMContentLoaded", "load"]) addEventListener(name, resolve, { once: true });
});

function speak() {
  if (dialog?.open) return;
  announcer.textContent = waiting.map((words) => words.trim()).join(". ").replaceAll(".. ", ". ");
  waiting = [];
}

document.body.addEventListener("announce", ({ detail }) => {
  if (!announcer || !detail.message) return;
  waiting.push(detail.message);
  if (waiting.length > 1) return;
  // The same words again are news only to a place that was empty.
  announcer.textContent = "";
  started.then(() => requestAnimationFrame(speak));
});

dialog?.addEventListener("close", () => {
  if (waiting.length) requestAnimationFrame(speak);
});

const tell = (message) => htmx.trigger(document.body, "announce", { message });

// What stood on the page from its start says nothing by itself: messages of the last action, and
// how many a search found.
for (const told of document.querySelectorAll("#notices .notice__body, #list-count")) {
  tell(told.textContent.replace(/\s+/g, " "));
}

// A slow line: whoever pressed something hears that it goes on.
const timers = new Map();

document.body.addEventListener("htmx:beforeSend", ({ detail: { xhr, target, requestConfig } }) => {
  if (dialog?.open || !requestConfig.triggeringEvent?.isTrusted) return;
  target.setAttribute("aria-busy", "true");
  timers.set(xhr, setTimeout(() => tell(announcer.dataset.slow), SLOW));
});

document.body.addEventListener("htmx:afterRequest", ({ detail: { xhr, target } }) => {
  clearTimeout(timers.get(xhr));
  if (timers.delete(xhr)) target.removeAttribute("aria-busy");
});
