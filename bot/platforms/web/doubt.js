// Draws a photo of the review as a card, and a decision as a line.

import { clock, el } from "./draw.js";
import { enlarge } from "./shots.js";

const REASONS = {
  conflict: "People disagree",
  unreadable: "Damaged",
  mislabelled: "Wrong label?",
  twins: "Same photo, two labels",
  unlike: "Unlike the others",
  empty: "Empty?",
};

// In these, another label is likelier than the present one, or as likely; in others it is no more than a hint.
const LIKELY_WRONG = ["conflict", "mislabelled", "twins"];
const MOST_RIVALS = 4;

// on: {relabel(name), keep(), remove(), other()}.
export function drawDoubt(item, on) {
  const node = el("li", { className: "doubt", tabIndex: -1 });
  node.setAttribute("aria-label", `${item.question} ${item.why}`);
  const pictures = el("div", { className: item.other === null ? "pictures" : "pictures two" });
  pictures.append(item.kind === "unreadable" ? noPicture() : picture(item.picture, item.label ?? item.question));
  if (item.other !== null) pictures.append(picture(`/api/review/${item.other}/picture`, item.suggested));
  const kind = el("span", { className: `kind ${item.kind}`, textContent: REASONS[item.kind] });
  const why = el("p", { className: "why", textContent: item.why });
  const buttons = el("div", { className: "choices" }, ...rows(item, on).map((row) => el("div", {}, ...row)));
  node.append(pictures, el("div", { className: "what" }, kind, el("h3", { textContent: item.question }), why, buttons));
  return node;
}

// The labels that it may be instead, the likeliest first.
export function rivals(item) {
  const names = [item.suggested, ...item.votes.map((vote) => vote.label)];
  return [...new Set(names)].filter((name) => name && name !== item.label).slice(0, MOST_RIVALS);
}

function rows(item, on) {
  const button = (text, className, onclick) => el("button", { type: "button", textContent: text, className, onclick });
  const style = LIKELY_WRONG.includes(item.kind) ? "good" : "";
  const first = rivals(item).map((name, n) => button(`It’s ${name}`, n ? "" : style, () => on.relabel(name)));
  if (item.label) first.push(button(`Keep ${item.label}`, "", on.keep));
  return [first, [button("Other…", "", on.other), button("Remove", "danger", on.remove)]];
}

function picture(address, caption) {
  const image = el("img", { src: address, alt: caption, loading: "lazy", decoding: "async" });
  const box = el("button", { type: "button", className: "shot coming" }, image);
  box.setAttribute("aria-label", `Enlarge the photo: ${caption}`);
  image.onload = () => {
    image.classList.add("ready");
    box.classList.remove("coming");
    box.onclick = () => enlarge(address, caption);
  };
  image.onerror = () => box.replaceWith(noPicture());
  return box;
}

function noPicture() {
  return el("div", { className: "shot none" }, el("span", { textContent: "No picture" }));
}

export function decision(one, onUndo) {
  const relabelled = `${one.label}, was ${one.before ?? "without a label"}`;
  const said = { keep: `Kept ${one.label}`, relabel: relabelled, remove: "Taken out" }[one.decision];
  const who = one.mine ? "you" : one.by || "somebody";
  const back = el("button", { type: "button", textContent: "Undo" });
  back.setAttribute("aria-label", `Undo: ${said}`);
  back.onclick = () => {
    back.disabled = true;
    onUndo();
  };
  const words = el("div", {}, el("b", { textContent: said }), el("span", { className: "small", textContent: `${who}, ${clock(one.at)}` }));
  return el("li", {}, picture(`/api/review/${one.photo}/picture`, said), words, back);
}
