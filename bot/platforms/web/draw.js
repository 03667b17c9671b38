// Draws one thing at a time: an element, a person's dot, an answer's card.

const SVG = "http://www.w3.org/2000/svg";
const MARKS = { sure: "✓", maybe: "≈", unknown: "?", taught: "♥", error: "!" };
const REPLY = "M10 5 4 11l6 6m-6-6h9a7 7 0 0 1 7 7v1";

export function el(tag, props = {}, ...children) {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

export function replyIcon() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", REPLY);
  svg.append(path);
  return svg;
}

export function hue(id) {
  return `hue${(parseInt(id.slice(0, 6), 16) || 0) % 6}`;
}

export function initial(name) {
  const [first] = name.trim();
  return (first || "•").toUpperCase();
}

export function clock(at) {
  const moment = new Date(at);
  const isToday = moment.toDateString() === new Date().toDateString();
  // As the house writes it in its tables, wherever somebody is.
  const hours = moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return isToday ? hours : `${moment.toLocaleDateString([], { day: "numeric", month: "short" })}, ${hours}`;
}

// While nothing is known yet. progress: 0 to 1 while it is being sent, null afterwards.
export function looking(progress, onReply) {
  const sending = progress !== null && progress < 1;
  const words = sending ? "Sending…" : "Looking…";
  const dots = el("span", { className: "dots", ariaHidden: "true" }, el("i"), el("i"), el("i"));
  const card = el("div", { className: "card" }, el("div", { className: "looking" }, dots, words));
  if (sending) card.append(el("progress", { max: 1, value: progress, ariaLabel: "Sending" }));
  else if (onReply) card.firstChild.append(el("span", { className: "grow" }), replyButton(onReply, "this photo"));
  return card;
}

// Something that could not be sent, with a way to try again.
export function sorry(sentence, onAgain) {
  const top = el("div", { className: "top" }, mark("error"), el("p", { className: "lead", textContent: sentence }));
  const card = el("div", { className: "card error" }, top);
  if (onAgain) {
    const again = el("button", { type: "button", textContent: "Send again", onclick: onAgain });
    card.append(el("div", { className: "choices" }, el("div", {}, again)));
  }
  return card;
}

// An answer: `reply` as the server shows it. on: {press(data, button), reply(), picture(address)}.
export function answer(reply, on) {
  const card = el("div", { className: `card ${reply.mood}`, tabIndex: -1 });
  const top = el("div", { className: "top" });
  if (MARKS[reply.mood]) top.append(mark(reply.mood));
  const [bar, words] = withoutBar(reply);
  const text = unbroken(words);
  if (reply.title) top.append(el("h3", { textContent: unbroken(reply.title) }));
  else top.append(el("p", { className: "lead", textContent: text }));
  top.append(replyButton(on.reply, reply.title || "this"));
  card.append(top);
  if (reply.title && text) card.append(el("p", { textContent: text }));
  if (bar !== null) card.append(el("progress", { max: 1, value: bar, ariaLabel: reply.title }));
  if (reply.table) card.append(table(reply.table));
  if (reply.picture) {
    const picture = el("img", { src: reply.picture, alt: `Picture: ${reply.title || reply.text}`, loading: "lazy" });
    card.append(el("button", { type: "button", className: "picture", onclick: () => on.picture(reply.picture) }, picture));
  }
  if (reply.choices.length) card.append(choices(reply.choices, on.press));
  return card;
}

// Lines in a fixed width; one that is wider than its card goes on below itself, set in; a command's below its sentence.
function table(lines) {
  const rows = lines.split("\n").map((line, n, all) => {
    const row = el("span", { textContent: n < all.length - 1 ? `${line}\n` : line });
    const command = /^\/\w+ +/.exec(line)?.[0];
    if (command) Object.assign(row.style, { paddingLeft: `${command.length}ch`, textIndent: `-${command.length}ch` });
    return row;
  });
  return el("pre", { tabIndex: 0 }, ...rows);
}

// "93 %" stays on one line.
function unbroken(text) {
  return text.replace(/(\d) %/g, "$1\u00a0%");
}

// The server writes a progress bar in characters for chats that can't draw one; we can.
function withoutBar(reply) {
  if (reply.progress === null) return [null, reply.text];
  return [reply.progress, reply.text.replace(/^[▰▱]+\s*/u, "")];
}

function choices(rows, press) {
  const box = el("div", { className: "choices" });
  for (const row of rows) {
    const line = el("div");
    for (const choice of row) {
      const button = el("button", { type: "button", className: choice.style, textContent: choice.text });
      button.dataset.press = choice.data;
      button.onclick = () => press(choice.data, button);
      line.append(button);
    }
    box.append(line);
  }
  return box;
}

function mark(mood) {
  return el("span", { className: "mark", textContent: MARKS[mood], ariaHidden: "true" });
}

function replyButton(onReply, what) {
  const button = el("button", { type: "button", className: "icon reply", title: "Reply", onclick: onReply }, replyIcon());
  button.setAttribute("aria-label", `Reply to: ${what}`);
  return button;
}
