// The conversation: every item once, in the order of time; an answer is drawn anew in its place.

import * as draw from "./draw.js";
import { get, post } from "./net.js";
import { enlarge, renderShots } from "./shots.js";

const { el } = draw;
const PATIENCE_MS = 8000; // After so long an unanswered button can be pressed again.
const NEAR_END = 140; // pixels

const feed = document.getElementById("feed");
const list = document.getElementById("items");
const earlier = document.getElementById("earlier");
const newer = document.getElementById("newer");
const said = document.getElementById("said");

const items = new Map(); // id → {item, node, side, sent, blobs, sorry}
const answers = new Map(); // an answer's id → the id of the item it hangs under
let me = { id: "" };
let isAtEnd = true;
let isLoaded = false;
let actions = { reply() {}, offerReply() {}, withdrawReply() {}, notice() {} };

export function setUp(who, given) {
  me = who;
  actions = given;
}

// Reads the feed and brings everything here up to date with it.
export async function load() {
  const startedAt = performance.now();
  const found = await get("/feed");
  const there = new Set(found.items.map((item) => item.id));
  const oldest = found.items[0]?.at ?? "";
  for (const [id, entry] of items) {
    const isGone = !there.has(id) && entry.item.at >= oldest && entry.touched < startedAt && entry.sent === undefined;
    if (isGone) remove(id);
  }
  for (const item of found.items) upsert(item);
  if (!isLoaded || !items.size) earlier.hidden = !found.more;
  isLoaded = true;
  settle();
  if (isAtEnd) toEnd();
}

earlier.onclick = async () => {
  const [first] = sorted();
  earlier.disabled = true;
  try {
    const found = await get(`/feed?before=${encodeURIComponent(first.item.at)}`);
    const height = feed.scrollHeight;
    for (const item of found.items) upsert(item);
    earlier.hidden = !found.more;
    feed.scrollTop += feed.scrollHeight - height;
  } catch (sorry) {
    actions.notice(sorry.message);
  }
  earlier.disabled = false;
};

// Puts an item where it belongs, or brings it up to date. more: what only this page knows of it.
export function upsert(item, more = {}) {
  let entry = items.get(item.id);
  if (!entry) {
    entry = { item, node: el("li", { id: `i-${item.id}` }), shots: new Map() };
    items.set(item.id, entry);
  }
  const known = entry.item;
  entry.item = { ...item, answer: item.answer ?? known.answer, text: item.text || known.text };
  Object.assign(entry, more, { touched: performance.now() });
  if (entry.item.answer) answers.set(entry.item.answer.id, item.id);
  render(entry);
  place(entry);
  settle();
  return entry;
}

// An answer was sent or edited.
export function heard(shown) {
  const under = answers.get(shown.id) ?? (items.get(shown.reply_to)?.item.kind === "photos" ? shown.reply_to : null);
  if (under === null) {
    if (!shown.is_new) return load().catch(() => {}); // Edited before we heard of it.
    upsert({ kind: "answer", id: shown.id, at: shown.at, person: "", name: "", text: "", photos: [], answer: shown });
  } else {
    const entry = items.get(under);
    if (!entry) return undefined;
    if (entry.item.kind === "photos") for (const shot of entry.item.photos) {
      if (shot.state === "coming") shot.state = shown.reply.mood === "error" && !isAlbum(under) ? "failed" : "ready";
    }
    upsert({ ...entry.item, answer: { ...shown, at: entry.item.answer?.at ?? shown.at } });
  }
  const entry = items.get(under ?? shown.id);
  const { title, text, progress } = shown.reply;
  const words = title || text;
  if (entry.words !== words && (progress === null || !entry.words)) said.textContent = [title, text].filter(Boolean).join(". ");
  entry.words = words;
  entry.side?.querySelector(".card")?.classList.add("fresh");
  afterChange();
  return undefined;
}

export function remove(id) {
  items.get(id)?.node.remove();
  items.delete(id);
  settle();
}

// What is being replied to, while one writes.
export function title(id) {
  const entry = items.get(answers.get(id) ?? id);
  if (!entry) return "an earlier message";
  return entry.item.answer?.reply.title || (entry.item.kind === "photos" ? "this photo" : entry.item.text || "this");
}

// What was replied to, for the quote above a reply: a photo, since the answer under it has changed by then.
function quoted(id) {
  const entry = items.get(answers.get(id) ?? id);
  if (entry?.item.kind !== "photos") return title(id);
  const what = entry.item.photos.length > 1 ? "photos" : "photo";
  if (entry.item.person === me.id) return `Your ${what}`;
  return entry.item.name ? `${entry.item.name}’s ${what}` : `Somebody’s ${what}`;
}

export function isAlbum(id) {
  return (items.get(answers.get(id) ?? id)?.item.photos.length ?? 0) > 1;
}

export function toEnd() {
  feed.scrollTop = feed.scrollHeight;
  isAtEnd = true;
  newer.hidden = true;
}

function sorted() {
  return [...items.values()].sort((a, b) => (a.item.at < b.item.at ? -1 : 1));
}

