// Two small comforts; every page works without them.
"use strict";

// Copying an address.
for (const button of document.querySelectorAll("button[data-copy]")) {
  const field = document.getElementById(button.dataset.copy);
  const text = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      document.execCommand("copy"); // plain http has no clipboard
    }
    button.textContent = button.dataset.copied;
    setTimeout(() => { button.textContent = text; }, 2000);
  });
}

// Keeping the overview fresh, unless somebody is reading or using it.
const fresh = document.querySelector("[data-refresh]");
if (fresh) {
  const period = Number(fresh.dataset.refresh) * 1000;
  let current = fresh;
  const inUse = () =>
    document.hidden || current.contains(document.activeElement) ||
    current.querySelector("details[open]") || String(getSelection());
  const refresh = async () => {
    if (!inUse()) {
      try {
        const answer = await fetch(location.href, { credentials: "same-origin", redirect: "error" });
        if (answer.ok) {
          const page = new DOMParser().parseFromString(await answer.text(), "text/html");
          const next = page.querySelector("[data-refresh]");
          if (next && !inUse()) {
            const places = [...current.querySelectorAll(".scroll")].map((part) => part.scrollLeft);
            current.replaceWith(next);
            next.querySelectorAll(".scroll").forEach((part, i) => { part.scrollLeft = places[i] || 0; });
            current = next;
          }
          if (!next) location.reload(); // what was watched has ended
        }
      } catch {
        // The next turn tries again.
      }
    }
    setTimeout(refresh, period);
  };
  setTimeout(refresh, period);
}
