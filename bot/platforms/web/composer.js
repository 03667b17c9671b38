// Where people write and choose photos: the tray, the reply strip, the command chips, sending.

import { el } from "./draw.js";
import * as feed from "./feed.js";
import { newId, post, upload } from "./net.js";
import { shrink } from "./shrink.js";

const MAX_FILES = 10;
// What browsers may not know the type of, and the house or its refusal does.
const PHOTO_NAMES = /\.(jpe?g|jfif|png|webp|avif|gif|bmp|hei[cf]|tiff?|jxl)$/i;
const FIRST_CHIPS = ["labels", "status", "review", "retrain", "models", "stats", "help"];

const byId = (id) => document.getElementById(id);
const text = byId("text");
const tray = byId("tray");
const chips = byId("chips");
const replying = byId("replying");

let me = { id: "", name: "", commands: [] };
let notice = () => {};
let chosen = []; // {file, url}
let example = "robin"; // a label, for an example
let replyTo = null;
let offered = null; // {id, prefix}: the reply was not asked for, but is likely

export function setUp(who, given) {
  me = who;
  notice = given.notice;
  drawChips();
}

// A label of the model that answers now.
export function knows(label) {
  example = label.toLowerCase();
}

export function rename(who) {
  me = who;
}

// Starts a reply to an answer or a photo.
export function reply(id) {
  replyingTo(id);
  text.focus();
}

function replyingTo(id) {
  replyTo = id;
  offered = null;
  replying.hidden = false;
  replying.querySelector("span").textContent = `Replying to: ${feed.title(id)}`;
  text.placeholder = feed.isAlbum(id) ? `Like 2: ${example}` : "What is it really?";
}

// An answer asks for words: what is typed next is a reply to it. prefix: says which photo of an album is meant.
export function offerReply(id, { prefix = "", takesFocus = false } = {}) {
  if (text.value.trim() && !(replyTo === id && offered)) return; // Somebody is in the middle of something else.
  const before = replyTo === id ? offered?.prefix : "";
  replyingTo(id);
  offered = { id, prefix: prefix || before || "" };
  if (!text.value) text.value = offered.prefix;
  changed();
  if (takesFocus) text.focus();
}

// The answer has what it asked for.
export function withdrawReply(id) {
  if (offered?.id !== id) return;
  if (text.value === offered.prefix) text.value = "";
  stopReplying();
  changed();
}

export function add(files) {
  const there = [...files].filter((file) => file.size || file.type);
  const isPhoto = (file) => (file.type ? file.type.startsWith("image/") : PHOTO_NAMES.test(file.name));
  const wanted = there.filter(isPhoto);
  const [other] = there.filter((file) => !isPhoto(file));
  if (other) notice(`${other.name} is no photo. I take JPEG, PNG, WebP, AVIF, GIF and BMP.`);
  if (!wanted.length) return;
  chosen.push(...wanted.map((file) => ({ file, url: URL.createObjectURL(file) })));
  drawTray();
  text.focus();
}

// A photo straight from the camera goes at once; what is in the field goes with it.
export function sendNow(files) {
  add(files);
  send();
}

function stopReplying() {
  replyTo = null;
  offered = null;
  replying.hidden = true;
  text.placeholder = "Message, or /command";
}

function drawTray() {
  tray.hidden = !chosen.length;
  tray.replaceChildren(...chosen.map(({ file, url }, index) => {
    const image = el("img", { src: url, alt: file.name });
    image.onerror = () => image.replaceWith(el("span", { className: "file", textContent: file.name }));
    const drop = el("button", { type: "button", className: "icon", textContent: "✕" });
    drop.setAttribute("aria-label", `Leave out ${file.name}`);
    drop.onclick = () => {
      chosen.splice(index, 1);
      drawTray();
      text.focus();
    };
    return el("li", {}, image, drop);
  }));
  if (chosen.length) text.placeholder = "Caption, or #label";
  else if (replyTo === null) text.placeholder = "Message, or /command";
  ready();
}

function ready() {
  byId("send").disabled = !chosen.length && !text.value.trim();
}

function drawChips() {
  const typed = text.value.startsWith("/") ? text.value.slice(1).split(/\s/)[0].toLowerCase() : null;
  const place = (command) => (FIRST_CHIPS.indexOf(command.name) + 1 || FIRST_CHIPS.length + 1);
  const shown = me.commands
    .filter((command) => command.allowed && command.name !== "start" && (typed === null || command.name.startsWith(typed)))
    .sort((a, b) => place(a) - place(b));
  chips.classList.toggle("list", typed !== null);
  chips.hidden = !shown.length;
  chips.replaceChildren(...shown.map((command) => {
    const name = command.name[0].toUpperCase() + command.name.slice(1);
    const chip = el("button", { type: "button", className: "chip", textContent: typed === null ? name : `/${command.name}` });
    if (typed !== null) chip.append(el("span", { className: "small", textContent: command.sentence }));
    else chip.title = command.sentence;
    chip.onclick = () => choose(command);
    return chip;
  }));
}

