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
