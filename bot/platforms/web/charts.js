// Draws the charts of a report as SVG, in pixels of the width it is given, so that letters stay readable on a phone.

import { el } from "./draw.js";

const SVG = "http://www.w3.org/2000/svg";
const LEAST_CELL = 22; // Narrower cells hold no number; the matrix scrolls instead.
const LARGEST_CELL = 64;
const HEIGHT = 260;
const LETTER = 8; // pixels, about
const ROOT_SHOWN = 0.55; // A cell deeper than this bears light letters.

function svg(tag, given = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(given)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function sheet(width, height, title) {
  const label = svg("title");
  label.textContent = title;
  return svg("svg", { class: "chart", width, height, viewBox: `0 0 ${width} ${height}`, role: "img" }, label);
}

function word(text, x, y, given = {}) {
  const node = svg("text", { x, y, ...given });
  node.textContent = text;
  return node;
}

function hint(node, text) {
  const title = svg("title");
  title.textContent = text;
  node.append(title);
  return node;
}

export function percent(share, digits = 0) {
  if (share >= 0.995 && share < 1 && !digits) return "99\u00a0%";
  return `${(share * 100).toFixed(digits)}\u00a0%`;
}

// The errors of the published versions, the last one being the one reported on; open dots were cross-validated.
export function curve(points, width) {
  const [left, right, top, bottom] = [46, 16, 12, 28];
  const height = HEIGHT;
  const node = sheet(width, height, "Exam errors, version by version");
  const most = Math.min(1, Math.max(0.05, 1.12 * Math.max(...points.map((point) => point.high))));
  const step = [0.02, 0.05, 0.1, 0.2, 0.25, 0.5].find((every) => most / every <= 5);
  const inner = width - left - right;
  const x = (place) => left + (points.length < 2 ? inner / 2 : (place / (points.length - 1)) * inner);
  const y = (share) => top + (1 - share / most) * (height - top - bottom);
  for (let mark = 0; mark <= most + 1e-9; mark += step) {
    node.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(mark), y2: y(mark) }));
    node.append(word(percent(mark), left - 8, y(mark) + 4, { "text-anchor": "end" }));
  }
  const path = (pick, places) => places.map((place) => `${x(place)},${y(pick(points[place]))}`).join(" ");
  const places = points.map((_, place) => place);
  if (points.length > 1) {
    const band = `${path((point) => point.high, places)} ${path((point) => point.low, [...places].reverse())}`;
    node.append(svg("polygon", { class: "band", points: band }));
    node.append(svg("polyline", { class: "line", points: path((point) => point.error, places) }));
  } else {
    const [only] = points;
    node.append(svg("line", { class: "whisker", x1: x(0), x2: x(0), y1: y(only.low), y2: y(only.high) }));
  }
  const named = Math.max(1, Math.ceil((points.length - 1) / Math.max(2, Math.floor(inner / 70))));
  points.forEach((point, place) => {
    const isLast = place === points.length - 1;
    if (points.length <= 40 || isLast) {
      const look = `dot${isLast ? " last" : ""}${point.by === "exam" ? "" : " open"}`;
      const dot = svg("circle", { class: look, cx: x(place), cy: y(point.error), r: isLast ? 6.5 : 4.5 });
      const says = `v${point.version}: ${percent(point.error)} wrong of ${point.photos}`;
      node.append(hint(dot, `${says}, taught with ${point.lessons} photos`));
    }
    if ((points.length - 1 - place) % named === 0) {
      node.append(word(`v${point.version}`, x(place), height - 8, { "text-anchor": "middle" }));
    }
  });
  return node;
}

