// The versions of the model and how well each does: everybody may look, admins may publish, put aside and go back.

import { percent } from "./charts.js";
import { clock, el } from "./draw.js";
import { get, newId, post } from "./net.js";
import { KINDS, interval, parts, pill } from "./report.js";

const HERE = /^#models(?:\/(\d{1,9}))?$/;
const SOON_MS = 1500;

const byId = (id) => document.getElementById(id);
const view = byId("models");
const way = byId("models-way");
const list = byId("versions");
const page = byId("version");

let isAdmin = false;
let notice = () => {};
let found = []; // versions, newest first
let shown = null; // the report on the page
let drawnAt = 0; // its width
let asked = null; // the id of the command that I sent from here

export function setUp(who, given) {
  isAdmin = who.is_admin;
  notice = given.notice;
  addEventListener("hashchange", route);
  route();
}

export const isOpen = () => !view.hidden;

// A version that waits for an admin; null: none. Only an admin is called to it.
export function waits(version) {
  const isMine = isAdmin && version !== null;
  way.querySelector("b").hidden = !isMine;
  way.setAttribute("aria-label", isMine ? `Models: v${version} waits for you` : "Models");
}

export function leave() {
  if (isOpen()) location.hash = "chat";
}

// An answer came: perhaps to what was pressed here, perhaps news of another version.
let soon;
export function heard(answer) {
  if (!isOpen()) return;
  if (asked !== null && answer.reply_to === asked) {
    asked = null;
    const { title, text, mood } = answer.reply;
    notice([title, text].filter(Boolean).join(". "), { bad: mood === "error" });
  }
  if (answer.reply.progress !== null) return;
  clearTimeout(soon);
  soon = setTimeout(() => load().catch(() => {}), SOON_MS);
}

function route() {
  const here = HERE.exec(location.hash);
  const opens = here !== null;
  const wasOpen = isOpen();
  view.hidden = !opens;
  if (opens) way.setAttribute("aria-current", "page");
  else way.removeAttribute("aria-current");
  // Once every view has heard of it: one that closes must not free what another covers.
  setTimeout(() => {
    const isCovered = isOpen() || !byId("review").hidden;
    for (const id of ["feed", "foot", "newer"]) byId(id).inert = isCovered;
  });
  if (opens) load(!wasOpen).catch((sorry) => notice(sorry.message));
  else if (wasOpen) way.focus({ preventScroll: true });
}

// The version in the address; without one, the one that answers now, for screens with room for both.
function wanted() {
  const number = HERE.exec(location.hash)?.[1];
  if (number !== undefined) return Number(number);
  return (found.find((one) => one.state === "current") ?? found[0])?.version;
}

async function load(takesFocus = false) {
  const isOne = HERE.exec(location.hash)?.[1] !== undefined;
  view.classList.toggle("one", isOne);
  found = await get("/api/models");
  drawList();
  const version = wanted();
  if (version === undefined) {
    page.replaceChildren(el("p", { className: "small", textContent: "There is no version yet. The first one comes with the first two labels." }));
    return;
  }
  const report = await get(`/api/models/${version}/report`);
  if (!isOpen() || wanted() !== version) return;
  const isOther = shown?.version.version !== version;
  shown = report;
  drawReport();
  if (isOther) view.scrollTop = 0;
  if (takesFocus) byId("models-title").focus({ preventScroll: true });
}

// The list

function drawList() {
  const chosen = wanted();
  list.replaceChildren(...found.map((one) => {
    const link = el("a", { href: `#models/${one.version}` });
    if (one.version === chosen) link.setAttribute("aria-current", "true");
    const top = el("div", { className: "top" }, el("b", { textContent: `v${one.version}` }), pill(one), el("span", { className: "grow" }), el("span", { className: "score", textContent: score(one) }));
    const facts = [KINDS[one.kind] ?? one.kind, one.photos ? `${one.photos} photos` : "", clock(one.made_at)];
    link.append(top, interval(one.exam), el("p", { className: "small", textContent: facts.filter(Boolean).join(" · ") }));
    return el("li", {}, link);
  }));
}

function score(one) {
  return one.exam.error === null ? "no exam" : `${percent(1 - one.exam.error)} right`;
}

// One version's report

function drawReport() {
  // On a phone the list comes first, and the report has no width yet.
  if (!page.clientWidth) return;
  drawnAt = page.clientWidth;
  page.replaceChildren(...parts(shown, drawnAt, deeds(shown.version)));
}

// What an admin may do with it: the same commands as in the chat, where everybody sees them.
function deeds(version) {
  const number = version.version;
  const buttons = [];
  if (!isAdmin) return buttons;
  if (version.state === "candidate") {
    buttons.push(deed(`Publish v${number} anyway`, `/promote ${number}`), deed("Put aside", `/discard ${number}`, "danger"));
  } else if (version.state === "current") {
    const earlier = found.filter((one) => one.state === "retired" && one.kind !== "backbone" && one.published_at && one.published_at <= version.published_at);
    // As /rollback does it: the one that answered before.
    const [before] = earlier.sort((a, b) => (a.published_at > b.published_at ? -1 : 1));
    if (before) buttons.push(deed(`Go back to v${before.version}`, `/rollback ${before.version}`));
  } else if (version.kind !== "backbone") {
    buttons.push(deed(`Go back to v${number}`, version.state === "retired" ? `/rollback ${number}` : `/promote ${number}`));
  }
  return buttons;
}

function deed(text, command, className = "") {
  const button = el("button", { type: "button", textContent: text, className });
  button.onclick = async () => {
    button.disabled = true;
    try {
      asked = (await post("/messages", { text: command, reply_to: null, id: newId() })).id;
    } catch (sorry) {
      button.disabled = false;
      notice(sorry.message);
    }
  };
  return button;
}

new ResizeObserver(() => {
  if (isOpen() && shown && Math.abs(page.clientWidth - drawnAt) > 8) drawReport();
}).observe(page);

addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !isOpen() || byId("large").open) return;
  event.preventDefault();
  leave();
});
