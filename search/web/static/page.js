// Keys, copying and dropped files. Everything works without it, by links and forms.
"use strict";
const field = (node) => /^(INPUT|TEXTAREA|SELECT)$/.test(node.tagName);
const links = () => [...document.querySelectorAll(".forest tbody a, .reasons a")];

function mark(link) {
  document.querySelectorAll(".forest tr[aria-current]").forEach((row) => row.removeAttribute("aria-current"));
  const row = link.closest(".forest tr");
  if (row) row.setAttribute("aria-current", "true");
}

function step(by) {
  const all = links();
  const now = all.findIndex((link) => link.dataset.rank === document.querySelector("[data-rank][data-count]")?.dataset.rank);
  const next = all[Math.min(all.length - 1, Math.max(0, now + by))];
  if (!next) return;
  next.closest("details")?.setAttribute("open", "");
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
  next.click();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || field(event.target)) return;
  if (event.key === "/") { event.preventDefault(); document.getElementById("q").focus(); document.getElementById("q").select(); }
  if (event.key === "j") step(1);
  if (event.key === "k") step(-1);
  if (event.key === "?") document.getElementById("help").showModal();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  const link = event.target.closest(".forest a, .reasons a");
  if (link) mark(link);
  if (!button) return;
  navigator.clipboard.writeText(button.dataset.copy).then(() => {
    const said = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = said; }, 1200);
  });
});

async function vote(form, pressed) {
  const body = new URLSearchParams(new FormData(form, pressed));
  const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
  if (answer.type !== "opaqueredirect") return form.submit();
  const taken = pressed.value === "";
  for (const button of form.querySelectorAll("button")) {
    const on = button === pressed && !taken;
    button.setAttribute("aria-pressed", String(on));
    button.value = on ? "" : button.dataset.word;
  }
}

document.addEventListener("submit", (event) => {
  if (event.target.className === "vote") {
    event.preventDefault();
    return vote(event.target, event.submitter);
  }
  const button = event.target.querySelector("button");
  if (event.target.method !== "dialog" && button) { button.setAttribute("aria-busy", "true"); button.textContent = "Working\u2026"; }
});

async function take(event, box) {
  const file = event.dataTransfer?.files[0];
  if (!file) return;
  event.preventDefault();
  box.value = file.size < 262144 ? await file.text() : "";
  const name = box.form.querySelector("input[name=file]");
  if (name) name.value = file.name;
  box.closest("details")?.setAttribute("open", "");
  box.focus();
}

document.querySelectorAll("textarea[name=phrases], textarea[name=rules], form.ask").forEach((place) => {
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => take(event, place.matches("textarea") ? place : document.getElementById("list")));
});

document.getElementById("list").addEventListener("input", (event) => {
  if (!event.target.value) event.target.form.elements.file.value = "";  // what is typed next is not of the file
});

document.addEventListener("error", (event) => {
  if (event.target.tagName !== "IMG") return;
  const blank = document.createElement("span");
  blank.className = "gone";
  blank.textContent = "no picture to show";
  event.target.replaceWith(blank);
}, true);
