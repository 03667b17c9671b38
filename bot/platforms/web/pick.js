// Asks for a label: all there are as buttons, fewer with every letter that is typed, or a new one.

import { el } from "./draw.js";

const dialog = document.getElementById("pick");
const field = dialog.querySelector("input");
const list = dialog.querySelector("ul");
let labels = [];
let done = () => {};

export const isAsking = () => dialog.open;

// Resolves to {name, isNew}, or to null when nothing was chosen.
export function ask(known) {
  labels = [...known].sort((a, b) => a.localeCompare(b));
  field.value = "";
  draw();
  dialog.showModal();
  // A phone's keyboard would cover the buttons, which most people press.
  if (!matchMedia("(pointer: coarse)").matches) field.focus();
  return new Promise((resolve) => { done = resolve; });
}

function draw() {
  const typed = plain(field.value);
  const near = labels.filter((name) => plain(name).includes(typed));
  near.sort((a, b) => plain(b).startsWith(typed) - plain(a).startsWith(typed));
  const buttons = near.map((name) => choice(name, "", { name, isNew: false }));
  const isKnown = labels.some((name) => plain(name) === typed);
  if (typed && !isKnown) {
    const name = field.value.trim();
    buttons.push(choice(`Make the new label “${name}”`, near.length ? "" : "good", { name, isNew: true }));
  }
  list.replaceChildren(...buttons.map((button) => el("li", {}, button)));
}

function choice(text, className, chosen) {
  return el("button", { type: "button", textContent: text, className, onclick: () => close(chosen) });
}

// The server compares names in the same way, so that “Málaga” and “malaga” are one here, too.
function plain(name) {
  return name.normalize("NFKD").toLowerCase().replace(/[^\p{L}\p{N}\p{S}]/gu, "");
}

function close(chosen) {
  done(chosen);
  done = () => {};
  dialog.close();
}

field.addEventListener("input", draw);
field.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing) return;
  event.preventDefault();
  list.querySelector("button")?.click();
});
dialog.querySelector(".icon").onclick = () => close(null);
dialog.addEventListener("close", () => close(null));
dialog.addEventListener("click", (event) => event.target === dialog && close(null));
