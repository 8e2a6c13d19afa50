// Copies what stands in a field that cannot be written in; by hand it can be copied without this.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  const field = button && document.getElementById(button.dataset.copy);
  if (!field) return;
  const told = button.nextElementSibling;
  try {
    await navigator.clipboard.writeText(field.value);
    told.textContent = told.dataset.copied;
  } catch {
    field.select();
    told.textContent = told.dataset.selected;
  }
});
