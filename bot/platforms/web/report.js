// One version's report: score, curve, calibration, labels, mistakes, and the photos that turned.

import * as charts from "./charts.js";
import { el } from "./draw.js";
import { enlarge } from "./shots.js";

const SHOWN = 20; // labels
const PAIRS = 8;
const EXAMPLES = 4;
const TURNED = 12;
const INSET = 34; // pixels: a card's edges
const STATES = { current: "answers now", candidate: "waits", retired: "earlier", discarded: "put aside" };
export const KINDS = { refit: "learnt corrections", fine_tune: "whole network", backbone: "start" };

const { percent } = charts;
let shown = null;

export function pill(one) {
  return el("span", { className: `pill ${one.state}`, textContent: STATES[one.state] ?? one.state });
}

// A scale from nothing right to all right: the 95 % interval, and a dot for what was seen.
export function interval(exam, before = null) {
  if (exam.error === null) return "";
  const scale = el("div", { className: "scale" });
  const [band, dot] = [el("i"), el("b")];
  band.style.left = `${100 * (1 - exam.high)}%`;
  band.style.width = `${100 * (exam.high - exam.low)}%`;
  dot.style.left = `${100 * (1 - exam.error)}%`;
  scale.append(band);
  if (before !== null) {
    const tick = el("u");
    tick.style.left = `${100 * (1 - before)}%`;
    scale.append(tick);
  }
  scale.append(dot);
  return scale;
}

// The parts of a report for a page of so many pixels. found: what the server says; deeds: buttons for admins.
export function parts(found, width, deeds) {
  shown = found;
  const { version, report, curve } = found;
  const inside = width - INSET;
  const half = width >= 700 ? (width - 16) / 2 - INSET : inside;
  const made = [headline(version, report, deeds)];
  const pair = el("div", { className: "pair" });
  if (curve.length) {
    const chart = charts.curve(curve, half);
    const note = curve.length > 1 ? "errors in the exam, with the 95 % band" : "errors in the exam; one version so far";
    const legend = chart.querySelector(".dot.open") ? "; hollow dots: cross-validated, for want of an exam" : "";
    pair.append(card("Version by version", note + legend, chart));
  }
  if (report.new?.calibration) {
    const { ece, by_chance: chance } = report.new.calibration;
    const note = `off by ${percent(ece, 1)}; chance alone: ${percent(chance, 1)}`;
    pair.append(card("As sure as right?", note, charts.reliability(report.new.calibration, report.old?.calibration, half)));
  }
  if (pair.children.length) made.push(pair);
  made.push(...labelCards(report, inside), pairs(report), ...turned(report), details());
  return made.filter(Boolean);
}

function card(title, note, ...body) {
  const top = el("div", {}, el("h3", { textContent: title }), note ? el("p", { className: "small", textContent: note }) : "");
  return el("section", { className: "card" }, top, ...body);
}

function headline(version, report, deeds) {
  const top = el("div", { className: "top" }, el("h3", { textContent: `v${version.version}` }), pill(version), el("span", { className: "grow" }), el("span", { className: "small", textContent: KINDS[version.kind] ?? "" }));
  const node = el("section", { className: "card headline" }, top);
  const fresh = report.new;
  if (!fresh) node.append(el("p", { className: "big", textContent: "No exam yet" }), el("p", { className: "small", textContent: "A few more labelled photos, and it can be graded." }));
  else {
    const line = el("div", { className: "line" }, el("p", { className: "big", textContent: `${percent(1 - fresh.error)} right` }));
    if (report.change && report.by === "exam") line.append(gain(report));
    const where = report.by === "exam" ? `${fresh.photos} exam photos` : `${fresh.photos} photos, cross-validated`;
    const between = `${range(fresh)} with 95 % certainty, ${where}`;
    node.append(line, interval(fresh, report.old?.error ?? null), el("p", { className: "small", textContent: between }));
  }
  if (version.verdict) node.append(el("p", { className: "verdict", textContent: version.verdict }));
  if (deeds.length) node.append(el("div", { className: "choices" }, el("div", {}, ...deeds)));
  return node;
}

// A score's 95 % interval, as right answers; rounded outwards, and never to 100 % for what is less.
function range(score) {
  const [least, most] = [score.high, score.low].map((error) => Math.round(1e6 * (1 - error)) / 1e4);
  const upper = most === 100 || most <= 99 ? Math.ceil(most) : Math.min(99.9, Math.ceil(10 * most) / 10);
  return `${Math.floor(least)}\u00a0% to ${upper}\u00a0%`;
}

function gain(report) {
  const { change } = report;
  const points = Math.round(100 * change.gain);
  const signed = (share) => `${Math.round(100 * share) > 0 ? "+" : ""}${Math.round(100 * share)}`.replace("-", "−");
  const words = points ? `${points > 0 ? "▲" : "▼"} ${Math.abs(points)} ${Math.abs(points) === 1 ? "point" : "points"}` : "as before";
  const between = `${signed(change.low)} to ${signed(change.high)} beside v${report.parent}`;
  return el("p", { className: `gain ${points > 0 ? "up" : points < 0 ? "down" : ""}` }, el("b", { textContent: words }), el("span", { className: "small", textContent: between }));
}