// How sure the answers sounded against how often they were right; squares and grey: the version before.
export function reliability(fresh, before, width) {
  const [left, right, top, bottom] = [50, 14, 12, 44];
  const height = HEIGHT;
  const node = sheet(width, height, "How sure the answers sounded, and how often they were right");
  const x = (share) => left + share * (width - left - right);
  const y = (share) => top + (1 - share) * (height - top - bottom);
  for (const mark of [0, 0.5, 1]) {
    node.append(svg("line", { class: "grid", x1: x(0), x2: x(1), y1: y(mark), y2: y(mark) }));
    node.append(svg("line", { class: "grid", x1: x(mark), x2: x(mark), y1: y(0), y2: y(1) }));
    node.append(word(percent(mark), left - 8, y(mark) + 4, { "text-anchor": "end" }));
    node.append(word(percent(mark), x(mark), height - bottom + 18, { "text-anchor": mark === 1 ? "end" : "middle" }));
  }
  node.append(word("how sure it sounded", x(0.5), height - 6, { "text-anchor": "middle" }));
  node.append(svg("line", { class: "ideal", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }));
  for (const [bins, look] of [[before?.bins, "before"], [fresh?.bins, "fresh"]]) {
    if (!bins?.length) continue;
    const line = bins.map((bin) => `${x(bin.sure)},${y(bin.right)}`).join(" ");
    if (look === "fresh") {
      for (const bin of bins) {
        node.append(svg("line", { class: "whisker", x1: x(bin.sure), x2: x(bin.sure), y1: y(bin.low), y2: y(bin.high) }));
      }
    }
    node.append(svg("polyline", { class: look === "fresh" ? "line" : "line before", points: line }));
    for (const bin of bins) {
      const says = `${bin.photos} answers, ${percent(bin.sure)} sure, ${percent(bin.right)} right`;
      const at = { cx: x(bin.sure), cy: y(bin.right), r: look === "fresh" ? 5 : 3.5 };
      node.append(hint(svg("circle", { class: `dot ${look}`, ...at }), says));
    }
  }
  return node;
}

// A bar a label; a line in it where the version before was.
export function bars(labels) {
  const list = el("ul", { className: "bars" });
  for (const label of labels) {
    const track = el("span", { className: "track" });
    const fill = el("i");
    fill.style.width = `${(100 * label.right) / label.asked}%`;
    track.append(fill);
    if (label.was_right !== null) {
      const tick = el("b");
      tick.style.left = `${(100 * label.was_right) / label.asked}%`;
      tick.title = `before: ${label.was_right} of ${label.asked}`;
      track.append(tick);
    }
    const name = el("span", { className: "name", textContent: label.name, title: label.name });
    const lessons = label.lessons ? `, taught with ${label.lessons}` : "";
    const count = el("span", { className: "count", textContent: `${label.right} of ${label.asked}` });
    list.append(el("li", { title: `${label.name}: ${label.right} of ${label.asked} right${lessons}` }, name, track, count));
  }
  return list;
}

// Rows are what it is, columns what was answered. names: of both; counts: rows of numbers.
export function matrix(names, counts, width) {
  const longest = Math.max(...names.map((name) => name.length));
  const letters = Math.min(longest, width < 500 ? 13 : 24);
  const left = letters * LETTER + 12;
  const cell = Math.max(LEAST_CELL, Math.min(LARGEST_CELL, (width - left - 40) / names.length));
  const high = Math.max(24, Math.min(cell, 36));
  const below = Math.min(longest, 16) * 5 + 26;
  const full = Math.max(left + cell * names.length + 40, Math.min(width, 200));
  const node = sheet(full, high * names.length + below, "What is taken for what");
  const cut = (name, most) => (name.length > most ? `${name.slice(0, Math.ceil(most * 0.6))}…${name.slice(-Math.floor(most * 0.3))}` : name);
  names.forEach((name, row) => {
    const total = counts[row].reduce((sum, count) => sum + count, 0);
    node.append(hint(word(cut(name, letters), left - 8, high * (row + 0.5) + 4, { "text-anchor": "end", class: "ink" }), name));
    counts[row].forEach((count, column) => {
      const share = total ? count / total : 0;
      const isRight = row === column;
      const depth = isRight ? share : Math.sqrt(share);
      const at = { x: left + column * cell, y: row * high, width: cell, height: high };
      const box = svg("rect", { ...at, class: `cell ${isRight ? "right" : "wrong"}`, "fill-opacity": count ? 0.12 + 0.88 * depth : 0 });
      const says = isRight ? `${name}: ${count} right` : `${count} of ${name} taken for ${names[column]}`;
      node.append(svg("rect", { ...at, class: "frame" }), count ? hint(box, says) : box);
      if (!count) return;
      const middle = { "text-anchor": "middle", class: depth > ROOT_SHOWN ? "number deep" : "number" };
      node.append(word(count, at.x + cell / 2, at.y + high / 2 + 4, middle));
    });
  });
  names.forEach((name, column) => {
    const at = [left + (column + 0.5) * cell + 4, high * names.length + 14];
    const look = { "text-anchor": "end", class: "ink", transform: `rotate(-38 ${at[0]} ${at[1]})` };
    node.append(hint(word(cut(name, 16), ...at, look), name));
  });
  return el("div", { className: "wide", tabIndex: full > width ? 0 : -1 }, node);
}
