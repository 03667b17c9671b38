// The review, for admins: photos that somebody should look at, as cards; a press or a key keeps, relabels or removes.

import { decision, drawDoubt, rivals } from "./doubt.js";
import { el } from "./draw.js";
import { get, post } from "./net.js";
import { ask, isAsking } from "./pick.js";

const HERE = "#review";
const A_PAGE = 40;
const FEW = 10; // With so few cards left, more are fetched.

const byId = (id) => document.getElementById(id);
const view = byId("review");
const list = byId("doubts");
const way = byId("review-way");
const undoButton = byId("review-undo");
const decided = byId("decided");

const cards = new Map(); // a photo's id → {item, node, order, isGoing}
let mine = []; // what I decided and may undo, newest last: {act, card}
let labels = [];
let left = 0;
let current = null;
let order = 0;
let turn = Promise.resolve();
let notice = () => {};

// Posts leave one after the other, so that an undo finds what it undoes.
function inTurn(work) {
  turn = turn.then(work).catch((sorry) => notice(sorry.message));
}

export function setUp(who, given) {
  if (!who.is_admin) return;
  notice = given.notice;
  way.hidden = false;
  addEventListener("hashchange", route);
  route();
  refresh();
}

export const isOpen = () => !view.hidden;

export function leave() {
  if (isOpen()) location.hash = "chat";
}

// How many there are, for the button in the header.
export function refresh() {
  if (way.hidden || isOpen()) return;
  get("/api/review?limit=1").then((found) => setLeft(found.left)).catch(() => {});
}

function route() {
  const opens = location.hash === HERE;
  if (opens === isOpen()) return;
  const hadFocus = view.contains(document.activeElement);
  view.hidden = !opens;
  for (const id of ["feed", "foot", "newer"]) byId(id).inert = opens;
  if (opens) way.setAttribute("aria-current", "page");
  else way.removeAttribute("aria-current");
  if (opens) load();
  else if (hadFocus) way.focus({ preventScroll: true });
}

async function load() {
  cards.clear();
  list.replaceChildren();
  decided.open = false;
  byId("doubtless").hidden = true;
  say("Looking…");
  try {
    const found = await get(`/api/review?limit=${A_PAGE}`);
    labels = found.labels;
    mine = found.decided.filter((one) => one.mine).reverse().map(({ act }) => ({ act, card: null }));
    found.items.forEach(add);
    setLeft(found.left);
    say("");
    select([...cards.values()][0]);
  } catch (sorry) {
    say("");
    notice(sorry.message);
  }
  settle();
}

// Once the posts under way are through: what was decided on is then no longer counted.
function loadMore() {
  inTurn(async () => {
    const found = await get(`/api/review?limit=${A_PAGE}&offset=${cards.size}`);
    found.items.filter((item) => !cards.has(item.photo)).forEach(add);
    setLeft(found.left);
    settle();
  });
}
byId("more-doubts").onclick = loadMore;

function add(item) {
  const card = cardOf(item, order++);
  cards.set(item.photo, card);
  list.append(card.node);
}

function cardOf(item, place) {
  const card = { item, order: place, isGoing: false };
  card.node = drawDoubt(item, {
    relabel: (name) => decide(card, "relabel", name),
    keep: () => decide(card, "keep", item.label),
    remove: () => decide(card, "remove"),
    other: () => choose(card),
  });
  return card;
}

function setLeft(count) {
  left = count;
  const badge = way.querySelector("b");
  badge.hidden = !count;
  badge.textContent = count > 99 ? "99+" : count;
  way.setAttribute("aria-label", count ? `Review: ${count} to look at` : "Review");
}

function say(sentence) {
  const there = isOpen() && left ? `${left} to look at` : "";
  byId("review-said").textContent = [sentence, there].filter(Boolean).join(" ");
}

function settle() {
  byId("doubtless").hidden = cards.size > 0 || left > 0;
  byId("more-doubts").hidden = left <= cards.size;
  undoButton.disabled = !mine.length;
}

// Deciding

async function choose(card) {
  const chosen = await ask(labels);
  card.node.focus({ preventScroll: true });
  if (!chosen) return;
  if (chosen.isNew) labels = [...labels, chosen.name];
  if (chosen.name === card.item.label) decide(card, "keep", chosen.name);
  else decide(card, "relabel", chosen.name, chosen.isNew);
}

