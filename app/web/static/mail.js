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

// Another template: its fields are on another page.
for (const choice of document.querySelectorAll("[data-again]")) {
  choice.addEventListener("change", () => choice.form.requestSubmit(document.getElementById("again")));
}

// The preview follows what is typed. Each goes into a fresh frame, so that "back" does not step
// through all of them; the old one stays until the new one is there.
const previewButton = document.getElementById("preview-button");
if (previewButton) {
  const form = previewButton.form;
  const frames = document.getElementById("frames");
  const isLive = form.id === "editor";
  let number = 0;
  let waiting = 0;
  const show = () => {
    const old = frames.querySelectorAll("iframe");
    const fresh = old[0].cloneNode(false);
    fresh.removeAttribute("src");
    number += 1;
    fresh.name = `preview-${number}`;
    fresh.classList.add("is-loading");
    frames.append(fresh);
    const body = new FormData(form);
    const post = document.createElement("form");
    post.method = "post";
    post.action = previewButton.getAttribute("formaction");
    post.target = fresh.name;
    post.enctype = form.enctype;
    for (const [name, value] of body) {
      if (value instanceof File) continue;  // the preview does not need them
      const field = document.createElement("input");
      field.type = "hidden";
      field.name = name;
      field.value = value;
      post.append(field);
    }
    document.body.append(post);
    fresh.addEventListener("load", () => {
      fresh.classList.remove("is-loading");
      for (const each of old) each.remove();
    });
    post.submit();
    post.remove();
  };
  previewButton.addEventListener("click", (event) => { event.preventDefault(); show(); });
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(show, 900); };
  if (isLive) form.addEventListener("input", soon);
  for (const radio of form.querySelectorAll("input[name=view]")) radio.addEventListener("change", show);
  if (isLive && !frames.querySelector("iframe[src]")) show();
}
