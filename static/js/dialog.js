// One <dialog id="dialog">: opens when htmx swaps a frame into it, gives focus back on closing.

const dialog = document.getElementById("dialog");
const notices = document.getElementById("notices");
const failure = document.getElementById("request-failed");
let opener = null;
let isSignedOut = false;
// What it stood in, for an opener that is gone: a menu or details, and its row.
let places = [];

const reachable = (element) => element?.isConnected && element.checkVisibility({ visibilityProperty: true });

function giveFocusBack() {
  const twin = opener?.id ? document.getElementById(opener.id) : null;
  const menu = (twin ?? opener)?.closest?.("details.menu")?.querySelector("summary");
  const around = places.map((place) => document.querySelector(place));
  const field = (twin ?? opener)?.form?.querySelector("input:not([type='hidden'])");
  const target = [opener, twin, menu, ...around, field, document.getElementById("main")].find(reachable);
  target?.focus();
  opener = null;
}

function placesOf(element) {
  const folded = element.closest("details[id]");
  const row = element.closest(".connection-row");
  return [
    ...(folded ? [`#${CSS.escape(folded.id)} > summary`] : []),
    ...(row ? [`#${CSS.escape(row.id)} details.menu > summary`] : []),
  ];
}

// The server marks the first mistake of a form.
function focusInside() {
  const first = dialog.querySelector("[autofocus]") ?? dialog.querySelector("#dialog-title");
  first?.focus();
}

document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.target !== dialog || dialog.open) return;
  opener = event.detail.elt;
  places = placesOf(opener);
});

document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target !== dialog || !dialog.querySelector(".dialog-frame")) return;
  dialog.setAttribute("aria-labelledby", "dialog-title");
  if (!dialog.open) dialog.showModal();
  focusInside();
});

document.body.addEventListener("close-dialog", () => dialog.close());

dialog.addEventListener("click", (event) => {
  if (!event.target.closest("[data-dialog-close]")) return;
  event.preventDefault();
  dialog.close();
});

dialog.addEventListener("close", () => {
  dialog.replaceChildren();
  dialog.removeAttribute("aria-labelledby");
  giveFocusBack();
});

// What went wrong is said in the answer's words, if it is ours and has some; else in the page's own.
function words(answer) {
  const said = document.createElement("template");
  said.innerHTML = answer?.responseText ?? "";
  return said.content.querySelector("[data-request-failed]") ?? failure.content.cloneNode(true);
}

function showFailure(event) {
  // What the page can do without is not missed aloud.
  if (event.detail.elt?.matches("[data-poll-url], [data-optional]")) return;
  const place = dialog.open ? dialog.querySelector(".dialog-frame") : notices;
  place.querySelector("[data-request-failed]")?.remove();
  place.prepend(words(event.detail.xhr));
  // Whoever pressed something far below sees it too; the focus stays there, to try once more.
  if (!event.detail.requestConfig?.triggeringEvent?.isTrusted) return;
  place.querySelector("[data-request-failed]").scrollIntoView({ block: "nearest" });
}

document.body.addEventListener("htmx:responseError", showFailure);
document.body.addEventListener("htmx:sendError", showFailure);
document.body.addEventListener("htmx:timeout", showFailure);

// The session has ended: what was typed in the dialog stays, while another tab signs in. Without
// a dialog nothing is lost, and the page goes to the sign-in.
document.body.addEventListener("htmx:beforeOnLoad", (event) => {
  if (!dialog.open || !words(event.detail.xhr).matches?.("[data-signed-out]")) return;
  event.preventDefault();
  isSignedOut = true;
  showFailure(event);
});

// Signing in changes what keeps forms from being forged; they take it from the page as it is now.
async function renewForms() {
  const answer = await fetch(location.href);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const token = page.querySelector("[name=csrfmiddlewaretoken]")?.value;
  if (answer.redirected || !token) return;
  isSignedOut = false;
  for (const field of document.querySelectorAll("[name=csrfmiddlewaretoken]")) field.value = token;
}

document.body.addEventListener("htmx:confirm", (event) => {
  const { elt, issueRequest, triggeringEvent } = event.detail;
  if (!isSignedOut || elt.matches("[data-poll-url]")) return;
  event.preventDefault();
  const pressed = kept(triggeringEvent?.submitter);
  renewForms().catch(() => {}).then(() => {
    issueRequest(true);
    pressed?.remove();
  });
});

// htmx forgets the pressed button as soon as something else has the focus.
function kept(button) {
  if (!button?.name || !button.form) return null;
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name: button.name, value: button.value });
  button.form.append(field);
  return field;
}

// Also for what is sent from the page behind it.
dialog.addEventListener("close", () => {
  if (isSignedOut) renewForms().catch(() => {});
});