function decide(card, decision, label = null, isNew = false) {
  if (card.isGoing) return;
  const { photo } = card.item;
  card.isGoing = true;
  card.node.classList.add("going");
  card.node.inert = true;
  if (current === card) select(beside(card));
  inTurn(async () => {
    try {
      const done = await post(`/api/review/${photo}`, { decision, label, new: isNew });
      mine = [...mine.filter((one) => one.act !== done.act), { act: done.act, card }];
      drop(card, done.left);
      say(done.said);
    } catch (sorry) {
      notice(sorry.message);
      if (sorry.status === 409 || (sorry.status === 404 && decision !== "relabel")) drop(card, left - 1);
      else comeBack(card);
    }
  });
}

function drop(card, leftNow) {
  cards.delete(card.item.photo);
  card.node.remove();
  setLeft(Math.max(leftNow, 0));
  say("");
  settle();
  if (decided.open) showDecided();
  const isLow = [...cards.values()].filter((one) => !one.isGoing).length < FEW;
  if (isLow && left > cards.size) loadMore();
}

function comeBack(card) {
  card.isGoing = false;
  card.node.classList.remove("going");
  card.node.inert = false;
  select(card);
}

function undo(act, card = null) {
  mine = mine.filter((one) => one.act !== act);
  settle();
  inTurn(async () => {
    try {
      const found = await post("/api/review/undo", { act });
      setLeft(found.left);
      if (found.item && !cards.has(found.item.photo)) {
        const again = cardOf(found.item, card?.order ?? -1);
        const after = [...cards.values()].filter((one) => one.order > again.order).sort((a, b) => a.order - b.order)[0];
        cards.set(found.item.photo, again);
        list.insertBefore(again.node, after?.node ?? null);
        select(again);
      }
      say("Undone.");
    } catch (sorry) {
      notice(sorry.message);
    }
    settle();
    if (decided.open) showDecided();
  });
}

function undoLast() {
  // What is still on its way has no act yet; it is in the list once its turn is over.
  inTurn(() => {
    const last = mine.at(-1);
    if (last) undo(last.act, last.card);
  });
}
undoButton.onclick = undoLast;

// What was decided lately, by whomever

decided.addEventListener("toggle", () => decided.open && showDecided());

async function showDecided() {
  const rest = decided.querySelector("ul");
  try {
    const found = await get("/api/review?limit=1");
    const back = ({ act }) => undo(act, mine.find((known) => known.act === act)?.card);
    rest.replaceChildren(...found.decided.map((one) => decision(one, () => back(one))));
    if (!found.decided.length) rest.append(el("li", { className: "small", textContent: "Nothing yet." }));
  } catch (sorry) {
    notice(sorry.message);
  }
}

// Moving about, and keys

function select(card, takesFocus = true) {
  current?.node.classList.remove("current");
  if (current) current.node.tabIndex = -1;
  current = card ?? null;
  if (!card) {
    if (takesFocus && isOpen()) byId("review-title").focus({ preventScroll: true });
    return;
  }
  card.node.classList.add("current");
  card.node.tabIndex = 0;
  if (takesFocus) card.node.focus();
}

function inOrder() {
  return [...cards.values()].filter((card) => !card.isGoing).sort((a, b) => a.order - b.order);
}

function beside(card) {
  const rest = inOrder();
  return rest.find((one) => one.order > card.order) ?? rest.at(-1);
}

function step(by) {
  const all = inOrder();
  select(all[Math.max(0, Math.min(all.length - 1, all.indexOf(current) + by))]);
}

function columns() {
  const all = inOrder();
  return all.filter((card) => card.node.offsetTop === all[0].node.offsetTop).length;
}

list.addEventListener("focusin", (event) => {
  const node = event.target.closest(".doubt");
  const card = [...cards.values()].find((one) => one.node === node);
  if (card && card !== current) select(card, false);
});

function relabelAsSuggested() {
  if (!current) return;
  const [name] = rivals(current.item);
  if (name) decide(current, "relabel", name);
  else choose(current);
}

const KEYS = {
  k: () => current?.item.label && decide(current, "keep", current.item.label),
  r: relabelAsSuggested,
  x: () => current && decide(current, "remove"),
  e: () => current && choose(current),
  u: undoLast,
  ArrowRight: () => step(1),
  ArrowLeft: () => step(-1),
  ArrowDown: () => step(columns()),
  ArrowUp: () => step(-columns()),
  Escape: leave,
};

addEventListener("keydown", (event) => {
  if (!isOpen() || isAsking() || byId("large").open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || event.repeat && event.key.length === 1) return;
  event.preventDefault();
  act();
});
