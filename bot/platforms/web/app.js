// The page comes to life here: who am I, what was said, what is being said.

import * as composer from "./composer.js";
import { hue, initial } from "./draw.js";
import * as feed from "./feed.js";
import { get, listen, post } from "./net.js";
import * as reports from "./reports.js";
import * as review from "./review.js";

const LOST_AFTER_MS = 1500; // A connection that is back sooner was never missed.
const NOTICE_MS = 6000;

const byId = (id) => document.getElementById(id);
let me;
let lost;
let fading;

function notice(sentence, { stays = false, bad = true } = {}) {
  clearTimeout(fading);
  const box = byId("notice");
  box.querySelector("p").textContent = sentence;
  box.hidden = !sentence;
  box.classList.toggle("bad", bad);
  if (sentence && !stays) fading = setTimeout(() => notice(""), NOTICE_MS);
}

byId("notice").querySelector("button").onclick = () => notice("");
// What was copied from it by hand needs to be seen no longer; the copy is made once all have heard of it.
byId("notice").addEventListener("copy", () => setTimeout(() => notice(""), 300));

function showMe(who) {
  me = who;
  const button = byId("me");
  button.className = `avatar ${hue(me.id)}${me.name ? "" : " nameless"}`;
  button.textContent = me.name ? initial(me.name) : "You";
  button.setAttribute("aria-label", me.name ? `You are ${me.name}. Change your name` : "Say your name");
  button.title = me.name || "Say your name";
  byId("invite").hidden = !me.invite;
}

async function showModel() {
  const model = await get("/api/model");
  const percent = (share) => `${share >= 0.995 && share < 1 ? 99 : Math.round(share * 100)} %`;
  const parts = [];
  if (model.version === null) parts.push("Getting ready…");
  else if (!model.labels.length) parts.push(`v${model.version}`, "nothing learnt yet");
  else {
    const { exam } = model;
    parts.push(`v${model.version}`);
    parts.push(exam.error === null ? "no exam yet" : `${percent(1 - exam.error)} right`);
    parts.push(model.labels.length === 1 ? "1 label" : `${model.labels.length} labels`);
    byId("model").title = exam.error === null ? "" : measuredOn(exam);
  }
  byId("model").textContent = parts.join(" · ");
  reports.waits(model.waiting);
  if (model.labels.length) {
    byId("example").textContent = `#${model.labels[0].toLowerCase().replaceAll(" ", "_")}`;
    composer.knows(model.labels[0]);
  }
}

function measuredOn({ by, photos }) {
  return by === "exam" ? `On an exam of ${photos} photos that it never learnt from` : `Cross-validated on ${photos} photos`;
}

let modelSoon;
function refreshModel() {
  clearTimeout(modelSoon);
  modelSoon = setTimeout(() => {
    showModel().catch(() => {});
    review.refresh();
  }, 1200);
}

function onState(state) {
  clearTimeout(lost);
  if (state === "open") {
    if (byId("notice").dataset.lost) notice("");
    delete byId("notice").dataset.lost;
  } else if (state === "refused") {
    notice("You are not in this chat any more. Ask for a new invite link.", { stays: true });
  } else {
    lost = setTimeout(() => {
      byId("notice").dataset.lost = "yes";
      notice("The connection is gone. I keep trying…", { stays: true, bad: false });
    }, LOST_AFTER_MS);
  }
}

function synchronise() {
  feed.load().catch((sorry) => notice(sorry.message));
  refreshModel();
}

// Names
const naming = byId("naming");
naming.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    showMe(await post("/name", { name: byId("name").value }));
    composer.rename(me);
    stopNaming();
  } catch (sorry) {
    notice(sorry.message);
  }
});
byId("nameless").onclick = stopNaming;
byId("me").onclick = () => askName(true);
naming.addEventListener("keydown", (event) => event.key === "Escape" && stopNaming());

function askName(takesFocus) {
  naming.hidden = false;
  byId("name").value = me.name;
  if (takesFocus) byId("name").select();
}

function stopNaming() {
  naming.hidden = true;
  try { localStorage.setItem("asked-name", "yes"); } catch { /* private mode: we ask again next time */ }
  byId("text").focus();
}

function wasAsked() {
  try { return localStorage.getItem("asked-name") !== null; } catch { return false; }
}

// Invitations
byId("invite").onclick = async () => {
  try {
    if (navigator.share && matchMedia("(pointer: coarse)").matches) {
      await navigator.share({ title: "snaplabel", text: "Join our photo chat", url: me.invite });
    } else {
      await copy(me.invite);
      notice("The invite link is copied. Whoever opens it is in.", { bad: false });
    }
  } catch (error) {
    // A dismissed share sheet is no trouble.
    if (error.name !== "AbortError") notice(`Invite link: ${me.invite}`, { stays: true, bad: false });
  }
};

async function copy(words) {
  if (navigator.clipboard) {
    try { return await navigator.clipboard.writeText(words); } catch { /* not allowed: the old way may be */ }
  }
  // Plain http away from this machine has no clipboard, only what a page could do long ago.
  const field = document.createElement("textarea");
  field.value = words;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand("copy");
  field.remove();
  if (!isCopied) throw new Error("nothing was copied");
  return undefined;
}

// Photos from anywhere
let dragged = 0;
const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
addEventListener("dragenter", (event) => { if (carriesFiles(event)) { dragged++; byId("drop").hidden = false; } });
addEventListener("dragleave", (event) => { if (carriesFiles(event) && --dragged <= 0) byId("drop").hidden = true; });
addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
addEventListener("drop", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  dragged = 0;
  byId("drop").hidden = true;
  review.leave();
  reports.leave();
  composer.add(event.dataTransfer.files);
});
addEventListener("paste", (event) => {
  if (!event.clipboardData?.files.length) return;
  event.preventDefault();
  review.leave();
  reports.leave();
  composer.add(event.clipboardData.files);
});
addEventListener("keydown", (event) => {
  const isElsewhere = byId("large").open || review.isOpen() || reports.isOpen();
  if (event.key === "Escape" && event.target.id !== "text" && !isElsewhere) composer.escape();
});

const large = byId("large");
large.addEventListener("click", () => large.close());

try {
  showMe(await get("/me"));
  const { reply, offerReply, withdrawReply } = composer;
  const actions = { reply, offerReply, withdrawReply, notice };
  feed.setUp(me, actions);
  composer.setUp(me, actions);
  review.setUp(me, actions);
  reports.setUp(me, actions);
  if (!me.name && !wasAsked()) askName(false);
  showModel().catch(() => {});
  listen(
    {
      hello: synchronise,
      post: (item) => feed.upsert(item),
      answer: (shown) => {
        feed.heard(shown);
        reports.heard(shown);
        if (shown.reply.progress === null) refreshModel();
      },
    },
    onState,
  );
} catch (sorry) {
  notice(sorry.message, { stays: true });
}
