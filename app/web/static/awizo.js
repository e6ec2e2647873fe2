// Small help for the pages; all of them work without it.
"use strict";

// The server shows times by the viewer's clock.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.includes(`awizo_zone=${zone}`)) {
  document.cookie = `awizo_zone=${zone}; path=/ui; max-age=31536000; samesite=lax`;
}

// A form that was refused: go to what is wrong.
const wrong = document.querySelector("[aria-invalid=true]") || document.getElementById("trouble");
if (wrong) wrong.focus();

document.body.classList.add("scripted");

// What is not filled in where a box is not ticked is not shown.
for (const box of document.querySelectorAll("[data-shows]")) {
  const part = document.getElementById(box.dataset.shows);
  const show = () => part.classList.toggle("is-off", !box.checked);
  box.addEventListener("change", show);
  show();
}

// The default port follows the connection; what was typed stays.
for (const mode of document.querySelectorAll("[data-port]")) {
  const port = document.getElementById(mode.dataset.port);
  const ports = Object.fromEntries(port.dataset.ports.split(" ").map((pair) => pair.split("=")));
  mode.addEventListener("change", () => { port.placeholder = ports[mode.value] || ""; });
}

// Leaving a form with changes asks first.
for (const form of document.querySelectorAll("form[data-guard]")) {
  let changed = Boolean(document.querySelector("[aria-invalid=true]"));
  form.addEventListener("input", () => { changed = true; });
  document.addEventListener("submit", () => { changed = false; });
  window.addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
}

// What is made is made once, however often the button is pressed.
for (const form of document.querySelectorAll("form[data-once]")) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  window.addEventListener("pageshow", () => { sent = false; });
}

document.addEventListener("click", async (event) => {
  const copy = event.target.closest("[data-copy]");
  if (!copy) return;
  const source = document.getElementById(copy.dataset.copy);
  getSelection().selectAllChildren(source);  // to copy by hand where the browser forbids it
  await navigator.clipboard.writeText(source.textContent);
  copy.textContent = copy.dataset.done;
});

// A probe, step by step: panels come one after the other, an ASCII 30 between them.
for (const button of document.querySelectorAll("[data-probe]")) {
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    const panel = document.getElementById(button.dataset.probe);
    const form = new URLSearchParams(new FormData(button.form));
    form.set("live", "1");
    button.setAttribute("aria-busy", "true");
    button.disabled = true;
    try {
      const answer = await fetch(button.formAction, { method: "POST", body: form });
      if (!answer.ok || answer.redirected) {  // signed out, or refused: let the browser show why
        button.disabled = false;
        button.form.requestSubmit(button);
        return;
      }
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        const panels = text.split("\x1e");
        text = panels.pop();
        if (panels.length) panel.innerHTML = panels.pop();
      }
    } finally {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  });
}