function place(entry) {
  let after = null;
  for (let node = list.lastElementChild; node; node = node.previousElementSibling) {
    if (node === entry.node) continue;
    if (node.dataset.at <= entry.item.at) { after = node; break; }
  }
  entry.node.dataset.at = entry.item.at;
  const isThere = entry.node.parentNode && (after ? after.nextElementSibling === entry.node : list.firstElementChild === entry.node);
  if (isThere) return;
  if (after) after.after(entry.node);
  else list.prepend(entry.node);
  afterChange();
}

function render(entry) {
  const { item, node } = entry;
  if (!node.firstChild) {
    node.className = `item ${item.kind}`;
    entry.who = el("div", { className: "who" });
    entry.body = el("div", { className: "body" });
    entry.face = item.kind === "answer"
      ? el("span", { className: "avatar" }, el("img", { src: "/static/icon.svg", alt: "" }))
      : el("span", { className: `avatar ${draw.hue(item.person)}`, ariaHidden: "true" });
    node.append(entry.face, entry.who, entry.body);
    entry.side = el("div", { className: "side" });
    if (item.kind === "photos") {
      entry.pictures = el("div", { className: "shots" });
      entry.body.append(el("div", { className: "unit photos" }, entry.pictures, entry.side));
    } else {
      entry.body.append(entry.side);
    }
  }
  const name = item.kind === "answer" ? "snaplabel" : item.name || (item.person === me.id ? "You" : "Somebody");
  if (item.kind !== "answer") entry.face.textContent = draw.initial(name);
  entry.who.replaceChildren(el("b", { textContent: name }), el("time", { dateTime: item.at, textContent: draw.clock(item.at) }));
  if (item.kind === "photos") renderShots(entry);
  renderSide(entry);
}

function renderSide(entry) {
  const { item, side } = entry;
  const focused = side.contains(document.activeElement) ? document.activeElement : null;
  const parts = [];
  if (item.reply_to) {
    parts.push(el("p", { className: "quote" }, draw.replyIcon(), el("span", { textContent: quoted(item.reply_to) })));
  }
  const isOnItsWay = item.kind === "text" && entry.sent !== undefined && !entry.sorry;
  if (item.text) parts.push(el("p", { className: isOnItsWay ? "words sending" : "words", textContent: item.text }));
  const card = cardOf(entry);
  if (card) parts.push(card);
  side.replaceChildren(...parts);
  if (!focused) return;
  // The card was drawn anew under somebody's fingers: leave them where they were.
  const same = focused.dataset.press && side.querySelector(`[data-press="${CSS.escape(focused.dataset.press)}"]`);
  (same || side.querySelector("[data-press]") || card)?.focus({ preventScroll: true });
}

function cardOf(entry) {
  const { item } = entry;
  if (entry.sorry) return draw.sorry(entry.sorry, entry.again);
  if (item.answer) {
    const { id, reply } = item.answer;
    return draw.answer(reply, {
      press: (data, button) => press(id, data, button),
      reply: () => actions.reply(id),
      picture: (address) => enlarge(address, reply.title),
    });
  }
  if (item.kind !== "photos") return null;
  return draw.looking(entry.sent ?? null, () => actions.reply(item.id));
}

async function press(answer, data, button) {
  const card = button.closest(".card");
  const others = [...card.querySelectorAll(".choices button")];
  button.classList.add("pressed");
  for (const other of others) if (other !== button) other.disabled = true;
  const release = () => {
    button.classList.remove("pressed");
    for (const other of others) other.disabled = false;
  };
  button.onclick = () => {};
  const again = setTimeout(() => { release(); button.onclick = () => press(answer, data, button); }, PATIENCE_MS);
  const isPick = data.startsWith("pick:");
  const number = isPick ? button.textContent : /^Photo (\d+):/.exec(items.get(answers.get(answer))?.item.answer.reply.title)?.[1];
  // Who works with the keyboard is on the way to the labels; on a phone its keyboard would cover them.
  const takesFocus = !matchMedia("(pointer: coarse)").matches && !button.matches(":focus-visible");
  try {
    await post("/press", { answer, data });
    if (isPick || data.startsWith("else:")) actions.offerReply(answer, { prefix: number ? `${number}: ` : "", takesFocus });
    else actions.withdrawReply(answer);
  } catch (sorry) {
    clearTimeout(again);
    release();
    button.onclick = () => press(answer, data, button);
    actions.notice(sorry.message);
  }
}

function settle() {
  document.getElementById("empty").hidden = !isLoaded || items.size > 0;
}

function afterChange() {
  if (isAtEnd) requestAnimationFrame(toEnd);
  else if (isLoaded) newer.hidden = false;
}

newer.onclick = toEnd;
let before = 0;
feed.addEventListener("scroll", () => {
  const isNear = feed.scrollHeight - feed.scrollTop - feed.clientHeight < NEAR_END;
  // Only a person scrolls up; that the end moved away under a picture is no reason to stay behind.
  isAtEnd = isNear || (isAtEnd && feed.scrollTop >= before);
  before = feed.scrollTop;
  if (isAtEnd) newer.hidden = true;
}, { passive: true });
// Pictures that load and a keyboard that opens change heights; whoever reads the end stays there.
new ResizeObserver(() => isAtEnd && toEnd()).observe(list);
new ResizeObserver(() => isAtEnd && toEnd()).observe(feed);