function labelCards(report, inside) {
  const all = report.labels.filter((label) => label.asked);
  if (!all.length) return [];
  const share = (label) => label.right / label.asked;
  all.sort((a, b) => share(a) - share(b) || b.asked - a.asked || a.name.localeCompare(b.name));
  const tick = report.old ? `; the line is v${report.parent}` : "";
  const unasked = report.labels.length - all.length;
  const rest = unasked ? `; ${unasked} not asked yet` : "";
  const list_ = charts.bars(all.slice(0, SHOWN));
  const hardest = card("Label by label", `photos of it that are answered right${tick}${rest}`, list_);
  if (all.length > SHOWN) {
    const more = el("button", { type: "button", className: "chip", textContent: `Show all ${all.length}` });
    more.onclick = () => { list_.replaceWith(charts.bars(all)); more.remove(); };
    hardest.append(more);
  }
  const [names, counts] = confused(report);
  const title = names.length < all.length ? `The ${names.length} most confused of ${all.length} labels` : "What is taken for what";
  return [hardest, card(title, "rows: what it is; columns: what was answered", charts.matrix(names, counts, inside))];
}

// The labels with the most mistakes, by them or for them, in their own order, and the counts among them.
function confused(report) {
  const { labels, wrong } = report;
  const mistakes = labels.map(() => 0);
  for (const [, truth, answer] of wrong) {
    mistakes[truth]++;
    if (answer >= 0) mistakes[answer]++;
  }
  const met = labels.map((label, row) => (label.asked || mistakes[row] ? row : -1)).filter((row) => row >= 0);
  met.sort((a, b) => mistakes[b] - mistakes[a] || labels[b].asked - labels[a].asked);
  const rows = met.slice(0, SHOWN).sort((a, b) => labels[a].name.localeCompare(labels[b].name));
  const counts = rows.map((row) => rows.map((column) => (row === column ? labels[row].right : 0)));
  for (const [, truth, answer] of wrong) {
    const [row, column] = [rows.indexOf(truth), rows.indexOf(answer)];
    if (row >= 0 && column >= 0) counts[row][column]++;
  }
  return [rows.map((row) => labels[row].name), counts];
}

function nameOf(report, row) {
  return row < 0 ? "another label" : report.labels[row].name;
}

function pairs(report) {
  const found_ = new Map();
  for (const [photo, truth, answer] of report.wrong) {
    if (answer < 0) continue;
    const key = `${truth} ${answer}`;
    if (!found_.has(key)) found_.set(key, { truth, answer, photos: [] });
    found_.get(key).photos.push(photo);
  }
  const most = [...found_.values()].sort((a, b) => b.photos.length - a.photos.length).slice(0, PAIRS);
  if (!most.length) return null;
  const lines = most.map(({ truth, answer, photos }) => {
    const words = el("div", { className: "words" }, el("b", { textContent: nameOf(report, truth) }), el("span", { className: "taken", textContent: `→ ${nameOf(report, answer)}` }), el("span", { className: "small", textContent: `${photos.length} of ${report.labels[truth].asked}` }));
    const there = photos.filter((photo) => shown.shown.includes(photo)).slice(0, EXAMPLES);
    return el("li", {}, el("div", { className: "thumbs" }, ...there.map((photo) => thumb(photo, `${nameOf(report, truth)}, taken for ${nameOf(report, answer)}`))), words);
  });
  const where = report.by === "exam" ? "in the exam" : "in the cross-validation";
  return card("Confused most often", `what it is → what it was taken for, ${where}`, el("ul", { className: "pairs" }, ...lines));
}

function turned(report) {
  if (!report.change) return [];
  const sides = [[report.change.fixed, "came right", "wrong", "was"], [report.change.broken, "went wrong", "right", "now"]];
  return sides.filter(([rows]) => rows.length).map(([rows, title, before, when]) => {
    const there = rows.filter(([photo]) => shown.shown.includes(photo)).slice(0, TURNED);
    const items = there.map(([photo, truth, answer]) => {
      const said = `${when} ${nameOf(report, answer)}`;
      const words = el("div", { className: "words" }, el("b", { textContent: nameOf(report, truth) }), el("span", { className: when === "now" ? "taken" : "small", textContent: said }));
      return el("li", {}, thumb(photo, `${nameOf(report, truth)}, ${said}`), words);
    });
    const rest = rows.length - there.length;
    if (rest) items.push(el("li", { className: "small", textContent: there.length ? `and ${rest} more` : "They can't be shown here." }));
    const them = rows.length === 1 ? "it" : "them";
    return card(`${rows.length} ${rows.length === 1 ? "photo" : "photos"} ${title}`, `v${report.parent} got ${them} ${before}`, el("ul", { className: "turned" }, ...items));
  });
}

function thumb(photo, caption) {
  const address = `/api/models/${shown.version.version}/photos/${photo}`;
  const image = el("img", { src: address, alt: caption, loading: "lazy", decoding: "async" });
  const box = el("button", { type: "button", className: "thumb", onclick: () => enlarge(`${address}?large=true`, caption) }, image);
  box.setAttribute("aria-label", `Enlarge the photo: ${caption}`);
  image.onerror = () => { box.disabled = true; image.remove(); };
  return box;
}

// What it is made of, for those who want to make it again.
function details() {
  const { card: made, preparation, version } = shown;
  const facts = [
    ["Backbone", made.backbone],
    ["Parent", made.parent === null ? "none" : `v${made.parent}`],
    ["Seed", made.seed],
    ["Data", made.fingerprint],
    ["Photo size", preparation ? `${preparation.resize} px, the middle ${preparation.crop}` : ""],
    ["Sure from", made.sure_at > 1 ? "nothing yet" : percent(made.sure_at)],
    ["Libraries", Object.entries(made.libraries).map(([name, number]) => `${name} ${number}`).join(", ")],
  ];
  const rows = facts.filter(([, value]) => value !== "").flatMap(([name, value]) => [el("dt", { textContent: name }), el("dd", { textContent: value })]);
  const link = el("a", { href: `/api/models/${version.version}/report`, textContent: "Everything, as JSON" });
  return el("details", { className: "card" }, el("summary", { textContent: "How it was made" }), el("dl", {}, ...rows), link);
}
