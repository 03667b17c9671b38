// The photos of a post: a grid of thumbnails, each of which can be enlarged.

import { el } from "./draw.js";

// entry: {item, pictures: the element for them, shots: position → its element, blobs: what this page itself sent}.
export function renderShots(entry) {
  const { item, pictures, shots } = entry;
  const count = item.photos.length;
  pictures.className = `shots ${count === 2 ? "two" : count === 4 ? "four" : count > 2 ? "many" : "one"}`;
  for (const shot of item.photos) {
    let box = shots.get(shot.position);
    if (!box) {
      box = el("button", { type: "button", className: "shot coming" });
      box.setAttribute("aria-label", "Enlarge the photo");
      if (count > 1) box.append(el("span", { className: "number", textContent: shot.position + 1 }));
      shots.set(shot.position, box);
      pictures.append(box);
    }
    const blob = entry.blobs?.[shot.position];
    if (shot.state === "failed" && !blob) noPicture(box);
    else showIn(box, entry, shot, blob || `/photo/${item.id}/${shot.position}`, Boolean(blob));
  }
}

function showIn(box, entry, shot, address, isLocal) {
  const mayBeThereNow = box.dataset.failed && !isLocal && shot.state === "ready";
  if (box.dataset.shows === address && !mayBeThereNow) return;
  delete box.dataset.failed;
  box.dataset.shows = address;
  const image = el("img", { alt: `Photo by ${entry.item.name || "somebody"}`, decoding: "async" });
  if (shot.width) Object.assign(image, { width: shot.width, height: shot.height });
  image.onload = () => {
    image.classList.add("ready");
    box.classList.remove("coming", "none");
    box.onclick = () => enlarge(address, image.alt);
  };
  image.onerror = () => {
    image.remove();
    box.dataset.failed = "yes";
    if (isLocal || shot.state !== "coming") noPicture(box);
  };
  image.src = address;
  for (const old of box.querySelectorAll("img, .missing")) old.remove();
  box.classList.remove("none");
  box.prepend(image);
}

function noPicture(box) {
  if (box.classList.contains("none")) return;
  box.classList.remove("coming");
  box.classList.add("none");
  box.onclick = null;
  box.setAttribute("aria-label", "No picture");
  for (const old of box.querySelectorAll("img")) old.remove();
  box.append(el("span", { className: "missing", textContent: "No picture" }));
}

export function enlarge(address, alt) {
  const large = document.getElementById("large");
  Object.assign(large.querySelector("img"), { src: address, alt });
  large.showModal();
}
