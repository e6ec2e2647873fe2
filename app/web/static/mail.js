// Messages, templates, compose: small help; the pages work without it.
"use strict";

// One box ticks all of a name.
for (const all of document.querySelectorAll("[data-ticks]")) {
  const boxes = document.querySelectorAll(`input[name="${all.dataset.ticks}"]`);
  all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; });
}

// What cannot be taken back asks first.
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-ask]");
  if (button && !confirm(button.dataset.ask)) event.preventDefault();
});