// A command that takes something waits in the field for it; the others go at once.
function choose(command) {
  if (command.name === "review") {
    location.hash = "review"; // The page has a better place for it than the chat.
    return undefined;
  }
  if (!command.argument) return say(`/${command.name}`);
  text.value = `/${command.name} `;
  text.placeholder = command.argument;
  changed();
  text.focus();
  return undefined;
}

function changed() {
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
  drawChips();
  ready();
}

function send() {
  const written = text.value.trim();
  if (!written && !chosen.length) return;
  const about = replyTo;
  if (chosen.length && isCommand(written)) {
    notice(`I read no commands in captions: send ${written.split(/\s/)[0]} in a message of its own.`);
    return;
  }
  text.value = "";
  changed();
  stopReplying();
  if (!chosen.length) return say(written, about);
  const sent = chosen;
  chosen = [];
  drawTray();
  let before = Promise.resolve();
  for (let start = 0; start < sent.length; start += MAX_FILES) {
    before = sendPhotos(sent.slice(start, start + MAX_FILES), start ? "" : written, about, before);
  }
}

function isCommand(written) {
  return written.startsWith("/") && me.commands.some((command) => command.name === nameOf(written));
}

function nameOf(written) {
  return written.slice(1).split(/[\s@]/)[0].toLowerCase();
}

function say(written, about = null) {
  const name = nameOf(written);
  if (written.startsWith("/") && !isCommand(written)) {
    notice(`I don't know /${name}. /help lists what I can do.`);
    text.value = written;
    return changed();
  }
  const own = newId();
  const item = local("text", own, written, about);
  const attempt = async () => {
    feed.upsert(item, { sent: 0, sorry: null });
    try {
      const found = await post("/messages", { text: written, reply_to: about, id: own });
      feed.upsert(found, { sent: undefined });
    } catch (sorry) {
      feed.upsert(item, { sorry: sorry.message, again: attempt });
    }
  };
  feed.toEnd();
  return attempt();
}

// before: what was sent together with these, and comes to stand above them.
async function sendPhotos(photos, caption, about, before) {
  const own = newId();
  const item = local("photos", own, caption, about);
  item.photos = photos.map((_, position) => ({ position, state: "coming", width: 0, height: 0 }));
  const blobs = photos.map(({ url }) => url);
  const files = Promise.all(photos.map(({ file }) => shrink(file)));
  feed.upsert(item, { blobs, sent: 0, sorry: null });
  feed.toEnd();
  const attempt = async () => {
    item.at = moment();
    feed.upsert(item, { blobs, sent: 0, sorry: null });
    feed.toEnd();
    const form = new FormData();
    form.append("id", own);
    if (caption) form.append("caption", caption);
    if (about) form.append("reply_to", about);
    for (const file of await files) form.append("photos", file);
    try {
      const found = await upload(form, (part) => feed.upsert(item, { sent: part }));
      feed.upsert(found, { sent: undefined });
    } catch (sorry) {
      const isFinal = sorry.status >= 400 && sorry.status < 500 && sorry.status !== 429 && sorry.status !== 408;
      feed.upsert(item, { sorry: sorry.message, again: isFinal ? null : attempt });
    }
  };
  await before;
  await attempt();
}

// What we are about to post, shown before the server has heard of it, under the id that it will have.
function local(kind, own, written, about) {
  return { kind, id: me.id + own, at: moment(), person: me.id, name: me.name, text: written, reply_to: about, photos: [], answer: null };
}

// Now, as the server writes it.
function moment() {
  return new Date().toISOString().replace("Z", "999+00:00");
}

text.addEventListener("input", changed);
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  } else if (event.key === "Escape") {
    escape();
  }
});
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
replying.querySelector("button").onclick = () => {
  stopReplying();
  text.focus();
};

// Escape gives up one thing at a time.
export function escape() {
  if (text.value.startsWith("/")) {
    text.value = "";
    changed();
  } else if (replyTo !== null) {
    stopReplying();
  } else if (chosen.length) {
    chosen = [];
    drawTray();
  }
}

function picks(button, input, take) {
  byId(button).onclick = () => byId(input).click();
  byId(input).onchange = (event) => {
    take([...event.target.files]);
    event.target.value = ""; // So that the same photo can be chosen again.
  };
}
picks("choose", "files", add);
picks("first", "files", add);
picks("camera", "snap", sendNow);
